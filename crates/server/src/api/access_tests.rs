//! Who is let in, and what they may do: the door, tokens, roles, and what follows from them.

use std::sync::Arc;

use axum::{Router, body::Body, http::Request};
use evenkeel_model::{Key, Kind};
use evenkeel_schema::Customs;
use serde_json::{Value, json};
use tokio_rustls::client::TlsStream;
use tower::ServiceExt as _;

use super::{
    Api, Client, Identity, access,
    reviews::{self, GROUPS},
    router,
    tests::{Fake, admin, api, pod, with_keys},
};
use crate::pki::{NODES, Pki};

/// A server with keys, the roles that every cluster has, and a ServiceAccount.
pub(super) struct Door {
    pub(super) fake: Arc<Fake>,
    api: Arc<Api>,
    pub(super) router: Router,
    _dir: tempfile::TempDir,
}

/// How somebody shows who they are.
#[derive(Clone, Copy)]
pub(super) enum Shows<'a> {
    Nothing,
    Admin,
    Certificate(&'a str, &'a str),
    Token(&'a str),
}

const BOT: &str = "/api/v1/namespaces/shop/serviceaccounts/bot";

impl Door {
    pub(super) fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pki = Arc::new(Pki::open(dir.path()).unwrap());
        Self::with(&pki, dir)
    }

    fn with(pki: &Arc<Pki>, dir: tempfile::TempDir) -> Self {
        let fake = Fake::new();
        fake.ready_roles();
        fake.put(pod("web", "Running"));
        let api = with_keys(&fake, pki);
        let this = Self { router: router(api.clone(), None), api, fake, _dir: dir };
        this.account("00000000-0000-4000-8000-0000000000aa");
        this
    }

    fn account(&self, uid: &str) {
        self.fake.put(json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "bot", "namespace": "shop", "uid": uid}}));
    }

    pub(super) fn bind(&self, namespace: &str, role: &str, subject: &Value) {
        let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
        let mut binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("{role}-test")}, "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [subject]});
        if !namespace.is_empty() {
            binding["metadata"]["namespace"] = namespace.into();
        }
        self.fake.put(binding);
    }

    pub(super) async fn call(
        &self,
        who: Shows<'_>,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Shows::Token(token) = who {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(match who {
            Shows::Nothing | Shows::Token(_) => Client(None),
            Shows::Admin => admin(),
            Shows::Certificate(user, group) => Client(Some(Identity { user: user.into(), groups: vec![group.into()] })),
        });
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 4 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(super) async fn get(&self, who: Shows<'_>, uri: &str) -> (u16, Value) {
        self.call(who, "GET", uri, &[], "").await
    }

    async fn post(&self, who: Shows<'_>, uri: &str, body: &Value) -> (u16, Value) {
        self.call(who, "POST", uri, &[], &body.to_string()).await
    }

    async fn token(&self, spec: Value) -> String {
        let (status, answer) = self.post(Shows::Admin, &format!("{BOT}/token"), &json!({"spec": spec})).await;
        assert_eq!(status, 201, "{answer}");
        answer["status"]["token"].as_str().unwrap().to_owned()
    }
}

fn bot() -> Value {
    json!({"kind": "ServiceAccount", "name": "bot", "namespace": "shop"})
}

pub(super) fn user(name: &str) -> Value {
    json!({"kind": "User", "name": name})
}

