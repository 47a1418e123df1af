//! Makes `src/tables/*.rs` from the tables under `data/`.
//!
//! Run it after a change of those: `cargo run -p evenkeel-schema --example generate`. The test
//! `generated` runs the same code and compares. Only definitions that are reachable from the kinds
//! of the groups in `GROUPS` and from Evenkeel's own are made; the
//! names of all kinds are.

#![allow(clippy::disallowed_methods)] // a developer's tool reads and writes the tables

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

type Row = Vec<String>;

/// What stands in `data/`.
struct Data {
    fields: BTreeMap<String, Vec<Row>>,
    kinds: Vec<Row>,
    defaults: BTreeMap<(String, String), String>,
    rules: BTreeMap<(String, String), Vec<String>>,
    support: BTreeMap<(String, String), Row>,
    atomic: BTreeSet<String>,
}

/// Groups whose kinds get their definitions.
const GROUPS: [(&str, &str); 13] = [
    ("", "core"),
    ("apiextensions.k8s.io", "apiextensions"),
    ("apps", "apps"),
    ("authentication.k8s.io", "authentication"),
    ("authorization.k8s.io", "authorization"),
    ("batch", "batch"),
    ("certificates.k8s.io", "certificates"),
    ("coordination.k8s.io", "coordination"),
    ("discovery.k8s.io", "discovery"),
    ("events.k8s.io", "events"),
    ("policy", "policy"),
    ("networking.k8s.io", "networking"),
    ("rbac.authorization.k8s.io", "rbac"),
];
/// Kinds that a source may hold: every field reachable from them must be in `support.tsv`.
const ACCEPTED: [&str; 20] = [
    "core.v1.Namespace",
    "apiextensions.v1.CustomResourceDefinition",
    "core.v1.ServiceAccount",
    "rbac.v1.ClusterRole",
    "rbac.v1.ClusterRoleBinding",
    "rbac.v1.Role",
    "rbac.v1.RoleBinding",
    "core.v1.ConfigMap",
    "core.v1.Secret",
    "core.v1.Pod",
    "apps.v1.ReplicaSet",
    "apps.v1.Deployment",
    "policy.v1.PodDisruptionBudget",
    "core.v1.Service",
    "discovery.v1.EndpointSlice",
    "networking.v1.Ingress",
    "networking.v1.IngressClass",
    "networking.v1.NetworkPolicy",
    "evenkeel.v1alpha1.Source",
    "evenkeel.v1alpha1.AddressPool",
];
/// What is asked for below an object, and is no kind of its own in `kinds.tsv`.
const ASKED: [&str; 3] = ["authentication.v1.TokenRequest", "autoscaling.v1.Scale", "policy.v1.Eviction"];
const OWN: [&str; 4] = [
    "evenkeel.v1alpha1.Source",
    "evenkeel.v1alpha1.Release",
    "evenkeel.v1alpha1.Drift",
    "evenkeel.v1alpha1.AddressPool",
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, text) in render(root) {
        let path = root.join("src/tables").join(file);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

/// The generated files by name.
pub(crate) fn render(root: &Path) -> Vec<(&'static str, String)> {
    let data = read(root);
    let reachable = reachable(&data);
    check_support(&data);
    check_about(&table(root, "about.tsv"), &data, &reachable);
    vec![("types.rs", types(&data, &reachable)), ("kinds.rs", kinds(&data, &reachable))]
}

fn table(root: &Path, name: &str) -> Vec<Row> {
    let path = root.join("data").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().skip(1).filter(|l| !l.is_empty()).map(|l| l.split('\t').map(str::to_owned).collect()).collect()
}

fn read(root: &Path) -> Data {
    let mut fields: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in table(root, "fields.tsv").into_iter().chain(table(root, "evenkeel.tsv")) {
        fields.entry(row[0].clone()).or_default().push(row);
    }
    for rows in fields.values_mut() {
        rows.sort();
    }
    let mut rules: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in table(root, "validation.tsv") {
        rules.entry((row[0].clone(), row[1].clone())).or_default().push(row[2].clone());
    }
    let mut support = BTreeMap::new();
    for row in table(root, "support.tsv") {
        for field in row[1].split(',') {
            let known = field == "*" || fields[&row[0]].iter().any(|f| f[1] == field);
            assert!(known, "support.tsv: {} has no field {field}", row[0]);
            support.insert((row[0].clone(), field.to_owned()), row.clone());
        }
    }
    Data {
        defaults: defaults(&table(root, "defaults.tsv"), &fields),
        fields,
        kinds: table(root, "kinds.tsv"),
        rules,
        support,
        atomic: table(root, "atomic.tsv").into_iter().map(|r| r[0].clone()).collect(),
    }
}

/// The unconditional defaults as Rust literals. `strategy.type` makes `strategy` default to an
/// empty mapping and gives its definition's `type` the default. What has a condition is code in
/// `defaults.rs`, but for defaults of fields in a block that is only there when it applies.
fn defaults(rows: &[Row], fields: &BTreeMap<String, Vec<Row>>) -> BTreeMap<(String, String), String> {
    let mut out = BTreeMap::new();
    for row in rows {
        let (names, when, value) = (&row[1], row[2].as_str(), row.get(3).map_or("", String::as_str));
        let value = value.trim_end_matches(" (known)").trim();
        let names: Vec<&str> = names.split(", ").collect();
        let values: Vec<&str> = value.split(", ").collect();
        if names.len() != values.len() || !(when.is_empty() || when == "RollingUpdate") {
            continue;
        }
        for (name, value) in names.iter().zip(values) {
            put_default(&mut out, fields, &row[0], name, value, when.is_empty());
        }
    }
    out
}

fn put_default(
    out: &mut BTreeMap<(String, String), String>,
    fields: &BTreeMap<String, Vec<Row>>,
    definition: &str,
    path: &str,
    value: &str,
    always: bool,
) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let Some(field) = fields.get(definition).and_then(|rows| rows.iter().find(|r| r[1] == first)) else { return };
    let Some(rest) = rest else {
        if let Some(literal) = literal(value, &field[3]) {
            out.insert((definition.to_owned(), first.to_owned()), literal);
        }
        return;
    };
    if !fields.contains_key(&field[3]) {
        return;
    }
    if always {
        out.insert((definition.to_owned(), first.to_owned()), "Literal::Empty".to_owned());
    }
    // Below a conditional block the default of its fields is without condition.
    put_default(out, fields, &field[3], rest, value, false);
}

