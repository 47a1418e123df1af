//! The pod machine as a whole, over the simulated engine: tables of situations, and random ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use evenkeel_model::{
    Content, Rng, Time, Uid, Version,
    meta::Deletion,
    podstatus::{crashes, disturbed_parse, failed_starts_parse},
};
use evenkeel_runtime::{ContainerId, Resources};
use evenkeel_wire::{Assignment, DriftAction, NodeReport, PodContent, PodOrder, Report, ToAgent, ToServer};
use proptest::prelude::*;
use serde_json::{Value, json};

mod clock;
mod ephemeral;
mod happened;
mod listing;
mod orphans;

use super::{
    command::Input,
    settings::{Config, Settings},
};
use crate::sim::{Conduct, Program, SimClock, SimNode, SimRegistry};

const SECOND: i64 = 1000;

struct Lab {
    node: SimNode,
    registry: SimRegistry,
    now: Time,
    session: u64,
    seq: u64,
    epoch: u64,
    status: BTreeMap<Uid, Value>,
    gone: Vec<Uid>,
    logs: BTreeMap<Uid, BTreeMap<String, Vec<String>>>,
    drifts: Vec<evenkeel_wire::ContainerDrift>,
    events: Vec<evenkeel_wire::PodEvent>,
}

fn uid(n: u128) -> Uid {
    Uid(n)
}

#[allow(clippy::needless_pass_by_value)] // so that tests read well
fn order(n: u128, spec: Value) -> PodOrder {
    PodOrder {
        uid: uid(n),
        namespace: "shop".into(),
        name: format!("web-{n}").into(),
        version: Version(1),
        pod: json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("web-{n}"), "namespace": "shop",
            "uid": uid(n).to_string(), "labels": {"app": "web"}}, "spec": spec}),
        deletion: None,
        contents: Vec::new(),
        image_ids: BTreeMap::new(),
        self_heal: true,
    }
}

fn one(image: &str) -> Value {
    json!({"containers": [{"name": "web", "image": image}]})
}

impl Lab {
    fn new(seed: u64) -> Self {
        let config = Config {
            node: "n1".into(),
            cluster: "c1".into(),
            node_ip: Some("192.0.2.1".parse().unwrap()),
            settings: Settings::default(),
        };
        let mut registry = SimRegistry::new();
        registry.push("good", Program::good());
        registry.push("crash", Program::ends(Duration::from_millis(500), 1));
        registry.push("deaf", Program { stops_after: None, ..Program::good() });
        registry.push("unready", Program::never_ready());
        registry.push("nocmd", Program::cannot_start());
        registry.push("nocreate", Program::cannot_create());
        registry.push("once", Program::ends(Duration::from_secs(2), 0));
        registry.push("oom", Program { ends: Some((Duration::from_secs(1), 137, true)), ..Program::good() });
        registry.push("sick", Program { sick_after: Some(Duration::from_secs(20)), ..Program::good() });
        let now = Time(1_000_000_000_000);
        let clock = SimClock::new(now, 0);
        let mut node = SimNode::new(config, NodeReport::default(), seed, Conduct::default(), clock);
        node.start(now);
        let mut lab = Self {
            node,
            registry,
            now,
            session: 0,
            seq: 0,
            epoch: 1,
            status: BTreeMap::new(),
            gone: Vec::new(),
            logs: BTreeMap::new(),
            drifts: Vec::new(),
            events: Vec::new(),
        };
        lab.connect();
        lab
    }

    fn connect(&mut self) {
        self.session = self.node.open_session(self.now).map_or(0, |hello| hello.session);
        self.seq = 0;
    }

    fn full(&mut self, orders: Vec<PodOrder>, recovering: bool) {
        let assignment = Assignment {
            epoch: self.epoch,
            session: self.session,
            seq: self.seq,
            full: true,
            pods: orders.into_iter().map(Arc::new).collect(),
            forget: Vec::new(),
            keep_images: None,
            recovering,
        };
        self.seq += 1;
        self.node.receive(self.now, ToAgent::Assign(Arc::new(assignment)));
    }

    fn assign(&mut self, orders: Vec<PodOrder>) {
        let full = self.seq == 0;
        let assignment = Assignment {
            epoch: self.epoch,
            session: self.session,
            seq: self.seq,
            full,
            pods: orders.into_iter().map(Arc::new).collect(),
            forget: Vec::new(),
            keep_images: None,
            recovering: false,
        };
        self.seq += 1;
        self.node.receive(self.now, ToAgent::Assign(Arc::new(assignment)));
    }

