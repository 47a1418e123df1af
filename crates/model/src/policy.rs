//! NetworkPolicies as plain data: what every agent is told of them and of the pods that they speak of,
//! so that it can enforce them on its node and go on while the server is away.
//!
//! A part of each [`NetworkUpdate`](crate::net::NetworkUpdate). Pods are told by what selects them, so
//! that a pod's change is one word however many policies there are. Deliberately not here: which labels
//! a selector takes (`core`), and how packets are judged (`evenkeel-net`).

use alloc::{string::String, sync::Arc, vec::Vec};
use core::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    ids::Uid,
    net::{Cidr, PortProtocol},
};

/// A selector of pods in the cluster, by a text that says all of it: equal texts select the same.
pub type Selection = Arc<str>;

/// The policies' part of an update.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PolicyUpdate {
    /// Policies that are new or changed.
    pub policies: Vec<Arc<PolicyNet>>,
    /// Policies that are gone.
    pub gone_policies: Vec<PolicyId>,
    /// Pods that a policy speaks of and that are new or changed.
    pub pods: Vec<Arc<PodNet>>,
    /// Pods that are gone, or of which no policy speaks any more.
    pub gone_pods: Vec<Uid>,
}

impl PolicyUpdate {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names a NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyId {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyNet {
    /// Its name.
    pub id: PolicyId,
    /// The pods that it isolates.
    pub subjects: Selection,
    /// What may come to them; `None` where it says nothing of that way.
    pub ingress: Option<Vec<PolicyRule>>,
    /// What may leave them; `None` where it says nothing of that way.
    pub egress: Option<Vec<PolicyRule>>,
}

/// What a policy lets through. Both parts must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// The other side; `None` for everybody.
    pub peers: Option<Vec<Peer>>,
    /// The port that is asked for; `None` for every port and protocol.
    pub ports: Option<Vec<PolicyPort>>,
}

/// The other side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Peer {
    /// Pods of the cluster.
    Pods(Selection),
    /// Addresses.
    Block {
        /// These.
        cidr: Cidr,
        /// Without these.
        except: Vec<Cidr>,
    },
}

/// Ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPort {
    /// Protocol.
    pub protocol: PortProtocol,
    /// Which of it.
    pub ports: PortMatch,
}

/// Which ports of a protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortMatch {
    /// All.
    All,
    /// From one to another, both included.
    Range(u16, u16),
    /// The one that the pod that is asked calls so.
    Named(String),
}

/// A pod of which a policy speaks. Pods of the machine's own network are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNet {
    /// Its uid.
    pub uid: Uid,
    /// The node that it is bound to.
    pub node: Option<Arc<str>>,
    /// Its address, once its agent said it.
    pub address: Option<IpAddr>,
    /// What selects it, in order.
    pub selections: Vec<Selection>,
    /// Its ports that have names.
    pub ports: Vec<NamedPort>,
}

/// A port of a pod that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPort {
    /// Name.
    pub name: String,
    /// Protocol.
    pub protocol: PortProtocol,
    /// Number.
    pub port: u16,
}
