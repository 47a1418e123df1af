//! Ports of a pod on this machine, by `kubectl port-forward` and by `evenkeel port-forward`: bytes both ways over many connections
//! at once, ways that end each by themselves, ports that nobody listens at, and a forwarder that is
//! killed.
//!
//! The pod's program listens on its loopback alone, so that nothing but the forwarding leads there.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{App, Cluster, PATIENCE, binary, eventually, output, tools};

/// What the pod listens at; nobody is at `NOBODY`.
const ECHO: u16 = 7001;
const AFTER: u16 = 7002;
const FIRST: u16 = 7003;
const RUDE: u16 = 7004;
const NOBODY: u16 = 7009;

/// A cluster with one pod that has the program, and that pod's name.
fn cluster() -> (Cluster, String) {
    let mut cluster = Cluster::prepare(&[], &[]);
    let (mount, volume) = tools(&cluster);
    let container = format!(
        r#""command": ["/tools/program", "tcp", "{ECHO}", "echo", "{AFTER}", "after", "{FIRST}", "first", "{RUDE}", "rude"], {mount}"#
    );
    cluster.repo.write("web.json", &App { container: &container, pod: &volume, ..App::default() }.yaml());
    cluster.repo.commit("web");
    cluster.up();
    cluster.wait_ready("default", "web", 1);
    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_string();
    (cluster, pod)
}

/// A forwarder that runs until it is dropped.
struct Forward {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Forward {
    fn start(mut command: Command) -> Self {
        command.env_remove("KUBECONFIG").env("NO_PROXY", "*");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, errors) = (Arc::default(), Arc::default());
        collect(child.stdout.take().unwrap(), &out);
        collect(child.stderr.take().unwrap(), &errors);
        Self { child, out, errors }
    }

    /// The local port that leads to a port of the pod, once it is open.
    fn local(&self, remote: u16) -> u16 {
        let end = format!(" -> {remote}");
        eventually(&format!("{remote} is forwarded; told so far: {:?}", self.told()), || {
            let out = self.out.lock().unwrap();
            let line = out.iter().find(|l| l.starts_with("Forwarding from 127.0.0.1:") && l.ends_with(&end))?;
            line.trim_end_matches(&end).rsplit(':').next()?.parse().ok()
        })
    }

    fn told(&self) -> String {
        self.errors.lock().unwrap().join("\n")
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the forwarder said ---\n{}\n---", self.told());
        }
    }
}

fn collect(from: impl Read + Send + 'static, to: &Arc<Mutex<Vec<String>>>) {
    let to = to.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.lock().unwrap().push(line);
        }
    });
}

fn kubectl(cluster: &Cluster, pod: &str, ports: &[u16]) -> Forward {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
    command.arg("--cache-dir").arg(cluster.dir.path().join("kubectl-cache"));
    command.args(["port-forward", &format!("pod/{pod}")]).args(ports.iter().map(|p| format!(":{p}")));
    Forward::start(command)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Bytes that tell where they belong.
fn bytes(seed: u32, length: u32) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Says all, ends this way, and reads what comes meanwhile and after.
fn talk(port: u16, said: &[u8]) -> Vec<u8> {
    let mut stream = connect(port);
    let mut writer = stream.try_clone().unwrap();
    let mut heard = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(said).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        stream.read_to_end(&mut heard).unwrap();
    });
    heard
}

/// All that a forwarder must do while it is there.
fn bytes_both_ways(cluster: &Cluster, pod: &str, forward: &mut Forward) {
    let (echo, after, first) = (forward.local(ECHO), forward.local(AFTER), forward.local(FIRST));
    assert_eq!(talk(echo, b"hello"), b"hello");
    thread::scope(|scope| {
        for n in 0..8 {
            scope.spawn(move || {
                let said = bytes(n * 7919, 3_000_000 + n);
                let heard = talk(if n % 2 == 0 { echo } else { after }, &said);
                assert!(heard == said, "connection {n}: {} of {} bytes came back", heard.len(), said.len());
            });
        }
    });
    // The pod ends its way first, and hears all the same what is said to it afterwards.
    let mut stream = connect(first);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"all I have");
    assert!(forward.runs(), "it has ended: {}", forward.told());
    drop(stream);
    assert_eq!(talk(echo, b"still there"), b"still there");
    assert_eq!(forward.told(), "", "nothing went wrong, and yet it complains");
    eventually("no connection is left in the pod", || (processes(cluster, pod) == IDLE).then_some(()));
}

/// Processes of the pod when nobody is connected: the program, and one for each port.
const IDLE: usize = 5;

/// Processes in the pod but the one that counts.
fn processes(cluster: &Cluster, pod: &str) -> usize {
    let mut command = Command::new(binary());
    command.arg("--data-dir").arg(cluster.data()).args(["exec", pod, "--", "/tools/program", "count"]);
    let shown = output(command.env_remove("KUBECONFIG").stdin(Stdio::null()));
    String::from_utf8_lossy(&shown.stdout).trim().parse().unwrap()
}