    fn pass(&mut self, millis: i64) {
        self.now = Time(self.now.0 + millis);
        self.node.run_until(self.now, &self.registry);
        if let Some(ToServer::Report { report, .. }) = self.node.take_report() {
            self.take(*report);
        }
        assert!(self.node.runtime.violations.is_empty(), "{:?}", self.node.runtime.violations);
    }

    fn take(&mut self, report: Report) {
        for pod in report.pods {
            self.status.insert(pod.uid, serde_json::from_slice(&pod.status).unwrap());
            if pod.gone {
                self.gone.push(pod.uid);
            }
            self.logs.insert(pod.uid, pod.logs);
        }
        self.drifts.extend(report.drifts);
        self.events.extend(report.events);
    }

    fn container(&self, n: u128, name: &str) -> Value {
        let status = &self.status[&uid(n)];
        let lists = ["containerStatuses", "initContainerStatuses"].into_iter().filter_map(|l| status[l].as_array());
        lists.flatten().find(|c| c["name"] == name).cloned().unwrap()
    }

    fn condition(&self, n: u128, name: &str) -> Value {
        let list = self.status[&uid(n)]["conditions"].as_array().unwrap();
        list.iter().find(|c| c["type"] == name).cloned().unwrap_or(Value::Null)
    }

    fn ready(&self, n: u128) -> bool {
        self.condition(n, "Ready")["status"] == "True"
    }

    fn id(&self, n: u128, name: &str) -> ContainerId {
        self.node.logic.as_ref().unwrap().container_id(uid(n), name, false).unwrap()
    }

    fn sandbox(&self) -> ContainerId {
        let of = |c: &&crate::sim::SimContainer| {
            c.info.labels.contains_key(super::labels::SANDBOX) && c.info.state.is_alive()
        };
        self.node.runtime.containers().find(of).unwrap().info.id.clone()
    }

    fn crashes(&self, n: u128, name: &str) -> u32 {
        let disturbed = self.condition(n, "evenkeel.dev/DisturbedRestarts");
        let counts = disturbed_parse(disturbed["message"].as_str().unwrap_or_default());
        let restarts = i32::try_from(self.container(n, name)["restartCount"].as_i64().unwrap()).unwrap();
        crashes(restarts, &counts, name)
    }
}

#[test]
fn a_pod_comes_up_and_goes() {
    let mut lab = Lab::new(1);
    let mut pod = order(1, one("good"));
    lab.assign(vec![pod.clone()]);
    lab.pass(2 * SECOND);
    assert_eq!(lab.status[&uid(1)]["phase"], "Running");
    assert!(lab.ready(1));
    assert_eq!(lab.status[&uid(1)]["hostIP"], "192.0.2.1");
    assert!(lab.status[&uid(1)]["podIP"].as_str().unwrap().starts_with("10."));
    assert!(lab.container(1, "web")["imageID"].as_str().unwrap().starts_with("sha256:"));
    assert!(lab.node.logic.as_ref().unwrap().at_rest());
    pod.version = Version(2);
    pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(30), grace_seconds: 30 });
    lab.assign(vec![pod]);
    lab.pass(2 * SECOND);
    assert_eq!(lab.gone, [uid(1)]);
    assert_eq!(lab.node.runtime.containers().count(), 0);
}

#[test]
fn a_program_that_ignores_the_signal_gets_its_grace_and_a_shorter_one_counts() {
    let mut lab = Lab::new(2);
    let mut pod = order(1, one("deaf"));
    lab.assign(vec![pod.clone()]);
    lab.pass(2 * SECOND);
    pod.version = Version(2);
    pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(30), grace_seconds: 30 });
    lab.assign(vec![pod.clone()]);
    lab.pass(10 * SECOND);
    assert!(lab.gone.is_empty());
    pod.version = Version(3);
    pod.deletion = Some(Deletion { at: lab.now, grace_seconds: 0 });
    lab.assign(vec![pod]);
    lab.pass(SECOND);
    assert_eq!(lab.gone, [uid(1)]);
}

#[test]
fn what_cannot_come_up_says_why_and_counts_its_tries() {
    for (image, reason, later) in [
        ("missing", "ErrImagePull", "ImagePullBackOff"),
        ("nocmd", "RunContainerError", "RunContainerError"),
        ("nocreate", "CreateContainerError", "CreateContainerError"),
    ] {
        let mut lab = Lab::new(3);
        lab.assign(vec![order(1, one(image))]);
        lab.pass(2 * SECOND);
        assert_eq!(lab.container(1, "web")["state"]["waiting"]["reason"], reason);
        lab.pass(32 * SECOND);
        assert_eq!(lab.container(1, "web")["state"]["waiting"]["reason"], later);
        let counts = failed_starts_parse(lab.condition(1, "evenkeel.dev/FailedStarts")["message"].as_str().unwrap());
        assert_eq!(counts["web"].tries, 3, "{image}");
        assert_eq!(counts["web"].reason, reason);
        assert!(!counts["web"].outside);
        assert_eq!(lab.status[&uid(1)]["phase"], "Pending");
        assert_eq!(lab.container(1, "web")["restartCount"], 0);
    }
}

