//! What the stories share: the shop as lab pods can run it, and comparisons.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use evenkeel_lab::{App, Client, Cluster, Container, Lab, eventually};
use serde_json::Value;

/// Whether the long variants are asked for.
pub fn long() -> bool {
    std::env::var_os("EVENKEEL_LONG").is_some_and(|v| !v.is_empty() && v != "0")
}

/// The shop's Deployment `web`, which promises all its replicas at any time.
pub fn web(replicas: u32, tag: &str) -> String {
    App { replicas, tag, ..App::default() }.yaml()
}

/// The same with a deadline for its progress.
pub fn web_with_deadline(replicas: u32, tag: &str, seconds: u32) -> String {
    let spec = format!(r#""progressDeadlineSeconds": {seconds}"#);
    App { replicas, tag, spec: &spec, ..App::default() }.yaml()
}

/// A cluster of so many nodes that runs `web`, ready, its first commit good.
pub fn cluster(lab: Lab, web: &str, replicas: u64, flags: &[&str]) -> Cluster {
    cluster_with(lab, &[("web.json", web)], replicas, flags)
}

/// The same of several files, one of which has `web`.
pub fn cluster_with(lab: Lab, files: &[(&str, &str)], replicas: u64, flags: &[&str]) -> Cluster {
    let flags = [&["--watch-window", "2s"], flags].concat();
    let cluster = Cluster::start(env!("CARGO_BIN_EXE_evenkeel").as_ref(), lab, files, &flags);
    cluster.wait_ready("default", "web", replicas);
    cluster.wait_good(&cluster.repo.git(&["rev-parse", "HEAD"]));
    cluster
}

/// Commits `web`; gives the commit's hash when at least `updated` of its new pods are there.
pub fn begin_rollout(cluster: &Cluster, web: &str, updated: u64) -> String {
    cluster.repo.write("web.json", web);
    let commit = cluster.repo.commit("another web");
    eventually("the rollout is under way", || {
        let release = cluster.release(&commit)?;
        let status = cluster.json(&["deployment", "web"])?["status"].clone();
        (!release["status"]["phase"].is_null() && status["updatedReplicas"].as_u64()? >= updated).then_some(())
    });
    commit
}

/// Names of the pods of `web` that are not terminating, with their node.
pub fn pods(client: &Client) -> BTreeMap<String, String> {
    let word = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let pods = client.pods("default", "app=web");
    pods.iter().map(|p| (word(&p["metadata"]["name"]), word(&p["spec"]["nodeName"]))).collect()
}

/// Names of the pods of `web` of an image's tag that are not terminating.
pub fn of_tag(client: &Client, tag: &str) -> BTreeSet<String> {
    let image = format!("shop.example/shop:{tag}");
    let mut pods = client.pods("default", "app=web");
    pods.retain(|p| p["spec"]["containers"][0]["image"] == image.as_str());
    pods.iter().filter_map(|p| p["metadata"]["name"].as_str().map(String::from)).collect()
}

/// Waits until what runs is what the server says: for each of the `count` pods one container, on its
/// node, and nothing else. Gives the containers.
pub fn settled(cluster: &Cluster, count: usize) -> Vec<Container> {
    cluster.wait_ready("default", "web", count as u64);
    let mut last = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually("the nodes run what the server says and nothing else", || {
            let pods = pods(cluster);
            let mut said: Vec<(String, String)> = pods.into_iter().map(|(pod, node)| (node, pod)).collect();
            said.sort();
            let mut runs: Vec<(String, String)> = Vec::new();
            for number in 1..=cluster.lab.nodes() {
                let node = cluster.lab.node(number);
                runs.extend(node.engine().running("web-").into_iter().map(|c| (node.name().to_string(), c.pod)));
            }
            runs.sort();
            last = format!("said {said:#?}\nruns {runs:#?}");
            (said.len() == count && said == runs).then(|| cluster.lab.running("web-"))
        })
    }));
    found.unwrap_or_else(|panic| {
        eprintln!("{last}");
        std::panic::resume_unwind(panic)
    })
}

/// No container of `before` was started again: each is as it was, or gone.
pub fn none_restarted(before: &[Container], after: &[Container]) {
    for old in before {
        for new in after.iter().filter(|new| new.pod == old.pod && new.name == old.name) {
            assert_eq!(new, old, "a healthy container was restarted");
        }
    }
}

/// Nobody was asked to leave a node, and no release of this commit failed.
pub fn nothing_evicted(client: &Client) {
    let events = client.items(&["events", "-A"]);
    let evictions: Vec<&Value> = events
        .iter()
        .filter(|e| ["TaintManagerEviction", "EvictingPods"].iter().any(|reason| e["reason"] == *reason))
        .collect();
    assert!(evictions.is_empty(), "{evictions:#?}");
}

/// The release of a commit never failed.
pub fn never_failed(client: &Client, commit: &str) {
    let release = client.release(commit).unwrap();
    let timeline = release["status"]["timeline"].to_string();
    assert!(!timeline.contains("Failed") && !timeline.contains("RollingBack"), "{release:#}");
    let source = client.source();
    assert!(source["quarantined"].as_array().is_none_or(Vec::is_empty), "{source:#}");
}

/// Numbers by chance from a fixed seed, so that a failure has the same ones again: a xorshift of 64
/// bits.
pub struct Chance(u64);

impl Chance {
    pub fn new() -> Self {
        Self(0x5eed_0000_0000_002a)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Waits for a time by chance: the moment of a fault is the story's subject.
    pub fn wait(&mut self, limit: Duration) {
        let millis = self.below(u64::try_from(limit.as_millis()).unwrap());
        std::thread::sleep(Duration::from_millis(millis));
    }
}

/// Writes to the server all the time, one write after the other, and remembers those that it
/// acknowledged.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Writer {
    pub fn start(client: Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let name = format!("written-{number}");
                let annotation = format!("{name}=yes");
                if client.kubectl_try(&["annotate", "node", "node-1", &annotation, "--request-timeout=2s"]).is_ok() {
                    acknowledged.push(name);
                }
                thread::sleep(Duration::from_millis(100));
            }
            acknowledged
        });
        Self { stop, thread }
    }

    /// Ends it: some writes were acknowledged, and none of them is lost.
    pub fn none_lost(self, client: &Client) {
        self.stop.store(true, Ordering::SeqCst);
        let acknowledged = self.thread.join().unwrap();
        let node = client.json(&["node", "node-1"]).unwrap();
        let annotations = &node["metadata"]["annotations"];
        let lost: Vec<_> = acknowledged.iter().filter(|name| annotations[name.as_str()] != "yes").collect();
        let count = acknowledged.len();
        assert!(count > 5 && lost.is_empty(), "of {count} acknowledged writes were lost: {lost:?}");
    }
}

/// Does something again and again until a time has passed, with a step between.
pub fn for_as_long_as(time: Duration, step: Duration, mut act: impl FnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        act();
        std::thread::sleep(step.min(end.saturating_duration_since(Instant::now())));
    }
}
