//! Bodies that are objects: from bytes to a checked tree, with what is to be said of it.
//!
//! Called by `objects` for creates, replacements and applies, and for what a patch makes. As in
//! Kubernetes, `fieldValidation` says what becomes of unknown fields; a feature that is not supported
//! yet is always an error. Deliberately not here: whether the values are valid (core asks the schema
//! when it knows the whole object), and what may be changed.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use evenkeel_model::{Key, Kind, Severity, Uid, Version};
use evenkeel_schema::{
    Path, SchemaRef, Step, Trail, Type,
    decode::{self, FaultKind},
    merge::Managed,
    of_kind,
    protobuf::{self, ProtobufError},
    support::{self, Remark},
};
use serde_json::{Map, Value, json};

use super::{access, body, protobuf::MEDIA as PROTOBUF, query::Pairs, status::Failure, twice};

/// Warnings that go into one answer; each is a header.
const MAX_WARNINGS: usize = 20;
/// Bytes of a field manager's name, as in Kubernetes.
pub(super) const MANAGER_MOST: usize = 128;
/// Bytes of one warning.
const MAX_WARNING: usize = 400;

/// What becomes of fields that are unknown or twice there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validation {
    Ignore,
    Warn,
    Strict,
}

impl Validation {
    fn read(pairs: &Pairs) -> Result<Self, Failure> {
        match pairs.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => {
                let known = ["Ignore", "Strict", "Warn"];
                Err(Failure::new(422, "Invalid", format!("fieldValidation: {other:?} is none of {}", known.join(", "))))
            }
        }
    }
}

/// An object as a request says it.
#[derive(Debug, PartialEq)]
pub(super) struct Given {
    /// The whole object, decoded, without what the server sets.
    pub(super) value: Value,
    /// `metadata.name`; may be empty.
    pub(super) name: String,
    /// `metadata.resourceVersion`.
    pub(super) version: Option<Version>,
    /// `metadata.uid`.
    pub(super) uid: Option<Uid>,
    /// `metadata.managedFields`, where they are others than the object's.
    pub(super) managed: Option<Managed>,
}

/// What the caller is told beside the answer.
#[derive(Debug, Default)]
pub(super) struct Warnings(Vec<String>);

