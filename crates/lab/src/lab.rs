//! The lab: its switch, its machines, and faults as functions.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::{
    command::{docker, needs_root, run},
    engine::{Container, Engine},
    group::{self, Group, of_nodes},
    machine::Machine,
    mark::Mark,
    process::{Inside, Process},
    switch::{HOST, Switch},
    watch::{Question, Watch, count, enter},
};

/// The example's images, on every node.
pub const IMAGES: [&str; 3] = ["shop.example/shop:1.0", "shop.example/shop:1.1", "shop.example/shop:1.2"];
/// What the lab runs, beside Docker: iproute2, nftables, util-linux.
const TOOLS: [&str; 8] = ["ip", "tc", "nft", "nsenter", "unshare", "setpriv", "dockerd", "docker-init"];

/// A place on the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The host, where the test itself runs.
    Host,
    /// The server's machine, which has no engine.
    Server,
    /// Node 1, 2, ….
    Node(usize),
}

/// Several machines on a switch. Dropped, all of it is gone.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: processes die before their folders go.
    /// The server's, then the nodes.
    machines: Vec<Machine>,
    switch: Switch,
    images: PathBuf,
    mark: Mark,
}

impl Lab {
    /// A lab of so many nodes, whose engines restore their containers.
    pub fn new(nodes: usize) -> Self {
        Self::with_engines(&vec![true; nodes])
    }

    /// A lab with a node for each entry, which says whether its engine has `--live-restore`.
    pub fn with_engines(live_restore: &[bool]) -> Self {
        needs();
        let mark = Mark::new();
        let switch = Switch::start(mark.leg());
        mark.record(switch.pid());
        let images = mark.dir().join("images.tar");
        docker(&[&["save", "-o", &images.display().to_string()], &IMAGES[..]].concat());
        let mut lab = Self { machines: Vec::new(), switch, images, mark };
        lab.machines.push(lab.machine(0, "server"));
        for live_restore in live_restore {
            let number = lab.machines.len();
            let machine = lab.machine(number, &format!("node-{number}"));
            lab.machines.push(machine.with_engine(*live_restore));
        }
        lab.start_from(0);
        lab
    }

    /// One more node; gives its number.
    pub fn add_node(&mut self) -> usize {
        let number = self.machines.len();
        let machine = self.machine(number, &format!("node-{number}"));
        self.machines.push(machine.with_engine(true));
        self.start_from(number);
        number
    }

    fn machine(&self, number: usize, name: &str) -> Machine {
        let group = Group::make(&group::name(&self.mark.name(), number));
        let address = self.switch.range().machine(number);
        Machine::new(name, number, address, &self.mark.dir().join(name), group)
    }

    /// Powers on all machines from this number on, side by side, and gives nodes their images.
    fn start_from(&mut self, first: usize) {
        let Self { machines, switch, images, mark } = self;
        let (switch, images, mark) = (&*switch, &*images, &*mark);
        thread::scope(|scope| {
            for machine in &mut machines[first..] {
                scope.spawn(move || {
                    machine.power_on(switch, mark);
                    if machine.is_node() {
                        machine.engine().load(images);
                    }
                });
            }
        });
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.machines.len() - 1
    }

    /// A folder of the lab's own.
    pub fn dir(&self) -> &Path {
        self.mark.dir()
    }

    /// The host's address in the lab.
    pub fn host(&self) -> Ipv4Addr {
        self.switch.range().host()
    }

    /// Node 1, 2, ….
    pub fn node(&self, number: usize) -> &Machine {
        assert!(number > 0, "nodes count from 1");
        &self.machines[number]
    }

    /// The server's machine.
    pub fn server(&self) -> &Machine {
        &self.machines[0]
    }

    /// A node's engine.
    pub fn engine(&self, node: usize) -> &Engine {
        self.node(node).engine()
    }

    /// Running application containers of all nodes whose engine answers, of pods whose name begins
    /// so.
    pub fn running(&self, pod_prefix: &str) -> Vec<Container> {
        let on = self.machines[1..].iter().filter(|m| m.is_on());
        let mut all: Vec<Container> = on.flat_map(|m| m.engine().running(pod_prefix)).collect();
        all.sort();
        all
    }

    /// Starts a program on the host, with its end tied to this process.
    pub fn start_on_host(&self, command: &Command, log: &Path) -> Process {
        let process = Process::start(&Inside::Host, command, log);
        self.mark.record(process.pid());
        process
    }

    /// A command in the network of a place.
    pub fn command(&self, at: At, program: &str) -> Command {
        match at {
            At::Host => Command::new(program),
            At::Server => self.machines[0].command(program),
            At::Node(number) => self.node(number).command(program),
        }
    }

