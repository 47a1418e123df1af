//! Who may come in, and who may not: machines that join, certificates that do not count, clients that
//! speak something else, too much or nothing. Each is refused with its reason, counted, and nobody
//! else notices.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Cluster, binary, eventually, output, within};

/// An agent without an engine: its node is never ready, which joining and sessions do not need.
struct Agent {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Agent {
    fn said(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn waits_for(&self, what: &str) -> String {
        eventually(&format!("the agent says {what:?}"), || Some(self.said()).filter(|s| s.contains(what)))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

struct Doors {
    cluster: Cluster,
    address: String,
}

impl Doors {
    fn new() -> Self {
        let cluster = Cluster::start(&[]);
        let kubeconfig = fs::read_to_string(cluster.data().join("admin.kubeconfig")).unwrap();
        let line = kubeconfig.lines().find_map(|l| l.trim().strip_prefix("server: https://")).unwrap();
        Self { address: line.to_owned(), cluster }
    }

    fn token(&self, flags: &[&str]) -> String {
        self.cluster.evenkeel(&[&["token", "create"], flags].concat()).trim().to_owned()
    }

    fn agent_command(&self, name: &str, dir: &Path, token: Option<&str>) -> Command {
        let mut command = Command::new(binary());
        command.args(["agent", "--server", &self.address, "--name", name, "--runtime", "unix:///nowhere.sock"]);
        command.arg("--data-dir").arg(dir).env_remove("KUBECONFIG").env("EVENKEEL_LOG", "info");
        if let Some(token) = token {
            command.env("EVENKEEL_TOKEN", token);
        }
        command
    }

    /// An agent that stays.
    fn agent(&self, name: &str, dir: &Path, token: Option<&str>) -> Agent {
        let mut command = self.agent_command(name, dir, token);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let (from, into) = (child.stderr.take().unwrap(), log.clone());
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut log = into.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        Agent { child, log }
    }

    /// An agent that is refused: it ends by itself; gives what it said.
    fn refused(&self, name: &str, token: &str) -> String {
        let dir = self.dir(name);
        let ended = output(&mut self.agent_command(name, &dir, Some(token)));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        String::from_utf8_lossy(&ended.stderr).into_owned()
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.cluster.dir.path().join(format!("node-{name}"))
    }

    fn curl(&self, args: &[&str], path: &str) -> Output {
        let mut command = Command::new("curl");
        command.args(["-sk", "--max-time", "30"]).args(args).arg(format!("https://{}{path}", self.address));
        output(&mut command)
    }

    /// Files with a node's certificate and key, for curl.
    fn certificate(&self, name: &str) -> (String, String) {
        let text = fs::read_to_string(self.dir(name).join("agent/identity.json")).unwrap();
        let identity: Value = serde_json::from_str(&text).unwrap();
        let write = |field: &str| {
            let path = self.dir(name).join(field);
            fs::write(&path, identity["data"][field].as_str().unwrap()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        (write("certificatePem"), write("keyPem"))
    }

    /// The sum of a counter's samples.
    fn counted(&self, name: &str) -> f64 {
        let text = self.cluster.kubectl(&["get", "--raw", "/metrics"]);
        text.lines().filter(|l| l.starts_with(name)).filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    fn has_session(&self, node: &str) -> bool {
        self.cluster.json(&["node", node]).is_some()
    }
}

/// A unary or streaming call's message: no compression, four bytes of length, the bytes.
fn grpc_frame(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], &length.to_be_bytes()[..], bytes].concat()
}

const SESSION: &str = "/evenkeel.agent.v1.Agents/Session";
const GRPC: [&str; 4] = ["--http2", "-H", "content-type: application/grpc", "-H"];

#[test]
fn only_who_may_comes_in_and_nobody_else_notices() {
    let doors = Doors::new();
    let token = doors.token(&["--uses", "1", "--labels", "zone=a"]);
    let node = doors.agent("n1", &doors.dir("n1"), Some(&token));
    eventually("the node is there", || doors.has_session("n1").then_some(()));
    let object = doors.cluster.json(&["node", "n1"]).unwrap();
    assert_eq!(object["metadata"]["labels"]["zone"], "a");
    let mode = |p: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(doors.dir("n1").join(p)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("agent"), mode("agent/identity.json")), (0o700, 0o600));

    tokens(&doors, &token);
    certificates(&doors);
    strangers(&doors);
    too_much(&doors);
    slow(&doors);
    // Through all of it the node's session was the same.
    assert!(!node.said().contains("is over"), "{}", node.said());
    copied(&doors, &node);
    removed(&doors, &node);
}

fn tokens(doors: &Doors, used: &str) {
    let before = doors.counted("evenkeel_joins_total{outcome=\"refused\"}");
    let said = doors.refused("n2", used);
    assert!(said.contains("has let in 1 machines, as many as it may"), "{said}");
    let expired = doors.token(&["--ttl", "1ms"]);
    let said = doors.refused("n3", &expired);
    assert!(said.contains("the token expired at"), "{said}");
    let good = doors.token(&[]);
    let mut parts: Vec<&str> = good.split('.').collect();
    let guessed = "0".repeat(parts[2].len());
    let id = parts[1].to_owned();
    parts[2] = &guessed;
    let said = doors.refused("n4", &parts.join("."));
    assert!(said.contains("the token is not valid"), "{said}");
    doors.cluster.evenkeel(&["token", "revoke", &id]);
    let said = doors.refused("n5", &good);
    assert!(said.contains("the token is not valid"), "{said}");
    let foreign = doors.token(&[]);
    let foreign = format!("{}.{}", foreign.rsplit_once('.').unwrap().0, "ab".repeat(32));
    let said = doors.refused("n6", &foreign);
    assert!(said.contains("CA is not the one"), "another cluster's token: {said}");
    let said = doors.refused("n7", "nonsense");
    assert!(said.contains("this is no token") && !said.contains("nonsense"), "{said}");
    // A name that is taken, with a good token, which costs it nothing.
    let again = doors.token(&["--uses", "1"]);
    let dir = doors.dir("other");
    let ended = output(&mut doors.agent_command("n1", &dir, Some(&again)));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("node remove n1"), "{said}");
    let listed = doors.cluster.evenkeel(&["token", "list"]);
    assert!(listed.contains("0/1") && listed.contains("1/1"), "{listed}");
    assert!(!listed.contains(again.split('.').nth(2).unwrap()), "a secret is not listed");
    let refused = doors.counted("evenkeel_joins_total{outcome=\"refused\"}") - before;
    assert!((refused - 5.0).abs() < f64::EPSILON, "five asked the server and were refused: {refused}");
}

fn certificates(doors: &Doors) {
    let (certificate, key) = doors.certificate("n1");
    let node = ["--cert", &certificate, "--key", &key];
    let answer = doors.curl(&node, "/api/v1/secrets");
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.contains("forbidden") && text.contains("evenkeel:node:n1"), "nothing of REST is a node's: {text}");
    // Another node's name in an identity of n1.
    let dir = doors.dir("thief");
    fs::create_dir_all(dir.join("agent")).unwrap();
    let identity = fs::read_to_string(doors.dir("n1").join("agent/identity.json")).unwrap();
    fs::write(dir.join("agent/identity.json"), identity.replace("\"node\":\"n1\"", "\"node\":\"n9\"")).unwrap();
    let thief = doors.agent("n9", &dir, None);
    thief.waits_for("the certificate is of node n1, and the agent calls itself n9");
    assert!(!doors.has_session("n9"));
    // No certificate at all, and the administrator's.
    let answer = doors.curl(&[&GRPC[..], &["te: trailers", "-D", "-", "--data-binary", ""]].concat(), SESSION);
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(text.contains("grpc-status: 16"), "unauthenticated: {text}");
    let answer = doors.curl(&[], "/api/v1/pods");
    assert!(String::from_utf8_lossy(&answer.stdout).contains("Unauthorized"), "{answer:?}");
    assert!(doors.counted("evenkeel_sessions_refused_total") >= 2.0);
}

fn strangers(doors: &Doors) {
    let before = doors.counted("evenkeel_connections_refused_total");
    let old = doors.curl(&["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"], "/livez");
    assert_ne!(old.status.code(), Some(0), "TLS 1.1 is not spoken");
    let mut plain = TcpStream::connect(&doors.address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    // An alert, or nothing and a closed connection: no HTTP in any case.
    let _closed = plain.read_to_end(&mut heard);
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    eventually("both are counted", || {
        (doors.counted("evenkeel_connections_refused_total") - before >= 2.0).then_some(())
    });
    let log = doors.cluster.said();
    assert!(log.contains("a connection was refused"), "{log}");
}

fn too_much(doors: &Doors) {
    let (certificate, key) = doors.certificate("n1");
    let frame = doors.cluster.dir.path().join("frame");
    fs::write(&frame, grpc_frame(1 << 30, &[0; 64])).unwrap();
    let body = format!("@{}", frame.display());
    let node = ["--cert", &certificate, "--key", &key];
    let args = [&GRPC[..], &["te: trailers", "-D", "-", "--data-binary", &body], &node].concat();
    let answer = doors.curl(&args, SESSION);
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(text.contains("grpc-status: 11"), "a message of 1 GB is out of range: {text}");
    // The same of REST, by the administrator: the bytes are really sent, as far as they are taken.
    let mut zeros = Command::new("head");
    zeros.args(["-c", "1073741824", "/dev/zero"]).stdout(Stdio::piped());
    let mut zeros = zeros.spawn().unwrap();
    let mut post = Command::new("kubectl");
    post.arg("--kubeconfig").arg(doors.cluster.data().join("admin.kubeconfig"));
    post.args(["create", "--raw", "/apis/evenkeel.dev/v1alpha1/sources", "-f", "-"])
        .stdin(zeros.stdout.take().unwrap());
    let ended = post.output().unwrap();
    let _ended = zeros.kill();
    let _ended = zeros.wait();
    assert!(!ended.status.success(), "{ended:?}");
}

fn slow(doors: &Doors) {
    let before = doors.counted("evenkeel_connections_refused_total{reason=\"slow\"}");
    let idle: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&doors.address).unwrap()).collect();
    // Others are served meanwhile.
    for _ in 0..5 {
        doors.cluster.kubectl(&["get", "--raw", "/readyz"]);
    }
    within(Duration::from_mins(1), "those that say nothing are cut off and counted", || {
        (doors.counted("evenkeel_connections_refused_total{reason=\"slow\"}") - before >= 50.0).then_some(())
    });
    drop(idle);
}

fn copied(doors: &Doors, original: &Agent) {
    let copy = doors.dir("copy");
    fs::create_dir_all(copy.join("agent")).unwrap();
    fs::copy(doors.dir("n1").join("agent/identity.json"), copy.join("agent/identity.json")).unwrap();
    let second = doors.agent("n1", &copy, None);
    let said = second.waits_for("its files were copied");
    assert!(said.contains("is connected from 127.0.0.1:") && said.contains("a second machine at 127.0.0.1"), "{said}");
    assert!(!original.said().contains("is over"), "the first one stays: {}", original.said());
}

fn removed(doors: &Doors, node: &Agent) {
    doors.cluster.evenkeel(&["node", "remove", "n1", "--force"]);
    node.waits_for("was removed");
    // It tries its token, which was for one machine.
    node.waits_for("the server knows this node no longer");
    assert!(!doors.has_session("n1"));
    // With a new token the same machine joins again.
    let token = doors.token(&[]);
    let again = doors.agent("n1b", &doors.dir("again"), Some(&token));
    eventually("it is there under another name", || doors.has_session("n1b").then_some(()));
    drop(again);
}