impl Warnings {
    /// Puts them on an answer.
    pub(super) fn on(self, mut response: Response) -> Response {
        for text in self.0 {
            let plain: String =
                text.chars().map(|c| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' }).collect();
            let quoted = plain.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }

    pub(super) fn add(&mut self, text: &str) {
        let text: String = text.chars().take(MAX_WARNING).collect();
        if self.0.len() < MAX_WARNINGS && !self.0.contains(&text) {
            self.0.push(text);
        }
    }
}

/// A body as a tree: JSON, YAML or protobuf.
pub(super) fn tree(kind: Kind, headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Failure> {
    let info = kind.info();
    tree_of(of_kind(kind), (info.api_version(), info.kind), headers, bytes)
}

fn tree_of(ty: &Type, wanted: (String, &str), headers: &HeaderMap, bytes: &[u8]) -> Result<Value, Failure> {
    if body::media_type(headers) != PROTOBUF {
        return body::tree(headers, bytes);
    }
    let broken = |e: ProtobufError| Failure::bad_request(e.to_string());
    let envelope = protobuf::envelope(bytes).map_err(broken)?;
    let named = |found: &str, wanted: &str| found.is_empty() || found == wanted;
    if !named(envelope.api_version, &wanted.0) || !named(envelope.kind, wanted.1) {
        let found = format!("{} {}", envelope.api_version, envelope.kind);
        return Err(Failure::bad_request(format!(
            "the body is a {found}, and this path takes {} {}",
            wanted.0, wanted.1
        )));
    }
    let mut value = protobuf::decode(ty, envelope.raw).map_err(broken)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".into(), wanted.0.into());
        map.insert("kind".into(), wanted.1.into());
    }
    Ok(value)
}

/// Refuses a body that names another object than its path.
pub(super) fn fits(tree: &Value, key: &Key) -> Result<(), Failure> {
    for (field, wanted) in [("name", &key.name), ("namespace", &key.namespace)] {
        let found = tree.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default();
        if !found.is_empty() && *found != **wanted {
            let message =
                format!("the {field} of the object ({found}) does not match the {field} on the URL ({wanted})");
            return Err(Failure::bad_request(message));
        }
    }
    Ok(())
}

/// A body that is no object of a kind that is kept, but a question, or a part of an object under a name of its
/// own. Unknown fields say nothing.
pub(super) fn question(
    (definition, api_version, kind): (&str, &str, &str),
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Value, Failure> {
    let ty = evenkeel_schema::definition(definition)
        .ok_or_else(|| Failure::new(500, "InternalError", format!("the tables have no {definition}")))?;
    let tree = tree_of(ty, (api_version.into(), kind), headers, bytes)?;
    if !tree.is_object() {
        return Err(Failure::bad_request("the body is no object"));
    }
    for (field, expected) in [("apiVersion", api_version), ("kind", kind)] {
        if let Some(found) = tree.get(field).filter(|found| *found != expected) {
            let message = format!("{field} in the body is {found}, and this path takes \"{expected}\"");
            return Err(Failure::bad_request(message));
        }
    }
    let mut wrong = Vec::new();
    let value = decode::decode(ty, &tree, decode::Options::default(), &mut |fault| {
        if fault.kind == FaultKind::WrongType {
            wrong.push(format!("{}: {}", fault.path, fault.message));
        }
    });
    if wrong.is_empty() {
        return Ok(value);
    }
    let wrong = wrong.join(", ");
    Err(Failure::bad_request(format!(
        "{kind} in version \"{api_version}\" cannot be handled as a {kind}: wrong types: {wrong}"
    )))
}

/// What a body is about: an object of a kind, or its status alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct What<'s> {
    pub(super) schema: SchemaRef<'s>,
    /// `status`, or empty for the object itself.
    pub(super) subresource: &'static str,
    /// Whether a patch has made it: what cannot be read then is no bad request but an invalid object.
    pub(super) patched: bool,
    /// Whether an unknown field is an error whatever `fieldValidation` says.
    pub(super) strict: bool,
}

impl<'s> What<'s> {
    /// An object itself.
    pub(super) fn object(schema: SchemaRef<'s>) -> Self {
        Self { schema, subresource: "", patched: false, strict: false }
    }
}

/// Where ephemeral containers stand.
const EPHEMERAL_CONTAINERS: &str = "spec.ephemeralContainers";

/// Where a pod names its node.
const NODE_NAME: &str = "spec.nodeName";

/// Checks a tree. `namespace` is the one of the path; `before` is the object that is there, whose own
/// features nobody is asked about again.
pub(super) fn read(
    what: What<'_>,
    namespace: &str,
    name: Option<&str>,
    tree: Value,
    before: Option<&Value>,
    (pairs, warnings): (&Pairs, &mut Warnings),
) -> Result<Given, Failure> {
    let Value::Object(mut map) = tree else { return Err(Failure::bad_request("the body is no object")) };
    let kind = what.schema.kind();
    let info = kind.info();
    for (field, expected) in [("apiVersion", info.api_version()), ("kind", info.kind.to_owned())] {
        let found = map.entry(field).or_insert_with(|| expected.clone().into());
        if found.as_str() != Some(expected.as_str()) {
            let message = format!("{field} in the body is {found}, and this path takes \"{expected}\"");
            return Err(unreadable(what, message));
        }
    }
    // A write of the object itself never touches its status, where that is written apart.
    if what.subresource.is_empty() && (info.has_status || !matches!(kind, Kind::Custom(_))) {
        map.remove("status");
    }
    let managed = managed(&mut map, before)?;
    let validation = Some(Validation::read(pairs)?).filter(|_| !what.strict).unwrap_or(Validation::Strict);
    let mut value = decoded(what, &Value::Object(map), validation, warnings)?;
    // What is of the whole cluster has no namespace, whatever a body says: it is cleared, as in Kubernetes.
    if !kind.namespaced()
        && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("namespace");
    }
    let text = |value: &Value, field: &str| {
        value.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let found = text(&value, "name");
    if let Some(name) = name.filter(|n| !found.is_empty() && *n != found) {
        let message = format!("the name of the object ({found}) does not match the name on the URL ({name})");
        return Err(Failure::bad_request(message));
    }
    let theirs = text(&value, "namespace");
    if !theirs.is_empty() && theirs != namespace {
        let message = format!(
            "the namespace of the provided object does not match the namespace sent on the request ({theirs}, {namespace})"
        );
        return Err(Failure::bad_request(message));
    }
    let (version, uid) = (text(&value, "resourceVersion"), text(&value, "uid"));
    let version = match version.as_str() {
        "" | "0" => None,
        text => Some(self::version("metadata", text)?),
    };
    let uid = Some(uid).filter(|text| !text.is_empty()).map(|text| meant(&text));
    // Of a status nothing is unsupported, and nothing else counts in a write of it.
    if !["status", access::APPROVAL.name].contains(&what.subresource) {
        supported(what, &mut value, before, warnings)?;
    }
    let metadata = value.as_object_mut().map(|m| m.entry("metadata").or_insert_with(|| Value::Object(Map::new())));
    if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
        if !namespace.is_empty() {
            metadata.insert("namespace".into(), namespace.into());
        }
        if let Some(name) = name {
            metadata.insert("name".into(), name.into());
        }
    }
    Ok(Given { name: name.map_or(found, str::to_owned), value, version, uid, managed })
}

/// The version that a field `resourceVersion` of `whose` names.
pub(super) fn version(whose: &str, text: &str) -> Result<Version, Failure> {
    let wrong = |_| Failure::bad_request(format!("{whose}.resourceVersion: `{text}` is none"));
    text.parse().map(Version).map_err(wrong)
}

/// Which object is meant by a uid. It is any text in Kubernetes: one that is no UUID is that of no object here,
/// and a writer who names it is told that it meant another.
pub(super) fn meant(uid: &str) -> Uid {
    uid.parse().unwrap_or_default()
}

/// Takes `metadata.managedFields` out: who owns what is kept apart. As in Kubernetes nothing and an empty
/// list leave it as it is, and a list with one empty entry begins anew.
fn managed(map: &mut Map<String, Value>, before: Option<&Value>) -> Result<Option<Managed>, Failure> {
    const FIELD: &str = "managedFields";
    let metadata = map.get_mut("metadata").and_then(Value::as_object_mut);
    let list = match metadata.and_then(|m| m.remove(FIELD)) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.is_empty() => return Ok(None),
        Some(list) => list,
    };
    if before.and_then(|b| b.get("metadata")).and_then(|m| m.get(FIELD)) == Some(&list) {
        return Ok(None);
    }
    if list == json!([{}]) {
        return Ok(Some(Managed::default()));
    }
    let managed = Managed::from_bytes(list.to_string().as_bytes());
    managed.map(Some).map_err(|e| Failure::new(422, "Invalid", format!("metadata.managedFields: Invalid value: {e}")))
}

