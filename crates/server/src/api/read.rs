//! Get and list: objects of the last view, or of one that a list began with.
//!
//! Called by `rest`. Views are immutable, so nothing here waits for the conductor.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use evenkeel_core::world::View;
use evenkeel_model::{Key, Kind, Object, Time, Version};
use evenkeel_schema::Customs;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

use super::{
    Api, Long,
    accept::Form,
    custom,
    live::Live,
    query::{At, Include, Match, Params},
    select::selects,
    status::{Failure, bytes_response, json_response},
    tables,
};

/// Views kept for lists in pages: the design's bound.
const KEPT_VIEWS: usize = 16;
/// How long one is kept: the design's bound.
const KEPT_FOR: Duration = Duration::from_mins(5);
/// A list of more objects than this is encoded on the blocking pool, and leaves in pieces: above it takes about
/// 1 ms.
const INLINE: usize = 100;
/// Bytes of a piece, about.
const PIECE: usize = 128 << 10;
/// Pieces that wait for a client who is slow.
const PIECES: usize = 4;

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

/// Refuses a token that is none.
pub(crate) fn check_token(params: &Params) -> Result<(), Failure> {
    params.go_on.as_deref().map_or(Ok(()), |text| Token::decode(text).map(drop))
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
pub(crate) fn list(
    api: &Api,
    (kind, namespace): (Kind, &str),
    params: &Params,
    form: Form,
) -> Result<Response, Failure> {
    let now = (api.now)();
    let page = page(api, (kind, namespace), params)?;
    if page.objects.len() > INLINE {
        return Ok(in_pieces(Pieces::of(page, form, params.include, now)));
    }
    let mut bytes = Vec::new();
    encode(&page, form, params.include, now, |piece| {
        bytes.extend(piece);
        true
    });
    Ok(bytes_response(200, bytes))
}

fn page(api: &Api, (kind, namespace): (Kind, &str), params: &Params) -> Result<Page, Failure> {
    let (view, after) = place(api.backend.live(), &api.kept, params)?;
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
        api.kept.keep(&view);
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

/// A list's text around its items.
fn frame(page: &Page, form: Form) -> (Vec<u8>, Vec<u8>) {
    let info = page.kind.info();
    let text = |value: &Value| serde_json::to_vec(value).unwrap_or_default();
    let metadata = text(&page.metadata);
    let list = |version: &str, kind: &str| {
        let head = [b"{\"apiVersion\":".as_slice(), &text(&version.into()), b",\"items\":["].concat();
        (head, [b"],\"kind\":".as_slice(), &text(&kind.into()), b",\"metadata\":", &metadata, b"}"].concat())
    };
    match form {
        Form::Objects => list(&info.api_version(), &format!("{}List", info.kind)),
        Form::Metadata => list("meta.k8s.io/v1", "PartialObjectMetadataList"),
        Form::Table => {
            let columns = text(&tables::definitions(page.kind, &page.customs));
            let head = [
                b"{\"apiVersion\":\"meta.k8s.io/v1\",\"columnDefinitions\":".as_slice(),
                &columns,
                b",\"kind\":\"Table\",\"metadata\":",
                &metadata,
                b",\"rows\":[",
            ];
            (head.concat(), b"]}".to_vec())
        }
    }
}

/// Writes the list piece by piece, until nobody takes them any more.
fn encode(page: &Page, form: Form, include: Include, now: Time, mut take: impl FnMut(Vec<u8>) -> bool) {
    let (mut out, tail) = frame(page, form);
    for (i, object) in page.objects.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let object = custom::shown(&page.customs, page.kind, object);
        match form {
            Form::Objects => object.write_json(&mut out),
            Form::Metadata => out.extend(serde_json::to_vec(&tables::partial(&object)).unwrap_or_default()),
            Form::Table => {
                let row = tables::row(&object, &page.customs, include, now);
                out.extend(serde_json::to_vec(&row).unwrap_or_default());
            }
        }
        if out.len() >= PIECE && !take(std::mem::replace(&mut out, Vec::with_capacity(PIECE + PIECE / 4))) {
            return;
        }
    }
    out.extend(tail);
    take(out);
}

/// A long list on its way, made on the blocking pool as fast as it is taken.
struct Pieces {
    ready: mpsc::Receiver<Vec<u8>>,
    made: Option<JoinHandle<()>>,
}

impl Pieces {
    fn of(page: Page, form: Form, include: Include, now: Time) -> Self {
        let (send, ready) = mpsc::channel(PIECES);
        let made = tokio::task::spawn_blocking(move || {
            encode(&page, form, include, now, |piece| send.blocking_send(piece).is_ok());
        });
        Self { ready, made: Some(made) }
    }

    async fn next(&mut self) -> Option<Result<Vec<u8>, JoinError>> {
        if let Some(piece) = self.ready.recv().await {
            return Some(Ok(piece));
        }
        // A list that breaks off must not look as if it had ended.
        self.made.take()?.await.err().map(Err)
    }
}

fn in_pieces(pieces: Pieces) -> Response {
    let stream = stream::unfold(pieces, |mut pieces| async move { Some((pieces.next().await?, pieces)) });
    // A compressor asks once more after the end.
    let mut response = Response::new(Body::from_stream(stream.fuse()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(Long);
    response
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fake, call, pod, sent};

    #[tokio::test]
    async fn a_long_list_ends_for_who_takes_it_compressed_too() {
        let fake = Fake::new();
        for n in 0..super::INLINE * 3 {
            fake.put(pod(&format!("web-{n}"), "Running"));
        }
        let packed = sent(&fake, "GET", "/api/v1/pods", &[("accept-encoding", "gzip")], "").await;
        assert_eq!((packed.0.as_u16(), &packed.1[..2]), (200, &[0x1f, 0x8b][..]));
        let (_, plain) = call(&fake, "GET", "/api/v1/pods", &[], "").await;
        assert!(plain.len() > packed.1.len() && plain.ends_with('}'), "{} {}", plain.len(), packed.1.len());
    }
}