/// Every path that leads to something, but those of health.
pub(super) fn paths() -> Vec<String> {
    let mut all: Vec<String> =
        ["/", "/api", "/api/v1", "/apis", "/version", "/openapi/v3", "/openapi/v3/api/v1", "/metrics"]
            .into_iter()
            .chain(["audit", "nodes", "server", "backup", "rebalance", "tokens", "tokens/x"].map(|p| p))
            .map(|p| if p.starts_with('/') { p.to_owned() } else { format!("/evenkeel/{p}") })
            .collect();
    for kind in Kind::ALL {
        let info = kind.info();
        let base =
            if info.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}/{}", info.group, info.version) };
        all.push(base.clone());
        let home = if kind.namespaced() {
            format!("{base}/namespaces/shop/{}", info.plural)
        } else {
            format!("{base}/{}", info.plural)
        };
        all.extend([format!("{base}/{}", info.plural), home.clone(), format!("{home}/x")]);
        all.extend(access::below(*kind, &Customs::default()).iter().map(|below| format!("{home}/x/{}", below.name)));
    }
    for group in GROUPS {
        all.push(format!("/apis/{group}"));
        for review in reviews::of_group(group) {
            let place = if review.namespaced { "namespaces/shop/" } else { "" };
            all.push(format!("/apis/{group}/v1/{place}{}", review.plural));
        }
    }
    all.push("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1".into());
    all
}

#[tokio::test]
async fn whoever_is_known_may_look_around_and_nothing_else() {
    let door = Door::open();
    let an = Shows::Certificate("an", "dev");
    for path in ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version"] {
        assert_eq!(door.get(an, path).await.0, 200, "{path}");
    }
    let (status, failure) = door.get(an, "/api/v1/namespaces/shop/pods").await;
    assert_eq!(status, 403);
    assert_eq!(
        failure["message"],
        r#"pods is forbidden: User "an" cannot list resource "pods" in API group "" in the namespace "shop""#
    );
    assert_eq!((&failure["reason"], &failure["details"]["kind"]), (&json!("Forbidden"), &json!("pods")));
    // By whose key tokens are signed is for those who have one.
    let documents = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
    let token = door.token(json!({})).await;
    for path in documents {
        assert_eq!(door.get(an, path).await.0, 403, "{path}");
        assert_eq!(door.call(Shows::Admin, "POST", path, &[], "{}").await.0, 405, "{path}");
    }
    let issuer = door.get(Shows::Token(&token), documents[0]).await.1;
    assert_eq!(issuer["jwks_uri"], format!("{}{}", issuer["issuer"].as_str().unwrap(), documents[1]));
    let keys = door.get(Shows::Token(&token), documents[1]).await.1;
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][1]), (&json!("EC"), &Value::Null), "{keys}");
    // Who may not look does not learn what is there.
    assert_eq!(door.get(an, "/api/v1/namespaces/shop/pods/none").await.0, 403);
    for path in ["/metrics", "/evenkeel/backup", "/evenkeel/tokens", "/evenkeel/rebalance", "/evenkeel/audit"] {
        assert_eq!(door.get(an, path).await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_its_accounts_for_as_long_as_that_is_there() {
    let door = Door::open();
    let token = door.token(json!({"expirationSeconds": 600})).await;
    let pods = "/api/v1/namespaces/shop/pods";
    let (status, failure) = door.get(Shows::Token(&token), pods).await;
    assert_eq!(status, 403, "{failure}");
    assert!(failure["message"].as_str().unwrap().contains(r#"User "system:serviceaccount:shop:bot" cannot list"#));
    door.bind("shop", "view", &bot());
    assert_eq!(door.get(Shows::Token(&token), pods).await.0, 200);
    // Programs in browsers can set no header, and send it as a protocol.
    let coded = base64::engine::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &token);
    let protocols = format!("base64url.bearer.authorization.k8s.io.{coded}, base64.binary.k8s.io");
    for (upgrade, protocols, code) in [
        ("websocket", protocols.as_str(), 200),
        ("websocket", &protocols.replace('.', ""), 401),
        ("h2c", &protocols, 401),
    ] {
        let headers = [("connection", "upgrade"), ("upgrade", upgrade), ("sec-websocket-protocol", protocols)];
        assert_eq!(door.call(Shows::Nothing, "GET", pods, &headers, "").await.0, code, "{headers:?}");
    }
    assert_eq!(door.get(Shows::Token(&token), "/api/v1/pods").await.0, 403);
    assert_eq!(door.get(Shows::Token(&token), "/api/v1/namespaces/shop/secrets").await.0, 403);
    // For somebody else.
    let other = door.token(json!({"audiences": ["vault"]})).await;
    assert_eq!(door.get(Shows::Token(&other), pods).await.0, 401);
    // Bound to a pod.
    door.fake.remove(Key::new(Kind::Pod, "shop", "web"));
    let mut with = pod("web", "Running");
    with["spec"]["serviceAccountName"] = "bot".into();
    door.fake.put(with);
    let bound = door.token(json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"}})).await;
    assert_eq!(door.get(Shows::Token(&bound), pods).await.0, 200);
    door.fake.remove(Key::new(Kind::Pod, "shop", "web"));
    assert_eq!(door.get(Shows::Token(&bound), pods).await.0, 401);
    assert_eq!(door.get(Shows::Token(&token), pods).await.0, 200);
    // Another account of the same name.
    door.fake.remove(Key::new(Kind::ServiceAccount, "shop", "bot"));
    assert_eq!(door.get(Shows::Token(&token), pods).await.0, 401);
    door.account("00000000-0000-4000-8000-0000000000bb");
    assert_eq!(door.get(Shows::Token(&token), pods).await.0, 401);
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_for_a_token() {
    let door = Door::open();
    for (spec, code, part) in [
        (json!({"expirationSeconds": 10}), 422, "may not specify a duration less than 10 minutes"),
        (json!({"audiences": [""]}), 422, "spec.audiences"),
        (json!({"expirationSeconds": "x"}), 400, "wrong types: spec.expirationSeconds"),
        (json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "x"}}), 400, "cannot bind token"),
        (json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}), 404, "pods \"x\" not found"),
        (json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "y"}}), 409, "the UID"),
        (
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"}}),
            400,
            "different serviceaccount name",
        ),
    ] {
        let (status, failure) = door.post(Shows::Admin, &format!("{BOT}/token"), &json!({"spec": spec})).await;
        assert_eq!(status, code, "{failure}");
        assert!(failure["message"].as_str().unwrap().contains(part), "{failure}");
    }
    let none = door.post(Shows::Admin, "/api/v1/namespaces/shop/serviceaccounts/none/token", &json!({})).await;
    assert_eq!(none.0, 404);
}

