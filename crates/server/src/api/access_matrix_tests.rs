//! Every route and every ready role: what is open to whom, asked of the routes themselves.

use std::collections::{BTreeMap, BTreeSet};

use axum::{body::Body, http::Request};
use evenkeel_core::rbac::{Act, Resource, User};
use evenkeel_model::Kind;
use evenkeel_schema::Customs;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    Client, Identity, access,
    access_tests::{Door, Shows, paths, user},
    reviews::{self, GROUPS},
    usage,
};
use crate::pki::NODES;

const ROLES: [&str; 5] = ["view", "edit", "admin", "deployer", "cluster-admin"];

/// Every path that discovery tells of, and those that `/` names.
async fn told(door: &Door) -> BTreeSet<String> {
    let get = async |path: &str| {
        let (status, answer) = door.get(Shows::Admin, path).await;
        assert_eq!(status, 200, "{path}");
        answer
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let mut all: BTreeSet<String> = list(&get("/").await["paths"]).iter().map(text).collect();
    let mut versions = vec!["/api/v1".to_owned()];
    for group in list(&get("/apis").await["groups"]) {
        all.insert(format!("/apis/{}", text(&group["name"])));
        versions.extend(list(&group["versions"]).iter().map(|v| format!("/apis/{}", text(&v["groupVersion"]))));
    }
    for base in versions {
        for resource in list(&get(&base).await["resources"]) {
            let name = text(&resource["name"]);
            let (plural, below) = name.split_once('/').map_or((name.as_str(), ""), |(plural, below)| (plural, below));
            let place = if resource["namespaced"] == true { "/namespaces/shop" } else { "" };
            all.insert(match below {
                "" => format!("{base}{place}/{plural}"),
                below => format!("{base}{place}/{plural}/x/{below}"),
            });
            all.insert(format!("{base}/{plural}"));
            all.insert(format!("{base}{place}/{plural}/x"));
        }
        all.insert(base);
    }
    all.extend(
        list(&get("/openapi/v3").await["paths"].as_object().unwrap().values().cloned().collect())
            .iter()
            .map(|document| text(&document["serverRelativeURL"])),
    );
    all
}

#[tokio::test]
async fn no_route_is_open() {
    const HEALTH: [&str; 3] = ["/livez", "/healthz", "/readyz"];
    let door = Door::open();
    let forged = "eyJhbGciOiJub25lIn0.e30.";
    let mut all: BTreeSet<String> = paths().into_iter().chain(told(&door).await).collect();
    // What nobody tells of is no less shut.
    all.extend(["/evenkeel/net", "/evenkeel/none", "/api/v1/none", "/none"].map(Into::into));
    all.retain(|path| !HEALTH.contains(&path.as_str()));
    let mut walked = 0;
    for path in &all {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            for who in [Shows::Nothing, Shows::Token(forged)] {
                assert_eq!(door.call(who, method, path, &[], "{}").await.0, 401, "{method} {path}");
            }
            // Nodes have their own service, whoever binds what to them; others have what they are given.
            let node = Shows::Certificate("evenkeel:node:n1", NODES);
            assert_eq!(door.call(node, method, path, &[], "{}").await.0, 403, "{method} {path}");
            walked += 1;
        }
    }
    assert!(walked > 1400, "{walked}");
    for path in HEALTH {
        assert_eq!(door.get(Shows::Nothing, path).await.0, 200, "{path}");
    }
    // A hook's signature is who it is from; without a secret there is no such hook.
    assert_eq!(door.call(Shows::Nothing, "POST", "/hooks/git/shop", &[], "{}").await.0, 404);
}

/// Asks as a user for a verb of a resource; whether RBAC lets them.
async fn let_in(door: &Door, role: &str, verb: &str, path: &str) -> bool {
    let (method, query) = match verb {
        "create" | "post" => ("POST", ""),
        "update" | "put" => ("PUT", ""),
        "patch" => ("PATCH", ""),
        "delete" | "deletecollection" => ("DELETE", ""),
        "watch" => ("GET", "?watch=true"),
        _ => ("GET", ""),
    };
    let mut request = Request::builder().method(method).uri(format!("{path}{query}")).body(Body::empty()).unwrap();
    let who = Identity { user: role.into(), groups: Vec::new() };
    request.extensions_mut().insert(Client(Some(who)));
    let response = door.router.clone().oneshot(request).await.unwrap();
    if response.status() != 403 {
        return true;
    }
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let status: Value = serde_json::from_slice(&bytes).unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains(&format!("User \"{role}\" cannot ")), "{verb} {path}: {message}");
    false
}

