//! Kubernetes' own client for Python, as `scripts/python-client.sh` installs it: what programs do with it works.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    inside::with_programs,
    support::{Cluster, output},
};

#[test]
fn the_python_client_works() {
    let hang = json!({"command": ["/shop", "hang"]});
    let cluster = Cluster::start(&[("tools.json", &with_programs("tools", hang, json!({})))]);
    cluster.wait_ready("default", "tools", 1);
    let pod = cluster.pods("default", "app=tools").remove(0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    assert!(python.exists(), "{} is not there: run scripts/python-client.sh", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("tests/python/client.py")).arg(cluster.data().join("admin.kubeconfig"));
    let said = output(command.arg(pod["metadata"]["name"].as_str().unwrap()).env("NO_PROXY", "*"));
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.ends_with("done\n"), "{text}\n{wrong}");
    cluster.audit();
}
