//! When nodes were last heard of: as Leases of the namespace `kube-node-lease`, which `kubectl describe node`
//! reads, and beside what they have given out at `/evenkeel/nodes`:
//! `{"nodes": [{"name", "lastSeen", "pods", "podLimit", "cpu", "cpuAllocatable", "memory",
//! "memoryAllocatable"}…]}`, cpu in millicores, memory in bytes.
//!
//! Called by `rest` and `watch`. These Leases are objects of the view, which core makes and keeps; words of agents
//! are written to them only here, when somebody reads them and every few seconds while somebody watches. So lists
//! and watches tell the same, and words that nobody asks for cost nothing. Deliberately not here: Leases of other
//! namespaces, which are objects like any other, by which programs take turns.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_core::{
    Answer, Ask,
    controllers::{
        lease::{NAMESPACE, RENEWED},
        node::NodeUse,
    },
};
use evenkeel_model::{Key, Kind, Time};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{
    Api,
    path::Target,
    status::{Failure, json_response},
};

/// How often those who watch hear of nodes: as often as agents speak.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// What was written so shortly before is new enough for a list.
const FRESH: Duration = Duration::from_secs(1);

/// When all Leases of nodes were brought up to date last.
#[derive(Debug, Default)]
pub(crate) struct Renewals(Mutex<Option<Instant>>);

/// Brings them up to date unless they were so lately. What the conductor does not do, for its disk may be full,
/// leaves them as they are.
async fn renew(mut last: MutexGuard<'_, Option<Instant>>, api: &Api, lately: Duration) {
    if last.is_some_and(|at| at.elapsed() < lately) {
        return;
    }
    let mut from: Option<Arc<str>> = Some("".into());
    while let Some(name) = from {
        from = renewed(api, name, RENEWED).await;
    }
    *last = Some(Instant::now());
}

/// Those of some nodes; gives the node to go on from.
async fn renewed(api: &Api, from: Arc<str>, count: usize) -> Option<Arc<str>> {
    // Nobody in particular: these are no user's writes.
    match api.backend.ask(Ask::RenewLeases { from, count }, String::new()).await {
        Ok(Answer::Renewed(next)) => next,
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "leases of nodes are not up to date");
            None
        }
    }
}

/// Whether Leases of nodes are among a kind's objects in a namespace, or (empty) in all.
pub(super) fn among(kind: Kind, namespace: &str) -> bool {
    kind == Kind::Lease && (namespace.is_empty() || namespace == NAMESPACE)
}

/// Once more for who watches them, aside: meanwhile its watch goes on. Twice as often as is needed for one alone,
/// so that many who began at different times hear of it in time.
pub(super) fn renew_aside(api: &Arc<Api>) {
    let api = api.clone();
    tokio::spawn(async move {
        // Whoever has it does it for all: behind a conductor that is slow nobody queues up.
        if let Ok(last) = api.leases.0.try_lock() {
            renew(last, &api, EVERY / 2).await;
        }
    });
}

/// Makes ready what a request for Leases of nodes reads, and refuses to write them.
pub(crate) async fn prepare(api: &Api, parts: &Parts, target: &Target) -> Result<(), Failure> {
    let read = matches!(parts.method, Method::GET | Method::HEAD);
    match target {
        Target::Collection { kind, namespace } if read && among(*kind, namespace) => {
            renew(api.leases.0.lock().await, api, FRESH).await;
        }
        Target::Item(key) if read && among(key.kind, &key.namespace) => {
            renewed(api, key.name.clone(), 1).await;
        }
        Target::Collection { kind: Kind::Lease, namespace } if !read && namespace == NAMESPACE => return Err(refused()),
        Target::Item(key) if !read && among(key.kind, &key.namespace) => return Err(refused()),
        _ => {}
    }
    Ok(())
}

fn refused() -> Failure {
    let message = "leases of nodes are made by the server from its agents' heartbeats: they can only be read, with \
                   get, list and watch";
    Failure::not_allowed(message)
}

