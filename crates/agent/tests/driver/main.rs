//! The driver with the real logic on the real Docker engine of this machine, against a server that
//! is this test. A missing engine is a failure. Each test has a cluster of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod commands;
mod network;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use evenkeel_agent::tokens::TokenSource;
use evenkeel_agent::{
    driver::{self, Choice, DEFAULT_MAX_PODS, DialError, Dialing, DriverConfig, NetHandle, NodeSettings, Streams},
    logic::{
        capacity::Reserved,
        settings::{Config, Settings},
    },
};
use evenkeel_model::{Content, Digest, Uid, Version, meta::Deletion};
use evenkeel_runtime::{Docker, Runtime, docker::DEFAULT_SOCKET};
use evenkeel_wire::{
    Assignment, ContainerDrift, DriftAction, PodContent, PodOrder, PodReport, ToAgent, ToServer,
    local::{ServerEnd, pair},
    stream::{FailureKind, LogsRequest, StreamOutput, StreamRequest},
};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

const IMAGE: &str = "evenkeel.test/driver:1";
/// The same for another architecture.
const FOREIGN: &str = "evenkeel.test/driver-foreign:1";

fn docker() -> Docker {
    let address = std::env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT_SOCKET.into());
    Docker::new(&address).unwrap()
}

/// Builds the runtime's test program and loads an image of it once.
async fn image() -> &'static str {
    static LOADED: OnceCell<()> = OnceCell::const_new();
    LOADED
        .get_or_init(|| async {
            let dir = tempfile::tempdir().unwrap();
            let binary = dir.path().join("program");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/program.c");
            assert!(
                Command::new("gcc").args(["-O1", "-static", "-o"]).arg(&binary).arg(source).status().unwrap().success()
            );
            let program = std::fs::read(&binary).unwrap();
            let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
            load(IMAGE, arch, &program).await;
            // What no machine of today is, and no emulator is set up for.
            load(FOREIGN, "sparc64", &program).await;
        })
        .await;
    IMAGE
}

