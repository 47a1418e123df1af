//! Ingresses and their classes.

use core::net::IpAddr;

use serde_json::Value;

use super::{complaints::Complaints, list, names, text};
use crate::path::Trail;

/// The annotation that named a class before there was a field.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// What no path of `Exact` or `Prefix` may hold, and end with, as in Kubernetes.
const BAD_PARTS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];
/// The longest name of a controller.
const LONGEST_CONTROLLER: usize = 250;
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com')";

/// A whole Ingress.
pub(super) fn ingress(value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let (spec, at) = (&value["spec"], root.field("spec"));
    if !spec.is_object() {
        return;
    }
    let class = text(spec, "ingressClassName");
    if let Some(class) = class
        && let Some(why) = names::dns_subdomain(class)
    {
        out.invalid_str(&at.field("ingressClassName"), class, why);
    }
    let annotations = &value["metadata"]["annotations"];
    if let (Some(annotation), Some(_)) = (annotations.get(CLASS_ANNOTATION).and_then(Value::as_str), class) {
        let annotations = root.field("metadata");
        let annotations = annotations.field("annotations");
        let why = "can not be set when the class field is also set";
        out.invalid_str(&annotations.key(CLASS_ANNOTATION), annotation, why);
    }
    let rules = list(spec, "rules");
    let default = &spec["defaultBackend"];
    if default.is_null() && rules.is_empty() {
        out.invalid(&at, spec, "either `defaultBackend` or `rules` must be specified");
    }
    if !default.is_null() {
        backend(default, &at.field("defaultBackend"), out);
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.field("rules");
        self::rule(rule, &at.index(i), out);
    }
    for (i, tls) in list(spec, "tls").iter().enumerate() {
        let at = at.field("tls");
        let at = at.index(i);
        for (i, name) in list(tls, "hosts").iter().enumerate() {
            let at = at.field("hosts");
            host(name, &at.index(i), out);
        }
        if let Some(secret) = text(tls, "secretName")
            && let Some(why) = names::dns_subdomain(secret)
        {
            out.invalid_str(&at.field("secretName"), secret, why);
        }
    }
}

fn rule(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if text(value, "host").is_some() {
        host(&value["host"], &at.field("host"), out);
    }
    let http = &value["http"];
    if http.is_null() {
        return;
    }
    let at = at.field("http");
    let at = at.field("paths");
    let paths = list(http, "paths");
    if paths.is_empty() {
        out.required(&at, "");
    }
    for (i, value) in paths.iter().enumerate() {
        let at = at.index(i);
        path(value, &at, out);
        backend(&value["backend"], &at.field("backend"), out);
    }
}

/// A name, or `*.` and a name.
fn host(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let name = value.as_str().unwrap_or_default();
    let why = if name.parse::<IpAddr>().is_ok() {
        Some("must be a DNS name, not an IP address")
    } else if name.contains('*') {
        let rest = name.strip_prefix("*.");
        rest.is_none_or(|rest| names::dns_subdomain(rest).is_some()).then_some(WILDCARD)
    } else {
        names::dns_subdomain(name)
    };
    if let Some(why) = why {
        out.invalid(at, value, why);
    }
}

fn path(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let kind = text(value, "pathType");
    let path = value["path"].as_str().unwrap_or_default();
    let at = at.field("path");
    match kind {
        Some("Exact" | "Prefix") => {
            if !path.starts_with('/') {
                out.invalid_str(&at, path, "must be an absolute path");
            }
            for part in BAD_PARTS.into_iter().filter(|p| path.contains(p)) {
                out.invalid_str(&at, path, &alloc::format!("must not contain '{part}'"));
            }
            for end in BAD_ENDS.into_iter().filter(|e| path.ends_with(e)) {
                out.invalid_str(&at, path, &alloc::format!("cannot end with '{end}'"));
            }
        }
        Some(_) if !path.is_empty() && !path.starts_with('/') => {
            out.invalid_str(&at, path, "must be an absolute path");
        }
        _ => {}
    }
}

fn backend(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    // What is absent where it must be there is told by the table.
    if !value.is_object() {
        return;
    }
    let (service, resource) = (&value["service"], &value["resource"]);
    if service.is_null() {
        if resource.is_null() {
            out.required(at, "a `service` must be specified");
        }
        return;
    }
    if !resource.is_null() {
        out.invalid(at, value, "cannot set both resource and service backends");
    }
    let at = at.field("service");
    match text(service, "name") {
        None => out.required(&at.field("name"), ""),
        Some(name) => {
            if let Some(why) = names::dns_label(name) {
                out.invalid_str(&at.field("name"), name, why);
            }
        }
    }
    let (port, at) = (&service["port"], at.field("port"));
    if port.is_null() {
        return;
    }
    let number = port["number"].as_i64().filter(|n| *n != 0);
    match (number, text(port, "name")) {
        (None, None) => out.required(&at, "port name or number is required"),
        (Some(_), Some(_)) => out.invalid(&at, port, "cannot set both port name & port number"),
        (None, Some(name)) => {
            if let Some(why) = names::port_name(name) {
                out.invalid_str(&at.field("name"), name, why);
            }
        }
        // The table has the range.
        (Some(_), None) => {}
    }
}

