//! Ways in from outside on one node: requests find their Service by host and path, with and without
//! TLS, and an update loses none of them.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually, output, run};

/// Two ports that nobody has.
pub fn ports() -> [u16; 2] {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let both = [free(), free()];
    both.map(|l| l.local_addr().unwrap().port())
}

pub fn flags([http, https]: [u16; 2]) -> [String; 4] {
    ["--ingress-http-port".into(), http.to_string(), "--ingress-https-port".into(), https.to_string()]
}

fn service(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
    .to_string()
}

fn rule(host: Option<&str>, path: &str, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"name": "http"}}});
    let mut rule = json!({"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}});
    if let Some(host) = host {
        rule["host"] = host.into();
    }
    rule
}

fn ingress(rules: &[Value], tls: &Value) -> String {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"},
        "spec": {"rules": rules, "tls": tls}})
    .to_string()
}

/// A certificate for a host that signs itself; gives its file and the Secret.
fn certificate(dir: &Path, host: &str) -> (String, String) {
    let file = |end: &str| dir.join(format!("{host}.{end}")).to_str().unwrap().to_owned();
    let (crt, key) = (file("crt"), file("key"));
    let name = format!("subjectAltName=DNS:{host}");
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=test", "-addext", &name, "-keyout", &key, "-out", &crt]));
    let text = |path: &str| fs::read_to_string(path).unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "shop-tls"},
        "stringData": {"tls.crt": text(&crt), "tls.key": text(&key)}});
    (crt, secret.to_string())
}

/// The status and body of an answer.
fn curl(args: &[&str]) -> Option<(u16, String)> {
    let out = output(Command::new("curl").args(["-sS", "--max-time", "5", "-w", "\n%{http_code}"]).args(args));
    let text = String::from_utf8(out.stdout).unwrap();
    let (body, code) = text.rsplit_once('\n')?;
    out.status.success().then(|| (code.parse().unwrap(), body.to_owned()))
}

/// Asks 200 times a second, by a program of its own, until so many seconds are over.
fn load(address: &str, seconds: u32) -> Child {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/example/shop");
    let args = ["load", address, "200", &seconds.to_string()];
    Command::new(shop).args(args).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn requests_find_their_service_by_host_and_path_with_tls_and_without() {
    let app = |name: &'static str, tag: &'static str| App { name, tag, ..App::default() }.yaml();
    let keys = tempfile::tempdir().unwrap();
    let (trusted, secret) = certificate(keys.path(), "shop.example");
    let rules = [rule(Some("shop.example"), "/", "web"), rule(Some("*.shop.example"), "/", "api")];
    let tls = json!([{"hosts": ["shop.example"], "secretName": "shop-tls"}]);
    let (web, api) = (app("web", "1.0"), app("api", "1.1"));
    let (of_web, of_api, way) = (service("web"), service("api"), ingress(&rules, &tls));
    let mut redirects: Value =
        serde_json::from_str(&ingress(&[rule(Some("secure.example"), "/", "web")], &tls)).unwrap();
    redirects["metadata"] = json!({"name": "secure", "annotations": {"evenkeel.dev/https-redirect": "true"}});
    let redirects = redirects.to_string();
    let files = [
        ("secure.json", &*redirects),
        ("web.json", &*web),
        ("api.json", &*api),
        ("web-service.json", &*of_web),
        ("api-service.json", &*of_api),
        ("secret.json", &*secret),
        ("ingress.json", &*way),
    ];
    let ports = ports();
    let flags = flags(ports);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = Cluster::start_with(&files, &flags);
    cluster.wait_ready("default", "web", 1);
    cluster.wait_ready("default", "api", 1);
    let plain = format!("http://127.0.0.1:{}/", ports[0]);
    let ask = |host: &str| curl(&["-H", &format!("Host: {host}"), &plain]);
    let (_, text) = eventually("the page", || ask("shop.example").filter(|(code, _)| *code == 200));
    assert!(text.contains("shop 1.0"), "{text}");
    let (_, text) = eventually("the other one", || ask("a.shop.example").filter(|(code, _)| *code == 200));
    assert!(text.contains("shop 1.1"), "{text}");
    assert_eq!(ask("other.example").unwrap().0, 404);
    let moved = output(Command::new("curl").args([
        "-sS",
        "-w",
        "%{http_code} %{redirect_url}",
        "-H",
        "Host: secure.example",
        &plain,
    ]));
    let to = format!("308 https://secure.example:{}/", ports[1]);
    assert_eq!(String::from_utf8(moved.stdout).unwrap(), to);

    let at = format!("shop.example:{}:127.0.0.1", ports[1]);
    let secure = format!("https://shop.example:{}/", ports[1]);
    for version in ["--http1.1", "--http2"] {
        let got = curl(&[version, "--cacert", &trusted, "--resolve", &at, &secure]);
        let (code, text) = got.unwrap_or_else(|| panic!("{version}: no answer"));
        assert!(code == 200 && text.contains("shop 1.0"), "{version}: {code} {text}");
    }
    let unknown = format!("other.example:{}:127.0.0.1", ports[1]);
    let refused = curl(&["--insecure", "--resolve", &unknown, &format!("https://other.example:{}/", ports[1])]);
    assert_eq!(refused, None, "nobody has a certificate for it");

    let table = cluster.kubectl(&["get", "ingress,ingressclass"]);
    assert!(table.contains("evenkeel.dev/ingress") && table.contains("shop.example,*.shop.example"), "{table}");
    let nodes = cluster.items(&["nodes"]);
    let addresses = nodes[0]["status"]["addresses"].as_array().unwrap();
    let node = addresses.iter().find(|a| a["type"] == "InternalIP").unwrap()["address"].clone();
    eventually("the status has the node", || {
        let ingress = cluster.json(&["ingress", "shop"])?;
        (ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == node).then_some(())
    });
    let said = cluster.said();
    assert!(!said.contains("PRIVATE KEY"), "a key is in the log");
    let kept = cluster.data().join("agent/ingress.json");
    let mode = output(Command::new("stat").args(["-c", "%a"]).arg(kept)).stdout;
    assert_eq!(String::from_utf8(mode).unwrap().trim(), "600");
    cluster.audit();
}

#[test]
fn an_update_loses_no_request_through_an_ingress() {
    let web = |tag| App { replicas: 3, tag, ..App::default() }.yaml();
    let (of_web, way) = (service("web"), ingress(&[rule(None, "/", "web")], &json!([])));
    let files = [("web.json", &*web("1.0")), ("service.json", &*of_web), ("ingress.json", &*way)];
    let ports = ports();
    let flags = flags(ports);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = Cluster::start_with(&files, &flags);
    cluster.wait_ready("default", "web", 3);
    let at = format!("127.0.0.1:{}", ports[0]);
    eventually("the page", || curl(&[&format!("http://{at}/")]).filter(|(code, _)| *code == 200));
    let mut asked = load(&at, 30);
    for (tag, message) in [("1.1", "second"), ("1.0", "third")] {
        cluster.repo.write("web.json", &web(tag));
        let commit = cluster.repo.commit(message);
        cluster.wait_phase(&commit, "Healthy");
    }
    assert!(asked.try_wait().unwrap().is_none(), "the updates outlasted the requests");
    let done = asked.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains(" 0 failed"), "{said}");
    cluster.audit();
}
