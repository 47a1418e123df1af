//! One write of a source to an object: server-side apply, defaults, generation.
//!
//! Called by sync and by plans. Deliberately not here: whether to write.

use alloc::{format, string::String, sync::Arc};

use evenkeel_model::{Digest, Doc, Key, Kind, Meta, Object, Time, Uid, base64, canonical, names};
use evenkeel_schema::{
    SchemaRef,
    custom::Before,
    decode,
    merge::{Apply, FieldSet, Managed, apply},
};
use serde_json::{Map, Value, json};

use crate::world::World;

/// Hexadecimal digits of a document's digest on its object: enough to never meet by chance.
const MARK_DIGITS: usize = 16;

/// The field manager of a source.
pub(crate) fn manager(source: &str) -> String {
    format!("evenkeel:{source}")
}

/// What the annotation [`names::APPLIED`] says of a document. Keyed, for a Secret's digest would
/// let its value be guessed.
pub(crate) fn mark(world: &World, doc: &Doc) -> String {
    if doc.key.kind == Kind::Secret {
        Digest::keyed(&world.digest_key, &doc.digest.0).short(MARK_DIGITS)
    } else {
        doc.digest.short(MARK_DIGITS)
    }
}

/// The document as it is applied: `stringData` folded into `data`, label and annotations of the
/// source added.
pub(crate) fn applied(world: &World, doc: &Doc, source: &str, revision: &str, former: Option<&str>) -> Value {
    let mut value = doc.value.clone();
    as_kept(&mut value);
    let Some(metadata) = value
        .as_object_mut()
        .and_then(|m| m.entry("metadata").or_insert_with(|| Value::Object(Map::new())).as_object_mut())
    else {
        return value;
    };
    let mut set = |field: &str, name: &str, text: String| {
        let slot = metadata.entry(field).or_insert(Value::Null);
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        if let Some(map) = slot.as_object_mut() {
            map.insert(name.into(), Value::String(text));
        }
    };
    set("labels", names::SOURCE, source.into());
    set("annotations", names::REVISION, revision.into());
    set("annotations", names::APPLIED, mark(world, doc));
    if let Some(former) = former {
        set("annotations", names::FORMER, former.into());
    }
    value
}

/// What is written in one form and kept in another: Kubernetes' write-only `stringData` becomes `data`, and
/// a ClusterRole that is the sum of others has no rules of its own, whatever it says (`rules: []`, most of
/// all): they are the controller's.
pub(crate) fn as_kept(value: &mut Value) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let (role, secret) = (kind == "ClusterRole", kind == "Secret");
    let Some(map) = value.as_object_mut() else { return };
    if role && map.get("aggregationRule").is_some_and(Value::is_object) {
        map.remove("rules");
    }
    if !secret {
        return;
    }
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    let data = map.entry("data").or_insert(Value::Null);
    if !data.is_object() {
        *data = Value::Object(Map::new());
    }
    if let Some(data) = data.as_object_mut() {
        for (k, v) in texts {
            data.insert(k, json!(base64::encode(v.as_str().unwrap_or_default().as_bytes())));
        }
    }
}

/// What applying a configuration makes of an object. `uid` is used where it is made anew. The
/// result equals the live object where nothing changes.
pub(crate) fn onto(
    world: &World,
    live: Option<&Object>,
    doc: &Doc,
    wanted: &Value,
    source: &str,
    exclude: &FieldSet,
    (now, uid): (Time, Uid),
) -> Result<Object, String> {
    let kind = doc.key.kind;
    let schema = world.schema(kind).ok_or_else(|| format!("no definition of {} is in force", kind.text()))?;
    let before = live.map_or(Value::Null, |o| without_status(o, kind));
    let owners = live.map_or_else(|| Ok(Managed::default()), |o| Managed::from_bytes(&o.managed));
    let owners = owners.map_err(|e| format!("{e}"))?;
    let by = Apply { manager: &manager(source), force: true, time: now, exclude, subresource: "" };
    let merged = apply(schema.node(), &before, &owners, wanted, &by).map_err(|e| format!("{e}"))?;
    if let Some(live) = live.filter(|_| !merged.changed) {
        return Ok(live.clone());
    }
    let mut value = merged.value;
    schema.fill_defaults(&mut value);
    if let SchemaRef::Custom(_) = schema {
        value = fitting(schema, &value, live.map(|o| o.shown_as(kind).to_value()).as_ref())?;
    }
    let mut object = Object::of_kind(kind, value).map_err(|e| format!("{e}"))?;
    object.key = Key { kind: world.customs.stored(kind), ..doc.key.clone() };
    object.managed = merged.managed.to_bytes();
    let steps = has_generation(doc.key.kind);
    if let Some(live) = live {
        object.uid = live.uid;
        object.version = live.version;
        object.status = live.status.clone();
        object.node = live.node.clone().or(object.node);
        object.meta = Meta {
            created: live.meta.created,
            deletion: live.meta.deletion,
            generation: live.meta.generation + i64::from(steps && live.body != object.body),
            generate_name: live.meta.generate_name.clone(),
            ..object.meta
        };
    } else {
        object.uid = uid;
        object.meta.created = now;
        object.meta.generation = i64::from(steps);
    }
    Ok(object)
}

