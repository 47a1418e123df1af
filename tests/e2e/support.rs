//! What the stories share: a repository, a running Evenkeel on it, and eyes on both.
//!
//! Every cluster has a data directory, a port and a label of its own, so that stories run beside
//! each other and leave nothing behind: `down --purge` at the end, and the engine is asked whether
//! that was all.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

pub use evenkeel_lab::{
    App, Client, PATIENCE, Repo, docker, eventually, holds_for, images, needs_root, output, pause, run, within,
};

/// Clusters at one time: container starts share the machine's cores.
const AT_ONCE: usize = 4;

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// Ranges of addresses that no other cluster on this machine has: stories run beside each other, and
/// an earlier run may have been cut off. Of pods and of Services, 254 each.
pub fn ranges() -> [String; 4] {
    let pid = usize::try_from(std::process::id()).unwrap();
    let n = (pid * 61 + STARTED.fetch_add(1, Ordering::SeqCst)) % (120 * 128);
    let range = |third: usize| format!("10.{}.{}.0/24", 130 + n / 128, n % 128 * 2 + third);
    ["--cluster-cidr".into(), range(0), "--service-cidr".into(), range(1)]
}

/// Removes what earlier runs left behind: `remove` gets each entry of the temporary directory whose
/// name is `PREFIX`, the id of a process that has ended, and a rest.
pub fn sweep(prefix: &str, remove: impl Fn(&Path)) {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let Some((pid, _)) = rest.split_once('-') else { continue };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            remove(&entry.path());
        }
    }
}

/// A running Evenkeel. What its users do is done through the [`Client`] that it is, too.
pub struct Cluster {
    pub dir: tempfile::TempDir,
    pub repo: Repo,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    flags: Vec<String>,
    client: Client,
    engine: Option<String>,
}

/// Builds the runtime's test program into a folder of the cluster; gives a container's field that
/// mounts it as `/tools/program`, and the pod's field with the volume.
pub fn tools(cluster: &Cluster) -> (String, String) {
    program(cluster.dir.path())
}

/// The same in any folder.
pub fn program(dir: &Path) -> (String, String) {
    let tools = dir.join("tools");
    fs::create_dir(&tools).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/runtime/tests/program.c");
    run(Command::new("gcc").args(["-O1", "-static", "-o"]).arg(tools.join("program")).arg(source));
    let mount = r#""volumeMounts": [{"name": "tools", "mountPath": "/tools", "readOnly": true}]"#;
    let volume = format!(r#""volumes": [{{"name": "tools", "hostPath": {{"path": "{}"}}}}]"#, tools.display());
    (mount.into(), volume)
}

/// The built binary.
pub fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_evenkeel").into()
}

impl Cluster {
    /// A cluster that follows a new repository with these files.
    pub fn start(files: &[(&str, &str)]) -> Self {
        Self::start_with(files, &[])
    }

    /// As [`Cluster::start`], with more flags for `up`.
    pub fn start_with(files: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut cluster = Self::prepare(files, flags);
        cluster.up();
        cluster
    }

    /// Everything but the start.
    pub fn prepare(files: &[(&str, &str)], flags: &[&str]) -> Self {
        images();
        take_turn();
        let dir = tempfile::Builder::new().prefix("evenkeel-e2e-").tempdir().unwrap();
        let repo = Repo::new(dir.path());
        for (name, text) in files {
            repo.write(name, text);
        }
        repo.commit("first");
        let flags = ranges().into_iter().chain(flags.iter().map(ToString::to_string)).collect();
        let (data, cache) = (dir.path().join("data"), dir.path().join("kubectl-cache"));
        let client = Client { binary: binary(), data, cache };
        Self { dir, repo, child: None, log: Arc::default(), flags, client, engine: None }
    }

    pub fn data(&self) -> PathBuf {
        self.client.data.clone()
    }

    /// Another data directory, from the next start on.
    pub fn use_data(&mut self, data: PathBuf) {
        self.client.data = data;
    }

    /// Another container engine than the machine's, by its URL, from the next start on.
    pub fn use_engine(&mut self, url: &str) {
        self.engine = Some(url.to_string());
    }

    /// Runs `docker` against this cluster's engine.
    pub fn docker(&self, args: &[&str]) -> String {
        let mut all: Vec<&str> = self.engine.iter().flat_map(|e| ["-H", e.as_str()]).collect();
        all.extend(args);
        docker(&all)
    }

    fn runtime(&self) -> Vec<&str> {
        self.engine.iter().flat_map(|e| ["--runtime", e.as_str()]).collect()
    }

    /// Runs another binary from the next start on.
    pub fn use_binary(&mut self, binary: PathBuf) {
        self.client.binary = binary;
    }

    /// Starts it and waits until it serves.
    pub fn up(&mut self) {
        let mut command = Command::new(&self.client.binary);
        command.arg("up").arg(&self.repo.path).arg("--data-dir").arg(self.data());
        command.args(["--listen", "127.0.0.1:0", "--log-format", "text"]).args(self.runtime()).args(&self.flags);
        command.env("EVENKEEL_LOG", "info").env_remove("KUBECONFIG");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        follow(child.stdout.take().unwrap(), self.log.clone());
        follow(child.stderr.take().unwrap(), self.log.clone());
        self.child = Some(child);
        eventually("the API answers", || self.kubectl_try(&["get", "--raw", "/readyz?exclude=recovery"]).ok());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ctrl-C; waits for the end.
    pub fn interrupt(&mut self) {
        let mut child = self.child.take().expect("it runs");
        run(Command::new("kill").args(["-INT", &child.id().to_string()]));
        let end = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not stop on Ctrl-C");
            pause();
        }
    }