/// Refuses, warns of or takes fields that stand twice in a body, as `fieldValidation` says.
pub(super) fn once(
    kind: Kind,
    headers: &HeaderMap,
    bytes: &[u8],
    (pairs, warnings): (&Pairs, &mut Warnings),
) -> Result<(), Failure> {
    let validation = Validation::read(pairs)?;
    if validation == Validation::Ignore {
        return Ok(());
    }
    let twice: Vec<String> =
        twice::fields(headers, bytes).into_iter().map(|path| format!("duplicate field \"{path}\"")).collect();
    if validation == Validation::Strict && !twice.is_empty() {
        let version = kind.info().api_version();
        return Err(Failure::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
            twice.join(", ")
        )));
    }
    for text in &twice {
        warnings.add(text);
    }
    Ok(())
}

/// What is no object of its kind: 400 for a body, 422 for what a patch has made.
fn unreadable(what: What<'_>, message: String) -> Failure {
    if what.patched { Failure::new(422, "Invalid", message) } else { Failure::bad_request(message) }
}

fn decoded(what: What<'_>, tree: &Value, validation: Validation, warnings: &mut Warnings) -> Result<Value, Failure> {
    let schema = what.schema;
    let kind = schema.kind();
    let options = decode::Options { hide_values: kind == Kind::Secret, ..decode::Options::default() };
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    let value = schema.decode(tree, options, &mut |fault: decode::Fault<&Value>| match fault.kind {
        FaultKind::WrongType => wrong.push(format!("{}: {}", fault.path, fault.message)),
        FaultKind::UnknownField => unknown.push((fault.path.to_string(), fault.message)),
    });
    let version = kind.info().api_version();
    let refuse = |why: &str, list: &[String]| {
        let list = list.join(", ");
        let message = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}: {list}");
        Err(unreadable(what, message))
    };
    if !wrong.is_empty() {
        return refuse("wrong types", &wrong);
    }
    match validation {
        Validation::Warn => unknown.iter().for_each(|(path, _)| warnings.add(&format!("unknown field \"{path}\""))),
        Validation::Strict if !unknown.is_empty() => {
            // Kubernetes' own words, and the hint that it does not have.
            let each = unknown.into_iter().map(|(path, message)| {
                let hint = message
                    .split_once(", did you mean ")
                    .map_or(String::new(), |(_, h)| format!(" (did you mean {h})"));
                format!("unknown field \"{path}\"{hint}")
            });
            return refuse("strict decoding error", &each.collect::<Vec<_>>());
        }
        Validation::Ignore | Validation::Strict => {}
    }
    Ok(value)
}

