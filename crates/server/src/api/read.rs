//! Get and list: objects of the last view, or of one that a list began with.
//!
//! Called by `rest`. Views are immutable, so nothing here waits for the conductor.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use evenkeel_core::world::View;
use evenkeel_model::{Key, Kind, Object, Time, Version};
use evenkeel_schema::Customs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    accept::Form,
    custom,
    live::Live,
    query::{At, Match, Params},
    select::selects,
    status::{Failure, bytes_response, json_response},
    tables,
};

/// Views kept for lists in pages: the design's bound.
const KEPT_VIEWS: usize = 16;
/// How long one is kept: the design's bound.
const KEPT_FOR: Duration = Duration::from_mins(5);
/// A list of more objects than this is encoded on the blocking pool: above it takes about 1 ms.
const INLINE: usize = 100;

/// The views that lists in pages began with.
#[derive(Debug, Default)]
pub(crate) struct KeptViews(Mutex<VecDeque<(Instant, Arc<View>)>>);

impl KeptViews {
    fn keep(&self, view: &Arc<View>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(since, v)| since.elapsed() < KEPT_FOR && v.version != view.version);
        if kept.len() == KEPT_VIEWS {
            kept.pop_front();
        }
        kept.push_back((Instant::now(), view.clone()));
    }

    fn get(&self, version: Version) -> Option<Arc<View>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(since, v)| v.version == version && since.elapsed() < KEPT_FOR).map(|(_, v)| v.clone())
    }
}

/// Where a list goes on: after an object, in a view. Version 0 is the newest.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: u64,
    ns: String,
    n: String,
}

impl Token {
    fn encode(version: Version, last: &Key) -> String {
        let token = Self { v: version.0, ns: last.namespace.to_string(), n: last.name.to_string() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Failure> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|b| serde_json::from_slice(&b).ok())
            .ok_or_else(|| Failure::bad_request("continue key is not valid"))
    }
}

/// One object.
pub(crate) fn get(live: &Live, key: &Key, form: Form, params: &Params, now: Time) -> Result<Response, Failure> {
    let view = live.view();
    let object = view.get(key).ok_or_else(|| Failure::not_found(key))?;
    Ok(one(&custom::shown(&view.customs, key.kind, object), &view.customs, form, params, now))
}

/// The answer with one object.
pub(crate) fn one(object: &Object, customs: &Customs, form: Form, params: &Params, now: Time) -> Response {
    match form {
        Form::Objects => bytes_response(200, object.to_json()),
        Form::Metadata => json_response(200, &tables::partial(object)),
        Form::Table => {
            let metadata = json!({"resourceVersion": object.version.to_string()});
            let rows = [tables::row(object, customs, params.include, now)];
            json_response(200, &table(object.key.kind, customs, &metadata, &rows))
        }
    }
}

fn table(kind: Kind, customs: &Customs, metadata: &Value, rows: &[Value]) -> Value {
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": tables::definitions(kind, customs), "rows": rows,
    })
}

/// What of a list is answered.
struct Page {
    kind: Kind,
    objects: Vec<Arc<Object>>,
    customs: Customs,
    metadata: Value,
}

/// All objects of a kind that are selected, or a page of them.
pub(crate) async fn list(
    live: &Live,
    kept: &KeptViews,
    kind: Kind,
    namespace: &str,
    params: Params,
    form: Form,
    now: Time,
) -> Result<Response, Failure> {
    if params.initial.is_some() {
        return Err(Failure::bad_request("sendInitialEvents is forbidden for list"));
    }
    let page = page(live, kept, kind, namespace, &params)?;
    let small = page.objects.len() <= INLINE;
    let encode = move || encode(&page, form, &params, now);
    let bytes = if small {
        encode()
    } else {
        let failed = |_| Failure::new(500, "InternalError", "the list could not be encoded");
        tokio::task::spawn_blocking(encode).await.map_err(failed)?
    };
    Ok(bytes_response(200, bytes))
}

fn page(live: &Live, kept: &KeptViews, kind: Kind, namespace: &str, params: &Params) -> Result<Page, Failure> {
    let (view, after) = place(live, kept, params)?;
    let all = params.labels.0.is_empty() && params.fields.is_empty();
    let passed = |o: &Arc<Object>| {
        after.as_ref().is_none_or(|t| (&*o.key.namespace, &*o.key.name) > (t.ns.as_str(), t.n.as_str()))
    };
    let mut chosen =
        view.list(kind, namespace).filter(|o| passed(o) && selects(o, namespace, &params.labels, &params.fields));
    let objects: Vec<Arc<Object>> = chosen.by_ref().take(params.limit.unwrap_or(usize::MAX)).cloned().collect();
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".into(), view.version.to_string().into());
    if let Some(last) = objects.last()
        && let Some(_more) = chosen.next()
    {
        kept.keep(&view);
        metadata.insert("continue".into(), Token::encode(view.version, &last.key).into());
        if all {
            metadata.insert("remainingItemCount".into(), (chosen.count() + 1).into());
        }
    }
    let customs = view.customs.clone();
    Ok(Page { kind, objects, customs, metadata: Value::Object(metadata) })
}

/// Which view a list reads, and after which object it goes on.
fn place(live: &Live, kept: &KeptViews, params: &Params) -> Result<(Arc<View>, Option<Token>), Failure> {
    let newest = live.view();
    if let Some(text) = &params.go_on {
        let token = Token::decode(text)?;
        if token.v == 0 || token.v == newest.version.0 {
            return Ok((newest, Some(token)));
        }
        if let Some(view) = kept.get(Version(token.v)) {
            return Ok((view, Some(token)));
        }
        let mut failure = Failure::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new \
             list without the continue parameter, or use the continue token in this response to retrieve the \
             remainder of the results, which may be inconsistent with those that came before.",
        );
        let on = Token { v: 0, ..token };
        failure.go_on = Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&on).unwrap_or_default()));
        return Err(failure);
    }
    match params.at {
        At::Version(v) if params.version_match == Match::Exact && v != newest.version => {
            let gone = || Failure::expired(format!("too old resource version: {v} ({})", newest.version));
            kept.get(v).map(|view| (view, None)).ok_or_else(gone)
        }
        At::Version(v) if v > newest.version => {
            let message = format!("Too large resource version: {v}, current: {}", newest.version);
            let mut failure = Failure::new(504, "Timeout", message);
            failure.retry_after = Some(1);
            let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
            failure.details.insert("causes".into(), causes);
            Err(failure)
        }
        _ => Ok((newest, None)),
    }
}

fn encode(page: &Page, form: Form, params: &Params, now: Time) -> Vec<u8> {
    let info = page.kind.info();
    let seen = |o| custom::shown(&page.customs, page.kind, o);
    let items = |f: fn(&Object) -> Value| page.objects.iter().map(|o| f(&seen(o))).collect::<Vec<Value>>();
    let answer = match form {
        Form::Objects => json!({
            "kind": format!("{}List", info.kind), "apiVersion": info.api_version(),
            "metadata": page.metadata, "items": items(Object::to_value),
        }),
        Form::Metadata => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
            "metadata": page.metadata, "items": items(tables::partial),
        }),
        Form::Table => {
            let rows: Vec<Value> =
                page.objects.iter().map(|o| tables::row(&seen(o), &page.customs, params.include, now)).collect();
            table(page.kind, &page.customs, &page.metadata, &rows)
        }
    };
    serde_json::to_vec(&answer).unwrap_or_default()
}
