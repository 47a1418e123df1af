//! Evenkeel on a lab: a server on a machine of its own, an agent on each node, a repository that
//! the server follows. Each is a process that can be killed, stopped and started again.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    client::Client,
    example::Repo,
    lab::{At, Lab},
    process::Process,
    wait::eventually,
};

/// Where the server listens.
const PORT: u16 = 7443;

/// A running cluster. What its users do is done through the [`Client`] that it is, too.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the lab last.
    agents: BTreeMap<usize, Process>,
    server: Option<Process>,
    /// What the server follows.
    pub repo: Repo,
    flags: Vec<String>,
    client: Client,
    /// Its machines.
    pub lab: Lab,
}

impl Cluster {
    /// Server and agents on all machines of a lab, with a repository of these files. `flags` are
    /// the server's.
    pub fn start(binary: &Path, lab: Lab, files: &[(&str, &str)], flags: &[&str]) -> Self {
        let repo = Repo::new(lab.dir());
        repo.commit("nothing yet");
        let (data, cache) = (lab.server().dir().join("data"), lab.dir().join("kubectl-cache"));
        let client = Client { binary: binary.to_path_buf(), data, cache };
        let flags = flags.iter().map(ToString::to_string).collect();
        let mut cluster = Self { agents: BTreeMap::new(), server: None, repo, flags, client, lab };
        cluster.server_start();
        for node in 1..=cluster.lab.nodes() {
            cluster.join(node);
        }
        cluster.wait_nodes();
        // Only now: what comes before a node does not go there.
        for (name, text) in files {
            cluster.repo.write(name, text);
        }
        cluster.repo.commit("first");
        cluster
    }

    /// Where the server answers.
    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.lab.address(At::Server))
    }

    /// Starts the server and waits until it serves.
    pub fn server_start(&mut self) {
        let address = self.address();
        let mut command = self.program("server");
        command.arg(&self.repo.path).arg("--data-dir").arg(&self.client.data);
        command.args(["--listen", &address, "--advertise", &address]).args(&self.flags);
        self.server = Some(self.lab.server().start(&command, &self.server_log()));
        eventually("the API answers", || {
            let server = self.server.as_mut()?;
            assert!(server.ended().is_none(), "the server has ended\n{}", server.said());
            self.client.kubectl_try(&["get", "--request-timeout=2s", "--raw", "/readyz?exclude=recovery"]).ok()
        });
    }

    /// Starts the agent of a node for the first time, with a token.
    pub fn join(&mut self, node: usize) {
        let token = self.client.evenkeel(&["token", "create"]);
        self.agent_start_with(node, &["--token", token.trim()]);
    }

    /// Starts the agent of a node that has joined.
    pub fn agent_start(&mut self, node: usize) {
        self.agent_start_with(node, &[]);
    }

    /// The same, at another server's address.
    pub fn agent_start_at(&mut self, node: usize, server: &str) {
        self.start_agent(node, server, &[]);
    }

    fn agent_start_with(&mut self, node: usize, flags: &[&str]) {
        self.start_agent(node, &self.address(), flags);
    }

    fn start_agent(&mut self, node: usize, server: &str, flags: &[&str]) {
        let machine = self.lab.node(node);
        let mut command = self.program("agent");
        command.args(["--server", server, "--name", machine.name(), "--runtime", &machine.engine().url()]);
        command.args(["--node-ip", &machine.address().to_string()]).args(flags);
        command.arg("--data-dir").arg(machine.dir().join("agent"));
        let agent = machine.start(&command, &self.agent_log(node));
        self.agents.insert(node, agent);
    }

    /// Another binary for servers, agents and users, from the next start on.
    pub fn use_binary(&mut self, binary: PathBuf) {
        self.client.binary = binary;
    }

    /// Another data directory for the server and its users, from the next start on.
    pub fn use_data(&mut self, data: PathBuf) {
        self.client.data = data;
    }

    /// Another server on the server's machine, over another data directory, at another port; gives its
    /// address. It follows the sources that it has.
    pub fn start_beside(&self, data: &Path, port: u16) -> (Process, String) {
        let address = format!("{}:{port}", self.lab.address(At::Server));
        let mut command = self.program("server");
        command.arg("--data-dir").arg(data).args(["--listen", &address, "--advertise", &address]).args(&self.flags);
        let log = self.lab.server().dir().join(format!("evenkeel-{port}.log"));
        (self.lab.server().start(&command, &log), address)
    }

    fn program(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.client.binary);
        command
            .arg(verb)
            .args(["--log-format", "text"])
            .env("EVENKEEL_LOG", "info,evenkeel_net::plane=debug")
            .env_remove("KUBECONFIG");
        command
    }

    /// The server's process.
    pub fn server(&mut self) -> &mut Process {
        self.server.as_mut().expect("the server runs")
    }

    /// A node's agent.
    pub fn agent(&mut self, node: usize) -> &mut Process {
        self.agents.get_mut(&node).expect("the agent runs")
    }

    /// `kill -9` of the server.
    pub fn server_kill(&mut self) {
        self.server.take().expect("the server runs").kill();
    }

    /// SIGTERM for the server; waits for its end.
    pub fn server_stop(&mut self) {
        self.server.take().expect("the server runs").terminate();
    }

    /// `kill -9` of a node's agent.
    pub fn agent_kill(&mut self, node: usize) {
        self.agents.remove(&node).expect("the agent runs").kill();
    }

    /// SIGTERM for a node's agent; waits for its end.
    pub fn agent_stop(&mut self, node: usize) {
        self.agents.remove(&node).expect("the agent runs").terminate();
    }

    /// Loses every frame between the server and all nodes; those who ask the server still can.
    pub fn cut_server_from_nodes(&mut self) {
        for node in 1..=self.lab.nodes() {
            self.lab.cut_between(At::Server, At::Node(node));
        }
    }

    /// A node's condition `Ready`, as the server has it.
    pub fn ready(&self, node: usize) -> Option<String> {
        let object = self.client.json(&["node", self.lab.node(node).name()])?;
        let conditions = object["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|c| c["type"] == "Ready")?;
        Some(ready["status"].as_str()?.to_string())
    }

    /// Waits until all nodes are ready.
    pub fn wait_nodes(&self) {
        for node in 1..=self.lab.nodes() {
            eventually(&format!("node {node} is ready"), || (self.ready(node)? == "True").then_some(()));
        }
    }

    fn server_log(&self) -> PathBuf {
        self.lab.server().dir().join("evenkeel.log")
    }

    fn agent_log(&self, node: usize) -> PathBuf {
        self.lab.node(node).dir().join("evenkeel.log")
    }
}

impl Deref for Cluster {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", crate::process::tail(&self.server_log()));
            for node in 1..=self.lab.nodes() {
                eprintln!("{}", crate::process::tail(&self.agent_log(node)));
            }
        }
    }
}
