//! Writes by hand: what users and their clients create, replace, apply and delete through the API.
//!
//! Called by `ask`. By Kubernetes' rules: names, versions, generation, ownership of fields, finalizers,
//! grace. The tree of a wish is decoded already, and its features are supported. Labels and annotations
//! of Evenkeel's own stay as they are whatever a wish says of them, but for the settings that people
//! write. An object that a source owns may be written unless it is locked: sync then finds the drift.
//! Deliberately not here: patches that are no apply (the API puts them on what it read and replaces with
//! its version).

mod delete;
mod ephemeral;
pub(crate) mod fixed;
mod owners;
mod signing;
mod status;
#[cfg(test)]
mod tests;

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Labels, Meta, Object, Uid, Version, canonical, names, own::SourceSpec};
use evenkeel_schema::{
    SchemaRef,
    custom::Before,
    merge::{Apply, Conflicts, FieldSet, Managed, Update, apply, update},
    validate::Cause,
};
pub use owners::Owners;
use serde_json::Value;

use crate::{
    ask::{Answer, DeleteOptions, More, Refusal},
    controllers::{admission, pod},
    cx::{Cx, EventKind},
    policy, quota,
    release::write::{as_kept, has_generation, with_status, without_status},
    scheduler, service,
    world::World,
};

/// Longest part of a name that a generated suffix is put to, as in Kubernetes.
const NAME_BASE_LIMIT: usize = 58;
/// Draws of a generated name before the client is asked to try again, as in Kubernetes.
const NAME_TRIES: usize = 8;
/// Prefix of Evenkeel's own labels and annotations.
const OWN: &str = "evenkeel.dev/";
/// Those of them that people write.
const SETTINGS: [&str; 6] =
    [names::TAKE_FROM, names::PRUNE, names::ROLL_ON_CONFIG, names::LOCKED, names::HTTPS_REDIRECT, names::ACME];

/// An object as somebody wishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Its key; the name is empty where `metadata.generateName` shall give one.
    pub key: Key,
    /// The whole object in Kubernetes' form, decoded, without defaults.
    pub value: Value,
    /// Who owns the fields that it sets.
    pub manager: String,
    /// The subresource that it is written through; empty for the object itself.
    pub subresource: &'static str,
    /// Everything is checked, nothing is written.
    pub dry_run: bool,
    /// Who owned the fields before this write, where the request says so itself
    /// (`metadata.managedFields` of an update); else it is as the object has it.
    pub managed: Option<Managed>,
}

/// A write by hand.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Makes it; one that is there is a conflict.
    Create(Wish),
    /// Makes it what the wish says.
    Replace {
        /// What it shall be.
        wish: Wish,
        /// Refused with a conflict unless it still has this version.
        if_version: Option<Version>,
        /// As above, of the uid.
        if_uid: Option<Uid>,
    },
    /// Server-side apply (KEP-555): makes it, or sets what the wish sets.
    Apply {
        /// What shall be set.
        wish: Wish,
        /// Takes fields from their owners.
        force: bool,
        /// As in `Replace`.
        if_version: Option<Version>,
    },
    /// Asks for its end.
    Delete {
        /// Which.
        key: Key,
        /// How.
        options: DeleteOptions,
    },
}

/// Decides on a write by hand.
pub fn handle(world: &World, edit: &Edit, user: &str, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    if world.recovering.is_some() {
        return Err(Refusal::recovering());
    }
    match edit {
        Edit::Create(wish) => create(world, wish, cx),
        Edit::Replace { wish, if_version, if_uid } => {
            let live = world.get(&wish.key).ok_or_else(|| Refusal::not_found(&wish.key))?;
            if let Some(uid) = if_uid.filter(|u| *u != live.uid) {
                return Err(Refusal::precondition(&wish.key, "UID", &uid.to_string(), &live.uid.to_string()));
            }
            same_version(live, *if_version)?;
            match wish.subresource {
                status::NAME | signing::APPROVAL => return status::replace(world, live, wish, cx),
                ephemeral::NAME => return ephemeral::replace(world, live, (wish, None), user, cx),
                _ => {}
            }
            let (new, managed) = (of_value(world, wish, wish.value.clone())?, None);
            replace(world, live, new, managed, wish, user, cx)
        }
        Edit::Apply { wish, force, if_version } => applied(world, wish, *force, *if_version, user, cx),
        Edit::Delete { key, options } => delete::handle(world, key, options, user, cx),
    }
}

