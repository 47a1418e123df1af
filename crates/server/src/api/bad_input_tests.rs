//! Whatever is wrong with a request, on every route: the status and the reason that Kubernetes gives, never
//! the server's own failure.

use axum::{
    body::{Body, Bytes},
    http::{Request, header},
};
use evenkeel_model::Kind;
use evenkeel_schema::Customs;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{
    access,
    access_tests::Door,
    body, objects,
    reviews::{self, GROUPS},
    tests::{admin, pod},
};

/// Where an object of a kind is, and what its path takes.
struct Route {
    path: String,
    /// The kind that a body is of.
    kind: String,
    api_version: String,
    namespaced: bool,
    sort: Sort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    List,
    Get,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// A question: it has no name, and its options are not looked at.
    Ask,
    /// A verb of Evenkeel's own, with fields of its own.
    Act,
}

impl Sort {
    fn method(self) -> &'static str {
        match self {
            Self::List | Self::Get => "GET",
            Self::Create | Self::Ask | Self::Act => "POST",
            Self::Update => "PUT",
            Self::Patch => "PATCH",
            Self::Delete | Self::DeleteCollection => "DELETE",
        }
    }

    fn of_verb(verb: &str) -> Option<Self> {
        Some(match verb {
            "list" => Self::List,
            "get" => Self::Get,
            "create" => Self::Create,
            "update" => Self::Update,
            "patch" => Self::Patch,
            "delete" => Self::Delete,
            "deletecollection" => Self::DeleteCollection,
            _ => return None,
        })
    }
}

/// Something that is wrong, and what is said of it.
struct Bad {
    what: &'static str,
    query: String,
    media: Option<&'static str>,
    accept: Option<&'static str>,
    body: Bytes,
    expected: (u16, &'static str),
}

const BAD_REQUEST: (u16, &str) = (400, "BadRequest");
const NOT_ACCEPTABLE: (u16, &str) = (406, "NotAcceptable");
const TOO_LARGE: (u16, &str) = (413, "RequestEntityTooLarge");
const MEDIA_TYPE: (u16, &str) = (415, "UnsupportedMediaType");
const INVALID: (u16, &str) = (422, "Invalid");

fn of_query(what: &'static str, query: &str, expected: (u16, &'static str)) -> Bad {
    Bad { what, query: query.into(), media: None, accept: None, body: Bytes::new(), expected }
}

fn of_body(what: &'static str, media: &'static str, body: impl Into<Bytes>, expected: (u16, &'static str)) -> Bad {
    Bad { body: body.into(), media: Some(media), ..of_query(what, "", expected) }
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Every route of kinds, with what lies below their objects, and of questions.
fn routes() -> Vec<Route> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let info = kind.info();
        let base =
            if info.group.is_empty() { "/api/v1".into() } else { format!("/apis/{}/{}", info.group, info.version) };
        let home = if kind.namespaced() {
            format!("{base}/namespaces/shop/{}", info.plural)
        } else {
            format!("{base}/{}", info.plural)
        };
        let route = |path: String, sort| Route {
            path,
            kind: info.kind.into(),
            api_version: info.api_version(),
            namespaced: kind.namespaced(),
            sort,
        };
        for sort in access::verbs(*kind).iter().filter_map(|v| Sort::of_verb(v)) {
            let of_all = [Sort::List, Sort::Create, Sort::DeleteCollection].contains(&sort);
            all.push(route(if of_all { home.clone() } else { format!("{home}/x") }, sort));
        }
        for below in access::below(*kind, &Customs::default()) {
            // Connections are looked at on their own.
            if ["exec", "attach", "portforward", "proxy", "log", "place"].contains(&below.name) {
                continue;
            }
            let (own, api_version) = match below.name {
                "scale" => ("Scale", "autoscaling/v1"),
                "eviction" => ("Eviction", "policy/v1"),
                "token" => ("TokenRequest", "authentication.k8s.io/v1"),
                _ => (info.kind, ""),
            };
            for sort in below.verbs.iter().filter_map(|v| Sort::of_verb(v)) {
                let act =
                    sort == Sort::Create && info.group == "evenkeel.dev" || ["adopt", "remove"].contains(&below.name);
                let mut one = route(format!("{home}/x/{}", below.name), if act { Sort::Act } else { sort });
                if !api_version.is_empty() {
                    (one.kind, one.api_version) = (own.into(), api_version.into());
                }
                all.push(one);
            }
        }
    }
    for group in GROUPS {
        all.extend(reviews::of_group(group).map(|review| Route {
            path: format!(
                "/apis/{group}/v1/{}{}",
                if review.namespaced { "namespaces/shop/" } else { "" },
                review.plural
            ),
            kind: review.kind.into(),
            api_version: format!("{group}/v1"),
            namespaced: review.namespaced,
            sort: Sort::Ask,
        }));
    }
    all
}

