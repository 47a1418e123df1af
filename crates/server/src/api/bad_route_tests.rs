//! Requests for what is not there, by methods that nobody takes, and connections that cannot be taken over;
//! and noise on every route.

use axum::{body::Body, http::Request};
use evenkeel_model::{Kind, Rng};
use evenkeel_schema::Customs;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{
    access,
    access_tests::{Door, paths},
    discovery,
    reviews::{self, GROUPS},
    tests::{REFUSED, admin, pod},
};

async fn ask(door: &Door, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body.to_owned())).unwrap();
    request.extensions_mut().insert(admin());
    let response = door.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 16 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn refused(answer: &(u16, Value), code: u16, reason: &str) -> bool {
    let (found, status) = answer;
    *found == code && status["kind"] == "Status" && status["code"] == code && status["reason"] == reason
}

/// Verbs of discovery as methods.
fn methods(verbs: &[&str]) -> Vec<&'static str> {
    let of = |verb: &&str| match *verb {
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => "GET",
    };
    verbs.iter().map(of).collect()
}

/// Every path with the methods that it takes.
fn taken() -> Vec<(String, Vec<&'static str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for kind in Kind::ALL {
        let info = kind.info();
        let base =
            if info.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}/{}", info.group, info.version) };
        let verbs = access::verbs(*kind);
        let some = |wanted: &[&str]| methods(&verbs.iter().copied().filter(|v| wanted.contains(v)).collect::<Vec<_>>());
        let collection = some(&["create", "deletecollection", "list", "watch"]);
        let home = if kind.namespaced() {
            all.push((format!("{base}/{}", info.plural), vec!["GET"]));
            format!("{base}/namespaces/shop/{}", info.plural)
        } else {
            format!("{base}/{}", info.plural)
        };
        all.push((home.clone(), collection));
        all.push((format!("{home}/x"), some(&["get", "update", "patch", "delete"])));
        for below in access::below(*kind, &Customs::default()) {
            let mut methods = methods(below.verbs);
            // Whatever a program in a pod takes.
            methods.extend((below.name == "proxy").then_some("OPTIONS"));
            all.push((format!("{home}/x/{}", below.name), methods));
        }
    }
    for group in GROUPS {
        for review in reviews::of_group(group) {
            let place = if review.namespaced { "namespaces/shop/" } else { "" };
            all.push((format!("/apis/{group}/v1/{place}{}", review.plural), vec!["POST"]));
        }
    }
    for path in ["/apis/metrics.k8s.io/v1beta1/nodes", "/version", "/api", "/apis"] {
        all.push((path.into(), vec!["GET"]));
    }
    for (group, version, _) in discovery::groups(&Customs::default()) {
        let base = if group.is_empty() { "/api/v1".into() } else { format!("/apis/{group}/{version}") };
        all.push((base, vec!["GET"]));
        if !group.is_empty() {
            all.push((format!("/apis/{group}"), vec!["GET"]));
        }
    }
    all
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_told_so() {
    let door = Door::open();
    let (mut walked, mut failed) = (0, Vec::new());
    for (path, taken) in taken() {
        // OPTIONS and HEAD are nobody's verbs; HEAD is answered where GET is.
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = ask(&door, method, &path, &[("content-type", "application/merge-patch+json")], "{}").await;
            let not_allowed = refused(&answer, 405, "MethodNotAllowed");
            if not_allowed == taken.contains(&method) {
                failed.push(format!("{method} {path}: {} {}", answer.0, answer.1));
            }
            walked += 1;
        }
    }
    assert!(failed.is_empty(), "{} of {walked}:\n{}", failed.len(), failed.join("\n"));
    assert!(walked > 500, "{walked}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let door = Door::open();
    let mut all: Vec<String> = [
        "/nothing",
        "/api/v2",
        "/api/v2/pods",
        "/api/v1/nothing",
        "/api/v1/namespaces/shop/nothing",
        "/api/v1/namespaces/shop/nothing/x",
        "/api/v1/pods/x",
        "/api/v1/nodes/x/y/z",
        "/api/v1/namespaces/shop/nodes",
        "/api/v1/namespaces/shop/pods/x%2Fy",
        "/api/v1/namespaces/shop/pods/%zz",
        "/api/v1/namespaces/shop/pods/%ff",
        "/apis/none.example",
        "/apis/none.example/v1",
        "/apis/none.example/v1/things",
        "/apis/apps/v1beta1/deployments",
        "/apis/apps/v1/pods",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/x/status",
        "/apis/metrics.k8s.io/v1beta1/namespaces/shop/nodes",
        "/apis/authorization.k8s.io/v1/nothing",
        "/apis/authorization.k8s.io/v1beta1/selfsubjectaccessreviews",
        "/openapi/v3/apis/none.example/v1",
        "/evenkeel/nothing",
        "/evenkeel/tokens/x/y",
    ]
    .map(Into::into)
    .into();
    for kind in Kind::ALL {
        let info = kind.info();
        let base =
            if info.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}/{}", info.group, info.version) };
        let place = if kind.namespaced() { "namespaces/shop/" } else { "" };
        all.push(format!("{base}/{place}{}/x/nothing", info.plural));
        all.push(format!("{base}/{place}{}/x/status/more", info.plural));
        // The object itself: nobody made it.
        all.push(format!("{base}/{place}{}/none", info.plural));
    }
    for path in all {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let kind = json!({}).to_string();
            let answer = ask(&door, method, &path, &[("content-type", "application/merge-patch+json")], &kind).await;
            let of_object = path.ends_with("/none") && method != "GET";
            // What is not there may still take no such method, or no such body.
            let fits = if of_object { (400..=422).contains(&answer.0) } else { refused(&answer, 404, "NotFound") };
            let known = path.starts_with("/openapi/v3/") && method != "GET";
            assert!(fits || known && answer.0 == 405, "{method} {path}: {} {}", answer.0, answer.1);
        }
    }
}

