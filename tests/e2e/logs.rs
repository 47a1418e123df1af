//! What containers print, read on over new pods and over a server that was gone, without a line
//! lost or twice.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{App, Cluster, binary, eventually, tools};

/// `evenkeel logs` that goes on until it is dropped.
pub struct Following {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Following {
    /// Of the server with this data directory.
    pub fn start(data: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("--data-dir").arg(data).arg("logs").args(args).env_remove("KUBECONFIG");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, notes) = (Arc::default(), Arc::default());
        collect(child.stdout.take().unwrap(), &lines);
        collect(child.stderr.take().unwrap(), &notes);
        Self { child, lines, notes }
    }

    /// The numbers that each pod has told, by what stands in front of the lines.
    pub fn told(&self) -> BTreeMap<String, Vec<u32>> {
        let mut out: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for line in self.lines.lock().unwrap().iter() {
            let (label, rest) = line.split_once("] ").unwrap();
            let number = rest.strip_prefix("tick ").unwrap().parse().unwrap();
            out.entry(label.to_owned()).or_default().push(number);
        }
        out
    }
}

impl Following {
    /// Whether a text came on stderr.
    pub fn noted(&self, text: &str) -> Option<()> {
        self.notes.lock().unwrap().iter().any(|n| n.contains(text)).then_some(())
    }
}

fn collect(from: impl std::io::Read + Send + 'static, to: &Arc<Mutex<Vec<String>>>) {
    let to = to.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.lock().unwrap().push(line);
        }
    });
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_workloads_logs_are_followed_over_new_pods_and_a_dead_server() {
    // Whoever follows calls the address that the server had.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut cluster = Cluster::prepare(&[], &["--listen", &format!("127.0.0.1:{port}")]);
    let (mount, volume) = tools(&cluster);
    let container = format!(r#""command": ["/tools/program", "tick"], {mount}"#);
    let app = |replicas| App { replicas, container: &container, pod: &volume, ..App::default() }.yaml();
    cluster.repo.write("web.json", &app(2));
    cluster.repo.commit("two");
    cluster.up();
    cluster.wait_ready("default", "web", 2);

    let logs = Following::start(&cluster.data(), &["deployment/web", "-f"]);
    eventually("two pods are read", || (logs.told().len() == 2).then_some(()));
    cluster.repo.write("web.json", &app(3));
    cluster.repo.commit("three");
    eventually("the third is read, too", || (logs.told().len() == 3).then_some(()));

    cluster.kill();
    eventually("it says so", || logs.noted("it is tried again"));
    let before: usize = logs.told().values().map(Vec::len).sum();
    cluster.up();
    eventually("all are read on", || {
        let notes = logs.notes.lock().unwrap().iter().filter(|n| n.contains("it is read on")).count();
        let now: usize = logs.told().values().map(Vec::len).sum();
        (notes == 3 && now > before + 30).then_some(())
    });
    for (pod, numbers) in logs.told() {
        let expected: Vec<u32> = (1..=u32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, expected, "{pod}: {:?}", logs.notes.lock().unwrap());
    }
    drop(logs);

    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_string();
    let line = cluster.evenkeel(&["logs", &pod, "--tail", "1", "--prefix", "--all-containers", "--timestamps"]);
    assert!(line.starts_with(&format!("[{pod}/shop] 20")) && line.contains("Z tick "), "{line}");
    let later = cluster.evenkeel(&["logs", &pod, "--since-time", "2100-01-01T00:00:00Z"]);
    assert_eq!(later, "");
    let shown = cluster.evenkeel_output(&["logs", "-l", "app=web", "--max-log-requests", "2"]);
    let error = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(!shown.status.success() && error.contains("--max-log-requests"), "{error}");
    cluster.audit();
}