impl Route {
    /// A body that would do, with a part of it changed.
    fn body(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut body = json!({"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": "x"}});
        if self.namespaced {
            body["metadata"]["namespace"] = "shop".into();
        }
        change(&mut body);
        body.to_string()
    }

    /// Whether it is of Evenkeel's own kinds whose bodies are read as those of custom kinds: without protobuf.
    fn of(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

/// What is wrong with options of a list or a watch.
fn of_lists() -> Vec<Bad> {
    let mut all = vec![
        of_query("label selector", "labelSelector=a%20in%20(", BAD_REQUEST),
        of_query("label selector's key", "labelSelector=-a%3Db", BAD_REQUEST),
        of_query("label selector's operator", "labelSelector=a%20near%20(b)", BAD_REQUEST),
        of_query("field selector", "fieldSelector=nothing", BAD_REQUEST),
        of_query("field selector's field", "fieldSelector=no.such%3Dx", BAD_REQUEST),
        of_query("limit", "limit=many", BAD_REQUEST),
        of_query("continue", "continue=%21%21", BAD_REQUEST),
        of_query("continue of another server", "continue=eyJydiI6MX0", BAD_REQUEST),
        of_query("continue with a version", "continue=eyJ2IjowLCJucyI6IiIsIm4iOiIifQ&resourceVersion=5", BAD_REQUEST),
        of_query("version", "resourceVersion=new", BAD_REQUEST),
        of_query("version below nothing", "resourceVersion=-1", BAD_REQUEST),
        of_query("match without a version", "resourceVersionMatch=Exact", INVALID),
        of_query("match of any", "resourceVersionMatch=Exact&resourceVersion=0", INVALID),
        of_query("match", "resourceVersionMatch=Newer&resourceVersion=1", INVALID),
        of_query("time", "timeoutSeconds=soon", BAD_REQUEST),
        of_query("first events of a list", "sendInitialEvents=true", INVALID),
    ];
    all.extend(
        [
            ("labelSelector=a%20in%20(", BAD_REQUEST),
            ("fieldSelector=nothing", BAD_REQUEST),
            ("fieldSelector=no.such%3Dx", BAD_REQUEST),
            ("resourceVersion=new", BAD_REQUEST),
            ("timeoutSeconds=soon", BAD_REQUEST),
            ("sendInitialEvents=true", INVALID),
            ("resourceVersionMatch=NotOlderThan", INVALID),
            ("resourceVersionMatch=Exact&sendInitialEvents=true", INVALID),
        ]
        .map(|(query, expected)| of_query("watch", &format!("watch=true&{query}"), expected)),
    );
    all
}

/// What is wrong with any request.
fn of_all() -> Vec<Bad> {
    let accept = |accept| Bad { accept: Some(accept), ..of_query("accept", "", NOT_ACCEPTABLE) };
    vec![of_query("timeout", "timeout=soon", BAD_REQUEST), accept("text/html"), accept("application/octet-stream")]
}

/// Bodies that are none, whatever they are to be.
fn no_trees(media: &'static str) -> Vec<Bad> {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let mut all = vec![
        of_body("cut off", media, r#"{"metadata": {"name""#, BAD_REQUEST),
        of_body("no UTF-8", media, b"{\"metadata\": {\"name\": \"\xff\xfe\"}}".as_slice(), BAD_REQUEST),
        of_body("nested deeply", media, deep("{\"a\":", "}"), BAD_REQUEST),
        of_body("lists nested deeply", media, deep("[", "]"), BAD_REQUEST),
        of_body("a number that is none", media, "{\"a\": 1e99999}", BAD_REQUEST),
        of_body("huge", media, HUGE.clone(), TOO_LARGE),
    ];
    if media != objects::JSON {
        all.push(of_body("a list", media, "[]", BAD_REQUEST));
        all.push(of_body("text", media, "\"x\"", BAD_REQUEST));
    }
    all
}

static HUGE: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| vec![b' '; body::LIMIT + 1].into());

