//! The lab's switch: a bridge in a network namespace of its own, with a leg on the host.
//!
//! A namespace of its own, because the host's firewall, which Docker sets to drop what is
//! forwarded, also sees frames of the host's bridges. It lasts as long as one process in it; with
//! that process go the bridge, all cables and the host's leg.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};

use crate::{
    command::{feed, output, run},
    faults::{Faults, Port},
    process::{ends_with_us, is_named, kill_9, spawn_lasting},
    range::Range,
    wait::eventually,
};

/// The port of the host's leg.
pub(crate) const HOST: &str = "host";

/// A running switch.
#[derive(Debug)]
pub(crate) struct Switch {
    /// The process that keeps the namespace.
    keeper: Child,
    range: Range,
    faults: Faults,
    down: Vec<Port>,
}

impl Switch {
    /// Makes it, with the host's leg as device `leg` and an address of a free range.
    pub(crate) fn start(leg: &str) -> Self {
        let mut command = ends_with_us();
        command.args(["unshare", "--net", "sleep", "infinity"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = spawn_lasting(command);
        eventually("the switch's namespace", || is_named(keeper.id(), "sleep").then_some(()));
        let pid = keeper.id();
        let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).unwrap_or_else(|e| panic!("{of}: {e}"));
        assert_ne!(namespace(&pid.to_string()), namespace("self"), "the switch has a namespace of its own");
        feed(inside(pid).args(["ip", "-batch", "-"]), "link set lo up\nlink add br0 type bridge\nlink set br0 up\n");
        let range = Range::take(|range| {
            let host = range.host();
            run(Command::new("ip")
                .args(["link", "add", leg, "type", "veth", "peer", "name", HOST])
                .args(["netns", &pid.to_string()]));
            feed(
                Command::new("ip").args(["-batch", "-"]),
                &format!("addr add {host}/24 dev {leg}\nlink set {leg} up\n"),
            );
        });
        feed(inside(pid).args(["ip", "-batch", "-"]), &format!("link set {HOST} master br0 up\n"));
        let switch = Self { keeper, range, faults: Faults::default(), down: Vec::new() };
        switch.apply();
        switch
    }

    pub(crate) fn pid(&self) -> u32 {
        self.keeper.id()
    }

    pub(crate) fn range(&self) -> Range {
        self.range
    }

    /// A command in the switch's network namespace.
    pub(crate) fn command(&self) -> Command {
        inside(self.keeper.id())
    }

    /// Plugs a cable from port `port` into the namespace of the process `init`, where it becomes
    /// `eth0` with this address.
    pub(crate) fn plug(&self, port: &str, init: u32, address: Ipv4Addr) {
        let up = if self.down.iter().any(|p| p == port) { "down" } else { "up" };
        feed(
            self.command().args(["ip", "-batch", "-"]),
            &format!(
                "link add {port} type veth peer name eth0 netns {init}\nlink set {port} master br0\nlink set {port} {up}\n"
            ),
        );
        feed(
            inside(init).args(["ip", "-batch", "-"]),
            &format!("link set lo up\naddr add {address}/24 dev eth0\nlink set eth0 up\n"),
        );
    }

    /// Takes a cable away, both ends. There may be none.
    pub(crate) fn unplug(&self, port: &str) {
        output(self.command().args(["ip", "link", "del", port]));
    }

    /// Sets a port down or up: the other end sees that it has no carrier. It stays so through a
    /// power cycle of the machine.
    pub(crate) fn link(&mut self, port: &str, up: bool) {
        self.down.retain(|p| p != port);
        if !up {
            self.down.push(port.to_string());
        }
        run(self.command().args(["ip", "link", "set", port, if up { "up" } else { "down" }]));
    }

    /// Changes what happens to frames.
    pub(crate) fn faults(&mut self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults);
        self.apply();
    }

    /// Everything as at the start but for queues. Gives the ports that were down.
    pub(crate) fn heal(&mut self) {
        self.faults(|faults| *faults = Faults::default());
        for port in std::mem::take(&mut self.down) {
            // The machine may be off: then there is no port.
            output(self.command().args(["ip", "link", "set", &port, "up"]));
        }
    }

    fn apply(&self) {
        feed(self.command().args(["nft", "-f", "-"]), &self.faults.table());
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        kill_9(self.keeper.id());
        let _ = self.keeper.wait();
    }
}

/// A command in the network namespace of a process.
pub(crate) fn inside(pid: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-n", "--"]);
    command
}
