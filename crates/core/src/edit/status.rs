//! Writes through the subresource `status`: the status alone changes, and nothing else of what a request
//! says counts.
//!
//! What others act on within the very step stays as its controller has it, for nothing may be decided by a
//! number that nobody counted ([`Share`]); in Kubernetes the controller would write it back. Deliberately not
//! here: which kinds' status may be written at all (the API's table).

use alloc::{string::ToString, sync::Arc, vec::Vec};

use evenkeel_model::{Key, Kind, Object, canonical, names};
use evenkeel_schema::{
    custom::Before,
    merge::{Apply, FieldSet, Managed, Update, apply, update},
};
use serde_json::{Value, json};

use super::{Wish, conflicting, schema, signing, valid};
use crate::{
    ask::{Answer, Refusal},
    controllers::{definition, disruption, podstatus, replicaset},
    cx::Cx,
    world::World,
};

/// The subresource's name.
pub(super) const NAME: &str = "status";

/// What of a built-in kind's status is written by hand, where that is not all of it: these fields, and
/// conditions of all types but those that are listed, or of these alone.
struct Share {
    fields: &'static [&'static str],
    listed: &'static [&'static str],
    alone: bool,
}

impl Share {
    /// The share of an object; `None` where it is the whole status.
    fn of(world: &World, key: &Key, subresource: &str) -> Option<Self> {
        const POD: [&str; 9] = {
            let ([a, b, c, d, e, f], [g, h, i]) = (podstatus::AGENT_CONDITIONS, podstatus::SERVER_CONDITIONS);
            [a, b, c, d, e, f, g, h, i]
        };
        let alone = subresource == signing::APPROVAL;
        let (fields, listed): (&[&str], &[&str]) = match key.kind {
            Kind::Pod => (&["message", "reason"], &POD),
            Kind::ReplicaSet => (&[], &[replicaset::FAILURE]),
            Kind::Deployment => (&[], &["Available", "Progressing", replicaset::FAILURE]),
            Kind::PodDisruptionBudget => (&[], &[disruption::CONDITION]),
            Kind::CustomResourceDefinition => (&["storedVersions"], &definition::CONDITIONS),
            // Of an approval the API makes the certificate.
            Kind::CertificateSigningRequest if alone => (&["certificate"], &signing::SETTLED),
            Kind::CertificateSigningRequest => (&["certificate"], &signing::DECIDED),
            Kind::Namespace => (&[], &[]),
            // Its addresses and ports are given out by it; another's load balancer is its own affair.
            Kind::Service if world.balanced.get(key).is_some() => (&[], &[names::BALANCER_CONDITION]),
            _ => return None,
        };
        Some(Self { fields, listed, alone })
    }

    fn has(&self, condition: &Value) -> bool {
        condition.get("type").and_then(Value::as_str).is_none_or(|t| self.listed.contains(&t) == self.alone)
    }

    /// The status as it was, with this share of a wished one.
    fn of_wish(&self, before: Option<&Value>, wished: Option<&Value>) -> Value {
        let mut out = before.and_then(Value::as_object).cloned().unwrap_or_default();
        let part = |status: Option<&Value>, field: &str| status.and_then(|s| s.get(field)).cloned();
        for field in self.fields {
            match part(wished, field) {
                Some(value) if !value.is_null() => drop(out.insert((*field).into(), value)),
                _ => drop(out.remove(*field)),
            }
        }
        let list = |status: Option<&Value>| match part(status, CONDITIONS) {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        };
        let kept = list(before).into_iter().filter(|c| !self.has(c));
        let theirs = list(wished).into_iter().filter(|c| self.has(c));
        let all: Vec<Value> = kept.chain(theirs).collect();
        if all.is_empty() {
            out.remove(CONDITIONS);
        } else {
            out.insert(CONDITIONS.into(), all.into());
        }
        Value::Object(out)
    }
}

const CONDITIONS: &str = "conditions";

/// Makes the status what the wish says.
pub(super) fn replace(world: &World, live: &Arc<Object>, wish: &Wish, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let before = shown(live, wish);
    let mut after = before.clone();
    let wished = wish.value.get(NAME).filter(|s| !s.is_null());
    match (Share::of(world, &wish.key, wish.subresource), wished) {
        (Some(share), _) => after[NAME] = share.of_wish(before.get(NAME), wished),
        (None, Some(status)) => after[NAME] = status.clone(),
        (None, None) => drop(after.as_object_mut().and_then(|m| m.remove(NAME))),
    }
    if wish.key.kind == Kind::CertificateSigningRequest {
        signing::follows(&wish.key, &before, &mut after, cx.now)?;
    }
    let owners = Managed::from_bytes(&live.managed).unwrap_or_default();
    schema(world, &wish.key)?.fill_defaults(&mut after);
    let by = Update { manager: &wish.manager, time: cx.now, subresource: wish.subresource };
    let managed = update(world.node(wish.key.kind), &before, &after, &owners, &by);
    write(world, live, &after, &managed, wish, cx)
}

/// Sets in the status what the wish sets, by server-side apply.
pub(super) fn applied(world: &World, wish: &Wish, force: bool, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let live = world.get(&wish.key).ok_or_else(|| Refusal::not_found(&wish.key))?;
    let before = shown(live, wish);
    let owners = Managed::from_bytes(&live.managed).map_err(|e| Refusal::new(500, "InternalError", e.to_string()))?;
    let info = wish.key.kind.info();
    let mut wanted = json!({"apiVersion": info.api_version(), "kind": info.kind});
    if let Some(status) = wish.value.get(NAME) {
        wanted[NAME] = match Share::of(world, &wish.key, wish.subresource) {
            Some(share) => share.of_wish(None, Some(status)),
            None => status.clone(),
        };
    }
    let by =
        Apply { manager: &wish.manager, force, time: cx.now, exclude: FieldSet::EMPTY, subresource: wish.subresource };
    let node = world.node(wish.key.kind);
    let merged = apply(node, &before, &owners, &wanted, &by).map_err(|c| conflicting(&c))?;
    let mut after = merged.value;
    if wish.key.kind == Kind::CertificateSigningRequest {
        signing::follows(&wish.key, &before, &mut after, cx.now)?;
    }
    schema(world, &wish.key)?.fill_defaults(&mut after);
    write(world, live, &after, &merged.managed, wish, cx)
}

/// The whole object in the version of a request.
fn shown(live: &Object, wish: &Wish) -> Value {
    let mut value = live.shown_as(wish.key.kind).to_value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

fn write(
    world: &World,
    live: &Arc<Object>,
    after: &Value,
    managed: &Managed,
    wish: &Wish,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let before = shown(live, wish);
    let schema = schema(world, &wish.key)?;
    // What is so already is nobody's fault here.
    let known = schema.validate(&before, Before::Unknown);
    if schema.validate(after, Before::Was(&before)).iter().any(|p| !known.contains(p)) {
        valid(schema, &wish.key, after, Before::Was(&before))?;
    }
    let status = after.get(NAME).map_or_else(evenkeel_model::object::empty, |s| canonical::value_bytes(s).into());
    let new = Object { status, managed: managed.to_bytes(), ..Object::clone(live) };
    if wish.dry_run {
        return Ok(Answer::Would(Arc::new(new)));
    }
    let key: Key = live.key.clone();
    if !new.same_content(live) {
        cx.put(new);
    }
    Ok(Answer::Object(key))
}
