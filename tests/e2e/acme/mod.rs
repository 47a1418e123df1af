//! Certificates for an Ingress come from an ACME directory and are renewed; what the directory refuses is told.

mod directory;

use std::{net::TcpListener, process::Command, time::Duration};

use serde_json::{Value, json};

use self::directory::{Directory, ELSEWHERE, REJECTED};
use crate::support::{App, Cluster, eventually, output};

/// Two ports that nobody has.
fn ports() -> [u16; 2] {
    let both = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    both.map(|l| l.local_addr().unwrap().port())
}

fn ingress(name: &str, host: &str, secret: &str) -> String {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "annotations": {"evenkeel.dev/acme": "true", "evenkeel.dev/https-redirect": "true"}},
        "spec": {"rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
            "tls": [{"hosts": [host], "secretName": secret}]}})
    .to_string()
}

fn start(files: &[(&str, &str)], [http, https]: [u16; 2], directory: &Directory) -> Cluster {
    let (http, https) = (http.to_string(), https.to_string());
    let flags = [
        "--ingress-http-port",
        &http,
        "--ingress-https-port",
        &https,
        "--acme-directory",
        &directory.url,
        "--acme-email",
        "someone@shop.example",
        "--acme-ca",
        directory.ca.to_str().unwrap(),
    ];
    Cluster::start_with(files, &flags)
}

/// What a host answers over TLS to who trusts the directory's authority alone.
fn page(directory: &Directory, host: &str, port: u16) -> Option<String> {
    let (at, url) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}/"));
    let ca = directory.ca.to_str().unwrap();
    let got = output(Command::new("curl").args(["-fsS", "--max-time", "5", "--cacert", ca, "--resolve", &at, &url]));
    got.status.success().then(|| String::from_utf8_lossy(&got.stdout).into_owned())
}

/// What events of an Ingress with a reason say.
fn events(cluster: &Cluster, ingress: &str, reason: &str) -> Vec<String> {
    let all = cluster.items(&["events"]);
    let of = |e: &&Value| e["involvedObject"]["name"] == ingress && e["reason"] == reason;
    all.iter().filter(of).map(|e| e["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_certificate_comes_from_a_directory_and_is_renewed() {
    let (ports, dir) = (ports(), tempfile::tempdir().unwrap());
    let directory = Directory::start(dir.path(), vec![([127, 0, 0, 1], ports[0]).into()], Duration::from_secs(45));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})
    .to_string();
    let way = ingress("shop", "shop.example", "shop-tls");
    let web = App::default().yaml();
    let files = [("web.json", &*web), ("service.json", &*service), ("ingress.json", &*way)];
    let mut cluster = start(&files, ports, &directory);
    cluster.wait_ready("default", "web", 1);
    let text = eventually("the page, with its certificate", || page(&directory, "shop.example", ports[1]));
    assert!(text.contains("shop 1.0"), "{text}");
    let secret = cluster.json(&["secret", "shop-tls"]).unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let told = eventually("it is told", || events(&cluster, "shop", "CertificateIssued").into_iter().next());
    assert!(told.contains("the Secret shop-tls has a certificate that is good until 20"), "{told}");
    assert_eq!(directory.contacts(), [json!(["mailto:someone@shop.example"])]);
    assert!(events(&cluster, "shop", "CertificateFailed").is_empty(), "the answer was there at the first look");

    // Over a start of the server, with the account that is kept.
    cluster.interrupt();
    cluster.up();
    let first = secret["data"]["tls.crt"].clone();
    eventually("it is renewed", || {
        let now = cluster.json(&["secret", "shop-tls"])?["data"]["tls.crt"].clone();
        (now != first && directory.issued() > 1).then_some(())
    });
    assert_eq!(directory.contacts().len(), 1, "one account");
    eventually("the page, with the new one", || page(&directory, "shop.example", ports[1]));
    let ingress = cluster.json(&["ingress", "shop"]).unwrap();
    assert!(ingress["metadata"]["annotations"]["evenkeel.dev/https-redirect"] == "true", "{ingress:#}");
    // What an order leaves at the Ingress for a moment is no drift, and a Secret of ours nobody's to prune.
    assert!(cluster.items(&["drifts"]).is_empty());
    assert!(!cluster.said().contains("PRIVATE KEY"), "a key is in the log");
    cluster.audit();
}

#[test]
fn what_a_directory_refuses_is_told_and_tried_again_when_it_is_put_right() {
    let (ports, dir) = (ports(), tempfile::tempdir().unwrap());
    let directory = Directory::start(dir.path(), vec![([127, 0, 0, 1], ports[0]).into()], Duration::from_hours(24));
    let kept = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept"}, "stringData": {"x": "y"}});
    let (rejected, elsewhere) = (ingress("rejected", REJECTED, "one"), ingress("elsewhere", ELSEWHERE, "two"));
    let (wild, others) = (ingress("wild", "*.shop.example", "three"), ingress("others", "b.example", "kept"));
    let files = [
        ("kept.json", &*kept.to_string()),
        ("rejected.json", &*rejected),
        ("elsewhere.json", &*elsewhere),
        ("wild.json", &*wild),
        ("others.json", &*others),
    ];
    let mut cluster = start(&files, ports, &directory);
    for (ingress, part) in [
        ("rejected", "the directory refused it: policy forbids rejected.example; tried again in "),
        ("elsewhere", "the directory looked at elsewhere.example: at elsewhere.example is not what was asked for"),
        ("wild", "*.shop.example is a wildcard"),
        ("others", "the Secret kept is there already and was not made for this"),
    ] {
        eventually(&format!("{ingress} is told"), || {
            events(&cluster, ingress, "CertificateFailed").into_iter().find(|m| m.contains(part))
        });
    }
    assert_eq!((directory.issued(), directory.looks(REJECTED)), (0, 0));
    // Waits go on over starts of the server: each order is one that was counted.
    for _ in 0..2 {
        cluster.interrupt();
        cluster.up();
    }
    let counted = |ingress: &str, secret: &str| {
        let object = cluster.json(&["ingress", ingress])?;
        let tries = object["metadata"]["annotations"]["evenkeel.dev/acme-tries"].as_str()?.to_owned();
        serde_json::from_str::<Value>(&tries).unwrap()[secret]["count"].as_u64()
    };
    // No wait for what is new.
    cluster.repo.write("rejected.json", &ingress("rejected", "good.example", "one"));
    cluster.repo.commit("another host");
    eventually("it has a certificate", || cluster.json(&["secret", "one"])?["data"]["tls.crt"].as_str().map(drop));
    eventually("orders are as many as were counted", || {
        (counted("elsewhere", "two")? == directory.orders(ELSEWHERE) as u64).then_some(())
    });
    assert!(counted("rejected", "one").is_none(), "what succeeded is not counted any more");
    let left = cluster.items(&["ingresses"]);
    eventually("no answers are left", || {
        let left = cluster.items(&["ingresses"]).iter().any(|i| i["metadata"].to_string().contains("acme-answers"));
        (!left).then_some(())
    });
    assert_eq!(left.len(), 4);
    cluster.audit();
}
