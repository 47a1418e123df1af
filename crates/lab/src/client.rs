//! A cluster as its users see it: `kubectl` and Evenkeel's own verbs, with the administrator's
//! kubeconfig of one data directory.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    command::{output, run},
    wait::eventually,
};

/// Who asks.
#[derive(Debug, Clone)]
pub struct Client {
    /// The `evenkeel` that verbs run.
    pub binary: PathBuf,
    /// The server's data directory.
    pub data: PathBuf,
    /// Where `kubectl` keeps what it learned of the API.
    pub cache: PathBuf,
}

impl Client {
    /// Runs a verb of the command line; panics unless it ends well.
    pub fn evenkeel(&self, args: &[&str]) -> String {
        run(&mut self.verb(args))
    }

    /// Runs a verb, whatever its end.
    pub fn evenkeel_output(&self, args: &[&str]) -> Output {
        output(&mut self.verb(args))
    }

    /// A verb, to be run.
    pub fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--data-dir").arg(&self.data).env_remove("KUBECONFIG");
        command
    }

    /// Runs `kubectl`; panics unless it ends well.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.kubectl_try(args).unwrap_or_else(|e| panic!("kubectl {args:?}: {e}"))
    }

    /// Runs `kubectl`; what it complains about is the error.
    pub fn kubectl_try(&self, args: &[&str]) -> Result<String, String> {
        let config = self.data.join("admin.kubeconfig");
        if !config.exists() {
            return Err("no kubeconfig yet".into());
        }
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(config).arg("--cache-dir").arg(&self.cache);
        // The server is on this machine, whatever way there is to others.
        let output = output(command.env("NO_PROXY", "*").args(args));
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// An object or list as JSON; `None` if it is not there, or nobody answers.
    pub fn json(&self, args: &[&str]) -> Option<Value> {
        let mut all = vec!["get", "--request-timeout=5s", "-o", "json"];
        all.extend(args);
        serde_json::from_str(&self.kubectl_try(&all).ok()?).ok()
    }

    /// The items of a list.
    pub fn items(&self, args: &[&str]) -> Vec<Value> {
        self.json(args).and_then(|l| l["items"].as_array().cloned()).unwrap_or_default()
    }

    /// The release of a commit (its newest attempt).
    pub fn release(&self, commit: &str) -> Option<Value> {
        let releases = self.items(&["releases"]);
        releases.into_iter().rfind(|r| r["spec"]["revision"].as_str().is_some_and(|v| v.ends_with(commit)))
    }

    /// Waits until the release of a commit has a phase.
    pub fn wait_phase(&self, commit: &str, phase: &str) -> Value {
        eventually(&format!("release of {commit} is {phase}"), || {
            self.release(commit).filter(|release| release["status"]["phase"] == phase)
        })
    }

    /// The status of the source that follows the story's repository.
    pub fn source(&self) -> Value {
        self.json(&["sources", "repo"]).map(|s| s["status"].clone()).unwrap_or_default()
    }

    /// Waits until a commit is the last good one.
    pub fn wait_good(&self, commit: &str) {
        eventually(&format!("{commit} is last good"), || {
            self.source()["lastGoodRevision"].as_str().filter(|r| r.ends_with(commit)).map(|_| ())
        });
    }

    /// Waits until a Deployment has so many ready pods of its newest template, and no others.
    pub fn wait_ready(&self, namespace: &str, name: &str, replicas: u64) {
        eventually(&format!("{namespace}/{name} has {replicas} ready"), || {
            let d = self.json(&["deployment", name, "-n", namespace])?;
            let s = &d["status"];
            let all = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            (all.iter().all(|f| s[f].as_u64().unwrap_or(0) == replicas)
                && s["observedGeneration"] == d["metadata"]["generation"])
                .then_some(())
        });
    }

    /// Pods of a label, not terminating.
    pub fn pods(&self, namespace: &str, selector: &str) -> Vec<Value> {
        let mut pods = self.items(&["pods", "-n", namespace, "-l", selector]);
        pods.retain(|p| p["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// The cluster's id, as its containers' label has it.
    pub fn id(&self) -> String {
        fs::read_to_string(self.data.join("ca/cluster-id")).unwrap_or_default().trim().to_string()
    }

    /// What there is, as people look at it, for a story that failed; what cannot be asked says why.
    pub fn scene(&self) -> String {
        let asked = [
            &["sources,releases,drifts,nodes"][..],
            &["deployments,replicasets,pods", "-A", "-o", "wide"],
            &["pods", "-A", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status}{\"\\n\"}{end}"],
            &["events", "-A"],
        ];
        // A server that hangs holds up no failing story.
        let get = |args: &[&str]| {
            self.kubectl_try(&[&["get", "--request-timeout=5s"][..], args].concat()).unwrap_or_else(|e| e)
        };
        asked.map(get).join("\n")
    }

    /// Asks the auditor: no broken promise.
    pub fn audit(&self) {
        let output = self.evenkeel_output(&["audit"]);
        assert!(
            output.status.success(),
            "the auditor complains:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