/// Loads an image with one program, made for an architecture.
async fn load(tag: &str, arch: &str, program: &[u8]) {
    let layer = archive(&[("program", 0o755, program)]);
    let digest = Digest::of(&layer);
    let config = format!(
        r#"{{"architecture":"{arch}","os":"linux","config":{{"Entrypoint":["/program"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    let name = format!("{}.json", Digest::of(config.as_bytes()));
    let manifest = format!(r#"[{{"Config":"{name}","RepoTags":["{tag}"],"Layers":["layer.tar"]}}]"#);
    let tar = archive(&[
        (&name, 0o644, config.as_bytes()),
        ("layer.tar", 0o644, &layer),
        ("manifest.json", 0o644, manifest.as_bytes()),
    ]);
    docker().load_images(Bytes::from(tar)).await.unwrap();
}

fn archive(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An agent under test, and its server.
struct Lab {
    dir: tempfile::TempDir,
    cluster: String,
    stop: CancellationToken,
    agent: Option<tokio::task::JoinHandle<Result<(), driver::DriverError>>>,
    sessions: mpsc::UnboundedReceiver<ServerEnd>,
    server: Option<ServerEnd>,
    session: u64,
    seq: u64,
    network: Choice,
    pods: BTreeMap<Uid, PodReport>,
    drifts: Vec<ContainerDrift>,
}

impl Lab {
    async fn new() -> Self {
        Self::on(Choice::Engine).await
    }

    async fn on(network: Choice) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        image().await;
        // The nftables table of a cluster has its name from the first eight characters: all tests run at once
        // in one network.
        let cluster = format!("{:06x}{:02x}-test", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut lab = Self {
            dir: tempfile::tempdir().unwrap(),
            cluster,
            stop: CancellationToken::new(),
            agent: None,
            sessions: mpsc::unbounded_channel().1,
            server: None,
            session: 0,
            seq: 0,
            network,
            pods: BTreeMap::new(),
            drifts: Vec::new(),
        };
        lab.begin().await;
        lab
    }

    async fn begin(&mut self) {
        let (send, sessions) = mpsc::unbounded_channel();
        let dial = move || -> Dialing {
            let (agent, server) = pair();
            let taken = send.send(server).map_err(|_| DialError("the test is over".into()));
            Box::pin(std::future::ready(taken.map(|()| agent)))
        };
        let config = DriverConfig {
            net: NetHandle::default(),
            logic: Config {
                node: "n1".into(),
                cluster: self.cluster.clone(),
                node_ip: None,
                settings: Settings { crash_first: Duration::from_millis(300), ..Settings::default() },
            },
            node: NodeSettings {
                name: "n1".into(),
                labels: BTreeMap::new(),
                taints: Vec::new(),
                ip: None,
                max_pods: DEFAULT_MAX_PODS,
                reserved: Reserved::default(),
            },
            dir: self.dir.path().join("agent"),
            network: self.network,
            engine_elsewhere: false,
            ingress: None,
        };
        self.stop = CancellationToken::new();
        self.agent = Some(tokio::spawn(driver::run(
            Arc::new(docker()),
            config,
            dial,
            TokenSource::default(),
            self.stop.clone(),
        )));
        self.sessions = sessions;
        self.server = self.sessions.recv().await;
        self.seq = 0;
        match self.hear().await {
            ToServer::Hello(hello) => {
                assert_eq!(&*hello.node, "n1");
                self.session = hello.session;
            }
            other @ ToServer::Report { .. } => panic!("{other:?}"),
        }
    }

    /// Stops the agent; containers run on.
    async fn stop(&mut self) {
        self.stop.cancel();
        self.agent.take().unwrap().await.unwrap().unwrap();
        self.pods.clear();
        self.drifts.clear();
    }

    async fn hear(&mut self) -> ToServer {
        let server = self.server.as_mut().unwrap();
        tokio::time::timeout(Duration::from_secs(30), server.recv.recv()).await.expect("a message in time").unwrap()
    }

    async fn assign(&mut self, pods: Vec<PodOrder>, full: bool, forget: Vec<Uid>) {
        self.seq += 1;
        let assignment = Assignment {
            epoch: 1,
            session: self.session,
            seq: self.seq,
            full,
            pods: pods.into_iter().map(Arc::new).collect(),
            forget,
            keep_images: None,
            recovering: false,
        };
        self.server.as_ref().unwrap().send.send(ToAgent::Assign(Arc::new(assignment))).await.unwrap();
    }

    /// Takes reports until the condition holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_secs(40), "{what}: {:#?} {:?}", self.statuses(), self.drifts);
            if let ToServer::Report { report, .. } = self.hear().await {
                for pod in report.pods {
                    self.pods.insert(pod.uid, pod);
                }
                self.drifts.extend(report.drifts);
            }
        }
    }

    fn statuses(&self) -> Vec<Value> {
        self.pods.values().map(|p| serde_json::from_slice(&p.status).unwrap()).collect()
    }

    fn status(&self, pod: Uid) -> Value {
        self.pods.get(&pod).map_or(Value::Null, |p| serde_json::from_slice(&p.status).unwrap())
    }

    fn container(&self, pod: Uid) -> Value {
        self.status(pod)["containerStatuses"][0].clone()
    }

    fn ready(&self, pod: Uid) -> bool {
        self.container(pod)["ready"] == true
    }

    async fn ids(&self, pod: Uid) -> Vec<String> {
        let selector = [("evenkeel.dev/pod-uid".to_owned(), pod.to_string())];
        let mut all = docker().list(&selector).await.unwrap();
        all.retain(|c| c.state.is_alive());
        all.into_iter().map(|c| c.id.0).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
        let script =
            format!("docker ps -aq --filter label=evenkeel.dev/cluster={} | xargs -r docker rm -f", self.cluster);
        let _ = Command::new("sh").args(["-c", &script]).output();
        // Nothing of a network stays either; where none was made this does nothing.
        let agent = self.dir.path().join("agent");
        let clear = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(evenkeel_net::plane::down(&agent))
        };
        if let Ok(Err(error)) = std::thread::spawn(clear).join() {
            eprintln!("something of the network stays: {error}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let dir = self.dir.path().to_string_lossy().into_owned();
        for point in mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|p| p.starts_with(&dir)) {
            let _ = Command::new("umount").arg(point).output();
        }
    }
}

fn uid(n: u128) -> Uid {
    Uid((u128::from(std::process::id()) << 64) | n)
}

fn order(uid: Uid, name: &str, spec: Value, contents: Vec<PodContent>) -> PodOrder {
    let mut spec = spec;
    spec["terminationGracePeriodSeconds"] = json!(5);
    PodOrder {
        uid,
        namespace: "shop".into(),
        name: name.into(),
        version: Version(1),
        pod: json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "shop", "uid": uid.to_string() },
            "spec": spec,
        }),
        deletion: None,
        contents,
        image_ids: BTreeMap::new(),
        self_heal: true,
    }
}