fn same_version(live: &Object, wanted: Option<Version>) -> Result<(), Refusal> {
    if wanted.is_some_and(|v| v != live.version) {
        return Err(Refusal::modified(&live.key));
    }
    Ok(())
}

/// A wish's tree as an object, valid, defaults filled in.
fn of_value(world: &World, wish: &Wish, mut value: Value) -> Result<Object, Refusal> {
    as_kept(&mut value);
    let schema = schema(world, &wish.key)?;
    // A definition may want what it fills in itself.
    let fills_first = matches!(schema, SchemaRef::Custom(_));
    if fills_first {
        schema.fill_defaults(&mut value);
    }
    let looks_back = fills_first || wish.key.kind == Kind::Pod;
    let live = world.get(&wish.key).filter(|_| looks_back).map(|o| o.shown_as(wish.key.kind).to_value());
    let whole = live.as_ref().filter(|_| fills_first).map(|live| with_status(schema, &value, live));
    valid(schema, &wish.key, whole.as_ref().unwrap_or(&value), live.as_ref().map_or(Before::Nothing, Before::Was))?;
    if !fills_first {
        schema.fill_defaults(&mut value);
    }
    let mut object = Object::of_kind(wish.key.kind, value).map_err(|e| Refusal::invalid(e.to_string()))?;
    object.key = Key { kind: world.customs.stored(wish.key.kind), ..wish.key.clone() };
    Ok(object)
}

/// The schema of an object; 404 where its definition went meanwhile.
fn schema<'w>(world: &'w World, key: &Key) -> Result<SchemaRef<'w>, Refusal> {
    let gone = || Refusal::new(404, "NotFound", "the server could not find the requested resource");
    world.schema(key.kind).ok_or_else(gone)
}

fn valid(schema: SchemaRef<'_>, key: &Key, value: &Value, before: Before<'_>) -> Result<(), Refusal> {
    let problems = schema.validate(value, before);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Refusal::fields(key, problems.into_iter().map(Into::into).collect::<Vec<_>>()))
}

fn create(world: &World, wish: &Wish, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    let object = of_value(world, wish, wish.value.clone())?;
    if object.version != Version(0) {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(Refusal::new(400, "BadRequest", message));
    }
    let managed = |object: &Object, cx: &Cx<'_>| {
        let by = Update { manager: &wish.manager, time: cx.now, subresource: wish.subresource };
        let kind = wish.key.kind;
        update(world.node(kind), &Value::Null, &without_status(object, kind), &Managed::default(), &by)
    };
    make(world, object, managed, wish.dry_run, cx)
}

