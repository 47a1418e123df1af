//! The state of older agents, as samples that were committed: this version reads it, finds what runs
//! by it, and touches none of that.
//!
//! A sample is an agent's folder, and `engine.json`: what the engine had at that time, with the
//! labels and hashes of that version.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use evenkeel_model::{Content, Digest, Time, Uid, Version};
use evenkeel_runtime::ContainerInfo;
use evenkeel_wire::{Assignment, NodeReport, PodContent, PodOrder, SourceCopy, ToAgent, ToServer};
use serde_json::{Value, json};

use super::journal::JournalStore;
use crate::{
    logic::settings::{Config, Settings},
    sim::{Conduct, Program, SimClock, SimNode, SimRegistry},
};

const THEN: Time = Time(1_790_000_000_000);
const EPOCH: u64 = 7;
const CONTAINERS: &str = "engine.json";

/// The folder of a format's sample.
fn folder(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/v{format}"))
}

fn order(n: u128, spec: &Value, contents: Vec<PodContent>) -> PodOrder {
    let name = format!("web-{n}");
    PodOrder {
        uid: Uid(n),
        namespace: "shop".into(),
        name: name.as_str().into(),
        version: Version(3),
        pod: json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop",
            "uid": Uid(n).to_string(), "labels": {"app": "web"}}, "spec": spec}),
        deletion: None,
        contents,
        image_ids: std::collections::BTreeMap::new(),
        // The second one's drift is left for people.
        self_heal: n != 2,
    }
}