/// `/evenkeel/nodes`.
pub(crate) async fn usage(api: &Api) -> Result<Response, Failure> {
    let key = Key::cluster(Kind::Node, "");
    // A question that changes nothing needs no name in any history.
    let answer = api.backend.ask(Ask::NodeUse, String::new()).await.map_err(|e| Failure::of_ask(&e, &key))?;
    let Answer::NodeUse(nodes) = answer else {
        return Err(Failure::new(500, "InternalError", "the server did not answer about its nodes"));
    };
    let one = |n: NodeUse| {
        json!({
            "name": n.node, "lastSeen": n.heard.map(Time::rfc3339), "pods": n.pods.0, "podLimit": n.pods.1,
            "cpu": n.cpu_milli.0, "cpuAllocatable": n.cpu_milli.1,
            "memory": n.memory.0, "memoryAllocatable": n.memory.1,
        })
    };
    let all: Vec<Value> = nodes.into_iter().map(one).collect();
    Ok(json_response(200, &json!({"nodes": all})))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, BodyDataStream};
    use axum::http::Request;
    use evenkeel_model::Uid;
    use futures_util::StreamExt as _;
    use tower::ServiceExt as _;

    use super::super::tests::{Fake, admin, api, get};
    use super::*;

    const ALL: &str = "/apis/coordination.k8s.io/v1/leases";
    const NODES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

    fn node(fake: &Fake, name: &str, uid: u128) {
        fake.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": Uid(uid).to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z"}}));
    }

    fn two_nodes() -> Arc<Fake> {
        let fake = Fake::new();
        fake.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
        node(&fake, "n1", 4);
        node(&fake, "n2", 8);
        fake.hear("n1", 1);
        fake
    }

    /// A watch, line by line.
    struct Lines(BodyDataStream, Vec<Value>);

    impl Lines {
        async fn of(fake: &Arc<Fake>, uri: &str) -> Self {
            let mut request = Request::get(uri).body(Body::empty()).unwrap();
            request.extensions_mut().insert(admin());
            let response = api(fake).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            Self(response.into_body().into_data_stream(), Vec::new())
        }

        /// What happened, to whom, its last word, and its version.
        async fn next(&mut self) -> (String, String, Value, String) {
            while self.1.is_empty() {
                let piece = self.0.next().await.expect("the watch goes on").unwrap();
                let lines = piece.split(|b| *b == b'\n').filter(|l| !l.is_empty());
                self.1.extend(lines.map(|l| serde_json::from_slice::<Value>(l).unwrap()));
            }
            let line = self.1.remove(0);
            let (metadata, text) = (&line["object"]["metadata"], |v: &Value| v.as_str().unwrap_or_default().to_owned());
            let renewed = line["object"]["spec"]["renewTime"].clone();
            (text(&line["type"]), text(&metadata["name"]), renewed, text(&metadata["resourceVersion"]))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lists_and_watches_tell_the_same_of_nodes() {
        let fake = two_nodes();
        let (_, list) = get(&fake, ALL).await;
        let names: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|l| &l["metadata"]["name"]).collect();
        assert_eq!(names, ["n1", "n2"]);
        assert_eq!(list["items"][0]["spec"]["renewTime"], "2026-01-01T12:20:01.000000Z");
        assert_eq!(list["items"][0]["metadata"]["ownerReferences"][0]["uid"], Uid(4).to_string());
        let from = list["metadata"]["resourceVersion"].as_str().unwrap();
        for base in [ALL, NODES] {
            let mut whole = Lines::of(&fake, &format!("{base}?watch=true")).await;
            let first = [whole.next().await, whole.next().await];
            assert_eq!(first.map(|(what, name, ..)| what + &name), ["ADDEDn1", "ADDEDn2"]);
        }
        let mut watches = [
            Lines::of(&fake, &format!("{ALL}?watch=true&resourceVersion={from}")).await,
            Lines::of(&fake, &format!("{NODES}?watch=true&resourceVersion={from}&allowWatchBookmarks=true")).await,
        ];
        // Nobody reads it: the watches see to it themselves.
        fake.hear("n1", 11);
        let mut versions = Vec::new();
        for watch in &mut watches {
            let (what, name, renewed, version) = watch.next().await;
            assert_eq!((what.as_str(), name.as_str()), ("MODIFIED", "n1"));
            assert_eq!(renewed, "2026-01-01T12:20:11.000000Z");
            versions.push(version);
        }
        assert_eq!(versions[0], versions[1]);
        let (_, one) = get(&fake, &format!("{NODES}/n1")).await;
        assert_eq!((&one["metadata"]["resourceVersion"], &one["kind"]), (&json!(versions[0]), &json!("Lease")));
        fake.remove(Key::new(Kind::Lease, NAMESPACE, "n2"));
        for watch in &mut watches {
            let (what, name, ..) = watch.next().await;
            assert_eq!((what.as_str(), name.as_str()), ("DELETED", "n2"));
        }
        // Who goes on from what it heard last hears the rest.
        let mut on = Lines::of(&fake, &format!("{ALL}?watch=true&resourceVersion={}", versions[0])).await;
        assert_eq!(on.next().await.0, "DELETED");
        node(&fake, "n3", 12);
        let (what, name, ..) = watches[1].next().await;
        assert_eq!((what.as_str(), name.as_str()), ("ADDED", "n2"), "its Node is still there");
        assert_eq!(watches[1].next().await.1, "n3");
        fake.put(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": "default"}}),
        );
        let (what, _, _, version) = watches[1].next().await;
        assert_eq!((what.as_str(), version), ("BOOKMARK", fake.view().version.to_string()));
        let (code, event) = get(&fake, &format!("{ALL}?watch=true&resourceVersion=1")).await;
        assert_eq!((code.as_u16(), &event["type"], &event["object"]["code"]), (200, &json!("ERROR"), &json!(410)));
    }

    #[tokio::test(start_paused = true)]
    async fn words_cost_nothing_while_nobody_asks_and_many_who_watch_share_the_work() {
        let fake = two_nodes();
        let watch = |base: &'static str| {
            let fake = fake.clone();
            async move { Lines::of(&fake, &format!("{base}?watch=true")).await }
        };
        // Other Leases are nobody's here.
        let other = watch("/apis/coordination.k8s.io/v1/namespaces/default/leases").await;
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert_eq!(fake.asked.lock().unwrap().len(), 0);
        drop(other);
        let api = super::super::tests::bare(&fake);
        for _ in 0..100 {
            renew_aside(&api);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.asked.lock().unwrap().len(), 1);
        renew(api.leases.0.lock().await, &api, FRESH / 2).await;
        renew(api.leases.0.lock().await, &api, FRESH).await;
        assert_eq!(fake.asked.lock().unwrap().len(), 2);
    }
}
