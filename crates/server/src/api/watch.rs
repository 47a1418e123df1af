//! Watch: the committed changes of a kind as a stream of JSON lines.
//!
//! Called by `rest`. A watch holds a place in the ring of `live`; nothing is queued for it. Watchers who are told
//! the same are sent the same bytes (`lines`). It ends at its timeout, when the server stops, when the kind's
//! definition goes, or when the ring has left it behind (with an ERROR event of code 410, after which clients
//! list again).

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use evenkeel_model::{Kind, Object, Version};
use evenkeel_schema::Customs;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    Api, Streaming,
    accept::Form,
    custom,
    live::{Live, Subscription, Taken, TooOld, WatchEvent},
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
    /// When the time is over, or a bookmark is due. Like `stopped` it is set up once, not each time that the
    /// watch waits.
    timer: Pin<Box<Sleep>>,
    /// The server's end.
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
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
    let until = Instant::now() + params.timeout;
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
        until,
        timer: Box::pin(sleep_until(until)),
        stopped: Box::pin(api.stop.clone().cancelled_owned()),
        params,
        form,
    };
    watch.set_timer();
    if from.is_none() {
        for object in view.list(kind, namespace) {
            if watch.selects(object) {
                watch.list(object);
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
    let mut response = Response::new(Body::from_stream(lines.fuse()));
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
            // One alone is sent as it is, the same bytes to all.
            if self.ready.len() > 1 {
                let lines: Vec<u8> = self.ready.drain(..).flatten().collect();
                return Some(lines.into());
            }
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let api = self.api.clone();
        tokio::select! {
            next = self.place.next(api.backend.live()) => match next {
                None => self.ended = true,
                Some(taken) => self.taken(taken),
            },
            // A kind that is served no more has no more to tell; clients that ask again get 404.
            changed = next_of(&mut self.definitions, api.backend.live()) => {
                self.ended = changed || api.backend.live().view().customs.version(self.kind).is_none_or(|v| !v.served);
            }
            () = &mut self.stopped => self.ended = true,
            () = &mut self.timer => self.time(),
        }
    }

    fn taken(&mut self, taken: Result<Taken, TooOld>) {
        match taken {
            Ok(taken) => taken.events.iter().for_each(|e| self.event(e)),
            Err(too_old) => self.fail(too_old),
        }
    }

    /// The time is over, or it is time for a bookmark.
    fn time(&mut self) {
        if self.params.bookmarks {
            let api = self.api.clone();
            // What other kinds did has not woken it.
            let taken = self.place.look(api.backend.live());
            self.taken(taken);
            if !self.ended && self.place.position() > self.told {
                self.push_bookmark(self.place.position(), false);
            }
        }
        self.ended |= Instant::now() >= self.until;
        self.set_timer();
    }

    fn set_timer(&mut self) {
        let bookmark = Some(Instant::now() + BOOKMARKS).filter(|_| self.params.bookmarks);
        let at = bookmark.map_or(self.until, |at| at.min(self.until));
        self.timer.as_mut().reset(at);
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

    /// What is there when it begins.
    fn list(&mut self, object: &Arc<Object>) {
        if self.form != Form::Objects {
            return self.push("ADDED", object, object.version);
        }
        self.told = self.told.max(object.version);
        let customs = self.customs();
        let object = custom::shown(&customs, self.kind, object);
        self.ready.push_back(line("ADDED", &object, object.version).into());
    }

    fn push(&mut self, what: &'static str, object: &Arc<Object>, version: Version) {
        self.told = self.told.max(version);
        // Columns come once, and a row says how old an object is: a table is each watcher's own.
        if self.form == Form::Objects {
            let said = (version, what, self.kind.info().version);
            let shared = self.api.lines.of(said, object, || {
                let customs = self.customs();
                line(what, &custom::shown(&customs, self.kind, object), version)
            });
            return self.ready.push_back(shared);
        }
        let customs = self.customs();
        let object = &*custom::shown(&customs, self.kind, object);
        let object = match self.form {
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
            _ => with_version(tables::partial(object), version),
        };
        self.push_line(&json!({"type": what, "object": object}));
    }

    fn customs(&self) -> Customs {
        match self.kind {
            Kind::Custom(_) => self.api.backend.live().view().customs.clone(),
            _ => Customs::default(),
        }
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

/// An object as it is kept, without a tree of it.
fn line(what: &str, object: &Object, version: Version) -> Vec<u8> {
    let mut line = Vec::with_capacity(object.body.len() + object.status.len() + object.managed.len() + 1024);
    line.extend_from_slice(b"{\"object\":");
    if object.version == version {
        object.write_json(&mut line);
    } else {
        Object { version, ..object.clone() }.write_json(&mut line);
    }
    line.extend_from_slice(format!(",\"type\":\"{what}\"}}\n").as_bytes());
    line
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
