//! A machine of the lab: pid, mount, network, UTS and IPC namespaces of its own, an address, its
//! own host name, machine id and boot id, and, if it is a node, a container engine.
//!
//! Everything in it ends with its first process: that is how its power goes. What lies in its
//! folder stays.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    command::run,
    engine::Engine,
    group::Group,
    mark::Mark,
    process::{Inside, Process, child_of, ends_with_us, is_named, kill_9, spawn_lasting},
    switch::Switch,
    wait::eventually,
};

/// What makes the namespaces a machine. `/run` and `/etc` are its own: nothing of the host's
/// engine, of a neighbour's, or of the host's identity is seen in it; `/sys` shows its own devices
/// of the network, and the host's control groups. `$0` is its name, `$1` its machine id.
const SET_UP: &str = r#"set -e
echo "$0" >/proc/sys/kernel/hostname
mount -t tmpfs run /run
mkdir -p /run/docker /run/containerd /run/lock /run/etc/upper /run/etc/work
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sys /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount --recursive --lazy /run/cgroup
mount -t overlay etc -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc
echo "$0" >/etc/hostname
echo "$1" >/etc/machine-id
cat /proc/sys/kernel/random/uuid >/run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
echo 1 >/proc/sys/net/ipv4/ip_forward
"#;

/// A machine, on or off.
#[derive(Debug)]
pub struct Machine {
    name: String,
    number: usize,
    address: Ipv4Addr,
    dir: PathBuf,
    group: Group,
    frozen: bool,
    power: Option<Power>,
    engine: Option<Engine>,
}

#[derive(Debug)]
struct Power {
    /// `unshare`, the parent of the first process.
    starter: Child,
    /// The machine's first process.
    init: u32,
}

impl Machine {
    /// A machine that is off, without an engine.
    pub(crate) fn new(name: &str, number: usize, address: Ipv4Addr, dir: &Path, group: Group) -> Self {
        std::fs::create_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Self {
            name: name.to_string(),
            number,
            address,
            dir: dir.to_path_buf(),
            group,
            frozen: false,
            power: None,
            engine: None,
        }
    }

    /// The same with an engine.
    pub(crate) fn with_engine(mut self, live_restore: bool) -> Self {
        self.engine = Some(Engine::new(&self.dir, self.group.parent(), live_restore));
        self
    }

    /// Its port at the switch.
    pub(crate) fn port(&self) -> String {
        format!("m{}", self.number)
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address in the lab.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its folder on the host, the same path inside: it survives the power.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its engine; panics for a machine that is no node.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap_or_else(|| panic!("{} has no engine", self.name))
    }

    /// Its network namespace.
    pub(crate) fn network(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.init()).into()
    }

    /// Its first process, as the host sees it: `nsenter -t` takes it.
    pub fn init(&self) -> u32 {
        let Some(power) = &self.power else { panic!("{} is off", self.name) };
        power.init
    }

    pub(crate) fn is_node(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether its power is on.
    pub fn is_on(&self) -> bool {
        self.power.is_some()
    }

    pub(crate) fn power_on(&mut self, switch: &Switch, mark: &Mark) {
        assert!(self.power.is_none(), "{} is on", self.name);
        let mut command = ends_with_us();
        command.args(["sh", "-c", "echo $$ >\"$0\"/cgroup.procs && exec \"$@\""]).arg(self.group.own());
        command.args(["unshare", "--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "--kill-child"]);
        command.args(["--mount-proc", "--propagation", "slave", "docker-init", "--", "sleep", "infinity"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut starter = spawn_lasting(command);
        let init = eventually(&format!("the first process of {}", self.name), || {
            assert!(!matches!(starter.try_wait(), Ok(Some(_))), "{} ended at its start", self.name);
            // Until it has that name it may still be on its way into its namespaces.
            child_of(starter.id()).filter(|init| is_named(*init, "docker-init"))
        });
        mark.record(init);
        let id = format!("{:032x}", u128::from(self.address.to_bits()) << 64 | u128::from(std::process::id()));
        self.power = Some(Power { starter, init });
        run(self.command("sh").args(["-c", SET_UP, &self.name, &id]));
        switch.plug(&self.port(), init, self.address);
        self.start_engine();
    }

    pub(crate) fn start_engine(&mut self) {
        let group = self.group.own();
        let inside = Inside::Machine { init: self.init(), group: &group };
        if let Some(engine) = &mut self.engine {
            engine.start(&inside);
        }
    }

    pub(crate) fn engine_mut(&mut self) -> &mut Engine {
        self.engine.as_mut().unwrap_or_else(|| panic!("{} has no engine", self.name))
    }

    pub(crate) fn power_off(&mut self, switch: &Switch) {
        self.die();
        switch.unplug(&self.port());
    }

    fn die(&mut self) {
        if self.frozen {
            // What is frozen cannot die (control groups of version 1).
            self.freeze(false);
        }
        let Some(mut power) = self.power.take() else { return };
        // The first process of a pid namespace takes all others with it.
        kill_9(power.init);
        let _ = power.starter.wait();
        if let Some(engine) = &mut self.engine {
            engine.gone();
        }
    }

    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.group.freeze(frozen);
        self.frozen = frozen;
    }

    /// A command that runs in the machine.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init().to_string(), "-m", "-u", "-i", "-n", "-p", "--", program]);
        command
    }

    /// Starts a program in it; what it says is added to `log`.
    pub fn start(&self, command: &Command, log: &Path) -> Process {
        let group = self.group.own();
        Process::start(&Inside::Machine { init: self.init(), group: &group }, command, log)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(engine) = &self.engine
        {
            eprintln!("{}: {}", self.name, engine.said());
        }
        self.die();
        if let Err(e) = self.group.remove() {
            eprintln!("{} stays behind: {e}", self.name);
        }
    }
}
