//! Whether somebody may do what they ask: every request that has a user passes here, once.
//!
//! Called by `rest` before anything is looked at. A path becomes an act by Kubernetes' rules, whether
//! there is such a resource or not; the grants of the last view judge it. What follows from a body (roles
//! that grant more than one has) is looked at where the body is read (`grants`).

use axum::http::{Method, Uri};
use evenkeel_core::rbac::{Act, Resource, User};
use serde_json::json;

use super::{Api, path::percent_decode, query::Pairs, status::Failure};

/// Refuses what the user may not do.
pub(crate) fn pass(api: &Api, user: &User, method: &Method, uri: &Uri) -> Result<(), Failure> {
    let asked = Asked::of(method, uri)?;
    check(api, user, &asked.act())
}

/// The same for an act that follows from a request.
pub(crate) fn check(api: &Api, user: &User, act: &Act<'_>) -> Result<(), Failure> {
    if api.backend.live().view().grants.allow(user, act) { Ok(()) } else { Err(forbidden(user, act)) }
}

/// 403 in Kubernetes' words.
pub(crate) fn forbidden(user: &User, act: &Act<'_>) -> Failure {
    let who = &user.name;
    match act {
        Act::Path { verb, path } => {
            Failure::new(403, "Forbidden", format!("forbidden: User \"{who}\" cannot {verb} path \"{path}\""))
        }
        Act::Resource(r) => {
            let of_group =
                if r.group.is_empty() { r.resource.to_owned() } else { format!("{}.{}", r.resource, r.group) };
            let named = if r.name.is_empty() { of_group } else { format!("{of_group} \"{}\"", r.name) };
            let below = if r.subresource.is_empty() { String::new() } else { format!("/{}", r.subresource) };
            let place = if r.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace \"{}\"", r.namespace)
            };
            let message = format!(
                "{named} is forbidden: User \"{who}\" cannot {} resource \"{}{below}\" in API group \"{}\" {place}",
                r.verb, r.resource, r.group
            );
            let mut failure = Failure::new(403, "Forbidden", message);
            for (field, value) in [("name", r.name), ("group", r.group), ("kind", r.resource)] {
                if !value.is_empty() {
                    failure.details.insert(field.into(), json!(value));
                }
            }
            failure
        }
    }
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    verb: String,
    path: String,
    /// Empty where the path names no objects.
    resource: String,
    group: String,
    subresource: String,
    namespace: String,
    name: String,
}