    /// Its process; panics if that has ended.
    pub fn pid(&mut self) -> u32 {
        let child = self.child.as_mut().expect("it runs");
        assert_eq!(child.try_wait().unwrap(), None, "it has ended");
        child.id()
    }

    /// Ids of this cluster's containers; with their pod's name, container name and whether they
    /// run.
    pub fn containers(&self) -> Vec<Container> {
        let id = self.id();
        if id.is_empty() {
            return Vec::new();
        }
        let format = "{{.ID}}\t{{.Label \"evenkeel.dev/pod\"}}\t{{.Label \"evenkeel.dev/container\"}}\t{{.State}}";
        let filter = format!("label=evenkeel.dev/cluster={id}");
        let text = self.docker(&["ps", "-a", "--no-trunc", "--filter", &filter, "--format", format]);
        let mut all: Vec<Container> = text
            .lines()
            .map(|line| {
                let mut parts = line.split('\t').map(String::from);
                let mut next = || parts.next().unwrap_or_default();
                Container { id: next(), pod: next(), name: next(), state: next() }
            })
            .collect();
        all.sort();
        all
    }

    /// Running application containers (no sandboxes) of pods whose name begins so.
    pub fn running(&self, pod_prefix: &str) -> Vec<Container> {
        let mut all = self.containers();
        all.retain(|c| c.pod.starts_with(pod_prefix) && !c.name.is_empty() && c.state == "running");
        all
    }

    /// Containers' start times, to tell whether one was started again.
    pub fn started(&self, containers: &[Container]) -> Vec<(String, String)> {
        let started = |id: &str| self.docker(&["inspect", "--format", "{{.State.StartedAt}}", id]);
        containers.iter().map(|c| (c.id.clone(), started(&c.id))).collect()
    }

    /// What it has said on the terminal so far.
    pub fn said(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

/// A container of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    pub id: String,
    pub pod: String,
    pub name: String,
    pub state: String,
}

impl Deref for Cluster {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let from = log.len().saturating_sub(200);
            eprintln!("--- the last of what evenkeel said ---\n{}\n---", log[from..].join("\n"));
            eprintln!("--- what there is ---\n{}---", self.client.scene());
        }
        let id = self.id();
        let down = self.verb(&["down", "--purge"]).args(self.runtime()).stdin(Stdio::null()).output();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !id.is_empty() {
            let filter = format!("label=evenkeel.dev/cluster={id}");
            let docker = |args: &[&str]| {
                let engine = self.engine.iter().flat_map(|e| ["-H", e.as_str()]);
                Command::new("docker").args(engine).args(args).output()
            };
            let left = docker(&["ps", "-aq", "--filter", &filter]);
            let left = left.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
            for container in left.lines() {
                let _ = docker(&["rm", "-f", container]);
            }
            if !left.is_empty() && !thread::panicking() {
                RUNNING.fetch_sub(1, Ordering::SeqCst);
                panic!("`down` left containers behind:\n{left}{down:?}");
            }
        }
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

fn take_turn() {
    eventually_for(Duration::from_hours(1), || {
        RUNNING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < AT_ONCE).then_some(n + 1)).ok()
    });
}

fn eventually_for<T>(limit: Duration, check: impl FnMut() -> Option<T>) -> T {
    within(limit, "a turn", check)
}

fn follow(from: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
        }
    });
}

/// GET over plain HTTP; the status code.
pub fn http_status(address: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

/// Addresses of a cluster's sandboxes that run, on the machine's engine: those that the agent with
/// this folder gave.
pub fn sandboxes(cluster: &str, agent: &Path) -> Vec<String> {
    let filter = format!("label=evenkeel.dev/cluster={cluster}");
    let sandbox = "label=evenkeel.dev/sandbox";
    let format = "{{.Label \"evenkeel.dev/pod-uid\"}}";
    let pods = docker(&["ps", "--filter", &filter, "--filter", sandbox, "--format", format]);
    let given = fs::read(agent.join("addresses.json")).unwrap_or_default();
    let given: serde_json::Value = serde_json::from_slice(&given).unwrap_or_default();
    pods.lines().filter_map(|pod| given["pods"][pod].as_str().map(String::from)).collect()
}

/// Counts, from outside and without asking Evenkeel, how many pods of a cluster answer.
pub fn count_answers(cluster: &Cluster) -> Sampler<usize> {
    let (id, agent) = (cluster.id(), cluster.data().join("agent"));
    Sampler::start(move || {
        sandboxes(&id, &agent).iter().filter(|ip| http_status(&format!("{ip}:8080"), "/readyz") == Some(200)).count()
    })
}

/// Samples something at 20 Hz on a thread of its own until it is stopped.
pub struct Sampler<T> {
    stop: Arc<AtomicBool>,
    samples: mpsc::Receiver<T>,
    thread: thread::JoinHandle<()>,
}

impl<T: Send + 'static> Sampler<T> {
    pub fn start(mut sample: impl FnMut() -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (send, samples) = mpsc::channel();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                if send.send(sample()).is_err() {
                    return;
                }
                pause();
            }
        });
        Self { stop, samples, thread }
    }

    pub fn stop(self) -> Vec<T> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.samples.try_iter().collect()
    }
}

/// Passes bytes to a command and gives what comes out.
pub fn through(mut command: Command, bytes: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&bytes));
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    out
}
