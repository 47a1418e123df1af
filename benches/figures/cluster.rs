//! A running `evenkeel up` on a repository of its own, gone without a trace at the end.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::engine::{Engine, Listed};

const PATIENCE: Duration = Duration::from_mins(3);

/// A running Evenkeel.
pub struct Cluster {
    dir: tempfile::TempDir,
    child: Child,
    pub id: String,
}

/// What the benches' Deployment is like.
pub struct App {
    pub replicas: usize,
    pub edition: usize,
    pub surge: &'static str,
    pub unavailable: &'static str,
}

impl App {
    fn yaml(&self) -> String {
        let Self { replicas, edition, surge, unavailable } = self;
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: bench\nspec:\n  replicas: {replicas}\n  \
             selector:\n    matchLabels:\n      app: bench\n  strategy:\n    rollingUpdate:\n      maxSurge: {surge}\n      \
             maxUnavailable: {unavailable}\n  template:\n    metadata:\n      labels:\n        app: bench\n    spec:\n      \
             containers:\n        - name: app\n          image: shop.example/shop:1.0\n          args: [hang]\n          \
             env:\n            - name: EDITION\n              value: \"{edition}\"\n"
        )
    }
}

/// The program under measurement: the one built beside this bench, or another.
pub fn binary() -> PathBuf {
    std::env::var_os("EVENKEEL").map_or_else(|| env!("CARGO_BIN_EXE_evenkeel").into(), PathBuf::from)
}

pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// Makes the example's images where they are not there yet.
pub fn images() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/example-images.sh");
    run(Command::new("sh").arg(script).env_remove("EVENKEEL"));
}

impl Cluster {
    /// On a repository that `write` fills.
    pub fn start(write: impl FnOnce(&std::path::Path)) -> Self {
        images();
        let dir = tempfile::Builder::new().prefix("evenkeel-bench-").tempdir().unwrap();
        let repo = dir.path().join("repo");
        fs::create_dir_all(&repo).unwrap();
        let git = |args: &[&str]| run(Command::new("git").arg("-C").arg(&repo).args(args));
        git(&["init", "-q", "-b", "main"]);
        git(&["config", "user.name", "Someone"]);
        git(&["config", "user.email", "someone@example.dev"]);
        write(&repo);
        git(&["add", "-A"]);
        git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        // A copy, so that a build meanwhile changes nothing here.
        let program = dir.path().join("evenkeel");
        fs::copy(binary(), &program).unwrap();
        let child = Command::new(&program)
            .arg("up")
            .arg(&repo)
            .args(["--listen", "127.0.0.1:0", "--node-name", "bench", "--log-format", "text", "--data-dir"])
            .arg(dir.path().join("data"))
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("evenkeel up");
        let mut cluster = Self { dir, child, id: String::new() };
        cluster.until("it has an id", || {
            fs::read_to_string(cluster.data().join("ca/cluster-id")).is_ok_and(|t| !t.trim().is_empty())
        });
        cluster.id = fs::read_to_string(cluster.data().join("ca/cluster-id")).unwrap().trim().to_string();
        cluster.until("the source is there", || {
            cluster
                .verb(&["source", "list"])
                .output()
                .is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).contains("repo"))
        });
        cluster
    }

    /// With the benches' Deployment, running, watched for a second only after each release so that
    /// the rounds do not wait.
    pub fn with(app: &App) -> Self {
        let cluster = Self::start(|repo| fs::write(repo.join("bench.yaml"), app.yaml()).unwrap());
        let kubeconfig = cluster.data().join("admin.kubeconfig");
        run(Command::new("kubectl").arg("--kubeconfig").arg(kubeconfig).args([
            "patch",
            "source",
            "repo",
            "--type=merge",
            "-p",
            r#"{"spec":{"watchWindow":"1s"}}"#,
        ]));
        let mut engine = Engine::new();
        cluster.until("the first pods run", || cluster.running(&mut engine).len() == app.replicas);
        cluster.settled();
        cluster
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The program that runs.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("evenkeel")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(args).arg("--data-dir").arg(self.data()).env_remove("KUBECONFIG").stdin(Stdio::null());
        command
    }

    /// Writes the Deployment, without a commit.
    pub fn write(&self, app: &App) {
        let repo = self.dir.path().join("repo");
        fs::write(repo.join("bench.yaml"), app.yaml()).unwrap();
        run(Command::new("git").arg("-C").arg(&repo).args(["add", "-A"]));
    }

    /// Commits what was written. Gives the moments before and after `git commit`.
    pub fn commit(&self) -> (Instant, Instant) {
        let before = Instant::now();
        run(Command::new("git").arg("-C").arg(self.dir.path().join("repo")).args(["commit", "-q", "-m", "next"]));
        (before, Instant::now())
    }

    /// All containers and sandboxes.
    pub fn containers(&self, engine: &mut Engine) -> Vec<Listed> {
        engine.list(&[&format!("evenkeel.dev/cluster={}", self.id)])
    }

    /// Running containers that are no sandboxes.
    pub fn running(&self, engine: &mut Engine) -> Vec<Listed> {
        let mut all = self.containers(engine);
        all.retain(|c| c.running && !c.container.is_empty());
        all
    }

    /// Waits until the applied revision is the last good one and no container is left of others.
    pub fn settled(&self) {
        let head = run(Command::new("git").arg("-C").arg(self.dir.path().join("repo")).args(["rev-parse", "HEAD"]));
        self.until("the release is the last good one", || {
            let output = self.verb(&["get", "source", "repo", "-o", "json"]).output().unwrap();
            let source: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            source["status"]["lastGoodRevision"].as_str().is_some_and(|r| r.ends_with(&head))
        });
        let mut engine = Engine::new();
        self.until("only the new containers are left", || {
            let all = self.containers(&mut engine);
            all.iter().all(|c| c.running) && all.iter().filter(|c| c.container.is_empty()).count() * 2 == all.len()
        });
    }

    pub fn until(&self, what: &str, mut check: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !check() {
            if Instant::now() > end {
                let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(40)..].join("\n");
                panic!("not within {PATIENCE:?}: {what}; it said last:\n{last}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.verb(&["down", "--purge"]).output();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.id.is_empty() {
            return;
        }
        let mut engine = Engine::new();
        for left in engine.list(&[&format!("evenkeel.dev/cluster={}", self.id)]) {
            engine.remove(&left.id);
        }
    }
}