impl Asked {
    pub(super) fn act(&self) -> Act<'_> {
        if self.resource.is_empty() {
            return Act::Path { verb: &self.verb, path: &self.path };
        }
        Act::Resource(Resource {
            verb: &self.verb,
            group: &self.group,
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
        })
    }

    pub(super) fn of(method: &Method, uri: &Uri) -> Result<Self, Failure> {
        let path = uri.path();
        let mut asked = Self { verb: method.as_str().to_ascii_lowercase(), path: path.into(), ..Self::default() };
        let decoded: Option<Vec<String>> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
        let parts = decoded.ok_or_else(Failure::no_path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] if !rest.is_empty() => ("", rest),
            ["apis", group, _, rest @ ..] if !rest.is_empty() => (*group, rest),
            _ => return Ok(asked),
        };
        let (namespace, rest) = match rest {
            // The namespace itself, and what lies below it.
            ["namespaces", name] | ["namespaces", name, "status" | "finalize"] => (*name, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        asked.group = group.into();
        asked.namespace = namespace.into();
        asked.resource = rest.first().copied().unwrap_or_default().into();
        asked.name = rest.get(1).copied().unwrap_or_default().into();
        asked.subresource = match rest.get(2..).unwrap_or_default() {
            // What follows is the path in the pod.
            ["proxy", ..] => "proxy".into(),
            below => below.join("/"),
        };
        asked.verb = asked.verb_of(method, uri)?.into();
        Ok(asked)
    }

    /// What is done to objects. Ways into a pod are made, by whatever method a client begins them.
    fn verb_of(&mut self, method: &Method, uri: &Uri) -> Result<&'static str, Failure> {
        let collection = self.name.is_empty();
        if self.resource == "pods" && matches!(self.subresource.as_str(), "exec" | "attach" | "portforward") {
            return Ok("create");
        }
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            _ if !collection => "get",
            _ if Pairs::of(uri)?.flag("watch") => "watch",
            _ => "list",
        };
        if collection && verb != "create" {
            // Of one object that a selector names, as of the object itself.
            let selector = Pairs::of(uri)?.get("fieldSelector").unwrap_or_default().to_owned();
            let name = selector.split(',').find_map(|part| part.trim().strip_prefix("metadata.name="));
            name.map(|n| n.strip_prefix('=').unwrap_or(n)).unwrap_or_default().clone_into(&mut self.name);
        }
        Ok(verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, uri: &str) -> String {
        let asked = Asked::of(&method.parse().unwrap(), &uri.parse().unwrap()).unwrap();
        match asked.act() {
            Act::Path { verb, path } => format!("{verb} {path}"),
            Act::Resource(r) => {
                format!("{} {}|{}/{} in {} named {}", r.verb, r.group, r.resource, r.subresource, r.namespace, r.name)
            }
        }
    }

    #[test]
    fn requests_are_acts() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/namespaces/shop/pods", "list |pods/ in shop named "),
            ("GET", "/api/v1/namespaces/shop/pods?watch=true", "watch |pods/ in shop named "),
            ("GET", "/api/v1/pods?watch=1&fieldSelector=metadata.name%3Dweb", "watch |pods/ in  named web"),
            ("HEAD", "/api/v1/namespaces/shop/pods/web", "get |pods/ in shop named web"),
            ("GET", "/api/v1/namespaces/shop/pods/web/log", "get |pods/log in shop named web"),
            ("GET", "/api/v1/namespaces/shop/pods/web/exec?command=sh", "create |pods/exec in shop named web"),
            ("POST", "/api/v1/namespaces/shop/pods/web/portforward", "create |pods/portforward in shop named web"),
            (
                "GET",
                "/api/v1/namespaces/shop/services/http:web:80/proxy",
                "get |services/proxy in shop named http:web:80",
            ),
            ("POST", "/api/v1//namespaces/shop/pods/w%65b/pr%6Fxy//a/exec", "create |pods/proxy in shop named web"),
            ("DELETE", "/api/v1/namespaces/shop/pods/web/proxy/", "delete |pods/proxy in shop named web"),
            ("GET", "/api/v1/namespaces/shop/pods/web/attach", "create |pods/attach in shop named web"),
            (
                "DELETE",
                "/apis/apps/v1/namespaces/shop/deployments",
                "deletecollection apps|deployments/ in shop named ",
            ),
            ("DELETE", "/apis/apps/v1/namespaces/shop/deployments/w%65b", "delete apps|deployments/ in shop named web"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                "patch apps|deployments/scale in shop named web",
            ),
            ("PUT", "/api/v1/namespaces/shop", "update |namespaces/ in shop named shop"),
            ("GET", "/api/v1/namespaces/shop/status", "get |namespaces/status in shop named shop"),
            ("GET", "/api/v1/namespaces", "list |namespaces/ in  named "),
            (
                "POST",
                "/apis/evenkeel.dev/v1alpha1/sources/shop/sync",
                "create evenkeel.dev|sources/sync in  named shop",
            ),
            ("POST", "/apis/x.dev/v2/namespaces/a/widgets", "create x.dev|widgets/ in a named "),
            ("GET", "/api/v1", "get /api/v1"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("POST", "/evenkeel/tokens", "post /evenkeel/tokens"),
            ("POST", "/evenkeel/net?node=a", "post /evenkeel/net"),
            ("GET", "/metrics", "get /metrics"),
        ] {
            assert_eq!(asked(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn refusals_are_kubernetes() {
        let user = User { name: "an".into(), ..User::default() };
        let said = |method: &str, uri: &str| {
            let asked = Asked::of(&method.parse().unwrap(), &uri.parse().unwrap()).unwrap();
            forbidden(&user, &asked.act()).message
        };
        assert_eq!(
            said("GET", "/api/v1/namespaces/shop/pods"),
            r#"pods is forbidden: User "an" cannot list resource "pods" in API group "" in the namespace "shop""#
        );
        assert_eq!(
            said("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/scale"),
            r#"deployments.apps "web" is forbidden: User "an" cannot patch resource "deployments/scale" in API group "apps" in the namespace "shop""#
        );
        assert_eq!(
            said("GET", "/api/v1/nodes/n1"),
            r#"nodes "n1" is forbidden: User "an" cannot get resource "nodes" in API group "" at the cluster scope"#
        );
        assert_eq!(said("GET", "/metrics"), r#"forbidden: User "an" cannot get path "/metrics""#);
    }
}
