//! Who somebody is and what they may do, by the real kubectl: ServiceAccounts and their tokens, roles that
//! are bound, what is refused and in which words, questions about it, and speaking for others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{App, Cluster, eventually, output};

/// A kubeconfig of somebody with a token.
pub fn kubeconfig(cluster: &Cluster, name: &str, token: &str) -> PathBuf {
    let path = cluster.dir.path().join(format!("{name}.kubeconfig"));
    let admin = fs::read_to_string(cluster.data().join("admin.kubeconfig")).unwrap();
    let line = |field: &str| admin.lines().find(|l| l.trim_start().starts_with(field)).unwrap().trim().to_string();
    let (server, ca) = (line("server:"), line("certificate-authority-data:"));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster:\n    {server}\n    {ca}\n\
         users:\n- name: u\n  user:\n    token: {token}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u, namespace: shop}}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// Runs kubectl as somebody: what it says, or what it complains about.
pub fn kubectl(cluster: &Cluster, config: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(config).arg("--cache-dir").arg(cluster.dir.path().join("other-cache"));
    let shown = output(command.env("NO_PROXY", "*").args(args));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    if shown.status.success() {
        Ok(text(&shown.stdout))
    } else {
        Err(format!("{}{}", text(&shown.stdout), text(&shown.stderr)))
    }
}

/// A source that gives a robot the role of a viewer, and its namespace.
const ACCESS: &str = r#"[
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop"}},
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "robots", "namespace": "shop"},
 "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
 "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]}]"#;

fn documents() -> String {
    let all: Vec<serde_json::Value> = serde_json::from_str(ACCESS).unwrap();
    let each: Vec<String> = all.iter().map(ToString::to_string).collect();
    each.join("\n---\n")
}