fn secret(name: &str, key: &str, value: &str) -> PodContent {
    let content = Content { secret: true, data: BTreeMap::from([(key.to_owned(), Arc::from(value.as_bytes()))]) };
    PodContent {
        secret: true,
        name: name.into(),
        secret_type: "Opaque".into(),
        digest: content.digest(&[0; 32]),
        content: Arc::new(content),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_lives_heals_survives_its_agent_and_goes() {
    let mut lab = Lab::new().await;
    let uid = uid(1);
    let spec = json!({
        "containers": [{
            "name": "web", "image": IMAGE, "args": ["serve", "8080"], "imagePullPolicy": "Never",
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "volumeMounts": [{ "name": "key", "mountPath": "/key" }, { "name": "tmp", "mountPath": "/scratch", "subPath": "a" }],
            "readinessProbe": { "httpGet": { "path": "/", "port": "http" }, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3, "successThreshold": 1 },
            "livenessProbe": { "exec": { "command": ["/program", "cat", "/key/word"] }, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3, "successThreshold": 1 },
            "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } }
        }],
        "volumes": [{ "name": "key", "secret": { "secretName": "s" } }, { "name": "tmp", "emptyDir": {} }],
        "restartPolicy": "Always"
    });
    let pod = order(uid, "web-1", spec, vec![secret("s", "word", "sesame-open")]);
    lab.assign(vec![pod.clone()], true, vec![]).await;
    lab.until("ready", |l| l.ready(uid)).await;
    assert_eq!(lab.status(uid)["phase"], "Running");
    assert!(lab.status(uid)["podIP"].as_str().is_some());
    let before = lab.ids(uid).await;
    assert_eq!(before.len(), 2);

    // Someone kills it: it runs again, and the drift is told within a second.
    let id = lab.container(uid)["containerID"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(Command::new("docker").args(["kill", &id]).output().unwrap().status.success());
    let killed = Instant::now();
    lab.until("a drift", |l| l.drifts.iter().any(|d| d.action == DriftAction::Killed)).await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    lab.until("running again", |l| l.ready(uid) && l.container(uid)["restartCount"] == 1).await;

    // The agent goes and comes: nothing is touched.
    let ids = lab.ids(uid).await;
    lab.stop().await;
    assert_eq!(lab.ids(uid).await, ids);
    lab.begin().await;
    lab.assign(vec![pod.clone()], true, vec![]).await;
    lab.until("adopted", |l| l.ready(uid)).await;
    assert_eq!(lab.ids(uid).await, ids);
    assert_eq!(lab.container(uid)["restartCount"], 1);

    // Its log is there for readers.
    let streams = Streams::new(Arc::new(docker()), lab.cluster.clone(), NetHandle::default());
    let request = LogsRequest { pod: uid, container: "web".into(), ..Default::default() };
    let mut log = streams.open(StreamRequest::Logs(request.clone()));
    assert_eq!(log.recv.recv().await, Some(StreamOutput::Opened));
    assert_eq!(log.recv.recv().await, Some(StreamOutput::Ended { exit_code: 0 }));
    assert_eq!(log.recv.recv().await, None);
    let other = LogsRequest { container: "nope".into(), ..request };
    let mut log = streams.open(StreamRequest::Logs(other));
    let said = log.recv.recv().await;
    assert!(matches!(&said, Some(StreamOutput::Failed(e)) if e.kind == FailureKind::NotFound), "{said:?}");

    commands::run(&streams, uid).await;

    let mut end = pod;
    end.deletion = Some(Deletion { at: evenkeel_model::Time(0), grace_seconds: 5 });
    lab.assign(vec![end], false, vec![]).await;
    lab.until("gone", |l| l.pods.get(&uid).is_some_and(|p| p.gone)).await;
    assert!(lab.ids(uid).await.is_empty());
    lab.assign(vec![], false, vec![uid]).await;
    let pods = lab.dir.path().join("agent/pods").join(uid.to_string());
    let journal = lab.dir.path().join("agent/journal").join(uid.to_string());
    for _ in 0..100 {
        if !pods.exists() && !journal.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!pods.exists() && !journal.exists());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_their_reasons() {
    let mut lab = Lab::new().await;
    let container = |image: &str, args: Value, command: Value, policy: &str| {
        json!({ "restartPolicy": "Always", "containers": [{
            "name": "c", "image": image, "args": args, "command": command, "imagePullPolicy": policy }] })
    };
    let never = json!([]);
    let pods = vec![
        order(uid(11), "crash", container(IMAGE, json!(["fail"]), never.clone(), "Never"), vec![]),
        order(uid(16), "foreign", container(FOREIGN, json!(["serve", "1"]), never.clone(), "Never"), vec![]),
        order(uid(12), "nocmd", container(IMAGE, json!([]), json!(["/no/such"]), "Never"), vec![]),
        order(uid(13), "never", container("evenkeel.test/none:1", json!([]), never.clone(), "Never"), vec![]),
        // Nothing listens on the discard port of this machine.
        order(uid(14), "away", container("127.0.0.1:9/none:1", json!([]), never, "Always"), vec![]),
    ];
    lab.assign(pods, true, vec![]).await;
    let waiting =
        |l: &Lab, n| l.container(uid(n))["state"]["waiting"]["reason"].as_str().unwrap_or_default().to_owned();
    lab.until("a crash loop", |l| waiting(l, 11) == "CrashLoopBackOff").await;
    lab.until("no command", |l| waiting(l, 12) == "RunContainerError").await;
    lab.until("never pulled", |l| waiting(l, 13) == "ErrImageNeverPull").await;
    lab.until("no registry", |l| ["RegistryUnavailable", "ImagePullBackOff"].contains(&waiting(l, 14).as_str())).await;
    lab.until("another architecture", |l| ["ErrImagePull", "ImagePullBackOff"].contains(&waiting(l, 16).as_str()))
        .await;
    let message = lab.container(uid(16))["state"]["waiting"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("linux/sparc64") && message.contains("exec format error"), "{message}");
    let last = lab.container(uid(11))["lastState"]["terminated"].clone();
    assert_eq!((&last["exitCode"], &last["message"]), (&json!(3), &json!("told at the end")), "{last}");
    lab.until("last words", |l| {
        l.pods.get(&uid(11)).is_some_and(|p| p.logs.get("c").is_some_and(|lines| lines == &["last words"]))
    })
    .await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_engine_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let (send, mut sessions) = mpsc::unbounded_channel();
    let dial = move || -> Dialing {
        let (agent, server) = pair();
        let taken = send.send(server).map_err(|_| DialError("the test is over".into()));
        Box::pin(std::future::ready(taken.map(|()| agent)))
    };
    let config = DriverConfig {
        net: NetHandle::default(),
        logic: Config { node: "n2".into(), cluster: "none".into(), node_ip: None, settings: Settings::default() },
        node: NodeSettings {
            name: "n2".into(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            ip: None,
            max_pods: 5,
            reserved: Reserved::default(),
        },
        dir: dir.path().to_owned(),
        network: Choice::Engine,
        engine_elsewhere: false,
        ingress: None,
    };
    let runtime = Arc::new(Docker::new("/nonexistent/docker.sock").unwrap());
    let agent = tokio::spawn(driver::run(runtime, config, dial, TokenSource::default(), stop.clone()));
    let mut server = sessions.recv().await.unwrap();
    let not_ready = async {
        loop {
            let node = match server.recv.recv().await.unwrap() {
                ToServer::Hello(hello) => Some(hello.report),
                ToServer::Report { report, .. } => report.node,
            };
            if let Some(reason) = node.and_then(|n| n.not_ready) {
                return reason;
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(10), not_ready).await.unwrap();
    assert!(reason.contains("unavailable"), "{reason}");
    stop.cancel();
    agent.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn down_takes_everything_away_and_nothing_else() {
    let mut lab = Lab::new().await;
    let uid = uid(21);
    let spec = json!({
        "containers": [{ "name": "c", "image": IMAGE, "imagePullPolicy": "Never",
            "volumeMounts": [{ "name": "key", "mountPath": "/key" }] }],
        "volumes": [{ "name": "key", "secret": { "secretName": "s" } }],
        "restartPolicy": "Always"
    });
    lab.assign(vec![order(uid, "p", spec, vec![secret("s", "k", "sesame-open")])], true, vec![]).await;
    lab.until("ready", |l| l.ready(uid)).await;
    let dir = lab.dir.path().join("agent");
    let running = driver::down(Arc::new(docker()), &lab.cluster, &dir).await;
    assert!(matches!(running, Err(driver::DownError::Journal(_))), "an agent runs: {running:?}");
    lab.stop().await;

    // Somebody's own container with copied labels.
    let label = format!("evenkeel.dev/cluster={}", lab.cluster);
    let name = format!("own-{}", lab.cluster);
    let pod = format!("evenkeel.dev/pod-uid={uid}");
    let made =
        Command::new("docker").args(["create", "--name", &name, "--label", &label, "--label", &pod, IMAGE]).output();
    assert!(made.unwrap().status.success());

    let removed = driver::down(Arc::new(docker()), &lab.cluster, &dir).await.unwrap();
    assert_eq!(removed, driver::Removed { containers: 1, sandboxes: 1, foreign: 1 });
    assert!(lab.ids(uid).await.is_empty());
    assert!(!dir.join("pods").join(uid.to_string()).exists());
    assert!(!dir.join("journal").join(uid.to_string()).exists());
    let again = driver::down(Arc::new(docker()), &lab.cluster, &dir).await.unwrap();
    assert_eq!(again, driver::Removed { foreign: 1, ..driver::Removed::default() });
}
