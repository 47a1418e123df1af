//! `POST /evenkeel/net?node=NODE`: a check of the network between all nodes, or of one with all others.
//!
//! Each agent puts a check point up (`evenkeel_wire::netcheck`); when all have, each is told where the others
//! are and tries them, the Service `default/kubernetes` and its name. Nothing is kept. The answer is `{"ok",
//! "nodes": [{"name", "state", "message", "tried", "failed", "slowestMicros"}], "broken": [{"node", "leg",
//! "to", "message"}], "degraded": [{"node", "message"}]}`; the last is what agents say of their networks by
//! themselves. Deliberately not here: what follows from what was found (`judge`).

mod judge;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_model::{Key, Kind, Object, net::Cidr};
use evenkeel_wire::{
    netcheck::{CheckPoint, Findings, MOST_NODES, Target, Targets, WORD},
    stream::{self, CallerEnd, FailureKind, StreamError, StreamInput, StreamOutput, StreamRequest},
};
use futures_util::{StreamExt as _, stream as streams};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

use self::judge::{Broken, Member, judge};
use super::{
    Api,
    query::Pairs,
    status::{Failure, json_response},
};

/// Where it is.
pub(crate) const PATH: &str = "/evenkeel/net";
/// Nodes that are spoken to at once; their check points are all up together, whatever this is.
const AT_ONCE: usize = 64;
/// A node puts its check point up in some ten milliseconds.
const READY: Duration = Duration::from_secs(10);
/// A node tries a thousand legs that all time out in that time.
const TRIED: Duration = Duration::from_secs(90);
/// What is told of a node that says nothing.
const LATE: &str = "it did not answer in time";

/// A node as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    address: Option<IpAddr>,
    range: Option<Cidr>,
    /// Why it is not asked.
    not_ready: Option<String>,
    /// What its agent says of its network that it cannot put right.
    degraded: Option<String>,
}

/// A node in the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    name: String,
    state: State,
    message: String,
    tried: usize,
    failed: usize,
    slowest_micros: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum State {
    /// It took part.
    Checked,
    /// It is not ready, and was not asked.
    NotReady,
    /// It was asked and took no part.
    Failed,
}

/// Answers a request for [`PATH`].
pub(crate) async fn handle(api: &Api, parts: &Parts) -> Result<Response, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::not_allowed("a check of the network makes nodes do something: it is a POST"));
    }
    let pairs = Pairs::of(&parts.uri)?;
    let only = pairs.get("node").filter(|n| !n.is_empty()).map(str::to_owned);
    let view = api.backend.live().view();
    let nodes: Vec<Known> = view.list(Kind::Node, "").map(|o| known(o)).collect();
    if let Some(only) = &only
        && !nodes.iter().any(|n| n.name == *only)
    {
        return Err(Failure::not_found(&Key::cluster(Kind::Node, only.as_str())));
    }
    if nodes.len() > MOST_NODES {
        return Err(Failure::bad_request(format!("a check takes {MOST_NODES} nodes at most, and there are more")));
    }
    let meant = |n: &&Known| only.as_ref().is_none_or(|only| *only == n.name);
    let degraded =
        nodes.iter().filter(meant).filter_map(|n| Some(json!({"node": n.name, "message": n.degraded.as_ref()?})));
    let degraded: Vec<Value> = degraded.collect();
    let service = view.get(&Key::new(Kind::Service, "default", "kubernetes")).and_then(|o| service(o));
    let (ready, away): (Vec<Known>, Vec<Known>) = nodes.into_iter().partition(|n| n.not_ready.is_none());
    let mut said: Vec<Said> =
        away.into_iter().map(|n| said(&n.name, State::NotReady, n.not_ready.unwrap_or_default())).collect();

    // All check points first, then all tries.
    let opened = streams::iter(ready).map(|node| open(api, node)).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let mut open = Vec::new();
    for (node, opened) in opened {
        match opened {
            Ok((conversation, point)) => open.push((node, conversation, point)),
            Err(error) if error.kind == FailureKind::Busy => return Err(Failure::of_stream(&error)),
            Err(error) => said.push(self::said(&node.name, State::Failed, error.message)),
        }
    }
    let points: Vec<Target> =
        open.iter().map(|(n, _, p)| Target { node: n.name.clone(), address: n.address, pod: p.pod }).collect();
    let tries = streams::iter(open).map(|(node, mut conversation, point)| {
        let targets = Targets { nodes: targets(&points, &node.name, only.as_deref()), service };
        async move {
            let found = conversation.ask(&targets).await;
            (node, conversation, point, found)
        }
    });
    let mut members = Vec::new();
    // A check point is up for as long as its stream: each of them, until the last node has tried it.
    let mut held = Vec::new();
    for (node, conversation, point, found) in tries.buffer_unordered(MOST_NODES).collect::<Vec<_>>().await {
        held.push(conversation);
        match found {
            Ok(found) => {
                let Known { name, address, range, .. } = node;
                members.push(Member { name, address, range, point, probes: found.probes });
            }
            Err(error) => said.push(self::said(&node.name, State::Failed, error.message)),
        }
    }
    drop(held);
    let mut answer = answer(members, said, only.as_deref());
    answer["degraded"] = degraded.into();
    Ok(json_response(200, &answer))
}

