//! A program inside a pod is a client as on any Kubernetes cluster: it finds the API by its name and by its
//! variables, shows who it is, and may do what its account may. The programs are this machine's own (curl,
//! kubectl), seen by the pod through volumes.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use serde_json::{Value, json};

use crate::support::{App, Cluster, eventually, output};

/// Folders of this machine in which its programs and their libraries are.
const PROGRAMS: [&str; 4] = ["/usr", "/bin", "/lib", "/lib64"];

/// A Deployment whose pods see this machine's programs, as JSON.
pub fn with_programs(name: &str, mut container: Value, mut pod: Value) -> String {
    let there = || PROGRAMS.iter().filter(|p| std::path::Path::new(p).is_dir());
    let mounts =
        there().map(|p| json!({"name": format!("m{}", p.replace('/', "-")), "mountPath": p, "readOnly": true}));
    let volumes = there().map(|p| json!({"name": format!("m{}", p.replace('/', "-")), "hostPath": {"path": p}}));
    let more = |value: &mut Value, field: &str, list: Vec<Value>| {
        let before = value[field].as_array().cloned().unwrap_or_default();
        value[field] = before.into_iter().chain(list).collect();
    };
    more(&mut container, "volumeMounts", mounts.collect());
    more(&mut pod, "volumes", volumes.collect());
    // Its fields, without the braces around them.
    let inner = |value: &Value| {
        let text = value.to_string();
        text[1..text.len() - 1].to_string()
    };
    App { name, container: &inner(&container), pod: &inner(&pod), ..App::default() }.yaml()
}

/// Runs a program in a pod of a Deployment.
fn inside(cluster: &Cluster, deployment: &str, args: &[&str]) -> Result<String, String> {
    let deployment = format!("deployment/{deployment}");
    cluster.kubectl_try(&[&["exec", deployment.as_str(), "--"], args].concat())
}

#[test]
fn a_pod_finds_the_api_by_name_and_by_variables() {
    let container = json!({"command": ["/shop", "hang"], "args": ["$(KUBERNETES_SERVICE_HOST)", "$$(HOME)"],
        "env": [{"name": "API", "value": "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)"}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]});
    let pod = json!({"enableServiceLinks": false,
        "volumes": [{"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}]});
    let mut cluster = Cluster::start(&[("client.json", &with_programs("client", container, pod))]);
    cluster.wait_ready("default", "client", 1);
    let service = cluster.json(&["service", "kubernetes"]).unwrap();
    let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.ends_with(".1"), "{service:#}");
    let env = inside(&cluster, "client", &["env"]).unwrap();
    for line in [
        format!("KUBERNETES_SERVICE_HOST={address}"),
        "KUBERNETES_SERVICE_PORT=443".into(),
        "KUBERNETES_SERVICE_PORT_HTTPS=443".into(),
        format!("KUBERNETES_PORT=tcp://{address}:443"),
        format!("KUBERNETES_PORT_443_TCP_ADDR={address}"),
        format!("API=https://{address}:443"),
    ] {
        assert!(env.lines().any(|l| l == line), "{line} is not in\n{env}");
    }
    let ran = inside(&cluster, "client", &["cat", "/proc/1/cmdline"]).unwrap();
    assert!(ran.contains(&format!("{address}\0$(HOME)")), "{ran:?}");
    let ask = |cluster: &Cluster, host: &str| {
        let url = format!("https://{host}/api");
        let args = ["curl", "-sS", "--cacert", "/ca/ca.crt", "-o", "/dev/null", "-w", "%{http_code}", url.as_str()];
        inside(cluster, "client", &args)
    };
    for host in [
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc",
        "kubernetes.default",
        "kubernetes",
        address.as_str(),
    ] {
        let said = eventually(host, || ask(&cluster, host).ok());
        assert_eq!(said, "401", "{host}: known, and nobody");
    }
    // This machine finds it, too; and whoever takes it away.
    let here = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", &format!("https://{address}/api")];
    assert_eq!(output(Command::new("curl").args(here)).stdout, b"401");
    cluster.kubectl(&["delete", "service", "kubernetes"]);
    let again = eventually("it is there again", || cluster.json(&["service", "kubernetes"]));
    assert_eq!(again["spec"]["clusterIP"], address.as_str());
    assert_ne!(again["metadata"]["uid"], service["metadata"]["uid"]);
    eventually("and leads there", || ask(&cluster, "kubernetes").ok().filter(|said| said == "401"));
    cluster.interrupt();
    cluster.up();
    eventually("after a start", || ask(&cluster, "kubernetes").ok().filter(|said| said == "401"));
    cluster.audit();
}

/// What stands at the well-known place in a pod.
const SECRETS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An account that may look at pods and nothing else, and one without a token.
const ACCOUNTS: &str = r#"[
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker"}},
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "quiet"}, "automountServiceAccountToken": false},
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "look"},
 "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]},
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "look"},
 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "look"},
 "subjects": [{"kind": "ServiceAccount", "name": "looker", "namespace": "default"}]}]"#;

