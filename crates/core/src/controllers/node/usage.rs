//! What each node has given out, and when it was last heard of: for lists and leases.
//!
//! Words of agents are never written, so this alone says when the last one came. Asked by the API.

use alloc::{sync::Arc, vec::Vec};

use evenkeel_model::Time;

use crate::world::World;

/// One node, as it is at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUse {
    /// Node.
    pub node: Arc<str>,
    /// When it was last heard of; `None` if not since this server started.
    pub heard: Option<Time>,
    /// Pods that are bound to it and not finished, and how many it takes.
    pub pods: (i64, i64),
    /// Requested and allocatable cpu, in millicores.
    pub cpu_milli: (i64, i64),
    /// Requested and allocatable memory, in bytes.
    pub memory: (i64, i64),
}

/// All nodes, in the order of their names.
pub fn usage(world: &World) -> Vec<NodeUse> {
    let one = |(name, node): (&Arc<str>, &crate::world::nodes::NodeRecord)| NodeUse {
        node: name.clone(),
        heard: world.nodes.last_heard(name),
        pods: (node.used_pods, node.pods),
        cpu_milli: (node.used_cpu_milli, node.cpu_milli),
        memory: (node.used_memory, node.memory),
    };
    world.nodes.iter().map(one).collect()
}
