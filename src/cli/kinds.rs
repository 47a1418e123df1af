//! Kinds by the words that people use for them, those that definitions make among them.
//!
//! Built-in kinds are known here; of all others the server's discovery is asked, and only where a word is not
//! a built-in kind's.

use anyhow::Result;
use evenkeel_model::{Custom, Kind, custom::Names};
use serde_json::Value;

use super::paths;
use crate::client::Client;

/// `Accept` of all groups, versions and resources in one document.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// The kind that a word means, as `deploy`, `pods` or `widgets.example.com`.
pub(crate) async fn find(client: &Client, word: &str) -> Result<Kind> {
    if let Some(kind) = Kind::of_word(word) {
        return Ok(kind);
    }
    let custom = custom(client).await?.into_iter().find(|kind| is(*kind, word));
    custom.map_or_else(|| paths::kind(word), Ok)
}

/// Kinds of a list of words; `all` is every kind of that category.
pub(crate) async fn of_list(client: &Client, words: &str) -> Result<Vec<Kind>> {
    let words: Vec<&str> = words.split(',').filter(|w| !w.is_empty()).collect();
    let custom = if words.iter().all(|w| Kind::of_word(w).is_some()) { Vec::new() } else { custom(client).await? };
    let mut out: Vec<Kind> = Vec::new();
    for word in words {
        let every = || Kind::ALL.iter().copied().chain(custom.iter().copied());
        let category: Vec<Kind> = every().filter(|k| k.info().categories.contains(&word)).collect();
        let found = if category.is_empty() {
            let named = Kind::of_word(word).or_else(|| custom.iter().copied().find(|k| is(*k, word)));
            vec![named.map_or_else(|| paths::kind(word), Ok)?]
        } else {
            category
        };
        out.extend(found.into_iter().filter(|k| !out.contains(k)).collect::<Vec<_>>());
    }
    Ok(out)
}

fn is(kind: Kind, word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let (name, group) = lower.split_once('.').map_or((lower.as_str(), None), |(n, g)| (n, Some(g)));
    let info = kind.info();
    (info.plural == name || info.singular == name || info.short_names.contains(&name))
        && group.is_none_or(|g| g == info.group)
}

/// All kinds that definitions make, in the version that the server prefers.
pub(crate) async fn custom(client: &Client) -> Result<Vec<Kind>> {
    Ok(read(&client.get_as("/apis", AGGREGATED).await?))
}

/// Those of a document of discovery.
fn read(document: &Value) -> Vec<Kind> {
    let list = |value: &'_ Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |value: &Value, field: &str| -> Vec<String> {
        list(value, field).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut out = Vec::new();
    for group in list(document, "items") {
        let name = group.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let Some(version) = list(&group, "versions").into_iter().next() else { continue };
        for resource in list(&version, "resources") {
            let (kind, plural) = (text(&resource["responseKind"], "kind"), text(&resource, "resource"));
            let version = text(&version, "version");
            let built_in = Kind::of_resource(name, &version, &plural).is_some();
            // What is answered and never kept has no objects of its own.
            let kept = texts(&resource, "verbs").iter().any(|v| v == "list") && name.contains('.');
            if built_in || !kept || name.ends_with(".k8s.io") {
                continue;
            }
            out.push(Kind::Custom(Custom::new(&Names {
                group: name.into(),
                version,
                kind,
                plural,
                singular: text(&resource, "singularResource"),
                short_names: texts(&resource, "shortNames"),
                categories: texts(&resource, "categories"),
                namespaced: text(&resource, "scope") == "Namespaced",
                has_status: list(&resource, "subresources").iter().any(|s| s["subresource"] == "status"),
            })));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_of_definitions_are_found_by_all_their_names() {
        let resource = |plural: &str, kind: &str| {
            json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": "Namespaced",
                "singularResource": kind.to_lowercase(), "shortNames": ["wd"], "categories": ["all"],
                "verbs": ["get", "list"], "subresources": [{"subresource": "status"}]})
        };
        let group = |name: &str, plural: &str, kind: &str| {
            json!({"metadata": {"name": name}, "versions": [
                {"version": "v1", "resources": [resource(plural, kind)]}, {"version": "v1beta1", "resources": []}]})
        };
        let found = read(&json!({"items": [group("apps", "deployments", "Deployment"),
            group("metrics.k8s.io", "pods", "PodMetrics"), group("example.com", "widgets", "Widget")]}));
        let [widget] = found.as_slice() else { panic!("{found:?}") };
        for word in ["widgets", "Widget", "wd", "widgets.example.com"] {
            assert!(is(*widget, word), "{word}");
        }
        assert!(!is(*widget, "widgets.example.org") && !is(*widget, "gadgets"));
        assert_eq!(paths::item(*widget, "shop", "a"), "/apis/example.com/v1/namespaces/shop/widgets/a");
        assert!(widget.info().has_status && widget.info().categories == ["all"]);
    }
}
