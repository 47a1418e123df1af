//! Being written.
use evenkeel_model::{Key, Kind};

use crate::{
    ask::{Answer, Ask, Refusal},
    cx::Cx,
    world::World,
};

/// Decides on a request about a source.
pub fn handle(_world: &World, _ask: &Ask, _user: &str, _cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    Err(Refusal::not_found(&Key::cluster(Kind::Source, "x")))
}