/// What is wrong with a body of an object.
fn of_objects(route: &Route) -> Vec<Bad> {
    let mut all = no_trees(JSON);
    all.extend([
        of_body("empty", JSON, "", BAD_REQUEST),
        of_body("YAML", YAML, "a: [b\n  c: {", BAD_REQUEST),
        of_body("YAML of many references", YAML, bomb(), BAD_REQUEST),
        of_body("YAML of two documents", YAML, "a: 1\n---\nb: 2\n", BAD_REQUEST),
        of_body("kind", JSON, route.body(|b| b["kind"] = "Nonsense".into()), BAD_REQUEST),
        of_body("kind that is none", JSON, route.body(|b| b["kind"] = 5.into()), BAD_REQUEST),
        of_body("apiVersion", JSON, route.body(|b| b["apiVersion"] = "x.dev/v9".into()), BAD_REQUEST),
        of_body("metadata", JSON, route.body(|b| b["metadata"] = "x".into()), BAD_REQUEST),
        of_body("media type", "text/html", route.body(|_| ()), MEDIA_TYPE),
        of_body("media type of a patch", objects::MERGE, route.body(|_| ()), MEDIA_TYPE),
    ]);
    // As custom kinds, that of Sources has no protobuf.
    let none = route.of("Source") && route.sort != Sort::Ask;
    let broken = if none { MEDIA_TYPE } else { BAD_REQUEST };
    all.extend([
        of_body("protobuf", PROTOBUF, b"k8s\0\xff\xff\xff".as_slice(), broken),
        of_body("protobuf that is none", PROTOBUF, "{}", broken),
        of_body("protobuf of another kind", PROTOBUF, envelope("Nonsense"), broken),
    ]);
    if route.sort != Sort::Ask && route.namespaced && !route.path.ends_with("/token") {
        let elsewhere = route.body(|b| b["metadata"]["namespace"] = "elsewhere".into());
        all.push(of_body("namespace", JSON, elsewhere, BAD_REQUEST));
    }
    if route.sort == Sort::Update {
        let other = route.body(|b| b["metadata"]["name"] = "other".into());
        all.push(of_body("name", JSON, other, BAD_REQUEST));
    }
    all
}

/// What is wrong with the options of a write.
fn of_options(media: &'static str, query: &str) -> Vec<Bad> {
    let long = "m".repeat(129);
    let mut all = Vec::new();
    for (what, option) in [
        ("dryRun", "dryRun=Some".to_owned()),
        ("fieldValidation", "fieldValidation=Sometimes".to_owned()),
        ("fieldManager", format!("fieldManager={long}")),
        ("fieldManager's letters", "fieldManager=a%0Ab".to_owned()),
    ] {
        all.push(Bad { query: format!("{option}{query}"), ..of_body(what, media, "{}", INVALID) });
    }
    all
}

