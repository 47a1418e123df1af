//! Server-side apply (KEP-555): of objects of any kind, of those with rules of their own (Nodes, Sources), and
//! of a Scale.
//!
//! Called by `write`. Objects and Scales are merged by core, which writes them; a Node or Source is merged here
//! with what the last view has, and put as its kind is, under the condition that it still is so. Deliberately
//! not here: the merge itself (`evenkeel_schema::merge`).

use axum::{body::Bytes, response::Response};
use evenkeel_core::{
    Ask,
    edit::{Edit, Owners, Wish, conflicting},
    rbac::{Act, Resource},
};
use evenkeel_model::{Key, Kind, Object};
use evenkeel_schema::{
    SchemaRef,
    merge::{self, Applied, Apply, FieldSet, Managed},
};
use serde_json::{Value, json};

use super::{
    access,
    backend::AskError,
    gate,
    given::{self, Warnings, What},
    grants, nodes, objects, pods,
    query::Pairs,
    scale, signing, sources,
    status::Failure,
    write::Write,
};

/// The body of an apply to a path of this kind.
fn body(api_version: &str, kind: &str, bytes: &Bytes) -> Result<Value, Failure> {
    let tree: Value =
        serde_yaml::from_slice(bytes).map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))?;
    if !tree.is_object() {
        return Err(Failure::bad_request("the body is no object"));
    }
    // Unlike other bodies it must say what it is: in Kubernetes' words.
    let text = |field: &str| tree.get(field).and_then(Value::as_str).unwrap_or_default();
    let (found, named) = (text("apiVersion"), text("kind"));
    if found != api_version || named != kind {
        let group = if found.contains('/') { "" } else { "/" };
        return Err(Failure::bad_request(format!("invalid object type: {group}{found}, Kind={named}")));
    }
    if tree.pointer("/metadata/managedFields").is_some_and(|m| m.as_array().is_some_and(|a| !a.is_empty())) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    Ok(tree)
}

fn body_of(kind: Kind, bytes: &Bytes) -> Result<Value, Failure> {
    body(&kind.info().api_version(), kind.info().kind, bytes)
}

/// Applies to an object, or to a part of it.
pub(super) async fn object(
    write: &Write<'_>,
    key: Key,
    what: What<'_>,
    pairs: &Pairs,
    bytes: &Bytes,
) -> Result<Response, Failure> {
    let tree = body_of(key.kind, bytes)?;
    let make = || {
        let mut warnings = Warnings::default();
        let object = match write.current(&key) {
            Ok(object) => Some(object),
            Err(missing) if !what.subresource.is_empty() => return Err(missing),
            // It makes what is not there.
            Err(_) => gate::check(write.api, &write.user, &created(&key)).map(|()| None)?,
        };
        let current = object.as_ref().map(|o| o.to_value());
        let how = (pairs, &mut warnings);
        let mut given = given::read(what, &key.namespace, Some(&key.name), tree.clone(), current.as_ref(), how)?;
        grants::held(write.api, &write.user, &key, &given.value, current.as_ref())?;
        let judged = match &object {
            Some(object) => signing::written(write, object, what.subresource, &mut given.value)?,
            None => None,
        };
        let wish = objects::wish(write, key.clone(), given.value, what.subresource, pairs);
        let edit = Edit::Apply { wish, force: pairs.flag("force"), if_version: given.version.or(judged) };
        // Where it is a judgement on what was there, that may have changed under it.
        Ok((Ask::Edit(Box::new(edit)), given.version.is_none() && judged.is_some(), warnings))
    };
    let (answer, warnings) = write.ask_again(&key, make).await?;
    Ok(warnings.on(write.respond(answer, &key, 200)?))
}

/// That an object of this key is made.
fn created(key: &Key) -> Act<'_> {
    let info = key.kind.info();
    Act::Resource(Resource {
        verb: "create",
        group: info.group,
        resource: info.plural,
        namespace: &key.namespace,
        name: &key.name,
        ..Resource::default()
    })
}

