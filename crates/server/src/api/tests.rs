//! The API in process, over a backend that is made of a world.

use std::sync::Mutex;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use evenkeel_core::{
    Refusal, World,
    change::Change,
    scheduler::rebalance::{Rebalance, Wish},
};
use evenkeel_model::{Key, Kind, Object, SourceName, Version};
use evenkeel_wire::{
    stream::{CallerEnd, ExecRequest, FailureKind, NodeEnd, PortRequest, StreamError, StreamRequest},
    usage::{NodeUsage, UsageRequest, Used},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

/// A port of every fake pod that nobody listens on.
pub(super) const REFUSED: u16 = 9;

/// A backend whose conductor answers what the test says.
pub(super) struct Fake {
    live: Live,
    world: Mutex<World>,
    pub(super) asked: Mutex<Vec<(evenkeel_core::Ask, String)>>,
    pub(super) answer: Mutex<Result<evenkeel_core::Answer, AskError>>,
    nudged: Mutex<Vec<SourceName>>,
    pub(super) health: Mutex<Health>,
    /// Commands that were begun, with the node's ends of their streams.
    pub(super) commands: Mutex<Vec<(ExecRequest, NodeEnd)>>,
    pub(super) ports: Mutex<Vec<(PortRequest, NodeEnd)>>,
}

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        let world = World::new(Version(1000), 1, [0; 32]);
        let refused = AskError::Refused(Refusal::conflict("no"));
        Arc::new(Self {
            live: Live::new(world.view()),
            world: Mutex::new(world),
            asked: Mutex::default(),
            answer: Mutex::new(Err(refused)),
            nudged: Mutex::default(),
            health: Mutex::new(Health { loaded: true, ..Health::default() }),
            commands: Mutex::default(),
            ports: Mutex::default(),
        })
    }

    fn apply(&self, change: Change) {
        let mut world = self.world.lock().unwrap();
        let Some((changed, _)) = world.apply(change) else { return };
        let event = WatchEvent::new(world.version, changed.unwrap());
        self.live.publish(world.view(), [event]);
    }

    /// Makes the roles that every cluster has.
    pub(super) fn ready_roles(&self) {
        use evenkeel_core::{Settings, controllers::access, cx::Cx, rbac::ready};
        let mut rng = evenkeel_model::Rng::new(1);
        // Twice: sums are of what is there.
        for role in ready::roles().iter().chain(&ready::roles()) {
            let world = self.world.lock().unwrap().clone();
            let settings = Settings::default();
            let mut cx = Cx::new(noon(), noon(), &settings, &mut rng);
            access::reconcile(&world, &role.key(), &mut cx);
            cx.changes.into_iter().for_each(|change| self.apply(change));
        }
        for sum in ["edit", "admin"] {
            let world = self.world.lock().unwrap().clone();
            let settings = Settings::default();
            let mut cx = Cx::new(noon(), noon(), &settings, &mut rng);
            access::reconcile(&world, &Key::cluster(Kind::ClusterRole, sum), &mut cx);
            cx.changes.into_iter().for_each(|change| self.apply(change));
        }
    }

    pub(super) fn view(&self) -> Arc<evenkeel_core::world::View> {
        self.live.view()
    }

    pub(super) fn remove(&self, key: Key) {
        self.apply(Change::Delete(key));
    }

    /// What core answers, and does.
    fn really(&self, ask: &evenkeel_core::Ask) -> evenkeel_core::Answer {
        let (settings, mut rng) = (evenkeel_core::Settings::default(), evenkeel_model::Rng::new(1));
        let mut cx = evenkeel_core::cx::Cx::new(noon(), noon(), &settings, &mut rng);
        let world = self.world.lock().unwrap().clone();
        let answer = evenkeel_core::ask::handle(&world, ask, "", &mut cx).unwrap();
        cx.changes.into_iter().for_each(|change| self.apply(change));
        answer
    }

    /// An agent spoke, so many seconds after noon.
    pub(super) fn hear(&self, node: &str, seconds: u64) {
        self.world.lock().unwrap().nodes.hear(&node.into(), noon() + std::time::Duration::from_secs(seconds));
    }

    pub(super) fn put(&self, value: Value) {
        self.put_object(Object::from_value(value).unwrap());
    }

    pub(super) fn put_object(&self, object: Object) {
        self.apply(Change::Put(Arc::new(object)));
    }
}

struct Shared(Arc<Fake>);

impl Backend for Shared {
    fn live(&self) -> &Live {
        &self.0.live
    }

