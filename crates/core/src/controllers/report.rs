//! What agents report, taken into the world. Being written.

use alloc::sync::Arc;

use evenkeel_model::session::{Hello, Report};

use crate::{cx::Cx, world::World};

/// A session began: the Node object is made or brought up to date; while recovering, pods that
/// the world does not know are taken in.
pub fn hello(_world: &World, _hello: &Hello, _cx: &mut Cx<'_>) {}

/// A report came. One that says nothing new changes nothing.
pub fn report(_world: &World, _node: &Arc<str>, _report: &Report, _cx: &mut Cx<'_>) {}
