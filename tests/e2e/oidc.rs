//! ID tokens of an OpenID Connect issuer, shown by the real kubectl: whose they are, what their groups may
//! do, and which are refused, with the reason in the log of requests.

use std::{fs, sync::atomic::Ordering};

use serde_json::{Value, json};

use crate::{
    access::{kubeconfig, kubectl},
    support::{Cluster, eventually},
};

#[path = "../../crates/server/src/oidc/testkit.rs"]
mod testkit;

#[test]
fn an_id_token_opens_what_its_groups_may_do() {
    let (issuer, dir) = (testkit::Issuer::start(), tempfile::tempdir().unwrap());
    let ca = dir.path().join("issuer.crt");
    fs::write(&ca, &issuer.authority).unwrap();
    let flags = [
        format!("--oidc-issuer-url={}", issuer.url),
        "--oidc-client-id=evenkeel".into(),
        format!("--oidc-ca-file={}", ca.display()),
        "--oidc-username-claim=email".into(),
        "--oidc-groups-claim=groups".into(),
        "--oidc-groups-prefix=oidc:".into(),
        "--oidc-signing-algs=RS256,ES256".into(),
    ];
    let mut cluster = Cluster::start_with(&[], &flags.each_ref().map(String::as_str));
    let with = |changes: Value| {
        let mut claims = issuer.claims();
        claims["email"] = "an@example.com".into();
        claims["groups"] = json!(["dev"]);
        claims.as_object_mut().unwrap().append(&mut changes.as_object().unwrap().clone());
        claims
    };
    let nobody = kubeconfig(&cluster, "nobody", "none");
    let token = issuer.sign(&with(json!({})));
    let shown = kubectl(&cluster, &nobody, &["--token", &token, "auth", "whoami", "-o", "json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["status"]["userInfo"],
        json!({"username": "an@example.com", "groups": ["oidc:dev", "system:authenticated"]}),
        "{shown:#}"
    );
    // With each start it listens elsewhere.
    let get = |cluster: &Cluster, token: &str| {
        let nobody = kubeconfig(cluster, "nobody", "none");
        kubectl(cluster, &nobody, &["--token", token, "get", "pods", "-n", "default"])
    };
    let said = get(&cluster, &token).unwrap_err();
    assert!(said.contains(r#"User "an@example.com" cannot list resource "pods""#), "{said}");
    cluster.kubectl(&["create", "rolebinding", "dev", "--clusterrole=view", "--group=oidc:dev", "-n", "default"]);
    get(&cluster, &token).unwrap();

    // None of these opens anything, and all are answered alike.
    let claims = with(json!({}));
    for (token, why) in [
        (issuer.sign(&with(json!({"aud": "other"}))), "expected audience"),
        (issuer.sign(&with(json!({"exp": 1}))), "token is expired"),
        (issuer.sign(&with(json!({"nbf": 1e11}))), "before the nbf"),
        (issuer.sign(&with(json!({"iss": "https://other.example"}))), "no token of this server"),
        (issuer.sign(&with(json!({"email_verified": false}))), "email not verified"),
        (issuer.sign_as(&json!({"alg": "none", "kid": "one"}), &claims), "\\\"none\\\" are not taken"),
        (issuer.sign_as(&json!({"alg": "HS256", "kid": "one"}), &claims), "\\\"HS256\\\" are not taken"),
        (issuer.sign_as(&json!({"alg": "ES256", "kid": "two"}), &claims), "its signature is wrong"),
        (token[..token.len() - 2].to_owned(), "its signature is wrong"),
    ] {
        let said = get(&cluster, &token).unwrap_err();
        assert!(said.contains("You must be logged in") || said.contains("provide credentials"), "{why}: {said}");
        eventually("the log of requests has the reason", || {
            let log = fs::read_to_string(cluster.data().join("access/access.log")).unwrap_or_default();
            log.lines().last()?.contains(why).then_some(())
        });
    }

    // The server starts and serves while the issuer is away, and takes its tokens when it is back.
    issuer.away.store(true, Ordering::SeqCst);
    get(&cluster, &token).unwrap();
    cluster.interrupt();
    cluster.up();
    get(&cluster, &token).unwrap_err();
    cluster.kubectl(&["get", "pods"]);
    issuer.away.store(false, Ordering::SeqCst);
    eventually("tokens count again", || get(&cluster, &token).ok());
    // A new key is found by its first token.
    issuer.rotate("two");
    let token = issuer.sign(&with(json!({})));
    eventually("the new key counts", || get(&cluster, &token).ok());
    cluster.audit();
}
