//! What users change of a Node: labels, annotations, taints, `spec.unschedulable`.
//!
//! Asked by the API (cordon, taint, label, drain). A label or taint that a user decided on is his
//! from then on: the agent's flags no longer touch it. Deliberately not here: the form of patches,
//! and everything of a Node that nobody but its agent says.

use alloc::{collections::BTreeSet, format, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, Time, Version};
use k8s_openapi::api::core::v1::{NodeSpec, Taint};

use super::object::{AGENT_LABELS, AGENT_TAINTS, USER_LABELS, USER_TAINTS, listed, retaint, servers, taint_id};
use crate::{
    ask::{Answer, NodeWish, Refusal},
    cx::Cx,
    edit::Owners,
    world::World,
};

/// Labels that say what a machine is: its agent alone knows.
const FACTS: [&str; 3] = ["kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os"];
/// Annotations of this prefix are Evenkeel's own.
const OWN: &str = "evenkeel.dev/";

/// Brings a Node to what a user wants of it.
pub fn update(
    world: &World,
    name: &str,
    (wish, owners): (&NodeWish, &Owners),
    if_version: Option<Version>,
    dry_run: bool,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let key = Key::cluster(Kind::Node, name);
    let node = world.get(&key).ok_or_else(|| Refusal::not_found(&key))?;
    if if_version.is_some_and(|v| v != node.version) {
        return Err(Refusal::modified(&key));
    }
    let mut next = Object::clone(node);
    annotate(&mut next, wish)?;
    label(&mut next, wish)?;
    taint(&mut next, wish, cx.now);
    if next.body != node.body {
        next.meta.generation += 1;
    }
    let mut next = retaint(next, cx.now);
    next.managed = owners.of(world, Some(node), &next, cx.now);
    if dry_run {
        return Ok(Answer::Would(Arc::new(next)));
    }
    if !next.same_content(node) {
        cx.put(next);
    }
    Ok(Answer::Object(key))
}

/// Annotations are the user's, but for Evenkeel's own. Of these the two lists of what users decided
/// may be taken away: then the agent's word counts again.
fn annotate(node: &mut Object, wish: &NodeWish) -> Result<(), Refusal> {
    let old = node.meta.annotations.clone();
    let names: BTreeSet<&String> = old.keys().chain(wish.annotations.keys()).collect();
    for name in names.into_iter().filter(|n| n.starts_with(OWN)) {
        let (was, is) = (old.get(name), wish.annotations.get(name));
        let given_back = is.is_none() && [USER_LABELS, USER_TAINTS].contains(&name.as_str());
        if was != is && !given_back {
            return Err(Refusal::invalid(format!("metadata.annotations[{name}] is Evenkeel's own")));
        }
    }
    node.meta.annotations = wish.annotations.clone();
    Ok(())
}

fn label(node: &mut Object, wish: &NodeWish) -> Result<(), Refusal> {
    let old = node.meta.labels.clone();
    let names: BTreeSet<&String> = old.keys().chain(wish.labels.keys()).collect();
    let changed: Vec<&String> = names.into_iter().filter(|n| old.get(*n) != wish.labels.get(*n)).collect();
    if let Some(fact) = changed.iter().find(|n| FACTS.contains(&n.as_str())) {
        return Err(Refusal::invalid(format!("metadata.labels[{fact}] is what the node's agent says of its machine")));
    }
    let agents = listed(node, AGENT_LABELS);
    let mut users = listed(node, USER_LABELS);
    users.extend(changed.into_iter().cloned());
    // One that is gone needs to be remembered only where the agent would bring it back.
    users.retain(|n| wish.labels.contains_key(n) || agents.contains(n));
    remember(node, USER_LABELS, &users);
    node.meta.labels = wish.labels.clone();
    Ok(())
}

fn taint(node: &mut Object, wish: &NodeWish, now: Time) {
    let mut spec: NodeSpec = node.spec().unwrap_or_default();
    let old = spec.taints.take().unwrap_or_default();
    let id = |t: &Taint| taint_id(&t.key, &t.effect);
    let alike = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect && a.value == b.value;
    let missing = |from: &[Taint], in_it: &[Taint]| -> Vec<String> {
        from.iter().filter(|t| !servers(&t.key) && !in_it.iter().any(|o| alike(o, t))).map(id).collect()
    };
    let agents = listed(node, AGENT_TAINTS);
    let mut users = listed(node, USER_TAINTS);
    users.extend(missing(&old, &wish.taints).into_iter().chain(missing(&wish.taints, &old)));
    users.retain(|n| wish.taints.iter().any(|t| id(t) == *n) || agents.contains(n));
    remember(node, USER_TAINTS, &users);
    let taints: Vec<Taint> = wish.taints.iter().map(|t| timed(t, &old, now)).collect();
    spec.taints = (!taints.is_empty()).then_some(taints);
    spec.unschedulable = wish.unschedulable.then_some(true);
    *node = node.with_spec(&spec);
}

/// A `NoExecute` taint needs its time: tolerations count from it.
fn timed(taint: &Taint, old: &[Taint], now: Time) -> Taint {
    let mut taint = taint.clone();
    if taint.effect == "NoExecute" && taint.time_added.is_none() {
        let before = old.iter().find(|o| o.key == taint.key && o.effect == taint.effect);
        taint.time_added = before.and_then(|o| o.time_added.clone()).or_else(|| Some(now.to_k8s()));
    }
    taint
}

fn remember(node: &mut Object, annotation: &str, names: &BTreeSet<String>) {
    if names.is_empty() {
        if node.meta.annotation(annotation).is_some() {
            Arc::make_mut(&mut node.meta.annotations).remove(annotation);
        }
        return;
    }
    let text = names.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    if node.meta.annotation(annotation) != Some(&text) {
        node.meta.annotate(annotation, text);
    }
}
