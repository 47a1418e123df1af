//! Watch: the committed changes of a kind as a stream of JSON lines.
//!
//! Called by `rest`. A watch holds a place in the ring of `live`; nothing is queued for it. It ends
//! at its timeout, when the server stops, when the kind's definition goes, or when the ring has left it behind (with an ERROR event
//! of code 410, after which clients list again).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use evenkeel_model::{Kind, Object, Version};
use evenkeel_schema::Customs;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    Api, Streaming,
    accept::Form,
    custom,
    live::{Live, Subscription, TooOld, WatchEvent},
    query::{At, Params},
    select::selects,
    status::Failure,
    tables,
};

/// How often a client that asked for bookmarks gets one when the version has moved on: as in
/// Kubernetes.
const BOOKMARKS: Duration = Duration::from_mins(1);

/// A watch under way.
struct Watch {
    api: Arc<Api>,
    kind: Kind,
    namespace: String,
    params: Params,
    form: Form,
    /// Lines that are ready.
    ready: VecDeque<Bytes>,
    place: Subscription,
    /// Of a custom kind: what becomes of its definition.
    definitions: Option<Subscription>,
    /// The last version that the client was told.
    told: Version,
    /// Whether a table's columns were sent.
    headed: bool,
    ended: bool,
    until: Instant,
    bookmark: Instant,
}

/// Starts a watch.
pub(crate) fn start(
    api: &Arc<Api>,
    kind: Kind,
    namespace: &str,
    params: Params,
    form: Form,
) -> Result<Response, Failure> {
    let view = api.backend.live().view();
    let from = match (params.at, params.initial) {
        (At::Version(v), Some(true)) if v > view.version => {
            return Err(Failure::new(
                504,
                "Timeout",
                format!("Too large resource version: {v}, current: {}", view.version),
            ));
        }
        (At::Version(v), None | Some(false)) => Some(v),
        (At::Newest | At::Any, Some(false)) => Some(view.version),
        (_, Some(true)) | (At::Newest | At::Any, None) => None,
    };
    let after = from.unwrap_or(view.version);
    let place = api.backend.live().subscribe(kind, after).map_err(|e| Failure::expired(e.to_string()))?;
    let definitions = match kind {
        Kind::Custom(_) => {
            let all = api.backend.live().subscribe(Kind::CustomResourceDefinition, view.version);
            Some(all.map_err(|e| Failure::expired(e.to_string()))?)
        }
        _ => None,
    };
    let now = Instant::now();
    metrics::gauge!("evenkeel_watches").increment(1);
    let mut watch = Watch {
        api: api.clone(),
        kind,
        namespace: namespace.into(),
        ready: VecDeque::new(),
        place,
        definitions,
        told: after,
        headed: false,
        ended: false,
        until: now + params.timeout,
        bookmark: now + BOOKMARKS,
        params,
        form,
    };
    if from.is_none() {
        for object in view.list(kind, namespace) {
            if watch.selects(object) {
                watch.push("ADDED", object, object.version);
            }
        }
        // Who wants no bookmarks is not told where what was there ends.
        if watch.params.initial == Some(true) && watch.params.bookmarks {
            watch.push_bookmark(view.version, true);
        }
    }
    Ok(respond(watch))
}

fn respond(watch: Watch) -> Response {
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.line().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watch))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.extensions_mut().insert(Streaming);
    response
}

impl Drop for Watch {
    fn drop(&mut self) {
        metrics::gauge!("evenkeel_watches").decrement(1);
    }
}

impl Watch {
    fn selects(&self, object: &Object) -> bool {
        selects(object, &self.namespace, &self.params.labels, &self.params.fields)
    }