/// The `spec` of a class.
pub(super) fn class(spec: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("controller");
    let Some(controller) = text(spec, "controller") else { return out.required(&at, "") };
    if controller.len() > LONGEST_CONTROLLER {
        out.too_long(&at, LONGEST_CONTROLLER);
    } else if let Some(why) = controller.split_once('/').map_or(Some(PREFIXED), |(domain, path)| {
        names::dns_subdomain(domain).or_else(|| path.is_empty().then_some(PREFIXED))
    }) {
        out.invalid_str(&at, controller, why);
    }
}

const PREFIXED: &str = "must be a domain-prefixed path (such as \"acme.io/foo\")";

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use evenkeel_model::Kind;
    use serde_json::{Value, json};

    fn problems(kind: Kind, spec: &Value) -> Vec<String> {
        let mut object = json!({"apiVersion": "networking.k8s.io/v1", "kind": kind.info().kind,
            "metadata": {"name": "web"}, "spec": spec});
        if kind == Kind::Ingress {
            object["metadata"]["namespace"] = "shop".into();
        }
        super::super::object(kind, &object).into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    fn with(path: &str, kind: &str, backend: &Value) -> Value {
        json!({"rules": [{"host": "a.example", "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}]})
    }

    #[test]
    fn good_ingresses_have_no_problems() {
        let web = json!({"service": {"name": "web", "port": {"number": 80}}});
        for spec in [
            json!({"defaultBackend": web}),
            json!({"rules": [{"host": "*.example.com"}], "tls": [{}, {"hosts": ["*.example.com"], "secretName": "c"}]}),
            with("/", "Prefix", &web),
            with("", "ImplementationSpecific", &json!({"service": {"name": "web", "port": {"name": "http"}}})),
        ] {
            assert_eq!(problems(Kind::Ingress, &spec), Vec::<String>::new(), "{spec}");
        }
        assert_eq!(problems(Kind::IngressClass, &json!({"controller": "k8s.io/ingress-nginx"})), Vec::<String>::new());
    }

    #[test]
    fn an_ingresses_mistakes() {
        let web = json!({"service": {"name": "web", "port": {"number": 80}}});
        let at = "spec.rules[0].http.paths[0]";
        let backend = |b: Value| with("/", "Prefix", &b);
        for (spec, expected) in [
            (json!({}), "spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified".into()),
            (
                json!({"rules": [{"host": "10.0.0.1"}]}),
                "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name".into(),
            ),
            (json!({"rules": [{"host": "*"}]}), "spec.rules[0].host: Invalid value: \"*\": a wildcard".into()),
            (json!({"rules": [{"host": "a.*.b"}]}), "spec.rules[0].host: Invalid value: \"a.*.b\": a wildcard".into()),
            (json!({"rules": [{"host": "A.b"}]}), "spec.rules[0].host: Invalid value: \"A.b\": a lowercase".into()),
            (json!({"rules": [{"http": {"paths": []}}]}), "spec.rules[0].http.paths: Required value".into()),
            (with("a", "Prefix", &web), format!("{at}.path: Invalid value: \"a\": must be an absolute path")),
            (with("/a//b", "Exact", &web), format!("{at}.path: Invalid value: \"/a//b\": must not contain '//'")),
            (with("/a/..", "Exact", &web), format!("{at}.path: Invalid value: \"/a/..\": cannot end with '/..'")),
            (with("/", "Regex", &web), format!("{at}.pathType: Unsupported value: \"Regex\"")),
            (backend(json!({})), format!("{at}.backend: Required value")),
            (backend(json!({"service": {"name": "web"}})), format!("{at}.backend.service.port: Required value")),
            (
                backend(json!({"service": {"name": "web", "port": {}}})),
                format!("{at}.backend.service.port: Required value"),
            ),
            (
                backend(json!({"service": {"name": "web", "port": {"number": 80, "name": "http"}}})),
                format!("{at}.backend.service.port: Invalid value"),
            ),
            (
                backend(json!({"service": {"name": "web", "port": {"number": 70000}}})),
                format!("{at}.backend.service.port.number: Invalid value"),
            ),
            (
                json!({"defaultBackend": web, "tls": [{"secretName": "a b"}]}),
                "spec.tls[0].secretName: Invalid value".into(),
            ),
            (json!({"defaultBackend": web, "ingressClassName": "a/b"}), "spec.ingressClassName: Invalid value".into()),
        ] {
            let found = problems(Kind::Ingress, &spec);
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{spec}: {found:?} is not {expected}");
        }
        for (spec, expected) in [
            (json!({}), "spec.controller: Required value"),
            (json!({"controller": "nginx"}), "spec.controller: Invalid value"),
        ] {
            let found = problems(Kind::IngressClass, &spec);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{spec}: {found:?}");
        }
    }
}