/// What can be asked for: a name to be read, the verbs, and where to ask for each.
type Row = (String, Vec<(&'static str, String)>);

fn rows() -> Vec<Row> {
    const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let at = |verbs: &[&'static str], collection: &str, item: &str| -> Vec<(&'static str, String)> {
        let of = |verb: &&'static str| {
            let path = if ["get", "update", "patch", "delete"].contains(verb) { item } else { collection };
            (*verb, path.to_owned())
        };
        verbs.iter().map(of).collect()
    };
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let info = kind.info();
        let base =
            if info.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}/{}", info.group, info.version) };
        let place = if kind.namespaced() { "/namespaces/shop" } else { "" };
        let (home, item) = (format!("{base}{place}/{}", info.plural), format!("{base}{place}/{}/x", info.plural));
        // All that could be done, and not what is served by now.
        rows.push((kind.resource(), at(&VERBS, &home, &item)));
        for below in access::below(*kind, &Customs::default()) {
            let path = format!("{item}/{}", below.name);
            rows.push((format!("{}/{}", kind.resource(), below.name), at(below.verbs, &path, &path)));
        }
    }
    for group in GROUPS {
        for review in reviews::of_group(group) {
            let place = if review.namespaced { "namespaces/shop/" } else { "" };
            let path = format!("/apis/{group}/v1/{place}{}", review.plural);
            rows.push((format!("{}.{group}", review.plural), at(&["create"], &path, "")));
        }
    }
    for (plural, _, namespaced) in usage::RESOURCES {
        let place = if namespaced { "/namespaces/shop" } else { "" };
        let home = format!("/apis/{}/{}{place}/{plural}", usage::GROUP.0, usage::GROUP.1);
        rows.push((format!("{plural}.{}", usage::GROUP.0), at(&usage::VERBS, &home, &format!("{home}/x"))));
    }
    let custom = "/apis/custom.example/v1/namespaces/shop/things";
    rows.push(("things.custom.example".into(), at(&VERBS, custom, &format!("{custom}/x"))));
    for (path, verbs) in [
        ("/", &["get"][..]),
        ("/api", &["get"]),
        ("/apis", &["get"]),
        ("/apis/apps/v1", &["get"]),
        ("/version", &["get"]),
        ("/openapi/v2", &["get"]),
        ("/openapi/v3", &["get"]),
        ("/metrics", &["get"]),
        ("/openid/v1/jwks", &["get"]),
        ("/.well-known/openid-configuration", &["get"]),
        ("/evenkeel/audit", &["get"]),
        ("/evenkeel/backup", &["get"]),
        ("/evenkeel/nodes", &["get"]),
        ("/evenkeel/rebalance", &["get", "post"]),
        ("/evenkeel/server", &["get"]),
        ("/evenkeel/tokens", &["get", "post"]),
        ("/evenkeel/tokens/x", &["delete"]),
        ("/none", &["get", "post"]),
    ] {
        rows.push((path.to_owned(), verbs.iter().map(|verb| (*verb, path.to_owned())).collect()));
    }
    rows
}

/// What each ready role may do, row by row.
async fn table(door: &Door, roles: &[&str]) -> Vec<String> {
    let mut lines = BTreeMap::new();
    for (name, asked) in rows() {
        let mut each = Vec::new();
        for role in roles {
            let mut allowed = Vec::new();
            for (verb, path) in &asked {
                if let_in(door, role, verb, path).await {
                    allowed.push(*verb);
                }
            }
            match allowed.len() {
                0 => {}
                n if n == asked.len() => each.push(format!("{role}: all")),
                _ => each.push(format!("{role}: {}", allowed.join(" "))),
            }
        }
        lines.insert(name.clone(), format!("{name}  {}", each.join("; ")));
    }
    lines.into_values().collect()
}

/// Each resource and path with what each ready role may do, of all that can be done.
#[tokio::test]
async fn the_ready_roles() {
    let door = Door::open();
    for role in ROLES {
        door.bind("", role, &user(role));
    }
    let table = table(&door, &ROLES).await;
    insta::assert_snapshot!(table.join("\n"));
    let view = door.fake.view();
    never(&|role: &str, resource: Resource<'_>| {
        let user = User { name: role.into(), ..User::default() };
        view.grants.allow(&user, &Act::Resource(resource))
    });
}

/// A role that is bound in a namespace is nothing in another one, nor in the cluster.
#[tokio::test]
async fn a_role_of_one_namespace_ends_there() {
    let door = Door::open();
    for role in ROLES {
        door.bind("elsewhere", role, &user(role));
    }
    let anyone = table(&door, &["nobody"]).await;
    for role in ROLES {
        let found: Vec<String> =
            table(&door, &[role]).await.iter().map(|row| row.replace(&format!("  {role}:"), "  nobody:")).collect();
        let more: Vec<&String> = found.iter().filter(|row| !anyone.contains(row)).collect();
        assert!(more.is_empty(), "{role}: {more:#?}");
    }
    let open: Vec<&str> = anyone.iter().filter(|row| row.contains("  nobody:")).map(String::as_str).collect();
    // Everybody who is known may look around and ask about themselves.
    insta::assert_snapshot!(open.join("\n"));
}

/// What must never be, whatever the table says.
fn never(may: &dyn Fn(&str, Resource<'_>) -> bool) {
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    for resource in Kind::ALL.iter().map(|k| k.info()) {
        for verb in writes {
            for role in ["view", "deployer"] {
                let act = Resource {
                    verb,
                    group: resource.group,
                    resource: resource.plural,
                    namespace: "shop",
                    ..Resource::default()
                };
                assert!(!may(role, act), "{role} {verb} {}", resource.plural);
            }
        }
    }
    for role in ["view", "deployer"] {
        for (verb, resource, subresource) in [
            ("get", "secrets", ""),
            ("list", "secrets", ""),
            ("watch", "secrets", ""),
            ("create", "pods", "exec"),
            ("get", "pods", "exec"),
            ("create", "pods", "portforward"),
            ("create", "serviceaccounts", "token"),
        ] {
            let act = Resource { verb, resource, subresource, namespace: "shop", ..Resource::default() };
            assert!(!may(role, act), "{role} {verb} {resource}/{subresource}");
        }
    }
    for role in ["view", "edit", "admin", "deployer"] {
        for verb in ["create", "patch", "delete", "bind", "escalate"] {
            let act =
                Resource { verb, group: "rbac.authorization.k8s.io", resource: "clusterroles", ..Resource::default() };
            assert!(!may(role, act), "{role} {verb}");
            let act = Resource { verb, group: "evenkeel.dev", resource: "sources", ..Resource::default() };
            assert!(!may(role, act), "{role} {verb} sources");
        }
    }
}
