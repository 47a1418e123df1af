//! The node's part of a check of the network between nodes: puts a check point up, tries what the caller
//! says, from it and from the node itself, and says what it found.
//!
//! Called by `streams`, for one caller at a time. Deliberately not here: what follows from what was found
//! (the server judges), and how one thing is tried (`evenkeel_net::plane::checkpoint`).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use evenkeel_net::plane::{
    Plane,
    checkpoint::{self, Between, CheckPoint as Point},
};
use evenkeel_wire::{
    netcheck::{Carrier, CheckPoint, Findings, From, Leg, MOST_NODES, Probe, Targets, WORD, WayTo},
    stream::{self, FailureKind, NodeEnd, SendError, StreamError, StreamInput, StreamOutput},
};
use futures_util::{StreamExt as _, stream as streams};
use serde::Serialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::streams::Broken;

/// The caller sends its targets within this time: it waits for all nodes' check points.
const TARGETS: Duration = Duration::from_secs(30);
/// The caller has heard from all nodes within this time: none of them tries for longer.
const OTHERS: Duration = Duration::from_secs(90);
/// Things tried at once from each place.
const AT_ONCE: usize = 32;
/// A machine that is asked anything answers at this port, if only by a refusal.
const ANY_PORT: u16 = 7;
/// The Service that every cluster has.
const SERVICE: &str = "kubernetes.default";

/// The node's network, once its agent runs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct NetHandle {
    plane: Arc<OnceLock<(Plane, Arc<str>)>>,
}

impl NetHandle {
    pub(super) fn set(&self, plane: Plane, node: Arc<str>) {
        if self.plane.set((plane, node)).is_err() {
            tracing::error!("a second agent runs in this process; checks of the network look at the first one's");
        }
    }
}

/// Serves checks, one at a time: there is one check point.
#[derive(Debug, Clone)]
pub(super) struct NetChecks {
    handle: NetHandle,
    turn: Arc<Semaphore>,
}

impl NetChecks {
    pub(super) fn new(handle: NetHandle) -> Self {
        Self { handle, turn: Arc::new(Semaphore::new(1)) }
    }

    /// One check, from its beginning to its end.
    pub(super) async fn serve(&self, end: &mut NodeEnd) -> Result<i32, Broken> {
        let Ok(_turn) = self.turn.try_acquire() else {
            let message = "another check of the network is under way; try again when it has ended";
            return Err(StreamError::new(FailureKind::Busy, message).into());
        };
        let Some((plane, node)) = self.handle.plane.get() else {
            return Err(StreamError::new(FailureKind::NodeAway, "the agent is still starting").into());
        };
        let failed = |e: &dyn std::error::Error| StreamError::new(FailureKind::Engine, evenkeel_model::causes(e));
        let point = Arc::new(Point::open(plane, node).await.map_err(|e| failed(&e))?);
        let done = async {
            let between = plane.ways().await.map_err(|e| failed(&e))?;
            end.send(StreamOutput::Opened).await?;
            say(end, &first_word(&point, between)).await?;
            let targets = targets(end).await?;
            let findings = Findings { probes: tried(&point, &targets).await };
            say(end, &findings).await?;
            until_closed(end).await;
            Ok(())
        };
        let done = done.await;
        if let Some(point) = Arc::into_inner(point) {
            point.close().await;
        }
        done.map(|()| 0)
    }
}

fn first_word(point: &Point, between: Between) -> CheckPoint {
    let way = |(range, tunnel)| WayTo { range, by: if tunnel { Carrier::Vxlan } else { Carrier::Routes } };
    CheckPoint { pod: point.address(), ways: between.ways.into_iter().map(way).collect(), without: between.without }
}

async fn say(end: &NodeEnd, word: &impl Serialize) -> Result<(), Broken> {
    let mut text = serde_json::to_vec(word).map_err(|e| StreamError::new(FailureKind::Engine, e.to_string()))?;
    text.push(b'\n');
    for chunk in stream::chunks(text.into()) {
        end.send(StreamOutput::Stdout(chunk)).await?;
    }
    Ok(())
}

async fn targets(end: &mut NodeEnd) -> Result<Targets, Broken> {
    let mut text = Vec::new();
    let reading = async {
        loop {
            match end.recv.recv().await {
                Some(StreamInput::Stdin(bytes)) if text.len() + bytes.len() <= WORD => text.extend(bytes),
                Some(StreamInput::StdinEnd) => return Ok(()),
                Some(StreamInput::Resize { .. }) => {}
                Some(StreamInput::Stdin(_)) => {
                    return Err(StreamError::new(FailureKind::Invalid, "the targets are too large").into());
                }
                Some(StreamInput::Close) | None => return Err(Broken::Caller(SendError::Gone)),
            }
        }
    };
    let late = |_| StreamError::new(FailureKind::Invalid, format!("no targets within {} s", TARGETS.as_secs()));
    timeout(TARGETS, reading).await.map_err(late)??;
    let wrong = |why: String| StreamError::new(FailureKind::Invalid, format!("the targets: {why}"));
    let targets: Targets = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
    if targets.nodes.len() > MOST_NODES {
        return Err(wrong(format!("{} nodes, more than {MOST_NODES}", targets.nodes.len())).into());
    }
    Ok(targets)
}

