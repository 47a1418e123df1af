//! Small worlds for the tests of the checks.

use std::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Meta, Object, OwnerRef, Time, Uid, Version, canonical, meta::Deletion};
use serde_json::{Value, json};

use crate::{AppliedSource, ContainerView, Finding, Input, NodeView, PodView, Severity, State, Text, audit};

/// When the objects of a test are made.
const START: i64 = 1_767_225_600_000 + 60_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Owned {
    pub(crate) objects: Vec<Object>,
    pub(crate) nodes: Vec<NodeView>,
}

impl Owned {
    fn state(&self) -> State<'_> {
        State { objects: &self.objects, nodes: &self.nodes }
    }
}

pub(crate) struct World {
    pub(crate) now: Owned,
    pub(crate) before: Option<Owned>,
    pub(crate) time: Time,
    pub(crate) by_hand: BTreeSet<Uid>,
    pub(crate) undisturbed: bool,
    pub(crate) settled: bool,
    pub(crate) sources: Vec<AppliedSource>,
    pub(crate) texts: Vec<(String, String)>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: Owned::default(),
            before: None,
            time: Time(START),
            by_hand: BTreeSet::new(),
            undisturbed: false,
            settled: false,
            sources: Vec::new(),
            texts: Vec::new(),
        }
    }
}

fn object(kind: Kind, name: &str, body: &Value) -> Object {
    let key = if kind.namespaced() { Key::new(kind, "shop", name) } else { Key::cluster(kind, name) };
    // A uid that the key decides.
    let bits = key.to_string().bytes().fold(7_u128, |n, b| n.wrapping_mul(0x0100_0000_01b3).wrapping_add(b.into()));
    let meta = Meta { created: Time(START), generation: 1, ..Meta::default() };
    Object::new(key, Uid::from_random(bits), meta, canonical::value_bytes(body).into())
}

pub(crate) fn deployment(name: &str, spec: &Value) -> Object {
    object(Kind::Deployment, name, &json!({"spec": spec}))
}

pub(crate) fn replica_set(name: &str, owner: &Object, replicas: usize) -> Object {
    let mut o = object(Kind::ReplicaSet, name, &json!({"spec": {"replicas": replicas}}));
    o.meta.owners = [OwnerRef::controller(&owner.key, owner.uid)].into();
    o
}

pub(crate) fn pod(name: &str, owner: Option<&Object>, node: &str, ready: bool) -> Object {
    let mut o = object(Kind::Pod, name, &json!({"spec": {"containers": [{"name": "web"}]}}));
    o.meta.owners = owner.map(|w| OwnerRef::controller(&w.key, w.uid)).into_iter().collect();
    o.node = Some(node.into());
    o.with_status(&pod_status(ready))
}

pub(crate) fn with_spec(pod: &Object, spec: &Value) -> Object {
    pod.with_spec(spec)
}

fn pod_status(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": status, "reason": "Told"}]})
}

/// What a controller does to a pod that shall go.
pub(crate) fn terminate(pod: &mut Object) {
    pod.meta.deletion = Some(Deletion { at: Time(i64::MAX), grace_seconds: 30 });
    pod.version.0 += 1000;
}

impl World {
    fn next_version(&self) -> Version {
        Version(self.now.objects.iter().map(|o| o.version.0).max().unwrap_or(0) + 10)
    }

    pub(crate) fn add(&mut self, mut object: Object) {
        object.version = self.next_version();
        self.now.objects.push(object);
    }

    pub(crate) fn add_value(&mut self, value: Value) {
        self.add(Object::from_value(value).unwrap());
    }

