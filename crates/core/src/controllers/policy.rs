//! NetworkPolicies where they are not enforced: an event for each policy names the nodes whose pods
//! have the container engine's network.
//!
//! Deliberately not here: that a policy is refused where no node enforces it (`policy::objection`).

use evenkeel_model::{Key, Kind};

use crate::{
    change::Changed,
    cx::{Cx, EventKind},
    policy,
    world::World,
};

/// Nodes that an event names before it only counts them.
const SHOWN: usize = 5;

/// Marks a policy that changed, and all when a node begins or ceases to enforce them.
pub fn route(world: &World, changed: &Changed, mark: &mut dyn FnMut(Key)) {
    match changed.key.kind {
        Kind::NetworkPolicy if changed.new.is_some() && changed.body_changed() => mark(changed.key.clone()),
        Kind::Node => {
            let (old, new) = (changed.old.as_deref(), changed.new.as_deref());
            if old.is_some_and(policy::lacks_network) != new.is_some_and(policy::lacks_network) {
                world.list(Kind::NetworkPolicy, "").for_each(|p| mark(p.key.clone()));
            }
        }
        _ => {}
    }
}

/// Looks at one policy.
pub fn reconcile(world: &World, key: &Key, cx: &mut Cx<'_>) {
    let Some(object) = world.get(key).filter(|p| !p.deleting()) else { return };
    let lacking = world.list(Kind::Node, "").filter(|n| policy::lacks_network(n)).map(|n| &*n.key.name);
    let mut names: alloc::vec::Vec<&str> = lacking.collect();
    if names.is_empty() {
        return;
    }
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let more = if more == 0 { alloc::string::String::new() } else { alloc::format!(" and {more} more") };
    let message = alloc::format!(
        "not enforced on {}{more}: pods there get the container engine's network (the node's condition ClusterNetwork \
         says why)",
        names.join(", ")
    );
    cx.event(world, object, EventKind::Warning, "NotEnforced", &message);
}