#[test]
fn roles_of_a_source_are_given_to_a_token() {
    let cluster = Cluster::start(&[("access.yaml", &documents()), ("web.json", &App::default().yaml())]);
    cluster.wait_ready("default", "web", 1);
    eventually("the namespace has its account", || cluster.json(&["serviceaccount", "default", "-n", "shop"]));
    let ca = cluster.json(&["configmap", "kube-root-ca.crt", "-n", "shop"]).unwrap();
    assert!(ca["data"]["ca.crt"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");

    let token = cluster.kubectl(&["create", "token", "robot", "-n", "shop", "--duration=1h"]);
    let robot = kubeconfig(&cluster, "robot", token.trim());
    let robot = |args: &[&str]| kubectl(&cluster, &robot, args);
    assert!(robot(&["auth", "whoami"]).unwrap().contains("system:serviceaccount:shop:robot"));
    assert_eq!(
        robot(&["get", "serviceaccounts", "-o", "name"]).unwrap(),
        "serviceaccount/default\nserviceaccount/robot"
    );
    assert_eq!(robot(&["auth", "can-i", "list", "pods"]).unwrap(), "yes");
    assert_eq!(robot(&["auth", "can-i", "delete", "pods"]).unwrap_err(), "no");
    assert_eq!(robot(&["auth", "can-i", "list", "pods", "-n", "default"]).unwrap_err(), "no");
    let list = robot(&["auth", "can-i", "--list"]).unwrap();
    assert!(list.contains("selfsubjectaccessreviews.authorization.k8s.io") && list.contains("configmaps"), "{list}");
    for (args, expected) in [
        (
            &["get", "secrets"][..],
            r#"secrets is forbidden: User "system:serviceaccount:shop:robot" cannot list resource "secrets" in API group "" in the namespace "shop""#,
        ),
        (
            &["get", "pods", "-n", "default"],
            r#"cannot list resource "pods" in API group "" in the namespace "default""#,
        ),
        (
            &["get", "nodes"],
            r#"nodes is forbidden: User "system:serviceaccount:shop:robot" cannot list resource "nodes" in API group "" at the cluster scope"#,
        ),
        (
            &["create", "configmap", "x"],
            r#"cannot create resource "configmaps" in API group "" in the namespace "shop""#,
        ),
        (&["get", "--raw", "/metrics"], r#"cannot get path "/metrics""#),
        (&["get", "pods", "--as", "system:admin"], r#"cannot impersonate resource "users""#),
    ] {
        let said = robot(args).unwrap_err();
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    // A watch by a token lasts like anybody's, and the connection is a user's.
    assert!(robot(&["get", "configmaps", "--watch", "--request-timeout=3s"]).unwrap().contains("kube-root-ca.crt"));

    roles_by_hand(&cluster);

    // A token that ends with a pod.
    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_string();
    let bound = ["create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name", &pod];
    let token = cluster.kubectl(&bound);
    let of_pod = kubeconfig(&cluster, "pod", token.trim());
    let shown = kubectl(&cluster, &of_pod, &["auth", "whoami", "-o", "json"]).unwrap();
    let extra = &serde_json::from_str::<serde_json::Value>(&shown).unwrap()["status"]["userInfo"]["extra"];
    assert_eq!(extra["authentication.kubernetes.io/pod-name"][0], *pod, "{shown}");
    cluster.kubectl(&["delete", "pod", &pod]);
    kubectl(&cluster, &of_pod, &["auth", "whoami"]).unwrap_err();

    // Speaking for others.
    let as_robot = ["--as", "system:serviceaccount:shop:robot", "-n", "shop"];
    assert_eq!(cluster.kubectl(&[&["auth", "can-i", "get", "pods"][..], &as_robot].concat()).trim(), "yes");
    let said = cluster.kubectl_try(&[&["get", "secrets"][..], &as_robot].concat()).unwrap_err();
    assert!(said.contains("cannot list resource \"secrets\""), "{said}");
    // What a binding names does not change.
    let patch = r#"{"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}}"#;
    let said =
        cluster.kubectl_try(&["patch", "rolebinding", "maps", "-n", "shop", "--type=merge", "-p", patch]).unwrap_err();
    assert!(said.contains("cannot change roleRef"), "{said}");
    cluster.audit();
}

/// Made with the words that kubectl sends them in.
fn roles_by_hand(cluster: &Cluster) {
    cluster.kubectl(&["create", "serviceaccount", "hand", "-n", "shop"]);
    cluster.kubectl(&["create", "role", "maps", "-n", "shop", "--verb=get,create", "--resource=configmaps"]);
    cluster.kubectl(&["create", "rolebinding", "maps", "-n", "shop", "--role=maps", "--serviceaccount=shop:hand"]);
    cluster.kubectl(&["create", "clusterrole", "noder", "--verb=list", "--resource=nodes"]);
    cluster.kubectl(&["create", "clusterrolebinding", "noder", "--clusterrole=noder", "--serviceaccount=shop:hand"]);
    let binding = cluster.kubectl(&["get", "rolebinding", "maps", "-n", "shop", "-o", "wide", "--no-headers"]);
    let cells: Vec<&str> = binding.split_whitespace().collect();
    assert_eq!((cells[1], cells[cells.len() - 1]), ("Role/maps", "shop/hand"), "{binding}");
    let hand = kubeconfig(cluster, "hand", cluster.kubectl(&["create", "token", "hand", "-n", "shop"]).trim());
    let hand = |args: &[&str]| kubectl(cluster, &hand, args);
    hand(&["create", "configmap", "mine", "--from-literal=a=b"]).unwrap();
    hand(&["get", "nodes"]).unwrap();
    let said = hand(&["delete", "configmap", "mine"]).unwrap_err();
    assert!(
        said.contains(r#"configmaps "mine" is forbidden: User "system:serviceaccount:shop:hand" cannot delete"#),
        "{said}"
    );
    // Gone with its account.
    cluster.kubectl(&["delete", "serviceaccount", "hand", "-n", "shop"]);
    let said = hand(&["get", "nodes"]).unwrap_err();
    assert!(said.contains("You must be logged in") || said.contains("provide credentials"), "{said}");
}

#[test]
fn tokens_and_roles_outlive_the_server_and_a_namespace_takes_its_own_with_it() {
    let mut cluster = Cluster::start(&[("access.yaml", &documents())]);
    eventually("the account is there", || cluster.json(&["serviceaccount", "robot", "-n", "shop"]));
    let token = cluster.kubectl(&["create", "token", "robot", "-n", "shop"]);
    cluster.kill();
    cluster.up();
    let robot = kubeconfig(&cluster, "robot", token.trim());
    let robot = |args: &[&str]| kubectl(&cluster, &robot, args);
    assert_eq!(robot(&["auth", "can-i", "list", "pods"]).unwrap(), "yes");
    // The source takes all of it back; what the server put into the namespace holds nothing up.
    cluster.repo.git(&["rm", "-q", "access.yaml"]);
    let last = cluster.repo.commit("nobody is a robot");
    cluster.wait_phase(&last, "Pending");
    cluster.evenkeel(&["sync", "repo", "--allow-mass-delete"]);
    eventually("the namespace is gone", || cluster.kubectl_try(&["get", "namespace", "shop"]).err());
    assert!(robot(&["auth", "whoami"]).is_err());
    cluster.audit();
}

/// What the log of requests has of a user.
fn logged(cluster: &Cluster, user: &str) -> Vec<String> {
    let log = fs::read_to_string(cluster.data().join("access/access.log")).unwrap();
    let lines = log.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
    let of_user = lines.filter(|l| l["user"] == user);
    of_user
        .map(|l| {
            let text = |f: &str| l[f].as_str().unwrap_or_default().to_string();
            format!(
                "{} {}{} {} {}",
                text("verb"),
                text("resource"),
                text("path"),
                text("subresource"),
                text("decision")
            )
        })
        .collect()
}

#[test]
fn a_deployer_releases_and_rolls_back_and_nothing_else() {
    let web = |tag| App { tag, ..App::default() }.yaml();
    let cluster = Cluster::start(&[("web.json", &web("1.0"))]);
    cluster.kubectl(&["patch", "source", "repo", "--type=merge", "-p", r#"{"spec": {"watchWindow": "1s"}}"#]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    cluster.repo.write("web.json", &web("1.1"));
    let second = cluster.repo.commit("more");
    cluster.wait_good(&second);
    cluster.kubectl(&["create", "serviceaccount", "ci", "-n", "default"]);
    cluster.kubectl(&["create", "clusterrolebinding", "ci", "--clusterrole=deployer", "--serviceaccount=default:ci"]);
    let token = cluster.kubectl(&["create", "token", "ci", "-n", "default"]);
    let config = kubeconfig(&cluster, "ci", token.trim());
    let evenkeel = |args: &[&str]| {
        let mut command = Command::new(crate::support::binary());
        command.arg("--kubeconfig").arg(&config).args(args).env_remove("KUBECONFIG");
        let shown = output(&mut command);
        let said = format!("{}{}", String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
        if shown.status.success() { Ok(said) } else { Err(said) }
    };
    assert!(evenkeel(&["history", "repo"]).unwrap().contains(&second[..10]));
    evenkeel(&["status"]).unwrap();
    evenkeel(&["rollback", "repo", "--reason", "the shop is slow"]).unwrap();
    eventually("the first commit runs again", || {
        cluster.source()["appliedRevision"].as_str().filter(|r| r.ends_with(&first)).map(|_| ())
    });
    assert_eq!(cluster.source()["pinned"]["by"], "system:serviceaccount:default:ci");
    evenkeel(&["unpin", "repo"]).unwrap();
    for (args, expected) in [
        (
            &["exec", "deployment/web", "-n", "default", "--", "/shop", "env"][..],
            r#"cannot create resource "pods/exec""#,
        ),
        (&["get", "secrets"], r#"cannot list resource "secrets""#),
        (&["suspend", "repo"], r#"cannot patch resource "sources""#),
        (&["source", "remove", "repo"], r#"cannot delete resource "sources""#),
        (&["token", "create"], r#"cannot post path "/evenkeel/tokens""#),
    ] {
        let said = evenkeel(args).unwrap_err();
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    // All of it stands in the log.
    let expected = [
        "create sources rollback allowed",
        "create sources unpin allowed",
        "create pods exec forbidden",
        "list secrets  forbidden",
        "patch sources  forbidden",
        "delete sources  forbidden",
        "post /evenkeel/tokens  forbidden",
    ];
    eventually("all of it is logged", || {
        (logged(&cluster, "system:serviceaccount:default:ci") == expected).then_some(())
    });
    // Roles in a file, brought to what it says and no less.
    let file = cluster.dir.path().join("roles.yaml");
    let role = r#"{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r", "namespace": "default"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}"#;
    fs::write(&file, role).unwrap();
    let path = file.to_str().unwrap();
    cluster.kubectl(&["auth", "reconcile", "-f", path]);
    fs::write(&file, role.replace("pods", "services")).unwrap();
    cluster.kubectl(&["auth", "reconcile", "-f", path]);
    let role = cluster.json(&["role", "r"]).unwrap();
    assert_eq!(role["rules"].as_array().unwrap().len(), 2, "{role}");
    cluster.audit();
}
