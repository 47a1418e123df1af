//! Keeps the kinds that definitions make in step with the definitions in force.

use evenkeel_model::{Custom, Kind, Object, custom::Names};
use evenkeel_schema::{Customs, custom::Definition};
use serde_json::Value;

use crate::change::Changed;

/// Follows a CustomResourceDefinition.
pub(super) fn update(customs: &mut Customs, changed: &Changed) {
    let old = changed.old.as_ref().filter(|o| in_force(o));
    let new = changed.new.as_ref().filter(|o| in_force(o));
    // A schema is compiled when it changed, not with each word on its status.
    if let (Some(old), Some(new)) = (old, new)
        && old.body == new.body
        && old.deleting() == new.deleting()
    {
        return;
    }
    if let Some(definition) = new.and_then(|o| Definition::read(&spec(o), o.deleting())) {
        customs.insert(definition);
    } else if let Some(names) = old.and_then(|o| Names::stored(&spec(o))) {
        customs.remove(Kind::Custom(Custom::new(&names)));
    }
}

fn spec(object: &Object) -> Value {
    object.body_map().remove("spec").unwrap_or_default()
}

/// Whether a definition has its names and is served.
fn in_force(object: &Object) -> bool {
    crate::controllers::definition::is(object, crate::controllers::definition::ESTABLISHED)
}
