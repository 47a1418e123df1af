//! Watch: the committed changes of a kind as a stream of JSON lines.
//!
//! Called by `rest`. A watch holds a place in the ring of `live`; nothing is queued for it. Watchers who are told
//! the same are sent the same bytes (`lines`). It ends at its timeout, when the server stops, when the kind's
//! definition goes, or when the ring has left it behind (with an ERROR event of code 410, after which clients
//! list again). One that comes too late is told so in the same way, as in Kubernetes: not all clients list again
//! after an answer of 410.

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
use tokio::time::{Instant, Interval, Sleep, interval_at, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    Api, Streaming,
    accept::Form,
    custom, leases,
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
    /// Of Leases of nodes: when they are brought up to date again.
    renewals: Option<Interval>,
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
    let subscribed = api.backend.live().subscribe(kind, after).and_then(|place| {
        let custom = matches!(kind, Kind::Custom(_));
        let definitions =
            custom.then(|| api.backend.live().subscribe(Kind::CustomResourceDefinition, view.version)).transpose()?;
        Ok((place, definitions))
    });
    let (place, definitions) = match subscribed {
        Ok(subscribed) => subscribed,
        Err(too_old) => return Ok(streaming(Body::from(gone(too_old)))),
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
        renewals: leases::among(kind, namespace).then(|| interval_at(Instant::now() + leases::EVERY, leases::EVERY)),
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
    streaming(Body::from_stream(lines.fuse()))
}

fn streaming(body: Body) -> Response {
    let mut response = Response::new(body);
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
                if changed || api.backend.live().view().customs.version(self.kind).is_none_or(|v| !v.served) {
                    self.rest();
                    self.ended = true;
                }
            }
            () = due(&mut self.renewals) => leases::renew_aside(&api),
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

    /// All that is there: the last objects go in the moment in which their definition does, and whoever kept
    /// them must hear of it.
    fn rest(&mut self) {
        let api = self.api.clone();
        let mut more = true;
        while more && !self.ended {
            let taken = self.place.look(api.backend.live());
            more = taken.as_ref().is_ok_and(|t| t.more);
            self.taken(taken);
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
        self.told = self.told.max(version);
        self.push_line(&bookmark((info.kind, &info.api_version()), self.form, version, initial_end));
    }

    fn fail(&mut self, too_old: TooOld) {
        metrics::counter!("evenkeel_watches_left_behind_total").increment(1);
        self.ready.push_back(gone(too_old));
        self.ended = true;
    }

    fn push_line(&mut self, event: &Value) {
        self.ready.push_back(line_of(event));
    }
}

/// How far a watch has come, and whether it has told what was there at its beginning.
fn bookmark((kind, api_version): (&str, &str), form: Form, version: Version, initial_end: bool) -> Value {
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if initial_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = match form {
        Form::Objects => json!({"kind": kind, "apiVersion": api_version, "metadata": metadata}),
        Form::Metadata => json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        }),
        Form::Table => json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": null, "rows": [],
        }),
    };
    json!({"type": "BOOKMARK", "object": object})
}

/// A watch of a kind of which there are none, and will be none.
pub(super) fn nothing(api: &Arc<Api>, kind: (&str, &str), params: &Params, form: Form) -> Response {
    let told = params.initial == Some(true) && params.bookmarks;
    let version = api.backend.live().view().version;
    let first = told.then(|| line_of(&bookmark(kind, form, version, true)));
    let (stop, timeout) = (api.stop.clone(), params.timeout);
    let over = stream::once(async move { drop(tokio::time::timeout(timeout, stop.cancelled_owned()).await) });
    let lines = stream::iter(first).chain(over.filter_map(|()| std::future::ready(None)));
    streaming(Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>)))
}

fn line_of(event: &Value) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// The last word to who has to list again.
fn gone(too_old: TooOld) -> Bytes {
    line_of(&json!({"type": "ERROR", "object": Failure::expired(too_old.to_string()).status()}))
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

/// Waits until Leases are due to be brought up to date.
async fn due(renewals: &mut Option<Interval>) {
    match renewals {
        Some(interval) => drop(interval.tick().await),
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

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::{
        super::tests::{Fake, admin, api},
        *,
    };

    #[tokio::test]
    async fn the_end_of_a_definition_is_told_after_that_of_its_objects() {
        for round in 0..20 {
            let fake = Fake::new();
            let names = json!({"kind": "Gear", "plural": "gears", "singular": "gear", "listKind": "GearList"});
            let version = json!({"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
            fake.put(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "gears.shop.example"},
                "spec": {"group": "shop.example", "scope": "Namespaced", "names": names, "versions": [version]},
                "status": {"conditions": [{"type": "Established", "status": "True"}]}}));
            let kind = fake.view().customs.of("shop.example/v1", "Gear").unwrap();
            let gear = json!({"apiVersion": "shop.example/v1", "kind": "Gear",
                "metadata": {"name": "g", "namespace": "shop", "uid": "00000000-0000-4000-8000-000000000001"}});
            fake.put_object(Object::of_kind(kind, gear).unwrap());
            let uri = "/apis/shop.example/v1/gears?watch=true&timeoutSeconds=30";
            let mut request = Request::get(uri).body(Body::empty()).unwrap();
            request.extensions_mut().insert(admin());
            let response = api(&fake).oneshot(request).await.unwrap();
            fake.remove(evenkeel_model::Key::new(kind, "shop", "g"));
            fake.remove(evenkeel_model::Key::cluster(Kind::CustomResourceDefinition, "gears.shop.example"));
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let lines: Vec<Value> =
                bytes.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
            let told: Vec<&Value> = lines.iter().map(|l| &l["type"]).collect();
            assert_eq!(told, ["ADDED", "DELETED"], "{round}");
        }
    }
}