/// A custom object as its definition takes it now, which may be another than when its document was read.
fn fitting(schema: SchemaRef<'_>, value: &Value, live: Option<&Value>) -> Result<Value, String> {
    let value = schema.decode(value, decode::Options::default(), &mut |_: decode::Fault<&Value>| {});
    let whole = live.map(|live| with_status(schema, &value, live));
    let problems = schema.validate(whole.as_ref().unwrap_or(&value), live.map_or(Before::Nothing, Before::Was));
    match problems.first() {
        None => Ok(value),
        Some(problem) => Err(format!("{}: {}", problem.path, problem.message)),
    }
}

/// A custom object with the status that it keeps: rules may look at both.
pub(crate) fn with_status(schema: SchemaRef<'_>, value: &Value, live: &Value) -> Value {
    let mut whole = value.clone();
    if schema.kind().info().has_status
        && let (Some(map), Some(status)) = (whole.as_object_mut(), live.get("status"))
    {
        map.insert("status".into(), status.clone());
    }
    whole
}

/// The whole object but its status, as merging reads it, in the version that a kind names.
pub(crate) fn without_status(object: &Object, kind: Kind) -> Value {
    let key = Key { kind, ..object.key.clone() };
    let mut value = Object { key, status: Arc::from([]), ..object.clone() }.to_value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    value
}

/// What has no specification that something acts on has none.
pub(crate) fn has_generation(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::ConfigMap
            | Kind::Secret
            | Kind::CertificateSigningRequest
            | Kind::ControllerRevision
            | Kind::Event
            | Kind::Lease
            | Kind::ServiceAccount
            | Kind::Role
            | Kind::ClusterRole
            | Kind::RoleBinding
            | Kind::ClusterRoleBinding
    )
}

/// What an unowned object was, as the annotation [`names::FORMER`] keeps it.
pub(crate) fn former(object: &Object) -> String {
    let annotations = json!(object.meta.annotations);
    let value = json!({
        "labels": object.meta.labels, "annotations": annotations, "body": object.body_map(),
    });
    String::from_utf8(canonical::value_bytes(&value)).unwrap_or_default()
}

/// The object as it was before its source took it over; `None` where that cannot be read.
pub(crate) fn give_back(object: &Object, source: &str) -> Option<Object> {
    let former: Value = serde_json::from_str(object.meta.annotation(names::FORMER)?).ok()?;
    let mut out = released(object, source);
    out.meta.labels = serde_json::from_value(former.get("labels")?.clone()).ok()?;
    out.meta.annotations = serde_json::from_value(former.get("annotations")?.clone()).ok()?;
    let body: Arc<[u8]> = canonical::value_bytes(former.get("body")?).into();
    if has_generation(out.key.kind) && body != out.body {
        out.meta.generation += 1;
    }
    out.body = body;
    Some(out)
}

/// The object without any sign of its source; its fields stay.
pub(crate) fn released(object: &Object, source: &str) -> Object {
    let mut out = object.clone();
    Arc::make_mut(&mut out.meta.labels).remove(names::SOURCE);
    let annotations = Arc::make_mut(&mut out.meta.annotations);
    for name in [names::REVISION, names::APPLIED, names::FORMER] {
        annotations.remove(name);
    }
    if let Ok(mut managed) = Managed::from_bytes(&out.managed) {
        let manager = manager(source);
        managed.0.retain(|e| e.manager != manager);
        out.managed = managed.to_bytes();
    }
    out
}
