//! Discovery: which groups, versions and resources there are, aggregated and classic.
//!
//! Called by `rest`; everything comes from the table of kinds in `evenkeel_model`. Deliberately not
//! here: what their fields are (`openapi`).

use evenkeel_model::{Digest, Kind, Scope};
use evenkeel_schema::{Customs, custom};
use serde_json::{Value, json};

use super::{
    absent,
    access::{self, Below},
    events, reviews, usage,
};

/// A group, a version of it, and what they hold.
type Group<T> = (&'static str, &'static str, Vec<T>);

/// Groups with their versions, the core group first, those of definitions last; of one group, the preferred
/// version first.
pub(super) fn groups(customs: &Customs) -> Vec<Group<Kind>> {
    let mut own = grouped(customs.iter().flat_map(|d| d.served().map(|v| v.kind)).map(by_group));
    own.sort_by_key(|(group, version, _)| (*group, std::cmp::Reverse(custom::rank(version))));
    let mut out = built_in();
    out.extend(own);
    out
}

/// The groups of built-in kinds.
pub(super) fn built_in() -> Vec<Group<Kind>> {
    grouped(Kind::ALL.iter().copied().map(by_group))
}

fn by_group(kind: Kind) -> (&'static str, &'static str, Kind) {
    (kind.info().group, kind.info().version, kind)
}

/// Things by their group and version, in the order in which those come first.
fn grouped<T>(things: impl Iterator<Item = (&'static str, &'static str, T)>) -> Vec<Group<T>> {
    let mut out: Vec<Group<T>> = Vec::new();
    for (group, version, thing) in things {
        match out.iter_mut().find(|(g, v, _)| (*g, *v) == (group, version)) {
            Some((_, _, there)) => there.push(thing),
            None => out.push((group, version, vec![thing])),
        }
    }
    out
}

/// A resource that is answered with and never kept.
struct Answered {
    short_names: &'static [&'static str],
    plural: &'static str,
    singular: String,
    kind: &'static str,
    namespaced: bool,
    verbs: &'static [&'static str],
}

/// All of those.
fn answered() -> Vec<Group<Answered>> {
    let measured = usage::RESOURCES.into_iter().map(|(plural, kind, namespaced)| {
        let (group, version) = usage::GROUP;
        let (singular, verbs, short_names): (_, &[_], _) = (String::new(), &usage::VERBS, &[][..]);
        (group, version, Answered { short_names, plural, singular, kind, namespaced, verbs })
    });
    let reviews = reviews::GROUPS.into_iter().flat_map(|group| {
        reviews::of_group(group).map(move |r| {
            let (plural, kind, singular) = (r.plural, r.kind, r.kind.to_lowercase());
            let (verbs, short_names, namespaced): (&[_], _, _) = (&["create"], &[][..], r.namespaced);
            (group, "v1", Answered { short_names, plural, singular, kind, namespaced, verbs })
        })
    });
    let absent = absent::looked_for().map(|(k, short_names)| {
        let (plural, kind, namespaced, singular) = (k.plural, k.kind, k.namespaced, k.kind.to_lowercase());
        let verbs = &absent::VERBS[..];
        (k.group, k.version, Answered { short_names, plural, singular, kind, namespaced, verbs })
    });
    let (group, version) = events::GROUP;
    let (singular, verbs) = ("event".into(), &events::VERBS[..]);
    let event = Answered { short_names: &["ev"], plural: "events", singular, kind: "Event", namespaced: true, verbs };
    grouped(measured.chain(reviews).chain(absent).chain([(group, version, event)]))
}

/// What is sent to, or comes from, something below an object of a kind.
fn below_kind(kind: Kind, below: &str) -> Value {
    match (kind, below) {
        (Kind::Pod, "eviction") => json!({"group": "policy", "version": "v1", "kind": "Eviction"}),
        (Kind::ServiceAccount, "token") => {
            json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"})
        }
        (Kind::Pod, "proxy") => json!({"group": "", "version": "v1", "kind": "PodProxyOptions"}),
        (_, "proxy") => json!({"group": "", "version": "v1", "kind": "ServiceProxyOptions"}),
        (_, "scale") => json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
        _ => response_kind(kind),
    }
}

fn scope(kind: Kind) -> &'static str {
    match kind.info().scope {
        Scope::Namespaced => "Namespaced",
        Scope::Cluster => "Cluster",
    }
}

pub(super) fn response_kind(kind: Kind) -> Value {
    let info = kind.info();
    json!({"group": info.group, "version": info.version, "kind": info.kind})
}