/// Refuses features that are not there yet, warns of those without effect, takes out what the server
/// sets.
fn supported(
    What { schema, subresource, .. }: What<'_>,
    value: &mut Value,
    before: Option<&Value>,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let kind = schema.kind();
    let ephemeral = subresource == access::EPHEMERAL.name;
    let mut known = Vec::new();
    if let Some(before) = before {
        schema.admit(&mut before.clone(), &mut |r| known.push((r.path, r.message)));
    }
    let mut refused = Vec::new();
    let mut look = |remark: Remark| {
        // What is written through this subresource is what is looked at below.
        let added = ephemeral && remark.path.to_string() == EPHEMERAL_CONTAINERS;
        // A new pod may say where it goes; of one that is there it is known.
        let placed = kind == Kind::Pod && before.is_none() && remark.path.to_string() == NODE_NAME;
        if added
            || placed
            || metadata_of_an_object(&remark.path)
            || known.contains(&(remark.path.clone(), remark.message.clone()))
        {
            return;
        }
        match remark.severity {
            Severity::Error => refused.push(format!("{}: {}", remark.path, remark.message)),
            Severity::Warning => warnings.add(&format!("{}: {}", remark.path, remark.message)),
        }
    };
    schema.admit(value, &mut look);
    if ephemeral && let Some(ty) = evenkeel_schema::definition("core.v1.EphemeralContainer") {
        let (root, list) = (Trail::Root, value.pointer_mut("/spec/ephemeralContainers"));
        let (spec, all) = (root.field("spec"), list.and_then(Value::as_array_mut));
        for (i, one) in all.into_iter().flatten().enumerate() {
            support::admit_part(ty, one, &spec.field("ephemeralContainers").index(i), &mut look);
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let name = value.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).unwrap_or_default();
    let message = format!("{kind} \"{name}\" cannot be taken: {}", refused.join(", "));
    Err(Failure::new(422, "Invalid", message))
}

/// Generated names, owners and finalizers are for objects made by hand; only a source's have none.
fn metadata_of_an_object(path: &Path) -> bool {
    matches!(path.0.as_slice(), [Step::Field(metadata), Step::Field(_)] if metadata == "metadata")
}

/// Who owns the fields that a request sets: `fieldManager`, else the program that asks, as in Kubernetes.
pub(super) fn manager(pairs: &Pairs, headers: &HeaderMap) -> String {
    if let Some(manager) = pairs.get("fieldManager") {
        return manager.to_owned();
    }
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let program: String = agent.split('/').next().unwrap_or_default().chars().take(MANAGER_MOST).collect();
    if program.is_empty() { "unknown".into() } else { program }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(value: Value, query: &str) -> (Result<Given, Failure>, Vec<String>) {
        let pairs = Pairs::of(&format!("/x?{query}").parse().unwrap()).unwrap();
        let mut warnings = Warnings::default();
        let given =
            read(What::object(SchemaRef::Table(Kind::ConfigMap)), "shop", None, value, None, (&pairs, &mut warnings));
        (given, warnings.0)
    }

    #[test]
    fn unknown_fields_are_what_the_caller_wants_them_to_be() {
        let value = json!({"metadata": {"name": "c"}, "dta": {"a": "b"}});
        let failure = run(value.clone(), "fieldValidation=Strict").0.unwrap_err();
        assert_eq!(failure.code, 400);
        assert!(
            failure.message.contains("strict decoding error: unknown field \"dta\" (did you mean `data`?)"),
            "{}",
            failure.message
        );
        let (given, warnings) = run(value.clone(), "");
        assert_eq!((given.unwrap().name.as_str(), warnings), ("c", vec!["unknown field \"dta\"".into()]));
        assert_eq!(run(value.clone(), "fieldValidation=Ignore").1, Vec::<String>::new());
        assert_eq!(run(value, "fieldValidation=No").0.unwrap_err().code, 422);
    }

    #[test]
    fn a_body_must_fit_its_path() {
        for (value, part) in [
            (json!([]), "no object"),
            (json!({"kind": "Pod"}), "this path takes \"ConfigMap\""),
            (json!({"metadata": {"namespace": "other"}}), "does not match the namespace"),
            (json!({"data": {"a": 1}}), "wrong types: data[a]"),
        ] {
            let failure = run(value, "").0.unwrap_err();
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        let given =
            run(json!({"metadata": {"name": "c", "resourceVersion": "7", "generateName": "x-"}}), "").0.unwrap();
        assert_eq!((given.version, given.uid), (Some(Version(7)), None));
        let of_nobody = run(json!({"metadata": {"name": "c", "uid": "x"}}), "").0.unwrap();
        assert_eq!(of_nobody.uid, Some(Uid(0)), "it is answered with a conflict, as in Kubernetes");
        assert_eq!(given.value["metadata"], json!({"name": "c", "namespace": "shop", "generateName": "x-"}));
    }

    #[test]
    fn what_is_of_the_whole_cluster_loses_its_namespace() {
        let value = json!({"metadata": {"name": "c", "namespace": "other"}});
        let (pairs, mut warnings) = (Pairs::default(), Warnings::default());
        let what = What::object(SchemaRef::Table(Kind::ClusterRole));
        let given = read(what, "", None, value, None, (&pairs, &mut warnings)).unwrap();
        assert_eq!(given.value["metadata"], json!({"name": "c"}));
    }

    #[test]
    fn what_is_not_there_yet_is_refused_once() {
        let pod = |extra: Value| {
            let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
            spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"metadata": {"name": "p"}, "spec": spec})
        };
        let odd = pod(json!({"runtimeClassName": "gvisor"}));
        let pairs = Pairs::default();
        let mut warnings = Warnings::default();
        let read = |value: &Value, before: Option<&Value>, warnings: &mut Warnings| {
            read(What::object(SchemaRef::Table(Kind::Pod)), "shop", None, value.clone(), before, (&pairs, warnings))
        };
        let failure = read(&odd, None, &mut warnings).unwrap_err();
        assert_eq!(failure.code, 422);
        assert!(failure.message.contains("spec.runtimeClassName"), "{}", failure.message);
        assert!(read(&odd, Some(&odd), &mut warnings).is_ok(), "it is so already");
    }
}