#[tokio::test]
async fn questions_about_oneself_and_others() {
    let door = Door::open();
    door.bind("shop", "view", &user("an"));
    let an = Shows::Certificate("an", "dev");
    let reviews = "/apis/authorization.k8s.io/v1";
    let can = |verb: &str, resource: &str| {
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": "shop", "verb": verb, "resource": resource}}})
    };
    let own = format!("{reviews}/selfsubjectaccessreviews");
    let (status, answer) = door.post(an, &own, &can("list", "pods")).await;
    assert_eq!((status, &answer["status"]["allowed"]), (201, &json!(true)), "{answer}");
    assert_eq!(answer["status"]["reason"], r#"RBAC: allowed by RoleBinding "view-test/shop" of ClusterRole "view""#);
    assert_eq!(door.post(an, &own, &can("delete", "pods")).await.1["status"], json!({"allowed": false}));
    let path = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}});
    assert_eq!(door.post(an, &own, &path).await.1["status"], json!({"allowed": false}));
    assert_eq!(door.post(an, &own, &json!({"spec": {}})).await.0, 422);
    let (_, list) =
        door.post(an, &format!("{reviews}/selfsubjectrulesreviews"), &json!({"spec": {"namespace": "shop"}})).await;
    assert!(list["status"]["resourceRules"].as_array().unwrap().len() > 3, "{list}");
    assert!(list["status"]["nonResourceRules"].as_array().unwrap().iter().any(|r| r["verbs"] == json!(["get"])));
    let (status, who) = door.post(an, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
    assert_eq!(status, 201);
    assert_eq!(who["status"]["userInfo"], json!({"username": "an", "groups": ["dev", "system:authenticated"]}));
    // About others only by who may.
    let other =
        json!({"spec": {"user": "an", "resourceAttributes": {"namespace": "shop", "verb": "get", "resource": "pods"}}});
    let about = format!("{reviews}/subjectaccessreviews");
    assert_eq!(door.post(an, &about, &other).await.0, 403);
    assert_eq!(door.post(Shows::Admin, &about, &other).await.1["status"]["allowed"], json!(true));
    let local = format!("{reviews}/namespaces/shop/localsubjectaccessreviews");
    assert_eq!(door.post(Shows::Admin, &local, &other).await.1["status"]["allowed"], json!(true));
    let elsewhere = format!("{reviews}/namespaces/other/localsubjectaccessreviews");
    assert_eq!(door.post(Shows::Admin, &elsewhere, &other).await.0, 422);
    let token = door.token(json!({})).await;
    let review = |token: &str| json!({"spec": {"token": token}});
    let at = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (_, answer) = door.post(Shows::Admin, at, &review(&token)).await;
    assert_eq!(answer["status"]["authenticated"], json!(true));
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:shop:bot");
    assert!(!answer.to_string().contains(&token), "a token goes no further than it must");
    let (_, answer) = door.post(Shows::Admin, at, &review("x")).await;
    assert_eq!(answer["status"]["authenticated"], json!(false));
    assert_eq!(door.post(an, at, &review(&token)).await.0, 403);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let door = Door::open();
    door.bind("shop", "admin", &user("an"));
    let an = Shows::Certificate("an", "dev");
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles";
    let role = |resource: &str, verb: &str| json!({"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verb]}]});
    let (status, failure) = door.post(an, roles, &role("nodes", "get")).await;
    assert_eq!(status, 403);
    assert_eq!(
        failure["message"],
        "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"an\" (groups=[\"dev\" \"system:authenticated\"]) \
         is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}"
    );
    // What passes comes to the conductor, who says no to everything here.
    let passed = |answer: &(u16, Value)| answer.0 == 409;
    assert!(passed(&door.post(an, roles, &role("secrets", "get")).await));
    assert!(passed(&door.post(Shows::Admin, roles, &role("nodes", "get")).await));
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings";
    let binding = |role: &str| json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": [user("bo")]});
    assert!(passed(&door.post(an, bindings, &binding("edit")).await));
    assert_eq!(door.post(an, bindings, &binding("cluster-admin")).await.0, 403);
    assert_eq!(door.post(an, bindings, &binding("none")).await.0, 404);
    // By other ways than POST.
    door.fake.put(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "r", "namespace": "shop"}, "rules": role("secrets", "get")["rules"]}));
    let item = format!("{roles}/r");
    let merge = [("content-type", "application/merge-patch+json")];
    let more = role("nodes", "get").to_string();
    assert_eq!(door.call(an, "PATCH", &item, &merge, &more).await.0, 403);
    assert_eq!(door.call(an, "PUT", &item, &[], &more).await.0, 403);
    let apply = [("content-type", "application/apply-patch+yaml")];
    let mut whole = role("nodes", "get");
    (whole["apiVersion"], whole["kind"]) = ("rbac.authorization.k8s.io/v1".into(), "Role".into());
    let answer = door.call(an, "PATCH", &format!("{item}?fieldManager=x"), &apply, &whole.to_string()).await;
    assert_eq!(answer.0, 403, "{answer:?}");
    let label = r#"{"metadata": {"labels": {"a": "b"}}}"#;
    assert!(passed(&door.call(an, "PATCH", &item, &merge, label).await));
    // With the verbs for it.
    door.fake.put(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "granter"}, "rules": [{"apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["roles", "clusterroles"], "verbs": ["escalate", "bind"]}]}));
    door.bind("shop", "granter", &user("an"));
    assert!(passed(&door.post(an, roles, &role("nodes", "get")).await));
    assert!(passed(&door.post(an, bindings, &binding("cluster-admin")).await));
    // An apply that makes something is a create.
    door.fake.put(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "patcher"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]}));
    door.bind("shop", "patcher", &user("bo"));
    let bo = Shows::Certificate("bo", "dev");
    let map = "/api/v1/namespaces/shop/configmaps/c?fieldManager=x";
    let (status, failure) = door
        .call(bo, "PATCH", map, &apply, r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#)
        .await;
    assert_eq!(status, 403);
    assert!(failure["message"].as_str().unwrap().contains("cannot create resource \"configmaps\""), "{failure}");
}

