//! Discovery: which groups, versions and resources there are, aggregated and classic.
//!
//! Called by `rest`; everything comes from the table of kinds in `evenkeel_model`. Deliberately not
//! here: what their fields are (`openapi`).

use evenkeel_model::{Digest, Kind, Scope};
use serde_json::{Value, json};

use super::{
    access::{self, Below},
    leases, reviews, usage,
};

/// Groups with their versions, the core group first.
pub(super) fn groups() -> Vec<(&'static str, &'static str, Vec<Kind>)> {
    let mut out: Vec<(&str, &str, Vec<Kind>)> = Vec::new();
    for kind in Kind::ALL {
        let info = kind.info();
        match out.iter_mut().find(|(g, v, _)| (*g, *v) == (info.group, info.version)) {
            Some((_, _, kinds)) => kinds.push(*kind),
            None => out.push((info.group, info.version, vec![*kind])),
        }
    }
    out
}

/// What is sent to, or comes from, something below an object of a kind.
fn below_kind(kind: Kind, below: &str) -> Value {
    match (kind, below) {
        (Kind::Pod, "eviction") => json!({"group": "policy", "version": "v1", "kind": "Eviction"}),
        (Kind::ServiceAccount, "token") => {
            json!({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"})
        }
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
pub(crate) fn aggregated(core: bool) -> Value {
    let mut items: Vec<Value> = groups()
        .into_iter()
        .filter(|(group, ..)| group.is_empty() == core)
        .map(|(group, version, kinds)| {
            let resources: Vec<Value> = kinds.into_iter().map(aggregated_resource).collect();
            json!({
                "metadata": {"name": group, "creationTimestamp": null},
                "versions": [{"version": version, "resources": resources, "freshness": "Current"}],
            })
        })
        .collect();
    if !core {
        let (group, version) = leases::GROUP;
        items.push(json!({
            "metadata": {"name": group, "creationTimestamp": null},
            "versions": [{"version": version, "freshness": "Current", "resources": [{
                "resource": "leases", "responseKind": {"group": group, "version": version, "kind": "Lease"},
                "scope": "Namespaced", "singularResource": "lease", "verbs": leases::VERBS,
            }]}],
        }));
        let (group, version) = usage::GROUP;
        let measured = usage::RESOURCES.map(|(plural, kind, namespaced)| {
            json!({
                "resource": plural, "responseKind": {"group": group, "version": version, "kind": kind},
                "scope": if namespaced { "Namespaced" } else { "Cluster" }, "singularResource": "",
                "verbs": usage::VERBS,
            })
        });
        items.push(json!({
            "metadata": {"name": group, "creationTimestamp": null},
            "versions": [{"version": version, "resources": measured, "freshness": "Current"}],
        }));
        items.extend(reviews::GROUPS.into_iter().map(|group| {
            let resources: Vec<Value> = reviews::of_group(group)
                .map(|r| {
                    json!({
                        "resource": r.plural, "responseKind": {"group": group, "version": "v1", "kind": r.kind},
                        "scope": if r.namespaced { "Namespaced" } else { "Cluster" },
                        "singularResource": r.kind.to_lowercase(), "verbs": ["create"],
                    })
                })
                .collect();
            json!({
                "metadata": {"name": group, "creationTimestamp": null},
                "versions": [{"version": "v1", "resources": resources, "freshness": "Current"}],
            })
        }));
    }
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn aggregated_resource(kind: Kind) -> Value {
    let info = kind.info();
    let below: Vec<Value> = access::below(kind)
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
pub(crate) fn api_groups() -> Value {
    let mut groups: Vec<Value> =
        groups().into_iter().filter(|(g, ..)| !g.is_empty()).map(|(g, v, _)| group_of(g, v)).collect();
    groups.extend([leases::GROUP, usage::GROUP].map(|(group, version)| group_of(group, version)));
    groups.extend(reviews::GROUPS.into_iter().map(|group| group_of(group, "v1")));
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_of(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `/apis/GROUP`; `None` for an unknown one.
pub(crate) fn api_group(name: &str) -> Option<Value> {
    let known = groups().into_iter().map(|(group, version, _)| (group, version)).chain([leases::GROUP, usage::GROUP]);
    let known = known.chain(reviews::GROUPS.into_iter().map(|group| (group, "v1")));
    let (group, version) = known.into_iter().find(|(g, _)| !g.is_empty() && *g == name)?;
    let mut value = group_of(group, version);
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

/// `/api/v1` and `/apis/GROUP/VERSION`; `None` for an unknown one.
pub(crate) fn resources(group: &str, version: &str) -> Option<Value> {
    if (group, version) == leases::GROUP {
        return Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"),
            "resources": [{"name": "leases", "singularName": "lease", "namespaced": true, "kind": "Lease",
                "verbs": leases::VERBS}],
        }));
    }
    if (group, version) == usage::GROUP {
        let rows = usage::RESOURCES.map(|(plural, kind, namespaced)| {
            json!({"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": usage::VERBS})
        });
        return Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": usage::group_version(),
            "resources": rows}));
    }
    if reviews::GROUPS.contains(&group) && version == "v1" {
        let rows: Vec<Value> = reviews::of_group(group)
            .map(|r| {
                json!({"name": r.plural, "singularName": r.kind.to_lowercase(), "namespaced": r.namespaced,
                    "kind": r.kind, "verbs": ["create"]})
            })
            .collect();
        return Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/v1"),
            "resources": rows}));
    }
    let (_, _, kinds) = groups().into_iter().find(|(g, v, _)| (*g, *v) == (group, version))?;
    let mut rows = Vec::new();
    for kind in kinds {
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
        rows.extend(access::below(kind).iter().map(|below| {
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
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows}))
}

/// The hash of a document, for its `ETag`.
pub(crate) fn hash(document: &Value) -> String {
    Digest::of(&serde_json::to_vec(document).unwrap_or_default()).to_string().to_uppercase()
}