fn said(name: &str, state: State, message: String) -> Said {
    Said { name: name.to_owned(), state, message, tried: 0, failed: 0, slowest_micros: 0 }
}

/// What one node tries: all others, or, where one node is meant, what concerns it.
fn targets(all: &[Target], own: &str, only: Option<&str>) -> Vec<Target> {
    let wanted = |t: &&Target| t.node != own && only.is_none_or(|only| only == own || only == t.node);
    all.iter().filter(wanted).cloned().collect()
}

fn answer(mut members: Vec<Member>, mut said: Vec<Said>, only: Option<&str>) -> Value {
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let concerns = |b: &Broken| only.is_none_or(|only| b.node == only || b.to.as_deref() == Some(only));
    let broken: Vec<Broken> = judge(&members).into_iter().filter(concerns).collect();
    said.extend(members.iter().map(|member| Said {
        tried: member.probes.len(),
        failed: member.probes.iter().filter(|p| p.error.is_some()).count(),
        slowest_micros: member.probes.iter().filter(|p| p.error.is_none()).map(|p| p.micros).max().unwrap_or(0),
        ..self::said(&member.name, State::Checked, String::new())
    }));
    said.sort_by(|a, b| a.name.cmp(&b.name));
    // One that is not ready is known not to be; the one that was asked for is the question itself.
    let fine = |s: &Said| match s.state {
        State::Checked => true,
        State::NotReady => only != Some(s.name.as_str()),
        State::Failed => only.is_some_and(|only| only != s.name),
    };
    let ok = broken.is_empty() && said.iter().all(fine);
    json!({"ok": ok, "nodes": said, "broken": broken})
}

/// One node's stream.
struct Conversation {
    end: CallerEnd,
    text: Vec<u8>,
}

async fn open(api: &Api, node: Known) -> (Known, Result<(Conversation, CheckPoint), StreamError>) {
    let name: Arc<str> = node.name.as_str().into();
    let opening = async {
        let end = api.backend.open_node(name, StreamRequest::Net).await?;
        let mut conversation = Conversation { end, text: Vec::new() };
        let point: CheckPoint = conversation.word().await?;
        Ok((conversation, point))
    };
    let opened = timeout(READY, opening).await.unwrap_or_else(|_| Err(StreamError::new(FailureKind::NodeAway, LATE)));
    (node, opened)
}

impl Conversation {
    /// Sends the targets, and waits for what was found.
    async fn ask(&mut self, targets: &Targets) -> Result<Findings, StreamError> {
        let text = serde_json::to_vec(targets).map_err(|e| StreamError::new(FailureKind::Invalid, e.to_string()))?;
        let asking = async {
            let gone = |_| StreamError::new(FailureKind::NodeAway, "the stream was cut off");
            for chunk in stream::chunks(text.into()) {
                self.end.send.send(StreamInput::Stdin(chunk)).await.map_err(gone)?;
            }
            self.end.send.send(StreamInput::StdinEnd).await.map_err(gone)?;
            self.word().await
        };
        timeout(TRIED, asking).await.unwrap_or_else(|_| Err(StreamError::new(FailureKind::NodeAway, LATE)))
    }

    /// The node's next word.
    async fn word<T: DeserializeOwned>(&mut self) -> Result<T, StreamError> {
        loop {
            if let Some(end) = self.text.iter().position(|b| *b == b'\n') {
                let word: Vec<u8> = self.text.drain(..=end).collect();
                let wrong = |e: serde_json::Error| StreamError::new(FailureKind::Engine, format!("it answered: {e}"));
                return serde_json::from_slice(&word).map_err(wrong);
            }
            match self.end.recv.recv().await {
                Some(StreamOutput::Stdout(bytes)) if self.text.len() + bytes.len() <= WORD => self.text.extend(bytes),
                Some(StreamOutput::Failed(error)) => return Err(error),
                Some(StreamOutput::Opened | StreamOutput::StdoutEnd) => {}
                Some(StreamOutput::Stdout(_) | StreamOutput::Stderr(_) | StreamOutput::Ended { .. }) | None => {
                    return Err(StreamError::new(FailureKind::NodeAway, "the stream was cut off"));
                }
            }
        }
    }
}

