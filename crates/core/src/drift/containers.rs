//! Container drift: what somebody did to a managed container behind the agent's back.
//!
//! Called with agents' reports. A pod without a source heals as well.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Key, Kind, Object,
    own::{DriftOrigin, Resolution},
    session::{ContainerDrift, DriftAction},
};

use serde_json::Value;

use super::record::Record;
use crate::{
    controllers::ControllerId,
    cx::{Cx, EventKind, Heal},
    release::{engine::source_of, state::Src},
    world::World,
};

/// Path of a pod's sandbox.
const SANDBOX: &str = "sandbox";

/// What an agent saw done to containers.
pub fn observe(world: &World, node: &Arc<str>, drift: &ContainerDrift, cx: &mut Cx<'_>) {
    let key = Key::new(Kind::Pod, drift.namespace.clone(), drift.name.clone());
    let Some(pod) = world.get(&key).filter(|p| p.uid == drift.pod) else { return };
    let source = source_of(world, pod).unwrap_or_default();
    let path = path(drift.container.as_deref());
    let mut record = Record::of(world, &source, pod, &path, DriftOrigin::Node(node.to_string()), cx);
    let fresh = record.status.count == 0;
    if !drift.healed || fresh {
        record.seen(pod, drift.desired.clone(), live(drift), cx.now);
        let what = drift.container.as_ref().map_or_else(|| "the sandbox".into(), |c| format!("container {c}"));
        let text = format!("{what} was {} on node {node} by someone else", action(drift.action));
        cx.event(world, pod, EventKind::Warning, "ContainerDrift", &text);
    }
    if drift.healed {
        if record.open() {
            record.resolve(Resolution::Healed, cx.now, cx.settings);
        }
        record.save(cx);
        return;
    }
    decide(world, pod, record, cx);
}

/// A session began: what its agent does not call drifted was put right before it could say so.
pub fn righted(world: &World, node: &Arc<str>, pod: &Object, drifted: &[Option<String>], cx: &mut Cx<'_>) {
    let still: Vec<String> = drifted.iter().map(|c| path(c.as_deref())).collect();
    let here = DriftOrigin::Node(node.to_string());
    for mut record in super::record::of_object(world, &pod.key) {
        let of_it = record.spec.origin == here && record.spec.object.uid == pod.uid;
        if of_it && record.open() && !still.contains(&record.spec.path) {
            record.resolve(Resolution::Healed, cx.now, cx.settings);
            record.save(cx);
        }
    }
}

fn path(container: Option<&str>) -> String {
    container.map_or_else(|| SANDBOX.into(), |c| format!("containers[{c}]"))
}

/// A contested container may be due.
pub(super) fn due(world: &World, pod: &Object, record: Record, cx: &mut Cx<'_>) {
    // Only what was put off is decided again: everything else the agent knows already.
    if record.status.contested {
        decide(world, pod, record, cx);
    }
}

/// What it was found to be, and by what act: `exited with code 137 (killed)`.
fn live(drift: &ContainerDrift) -> Value {
    let act = action(drift.action);
    match &drift.live {
        Value::String(text) if !text.contains(act) => format!("{text} ({act})").into(),
        other => other.clone(),
    }
}

fn decide(world: &World, pod: &Object, mut record: Record, cx: &mut Cx<'_>) {
    let heals = Src::load(world, &record.spec.source).is_none_or(|s| s.self_heal());
    let wait = record.back_off(cx.now, cx.settings);
    match wait {
        Some(at) if heals => cx.wake(at, ControllerId::Drift, record.object.key.clone()),
        _ => tell(pod, &record, heals, cx),
    }
    record.save(cx);
}

/// Tells the agent what to do.
pub(super) fn tell(pod: &Object, record: &Record, heal: bool, cx: &mut Cx<'_>) {
    let DriftOrigin::Node(node) = &record.spec.origin else { return };
    let container =
        record.spec.path.strip_prefix("containers[").and_then(|p| p.strip_suffix(']')).map(ToString::to_string);
    cx.heals.push(Heal { node: node.as_str().into(), pod: pod.uid, container, heal });
}

fn action(action: DriftAction) -> &'static str {
    match action {
        DriftAction::Stopped => "stopped",
        DriftAction::Killed => "killed",
        DriftAction::Paused => "paused",
        DriftAction::Removed => "removed",
        DriftAction::Renamed => "renamed",
        DriftAction::Updated => "updated",
        DriftAction::Differs => "replaced by something else",
    }
}