/// Others may still try this node's check point: it is up until the caller has heard from all.
async fn until_closed(end: &mut NodeEnd) {
    let closed = async { while !matches!(end.recv.recv().await, Some(StreamInput::Close) | None) {} };
    if timeout(OTHERS, closed).await.is_err() {
        tracing::warn!("the caller of a check of the network does not end it; its check point is taken away");
    }
}

/// Tries everything from both places, which do not wait for each other.
async fn tried(point: &Arc<Point>, targets: &Targets) -> Vec<Probe> {
    let both = [From::Pod, From::Node].map(|from| {
        let tries = legs(from, targets).into_iter().map(move |(leg, attempt)| {
            let point = point.clone();
            async move { one(&point, from, leg, attempt).await }
        });
        streams::iter(tries).buffer_unordered(AT_ONCE).collect::<Vec<Probe>>()
    });
    let [pod, node] = both;
    let (mut pod, node) = tokio::join!(pod, node);
    pod.extend(node);
    pod.sort_by(|a, b| (a.from, &a.leg).cmp(&(b.from, &b.leg)));
    pod
}

/// How one leg is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    CheckPoint(Ipv4Addr, String),
    LargePacket(Ipv4Addr),
    Machine(IpAddr),
    Service(SocketAddr),
    Name(Option<Ipv4Addr>),
}

/// What is tried from a place. Nodes' own addresses are for themselves to try.
fn legs(from: From, targets: &Targets) -> Vec<(Leg, Attempt)> {
    let mut all = Vec::new();
    for target in &targets.nodes {
        let node = || target.node.clone();
        all.push((Leg::Pod(node()), Attempt::CheckPoint(target.pod, node())));
        match from {
            From::Pod => all.push((Leg::LargePacket(node()), Attempt::LargePacket(target.pod))),
            From::Node => all.extend(target.address.map(|a| (Leg::Node(node()), Attempt::Machine(a)))),
        }
    }
    all.extend(targets.service.map(|at| (Leg::Service, Attempt::Service(at))));
    let address = targets.service.and_then(|at| if let IpAddr::V4(ip) = at.ip() { Some(ip) } else { None });
    all.push((Leg::Name, Attempt::Name(address)));
    all
}

async fn one(point: &Point, from: From, leg: Leg, attempt: Attempt) -> Probe {
    let (names, large) = (point.names().clone(), point.large());
    let begun = Instant::now();
    let act = async move {
        match attempt {
            Attempt::CheckPoint(at, node) => checkpoint::check_point(at, &node).await,
            Attempt::LargePacket(at) => checkpoint::large_packet(at, large).await,
            Attempt::Machine(at) => checkpoint::machine((at, ANY_PORT).into()).await,
            Attempt::Service(at) => checkpoint::service(at).await,
            Attempt::Name(address) => checkpoint::name(&names, SERVICE, address).await,
        }
    };
    let ended = match from {
        From::Node => act.await,
        From::Pod => point.within(act).await.unwrap_or_else(|| Err("the check point is gone".into())),
    };
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    Probe { from, leg, micros, error: ended.err() }
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::netcheck::Target;

    use super::*;

    #[test]
    fn pods_try_pods_and_nodes_try_nodes_too() {
        let target = Target { node: "b".into(), address: "192.0.2.2".parse().ok(), pod: [10, 42, 2, 3].into() };
        let targets = Targets { nodes: vec![target], service: "10.43.0.1:443".parse().ok() };
        let of = |from| legs(from, &targets).into_iter().map(|(leg, _)| leg).collect::<Vec<_>>();
        let b = || "b".to_owned();
        assert_eq!(of(From::Pod), [Leg::Pod(b()), Leg::LargePacket(b()), Leg::Service, Leg::Name]);
        assert_eq!(of(From::Node), [Leg::Pod(b()), Leg::Node(b()), Leg::Service, Leg::Name]);
    }

    #[tokio::test]
    async fn targets_are_bounded_and_may_stay_away() {
        let (caller, mut node) = stream::pair();
        caller.send.send(StreamInput::Stdin(br#"{"nodes": [], "#.as_slice().into())).await.unwrap();
        caller.send.send(StreamInput::Stdin(br#""service": "10.43.0.1:443"}"#.as_slice().into())).await.unwrap();
        caller.send.send(StreamInput::StdinEnd).await.unwrap();
        let read = targets(&mut node).await.ok().unwrap();
        assert_eq!(read.service, "10.43.0.1:443".parse().ok());
        caller.send.send(StreamInput::Stdin(vec![b' '; WORD + 1].into())).await.unwrap();
        assert!(matches!(targets(&mut node).await, Err(Broken::Failed(e)) if e.kind == FailureKind::Invalid));
        drop(caller);
        assert!(matches!(targets(&mut node).await, Err(Broken::Caller(SendError::Gone))));
    }

    #[tokio::test]
    async fn before_the_agent_runs_it_says_so() {
        let (_caller, mut node) = stream::pair();
        let checks = NetChecks::new(NetHandle::default());
        let refused = checks.serve(&mut node).await;
        assert!(matches!(refused, Err(Broken::Failed(e)) if e.message.contains("still starting")));
    }
}