/// Applies to a workload's Scale: its manager owns the number of replicas.
pub(super) async fn scaled(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let (_, api_version, kind) = scale::SCALE;
    let tree = body(api_version, kind, bytes)?;
    given::fits(&tree, &key)?;
    write.current(&key)?;
    let info = key.kind.info();
    let mut value = json!({"apiVersion": info.api_version(), "kind": info.kind, "metadata": {"name": key.name}});
    if key.kind.namespaced() {
        value["metadata"]["namespace"] = (*key.namespace).into();
    }
    let places = scale::Places::of(key.kind, &write.customs());
    if tree.pointer("/spec/replicas").is_some_and(|n| !n.is_null()) {
        places.set(&mut value, scale::replicas(&key, &tree)?);
    }
    let wish: Wish = objects::wish(write, key.clone(), value, "scale", pairs);
    let edit = Edit::Apply { wish, force: pairs.flag("force"), if_version: objects::version(&tree)? };
    let answer = write.ask(Ask::Edit(Box::new(edit))).await.map_err(|e| Failure::of_ask(&e, &key))?;
    scale::respond(write, &answer, &key, &places)
}

/// Applies to a Node.
pub(super) async fn node(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let tree = body_of(key.kind, bytes)?;
    let asked = objects::version(&tree)?;
    let make = || {
        let Ok(current) = write.current(&key) else { return Err(access::refuse(Kind::Node, None)) };
        let applied = merged(write, &key, Some(&current), &tree, pairs)?;
        let (wish, _) = nodes::wish(&current, &applied.value)?;
        let (name, dry_run, owners) = (key.name.clone(), pods::dry_run(pairs), Owners::Applied(applied.managed));
        let if_version = asked.or(Some(current.version));
        Ok((Ask::UpdateNode { name, wish, if_version, dry_run, owners }, asked.is_none(), ()))
    };
    let (answer, ()) = write.ask_again(&key, make).await?;
    write.respond(answer, &key, 200)
}

/// Applies to a Source, or makes one.
pub(super) async fn source(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let tree = body_of(key.kind, bytes)?;
    let asked = objects::version(&tree)?;
    let make = || {
        let current = write.current(&key).ok();
        if current.is_none() {
            gate::check(write.api, &write.user, &created(&key))?;
        }
        let applied = merged(write, &key, current.as_deref(), &tree, pairs)?;
        let given = sources::read(applied.value, Some(&key.name), pairs)?;
        let owners = Owners::Applied(applied.managed);
        let (ask, code) = match current {
            Some(current) => (given.over(asked.or(Some(current.version)), owners, pairs), 200),
            None if asked.is_some() => return Err(Failure::not_found(&key)),
            None => (given.made(owners, pairs), 201),
        };
        Ok((ask, asked.is_none(), code))
    };
    let (answer, code) = write.ask_again(&key, make).await?;
    write.respond(answer, &key, code)
}

/// What an apply makes of an object of a kind with rules of its own, or of nothing.
fn merged(
    write: &Write<'_>,
    key: &Key,
    object: Option<&Object>,
    tree: &Value,
    pairs: &Pairs,
) -> Result<Applied, Failure> {
    given::fits(tree, key)?;
    let mut before = object.map_or(Value::Null, Object::to_value);
    for (part, field) in [("", "status"), ("/metadata", "managedFields")] {
        if let Some(map) = before.pointer_mut(part).and_then(Value::as_object_mut) {
            map.remove(field);
        }
    }
    let owners = object.map(|o| Managed::from_bytes(&o.managed)).transpose();
    let owners = owners.map_err(|e| Failure::new(500, "InternalError", e.to_string()))?.unwrap_or_default();
    let manager = given::manager(pairs, &write.parts.headers);
    let (force, time) = (pairs.flag("force"), (write.api.now)());
    let by = Apply { manager: &manager, force, time, exclude: FieldSet::EMPTY, subresource: "" };
    merge::apply(SchemaRef::Table(key.kind).node(), &before, &owners, tree, &by)
        .map_err(|conflicts| Failure::of_ask(&AskError::Refused(conflicting(&conflicts)), key))
}