    fn ask(&self, ask: evenkeel_core::Ask, user: String) -> Later<Result<evenkeel_core::Answer, AskError>> {
        let renewed = matches!(ask, evenkeel_core::Ask::RenewLeases { .. }).then(|| self.0.really(&ask));
        self.0.asked.lock().unwrap().push((ask, user));
        if let Some(renewed) = renewed {
            return Box::pin(async { Ok(renewed) });
        }
        let answer = self.0.answer.lock().unwrap().clone();
        Box::pin(async move { answer })
    }

    fn logs(&self, request: LogRequest) -> Later<Result<LogStream, StreamError>> {
        let text = format!("{} tail={:?}\n", request.container, request.tail);
        let stream = futures_util::stream::iter([Ok(text.into())]);
        Box::pin(async move { Ok(Box::pin(stream) as LogStream) })
    }

    fn open(&self, _: Arc<Object>, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        let (caller, node) = evenkeel_wire::stream::pair();
        match request {
            StreamRequest::Port(request) if request.port == REFUSED => {
                let error = StreamError::new(FailureKind::Refused, "nothing listens on port 9");
                return Box::pin(async move { Err(error) });
            }
            StreamRequest::Port(request) => self.0.ports.lock().unwrap().push((request, node)),
            StreamRequest::Exec(request) => self.0.commands.lock().unwrap().push((request, node)),
            other => panic!("no test asks for {other:?}"),
        }
        Box::pin(async move { Ok(caller) })
    }

    fn open_node(&self, node: Arc<str>, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        panic!("no test asks {node} for {request:?}")
    }

    fn usage(&self, node: Arc<str>, _: UsageRequest) -> Later<Result<NodeUsage, StreamError>> {
        let used = Used { cpu_nanocores: 250_000_000, memory_bytes: 64 << 20 };
        let answer = if &*node == "silent" {
            Err(StreamError::new(FailureKind::NodeAway, "its agent is not connected"))
        } else {
            Ok(NodeUsage { window_millis: 1000, node: used, containers: Vec::new() })
        };
        Box::pin(async move { answer })
    }

    fn audit(&self) -> Later<Result<Value, AskError>> {
        Box::pin(async { Ok(json!({"violations": []})) })
    }

    fn rebalance(&self, wish: Wish) -> Later<Result<Rebalance, AskError>> {
        let plan = evenkeel_core::scheduler::rebalance::plan(&self.0.world.lock().unwrap(), &wish, Time(0));
        Box::pin(async move { plan.map_err(AskError::Refused) })
    }

    fn snapshot(&self, _: SourceName, revision: String) -> Later<Result<Arc<evenkeel_model::Snapshot>, SnapshotError>> {
        Box::pin(async move { Err(SnapshotError::NotFound(format!("no revision {revision}"))) })
    }

    fn nudge(&self, source: &SourceName) {
        self.0.nudged.lock().unwrap().push(source.clone());
    }

    fn health(&self) -> Health {
        *self.0.health.lock().unwrap()
    }

    fn conditions(&self) -> Vec<ServerCondition> {
        vec![ServerCondition::new("BackedUp", false, "Failed", "no room")]
    }

    fn backup(&self) -> Later<Result<Download, BackupError>> {
        let (send, body) = tokio::sync::mpsc::channel(2);
        Box::pin(async move {
            for piece in ["a tar", " in pieces"] {
                send.send(Ok(piece.into())).await.unwrap();
            }
            Ok(Download { length: 15, name: "evenkeel-x.tar".into(), body })
        })
    }
}

/// Twenty minutes after the objects were made.
fn noon() -> Time {
    Time::parse_rfc3339("2026-01-01T12:20:00Z").unwrap()
}

/// The API over a fake, with keys.
pub(super) fn with_keys(fake: &Arc<Fake>, pki: &Arc<Pki>) -> Arc<Api> {
    let mut api = Api::new(Arc::new(Shared(fake.clone())), CancellationToken::new(), None).with_pki(pki.clone());
    api.now = noon;
    Arc::new(api)
}

/// The API over a fake, without its routes.
pub(super) fn bare(fake: &Arc<Fake>) -> Arc<Api> {
    let mut api = Api::new(Arc::new(Shared(fake.clone())), CancellationToken::new(), None);
    api.now = noon;
    Arc::new(api)
}

pub(super) fn api(fake: &Arc<Fake>) -> Router {
    router(bare(fake), None)
}