/// Makes an object that is not there.
fn make(
    world: &World,
    mut object: Object,
    managed: impl FnOnce(&Object, &Cx<'_>) -> Managed,
    dry_run: bool,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    name(world, &mut object, cx)?;
    has_place(world, &object.key)?;
    if world.customs.get(object.key.kind).is_some_and(|d| d.ending) {
        let message = "create not allowed while custom resource definition is terminating";
        return Err(Refusal::new(405, "MethodNotAllowed", message));
    }
    if world.get(&object.key).is_some() {
        return Err(Refusal::exists(&object.key, ""));
    }
    let own = |map: &Labels| Arc::new(map.iter().filter(|(k, _)| !kept(k)).map(pair).collect::<BTreeMap<_, _>>());
    object.uid = cx.rng.uid();
    object.meta = Meta {
        created: cx.now,
        deletion: None,
        generation: i64::from(has_generation(object.key.kind)),
        labels: own(&object.meta.labels),
        annotations: own(&object.meta.annotations),
        ..object.meta
    };
    object.status = Arc::from([]);
    if object.key.kind == Kind::NetworkPolicy
        && let Some(why) = policy::objection(world)
    {
        return Err(Refusal::fields(&object.key, [Cause::wrong("spec", why)]));
    }
    if object.key.kind == Kind::Namespace {
        object.meta.set_label("kubernetes.io/metadata.name", &*object.key.name);
    }
    // What it is given from here on belongs to nobody, as in Kubernetes: an apply of the document that its writer
    // has must not take it away.
    object.managed = managed(&object, cx).to_bytes();
    object = served(world, None, object, cx)?;
    if object.key.kind == Kind::Pod {
        let toleration = cx.settings.default_toleration;
        admission::admitted(world, &mut object, toleration).map_err(|why| quota::refusal(&object.key, &why))?;
        object.status = pod::first_status(&object);
        if let Some(node) = object.node.clone() {
            object = scheduler::placed(world, &object, &node, cx.now).map_err(|why| {
                Refusal::fields(&object.key, [Cause::invalid("spec.nodeName", format!("{node:?}"), why)])
            })?;
        }
    }
    quota::admit(world, None, &object, cx.now).map_err(|why| quota::refusal(&object.key, &why))?;
    if object.key.kind == Kind::Namespace {
        object = object.with_spec(&serde_json::json!({"finalizers": ["kubernetes"]}));
    }
    let key = object.key.clone();
    if dry_run {
        return Ok(Answer::WouldCreate(Arc::new(object)));
    }
    cx.put(object);
    Ok(Answer::Created(key))
}

/// A Service keeps what it was given, and is given what it lacks.
fn served(world: &World, live: Option<&Object>, object: Object, cx: &mut Cx<'_>) -> Result<Object, Refusal> {
    if object.key.kind != Kind::Service {
        return Ok(object);
    }
    let key = object.key.clone();
    let body = object.body_map();
    if let Some(spec) = body.get("spec").and_then(Value::as_object) {
        let wrong = service::objections(world, &cx.settings.network, &key, spec, live);
        if !wrong.is_empty() {
            return Err(Refusal::fields(&key, wrong));
        }
    }
    service::admit(world, live, object, cx).map_err(|why| Refusal::fields(&key, [Cause::wrong("spec", why)]))
}

/// Gives an object a name where it asks for a generated one.
fn name(world: &World, object: &mut Object, cx: &mut Cx<'_>) -> Result<(), Refusal> {
    if !object.key.name.is_empty() {
        return Ok(());
    }
    let Some(base) = object.meta.generate_name.clone().filter(|b| !b.is_empty()) else {
        let why = "name or generateName is required";
        return Err(Refusal::fields(&object.key, [Cause::required("metadata.name", why)]));
    };
    let base: String = base.chars().take(NAME_BASE_LIMIT).collect();
    for _ in 0..NAME_TRIES {
        let key = Key::new(object.key.kind, object.key.namespace.clone(), format!("{base}{}", cx.rng.name_suffix()));
        if world.get(&key).is_none() {
            object.key = key;
            return Ok(());
        }
    }
    Err(Refusal::exists(&object.key, "no free name was found in time").with(More::RetryAfter(1)))
}

/// Whether an object may come into its namespace.
fn has_place(world: &World, key: &Key) -> Result<(), Refusal> {
    if !key.kind.namespaced() {
        return Ok(());
    }
    let namespace = Key::cluster(Kind::Namespace, key.namespace.clone());
    match world.get(&namespace) {
        None => Err(Refusal::not_found(&namespace)),
        Some(n) if n.deleting() => Err(Refusal::new(
            403,
            "Forbidden",
            format!(
                "{} \"{}\" is forbidden: unable to create new content in namespace {} because it is being terminated",
                key.kind.resource(),
                key.name,
                key.namespace
            ),
        )
        .with(More::Ending(key.namespace.to_string()))),
        Some(_) => Ok(()),
    }
}

fn pair((k, v): (&String, &String)) -> (String, String) {
    (k.clone(), v.clone())
}

/// Whether a label or annotation is Evenkeel's own and stays as it is.
fn kept(name: &str) -> bool {
    name.starts_with(OWN) && !SETTINGS.contains(&name)
}

/// Labels or annotations as wished, Evenkeel's own as they were.
fn with_own(wished: &Labels, before: &Labels) -> Labels {
    let theirs = wished.iter().filter(|(k, _)| !kept(k));
    let ours = before.iter().filter(|(k, _)| kept(k));
    Arc::new(theirs.chain(ours).map(pair).collect::<BTreeMap<_, _>>())
}

fn applied(
    world: &World,
    wish: &Wish,
    force: bool,
    if_version: Option<Version>,
    user: &str,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let live = world.get(&wish.key);
    if live.is_none() && if_version.is_some() {
        return Err(Refusal::not_found(&wish.key));
    }
    if let Some(live) = live {
        same_version(live, if_version)?;
    }
    if [status::NAME, signing::APPROVAL].contains(&wish.subresource) {
        return status::applied(world, wish, force, cx);
    }
    if wish.subresource == ephemeral::NAME {
        return ephemeral::applied(world, wish, force, user, cx);
    }
    let before = live.map_or(Value::Null, |o| without_status(o, wish.key.kind));
    let owners = live.map_or_else(|| Ok(Managed::default()), |o| Managed::from_bytes(&o.managed));
    let owners = owners.map_err(|e| Refusal::new(500, "InternalError", e.to_string()))?;
    let mut wanted = wish.value.clone();
    as_kept(&mut wanted);
    let by =
        Apply { manager: &wish.manager, force, time: cx.now, exclude: FieldSet::EMPTY, subresource: wish.subresource };
    let merged = apply(world.node(wish.key.kind), &before, &owners, &wanted, &by).map_err(|c| conflicting(&c))?;
    let Some(live) = live else {
        let object = of_value(world, wish, merged.value)?;
        return make(world, object, |_, _| merged.managed, wish.dry_run, cx);
    };
    if !merged.changed {
        return Ok(if wish.dry_run { Answer::Would(live.clone()) } else { Answer::Object(live.key.clone()) });
    }
    let new = of_value(world, wish, merged.value)?;
    replace(world, live, new, Some(merged.managed), wish, user, cx)
}

/// What an apply without force may not take.
pub fn conflicting(conflicts: &Conflicts) -> Refusal {
    let message = conflicts.to_string();
    let each = conflicts.0.iter().map(|c| (c.path.kubernetes(), format!("conflict with {}", c.manager)));
    Refusal::conflict(message).with(More::FieldConflicts(each.collect()))
}

/// A ClusterRole that is the sum of others keeps what they add up to until its controller looks.
fn with_sum(live: &Object, new: &mut Object) {
    if new.key.kind != Kind::ClusterRole {
        return;
    }
    let mut body = new.body_map();
    let sum = body.get("aggregationRule").is_some_and(Value::is_object);
    if sum && let Some(rules) = live.body_map().remove("rules") {
        body.insert("rules".into(), rules);
        new.body = canonical::value_bytes(&Value::Object(body)).into();
    }
}

/// Writes an object over the one that is there; `managed` is who owns what then, where that is known.
fn replace(
    world: &World,
    live: &Arc<Object>,
    new: Object,
    managed: Option<Managed>,
    wish: &Wish,
    user: &str,
    cx: &mut Cx<'_>,
) -> Result<Answer, Refusal> {
    let key = &live.key;
    unlocked(world, live)?;
    let finalizers = new.meta.finalizers.clone();
    if live.deleting() {
        let added: Vec<&String> = finalizers.iter().filter(|f| !live.meta.finalizers.contains(f)).collect();
        if let [first, ..] = &added[..] {
            return Err(Refusal::invalid(format!(
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found \
                 new finalizers {first:?}"
            )));
        }
    }
    let mut new = served(world, Some(live), new, cx)?;
    with_sum(live, &mut new);
    if key.kind == Kind::CertificateSigningRequest {
        // What was asked for stays, whatever is sent with it: as in Kubernetes.
        new.body = live.body.clone();
    }
    new.uid = live.uid;
    new.version = live.version;
    new.status = live.status.clone();
    new.node.clone_from(&live.node);
    new.meta = Meta {
        created: live.meta.created,
        deletion: live.meta.deletion,
        generation: live.meta.generation + i64::from(has_generation(key.kind) && live.body != new.body),
        generate_name: live.meta.generate_name.clone(),
        labels: with_own(&new.meta.labels, &live.meta.labels),
        annotations: with_own(&new.meta.annotations, &live.meta.annotations),
        ..new.meta
    };
    fixed::check(live, &new)?;
    quota::admit(world, Some(live), &new, cx.now).map_err(|why| quota::refusal(key, &why))?;
    let managed = managed.unwrap_or_else(|| {
        let owners = wish.managed.clone().unwrap_or_else(|| Managed::from_bytes(&live.managed).unwrap_or_default());
        let by = Update { manager: &wish.manager, time: cx.now, subresource: wish.subresource };
        let kind = wish.key.kind;
        update(world.node(kind), &without_status(live, kind), &without_status(&new, kind), &owners, &by)
    });
    new.managed = managed.to_bytes();
    if wish.dry_run {
        return Ok(Answer::Would(Arc::new(new)));
    }
    if live.deleting() && finalizers.is_empty() && !live.meta.finalizers.is_empty() && delete::may_go(world, live) {
        cx.delete(key.clone());
        return Ok(Answer::Deleted(live.clone()));
    }
    let handed_over = wish.managed.is_some() && new.managed != live.managed;
    if handed_over || !new.same_content(live) {
        if new.body != live.body && owner(world, live).is_some() {
            let text = format!("{user} has changed {key} by hand ({})", wish.manager);
            cx.event(world, live, EventKind::Normal, "ChangedByHand", &text);
        }
        cx.put(new);
    }
    Ok(Answer::Object(key.clone()))
}

/// The source that an object belongs to, if it is there.
fn owner(world: &World, object: &Object) -> Option<(String, SourceSpec)> {
    let wanted = world.desired.source_of(&object.key).map(ToString::to_string);
    let name = wanted.or_else(|| {
        let marked = object.meta.annotation(names::APPLIED).is_some();
        object.source().filter(|_| marked).map(ToString::to_string)
    })?;
    let source = world.get(&Key::cluster(Kind::Source, name.as_str()))?;
    Some((name, source.spec().ok()?))
}

/// Refuses a write to what a locked source owns, or a source in a locked namespace.
fn unlocked(world: &World, object: &Object) -> Result<(), Refusal> {
    let Some((name, spec)) = owner(world, object) else { return Ok(()) };
    let namespace = Key::cluster(Kind::Namespace, object.key.namespace.clone());
    let by_namespace = world.get(&namespace).is_some_and(|n| n.meta.annotation(names::LOCKED) == Some("true"));
    if !spec.locked && !by_namespace {
        return Ok(());
    }
    let what = if spec.locked { format!("source {name}") } else { format!("namespace {}", object.key.namespace) };
    let from = spec.git.map(|g| g.url).or(spec.directory).unwrap_or_default();
    let place = world.desired.get(&object.key).map_or_else(String::new, |w| format!("{} of ", w.doc.place));
    Err(Refusal::new(
        403,
        "Forbidden",
        format!(
            "{} \"{}\" is forbidden: {what} is locked, so it changes by a commit alone: change {place}{from}",
            object.key.kind.resource(),
            object.key.name
        ),
    ))
}