    /// The next lines, joined: what is ready leaves in one piece.
    async fn line(&mut self) -> Option<Bytes> {
        loop {
            if !self.ready.is_empty() {
                let lines: Vec<u8> = self.ready.drain(..).flatten().collect();
                return Some(lines.into());
            }
            if self.ended {
                return None;
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let api = self.api.clone();
        let wake = self.until.min(if self.params.bookmarks { self.bookmark } else { self.until });
        tokio::select! {
            next = self.place.next(api.backend.live()) => match next {
                None => self.ended = true,
                Some(Err(too_old)) => self.fail(too_old),
                Some(Ok(taken)) => taken.events.iter().for_each(|e| self.event(e)),
            },
            // A kind that is served no more has no more to tell; clients that ask again get 404.
            changed = next_of(&mut self.definitions, api.backend.live()) => {
                self.ended = changed || api.backend.live().view().customs.version(self.kind).is_none_or(|v| !v.served);
            }
            () = api.stop.cancelled() => self.ended = true,
            () = sleep_until(wake) => {
                if self.params.bookmarks && self.place.position() > self.told {
                    self.push_bookmark(self.place.position(), false);
                }
                self.bookmark = Instant::now() + BOOKMARKS;
                self.ended = Instant::now() >= self.until;
            }
        }
    }

    fn event(&mut self, event: &WatchEvent) {
        let before = event.old.as_ref().filter(|o| self.selects(o));
        let after = event.new.as_ref().filter(|o| self.selects(o));
        match (before, after) {
            (None, Some(new)) => self.push("ADDED", new, event.version),
            (Some(_), Some(new)) => self.push("MODIFIED", new, event.version),
            // An object that leaves the selection is shown as it left.
            (Some(old), None) => self.push("DELETED", event.new.as_ref().unwrap_or(old), event.version),
            (None, None) => {}
        }
    }

    fn push(&mut self, what: &str, object: &Object, version: Version) {
        let customs = if let Kind::Custom(_) = self.kind {
            self.api.backend.live().view().customs.clone()
        } else {
            Customs::default()
        };
        let object = &*custom::shown(&customs, self.kind, object);
        self.told = self.told.max(version);
        let object = match self.form {
            Form::Objects => return self.push_object(what, object, version),
            Form::Metadata => with_version(tables::partial(object), version),
            Form::Table => {
                let mut row = tables::row(object, &customs, self.params.include, (self.api.now)());
                if let Some(inner) = row.get_mut("object") {
                    *inner = with_version(inner.take(), version);
                }
                let columns = if self.headed { Value::Null } else { tables::definitions(self.kind, &customs) };
                self.headed = true;
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": version.to_string()},
                    "columnDefinitions": columns, "rows": [row],
                })
            }
        };
        self.push_line(&json!({"type": what, "object": object}));
    }

    /// An object as it is kept, without a tree of it: of most events there are many watchers.
    fn push_object(&mut self, what: &str, object: &Object, version: Version) {
        let mut line = Vec::with_capacity(object.body.len() + object.status.len() + object.managed.len() + 1024);
        line.extend_from_slice(b"{\"object\":");
        if object.version == version {
            object.write_json(&mut line);
        } else {
            Object { version, ..object.clone() }.write_json(&mut line);
        }
        line.extend_from_slice(format!(",\"type\":\"{what}\"}}\n").as_bytes());
        self.ready.push_back(line.into());
    }

    fn push_bookmark(&mut self, version: Version, initial_end: bool) {
        let info = self.kind.info();
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form {
            Form::Objects => json!({"kind": info.kind, "apiVersion": info.api_version(), "metadata": metadata}),
            Form::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Form::Table => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": null, "rows": [],
            }),
        };
        self.told = self.told.max(version);
        self.push_line(&json!({"type": "BOOKMARK", "object": object}));
    }

    fn fail(&mut self, too_old: TooOld) {
        metrics::counter!("evenkeel_watches_left_behind_total").increment(1);
        let status = Failure::expired(too_old.to_string()).status();
        self.push_line(&json!({"type": "ERROR", "object": status}));
        self.ended = true;
    }

    fn push_line(&mut self, event: &Value) {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        self.ready.push_back(line.into());
    }
}

/// Waits for a change of any definition; whether there will be none that can be told any more.
async fn next_of(definitions: &mut Option<Subscription>, live: &Live) -> bool {
    match definitions {
        Some(all) => !matches!(all.next(live).await, Some(Ok(_))),
        None => std::future::pending().await,
    }
}

/// A deleted object carries the version of its deletion, so that a client goes on from there.
fn with_version(mut object: Value, version: Version) -> Value {
    if let Some(metadata) = object.get_mut("metadata") {
        metadata["resourceVersion"] = version.to_string().into();
    }
    object
}
