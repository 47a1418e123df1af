//! A container's environment, command and arguments, resolved as the kubelet does: `envFrom`,
//! references to ConfigMaps, Secrets, fields and resources, and `$(VAR)`.
//!
//! Errors name keys, never values.

use std::{collections::BTreeMap, net::IpAddr};

use evenkeel_model::Quantity;
use evenkeel_runtime::EnvVar;
use evenkeel_wire::{PodContent, PodOrder};
use k8s_openapi::api::core::v1::{Container, EnvVar as Declared, EnvVarSource, ResourceFieldSelector};

/// What fields and resources may be asked for.
pub(super) struct Facts<'a> {
    pub order: &'a PodOrder,
    pub containers: Vec<&'a Container>,
    pub node: &'a str,
    pub node_ip: Option<IpAddr>,
    pub pod_ip: Option<IpAddr>,
    /// `allocatable` of the node: what a missing limit amounts to.
    pub allocatable: &'a BTreeMap<String, String>,
}

/// The environment in order, or the message of a `CreateContainerConfigError`.
pub(super) fn resolve(facts: &Facts<'_>, container: &Container) -> Result<Vec<EnvVar>, String> {
    let mut out: Vec<EnvVar> = Vec::new();
    let mut set = |name: String, value: String| match out.iter_mut().find(|v| v.name == name) {
        Some(v) => v.value = value,
        None => out.push(EnvVar { name, value }),
    };
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let (secret, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(c), _) => (false, &c.name, c.optional),
            (_, Some(s)) => (true, &s.name, s.optional),
            _ => continue,
        };
        let Some(content) = content(facts.order, secret, name) else {
            if optional == Some(true) {
                continue;
            }
            return Err(missing(secret, name));
        };
        for (key, value) in &content.content.data {
            let full = format!("{}{key}", from.prefix.as_deref().unwrap_or_default());
            if full.is_empty() || full.contains('=') {
                continue;
            }
            let value = String::from_utf8_lossy(value).into_owned();
            known.insert(full.clone(), value.clone());
            set(full, value);
        }
    }
    for var in container.env.iter().flatten() {
        let Some(value) = value_of(facts, container, var, &known)? else { continue };
        known.insert(var.name.clone(), value.clone());
        set(var.name.clone(), value);
    }
    Ok(out)
}

fn value_of(
    facts: &Facts<'_>,
    container: &Container,
    var: &Declared,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    match &var.value_from {
        None => Ok(Some(expand(var.value.as_deref().unwrap_or_default(), known))),
        Some(from) => from_source(facts, container, from),
    }
}

fn from_source(facts: &Facts<'_>, container: &Container, from: &EnvVarSource) -> Result<Option<String>, String> {
    let keyed = match (&from.config_map_key_ref, &from.secret_key_ref) {
        (Some(c), _) => Some((false, &c.name, &c.key, c.optional)),
        (_, Some(s)) => Some((true, &s.name, &s.key, s.optional)),
        _ => None,
    };
    if let Some((secret, name, key, optional)) = keyed {
        let optional = optional == Some(true);
        let Some(found) = content(facts.order, secret, name) else {
            return if optional { Ok(None) } else { Err(missing(secret, name)) };
        };
        return match found.content.data.get(key) {
            Some(v) => Ok(Some(String::from_utf8_lossy(v).into_owned())),
            None if optional => Ok(None),
            None => {
                let kind = if secret { "Secret" } else { "ConfigMap" };
                Err(format!("couldn't find key {key} in {kind} {}/{name}", facts.order.namespace))
            }
        };
    }
    if let Some(field) = &from.field_ref {
        return field_value(facts, &field.field_path).map(Some);
    }
    if let Some(resource) = &from.resource_field_ref {
        return resource_value(facts, container, resource).map(Some);
    }
    Err("valueFrom names no source that is supported".into())
}

/// The content under a name, if there is one.
pub(super) fn content<'a>(order: &'a PodOrder, secret: bool, name: &str) -> Option<&'a PodContent> {
    order.contents.iter().find(|c| c.secret == secret && &*c.name == name)
}

fn missing(secret: bool, name: &str) -> String {
    format!("{} \"{name}\" not found", if secret { "secret" } else { "configmap" })
}