/// What of a Node is looked at.
#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeStatus {
    conditions: Vec<Condition>,
    addresses: Vec<Address>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

fn known(node: &Object) -> Known {
    let spec: NodeSpec = node.spec().unwrap_or_default();
    let status: NodeStatus = node.status().ok().flatten().unwrap_or_default();
    let ready = status.conditions.iter().find(|c| c.kind == "Ready");
    let not_ready = match ready {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => Some(format!("it is not ready: {}", ready.message)),
        None => Some("its agent has not reported yet".to_owned()),
    };
    let degraded = status.conditions.iter().find(|c| c.kind == "NetworkDegraded" && c.status == "True");
    let degraded = degraded.map(|c| c.message.clone());
    let address = status.addresses.iter().find(|a| a.kind == "InternalIP").and_then(|a| a.address.parse().ok());
    Known {
        name: node.key.name.to_string(),
        address,
        range: spec.pod_cidr.and_then(|r| r.parse().ok()),
        not_ready,
        degraded,
    }
}

/// Where a Service is: its address and its first port.
fn service(service: &Object) -> Option<SocketAddr> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec {
        #[serde(rename = "clusterIP")]
        address: String,
        ports: Vec<Port>,
    }
    #[derive(Deserialize)]
    struct Port {
        port: u16,
    }
    let spec: Spec = service.spec().ok()?;
    Some(SocketAddr::new(spec.address.parse().ok()?, spec.ports.first()?.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(node: &str) -> Target {
        Target { node: node.into(), address: None, pod: [10, 42, 1, 9].into() }
    }

    #[test]
    fn one_node_is_checked_both_ways() {
        let all = ["a", "b", "c"].map(target);
        let of = |own, only| targets(&all, own, only).into_iter().map(|t| t.node).collect::<Vec<_>>();
        assert_eq!(of("a", None), ["b", "c"]);
        assert_eq!(of("a", Some("a")), ["b", "c"]);
        assert_eq!(of("b", Some("a")), ["a"]);
        assert!(targets(&all[..1], "a", None).is_empty(), "one node has no others");
    }

    #[test]
    fn nodes_are_read_and_those_not_ready_told() {
        let node = |status: &str| {
            let value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
                "spec": {"podCIDR": "10.42.1.0/24"}, "status": {
                    "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "192.0.2.1"}],
                    "conditions": [{"type": "Ready", "status": status, "message": "the engine is away"},
                        {"type": "NetworkDegraded", "status": status, "message": "conntrack is full"}]}});
            known(&Object::from_value(value).unwrap())
        };
        let ready = node("True");
        assert_eq!((ready.address, ready.not_ready), ("192.0.2.1".parse().ok(), None));
        assert_eq!(ready.range, "10.42.1.0/24".parse().ok());
        assert_eq!(ready.degraded.as_deref(), Some("conntrack is full"));
        assert_eq!(node("False").degraded, None);
        assert_eq!(node("False").not_ready.as_deref(), Some("it is not ready: the engine is away"));
    }

    #[test]
    fn a_node_that_is_not_ready_is_no_fault_unless_it_was_meant() {
        let away = || vec![said("b", State::NotReady, "it is not ready".into())];
        assert_eq!(answer(Vec::new(), away(), None)["ok"], true);
        assert_eq!(answer(Vec::new(), away(), Some("b"))["ok"], false);
        let failed = || vec![said("b", State::Failed, LATE.into())];
        assert_eq!(answer(Vec::new(), failed(), None)["ok"], false);
        assert_eq!(answer(Vec::new(), failed(), Some("a"))["ok"], true);
    }

    #[tokio::test]
    async fn a_nodes_words_come_in_pieces() {
        let (end, node) = stream::pair();
        let mut conversation = Conversation { end, text: Vec::new() };
        for piece in [r#"{"pod": "10.42."#, "1.9\", \"ways\": [], \"without\": []}\n", "{\"probes\": []}\n"] {
            node.send(StreamOutput::Stdout(piece.as_bytes().into())).await.unwrap();
        }
        let point: CheckPoint = conversation.word().await.unwrap();
        assert_eq!(point.pod, std::net::Ipv4Addr::new(10, 42, 1, 9));
        assert!(conversation.word::<Findings>().await.unwrap().probes.is_empty());
        drop(node);
        assert_eq!(conversation.word::<Findings>().await.unwrap_err().kind, FailureKind::NodeAway);
    }
}