#[test]
fn a_registry_that_is_away_is_nobodys_fault_and_heals() {
    let mut lab = Lab::new(4);
    lab.registry.up = false;
    lab.assign(vec![order(1, one("good"))]);
    lab.pass(2 * SECOND);
    let counts = failed_starts_parse(lab.condition(1, "evenkeel.dev/FailedStarts")["message"].as_str().unwrap());
    assert!(counts["web"].outside);
    assert_eq!(counts["web"].reason, "RegistryUnavailable");
    lab.registry.up = true;
    lab.pass(12 * SECOND);
    assert!(lab.ready(1));
    assert_eq!(lab.condition(1, "evenkeel.dev/FailedStarts"), Value::Null);
}

#[test]
fn never_pull_config_errors_and_root_are_refused_with_their_reasons() {
    let root = json!({"containers": [{"name": "web", "image": "good", "securityContext": {"runAsNonRoot": true}}]});
    let key = json!({"containers": [{"name": "web", "image": "good", "env": [{"name": "A", "valueFrom":
        {"secretKeyRef": {"name": "s", "key": "k"}}}]}]});
    let never = json!({"containers": [{"name": "web", "image": "good", "imagePullPolicy": "Never"}]});
    for (spec, reason) in
        [(root, "CreateContainerConfigError"), (key, "CreateContainerConfigError"), (never, "ErrImageNeverPull")]
    {
        let mut lab = Lab::new(5);
        lab.assign(vec![order(1, spec)]);
        lab.pass(2 * SECOND);
        assert_eq!(lab.container(1, "web")["state"]["waiting"]["reason"], reason);
    }
}

#[test]
fn crashes_back_off_and_leave_their_last_words_without_secrets() {
    let mut lab = Lab::new(6);
    let mut pod = order(1, one("crash"));
    let data = BTreeMap::from([
        ("k".to_owned(), Arc::from(b"program".as_slice())),
        ("x".to_owned(), Arc::from(b"of".as_slice())),
    ]);
    let content = Arc::new(Content { secret: true, data });
    pod.contents.push(PodContent {
        secret: true,
        name: "s".into(),
        secret_type: String::new(),
        digest: content.digest(&[0; 32]),
        content,
    });
    lab.assign(vec![pod]);
    lab.pass(3 * SECOND);
    assert_eq!(lab.container(1, "web")["restartCount"], 1, "the first restart is at once");
    assert_eq!(lab.container(1, "web")["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(lab.container(1, "web")["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(lab.logs[&uid(1)]["web"], ["the last words of the ***"]);
    lab.pass(11 * SECOND);
    assert_eq!(lab.container(1, "web")["restartCount"], 2);
    lab.pass(21 * SECOND);
    assert_eq!(lab.container(1, "web")["restartCount"], 3);
    assert_eq!(lab.crashes(1, "web"), 3);
    assert_eq!(lab.status[&uid(1)]["phase"], "Running");
    assert!(lab.drifts.is_empty());
}

#[test]
fn a_sandbox_that_is_being_made_anew_is_not_made_a_second_time() {
    let mut lab = Lab::new(7);
    lab.assign(vec![order(1, one("good"))]);
    lab.pass(2 * SECOND);
    let sandbox = lab.sandbox();
    lab.node.runtime.kill(lab.now, &sandbox);
    let name = |c: &crate::sim::SimContainer| c.info.name.clone();
    let mut made = BTreeSet::new();
    for _ in 0..3 * SECOND {
        lab.pass(1);
        // Somebody asks for the heal that is under way, again and again.
        lab.node.receive(lab.now, ToAgent::HealDrift { pod: uid(1), container: None, heal: true });
        let sandboxes = lab.node.runtime.containers().filter(|c| c.info.labels.contains_key(super::labels::SANDBOX));
        made.extend(sandboxes.map(name));
    }
    lab.pass(2 * SECOND);
    assert!(lab.ready(1));
    assert_eq!(made.len(), 2, "{made:?}");
}

#[test]
fn what_cannot_start_and_is_begun_only_once_has_ended() {
    let mut lab = Lab::new(7);
    let spec = json!({"restartPolicy": "Never", "containers": [
        {"name": "web", "image": "nocmd"}, {"name": "beside", "image": "good"}]});
    lab.assign(vec![order(1, spec)]);
    lab.pass(5 * SECOND);
    let ended = lab.container(1, "web")["state"]["terminated"].clone();
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("StartError"), &json!(128)), "{ended}");
    assert_eq!(lab.status[&uid(1)]["phase"], "Running", "the other one runs");
    // The engine has nothing of it any more: the agent's own book says that it was begun.
    lab.node.crash(lab.now, &lab.registry);
    lab.node.start(lab.now);
    lab.connect();
    lab.pass(10 * SECOND);
    assert_eq!(lab.container(1, "web")["state"]["terminated"], ended);
    assert!(lab.container(1, "beside")["state"]["running"].is_object());
}