fn field_value(facts: &Facts<'_>, path: &str) -> Result<String, String> {
    let pod = &facts.order.pod;
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let ip = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
    Ok(match path {
        "metadata.name" => facts.order.name.to_string(),
        "metadata.namespace" => facts.order.namespace.to_string(),
        "metadata.uid" => facts.order.uid.to_string(),
        "spec.nodeName" => facts.node.to_owned(),
        "spec.serviceAccountName" => text(&pod["spec"]["serviceAccountName"]),
        "status.hostIP" | "status.hostIPs" => ip(facts.node_ip),
        "status.podIP" | "status.podIPs" => ip(facts.pod_ip),
        _ => {
            let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
            if let Some(key) = keyed("metadata.labels") {
                text(&pod["metadata"]["labels"][key])
            } else if let Some(key) = keyed("metadata.annotations") {
                text(&pod["metadata"]["annotations"][key])
            } else {
                return Err(format!("unsupported fieldPath: {path}"));
            }
        }
    })
}

fn resource_value(facts: &Facts<'_>, container: &Container, r: &ResourceFieldSelector) -> Result<String, String> {
    let name = r.container_name.as_deref().filter(|n| !n.is_empty()).unwrap_or(&container.name);
    let of = facts.containers.iter().find(|c| c.name == name).ok_or_else(|| format!("container {name} not found"))?;
    let (side, resource) =
        r.resource.split_once('.').ok_or_else(|| format!("unsupported container resource: {}", r.resource))?;
    let resources = of.resources.clone().unwrap_or_default();
    let declared = if side == "limits" { resources.limits } else { resources.requests };
    let quantity = declared
        .unwrap_or_default()
        .get(resource)
        .map(|q| q.0.clone())
        .or_else(|| (side == "limits").then(|| facts.allocatable.get(resource).cloned()).flatten())
        .unwrap_or_else(|| "0".into());
    let parse = |text: &str| text.parse::<Quantity>().map_err(|e| e.to_string());
    let value = parse(&quantity)?;
    let divisor = match r.divisor.as_ref().map(|d| parse(&d.0)).transpose()? {
        Some(Quantity(n)) if n > 0 => n,
        _ => Quantity::from_units(1).0,
    };
    Ok((value.0.div_euclid(divisor) + i128::from(value.0.rem_euclid(divisor) != 0)).to_string())
}

/// Stands before the parentheses of a variable that may be one of a Service: which there are is known when
/// the container is made ([`settle`]). No variable and no argument can hold it.
const LATER: char = '\0';

/// Whether something of a text is settled later.
pub(super) fn is_open(text: &str) -> bool {
    text.contains(LATER)
}

/// Puts the variables of Services in, where [`expand`] left room for them; what is unknown stays as it was
/// written.
pub(crate) fn settle(text: &mut String, links: &BTreeMap<&str, &str>) {
    if !is_open(text) {
        return;
    }
    let mut parts = text.split(LATER);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let name = part.strip_prefix('(').and_then(|p| p.split_once(')'));
        if let Some((value, after)) = name.and_then(|(name, after)| Some((links.get(name)?, after))) {
            out.push_str(value);
            out.push_str(after);
        } else {
            out.push('$');
            out.push_str(part);
        }
    }
    *text = out;
}

/// `$(VAR)` replaced by what is known; `$$` is one `$`. An unknown one is left to [`settle`].
pub(super) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            if let Some(value) = known.get(name) {
                out.push_str(value);
            } else {
                out.push(LATER);
                out.push('(');
                out.push_str(name);
                out.push(')');
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_kubernetes() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            let mut expanded = expand(text, &known);
            settle(&mut expanded, &BTreeMap::new());
            assert_eq!(expanded, expected, "{text}");
        }
    }

    #[test]
    fn variables_of_services_come_last_and_are_not_expanded_again() {
        let known =
            BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), expand("<$(X)>", &BTreeMap::new()))]);
        let links = BTreeMap::from([("X", "10.0.0.1"), ("A", "other"), ("Y", "$(A)")]);
        for (text, expected) in
            [("$(X):80", "10.0.0.1:80"), ("$$(X) $(A)", "$(X) 1"), ("$(B)$(C)$(Y)", "<10.0.0.1>$(C)$(A)")]
        {
            let mut text = expand(text, &known);
            settle(&mut text, &links);
            assert_eq!(text, expected);
        }
    }
}
