//! What stories are told with: a git repository, and the example's shop as a Deployment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::run;

/// A git repository with manifests.
#[derive(Debug)]
pub struct Repo {
    /// Its working tree.
    pub path: PathBuf,
}

impl Repo {
    /// A new one, in a folder `repo` of `dir`.
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("repo");
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let repo = Self { path };
        repo.git(&["init", "-q", "-b", "main"]);
        repo.git(&["config", "user.name", "Someone"]);
        repo.git(&["config", "user.email", "someone@shop.example"]);
        repo
    }

    /// Runs `git` in it.
    pub fn git(&self, args: &[&str]) -> String {
        run(Command::new("git").arg("-C").arg(&self.path).args(args)).trim().to_string()
    }

    /// Writes a file, without committing it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Commits everything; gives the commit's hash.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// A Deployment of the example's program.
#[derive(Debug)]
pub struct App<'a> {
    /// Its name, and the value of its pods' label `app`.
    pub name: &'a str,
    /// How many pods.
    pub replicas: u32,
    /// The image's tag: `1.0` and `1.1` work, `1.2` does not.
    pub tag: &'a str,
    /// Further lines under `spec.strategy`, JSON.
    pub strategy: &'a str,
    /// Further fields of the container, JSON without braces.
    pub container: &'a str,
    /// Further fields of the pod's spec, JSON without braces.
    pub pod: &'a str,
    /// Further fields of the Deployment's spec, JSON without braces.
    pub spec: &'a str,
}

impl Default for App<'_> {
    fn default() -> Self {
        Self {
            name: "web",
            replicas: 1,
            tag: "1.0",
            strategy: r#"{"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}"#,
            container: r#""readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}"#,
            pod: "",
            spec: "",
        }
    }
}

impl App<'_> {
    /// The manifest.
    pub fn yaml(&self) -> String {
        let comma = |s: &str| if s.is_empty() { String::new() } else { format!(", {s}") };
        format!(
            r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "{0}"}},
 "spec": {{"replicas": {1}, "selector": {{"matchLabels": {{"app": "{0}"}}}}, "strategy": {2}{5},
  "template": {{"metadata": {{"labels": {{"app": "{0}"}}}},
   "spec": {{"terminationGracePeriodSeconds": 2, "containers": [{{"name": "shop", "image": "shop.example/shop:{3}"{4}}}]{6}}}}}}}}}
"#,
            self.name,
            self.replicas,
            self.strategy,
            self.tag,
            comma(self.container),
            comma(self.spec),
            comma(self.pod)
        )
    }
}
