//! Certificates by request: asked for, approved and signed, used; denied; for another signer; and who may not.

use std::{fs, path::PathBuf, process::Command};

use evenkeel_model::base64;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::support::{Cluster, output};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// A file with a request, and its key.
fn request(cluster: &Cluster, name: &str, group: &str, signer: &str) -> (String, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let value = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": name}, "spec": {"signerName": signer, "request": base64::encode(pem.as_bytes()),
        "usages": ["client auth", "digital signature"], "expirationSeconds": 3600}});
    let path = cluster.dir.path().join(format!("{name}.json"));
    fs::write(&path, value.to_string()).unwrap();
    (path.to_str().unwrap().into(), key)
}

/// The last cell of a request's row.
fn stands(cluster: &Cluster, name: &str) -> String {
    let row = cluster.kubectl(&["get", "csr", name, "--no-headers"]);
    row.split_whitespace().last().unwrap_or_default().into()
}

/// The administrator's kubeconfig with another certificate.
fn kubeconfig(cluster: &Cluster, certificate: &str, key: &KeyPair) -> PathBuf {
    let admin = fs::read_to_string(cluster.data().join("admin.kubeconfig")).unwrap();
    let lines = admin.lines().map(|line| match line.split_once(':') {
        Some((field, _)) if field.trim() == "client-certificate-data" => format!("{field}: {certificate}"),
        Some((field, _)) if field.trim() == "client-key-data" => {
            format!("{field}: {}", base64::encode(key.serialize_pem().as_bytes()))
        }
        _ => line.into(),
    });
    let path = cluster.dir.path().join("an.kubeconfig");
    fs::write(&path, lines.collect::<Vec<String>>().join("\n")).unwrap();
    path
}

#[test]
fn a_request_that_is_approved_opens_the_api_for_whom_it_names() {
    let cluster = Cluster::start(&[]);
    let (file, key) = request(&cluster, "an", "dev", CLIENT);
    cluster.kubectl(&["apply", "-f", &file]);
    let asked = cluster.json(&["csr", "an"]).unwrap();
    assert_eq!(asked["spec"]["groups"][0], "system:masters", "{asked:#}");
    assert_eq!(stands(&cluster, "an"), "Pending");
    cluster.kubectl(&["certificate", "approve", "an"]);
    assert_eq!(stands(&cluster, "an"), "Approved,Issued");
    let certificate = cluster.kubectl(&["get", "csr", "an", "-o", "jsonpath={.status.certificate}"]);
    let config = kubeconfig(&cluster, &certificate, &key);
    let an = |args: &[&str]| {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&config).arg("--cache-dir").arg(cluster.dir.path().join("an-cache"));
        let shown = output(command.env("NO_PROXY", "*").args(args));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if shown.status.success() { Ok(text(&shown.stdout)) } else { Err(text(&shown.stderr)) }
    };
    let who: Value = serde_json::from_str(&an(&["auth", "whoami", "-o", "json"]).unwrap()).unwrap();
    assert_eq!(
        who["status"]["userInfo"],
        json!({"username": "an", "groups": ["dev", "system:authenticated"]}),
        "{who:#}"
    );
    assert!(an(&["get", "pods"]).unwrap_err().contains(r#"User "an" cannot list resource "pods""#));
    cluster.kubectl(&["create", "rolebinding", "dev", "--clusterrole=view", "--group=dev"]);
    an(&["get", "pods"]).unwrap();

    // The decision stays, and so does what was asked for.
    let deny = r#"{"status": {"conditions": [{"type": "Denied", "status": "True", "reason": "R"}]}}"#;
    let said = cluster.kubectl_try(&["patch", "csr", "an", "--subresource=approval", "--type=merge", "-p", deny]);
    assert!(said.unwrap_err().contains("may not remove a condition of type"), "an approval is not taken back");
    cluster.kubectl(&["patch", "csr", "an", "--type=merge", "-p", r#"{"spec": {"expirationSeconds": 7200}}"#]);
    let after = cluster.json(&["csr", "an"]).unwrap();
    assert_eq!((&after["spec"], after["status"]["certificate"].as_str()), (&asked["spec"], Some(certificate.as_str())));

    others(&cluster);
    // Nobody comes into these groups so.
    let (file, _) = request(&cluster, "root", "system:masters", CLIENT);
    let said = cluster.kubectl_try(&["apply", "-f", &file]).unwrap_err();
    assert!(said.contains("signer with system:masters group is not allowed"), "{said}");

    // Who may write approvals must hold the signer's, too.
    let (file, _) = request(&cluster, "two", "dev", CLIENT);
    cluster.kubectl(&["apply", "-f", &file]);
    let made = ["create", "clusterrole", "approver", "--verb=get,list,update"];
    let what = "--resource=certificatesigningrequests,certificatesigningrequests/approval";
    cluster.kubectl(&[&made[..], &[what]].concat());
    cluster.kubectl(&["create", "clusterrolebinding", "approver", "--clusterrole=approver", "--user=an"]);
    let said = an(&["certificate", "approve", "two"]).unwrap_err();
    assert!(said.contains("user not permitted to approve requests with signerName"), "{said}");
    let made = ["create", "clusterrole", "signer", "--verb=approve", "--resource=signers.certificates.k8s.io"];
    let made = cluster.kubectl_try(&[&made[..], &["--resource-name=kubernetes.io/*"]].concat());
    // Some versions look for the resource, which is a name alone.
    if made.is_err() {
        let rule = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "signer"}, "rules": [{"apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
            "verbs": ["approve"], "resourceNames": ["kubernetes.io/*"]}]});
        let path = cluster.dir.path().join("signer.json");
        fs::write(&path, rule.to_string()).unwrap();
        cluster.kubectl(&["apply", "-f", path.to_str().unwrap()]);
    }
    cluster.kubectl(&["create", "clusterrolebinding", "signer", "--clusterrole=signer", "--user=an"]);
    an(&["certificate", "approve", "two"]).unwrap();
    assert_eq!(stands(&cluster, "two"), "Approved,Issued");
    cluster.audit();
}

/// Denied, and for a signer of somebody else's.
fn others(cluster: &Cluster) {
    let (file, _) = request(cluster, "no", "dev", CLIENT);
    cluster.kubectl(&["apply", "-f", &file]);
    cluster.kubectl(&["certificate", "deny", "no"]);
    assert_eq!(stands(cluster, "no"), "Denied");
    let (file, _) = request(cluster, "elsewhere", "dev", "example.com/own");
    cluster.kubectl(&["apply", "-f", &file]);
    cluster.kubectl(&["certificate", "approve", "elsewhere"]);
    assert_eq!(stands(cluster, "elsewhere"), "Approved");
    let signed = json!({"status": {"certificate": base64::encode(b"somebody's certificate")}}).to_string();
    cluster.kubectl(&["patch", "csr", "elsewhere", "--subresource=status", "--type=merge", "-p", &signed]);
    assert_eq!(stands(cluster, "elsewhere"), "Approved,Issued");
}