#[test]
fn ends_of_every_policy() {
    for (policy, image, phase) in [
        ("Never", "once", "Succeeded"),
        ("Never", "crash", "Failed"),
        ("OnFailure", "once", "Succeeded"),
        ("OnFailure", "crash", "Running"),
        ("Always", "once", "Running"),
        ("Never", "nocmd", "Failed"),
        ("OnFailure", "nocmd", "Pending"),
    ] {
        let mut lab = Lab::new(7);
        let mut spec = one(image);
        spec["restartPolicy"] = policy.into();
        lab.assign(vec![order(1, spec)]);
        lab.pass(9 * SECOND);
        assert_eq!(lab.status[&uid(1)]["phase"], phase, "{policy} {image}");
    }
    let mut lab = Lab::new(7);
    lab.assign(vec![order(1, one("oom"))]);
    // Of two runs, the engine tells of one only after its end.
    let mut restarts = BTreeSet::new();
    for _ in 0..120 {
        lab.pass(SECOND);
        let container = lab.container(1, "web");
        if let Some(reason) = container["lastState"]["terminated"]["reason"].as_str() {
            assert_eq!(reason, "OOMKilled", "{container:#}");
            restarts.insert(container["restartCount"].as_u64());
        }
    }
    assert!(restarts.len() >= 2, "{restarts:?}");
}