    pub(crate) fn node(&mut self, name: &str, allocatable: &Value) {
        let status = json!({"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]});
        self.add(object(Kind::Node, name, &json!({"spec": {}})).with_status(&status));
    }

    /// Node `n1`, a Deployment, its ReplicaSet and so many ready pods.
    pub(crate) fn web(&mut self, pods: usize) {
        self.web_with(pods, &json!({"replicas": pods}));
    }

    pub(crate) fn web_with(&mut self, pods: usize, spec: &Value) {
        self.node("n1", &json!({"cpu": "8", "memory": "8Gi", "pods": "110"}));
        let d = deployment("web", spec);
        let rs = replica_set("web-1", &d, pods);
        self.add(d);
        self.add(rs.clone());
        for i in 0..pods {
            self.add(pod(&format!("web-1-{i}"), Some(&rs), "n1", true));
        }
    }

    /// One more pod of the ReplicaSet.
    pub(crate) fn grow(&mut self) {
        let rs = self.now.objects.iter().find(|o| o.key.kind == Kind::ReplicaSet).unwrap().clone();
        let name = format!("web-1-more{}", self.now.objects.len());
        self.add(pod(&name, Some(&rs), "n1", true));
    }

    pub(crate) fn pod_mut(&mut self, i: usize) -> &mut Object {
        self.now.objects.iter_mut().filter(|o| o.key.kind == Kind::Pod).nth(i).unwrap()
    }

    pub(crate) fn set_status(&mut self, pod: usize, status: &Value) {
        let version = self.next_version();
        let p = self.pod_mut(pod);
        *p = Object { version, ..p.with_status(status) };
    }

    pub(crate) fn set_status_of(&mut self, object: usize, status: &Value) {
        let version = self.next_version();
        let o = &mut self.now.objects[object];
        *o = Object { version, ..o.with_status(status) };
    }

    pub(crate) fn set_spec(&mut self, object: usize, spec: &Value) {
        let version = self.next_version();
        let o = &mut self.now.objects[object];
        *o = Object { version, ..o.with_spec(spec) };
    }

    pub(crate) fn set_ready(&mut self, pod: usize, ready: bool) {
        self.set_status(pod, &pod_status(ready));
    }

    pub(crate) fn lose_node(&mut self, name: &str) {
        let i = self.now.objects.iter().position(|o| o.key == Key::cluster(Kind::Node, name)).unwrap();
        let status = json!({"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]});
        self.set_status_of(i, &status);
    }

    /// Node reports its pods, all running.
    pub(crate) fn report(&mut self, node: &str) {
        let here = self.now.objects.iter().filter(|o| o.key.kind == Kind::Pod && o.node.as_deref() == Some(node));
        let container = ContainerView { name: "web".into(), running: true, ready: true, restarts: 0 };
        let pods = here.map(|o| PodView {
            uid: o.uid,
            namespace: o.key.namespace.to_string(),
            name: o.key.name.to_string(),
            orphan: false,
            containers: [container.clone()].into(),
        });
        let view = NodeView { name: node.into(), pods: pods.collect(), foreign: Vec::new() };
        self.now.nodes.push(view);
    }

    /// What is now becomes what was before.
    pub(crate) fn step(&mut self) {
        self.before = Some(self.now.clone());
    }

    pub(crate) fn audit(&self) -> Vec<Finding> {
        let texts: Vec<Text<'_>> = self.texts.iter().map(|(origin, text)| Text { origin, text }).collect();
        audit(&Input {
            now: self.time,
            state: self.now.state(),
            before: self.before.as_ref().map(Owned::state),
            settled: self.settled,
            undisturbed: self.undisturbed,
            deleted_by_hand: Some(&self.by_hand),
            sources: &self.sources,
            texts: &texts,
        })
    }

    pub(crate) fn told(&self, part: &str) -> bool {
        self.audit().iter().any(|f| f.to_string().contains(part))
    }

    /// Each part is found, and nothing else is.
    pub(crate) fn expect(&self, parts: &[&str]) {
        Self::compare(&self.audit(), parts);
    }

    /// The same for what is surely broken.
    pub(crate) fn expect_broken(&self, parts: &[&str]) {
        let broken: Vec<Finding> = self.audit().into_iter().filter(|f| f.severity == Severity::Broken).collect();
        Self::compare(&broken, parts);
    }

    fn compare(found: &[Finding], parts: &[&str]) {
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        for part in parts {
            assert!(texts.iter().any(|t| t.contains(part)), "missing `{part}` in {texts:#?}");
        }
        for text in &texts {
            assert!(parts.iter().any(|p| text.contains(p)), "unexpected `{text}`");
        }
    }
}
