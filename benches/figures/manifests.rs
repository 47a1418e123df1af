//! Manifests as people write them, in any number.

use std::sync::Arc;

use evenkeel_manifest::{Options, assemble, parse_file};
use evenkeel_model::Snapshot;

/// Replicas of each Deployment of [`snapshot`].
pub const REPLICAS: usize = 50;

/// One document of a large repository: half of them Deployments, the rest ConfigMaps and Secrets.
pub fn document(n: usize, edition: usize) -> String {
    match n % 10 {
        0..5 => deployment(n, 3, edition),
        5..9 => config_map(n, edition),
        _ => secret(n),
    }
}

fn config_map(n: usize, edition: usize) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings-{n}\n  namespace: default\n  labels:\n    \
         app: app-{n}\ndata:\n  LOG_LEVEL: info\n  EDITION: \"{edition}\"\n  TIMEOUT: 30s\n  app.properties: |\n    \
         server.port=8080\n    server.threads=16\n    cache.size=1000\n    cache.ttl=60\n    feature.one=true\n"
    )
}

fn secret(n: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: key-{n}\n  namespace: default\ntype: Opaque\n\
         stringData:\n  user: app-{n}\n  password: not-really-a-secret-{n}\n"
    )
}

/// A Deployment with requests, limits, environment and probes.
pub fn deployment(n: usize, replicas: usize, edition: usize) -> String {
    format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{n}
  namespace: default
  labels:
    app: app-{n}
    team: team-{}
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: app-{n}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 25%
  template:
    metadata:
      labels:
        app: app-{n}
        team: team-{}
      annotations:
        example.dev/edition: "{edition}"
    spec:
      terminationGracePeriodSeconds: 30
      containers:
        - name: app
          image: registry.example/team/app:1.{n}
          args: ["serve", "--port=8080"]
          env:
            - name: LOG_LEVEL
              value: info
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
          ports:
            - name: http
              containerPort: 8080
          resources:
            requests:
              cpu: 100m
              memory: 128Mi
            limits:
              memory: 256Mi
          readinessProbe:
            httpGet:
              path: /ready
              port: http
            periodSeconds: 5
          livenessProbe:
            httpGet:
              path: /live
              port: http
            initialDelaySeconds: 10
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
"#,
        n % 17,
        n % 17
    )
}

/// Deployments `from..from + count` of [`REPLICAS`] each, checked.
pub fn snapshot(from: usize, count: usize) -> Arc<Snapshot> {
    let files: Vec<_> = (from..from + count)
        .map(|n| {
            let text = deployment(n, REPLICAS, 1);
            Arc::new(parse_file(&format!("app-{n}.yaml"), text.as_bytes(), &Options::default()))
        })
        .collect();
    Arc::new(assemble(&files, &evenkeel_manifest::Customs::default()).expect("the manifests are right"))
}