fn accounts() -> String {
    let all: Vec<Value> = serde_json::from_str(ACCOUNTS).unwrap();
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n")
}

/// What the API says to a token, asked from this machine.
fn status(cluster: &Cluster, token: &str) -> String {
    let address = cluster.json(&["service", "kubernetes"]).unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let url = format!("https://{address}/api/v1/namespaces/default/pods");
    let bearer = format!("Authorization: Bearer {token}");
    let args = ["-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", &bearer, &url];
    String::from_utf8(output(Command::new("curl").args(args)).stdout).unwrap()
}

#[test]
fn a_pods_token_opens_what_its_account_may_and_ends_with_it() {
    let vault = json!({"name": "vault", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}});
    let container = json!({"command": ["/shop", "hang"],
        "volumeMounts": [{"name": "vault", "mountPath": "/vault", "readOnly": true},
            {"name": "own", "mountPath": "/own", "readOnly": true}]});
    let binary = crate::support::binary();
    let own = json!({"name": "own", "hostPath": {"path": binary.parent().unwrap()}});
    let looker = json!({"serviceAccountName": "looker", "volumes": [vault, own]});
    let quiet = json!({"serviceAccountName": "quiet"});
    let mut cluster = Cluster::start(&[
        ("accounts.yaml", &accounts()),
        ("client.json", &with_programs("client", container, looker)),
        ("quiet.json", &with_programs("quiet", json!({"command": ["/shop", "hang"]}), quiet)),
    ]);
    cluster.wait_ready("default", "client", 1);
    cluster.wait_ready("default", "quiet", 1);
    let pod = cluster.pods("default", "app=client").remove(0);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|v| v["name"].as_str().unwrap().starts_with("kube-api-access-")), "{pod:#}");
    let template = &cluster.json(&["deployment", "client"]).unwrap()["spec"]["template"];
    assert!(!template.to_string().contains("kube-api-access"), "{template:#}");

    // The real kubectl finds everything by itself.
    let kubectl = |args: &[&str]| inside(&cluster, "client", &[&["kubectl", "--cache-dir=/cache"], args].concat());
    let listed = eventually("kubectl in the pod", || kubectl(&["get", "pods", "-o", "name"]).ok());
    assert!(listed.contains("pod/client-") && listed.contains("pod/quiet-"), "{listed}");
    let refused = kubectl(&["get", "secrets"]).unwrap_err();
    let words = r#"User "system:serviceaccount:default:looker" cannot list resource "secrets" in API group "" in the namespace "default""#;
    assert!(refused.contains(words), "{refused}");
    let refused = kubectl(&["delete", "pod", pod["metadata"]["name"].as_str().unwrap()]).unwrap_err();
    assert!(refused.contains("cannot delete resource"), "{refused}");
    // Evenkeel's own client, too.
    let listed = inside(&cluster, "client", &["/own/evenkeel", "get", "pods"]).unwrap();
    assert!(listed.contains("client-") && listed.contains("quiet-"), "{listed}");
    let refused = inside(&cluster, "client", &["/own/evenkeel", "get", "secrets"]).unwrap_err();
    assert!(refused.contains(words), "{refused}");
    // So does curl, with TLS by the CA beside the token.
    let asked = format!(
        "curl -sS --cacert {SECRETS}/ca.crt -H \"Authorization: Bearer $(cat {SECRETS}/token)\" \
         https://kubernetes.default.svc/api/v1/namespaces/$(cat {SECRETS}/namespace)/pods?limit=1"
    );
    let answer: Value = serde_json::from_str(&inside(&cluster, "client", &["sh", "-c", &asked]).unwrap()).unwrap();
    assert_eq!(answer["kind"], "PodList", "{answer:#}");
    let mode = inside(&cluster, "client", &["stat", "-L", "-c", "%a", &format!("{SECRETS}/token")]).unwrap();
    assert_eq!(mode.trim(), "644");
    // Who wants none has none.
    let none = inside(&cluster, "quiet", &["ls", SECRETS]).unwrap_err();
    assert!(none.contains("No such file"), "{none}");

    let read = |cluster: &Cluster, file: &str| inside(cluster, "client", &["cat", file]).ok();
    let token = read(&cluster, &format!("{SECRETS}/token")).unwrap();
    assert_eq!(status(&cluster, &token), "200");
    assert_eq!(status(&cluster, &read(&cluster, "/vault/token").unwrap()), "401", "it is for somebody else");
    assert!(read(&cluster, "/vault/labels").unwrap().contains("app=\"client\""));

    // A token that is due is another one after a start, in the very file; the old one counts for its time.
    cluster.interrupt();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let kept = cluster.data().join("agent/pods").join(uid).join("tokens.json");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let mut old: Value = serde_json::from_str(&fs::read_to_string(&kept).unwrap()).unwrap();
    for token in old.as_array_mut().unwrap() {
        token["made"] = json!(0);
    }
    fs::write(&kept, old.to_string()).unwrap();
    cluster.up();
    let next = eventually("another token", || read(&cluster, &format!("{SECRETS}/token")).filter(|t| *t != token));
    assert_eq!((status(&cluster, &next), status(&cluster, &token)), ("200".into(), "200".into()));
    let same = cluster.pods("default", "app=client").remove(0);
    assert_eq!(same["metadata"]["uid"], uid);
    assert_eq!(same["status"]["containerStatuses"][0]["restartCount"], 0);

    cluster.kubectl(&["delete", "pod", pod["metadata"]["name"].as_str().unwrap()]);
    eventually("it is gone", || {
        cluster.pods("default", "app=client").iter().all(|p| p["metadata"]["uid"] != uid).then_some(())
    });
    assert_eq!((status(&cluster, &next), status(&cluster, &token)), ("401".into(), "401".into()));
    cluster.audit();
}

#[test]
fn a_release_whose_account_is_missing_says_so() {
    let web = |pod: &str| App { pod, ..App::default() }.yaml();
    let cluster = Cluster::start_with(&[("web.json", &web(""))], &["--watch-window", "1s"]);
    cluster.wait_good(&cluster.repo.git(&["rev-parse", "HEAD"]));
    let before = cluster.running("web-");
    cluster.repo.write("web.json", &web(r#""serviceAccountName": "nobody""#));
    let commit = cluster.repo.commit("an account that is not there");
    let release = cluster.wait_phase(&commit, "RolledBack");
    let cause = release["status"]["cause"].to_string();
    assert!(cause.contains("serviceaccount \\\"nobody\\\" not found"), "{cause}");
    assert_eq!(cluster.running("web-"), before);
    cluster.audit();
}
