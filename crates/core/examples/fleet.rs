//! Plans a whole fleet through the controllers: 1,000 nodes, 500 Deployments of 20 pods, then one
//! Deployment of 5,000; each brought up, reported ready and rolled to a new image. Tells how long
//! the controllers took. For `docs/performance.md`.
#![allow(clippy::unwrap_used, missing_docs, clippy::disallowed_methods)]

#[path = "../benches/shape/mod.rs"]
mod shape;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_core::{Change, ControllerId, Controllers, Cx, Settings, World, controllers::report};
use evenkeel_model::{
    Key, Kind, Object, Rng, Time,
    net::Cidr,
    session::{PodReport, Report},
};
use serde_json::json;

const NODES: usize = 1000;

struct Fleet {
    world: World,
    queue: VecDeque<(ControllerId, Key)>,
    waiting: BTreeSet<(ControllerId, Key)>,
    settings: Settings,
    rng: Rng,
    now: Time,
    runs: usize,
    spent: Duration,
}

impl Fleet {
    fn new() -> Self {
        let mut this = Self {
            world: World::default(),
            queue: VecDeque::new(),
            waiting: BTreeSet::new(),
            settings: Settings::default(),
            rng: Rng::new(1),
            now: Time::from_secs(1_767_225_600),
            runs: 0,
            spent: Duration::ZERO,
        };
        // More nodes than the default has room for.
        this.settings.network.net.cluster_cidr = Cidr::around([172, 16, 0, 0].into(), 12);
        for node in shape::nodes(NODES).list(Kind::Node, "") {
            this.apply(Change::Put(node.clone()));
            this.world.nodes.hear(&node.key.name, this.now);
        }
        this
    }

    fn apply(&mut self, change: Change) {
        if let Some((Some(changed), _)) = self.world.apply(change) {
            let (queue, waiting) = (&mut self.queue, &mut self.waiting);
            Controllers.route(&self.world, &changed, &mut |c, k| {
                if waiting.insert((c, k.clone())) {
                    queue.push_back((c, k));
                }
            });
        }
    }

    fn settle(&mut self) {
        let start = Instant::now();
        while let Some((controller, key)) = self.queue.pop_front() {
            self.waiting.remove(&(controller, key.clone()));
            let mut cx = Cx::new(self.now, self.now, &self.settings, &mut self.rng);
            Controllers.reconcile(controller, &self.world, &key, &mut cx);
            let changes = cx.changes;
            for change in changes {
                self.apply(change);
            }
            self.runs += 1;
        }
        self.spent += start.elapsed();
    }

    fn deploy(&mut self, name: &str, replicas: usize, image: &str) {
        let key = Key::new(Kind::Deployment, "shop", name);
        let mut value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                    {"name": "web", "image": image, "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}}}});
        evenkeel_schema::defaults::apply(Kind::Deployment, &mut value);
        let mut object = Object::from_value(value).unwrap();
        object.meta.generation = 1;
        object.meta.created = self.now;
        object.uid = self.rng.uid();
        if let Some(old) = self.world.get(&key) {
            object.uid = old.uid;
            object.meta = old.meta.clone();
            object.meta.generation += 1;
            object.status = old.status.clone();
        }
        self.apply(Change::Put(Arc::new(object)));
    }

    /// Agents: what shall stop is gone, everything else runs; 512 reports, then the controllers.
    fn agents(&mut self) -> bool {
        let pods: Vec<Arc<Object>> = self.world.list(Kind::Pod, "").cloned().collect();
        let before = self.world.version;
        for (n, pod) in pods.iter().enumerate() {
            let (Some(node), false) =
                (&pod.node, self.world.pods.get(&pod.key).is_some_and(evenkeel_core::world::pods::PodRecord::ready))
            else {
                continue;
            };
            let report = PodReport {
                uid: pod.uid,
                namespace: pod.key.namespace.clone(),
                name: pod.key.name.clone(),
                status: shape::running(n).into(),
                gone: pod.deleting(),
                image_ids: [("web".to_string(), "sha256:1".to_string())].into(),
                logs: [].into(),
            };
            let start = Instant::now();
            let mut cx = Cx::new(self.now, self.now, &self.settings, &mut self.rng);
            report::report(&self.world, node, &Report { pods: vec![report], ..Report::default() }, &mut cx);
            let changes = cx.changes;
            for change in changes {
                self.apply(change);
            }
            self.spent += start.elapsed();
            if n % 512 == 511 {
                self.settle();
            }
        }
        self.settle();
        self.world.version != before
    }

    fn measure(&mut self, what: &str, begin: impl FnOnce(&mut Self)) {
        (self.runs, self.spent) = (0, Duration::ZERO);
        begin(self);
        self.settle();
        let planned = self.spent;
        while self.agents() {}
        let ready = self
            .world
            .list(Kind::Pod, "")
            .filter(|p| self.world.pods.get(&p.key).is_some_and(evenkeel_core::world::pods::PodRecord::ready))
            .count();
        println!("{what}: planned in {planned:?}, done in {:?}, {} runs, {ready} ready", self.spent, self.runs);
    }
}

fn main() {
    let mut fleet = Fleet::new();
    let all =
        |image: &'static str| move |f: &mut Fleet| (0..500).for_each(|n| f.deploy(&format!("web-{n}"), 20, image));
    fleet.measure("500 Deployments of 20", all("web:1"));
    fleet.measure("rolled", all("web:2"));
    fleet.measure("1 Deployment of 5,000", |f| f.deploy("big", 5000, "big:1"));
    fleet.measure("rolled", |f| f.deploy("big", 5000, "big:2"));
}
