//! Drift of a node's network: links, routes and packet rules that somebody else changed. Its agent has
//! put them right before it tells.

use alloc::{
    string::{String, ToString},
    sync::Arc,
};

use evenkeel_model::{
    Key, Kind,
    own::{DriftOrigin, Resolution},
};

use super::record::Record;
use crate::{
    cx::{Cx, EventKind},
    world::World,
};

/// Path of a node's network.
const NETWORK: &str = "network";
/// Told in one report at most: an agent keeps no more.
const MOST: usize = 16;
/// Longest message that is kept, in bytes.
const LONGEST: usize = 1024;

/// What others did to a node's network.
pub fn network(world: &World, node: &Arc<str>, messages: &[String], cx: &mut Cx<'_>) {
    let Some(object) = world.get(&Key::cluster(Kind::Node, node.clone())) else { return };
    for message in messages.iter().take(MOST) {
        let message = &message[..message.floor_char_boundary(LONGEST)];
        let mut record = Record::of(world, "", object, NETWORK, DriftOrigin::Node(node.to_string()), cx);
        record.seen(object, "as the agent made it".into(), message.into(), cx.now);
        record.resolve(Resolution::Healed, cx.now, cx.settings);
        record.save(cx);
        cx.event(world, object, EventKind::Warning, "NetworkDrift", message);
    }
}