#[test]
fn kubectl_forwards_ports() {
    let (cluster, pod) = cluster();
    let mut forward = kubectl(&cluster, &pod, &[ECHO, AFTER, FIRST]);
    bytes_both_ways(&cluster, &pod, &mut forward);

    // Killed in the middle of a connection: the pod's end goes, too.
    let mut stream = connect(forward.local(ECHO));
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(processes(&cluster, &pod), IDLE + 1);
    drop(forward);
    eventually("no connection is left in the pod", || (processes(&cluster, &pod) == IDLE).then_some(()));
    cluster.audit();
}

#[test]
fn what_goes_wrong_at_a_port() {
    let (cluster, pod) = cluster();
    let mut forward = kubectl(&cluster, &pod, &[ECHO, RUDE, NOBODY]);
    // The pod breaks a connection off: that is between the two, and the others know nothing of it.
    let said = bytes(0, 200_000);
    let mut rude = connect(forward.local(RUDE));
    let mut heard = Vec::new();
    let _broken_off = rude.write_all(&said);
    let _broken_off = rude.read_to_end(&mut heard);
    drop(rude);
    assert_eq!(talk(forward.local(ECHO), b"hello"), b"hello");
    assert!(forward.runs(), "it has ended: {}", forward.told());
    // Nobody listens: kubectl says why and ends itself, as it does with any cluster.
    assert_eq!(silence(forward.local(NOBODY)), b"");
    eventually("kubectl ends", || (!forward.runs()).then_some(()));
    let why = format!("nothing listens on port {NOBODY} of the pod: connection refused");
    eventually("it says why", || forward.told().contains(&why).then_some(()));
    let again = kubectl(&cluster, &pod, &[ECHO]);
    assert_eq!(talk(again.local(ECHO), b"hello"), b"hello");
    cluster.audit();
}

/// What comes from a port to which nothing is said.
fn silence(port: u16) -> Vec<u8> {
    let mut heard = Vec::new();
    // Whether it is closed or broken off is the same here.
    let _ended = connect(port).read_to_end(&mut heard);
    heard
}

fn evenkeel(cluster: &Cluster, what: &str, ports: &[&str]) -> Forward {
    Forward::start(cluster.verb(&[&["port-forward", what], ports].concat()))
}

#[test]
fn evenkeel_forwards_ports() {
    let (cluster, pod) = cluster();
    let [echo, after, first, rude, nobody] = [ECHO, AFTER, FIRST, RUDE, NOBODY].map(|p| format!(":{p}"));
    let mut forward = evenkeel(&cluster, &pod, &[&echo, &after, &first]);
    bytes_both_ways(&cluster, &pod, &mut forward);
    let handled = forward.out.lock().unwrap().iter().filter(|l| l.starts_with("Handling connection for ")).count();
    assert_eq!(handled, 11);

    // A port that is taken, and one that is not named.
    let taken = forward.local(ECHO);
    let refused =
        cluster.evenkeel_output(&["port-forward", &pod, &format!("{taken}:{ECHO}"), "--address", "127.0.0.1"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("cannot be listened at"), "{said}");
    let refused = cluster.evenkeel_output(&["port-forward", &pod, "web"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("has no port named `web`"), "{said}");
    drop(forward);
    eventually("no connection is left in the pod", || (processes(&cluster, &pod) == IDLE).then_some(()));

    // What fails ends alone, and a workload's next pod takes over.
    let mut forward = evenkeel(&cluster, "deployment/web", &[&echo, &rude, &nobody]);
    assert_eq!(silence(forward.local(NOBODY)), b"");
    let why = format!("-> {NOBODY}: nothing listens on port {NOBODY} of the pod: connection refused");
    eventually("it says why", || forward.told().contains(&why).then_some(()));
    let mut stream = connect(forward.local(RUDE));
    let _broken_off = stream.write_all(&bytes(0, 200_000));
    drop(stream);
    assert_eq!(talk(forward.local(ECHO), b"hello"), b"hello");
    cluster.kubectl(&["delete", "pod", &pod, "--wait=true"]);
    cluster.wait_ready("default", "web", 1);
    assert_eq!(talk(forward.local(ECHO), b"hello"), b"hello");
    assert!(forward.runs(), "it has ended: {}", forward.told());

    // Of a Service, its own port is named.
    cluster.kubectl(&["expose", "deployment", "web", "--port=80", &format!("--target-port={ECHO}")]);
    let behind = evenkeel(&cluster, "svc/web", &[":80"]);
    assert_eq!(talk(behind.local(ECHO), b"hello"), b"hello");
    let refused = cluster.evenkeel_output(&["port-forward", "svc/web", &echo]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("port 7001 is none of its ports"), "{said}");
    assert!(said.contains("its ports: 80"), "{said}");
    cluster.audit();
}