#[test]
fn init_containers_and_sidecars_keep_their_order() {
    let spec = json!({
        "initContainers": [
            {"name": "first", "image": "once"},
            {"name": "side", "image": "good", "restartPolicy": "Always",
             "startupProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 1}},
            {"name": "second", "image": "once"}],
        "containers": [{"name": "web", "image": "good"}]});
    let mut lab = Lab::new(8);
    lab.assign(vec![order(1, spec)]);
    lab.pass(SECOND);
    assert_eq!(lab.status[&uid(1)]["phase"], "Pending");
    assert_eq!(lab.container(1, "web")["state"]["waiting"]["reason"], "PodInitializing");
    assert!(lab.container(1, "first")["state"]["running"].is_object());
    assert!(lab.container(1, "side")["state"]["waiting"].is_object());
    lab.pass(3 * SECOND);
    assert_eq!(lab.container(1, "first")["state"]["terminated"]["reason"], "Completed");
    assert!(lab.container(1, "side")["state"]["running"].is_object());
    assert!(lab.container(1, "second")["state"]["running"].is_object());
    lab.pass(3 * SECOND);
    assert!(lab.ready(1));
    assert_eq!(lab.condition(1, "Initialized")["status"], "True");
    // A killed sidecar comes back and disturbs nobody.
    let (web, side) = (lab.id(1, "web"), lab.id(1, "side"));
    lab.node.runtime.kill(lab.now, &side);
    lab.pass(3 * SECOND);
    assert_eq!(lab.id(1, "web"), web);
    assert_ne!(lab.id(1, "side"), side);
    assert!(lab.ready(1));
}

#[test]
fn probes_decide_readiness_and_life() {
    let spec = json!({"containers": [{"name": "web", "image": "sick",
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/live", "port": 80}, "periodSeconds": 5, "failureThreshold": 2}}]});
    let mut lab = Lab::new(9);
    lab.assign(vec![order(1, spec)]);
    lab.pass(3 * SECOND);
    assert!(lab.ready(1));
    lab.pass(40 * SECOND);
    assert_eq!(lab.crashes(1, "web"), 1);
    assert!(lab.container(1, "web")["lastState"]["terminated"]["message"].as_str().unwrap().contains("liveness"));
    let spec = json!({"containers": [{"name": "web", "image": "unready",
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1}}]});
    lab.assign(vec![order(2, spec)]);
    lab.pass(10 * SECOND);
    assert!(!lab.ready(2));
    assert!(lab.condition(2, "Ready")["message"].as_str().unwrap().contains("503"));
    assert_eq!(lab.status[&uid(2)]["phase"], "Running");
    assert!(!lab.logs[&uid(2)]["web"].is_empty());
}

type Act = fn(&mut Lab);

const ACTS: [(&str, DriftAction, bool, Act); 8] = [
    ("kill", DriftAction::Killed, true, |l| {
        let id = l.id(1, "web");
        l.node.runtime.kill(l.now, &id);
    }),
    ("stop", DriftAction::Stopped, true, |l| {
        let id = l.id(1, "web");
        l.node.runtime.stop(l.now, &id);
    }),
    ("remove", DriftAction::Removed, true, |l| {
        let id = l.id(1, "web");
        l.node.runtime.remove(l.now, &id);
    }),
    ("pause", DriftAction::Paused, false, |l| {
        let id = l.id(1, "web");
        l.node.runtime.pause(l.now, &id);
    }),
    ("rename", DriftAction::Renamed, false, |l| {
        let id = l.id(1, "web");
        l.node.runtime.rename(l.now, &id, "mine-now");
    }),
    ("update", DriftAction::Updated, false, |l| {
        let id = l.id(1, "web");
        let resources = Resources { memory_bytes: Some(1 << 30), ..Resources::default() };
        l.node.runtime.update(l.now, &id, resources);
    }),
    ("kill the sandbox", DriftAction::Killed, true, |l| {
        let id = l.sandbox();
        l.node.runtime.kill(l.now, &id);
    }),
    ("remove the sandbox", DriftAction::Removed, true, |l| {
        let id = l.sandbox();
        l.node.runtime.remove(l.now, &id);
    }),
];

#[test]
fn drift_is_told_within_a_second_and_healed() {
    for (what, action, restarts, act) in ACTS {
        let mut lab = Lab::new(10);
        lab.assign(vec![order(1, one("good"))]);
        lab.pass(3 * SECOND);
        let before = lab.id(1, "web");
        act(&mut lab);
        lab.pass(SECOND);
        assert_eq!(lab.drifts.iter().filter(|d| !d.healed).count(), 1, "{what}: {:?}", lab.drifts);
        assert_eq!((lab.drifts[0].action, lab.drifts[0].healed), (action, false), "{what}");
        lab.pass(3 * SECOND);
        assert!(lab.drifts.iter().any(|d| d.healed), "{what}: {:?}", lab.drifts);
        assert!(lab.ready(1), "{what}");
        assert_eq!(lab.id(1, "web") != before, restarts, "{what}");
        assert_eq!(lab.crashes(1, "web"), 0, "{what}");
        assert_eq!(lab.container(1, "web")["restartCount"], i32::from(restarts), "{what}");
        if restarts {
            assert_eq!(lab.container(1, "web")["lastState"]["terminated"]["reason"], "ContainerDrift", "{what}");
        }
        lab.pass(200 * SECOND);
        assert!(lab.drifts.len() <= 2, "{what}: {:?}", lab.drifts);
    }
}

#[test]
fn drifts_of_all_that_runs_are_told_within_a_second() {
    let mut lab = Lab::new(16);
    lab.assign((1..=3).map(|n| order(n, one("good"))).collect());
    lab.pass(3 * SECOND);
    let alive = lab.node.runtime.containers().filter(|c| c.info.state.is_alive());
    for id in alive.map(|c| c.info.id.clone()).collect::<Vec<_>>() {
        lab.node.runtime.kill(lab.now, &id);
    }
    lab.pass(SECOND);
    let told: std::collections::BTreeSet<Uid> = lab.drifts.iter().filter(|d| !d.healed).map(|d| d.pod).collect();
    assert_eq!(told, (1..=3).map(uid).collect(), "{:?}", lab.drifts);
    lab.pass(5 * SECOND);
    assert!((1..=3).all(|n| lab.ready(n)), "{:#?}", lab.status);
}

#[test]
fn without_self_heal_drift_is_recorded_and_waits_for_the_word() {
    for (what, action, _, act) in ACTS {
        let mut lab = Lab::new(11);
        let mut pod = order(1, one("good"));
        pod.self_heal = false;
        lab.assign(vec![pod]);
        lab.pass(3 * SECOND);
        act(&mut lab);
        lab.pass(90 * SECOND);
        assert_eq!(lab.drifts.len(), 1, "{what}: {:?}", lab.drifts);
        assert_eq!((lab.drifts[0].action, lab.drifts[0].healed), (action, false), "{what}");
        let container = lab.drifts[0].container.clone();
        lab.node.receive(lab.now, ToAgent::HealDrift { pod: uid(1), container, heal: true });
        lab.pass(3 * SECOND);
        assert!(lab.drifts.iter().any(|d| d.healed), "{what}: {:?}", lab.drifts);
        assert!(lab.ready(1), "{what}");
    }
}

#[test]
fn an_engine_that_restarts_is_no_drift_and_no_crash() {
    for (orderly, live) in [(true, false), (false, false), (false, true)] {
        let mut lab = Lab::new(12);
        lab.assign((1..=8).map(|n| order(n, one("good"))).collect());
        lab.pass(3 * SECOND);
        let before = lab.id(1, "web");
        lab.node.runtime.go_down(lab.now, orderly);
        lab.pass(15 * SECOND);
        lab.node.runtime.come_up(lab.now, live);
        lab.pass(25 * SECOND);
        assert!(lab.ready(1) && lab.ready(2), "{:#}", lab.status[&uid(1)]);
        assert!(lab.drifts.is_empty(), "{:?}", lab.drifts);
        assert_eq!(lab.crashes(1, "web"), 0);
        assert_eq!(lab.id(1, "web") == before, live);
    }
}

#[test]
fn a_machine_that_shuts_down_is_no_drift() {
    for self_heal in [true, false] {
        let mut lab = Lab::new(17);
        let orders = (1..=8).map(|n| PodOrder { self_heal, ..order(n, one("good")) });
        lab.assign(orders.collect());
        lab.pass(3 * SECOND);
        lab.node.runtime.go_down(lab.now, true);
        lab.pass(SECOND);
        // The agent gets its signal while the engine is still at it.
        lab.node.crash(lab.now, &lab.registry);
        lab.node.runtime.power_off(lab.now);
        lab.pass(20 * SECOND);
        lab.node.runtime.power_on(lab.now);
        lab.node.start(lab.now);
        lab.pass(30 * SECOND);
        assert!((1..=8).all(|n| lab.ready(n)), "{:#}", lab.status[&uid(1)]);
        assert!(lab.drifts.is_empty(), "{:?}", lab.drifts);
    }
}

#[test]
fn an_agent_that_comes_back_touches_nothing_that_is_well() {
    let probed = json!({"containers": [{"name": "web", "image": "good",
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1}}]});
    let mut lab = Lab::new(13);
    lab.assign(vec![order(1, probed.clone()), order(2, one("crash"))]);
    lab.pass(3 * SECOND);
    let (before, since) = (lab.id(1, "web"), lab.condition(1, "Ready")["lastTransitionTime"].clone());
    lab.node.crash(lab.now, &lab.registry);
    lab.pass(60 * SECOND);
    lab.node.start(lab.now);
    lab.connect();
    lab.pass(100);
    lab.pass(SECOND);
    assert!(lab.ready(1));
    assert_eq!(lab.id(1, "web"), before);
    assert_eq!(lab.condition(1, "Ready")["lastTransitionTime"], since);
    // The whole disk lost: the server's word and the names adopt what runs.
    lab.node.crash(lab.now, &lab.registry);
    lab.node.wipe();
    lab.node.start(lab.now);
    lab.connect();
    lab.pass(SECOND);
    lab.assign(vec![order(1, probed), order(2, one("crash"))]);
    lab.pass(3 * SECOND);
    assert!(lab.ready(1));
    assert_eq!(lab.id(1, "web"), before);
    assert_eq!(lab.container(1, "web")["restartCount"], 0);
}

#[test]
fn absence_stops_only_what_the_same_epoch_named() {
    let mut lab = Lab::new(14);
    lab.assign(vec![order(1, one("good")), order(2, one("good"))]);
    lab.pass(3 * SECOND);
    // A new epoch that knows neither, and a recovering one.
    lab.epoch = 2;
    lab.connect();
    lab.full(vec![], true);
    lab.connect();
    lab.full(vec![order(2, one("good"))], false);
    lab.pass(60 * SECOND);
    assert_eq!(lab.node.runtime.containers().filter(|c| c.info.state.is_alive()).count(), 4);
    // The same epoch no longer names what it named.
    lab.connect();
    lab.full(vec![], false);
    lab.pass(60 * SECOND);
    assert_eq!(lab.node.logic.as_ref().unwrap().pods().collect::<Vec<_>>(), [uid(1)]);
    // An older server is refused, and so is a gap.
    lab.epoch = 1;
    lab.connect();
    lab.full(vec![], false);
    assert!(lab.node.reconnect.is_some());
    lab.epoch = 2;
    lab.connect();
    lab.full(vec![order(1, one("good"))], false);
    lab.seq += 1;
    lab.assign(vec![]);
    assert!(lab.node.reconnect.is_some());
    lab.pass(SECOND);
    assert_eq!(lab.node.logic.as_ref().unwrap().pods().collect::<Vec<_>>(), [uid(1)]);
}

#[test]
fn foreign_containers_are_left_alone_whatever_their_labels_say() {
    let mut lab = Lab::new(15);
    lab.assign(vec![order(1, one("good"))]);
    lab.pass(3 * SECOND);
    let labels = lab.node.runtime.containers().last().unwrap().info.labels.clone();
    let copy = lab.node.runtime.add_foreign(lab.now, "a-copy", labels);
    let other = lab.node.runtime.add_foreign(lab.now, "other", BTreeMap::new());
    lab.pass(130 * SECOND);
    lab.node.crash(lab.now, &lab.registry);
    lab.node.start(lab.now);
    lab.pass(130 * SECOND);
    for id in [copy, other] {
        assert!(lab.node.runtime.containers().any(|c| c.info.id == id && c.info.state.is_alive()));
    }
    assert!(lab.ready(1));
}

#[test]
fn a_pinned_image_is_used_without_a_registry_also_with_always() {
    let mut lab = Lab::new(16);
    lab.assign(vec![order(1, one("good"))]);
    lab.pass(3 * SECOND);
    let pinned = lab.container(1, "web")["imageID"].as_str().unwrap().to_owned();
    lab.registry.push("good", Program::never_ready());
    lab.registry.up = false;
    let mut pod = order(2, json!({"containers": [{"name": "web", "image": "good", "imagePullPolicy": "Always"}]}));
    pod.image_ids.insert("web".into(), pinned.clone());
    lab.assign(vec![pod]);
    lab.pass(3 * SECOND);
    assert!(lab.ready(2));
    assert_eq!(lab.container(2, "web")["imageID"], pinned.as_str());
}

#[test]
fn a_changed_image_restarts_the_container_and_is_no_crash() {
    let mut lab = Lab::new(17);
    lab.assign(vec![order(1, one("good"))]);
    lab.pass(3 * SECOND);
    let mut pod = order(1, one("deaf"));
    pod.version = Version(2);
    pod.pod["spec"]["terminationGracePeriodSeconds"] = 2.into();
    lab.assign(vec![pod]);
    lab.pass(5 * SECOND);
    assert_eq!(lab.container(1, "web")["restartCount"], 1);
    assert_eq!(lab.crashes(1, "web"), 0);
    assert!(lab.ready(1));
    assert!(lab.drifts.is_empty());
}

#[test]
fn hooks_run_and_a_failed_or_slow_one_does_not_hang_the_end() {
    let spec = json!({"terminationGracePeriodSeconds": 5, "containers": [{"name": "web", "image": "good", "lifecycle": {
        "postStart": {"sleep": {"seconds": 2}}, "preStop": {"sleep": {"seconds": 3}}}}]});
    let mut lab = Lab::new(18);
    let mut pod = order(1, spec);
    lab.assign(vec![pod.clone()]);
    lab.pass(SECOND);
    assert!(!lab.ready(1));
    lab.pass(3 * SECOND);
    assert!(lab.ready(1));
    pod.version = Version(2);
    pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(5), grace_seconds: 5 });
    lab.assign(vec![pod]);
    lab.pass(2 * SECOND);
    assert!(lab.gone.is_empty());
    lab.pass(3 * SECOND);
    assert_eq!(lab.gone, [uid(1)]);
}

/// One random world of a node: pods come and go, programs of all kinds, outsiders, crashes of agent
/// and engine. In the end everything is quiet for a while and must be as ordered.
#[allow(clippy::too_many_lines)] // one list of what can happen
fn random_world(seed: u64, steps: usize) {
    let mut rng = Rng::new(seed);
    let mut lab = Lab::new(seed);
    // A session in which nothing is assigned for long is given up.
    lab.assign(Vec::new());
    let mut pods: BTreeMap<u128, PodOrder> = BTreeMap::new();
    let images = ["good", "good", "good", "crash", "missing", "nocmd", "once", "unready", "sick", "deaf"];
    for n in 0..steps {
        let pick = |rng: &mut Rng, len: usize| usize::try_from(rng.below(len as u64)).unwrap();
        match rng.below(16) {
            0..=3 if pods.len() < 6 => {
                let spec = match rng.below(3) {
                    0 => one(images[pick(&mut rng, images.len())]),
                    1 => json!({"terminationGracePeriodSeconds": 2, "containers": [
                        {"name": "web", "image": images[pick(&mut rng, images.len())],
                         "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1}},
                        {"name": "log", "image": "good"}]}),
                    _ => {
                        json!({"terminationGracePeriodSeconds": 1, "initContainers": [{"name": "init", "image": "once"},
                        {"name": "side", "image": "good", "restartPolicy": "Always"}],
                        "containers": [{"name": "web", "image": images[pick(&mut rng, images.len())]}]})
                    }
                };
                let pod = order(n as u128 + 1, spec);
                pods.insert(n as u128 + 1, pod.clone());
                lab.assign(vec![pod]);
            }
            4 | 5 if !pods.is_empty() => {
                let key = *pods.keys().nth(pick(&mut rng, pods.len())).unwrap();
                let pod = pods.get_mut(&key).unwrap();
                pod.version = pod.version.next();
                pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(2), grace_seconds: 2 });
                lab.assign(vec![pod.clone()]);
            }
            6..=8 => {
                let ids: Vec<ContainerId> = lab.node.runtime.containers().map(|c| c.info.id.clone()).collect();
                if !ids.is_empty() && lab.node.runtime.is_up() {
                    let id = &ids[pick(&mut rng, ids.len())];
                    match rng.below(5) {
                        0 => lab.node.runtime.kill(lab.now, id),
                        1 => lab.node.runtime.stop(lab.now, id),
                        2 => lab.node.runtime.remove(lab.now, id),
                        3 => lab.node.runtime.pause(lab.now, id),
                        _ => lab.node.runtime.rename(lab.now, id, &format!("other-{n}")),
                    }
                }
            }
            9 => {
                lab.node.crash(lab.now, &lab.registry);
                lab.node.start(lab.now);
                lab.connect();
                lab.full(pods.values().cloned().collect(), false);
            }
            10 => {
                // Often in the midst of what was just ordered.
                if let Some(pod) = pods.values_mut().next_back().filter(|pod| pod.deletion.is_none()) {
                    pod.version = pod.version.next();
                    pod.pod["spec"]["containers"][0]["env"] = json!([{"name": "N", "value": n.to_string()}]);
                    lab.assign(vec![pod.clone()]);
                    lab.pass(i64::try_from(rng.below(2500)).unwrap());
                }
                lab.node.runtime.go_down(lab.now, rng.below(2) == 0);
            }
            11 => lab.node.runtime.come_up(lab.now, rng.below(2) == 0),
            12 => lab.registry.up = !lab.registry.up,
            13 => {
                lab.connect();
                lab.full(pods.values().cloned().collect(), false);
            }
            _ => {}
        }
        let millis = i64::try_from(rng.below(4000)).unwrap();
        lab.pass(millis);
        pods.retain(|n, _| !lab.gone.contains(&uid(*n)));
    }
    lab.registry.up = true;
    lab.node.runtime.come_up(lab.now, rng.below(2) == 0);
    lab.pass(900 * SECOND);
    for (n, pod) in &pods {
        if pod.deletion.is_some() {
            assert!(lab.gone.contains(&uid(*n)), "seed {seed}: pod {n} does not go: {:#}", lab.status[&uid(*n)]);
            continue;
        }
        let image = pod.pod["spec"]["containers"][0]["image"].as_str().unwrap();
        if matches!(image, "good" | "deaf") {
            assert!(lab.ready(*n), "seed {seed}: pod {n} is not ready: {:#}", lab.status[&uid(*n)]);
        }
    }
    let expected: Vec<String> = pods.values().map(|p| p.uid.to_string()).collect();
    for c in lab.node.runtime.containers() {
        let uid = &c.info.labels[super::labels::POD_UID];
        assert!(expected.contains(uid), "seed {seed}: {} was left behind", c.info.name);
    }
    let orphans: Vec<_> = lab.node.runtime.left_behind().collect();
    assert!(orphans.is_empty(), "seed {seed}: processes were left behind: {orphans:?}");
}

#[test]
fn a_named_seed() {
    if let Ok(seed) = std::env::var("AGENT_SEED") {
        random_world(seed.parse().unwrap(), 60);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_worlds_never_run_a_container_twice_and_end_as_ordered(seed in any::<u64>()) {
        random_world(seed, 60);
    }

    #[test]
    fn inputs_out_of_nowhere_never_panic(seed in any::<u64>()) {
        let mut rng = Rng::new(seed);
        let mut lab = Lab::new(seed);
        lab.assign(vec![order(1, one("good"))]);
        lab.pass(500);
        for _ in 0..50 {
            let op = super::command::OpId(rng.below(60));
            let input = match rng.below(6) {
                0 => Input::Done { op, result: Ok(super::command::Output::Done) },
                1 => Input::Done { op, result: Err(super::command::Failure::Internal("x".into())) },
                2 => Input::Done { op, result: Ok(super::command::Output::Inspected(None)) },
                3 => Input::Listing { op, result: Ok(Vec::new()) },
                4 => Input::EngineDown { message: "x".into() },
                _ => Input::EngineUp,
            };
            if let Some(logic) = &mut lab.node.logic {
                let _ = logic.step(lab.now, input);
            }
        }
    }
}
