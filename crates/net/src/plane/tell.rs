//! What the plane's task tells others once packets follow it: what the network is at, which ports and
//! addresses this node has.

use std::time::Duration;

use evenkeel_model::net::BalancedPorts;
use tokio::sync::watch as channel;

use super::{Addresses, Status, announce::Wanted, task::Task, troubles::Troubles};

/// Where the task says what others follow.
pub(super) struct Says {
    pub(super) status: channel::Sender<Status>,
    pub(super) applied: channel::Sender<u64>,
    pub(super) balanced: channel::Sender<BalancedPorts>,
    pub(super) announced: channel::Sender<Wanted>,
    pub(super) troubles: Troubles,
    pub(super) addresses: Addresses,
}

impl Says {
    /// The kernel follows what was said up to this number, and so will the next agent's.
    pub(super) fn kept(&self, number: Option<u64>) {
        if let Some(number) = number {
            self.applied.send_replace(number);
        }
    }
}

impl Task {
    /// Tells what became of the ports that LoadBalancers ask for, now that packets follow it.
    pub(super) fn tell_balanced(&mut self) {
        let (ports, opened) = (self.rules.balanced().ports(), self.rules.balanced().opened());
        self.says.balanced.send_if_modified(|now| {
            let changed = *now != ports;
            *now = ports;
            changed
        });
        if self.known.opened != opened {
            self.known.opened = opened;
            self.keeper.soon(Duration::ZERO);
        }
    }

    /// Announces addresses of pools, now that packets to them are led on.
    pub(super) fn tell_announced(&self) {
        let peers = self.known.nodes().iter().filter(|n| n.name != self.settings.node).filter_map(|n| n.address);
        let wanted = self.assigned.wanted(&self.machine, peers);
        self.says.announced.send_if_modified(|now| {
            let changed = *now != wanted;
            *now = wanted;
            changed
        });
    }
}