#[tokio::test]
async fn who_may_speaks_for_others() {
    let door = Door::open();
    door.bind("shop", "view", &user("bo"));
    let pods = "/api/v1/namespaces/shop/pods";
    let as_bo = [("impersonate-user", "bo")];
    assert_eq!(door.call(Shows::Admin, "GET", pods, &as_bo, "").await.0, 200);
    assert_eq!(door.call(Shows::Admin, "GET", "/api/v1/pods", &as_bo, "").await.0, 403, "no more than bo");
    let an = Shows::Certificate("an", "dev");
    let (status, failure) = door.call(an, "GET", pods, &as_bo, "").await;
    assert_eq!(status, 403);
    assert_eq!(
        failure["message"],
        r#"users "bo" is forbidden: User "an" cannot impersonate resource "users" in API group "" at the cluster scope"#
    );
    door.fake.put(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "stand-in"}, "rules": [{"apiGroups": [""], "resources": ["users"],
            "resourceNames": ["bo"], "verbs": ["impersonate"]}]}));
    door.bind("", "stand-in", &user("an"));
    assert_eq!(door.call(an, "GET", pods, &as_bo, "").await.0, 200);
    let more = [("impersonate-user", "bo"), ("impersonate-group", "system:masters")];
    assert_eq!(door.call(an, "GET", pods, &more, "").await.0, 403);
    assert_eq!(door.call(an, "GET", pods, &[("impersonate-group", "dev")], "").await.0, 500);
    // An account has the groups of its namespace.
    let account = [("impersonate-user", "system:serviceaccount:shop:bot")];
    let (_, who) =
        door.call(Shows::Admin, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &account, "{}").await;
    assert_eq!(
        who["status"]["userInfo"]["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"])
    );
    // Nobody becomes a node by it.
    let node = [("impersonate-user", "x"), ("impersonate-group", NODES)];
    assert_eq!(door.call(Shows::Admin, "GET", pods, &node, "").await.0, 403);
}

