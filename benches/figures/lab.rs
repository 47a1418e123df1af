//! A control plane without threads: the real conductor over the real store, with agents made up
//! that run every pod at once and say so.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::Arc,
    time::Duration,
};

use evenkeel_conductor::{AskId, Conductor, Event, Output, Start};
use evenkeel_core::{Ask, Settings, edit::Owners, release::inbound::Seen, world::pods::PodRecord};
use evenkeel_model::{
    Kind, Meta, Object, Revision, Snapshot, Time, canonical,
    own::{GitSpec, SourceSpec},
    session::{Hello, NodeReport, PodReport, Report, Stamp, ToAgent},
};
use evenkeel_store::SqliteStore;
use serde_json::{Value, json};

use crate::store;

/// Events in one step, as the server takes them.
const EVENTS: usize = 512;

/// The control plane and its agents.
pub struct Lab {
    pub conductor: Conductor<SqliteStore>,
    pub now: Time,
    nodes: Vec<Arc<str>>,
    events: VecDeque<Event>,
    sources: usize,
    /// Reports that each node sent.
    told: BTreeMap<Arc<str>, u64>,
    /// Whether agents answer; else pods stay bound and pending.
    pub agents: bool,
}

impl Lab {
    pub fn new(dir: &Path, nodes: usize) -> Self {
        let now = Time::from_secs(1_700_000_000);
        let mut settings = Settings::default();
        // More nodes than the default has room for.
        settings.network.net.cluster_cidr = "172.16.0.0/12".parse().unwrap();
        let start = Start { now, seed: 1, digest_key: [7; 32], settings, recover: None };
        let conductor = Conductor::start(store::open(dir), start).expect("a conductor");
        let names = (0..nodes).map(|n| Arc::from(format!("node-{n:05}"))).collect();
        let mut lab = Self {
            conductor,
            now,
            nodes: names,
            events: VecDeque::new(),
            sources: 0,
            told: BTreeMap::new(),
            agents: true,
        };
        for node in lab.nodes.clone() {
            let (pods, sources) = (Vec::new(), Vec::new());
            let hello = Hello { node, session: 1, epoch: 0, report: node_report(), pods, sources };
            lab.events.push_back(Event::Hello(Box::new(hello)));
        }
        lab.settle();
        lab
    }

    /// A source of its own with these documents.
    pub fn add(&mut self, snapshot: Arc<Snapshot>) {
        self.sources += 1;
        let name: Arc<str> = format!("source-{}", self.sources).into();
        let spec = SourceSpec {
            git: Some(GitSpec { url: format!("/srv/{name}"), ..GitSpec::default() }),
            ..SourceSpec::default()
        };
        let ask = Ask::CreateSource {
            name: name.clone(),
            spec,
            meta: Meta::default(),
            owners: Owners::By("bench".into()),
            dry_run: false,
        };
        self.events.push_back(Event::Ask { id: AskId(1), ask: Box::new(ask), user: "bench".into() });
        self.events.push_back(Event::Seen(Box::new(Seen {
            source: name,
            revision: Revision::git(Some("main"), &format!("{:040x}", self.sources)),
            author: "Someone <someone@example.dev>".into(),
            message: "all of it".into(),
            outcome: Ok(snapshot),
            confirmed: true,
        })));
    }

    /// Steps until nothing is left to do at this time. Gives the number of steps.
    pub fn settle(&mut self) -> usize {
        let mut steps = 0;
        loop {
            let n = self.events.len().min(EVENTS);
            let events: Vec<Event> = self.events.drain(..n).collect();
            let idle = events.is_empty();
            let output = self.conductor.step(self.now, events).expect("a step");
            steps += 1;
            self.answer(&output);
            if idle && self.events.is_empty() && output.wake.is_none_or(|at| at > self.now) {
                return steps;
            }
        }
    }