    /// Does something in the network of a place. A socket that it gives back stays there.
    pub fn within_network<T: Send>(&self, at: At, act: impl FnOnce() -> T + Send) -> T {
        let namespace = match at {
            At::Host => PathBuf::from("/proc/self/ns/net"),
            At::Server => self.machines[0].network(),
            At::Node(number) => self.node(number).network(),
        };
        // A thread of its own: the one that enters never comes back.
        thread::scope(|scope| {
            let entered = scope.spawn(|| {
                enter(&namespace).unwrap_or_else(|e| panic!("{}: {e}", namespace.display()));
                act()
            });
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The address of a place.
    pub fn address(&self, at: At) -> Ipv4Addr {
        match at {
            At::Host => self.host(),
            At::Server => self.machines[0].address(),
            At::Node(number) => self.node(number).address(),
        }
    }

    /// How many applications answer now, node by node.
    pub fn answering(&self, question: &Question) -> Vec<usize> {
        let count = || of_nodes(&self.mark.name()).iter().map(|group| count(group, question)).collect();
        // A thread of its own: it changes its network namespace.
        thread::scope(|scope| scope.spawn(count).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Watches at 20 Hz how many applications answer on each node.
    pub fn watch(&self, question: Question) -> Watch {
        let name = self.mark.name();
        Watch::start(move || of_nodes(&name), question)
    }

    fn port(&self, at: At) -> String {
        match at {
            At::Host => HOST.to_string(),
            At::Server => self.machines[0].port(),
            At::Node(number) => self.node(number).port(),
        }
    }

    fn machine_mut(&mut self, at: At) -> &mut Machine {
        match at {
            At::Host => panic!("the host is no machine of the lab"),
            At::Server => &mut self.machines[0],
            At::Node(number) => &mut self.machines[number],
        }
    }
}

/// Faults of the network.
impl Lab {
    /// Pulls the cable: the machine sees that it has no carrier.
    pub fn cut(&mut self, at: At) {
        let port = self.port(at);
        self.switch.link(&port, false);
    }

    /// Puts the cable back.
    pub fn mend(&mut self, at: At) {
        let port = self.port(at);
        self.switch.link(&port, true);
    }

    /// Loses every frame between one place and all others, both ways, with the link up.
    pub fn silent_cut(&mut self, at: At) {
        let others: Vec<At> = self.places().into_iter().filter(|other| *other != at).collect();
        for other in others {
            self.cut_between(at, other);
        }
    }

    /// Loses every frame between two places.
    pub fn cut_between(&mut self, one: At, other: At) {
        self.one_way(one, other);
        self.one_way(other, one);
    }

    /// Loses every frame from one place to another; the other way goes on.
    pub fn one_way(&mut self, from: At, to: At) {
        let pair = (self.port(from), self.port(to));
        self.switch.faults(|faults| {
            faults.cut.insert(pair);
        });
    }

    /// Loses so many per cent of what a place sends and gets; all of it is [`Lab::silent_cut`].
    pub fn lose(&mut self, at: At, percent: u8) {
        assert!(percent < 100, "{percent} per cent is no loss but a cut");
        let port = self.port(at);
        self.switch.faults(|faults| {
            faults.loss.insert(port, percent);
        });
    }

    /// Limits what a machine sends and gets to a rate as `tc` writes it (`1mbit`), with a queue of
    /// 200 ms, beyond which frames are lost.
    pub fn slow(&mut self, at: At, rate: &str) {
        let port = self.port(at);
        let shape = |mut command: Command, device: &str| {
            let of = ["tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", rate];
            run(command.args(of).args(["burst", "32kb", "latency", "200ms"]));
        };
        shape(self.switch.command(), &port);
        match at {
            At::Host => shape(Command::new("env"), self.mark.leg()),
            At::Server | At::Node(_) => shape(self.command(at, "env"), "eth0"),
        }
    }

    /// All cables and rules as at the start; a link that was made slow stays so.
    pub fn heal(&mut self) {
        self.switch.heal();
    }

    fn places(&self) -> Vec<At> {
        [At::Host, At::Server].into_iter().chain((1..=self.nodes()).map(At::Node)).collect()
    }
}

/// Faults of machines and engines.
impl Lab {
    /// Takes a machine's power: everything that runs in it is gone at once, its disk stays.
    pub fn power_off(&mut self, at: At) {
        let switch = &self.switch;
        match at {
            At::Host => panic!("the host is no machine of the lab"),
            At::Server => self.machines[0].power_off(switch),
            At::Node(number) => self.machines[number].power_off(switch),
        }
    }

    /// Starts a machine again, with the same disk. A node's engine answers when this returns.
    pub fn power_on(&mut self, at: At) {
        let Self { machines, switch, mark, .. } = self;
        let number = match at {
            At::Host => panic!("the host is no machine of the lab"),
            At::Server => 0,
            At::Node(number) => number,
        };
        machines[number].power_on(switch, mark);
    }

    /// Stops a machine where it stands, containers too: its kernel still answers, nobody else does.
    pub fn freeze(&mut self, at: At) {
        self.machine_mut(at).freeze(true);
    }

    /// Lets a frozen machine go on.
    pub fn thaw(&mut self, at: At) {
        self.machine_mut(at).freeze(false);
    }

    /// `kill -9` of a node's engine.
    pub fn engine_kill(&mut self, node: usize) {
        self.machine_mut(At::Node(node)).engine_mut().kill();
    }

    /// SIGTERM for a node's engine; waits for its end.
    pub fn engine_stop(&mut self, node: usize) {
        self.machine_mut(At::Node(node)).engine_mut().stop();
    }

    /// Starts a node's engine again; it answers when this returns.
    pub fn engine_start(&mut self, node: usize) {
        self.machine_mut(At::Node(node)).start_engine();
    }
}

/// Everything that a lab takes must be there: else an error that says how to get it.
fn needs() {
    needs_root();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &&str| std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    let missing: Vec<&str> = TOOLS.iter().filter(|tool| !there(tool)).copied().collect();
    assert!(missing.is_empty(), "the lab needs {}\nhint: sh scripts/test-needs.sh installs them", missing.join(", "));
    images();
}

/// Makes sure that the machine's engine runs and has the example's images; once a process.
pub fn images() {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        run(Command::new("sh").arg("scripts/docker.sh").current_dir(root));
        run(Command::new("sh").arg("scripts/example-images.sh").current_dir(root));
    });
}