fn literal(value: &str, ty: &str) -> Option<String> {
    let value = match value.split_once(" (") {
        Some((v, _)) => v,
        None if value == "(empty string)" => "",
        None => value,
    };
    match ty {
        "string" => Some(format!("Literal::Str({value:?})")),
        "boolean" => Some(format!("Literal::Bool({value})")),
        "int32" | "int64" => value.parse::<i64>().ok().map(|n| format!("Literal::Int({n})")),
        "util.intstr.IntOrString" => Some(
            value.parse::<i64>().map_or_else(|_| format!("Literal::Str({value:?})"), |n| format!("Literal::Int({n})")),
        ),
        _ if value == "{}" => Some("Literal::Empty".to_owned()),
        _ => None,
    }
}

/// The definition that a type mentions, if any.
fn mentioned(ty: &str) -> &str {
    let mut ty = ty;
    while let Some(rest) = ty.strip_prefix("[]").or_else(|| ty.strip_prefix("map:")) {
        ty = rest;
    }
    ty
}

fn is_object(data: &Data, name: &str) -> bool {
    data.fields.get(name).is_some_and(|rows| rows.iter().all(|r| r[1] != "-"))
}

fn definition_of(group: &str, version: &str, kind: &str) -> Option<String> {
    GROUPS.iter().find(|(g, _)| *g == group && version == "v1").map(|(_, short)| format!("{short}.v1.{kind}"))
}

fn reachable(data: &Data) -> BTreeSet<String> {
    let mut todo: Vec<String> = OWN.iter().chain(&ASKED).map(|s| (*s).to_owned()).collect();
    todo.extend(data.kinds.iter().filter_map(|k| definition_of(&k[0], &k[1], &k[3])));
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if is_object(data, &name) && seen.insert(name.clone()) {
            todo.extend(data.fields[&name].iter().map(|r| mentioned(&r[3]).to_owned()));
        }
    }
    seen
}

fn support_row<'a>(data: &'a Data, definition: &str, field: &str) -> Option<&'a Row> {
    let at = |f: &str| data.support.get(&(definition.to_owned(), f.to_owned()));
    at(field).or_else(|| at("*"))
}

