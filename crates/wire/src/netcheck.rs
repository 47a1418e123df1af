//! What a check of the cluster's network asks of each node, and what the node answers: on a stream of its
//! own ([`crate::stream::StreamRequest::Net`]).
//!
//! The node first says what it puts up for the check, one [`CheckPoint`]. The caller then sends the
//! [`Targets`] as standard input and ends it; the node tries them and says one [`Findings`]. Both ends
//! are needed at once, because the nodes' check points are each other's targets. Each word is one JSON
//! document on a line of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use evenkeel_model::net::Cidr;
use serde::{Deserialize, Serialize};

/// Bytes of one word at most: some hundred nodes.
pub const WORD: usize = 1 << 20;
/// Targets of one node at most: as many as there can be nodes, and then some.
pub const MOST_NODES: usize = 1024;

/// What a node puts up for a check: an address in its pods' range, in a network namespace that is wired
/// like a pod's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckPoint {
    /// Its address.
    pub pod: Ipv4Addr,
    /// How the node reaches the pods of others.
    pub ways: Vec<WayTo>,
    /// Nodes whose pods it cannot reach by design, with why.
    pub without: Vec<String>,
}

/// How a node reaches the pods of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayTo {
    /// The other's range.
    pub range: Cidr,
    /// By what.
    pub by: Carrier,
}

/// What carries packets between nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Carrier {
    /// Plain routes on a shared link.
    Routes,
    /// VXLAN.
    Vxlan,
}

/// What a node shall try.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Targets {
    /// Other nodes.
    pub nodes: Vec<Target>,
    /// Where the Service `default/kubernetes` is.
    pub service: Option<SocketAddr>,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name: its check point says it, so that an address that somebody else has is noticed.
    pub node: String,
    /// The address that nodes reach it by, where one is known.
    pub address: Option<IpAddr>,
    /// Its check point.
    pub pod: Ipv4Addr,
}

/// From where on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum From {
    /// The check point: as a pod.
    Pod,
    /// The node itself.
    Node,
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leg {
    /// Another node's check point.
    Pod(String),
    /// The same with packets as large as pods may send.
    LargePacket(String),
    /// Another node's own address.
    Node(String),
    /// The Service `default/kubernetes`.
    Service,
    /// The name of that Service.
    Name,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// From where.
    pub from: From,
    /// To what.
    pub leg: Leg,
    /// How long it took.
    pub micros: u64,
    /// What was wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// All that a node found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Findings {
    /// One for each try.
    pub probes: Vec<Probe>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_they_are_documented() {
        let probe = Probe { from: From::Pod, leg: Leg::Pod("b".into()), micros: 7, error: None };
        let text = r#"{"from":"pod","leg":{"pod":"b"},"micros":7}"#;
        assert_eq!(serde_json::to_string(&probe).unwrap(), text);
        assert_eq!(serde_json::from_str::<Probe>(text).unwrap(), probe);
        assert_eq!(serde_json::to_string(&Leg::Name).unwrap(), r#""name""#);
    }
}