pub(super) fn admin() -> Client {
    Client(Some(Identity { user: "admin".into(), groups: vec![ADMINS.into()] }))
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

pub(super) async fn call(
    fake: &Arc<Fake>,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, String) {
    let (status, bytes) = sent(fake, method, uri, headers, body).await;
    (status, String::from_utf8(bytes).unwrap())
}

pub(super) async fn sent(
    fake: &Arc<Fake>,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(uri);
    for (k, v) in headers {
        request = request.header(*k, *v);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(admin());
    let response = api(fake).oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, bytes.to_vec())
}

pub(super) async fn get(fake: &Arc<Fake>, uri: &str) -> (StatusCode, Value) {
    let (status, text) = call(fake, "GET", uri, &[], "").await;
    (status, serde_json::from_str(&text).unwrap())
}

pub(super) fn pod(name: &str, phase: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": "00000000-0000-4000-8000-000000000001",
            "creationTimestamp": "2026-01-01T12:00:00Z", "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "web:1"}]},
        "status": {"phase": phase, "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "ready": true, "restartCount": 2, "image": "web:1", "imageID": "",
                "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T12:15:00Z"}}}]}})
}

fn pod_key() -> Key {
    Key::new(Kind::Pod, "shop", "web-1")
}

#[tokio::test]
async fn a_pod_is_evicted_and_deleted_as_kubectl_asks() {
    use evenkeel_core::{
        Answer, Ask,
        ask::{DeleteOptions, More, Propagation},
    };
    let fake = Fake::new();
    fake.put(pod("web-1", "Running"));
    *fake.answer.lock().unwrap() = Ok(Answer::Object(pod_key()));
    let path = "/api/v1/namespaces/shop/pods/web-1";
    let eviction = format!("{path}/eviction");
    let json = [("content-type", "application/json")];
    let body = r#"{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"web-1","namespace":"shop",
        "creationTimestamp":null},"deleteOptions":{"gracePeriodSeconds":7,"preconditions":{"uid":"00000000-0000-4000-8000-000000000001"}}}"#;
    let (status, text) = call(&fake, "POST", &eviction, &json, body).await;
    assert_eq!((status.as_u16(), text.contains(r#""status":"Success""#)), (201, true), "{text}");
    let old = r#"{"kind":"Eviction","apiVersion":"policy/v1beta1","metadata":{"name":"web-1"}}"#;
    assert_eq!(call(&fake, "POST", &eviction, &json, old).await.0, 201);
    let (status, text) =
        call(&fake, "DELETE", path, &json, r#"{"propagationPolicy":"Foreground","dryRun":["All"]}"#).await;
    assert_eq!(status, 200, "{text}");
    call(&fake, "DELETE", &format!("{path}?gracePeriodSeconds=0"), &[], "").await;
    let asked: Vec<Ask> = fake.asked.lock().unwrap().drain(..).map(|(a, _)| a).collect();
    let none = DeleteOptions::default;
    let uid = "00000000-0000-4000-8000-000000000001".parse().ok();
    assert_eq!(
        asked,
        [
            Ask::Evict { pod: pod_key(), options: DeleteOptions { grace_seconds: Some(7), if_uid: uid, ..none() } },
            Ask::Evict { pod: pod_key(), options: none() },
            Ask::DeletePod {
                pod: pod_key(),
                options: DeleteOptions { propagation: Propagation::Foreground, dry_run: true, ..none() },
            },
            Ask::DeletePod { pod: pod_key(), options: DeleteOptions { grace_seconds: Some(0), ..none() } },
        ]
    );
    for (method, uri, body, code, expected) in [
        ("POST", eviction.as_str(), r#"{"metadata":{"name":"other"}}"#, 400, "name in URL does not match"),
        ("POST", &eviction, r#"{"metadata":{"name":"web-1"},"force":true}"#, 400, "force"),
        ("POST", &eviction, r#"{"kind":"Pod","metadata":{"name":"web-1"}}"#, 400, "no Eviction of policy/v1"),
        ("DELETE", path, r#"{"propagationPolicy":"Later"}"#, 422, "propagationPolicy: Unsupported value"),
        (
            "DELETE",
            path,
            r#"{"orphanDependents":true,"propagationPolicy":"Orphan"}"#,
            422,
            "propagationPolicy: Invalid value",
        ),
        ("DELETE", path, r#"{"dryRun":["Some"]}"#, 422, "dryRun: Unsupported value"),
        ("DELETE", path, r#"{"preconditions":{"resourceVersion":"x"}}"#, 400, "preconditions.resourceVersion"),
        ("DELETE", path, r#"{"kind":"Pod","apiVersion":"v1"}"#, 400, "takes DeleteOptions"),
    ] {
        let (status, text) = call(&fake, method, uri, &json, body).await;
        assert_eq!((status.as_u16(), text.contains(expected)), (code, true), "{body}: {text}");
    }
    fake.asked.lock().unwrap().clear();
    call(&fake, "DELETE", path, &json, r#"{"preconditions":{"uid":"x"}}"#).await;
    let nobody = DeleteOptions { if_uid: Some(evenkeel_model::Uid(0)), ..none() };
    let asked: Vec<Ask> = fake.asked.lock().unwrap().drain(..).map(|(a, _)| a).collect();
    assert_eq!(asked, [Ask::DeletePod { pod: pod_key(), options: nobody }], "any text is a uid; this is nobody's");
    call(&fake, "DELETE", path, &json, r#"{"gracePeriodSeconds":-1,"orphanDependents":true}"#).await;
    let second = DeleteOptions { grace_seconds: Some(1), propagation: Propagation::Orphan, ..none() };
    let asked: Vec<Ask> = fake.asked.lock().unwrap().drain(..).map(|(a, _)| a).collect();
    assert_eq!(asked, [Ask::DeletePod { pod: pod_key(), options: second }], "less than nothing is one second");
    let why = "The disruption budget web needs 2 healthy pods and has 2 currently".to_owned();
    let refused = Refusal::new(429, "TooManyRequests", "Cannot evict pod").with(More::DisruptionBudget(why.clone()));
    *fake.answer.lock().unwrap() = Err(AskError::Refused(refused));
    let (status, text) = call(&fake, "POST", &eviction, &json, body).await;
    let refusal: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status.as_u16(), &refusal["reason"]), (429, &json!("TooManyRequests")));
    assert_eq!(refusal["details"]["causes"], json!([{"reason": "DisruptionBudget", "message": why}]));
}

/// A table as kubectl would print it with `-o wide`.
async fn table(fake: &Arc<Fake>, uri: &str) -> String {
    let (status, text) = call(fake, "GET", uri, &[("accept", TABLE)], "").await;
    assert_eq!(status, 200, "{text}");
    let table: Value = serde_json::from_str(&text).unwrap();
    let line = |cells: Vec<String>| cells.join(" | ");
    let header = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().into());
    let mut lines = vec![line(header.collect())];
    for row in table["rows"].as_array().unwrap() {
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), Into::into);
        lines.push(line(row["cells"].as_array().unwrap().iter().map(text).collect()));
    }
    lines.join("\n")
}

#[tokio::test]
async fn who_is_unknown_gets_nothing_but_health() {
    let fake = Fake::new();
    for (uri, code) in [("/livez", 200), ("/readyz", 200), ("/version", 401), ("/api/v1/pods", 401), ("/metrics", 401)]
    {
        let mut request = Request::get(uri).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Client(None));
        let response = api(&fake).oneshot(request).await.unwrap();
        assert_eq!(response.status(), code, "{uri}");
    }
    let mut request = Request::get("/api/v1/pods").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Client(Some(Identity { user: "eve".into(), groups: vec![] })));
    assert_eq!(api(&fake).oneshot(request).await.unwrap().status(), 403);
}

#[tokio::test]
async fn lists_select_and_come_in_pages_of_one_view() {
    let fake = Fake::new();
    for (name, phase) in [("a", "Running"), ("b", "Failed"), ("c", "Running")] {
        fake.put(pod(name, phase));
    }
    let names = |v: &Value| {
        let items = v["items"].as_array().unwrap().iter();
        items.map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
    };
    let (_, all) = get(&fake, "/api/v1/pods").await;
    assert_eq!((names(&all), all["metadata"]["resourceVersion"].as_str()), ("a,b,c".into(), Some("1003")));
    let (_, some) =
        get(&fake, "/api/v1/namespaces/shop/pods?fieldSelector=status.phase!=Failed&labelSelector=app%3Dweb").await;
    assert_eq!(names(&some), "a,c");
    assert_eq!(names(&get(&fake, "/api/v1/namespaces/other/pods").await.1), "");
    assert_eq!(get(&fake, "/api/v1/pods?fieldSelector=spec.x%3D1").await.0, 400);

    let router = api(&fake);
    let page = |uri: String| {
        let router = router.clone();
        async move {
            let mut request = Request::get(uri).body(Body::empty()).unwrap();
            request.extensions_mut().insert(admin());
            let response = router.oneshot(request).await.unwrap();
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            serde_json::from_slice::<Value>(&bytes).unwrap()
        }
    };
    let first = page("/api/v1/pods?limit=1".into()).await;
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), ("a".into(), &json!(2)));
    fake.apply(Change::Delete(Key::new(Kind::Pod, "shop", "c")));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = page(format!("/api/v1/pods?limit=5&continue={token}")).await;
    assert_eq!((names(&rest), rest["metadata"]["resourceVersion"].as_str()), ("b,c".into(), Some("1003")));
    assert!(rest["metadata"].get("continue").is_none());
    // Another server does not have that view.
    let (code, status) = get(&fake, &format!("/api/v1/pods?continue={token}")).await;
    assert_eq!((code.as_u16(), status["reason"].as_str()), (410, Some("Expired")));
    let token = status["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&get(&fake, &format!("/api/v1/pods?continue={token}")).await.1), "b");
}

#[tokio::test]
async fn a_watch_tells_every_change_once() {
    let fake = Fake::new();
    fake.put(pod("a", "Running"));
    let router = api(&fake);
    let mut request = Request::get(
        "/api/v1/pods?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&fieldSelector=status.phase%3DRunning",
    )
    .body(Body::empty())
    .unwrap();
    request.extensions_mut().insert(admin());
    let response = router.oneshot(request).await.unwrap();
    fake.put(pod("b", "Pending"));
    fake.put(pod("b", "Running"));
    fake.put(pod("a", "Failed"));
    fake.apply(Change::Delete(Key::new(Kind::Pod, "shop", "b")));
    fake.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop"}}));
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let lines: Vec<String> = String::from_utf8(bytes.to_vec())
        .unwrap()
        .lines()
        .map(|l| {
            let e: Value = serde_json::from_str(l).unwrap();
            let m = &e["object"]["metadata"];
            format!("{} {} {}", e["type"].as_str().unwrap(), m["name"], m["resourceVersion"])
        })
        .collect();
    let expected = [
        r#"ADDED "a" "1001""#,
        r#"ADDED "b" "1003""#,
        r#"DELETED "a" "1004""#,
        r#"DELETED "b" "1005""#,
        r#"BOOKMARK null "1006""#,
    ];
    assert_eq!(lines, expected);
    // As in Kubernetes: kube-rs asks on and on after an answer of 410.
    let (code, event) = get(&fake, "/api/v1/pods?watch=1&resourceVersion=5").await;
    assert_eq!((code.as_u16(), event["type"].as_str()), (200, Some("ERROR")));
    let status = &event["object"];
    assert_eq!(
        (&status["code"], &status["reason"], &status["kind"]),
        (&json!(410), &json!("Expired"), &json!("Status"))
    );
}

#[tokio::test]
async fn tables_have_the_columns_of_kubectl() {
    let fake = Fake::new();
    fake.put(pod("web-1", "Running"));
    let mut crash = pod("web-2", "Running");
    crash["status"]["containerStatuses"][0]["ready"] = json!(false);
    crash["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    fake.put(crash);
    fake.put(json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
        "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}}));
    fake.put(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web-5d", "namespace": "shop", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
        "status": {"replicas": 3, "readyReplicas": 2}}));
    fake.put(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"minAvailable": "50%", "selector": {}}, "status": {"disruptionsAllowed": 2}}));
    fake.put(json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1", "creationTimestamp": "2026-01-01T12:00:00Z", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.1.1.1"}],
            "nodeInfo": {"kubeletVersion": "v0.1.0", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "docker://24",
                "architecture": "amd64", "bootID": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "systemUUID": ""}}}));
    fake.put(json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": "YQ=="},
        "metadata": {"name": "key", "namespace": "shop", "creationTimestamp": "2026-01-01T12:00:00Z"}}));
    fake.put(json!({"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "BackOff", "message": "Back-off", "count": 4,
        "involvedObject": {"kind": "Pod", "name": "web-2", "namespace": "shop", "fieldPath": "spec.containers{web}"},
        "source": {"component": "agent", "host": "n1"},
        "firstTimestamp": "2026-01-01T12:01:00Z", "lastTimestamp": "2026-01-01T12:19:00Z",
        "metadata": {"name": "web-2.1", "namespace": "shop", "creationTimestamp": "2026-01-01T12:00:00Z"}}));
    fake.put(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source",
        "metadata": {"name": "shop", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"git": {"url": "https://git.example/shop"}},
        "status": {"appliedRevision": "main@sha1:0123456789012345678901234567890123456789",
            "conditions": [{"type": "Synced", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"},
                {"type": "Healthy", "status": "False", "reason": "CrashLoopBackOff", "message": "web crashes",
                    "lastTransitionTime": "2026-01-01T12:00:00Z"}]}}));
    fake.put(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": "shop-0123456789", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"source": "shop", "revision": "main@sha1:0123456789012345678901234567890123456789",
            "author": "Ann <ann@example>", "message": "Newer web"},
        "status": {"phase": "RolledBack", "cause": {"object": "Deployment shop/web", "container": "web",
            "reason": "CrashLoopBackOff", "message": "exit code 1"}}}));
    fake.put(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Drift",
        "metadata": {"name": "d1", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"source": "shop", "path": "containers[web]", "desired": "running", "live": "exited", "origin": {"node": "n1"},
            "object": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "00000000-0000-4000-8000-000000000001"}},
        "status": {"count": 1, "firstSeen": "2026-01-01T12:00:00Z", "lastSeen": "2026-01-01T12:10:00Z"}}));
    let mut all = Vec::new();
    for uri in [
        "/api/v1/pods",
        "/apis/apps/v1/deployments",
        "/apis/apps/v1/replicasets",
        "/apis/policy/v1/poddisruptionbudgets",
        "/api/v1/nodes",
        "/api/v1/namespaces/shop/secrets",
        "/api/v1/events",
        "/apis/evenkeel.dev/v1alpha1/sources",
        "/apis/evenkeel.dev/v1alpha1/releases",
        "/apis/evenkeel.dev/v1alpha1/drifts",
        "/api/v1/configmaps",
        "/api/v1/namespaces",
    ] {
        all.push(table(&fake, uri).await);
    }
    insta::assert_snapshot!(all.join("\n\n"));
}