#[tokio::test]
async fn without_keys_there_are_no_tokens() {
    let fake = Fake::new();
    let mut request = Request::get("/version").header("authorization", "Bearer x.y.z").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Client(None));
    assert_eq!(api(&fake).oneshot(request).await.unwrap().status(), 401);
}

/// A connection of somebody without a certificate; it stays open.
async fn connected(address: std::net::SocketAddr, ca: &str, token: &str) -> Option<TlsStream<tokio::net::TcpStream>> {
    use rustls_pki_types::pem::PemObject as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.ok()?;
    let request = format!("GET /version HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    tls.write_all(request.as_bytes()).await.ok()?;
    let mut first = [0; 12];
    tls.read_exact(&mut first).await.ok()?;
    Some(tls).filter(|_| first.starts_with(b"HTTP/1.1"))
}

#[tokio::test]
async fn whoever_shows_a_token_has_the_room_of_a_user() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Arc::new(Pki::open(dir.path()).unwrap());
    let door = Door::with(&pki, dir);
    let token = door.token(json!({})).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let tls = pki.server_config(&[]).unwrap();
    let server = tokio::spawn(super::serve(door.api.clone(), None, listener, tls, stop.clone()));
    // More than there is room for strangers.
    let most = super::serve::STRANGERS + 8;
    let mut open = Vec::new();
    for n in 0..most {
        open.push(
            connected(address, pki.trust_pem(), &token).await.unwrap_or_else(|| panic!("connection {n} was refused")),
        );
    }
    // Strangers still find theirs, and no more than that.
    let mut strangers = Vec::new();
    while let Some(stranger) = connected(address, pki.trust_pem(), "x").await {
        strangers.push(stranger);
        assert!(strangers.len() <= super::serve::STRANGERS);
    }
    assert_eq!(strangers.len(), super::serve::STRANGERS);
    drop((open, strangers));
    stop.cancel();
    server.await.unwrap();
}