/// `/api` (the core group) or `/apis` (the others), aggregated.
pub(crate) fn aggregated(core: bool, customs: &Customs) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for (group, version, kinds) in groups(customs).into_iter().filter(|(group, ..)| group.is_empty() == core) {
        let resources: Vec<Value> = kinds.into_iter().map(|k| aggregated_resource(k, customs)).collect();
        let version = json!({"version": version, "resources": resources, "freshness": "Current"});
        match items.last_mut().filter(|item| item["metadata"]["name"] == group) {
            Some(item) => item["versions"].as_array_mut().into_iter().for_each(|v| v.push(version.clone())),
            None => items.push(json!({
                "metadata": {"name": group, "creationTimestamp": null}, "versions": [version],
            })),
        }
    }
    for (group, version, resources) in answered().into_iter().filter(|(group, ..)| group.is_empty() == core) {
        let rows = resources.iter().map(|r| answered_resource(group, version, r));
        let there = items.iter_mut().find(|item| item["metadata"]["name"] == group);
        let there =
            there.and_then(|item| item["versions"].as_array_mut()?.iter_mut().find(|v| v["version"] == version));
        if let Some(list) = there.and_then(|v| v["resources"].as_array_mut()) {
            list.extend(rows);
            continue;
        }
        let rows: Vec<Value> = rows.collect();
        items.push(json!({
            "metadata": {"name": group, "creationTimestamp": null},
            "versions": [{"version": version, "resources": rows, "freshness": "Current"}],
        }));
    }
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn answered_resource(group: &str, version: &str, r: &Answered) -> Value {
    let mut row = json!({
        "resource": r.plural, "responseKind": {"group": group, "version": version, "kind": r.kind},
        "scope": if r.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": r.singular, "verbs": r.verbs,
    });
    if !r.short_names.is_empty() {
        row["shortNames"] = json!(r.short_names);
    }
    row
}

fn aggregated_resource(kind: Kind, customs: &Customs) -> Value {
    let info = kind.info();
    let below: Vec<Value> = access::below(kind, customs)
        .iter()
        .map(|Below { name, verbs, .. }| {
            json!({"subresource": name, "responseKind": below_kind(kind, name), "verbs": verbs})
        })
        .collect();
    let mut resource = json!({
        "resource": info.plural, "responseKind": response_kind(kind), "scope": scope(kind),
        "singularResource": info.singular, "verbs": access::verbs(kind),
    });
    for (field, list) in [("shortNames", info.short_names), ("categories", info.categories)] {
        if !list.is_empty() {
            resource[field] = json!(list);
        }
    }
    if !below.is_empty() {
        resource["subresources"] = below.into();
    }
    resource
}

/// `/api`, classic.
pub(crate) fn api_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

/// `/apis`, classic.
pub(crate) fn api_groups(customs: &Customs) -> Value {
    let mut names: Vec<(&str, Vec<&str>)> = Vec::new();
    for (group, version) in all(customs) {
        match names.last_mut().filter(|(name, _)| *name == group) {
            Some((_, versions)) => versions.push(version),
            None => names.push((group, vec![version])),
        }
    }
    let groups: Vec<Value> = names.iter().map(|(group, versions)| group_of(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// Groups but the core one, each with its versions.
fn all(customs: &Customs) -> impl Iterator<Item = (&'static str, &'static str)> {
    let known: Vec<_> = groups(customs).into_iter().map(|(group, version, _)| (group, version)).collect();
    let mut more: Vec<_> = answered().into_iter().map(|(group, version, _)| (group, version)).collect();
    more.retain(|named| !known.contains(named));
    known.into_iter().chain(more).filter(|(group, _)| !group.is_empty())
}

fn group_of(group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v})).collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

/// `/apis/GROUP`; `None` for an unknown one.
pub(crate) fn api_group(name: &str, customs: &Customs) -> Option<Value> {
    let versions: Vec<&str> = all(customs).filter(|(group, _)| *group == name).map(|(_, version)| version).collect();
    if versions.is_empty() {
        return None;
    }
    let mut value = group_of(name, &versions);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

/// `/api/v1` and `/apis/GROUP/VERSION`; `None` for an unknown one.
pub(crate) fn resources(group: &str, version: &str, customs: &Customs) -> Option<Value> {
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = |rows: Vec<Value>| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows});
    let of_kinds = groups(customs).into_iter().find(|(g, v, _)| (*g, *v) == (group, version)).map(|(.., kinds)| kinds);
    let of_answers = answered().into_iter().find(|(g, v, _)| (*g, *v) == (group, version)).map(|(.., r)| r);
    if of_kinds.is_none() && of_answers.is_none() {
        return None;
    }
    let mut rows = Vec::new();
    for r in of_answers.into_iter().flatten() {
        let mut row = json!({"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind,
            "verbs": r.verbs});
        if !r.short_names.is_empty() {
            row["shortNames"] = json!(r.short_names);
        }
        rows.push(row);
    }
    for kind in of_kinds.into_iter().flatten() {
        rows_of(kind, customs, &mut rows);
    }
    Some(list(rows))
}

/// A kind's row and those of what lies below its objects.
fn rows_of(kind: Kind, customs: &Customs, rows: &mut Vec<Value>) {
    let info = kind.info();
    let mut row = json!({
        "name": info.plural, "singularName": info.singular, "namespaced": kind.namespaced(),
        "kind": info.kind, "verbs": access::verbs(kind),
    });
    for (field, list) in [("shortNames", info.short_names), ("categories", info.categories)] {
        if !list.is_empty() {
            row[field] = json!(list);
        }
    }
    rows.push(row);
    rows.extend(access::below(kind, customs).iter().map(|below| {
        let of = below_kind(kind, below.name);
        let mut row = json!({
            "name": format!("{}/{}", info.plural, below.name), "singularName": "",
            "namespaced": kind.namespaced(), "kind": of["kind"], "verbs": below.verbs,
        });
        if of["group"] != info.group {
            row["group"] = of["group"].clone();
            row["version"] = of["version"].clone();
        }
        row
    }));
}

/// The hash of a document, for its `ETag`.
pub(crate) fn hash(document: &Value) -> String {
    Digest::of(&serde_json::to_vec(document).unwrap_or_default()).to_string().to_uppercase()
}