#[tokio::test]
async fn discovery_in_both_forms_and_openapi() {
    let fake = Fake::new();
    let agg = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let (_, text) = call(&fake, "GET", "/apis", &[("accept", agg)], "").await;
    let aggregated: Value = serde_json::from_str(&text).unwrap();
    let items = aggregated["items"].as_array().unwrap();
    let of = |group: &str| items.iter().find(|i| i["metadata"]["name"] == group).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(of("apps")).unwrap());
    let (_, groups) = get(&fake, "/apis").await;
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().filter_map(|g| g["name"].as_str()).collect();
    let known = [
        "rbac.authorization.k8s.io",
        "apps",
        "policy",
        "discovery.k8s.io",
        "networking.k8s.io",
        "evenkeel.dev",
        "coordination.k8s.io",
    ];
    assert!(known.iter().all(|group| names.contains(group)), "{names:?}");
    assert_eq!(of("authorization.k8s.io")["versions"][0]["resources"][0]["scope"], "Namespaced");
    assert_eq!(of("coordination.k8s.io")["versions"][0]["resources"][0]["resource"], "leases");
    let (_, leases) = get(&fake, "/apis/coordination.k8s.io/v1").await;
    assert_eq!(leases["resources"][0]["verbs"].as_array().unwrap().len(), 8);
    let refused =
        call(&fake, "DELETE", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", &[], "").await;
    assert_eq!(refused.0, 405);
    let (_, pods) = get(&fake, "/api/v1").await;
    let resources = pods["resources"].as_array().unwrap();
    assert!(resources.iter().any(|r| r["name"] == "pods/log"));
    // By this row kubectl drain knows that it can evict.
    let eviction = resources.iter().find(|r| r["name"] == "pods/eviction").unwrap();
    assert_eq!((&eviction["group"], &eviction["version"]), (&json!("policy"), &json!("v1")));
    assert_eq!((&eviction["kind"], &eviction["verbs"]), (&json!("Eviction"), &json!(["create"])));
    let (_, index) = get(&fake, "/openapi/v3").await;
    let url = index["paths"]["apis/evenkeel.dev/v1alpha1"]["serverRelativeURL"].as_str().unwrap();
    let (code, document) = get(&fake, url).await;
    assert_eq!(code, 200);
    let patch = &document["paths"]["/apis/evenkeel.dev/v1alpha1/sources/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Source");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    assert_eq!(get(&fake, "/openapi/v3/apis/none/v1").await.0, 404);
}

