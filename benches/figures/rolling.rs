//! An update of 10 replicas of a program that stops at once: Evenkeel, Docker Swarm, Compose.
//!
//! Measured from the command (`git commit`, `docker service update`, `docker-compose up`) until ten
//! new containers run and no old one does. Swarm waits on for its monitor after that, which is not
//! counted.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::{App, Cluster, run},
    engine::Engine,
    measure::{Better, ROUNDS, Samples, alone, compared, ms},
};

const REPLICAS: usize = 10;
const SERVICE: &str = "evenkeel-bench";
const PATIENCE: Duration = Duration::from_mins(3);
const STEP: Duration = Duration::from_millis(20);

/// Waits until so many containers with these labels run that were not there before, and none of
/// those that were.
fn replaced(labels: &[&str], old: &[String]) {
    let mut engine = Engine::new();
    let end = Instant::now() + PATIENCE;
    loop {
        let mut all = engine.list(labels);
        all.retain(|c| c.running && !is_sandbox(c, labels));
        let kept = all.iter().filter(|c| old.contains(&c.id)).count();
        if kept == 0 && all.len() == REPLICAS {
            return;
        }
        assert!(Instant::now() < end, "the update does not end: {} run, {kept} of them old", all.len());
        thread::sleep(STEP);
    }
}

fn is_sandbox(c: &crate::engine::Listed, labels: &[&str]) -> bool {
    labels[0].starts_with("evenkeel.dev/") && c.container.is_empty()
}

fn running(labels: &[&str]) -> Vec<String> {
    let all = Engine::new().list(labels);
    all.into_iter().filter(|c| c.running && !is_sandbox(c, labels)).map(|c| c.id).collect()
}

/// Times one update.
fn timed(labels: &[&str], update: impl FnOnce()) -> f64 {
    let old = running(labels);
    assert_eq!(old.len(), REPLICAS);
    let start = Instant::now();
    update();
    replaced(labels, &old);
    ms(start.elapsed())
}

/// A swarm of this machine alone; left at the end if it was made here.
struct Swarm {
    made: bool,
    edition: usize,
}

impl Swarm {
    fn new() -> Self {
        let state = run(Command::new("docker").args(["info", "--format", "{{.Swarm.LocalNodeState}}"]));
        let made = state == "inactive";
        if made {
            run(Command::new("docker").args(["swarm", "init", "--advertise-addr", "127.0.0.1"]));
        }
        let _ = Command::new("docker").args(["service", "rm", SERVICE]).output();
        let replicas = REPLICAS.to_string();
        run(Command::new("docker").args([
            "service",
            "create",
            "--quiet",
            "--detach=false",
            "--no-resolve-image",
            "--name",
            SERVICE,
            "--replicas",
            &replicas,
            "shop.example/shop:1.0",
            "hang",
        ]));
        Self { made, edition: 0 }
    }

    fn labels() -> [&'static str; 1] {
        ["com.docker.swarm.service.name=evenkeel-bench"]
    }

    /// One update with these options; waits for its end, monitor included, before it returns.
    fn update(&mut self, order: &str, parallelism: usize, monitor: &str) -> f64 {
        self.edition += 1;
        let (env, parallelism) = (format!("EDITION={}", self.edition), parallelism.to_string());
        let took = timed(&Self::labels(), || {
            run(Command::new("docker").args([
                "service",
                "update",
                "--quiet",
                "--detach",
                "--no-resolve-image",
                "--update-order",
                order,
                "--update-parallelism",
                &parallelism,
                "--update-monitor",
                monitor,
                "--env-add",
                &env,
                SERVICE,
            ]));
        });
        let end = Instant::now() + PATIENCE;
        let format = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
        while run(Command::new("docker").args(["service", "inspect", "--format", format, SERVICE])) != "completed" {
            assert!(Instant::now() < end, "the service's update does not end");
            thread::sleep(Duration::from_millis(200));
        }
        took
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["service", "rm", SERVICE]).output();
        if self.made {
            let _ = Command::new("docker").args(["swarm", "leave", "--force"]).output();
        }
    }
}

