//! Whole files, as sources give them.

#![allow(clippy::unwrap_used, clippy::expect_used, unused_crate_dependencies)]

use std::{fmt::Write as _, sync::Arc};

use evenkeel_manifest::{FileParse, Options, UnsupportedMode, assemble, limits, parse_file};
use evenkeel_model::{Key, Kind};
use serde_json::json;

fn parse(text: &str) -> FileParse {
    parse_file("a.yaml", text.as_bytes(), &Options::default())
}

fn complaints(text: &str) -> String {
    parse(text).diagnostics.iter().fold(String::new(), |mut out, d| {
        let _ = writeln!(out, "{:?} {d}", d.severity);
        out
    })
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
";

#[test]
fn a_deployment_becomes_what_it_sets_and_nothing_else() {
    let file = parse(WEB);
    assert_eq!(complaints(WEB), "");
    let doc = &file.docs[0];
    assert_eq!(doc.key, Key::new(Kind::Deployment, "default", "web"));
    assert_eq!(
        doc.value,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
    );
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_line() {
    insta::assert_snapshot!(complaints(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replica: 3
  paused: yes
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      serviceAccountName: robot
      containers:
      - name: web
        image: web:1
        imagePullPolice: Always
        ports:
        - containerPort: http
        - containerPort: 70000
        env:
        - name: PORT
          value: 8080
        - name: PORT2
          value: '8080'
          value: again
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  debug: on
  verbose: true
  mode: 0644
---
apiVersion: v1
kind: Secret
metadata: {name: password}
data:
  password: hunter2hunter2!
stringData:
  pin: 1234
"
    ));
}