#[tokio::test]
async fn failures_have_kubernetes_form() {
    let fake = Fake::new();
    let mut all = Vec::new();
    for (method, uri) in [
        ("GET", "/api/v1/namespaces/shop/pods/none"),
        ("GET", "/apis/evenkeel.dev/v1alpha1/sources/none"),
        ("GET", "/nothing"),
        ("POST", "/api/v1/namespaces/shop/pods"),
        ("DELETE", "/apis/apps/v1/namespaces/shop/deployments/web"),
        ("PATCH", "/api/v1/namespaces/shop/pods/web-1"),
        ("PATCH", "/apis/evenkeel.dev/v1alpha1/releases/x"),
        ("GET", "/apis/evenkeel.dev/v1alpha1/sources/x/sync"),
        ("PATCH", "/api/v1/nodes/n1"),
    ] {
        let (code, text) = call(&fake, method, uri, &[], "{}").await;
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["code"], code.as_u16());
        all.push(format!("{method} {uri}\n{text}"));
    }
    insta::assert_snapshot!(all.join("\n\n"));
}

#[tokio::test]
async fn a_source_is_created_changed_and_asked() {
    let fake = Fake::new();
    let source = |interval: &str| {
        json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": "shop"},
            "spec": {"directory": "/srv/shop", "interval": interval}})
    };
    fake.put(source("30s"));
    let key = Key::cluster(Kind::Source, "shop");
    *fake.answer.lock().unwrap() = Ok(evenkeel_core::Answer::Object(key));
    let base = "/apis/evenkeel.dev/v1alpha1/sources";
    let yaml = "metadata: {name: shop}\nspec: {directory: /srv/shop}\n";
    let (code, text) = call(&fake, "POST", base, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!(code, 201, "{text}");
    let merge = [("content-type", "application/merge-patch+json")];
    let (code, text) =
        call(&fake, "PATCH", &format!("{base}/shop"), &merge, r#"{"spec":{"interval":null,"suspend":true}}"#).await;
    assert_eq!(code, 200, "{text}");
    let (code, _) = call(&fake, "POST", &format!("{base}/shop/sync"), &[], r#"{"now":true}"#).await;
    assert_eq!(code, 200);
    let (code, _) = call(&fake, "POST", &format!("{base}/shop/rollback"), &[], r#"{"wrong":true}"#).await;
    assert_eq!(code, 400);
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    assert_eq!(call(&fake, "PATCH", &format!("{base}/shop"), &strategic, "{}").await.0, 415);
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
    assert_eq!(call(&fake, "POST", base, &protobuf, "k8s").await.0, 415);
    let asked = fake.asked.lock().unwrap();
    insta::assert_snapshot!(asked.iter().map(|(a, u)| format!("{u}: {a:?}")).collect::<Vec<_>>().join("\n"));
    assert_eq!(fake.nudged.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_backup_is_a_stream_of_known_length_and_the_server_speaks_of_itself() {
    let fake = Fake::new();
    let (code, text) = call(&fake, "GET", "/evenkeel/backup", &[], "").await;
    assert_eq!((code, text.as_str()), (StatusCode::OK, "a tar in pieces"));
    let (_, server) = get(&fake, "/evenkeel/server").await;
    let expected = json!([{"type": "BackedUp", "status": "False", "reason": "Failed", "message": "no room"}]);
    assert_eq!(server["conditions"], expected);
    let (code, _) = call(&fake, "POST", "/evenkeel/backup", &[], "").await;
    assert_eq!(code, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_log_names_its_container() {
    let fake = Fake::new();
    fake.put(pod("a", "Running"));
    let (code, text) = call(&fake, "GET", "/api/v1/namespaces/shop/pods/a/log?tailLines=5", &[], "").await;
    assert_eq!((code.as_u16(), text.as_str()), (200, "web tail=Some(5)\n"));
    let (code, text) = call(&fake, "GET", "/api/v1/namespaces/shop/pods/a/log?container=x", &[], "").await;
    assert_eq!(code, 400);
    assert!(text.contains("container x is not valid for pod a"), "{text}");
}

#[tokio::test]
async fn a_git_hook_is_believed_by_its_signature_alone() {
    let fake = Fake::new();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "hunter2\n").unwrap();
    for (name, secret) in [("open", None), ("shop", Some(file.to_str().unwrap()))] {
        let mut source = json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": name},
            "spec": {"git": {"url": "https://git.example/shop"}}});
        source["spec"]["webhookSecretFile"] = json!(secret);
        fake.put(source);
    }
    let token = |t: &'static str| [("x-gitlab-token", t)];
    assert_eq!(call(&fake, "POST", "/hooks/git/none", &token("hunter2"), "{}").await.0, 404);
    assert_eq!(call(&fake, "POST", "/hooks/git/open", &token("hunter2"), "{}").await.0, 404);
    assert_eq!(call(&fake, "POST", "/hooks/git/shop", &[], "{}").await.0, 401);
    assert_eq!(call(&fake, "POST", "/hooks/git/shop", &token("wrong"), "{}").await.0, 401);
    assert!(fake.nudged.lock().unwrap().is_empty());
    assert_eq!(call(&fake, "POST", "/hooks/git/shop", &token("hunter2"), "{}").await.0, 202);
    assert_eq!(fake.nudged.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_diff_parses_its_files_and_answers_with_the_plan() {
    let fake = Fake::new();
    fake.put(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": "shop"},
        "spec": {"directory": "/srv/shop"}}));
    let plan = evenkeel_core::ask::Plan {
        objects: vec![evenkeel_core::ask::PlannedObject {
            key: Key::new(Kind::ConfigMap, "shop", "a"),
            before: None,
            after: Some(json!({"data": {"a": "b"}})),
            placement: Vec::new(),
        }],
        ..Default::default()
    };
    *fake.answer.lock().unwrap() = Ok(evenkeel_core::Answer::Plan(plan));
    let uri = "/apis/evenkeel.dev/v1alpha1/sources/shop/diff";
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\ndata: {a: b}\n";
    let body = |text: &str| json!({"files": [{"path": "a.yaml", "text": text}]}).to_string();
    let (code, text) = call(&fake, "POST", uri, &[], &body(good)).await;
    assert_eq!(code, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["objects"][0]["object"], &answer["rejected"]), (&json!("ConfigMap shop/a"), &json!(false)));
    // What does not parse is a rejected plan, and the conductor is not asked.
    let (code, text) = call(&fake, "POST", uri, &[], &body(&good.replace("\ndata", "\ndota"))).await;
    assert_eq!(code, 200);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["rejected"], json!(true));
    assert!(answer["diagnostics"][0].as_str().unwrap().starts_with("a.yaml:4:"), "{text}");
    assert_eq!(fake.asked.lock().unwrap().len(), 1);
    assert_eq!(call(&fake, "POST", uri, &[], "{}").await.0, 400);
    assert_eq!(call(&fake, "POST", uri, &[], r#"{"revision":"x"}"#).await.0, 404);
}

#[tokio::test]
async fn a_delete_checks_its_preconditions() {
    let fake = Fake::new();
    fake.put(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source",
        "metadata": {"name": "shop", "uid": "00000000-0000-4000-8000-000000000001"}, "spec": {"directory": "/srv/shop"}}));
    let object = fake.live.view().get(&Key::cluster(Kind::Source, "shop")).unwrap().clone();
    *fake.answer.lock().unwrap() = Ok(evenkeel_core::Answer::Deleted(object));
    let uri = "/apis/evenkeel.dev/v1alpha1/sources/shop";
    let other = r#"{"preconditions":{"uid":"00000000-0000-4000-8000-000000000002"}}"#;
    assert_eq!(call(&fake, "DELETE", uri, &[], other).await.0, 409);
    // A uid is any text: one that is no UUID is another's, too.
    assert_eq!(call(&fake, "DELETE", uri, &[], r#"{"preconditions":{"uid":"x"}}"#).await.0, 409);
    let (code, text) = call(&fake, "DELETE", uri, &[], r#"{"propagationPolicy":"Background"}"#).await;
    assert_eq!(code, 200);
    assert!(text.contains(r#""status":"Success""#), "{text}");
    let busy = [(AskError::Busy, 429), (AskError::DiskFull, 507), (AskError::Stopped, 503), (AskError::Panicked, 500)];
    for (error, expected) in busy {
        *fake.answer.lock().unwrap() = Err(error);
        assert_eq!(call(&fake, "DELETE", uri, &[], "").await.0, expected);
    }
    let large = "x".repeat((3 << 20) + 1);
    assert_eq!(call(&fake, "POST", "/apis/evenkeel.dev/v1alpha1/sources", &[], &large).await.0, 413);
}

/// Asks over TLS with the certificate of the kubeconfig, or none; gives the answer's first line.
async fn over_tls(address: std::net::SocketAddr, config: rustls::ClientConfig) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    tls.write_all(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn the_certificate_of_the_kubeconfig_opens_the_door() {
    use base64::Engine as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let dir = tempfile::tempdir().unwrap();
    let pki = crate::pki::Pki::open(dir.path()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let path = pki.admin_kubeconfig(dir.path(), &format!("https://{address}")).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.trim().strip_prefix(name)).unwrap();
        base64::engine::general_purpose::STANDARD.decode(line.trim_start_matches(':').trim()).unwrap()
    };
    let api = Arc::new(Api::new(Arc::new(Shared(Fake::new())), CancellationToken::new(), None));
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(api, None, listener, pki.server_config(&[]).unwrap(), stop.clone()));
    let client = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&field("certificate-authority-data")).unwrap()).unwrap();
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    };
    let certificate = CertificateDer::from_pem_slice(&field("client-certificate-data")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&field("client-key-data")).unwrap();
    let known = client().with_client_auth_cert(vec![certificate], key).unwrap();
    assert_eq!(over_tls(address, known).await, "HTTP/1.1 200 OK");
    assert_eq!(over_tls(address, client().with_no_client_auth()).await, "HTTP/1.1 401 Unauthorized");
    stop.cancel();
    server.await.unwrap();
}