/// A Compose project; `None` where Compose is not installed.
struct Compose {
    dir: tempfile::TempDir,
    edition: usize,
}

impl Compose {
    fn new() -> Option<Self> {
        Command::new("docker-compose").arg("version").output().ok()?;
        let mut compose = Self { dir: tempfile::tempdir().unwrap(), edition: 0 };
        compose.up();
        Some(compose)
    }

    fn labels() -> [&'static str; 1] {
        ["com.docker.compose.project=evenkeel-bench"]
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("docker-compose.yml")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker-compose");
        command.arg("-p").arg(SERVICE).arg("-f").arg(self.file());
        command
    }

    fn up(&mut self) {
        self.edition += 1;
        let text = format!(
            "version: \"3\"\nservices:\n  bench:\n    image: shop.example/shop:1.0\n    command: [hang]\n    \
             network_mode: bridge\n    environment:\n      EDITION: \"{}\"\n",
            self.edition
        );
        fs::write(self.file(), text).unwrap();
        run(self.command().args(["up", "-d", "--scale", &format!("bench={REPLICAS}")]));
    }

    fn update(&mut self) -> f64 {
        timed(&Self::labels(), || self.up())
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = self.command().args(["down", "-t", "1"]).output();
    }
}

/// How Evenkeel updates, and what Swarm is told to do the same.
#[derive(Clone, Copy)]
struct Way {
    order: &'static str,
    surge: &'static str,
    unavailable: &'static str,
    /// Pods that Evenkeel replaces at once, of 10.
    at_once: usize,
    /// Of Swarm's time with its defaults.
    target: f64,
}

const WAYS: [Way; 2] = [
    Way { order: "start-first", surge: "25%", unavailable: "0", at_once: 3, target: 0.75 },
    Way { order: "stop-first", surge: "0", unavailable: "25%", at_once: 2, target: 0.25 },
];

pub fn updates() {
    let app = |way: &Way, edition| App { replicas: REPLICAS, edition, surge: way.surge, unavailable: way.unavailable };
    let cluster = Cluster::with(&app(&WAYS[0], 0));
    let label = format!("evenkeel.dev/cluster={}", cluster.id);
    let (mut swarm, mut compose, mut edition) = (Swarm::new(), Compose::new(), 0);
    let mut composed = Samples::default();
    for way in &WAYS {
        let (mut ours, mut defaults, mut same) = (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            edition += 1;
            cluster.write(&app(way, edition));
            ours.0.push(timed(&[&label], || {
                cluster.commit();
            }));
            cluster.settled();
            defaults.0.push(swarm.update(way.order, 1, "5s"));
            same.0.push(swarm.update(way.order, way.at_once, "1s"));
            if let Some(compose) = compose.as_mut().filter(|_| way.order == "stop-first") {
                composed.0.push(compose.update());
            }
        }
        println!("  {}, maxSurge {}, maxUnavailable {}:", way.order, way.surge, way.unavailable);
        let what = ("evenkeel, 10 replicas", "Docker Swarm, defaults");
        compared(what, "ms", Better::Lower, (way.target, 0.0), (&ours, &defaults));
        let theirs = format!("Docker Swarm, parallelism {}, monitor 1s", way.at_once);
        compared(("evenkeel, 10 replicas", &theirs), "ms", Better::Lower, (0.9, 0.0), (&ours, &same));
        if composed.0.is_empty() {
            continue;
        }
        alone("docker-compose up -d of a changed service", "ms", &composed);
        println!("  ratio to Compose {:.3} (no target)", ours.median() / composed.median());
    }
    if compose.is_none() {
        println!("  Compose: not measured (docker-compose is not installed)");
    }
}