#[tokio::test]
async fn what_is_no_connection_is_not_taken_over() {
    let door = Door::open();
    door.fake.put(pod("x", "Running"));
    let base = "/api/v1/namespaces/shop/pods/x";
    let socket = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    let but = |name: &str, value: Option<&'static str>| -> Vec<(&str, &str)> {
        socket.iter().filter_map(|(n, v)| if *n == name { value.map(|v| (*n, v)) } else { Some((*n, *v)) }).collect()
    };
    let headers = [
        vec![],
        but("connection", Some("close")),
        but("connection", None),
        but("upgrade", Some("h2c")),
        but("upgrade", None),
        but("sec-websocket-version", Some("7")),
        but("sec-websocket-key", None),
        but("sec-websocket-protocol", Some("v9.channel.k8s.io")),
        but("sec-websocket-protocol", None),
        vec![("connection", "upgrade"), ("upgrade", "SPDY/2")],
        vec![("connection", "upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "none")],
        vec![("connection", "upgrade"), ("upgrade", "SPDY/3.1")],
        // As it should be, but that this connection cannot be taken over.
        socket.to_vec(),
    ];
    for path in [
        format!("{base}/exec?command=sh&stdout=true"),
        format!("{base}/attach?stdout=true"),
        format!("{base}/portforward?ports=80"),
    ] {
        for headers in &headers {
            for method in ["GET", "POST"] {
                let answer = ask(&door, method, &path, headers, "").await;
                assert!(refused(&answer, 400, "BadRequest"), "{method} {path} {headers:?}: {answer:?}");
            }
        }
    }
    for (query, what) in [
        ("exec?stdout=true", "at least one command"),
        ("exec?command=sh", "at least one of stdin"),
        ("exec?command=sh&stderr=true&tty=true", "cannot both be true"),
        ("exec?command=sh&stdout=true&container=none", "container none is not valid"),
        ("attach?container=none&stdout=true", "container none is not valid"),
        ("attach", "at least one of stdin"),
    ] {
        let answer = ask(&door, "GET", &format!("{base}/{query}"), &socket, "").await;
        assert!(refused(&answer, 400, "BadRequest"), "{query}: {answer:?}");
        assert!(answer.1["message"].as_str().unwrap().contains(what), "{query}: {answer:?}");
    }
    for path in ["exec?command=sh&stdout=true", "attach?stdout=true", "portforward?ports=1"] {
        let none = ask(&door, "GET", &format!("/api/v1/namespaces/shop/pods/none/{path}"), &socket, "").await;
        assert!(refused(&none, 404, "NotFound"), "{path}: {none:?}");
    }
}

#[tokio::test]
async fn a_log_is_asked_for_in_its_words() {
    let door = Door::open();
    door.fake.put(pod("x", "Running"));
    let log = "/api/v1/namespaces/shop/pods/x/log";
    for (query, code, reason) in [
        ("tailLines=many", 400, "BadRequest"),
        ("tailLines=-1", 422, "Invalid"),
        ("limitBytes=0", 422, "Invalid"),
        ("limitBytes=x", 400, "BadRequest"),
        ("sinceSeconds=0", 422, "Invalid"),
        ("sinceTime=yesterday", 400, "BadRequest"),
        ("sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z", 422, "Invalid"),
        ("container=none", 400, "BadRequest"),
    ] {
        let answer = ask(&door, "GET", &format!("{log}?{query}"), &[], "").await;
        assert!(refused(&answer, code, reason), "{query}: {answer:?}");
    }
    let answer = ask(&door, "GET", log, &[("accept", "text/html")], "").await;
    assert!(refused(&answer, 406, "NotAcceptable"), "{answer:?}");
    for accept in ["text/plain", "*/*", "application/json, */*"] {
        assert_eq!(ask(&door, "GET", log, &[("accept", accept)], "").await.0, 200, "{accept}");
    }
    let invalid = ask(&door, "GET", &format!("{log}?tailLines=-1"), &[], "").await.1;
    assert_eq!(
        invalid["message"],
        r#"PodLogOptions "x" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"#
    );
}

/// Pieces of requests, right and wrong ones.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "5",
    "-1e9",
    "\"metadata\":",
    "\"name\":\"x\"",
    "\"kind\":\"Pod\"",
    "\"spec\":",
    "\"$patch\":\"delete\"",
    "\"op\":\"add\"",
    "\"path\":\"/metadata\"",
    "\\u0000",
    "\u{feff}",
    "a: &a [*a]",
    "k8s\0",
    "\u{7f}",
    "{\"metadata\":{\"name\":\"x\"}}",
    "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/a\"}]",
];