    /// Lets time pass, all nodes being heard of.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_secs(4);
            for node in self.nodes.clone() {
                let event = self.tell(&node, Report::default());
                self.events.push_back(event);
            }
            self.settle();
        }
    }

    fn answer(&mut self, output: &Output) {
        for (_, reply) in &output.replies {
            assert!(reply.is_ok(), "{reply:?}");
        }
        if !self.agents {
            return;
        }
        for (node, message) in &output.to_agents {
            let ToAgent::Assign(assignment) = message else { continue };
            let pods: Vec<PodReport> = assignment.pods.iter().map(|o| report(o.uid, &o.namespace, &o.name)).collect();
            if !pods.is_empty() {
                let report = Report { pods, ..Report::default() };
                let event = self.tell(node, report);
                self.events.push_back(event);
            }
        }
    }

    /// A node's next report.
    fn tell(&mut self, node: &Arc<str>, report: Report) -> Event {
        let seq = self.told.entry(node.clone()).or_default();
        *seq += u64::from(!report.is_heartbeat());
        Event::Report { node: node.clone(), stamp: Stamp { session: 1, seq: *seq }, report: Box::new(report) }
    }

    pub fn pods(&self) -> usize {
        self.conductor.world().count(Kind::Pod)
    }

    /// Pods that run and are ready.
    pub fn ready(&self) -> usize {
        let world = self.conductor.world();
        world.list(Kind::Pod, "").filter(|p| world.pods.get(&p.key).is_some_and(PodRecord::ready)).count()
    }

    /// Reports equal to what is recorded: every `step`th pod's, as its agent said it.
    pub fn repeats(&mut self, count: usize) -> Vec<Event> {
        let world = self.conductor.world().clone();
        let step = (self.pods() / count).max(1);
        world
            .list(Kind::Pod, "")
            .step_by(step)
            .take(count)
            .map(|pod| {
                let report = report(pod.uid, &pod.key.namespace, &pod.key.name);
                let report = Report { pods: vec![report], ..Report::default() };
                self.tell(pod.node.as_ref().expect("bound"), report)
            })
            .collect()
    }
}

fn report(uid: evenkeel_model::Uid, namespace: &Arc<str>, name: &Arc<str>) -> PodReport {
    let n = usize::try_from(uid.0 % 1_000_000).unwrap_or(0);
    PodReport {
        uid,
        namespace: namespace.clone(),
        name: name.clone(),
        status: running_status(&format!("10.{}.{}.{}", n >> 16 & 15, n >> 8 & 255, n & 255), "app", n),
        gone: false,
        image_ids: BTreeMap::from([("app".into(), format!("sha256:{:064x}", 1))]),
        logs: BTreeMap::new(),
    }
}

/// The status of a pod that runs and is ready, as an agent says it.
pub fn running_status(ip: &str, container: &str, n: usize) -> Arc<[u8]> {
    let at = "2023-11-14T22:13:20Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at});
    let conditions: Vec<Value> = ["Initialized", "Ready", "ContainersReady"].map(condition).into();
    let value = json!({
        "phase": "Running", "hostIP": "192.0.2.7", "hostIPs": [{"ip": "192.0.2.7"}], "podIP": ip,
        "podIPs": [{"ip": ip}], "startTime": at, "conditions": conditions,
        "containerStatuses": [{
            "name": container, "image": "registry.example/team/app:1.0", "imageID": format!("sha256:{:064x}", 1),
            "containerID": format!("docker://{n:064x}"), "ready": true, "started": true, "restartCount": 0,
            "lastState": {}, "state": {"running": {"startedAt": at}},
        }],
    });
    canonical::value_bytes(&value).into()
}

fn node_report() -> NodeReport {
    let room: BTreeMap<String, String> =
        [("cpu", "32"), ("memory", "128Gi"), ("pods", "110")].map(|(k, v)| (k.into(), v.into())).into();
    NodeReport { capacity: room.clone(), allocatable: room, version: "bench".into(), ..NodeReport::default() }
}

/// A pod of the benches' shape.
pub fn pod_value(app: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": name, "namespace": "default", "labels": {"app": app, "pod-template-hash": "6f5d8c9b7"}},
    "spec": {
        "containers": [{
            "name": "app", "image": "registry.example/team/app:1.0", "imagePullPolicy": "IfNotPresent",
            "args": ["serve", "--port=8080"], "env": [{"name": "LOG_LEVEL", "value": "info"}],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"},
                "periodSeconds": 5, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    }})
}

/// An object of a value.
pub fn object(value: Value, uid: evenkeel_model::Uid) -> Object {
    Object { uid, ..Object::from_value(value).expect("an object") }
}