/// A pod with an init container, probes, limits and a Secret; one with a drift; one that has ended.
fn orders() -> Vec<PodOrder> {
    let data = [("password".to_owned(), Arc::from(&b"of-the-shop"[..]))].into();
    let secret = PodContent {
        secret: true,
        name: "db".into(),
        secret_type: "Opaque".into(),
        digest: Digest([3; 32]),
        content: Arc::new(Content { secret: true, data }),
    };
    let whole = json!({
        "initContainers": [{"name": "init", "image": "once"}],
        "containers": [
            {"name": "web", "image": "good", "args": ["--port", "80"], "resources": {"limits": {"memory": "64Mi"}},
             "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
             "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1},
             "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 5}},
            {"name": "side", "image": "good"}]});
    let ended = json!({"restartPolicy": "Never", "containers": [{"name": "web", "image": "once"}]});
    let plain = json!({"containers": [{"name": "web", "image": "good"}]});
    vec![order(1, &whole, vec![secret]), order(2, &plain, Vec::new()), order(3, &ended, Vec::new())]
}

/// A copy of a source with a pin and a quarantine.
fn sources() -> Arc<[SourceCopy]> {
    let digest = Digest([4; 32]);
    let revision = format!("main@sha1:{}", "a".repeat(40));
    let status = json!({"appliedRevision": revision, "appliedDigest": digest,
        "pinned": {"revision": revision, "by": "admin", "reason": "the newer one is ugly", "since": THEN},
        "quarantined": [{"digest": digest, "revision": revision, "since": THEN}]});
    let spec = json!({"git": {"url": "https://git.example/shop.git"}});
    let (spec, status) = (serde_json::from_value(spec).unwrap(), serde_json::from_value(status).unwrap());
    Arc::from([SourceCopy { name: "shop".into(), version: Version(8), spec, status }])
}

fn registry() -> SimRegistry {
    let mut registry = SimRegistry::new();
    registry.push("good", Program::good());
    registry.push("once", Program::ends(Duration::from_secs(1), 0));
    registry
}

fn node(now: Time) -> SimNode {
    let config = Config { node: "n1".into(), cluster: "c1".into(), node_ip: None, settings: Settings::default() };
    SimNode::new(config, NodeReport::default(), 5, Conduct::default(), SimClock::new(now, 0))
}

/// A session in which the server says what it said before. Gives the hello's epoch and sources.
fn session(node: &mut SimNode, now: Time, epoch: u64) -> (u64, Vec<SourceCopy>) {
    let hello = node.open_session(now).unwrap();
    let pods = orders().into_iter().map(Arc::new).collect();
    let said = (hello.epoch, hello.sources);
    let assignment = Assignment {
        epoch,
        session: hello.session,
        seq: 0,
        full: true,
        pods,
        forget: Vec::new(),
        keep_images: None,
        recovering: false,
    };
    node.receive(now, ToAgent::Assign(Arc::new(assignment)));
    said
}

fn engine(node: &SimNode) -> Vec<ContainerInfo> {
    node.runtime.containers().map(|c| c.info.clone()).collect()
}

/// All but the sandbox of the pod that has ended, whose time is over at some moment.
fn live(mut all: Vec<ContainerInfo>) -> Vec<ContainerInfo> {
    all.retain(|c| !c.name.starts_with("ek_sandbox_web-3_"));
    all
}

/// Made once for each format, with `EVENKEEL_WRITE_SAMPLE=1`, by the version that had it; never again.
fn write_the_sample(to: &Path) {
    let (mut node, registry) = (node(THEN), registry());
    node.start(THEN);
    session(&mut node, THEN, EPOCH);
    node.receive(THEN, ToAgent::Sources(sources()));
    let up = THEN + Duration::from_secs(20);
    node.run_until(up, &registry);
    let drifting = engine(&node).into_iter().find(|c| c.name.contains("web-2") && c.joins.is_some()).unwrap();
    node.runtime.pause(up, &drifting.id);
    node.run_until(up + Duration::from_secs(10), &registry);
    let store = JournalStore::open(to).unwrap();
    let journal = node.journal();
    store.persist_agent(&journal.agent).unwrap();
    for pod in &journal.pods {
        store.persist(pod).unwrap();
    }
    drop(store);
    fs::remove_file(to.join("agent.lock")).unwrap();
    fs::write(to.join(CONTAINERS), serde_json::to_vec_pretty(&engine(&node)).unwrap()).unwrap();
}

/// The sample's folder as a copy: reading takes a lock, and what is damaged is set aside.
fn copied(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    for folder in ["", "journal"] {
        for entry in fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), dir.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    dir
}

#[test]
fn an_agent_of_today_touches_nothing_that_one_of_format_1_left() {
    let sample = folder(1);
    if std::env::var_os("EVENKEEL_WRITE_SAMPLE").is_some() {
        write_the_sample(&sample);
    }
    let dir = copied(&sample);
    let journal = JournalStore::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(journal.pods.len(), 3, "none was set aside");
    let infos: Vec<ContainerInfo> = serde_json::from_slice(&fs::read(sample.join(CONTAINERS)).unwrap()).unwrap();
    let now = THEN + Duration::from_hours(1);
    // The server goes on, then one whose store is new: its word is another epoch's.
    for epoch in [EPOCH, EPOCH + 1] {
        let (mut node, registry) = (node(now), registry());
        node.put_journal(journal.clone());
        for info in &infos {
            node.runtime.put(now, info.clone());
        }
        let before = engine(&node);
        node.start(now);
        assert_eq!(session(&mut node, now, epoch), (EPOCH, sources().to_vec()));
        node.run_until(now + Duration::from_mins(5), &registry);
        assert_eq!(live(engine(&node)), live(before.clone()), "a container was touched");
        let stops = node.runtime.take_stops();
        assert!(stops.iter().all(|stop| stop.pod == Uid(3).to_string()), "{stops:?}");
        assert!(node.runtime.violations.is_empty());
        let Some(ToServer::Report { report, .. }) = node.take_report() else { panic!("it says nothing") };
        let told = |n: u128| -> Value {
            let pod = report.pods.iter().find(|p| p.uid == Uid(n)).unwrap();
            serde_json::from_slice(&pod.status).unwrap()
        };
        let (whole, drifting, ended) = (told(1), told(2), told(3));
        for container in whole["containerStatuses"].as_array().unwrap() {
            assert!(container["ready"] == true && container["restartCount"] == 0, "{whole:#}");
        }
        assert_eq!(ended["phase"], "Succeeded", "{ended:#}");
        assert_eq!(drifting["containerStatuses"][0]["restartCount"], 0, "{drifting:#}");
    }
}