fn of_patches(route: &Route) -> Vec<Bad> {
    let subresource = route.path.split('/').count() > if route.namespaced { 8 } else { 6 };
    let mut all = vec![
        of_body("media type", "text/plain", "{}", MEDIA_TYPE),
        of_body("media type of an object", JSON, "{}", MEDIA_TYPE),
        of_body("operation", objects::JSON, r#"[{"op": "invent", "path": "/a"}]"#, BAD_REQUEST),
        of_body("operation without a path", objects::JSON, r#"[{"op": "remove"}]"#, BAD_REQUEST),
        of_body("no list of operations", objects::JSON, r#"{"op": "remove", "path": "/a"}"#, BAD_REQUEST),
        of_body("a path to nothing", objects::JSON, r#"[{"op": "remove", "path": "/no/such"}]"#, INVALID),
        of_body("a test", objects::JSON, r#"[{"op": "test", "path": "/kind", "value": "x"}]"#, INVALID),
        of_body("operations", objects::JSON, operations(10_001), TOO_LARGE),
    ];
    for media in [objects::MERGE, objects::STRATEGIC, objects::JSON] {
        let taken = !(media == objects::STRATEGIC && route.of("Source"));
        let mut of_this = no_trees(media);
        let of_type = if ["Node", "Source"].iter().any(|k| route.of(k)) { BAD_REQUEST } else { INVALID };
        if media == objects::MERGE {
            if !route.of("Scale") {
                of_this.push(of_body("name", media, r#"{"metadata": {"name": "other"}}"#, BAD_REQUEST));
                of_this.push(of_body("labels", media, r#"{"metadata": {"labels": 5}}"#, of_type));
                of_this.push(of_body("kind", media, r#"{"kind": "Nonsense"}"#, of_type));
            }
            let force = Bad { query: "force=true".into(), ..of_body("force", media, "{}", INVALID) };
            of_this.push(force);
        }
        if !taken {
            of_this.iter_mut().filter(|b| b.expected != TOO_LARGE).for_each(|b| b.expected = MEDIA_TYPE);
        }
        all.extend(of_this);
    }
    all.extend(of_options(objects::MERGE, ""));
    let applied = |what, change: &dyn Fn(&mut Value), expected| Bad {
        query: "fieldManager=me".into(),
        ..of_body(what, objects::APPLY, route.body(change), expected)
    };
    all.extend([
        of_body("apply by nobody", objects::APPLY, route.body(|_| ()), INVALID),
        applied("apply of another version", &|b| b["apiVersion"] = "x.dev/v9".into(), BAD_REQUEST),
        applied("apply of no version", &|b| drop(b.as_object_mut().map(|b| b.remove("apiVersion"))), BAD_REQUEST),
        applied("apply of no kind", &|b| drop(b.as_object_mut().map(|b| b.remove("kind"))), BAD_REQUEST),
        applied("apply of another name", &|b| b["metadata"]["name"] = "other".into(), BAD_REQUEST),
        applied("apply with owners", &|b| b["metadata"]["managedFields"] = json!([{"manager": "x"}]), BAD_REQUEST),
        Bad {
            query: "fieldManager=me".into(),
            ..of_body("apply of no YAML", objects::APPLY, "a: [b\n  c: {", BAD_REQUEST)
        },
    ]);
    // Of a part of an object nobody asks whether all else of it makes sense.
    if subresource && !route.of("Scale") {
        all.retain(|b| b.what != "labels");
    }
    all
}

fn operations(n: usize) -> String {
    let one = r#"{"op": "test", "path": "/kind", "value": "x"}"#;
    format!("[{}]", vec![one; n].join(","))
}

fn of_deletions(route: &Route) -> Vec<Bad> {
    let mut all = vec![
        of_body("cut off", JSON, "{\"a\"", BAD_REQUEST),
        of_body("kind", JSON, r#"{"apiVersion": "v1", "kind": "Pod"}"#, BAD_REQUEST),
        of_body("media type", "text/plain", "{}", MEDIA_TYPE),
        of_body("huge", JSON, HUGE.clone(), TOO_LARGE),
    ];
    if !["Source", "Node"].iter().any(|k| route.of(k)) {
        all.extend([
            of_query("dryRun", "dryRun=Some", INVALID),
            of_query("propagationPolicy", "propagationPolicy=Later", INVALID),
            of_query("two propagations", "propagationPolicy=Orphan&orphanDependents=true", INVALID),
            of_query("gracePeriodSeconds", "gracePeriodSeconds=soon", BAD_REQUEST),
            of_body("dryRun in the body", JSON, r#"{"dryRun": ["Some"]}"#, INVALID),
            of_body("propagationPolicy in the body", JSON, r#"{"propagationPolicy": "Later"}"#, INVALID),
            of_body("a time that is none", JSON, r#"{"gracePeriodSeconds": "x"}"#, BAD_REQUEST),
            of_body("protobuf", PROTOBUF, b"k8s\0\xff".as_slice(), BAD_REQUEST),
            of_body("protobuf of another kind", PROTOBUF, envelope("Pod"), BAD_REQUEST),
        ]);
    }
    all
}

/// All that is wrong with requests for a route.
fn bad(route: &Route) -> Vec<Bad> {
    let mut all = of_all();
    match route.sort {
        Sort::List => all.extend(of_lists()),
        Sort::Get => {}
        Sort::Ask => all.extend(of_objects(route)),
        Sort::Create | Sort::Update => {
            all.extend(of_objects(route));
            all.extend(of_options(JSON, ""));
        }
        Sort::Patch => all.extend(of_patches(route)),
        Sort::Delete => all.extend(of_deletions(route)),
        Sort::DeleteCollection => {
            all.extend(of_deletions(route));
            all.extend(of_lists().into_iter().filter(|b| !b.query.contains("watch")));
        }
        Sort::Act => {
            all.extend(no_trees(JSON).into_iter().filter(|b| b.what != "huge" || !route.path.ends_with("/diff")));
            all.push(of_body("a field", JSON, r#"{"nonsense": 1}"#, BAD_REQUEST));
            all.push(of_body("media type", "text/html", "{}", MEDIA_TYPE));
        }
    }
    all
}

/// References that would be a billion.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let reference = format!("*a{}", n - 1);
        let list = vec![reference; 10].join(", ");
        text.extend(["a", &n.to_string(), ": &a", &n.to_string(), " [", &list, "]\n"]);
    }
    text
}

/// A message of protobuf that holds nothing.
fn envelope(kind: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[(number << 3) | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &meta), field(2, b"")].concat()
}

/// A server with an object of each kind.
fn full() -> Door {
    let door = Door::open();
    for kind in Kind::ALL {
        let info = kind.info();
        let mut object = json!({"apiVersion": info.api_version(), "kind": info.kind,
            "metadata": {"name": "x", "uid": "00000000-0000-4000-8000-000000000001"}});
        if kind.namespaced() {
            object["metadata"]["namespace"] = "shop".into();
        }
        match kind {
            Kind::Pod => object = pod("x", "Running"),
            Kind::Source => object["spec"] = json!({"directory": "/srv/shop"}),
            // What it defines would be there, too.
            Kind::CustomResourceDefinition => {}
            _ => object["spec"] = json!({}),
        }
        door.fake.put(object);
    }
    door
}

async fn ask(door: &Door, method: &str, path: &str, bad: &Bad) -> (u16, Value) {
    let query = if bad.query.is_empty() { String::new() } else { format!("?{}", bad.query) };
    let mut request = Request::builder().method(method).uri(format!("{path}{query}"));
    for (name, value) in [(header::CONTENT_TYPE, bad.media), (header::ACCEPT, bad.accept)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let mut request = request.body(Body::from(bad.body.clone())).unwrap();
    request.extensions_mut().insert(admin());
    let response = door.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 4 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Why an answer is not what is expected.
fn wrong(answer: &(u16, Value), expected: (u16, &str)) -> Option<String> {
    let (code, status) = answer;
    let whole = status["kind"] == "Status"
        && status["apiVersion"] == "v1"
        && status["status"] == "Failure"
        && status["code"] == *code
        && status["message"].as_str().is_some_and(|m| !m.is_empty());
    let said = (*code, status["reason"].as_str().unwrap_or_default());
    (!whole || said != expected).then(|| format!("{said:?} in place of {expected:?}: {}", status["message"]))
}

#[tokio::test]
async fn what_is_wrong_is_told_as_kubernetes_tells_it() {
    let door = full();
    let (mut walked, mut failed) = (0, Vec::new());
    for route in routes() {
        for bad in bad(&route) {
            let answer = ask(&door, route.sort.method(), &route.path, &bad).await;
            walked += 1;
            if let Some(why) = wrong(&answer, bad.expected) {
                failed.push(format!("{:?} {}: {} ({}): {why}", route.sort, route.path, bad.what, bad.query));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {walked}:\n{}", failed.len(), failed.join("\n"));
    assert!(walked > 5000, "{walked}");
    assert!(door.fake.asked.lock().unwrap().is_empty(), "nothing of it reached the conductor");
}