/// Every field that a source may set must be spoken of, so that none is done by oversight.
fn check_support(data: &Data) {
    let mut todo: Vec<String> = ACCEPTED.iter().map(|s| (*s).to_owned()).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = todo.pop() {
        if !is_object(data, &name) || !seen.insert(name.clone()) {
            continue;
        }
        for row in &data.fields[&name] {
            let support = support_row(data, &name, &row[1]);
            let support = support.unwrap_or_else(|| panic!("support.tsv says nothing of {name}.{}", row[1]));
            if support[2] == "done" {
                todo.push(mentioned(&row[3]).to_owned());
            }
        }
    }
}

/// What is told of definitions and fields speaks of such that are there, once each, in the table's form.
fn check_about(rows: &[Row], data: &Data, reachable: &BTreeSet<String>) {
    let mut seen = BTreeSet::new();
    for row in rows {
        let [definition, field, text] = row.as_slice() else { panic!("about.tsv: {row:?} has not three columns") };
        let known = match (definition.as_str(), field.as_str()) {
            ("*", field) => !field.is_empty(),
            (definition, "") => reachable.contains(definition),
            (definition, field) => {
                reachable.contains(definition) && data.fields[definition].iter().any(|f| f[1] == field)
            }
        };
        assert!(known, "about.tsv: there is no {definition} {field}");
        assert!(seen.insert((definition, field)), "about.tsv speaks twice of {definition} {field}");
        assert!(text.ends_with('.') && text.len() <= 240, "about.tsv: {definition} {field}: {text}");
    }
}

fn constant(name: &str) -> String {
    let mut out = String::new();
    let mut previous = '.';
    for c in name.chars() {
        if c == '.' {
            out.push('_');
        } else {
            if c.is_ascii_uppercase() && (previous.is_ascii_lowercase() || previous.is_ascii_digit()) {
                out.push('_');
            }
            out.push(c.to_ascii_uppercase());
        }
        previous = c;
    }
    out
}

fn rust_type(data: &Data, ty: &str) -> String {
    if let Some(item) = ty.strip_prefix("[]") {
        return format!("List(&{})", rust_type(data, item));
    }
    if let Some(item) = ty.strip_prefix("map:") {
        return format!("Map(&{})", rust_type(data, item));
    }
    match ty {
        "string" => "String".into(),
        "boolean" => "Bool".into(),
        "int32" => "Int32".into(),
        "int64" => "Int64".into(),
        "double" => "Double".into(),
        "byte" => "Bytes".into(),
        "object" | "any" => "Any".into(),
        "date-time" | "meta.v1.Time" | "meta.v1.MicroTime" => "Time".into(),
        "api.resource.Quantity" => "Quantity".into(),
        "util.intstr.IntOrString" => "IntOrString".into(),
        other if is_object(data, other) => format!("Object(&{})", constant(other)),
        other => {
            assert!(data.fields.contains_key(other), "unknown type {other}");
            "Any".into()
        }
    }
}

fn types(data: &Data, reachable: &BTreeSet<String>) -> String {
    let mut out = String::from(
        "//! Definitions and their fields, made by `examples/generate.rs` from the tables under `data/`: do not edit.\n\
         #![allow(clippy::all, clippy::pedantic)]\n\n\
         use crate::types::{Field, ListType, Literal, Object, Patch, Support, Type::{self, *}};\n\n\
         const F: Field = Field::PLAIN;\n",
    );
    for name in reachable {
        let atomic = data.atomic.contains(name);
        let _ = writeln!(
            out,
            "\npub(crate) static {}: Object = Object {{ name: {name:?}, atomic: {atomic}, fields: &[",
            constant(name)
        );
        for row in &data.fields[name] {
            let _ = writeln!(out, "    Field {{ {}, ..F }},", field(data, name, row));
        }
        out.push_str("] };\n");
    }
    out.push_str("\n/// Every definition's type by name, in their order.\n");
    out.push_str("pub(crate) static ALL: &[Type] = &[\n");
    for name in reachable {
        let _ = writeln!(out, "    Object(&{}),", constant(name));
    }
    out.push_str("];\n");
    out
}

