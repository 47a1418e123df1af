//! From `git commit` to the new containers running, against a raw client that makes the same.

use std::{sync::mpsc::Receiver, time::Duration};

use crate::{
    cluster::{App, Cluster},
    engine::{self, Bodies, Engine, Happened, RAW},
    measure::{Better, Samples, alone, alternate, compared, millis, ms},
};

const PATIENCE: Duration = Duration::from_mins(1);

pub fn app(edition: usize) -> App {
    App { replicas: 1, edition, surge: "25%", unavailable: "25%" }
}

pub fn running() {
    let cluster = Cluster::with(&app(0));
    let mut raw = Engine::new();
    let bodies = bodies(&cluster, &mut raw);
    let events = engine::events();
    let (mut edition, mut after) = (0, Samples::default());
    let (ours, theirs) = alternate(
        || {
            edition += 1;
            cluster.write(&app(edition));
            events.try_iter().for_each(drop);
            let (before, committed) = cluster.commit();
            let at = app_started(&events, &cluster.id);
            after.0.push(ms(at.saturating_duration_since(committed)));
            cluster.settled();
            ms(at - before)
        },
        || {
            let took = millis(|| raw.pod(&bodies));
            clean(&mut raw);
            took
        },
    );
    let what = ("before `git commit` to the new container's start event", "raw client: create, start, create, start");
    compared(what, "ms", Better::Lower, (1.0, 300.0), (&ours, &theirs));
    alone("the same from the end of `git commit`", "ms", &after);
}

/// The bodies of a pod that runs.
pub fn bodies(cluster: &Cluster, engine: &mut Engine) -> Bodies {
    let all = cluster.containers(engine);
    let sandbox = all.iter().find(|c| c.container.is_empty()).expect("a sandbox");
    let container = all.iter().find(|c| !c.container.is_empty()).expect("a container");
    Bodies::like(engine, &sandbox.id, &container.id)
}

/// Removes everything that the raw client made.
pub fn clean(engine: &mut Engine) {
    for container in engine.list(&[RAW]) {
        engine.remove(&container.id);
    }
}

fn app_started(events: &Receiver<Happened>, cluster: &str) -> std::time::Instant {
    loop {
        let event = events.recv_timeout(PATIENCE).expect("the container starts");
        if event.action == "start" && event.cluster == cluster && !event.container.is_empty() {
            return event.at;
        }
    }
}
