//! Logs and commands over a network: a server and an agent that are two processes, with the second
//! connection between them.

use std::{
    io::Read,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use evenkeel_lab::{App, eventually, images, output, run};

use crate::{
    logs::Following,
    support::{binary, program, ranges, through},
};

/// A server and a node of it, on this machine.
struct Pair {
    dir: tempfile::TempDir,
    port: u16,
    server: Child,
    agent: Option<Child>,
}

impl Pair {
    fn start() -> Self {
        images();
        let dir = tempfile::Builder::new().prefix("evenkeel-e2e-").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (mount, volume) = program(dir.path());
        let container = format!(r#""command": ["/tools/program", "tick"], {mount}"#);
        let manifests = dir.path().join("manifests");
        std::fs::create_dir(&manifests).unwrap();
        let web = App { container: &container, pod: &volume, ..App::default() }.yaml();
        std::fs::write(manifests.join("web.json"), web).unwrap();
        let mut server = Command::new(binary());
        server.arg("server").arg(&manifests).args(["--listen", &format!("127.0.0.1:{port}")]);
        let server = spawn(server.args(ranges()).arg("--data-dir").arg(dir.path().join("server")));
        let mut pair = Self { dir, port, server, agent: None };
        let token = eventually("the server gives a token", || {
            let made = output(&mut pair.verb(&["token", "create"]));
            made.status.success().then(|| String::from_utf8(made.stdout).unwrap().trim().to_string())
        });
        pair.agent(&["--token", &token]);
        eventually("the pod is ready", || {
            let pods = output(&mut pair.verb(&["get", "pods"]));
            String::from_utf8_lossy(&pods.stdout).contains("1/1").then_some(())
        });
        pair
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    fn agent(&mut self, flags: &[&str]) {
        let mut agent = Command::new(binary());
        agent.args(["agent", "--name", "n1", "--server", &format!("127.0.0.1:{}", self.port)]).args(flags);
        self.agent = Some(spawn(agent.arg("--data-dir").arg(self.dir.path().join("agent"))));
    }

    fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--data-dir").arg(self.data()).args(args).env_remove("KUBECONFIG");
        command
    }

    fn exec(&self, args: &[&str]) -> Command {
        self.verb(&[&["exec", "-i", "deployment/web", "--", "/tools/program"], args].concat())
    }
}

fn spawn(command: &mut Command) -> Child {
    command.env_remove("KUBECONFIG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in self.agent.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The node's network is what its agent made, by the agent's data.
        for half in ["agent", "server"] {
            let data = self.dir.path().join(half);
            let _ = output(Command::new(binary()).args(["down", "--purge", "--data-dir"]).arg(data));
        }
    }
}

#[test]
fn streams_cross_the_network_beside_the_session() {
    let mut pair = Pair::start();
    let five = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<u8>>();
    let back = through(pair.exec(&["echo"]), &five);
    assert!(back.stdout == five, "{} bytes: {}", back.stdout.len(), String::from_utf8_lossy(&back.stderr));
    assert_eq!(output(&mut pair.exec(&["exit", "7"])).status.code(), Some(7));

    // Readers that do not read, more than one connection's window holds by itself.
    let mut slow: Vec<Child> = (0..6)
        .map(|_| pair.exec(&["flood", "32"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in &mut slow {
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 1]).unwrap();
    }
    let back = through(pair.exec(&["echo"]), &five);
    assert!(back.stdout == five, "{} bytes: {}", back.stdout.len(), String::from_utf8_lossy(&back.stderr));
    for mut child in slow {
        let mut rest = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!((rest.len() + 1, child.wait().unwrap().code()), (32 << 20, Some(0)));
    }

    // A node that goes and comes back.
    let logs = Following::start(&pair.data(), &["deployment/web", "-f", "--prefix"]);
    eventually("its log is read", || (!logs.told().is_empty()).then_some(()));
    let mut agent = pair.agent.take().unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    eventually("it says so", || logs.noted("it is tried again"));
    let error = eventually("the node is known to be away", || {
        let shown = output(&mut pair.exec(&["print"]));
        let error = String::from_utf8_lossy(&shown.stderr).into_owned();
        (shown.status.code() == Some(1) && error.contains("not connected")).then_some(error)
    });
    assert!(error.contains("node n1 cannot be asked"), "{error}");
    pair.agent(&[]);
    eventually("it is read on", || logs.noted("it is read on"));
    let before: usize = logs.told().values().map(Vec::len).sum();
    eventually("more comes", || (logs.told().values().map(Vec::len).sum::<usize>() > before + 20).then_some(()));
    for (pod, numbers) in logs.told() {
        let expected: Vec<u32> = (1..=u32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, expected, "{pod}");
    }
    run(&mut pair.verb(&["audit"]));
}