#[tokio::test]
async fn noise_on_every_route_is_the_callers_fault() {
    let door = Door::open();
    let mut x = pod("x", "Running");
    // What is led into it finds nobody there.
    x["spec"]["containers"][0]["ports"] = json!([{"containerPort": REFUSED}]);
    door.fake.put(x);
    let mut rng = Rng::new(6);
    let mut pick = |n: usize| usize::try_from(rng.next_u64() % n as u64).unwrap();
    let medias = [
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/json-patch+json",
        "application/apply-patch+yaml",
        "",
    ];
    let queries = [
        "",
        "?",
        "?a=%zz",
        "?labelSelector=%00",
        "?fieldSelector==",
        "?limit=9999999999999999999",
        "?continue=e30",
        "?resourceVersion=18446744073709551615",
        "?watch&timeoutSeconds=-1",
        "?fieldManager=x&force=true",
        "?dryRun=All",
        "?command=%ff&stdout",
        "?ports=99999",
        "?limit=1&resourceVersionMatch=Exact&resourceVersion=1",
    ];
    for path in paths() {
        // Neither a panic nor a failure of the server's own, whatever comes.
        for round in 0..24 {
            let method = ["GET", "POST", "PUT", "PATCH", "DELETE"][round % 5];
            let body: String = (0..pick(8)).map(|_| PIECES[pick(PIECES.len())]).collect();
            let (query, media) = (queries[pick(queries.len())], medias[pick(medias.len())]);
            let uri = format!("{path}{query}");
            let answer = ask(&door, method, &uri, &[("content-type", media)], &body).await;
            // 503 where a node would be asked, 504 for a version that is not there yet.
            assert!(
                answer.0 < 500 || [503, 504].contains(&answer.0),
                "{method} {uri} {media} {body:?}: {} {}",
                answer.0,
                answer.1
            );
        }
    }
}