fn field(data: &Data, definition: &str, row: &Row) -> String {
    let (name, required, ty, list, map, patch, default, values) =
        (&row[1], &row[2], &row[3], &row[4], &row[5], &row[6], &row[7], &row[8]);
    let key = (definition.to_owned(), name.clone());
    let mut parts = vec![format!("name: {name:?}"), format!("ty: {}", rust_type(data, ty))];
    let rules = data.rules.get(&key).map_or(&[][..], Vec::as_slice);
    if required == "1" || rules.iter().any(|r| r == "required") {
        parts.push("required: true".into());
    }
    match list.as_str() {
        "set" => parts.push("list: ListType::Set".into()),
        l => {
            if let Some(keys) = l.strip_prefix("map:") {
                parts.push(format!("list: ListType::Map(&{:?})", keys.split(',').collect::<Vec<_>>()));
            }
        }
    }
    if map == "atomic" {
        parts.push("atomic: true".into());
    }
    match patch.as_str() {
        "" | "replace" => {}
        "merge" => parts.push("patch: Patch::Merge".into()),
        "retainKeys" => parts.push("patch: Patch::RetainKeys".into()),
        p => {
            let (how, key) = p.split_once(':').unwrap_or_else(|| panic!("patch {p}"));
            let variant = if how == "merge" { "MergeBy" } else { "MergeRetainKeys" };
            parts.push(format!("patch: Patch::{variant}({key:?})"));
        }
    }
    let marker = (!default.is_empty() && !default.starts_with("ref(")).then(|| literal(default.trim_matches('"'), ty));
    if let Some(default) = data.defaults.get(&key).cloned().or(marker.flatten()) {
        parts.push(format!("default: Some({default})"));
    }
    let values = rules.iter().find_map(|r| r.strip_prefix("values:")).unwrap_or(values);
    if !values.is_empty() {
        parts.push(format!("values: &{:?}", values.split('|').collect::<Vec<_>>()));
    }
    if let Some(range) = rules.iter().find_map(|r| range(r)) {
        parts.push(format!("range: Some({range})"));
    }
    parts.extend(support(data, definition, name, ty));
    let numbers: Vec<&str> = row[10].split(' ').next().unwrap_or("").split('.').filter(|n| !n.is_empty()).collect();
    // Of a whole object these two stand in the envelope; the table takes those of a reference in it for them.
    let numbers =
        if ["apiVersion", "kind"].contains(&row[1].as_str()) && numbers.len() > 1 { Vec::new() } else { numbers };
    if !numbers.is_empty() {
        parts.push(format!("numbers: &[{}]", numbers.join(", ")));
    }
    parts.join(", ")
}

fn range(rule: &str) -> Option<String> {
    if let Some(min) = rule.strip_prefix("min:") {
        return Some(format!("({min}, i64::MAX)"));
    }
    let (min, max) = rule.strip_prefix("range:")?.split_once(':')?;
    Some(format!("({min}, {max})"))
}

fn support(data: &Data, definition: &str, name: &str, ty: &str) -> Vec<String> {
    let Some(row) = support_row(data, definition, name) else { return Vec::new() };
    let accepted: Vec<&str> = row[4].split('|').filter(|v| !v.is_empty()).collect();
    let support = match row[2].as_str() {
        "done" => None,
        "dropped" => Some("Support::Dropped".to_owned()),
        "ignored" => Some(format!("Support::Ignored {{ accepted: &{accepted:?}, note: {:?} }}", row[5])),
        "refused" => Some(format!("Support::Refused {{ accepted: &{accepted:?}, note: {:?} }}", row[5])),
        other => panic!("support.tsv: {other}"),
    };
    let mut parts: Vec<String> = support.map(|s| format!("support: {s}")).into_iter().collect();
    if !row[3].is_empty()
        && let Some(literal) = literal(&row[3], ty)
    {
        parts.push(format!("absent: Some({literal})"));
    }
    parts
}

fn kinds(data: &Data, reachable: &BTreeSet<String>) -> String {
    let mut out = String::from(
        "//! Names of Kubernetes' kinds, made by `examples/generate.rs` from `data/kinds.tsv`: do not edit.\n\
         #![allow(clippy::all, clippy::pedantic)]\n\n\
         use super::types::*;\n\
         use crate::{kinds::KnownKind, types::Type};\n\n\
         pub(crate) static KINDS: &[KnownKind] = &[\n",
    );
    for row in &data.kinds {
        let definition = definition_of(&row[0], &row[1], &row[3]).filter(|d| reachable.contains(d));
        let ty = definition.map_or("None".to_owned(), |d| format!("Some(Type::Object(&{}))", constant(&d)));
        let verbs = row[5].split(',').collect::<Vec<_>>();
        let _ = writeln!(
            out,
            "    KnownKind {{ group: {:?}, version: {:?}, plural: {:?}, kind: {:?}, namespaced: {}, listed: {}, ty: {ty} }},",
            row[0],
            row[1],
            row[2],
            row[3],
            row[4] == "Namespaced",
            verbs.contains(&"list"),
        );
    }
    out.push_str("];\n");
    out
}
