//! A thousand nodes, each with its ways to all others: the real conductor tells them of each other, and
//! each plans as an agent does, over a kernel that is a few maps. Nodes come, go and change their
//! address, one is cut off meanwhile, and somebody takes routes away: all ways are right again, and what
//! others did is said.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use evenkeel_conductor::{AskId, Conductor, Event, Start};
use evenkeel_core::{Ask, Settings};
use evenkeel_model::{
    Time,
    net::{Cidr, NetworkMode},
    session::{Hello, NodeReport, Report, Stamp, ToAgent},
};
use evenkeel_net::model::Node;
use evenkeel_store::{MemoryDisk, MemoryStore};

const NODES: u32 = 1000;

struct Fleet {
    conductor: Conductor<MemoryStore>,
    now: Time,
    nodes: BTreeMap<Arc<str>, Node>,
    addresses: BTreeMap<Arc<str>, Ipv4Addr>,
    /// The session of each.
    sessions: BTreeMap<Arc<str>, u64>,
    /// It hears nothing.
    deaf: Option<Arc<str>>,
}

fn name(n: u32) -> Arc<str> {
    format!("n{n}").into()
}

fn report(address: Ipv4Addr) -> NodeReport {
    NodeReport { addresses: vec![("InternalIP".into(), address.to_string())], ..NodeReport::default() }
}

impl Fleet {
    fn new(mode: NetworkMode) -> Self {
        let now = Time::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let mut settings = Settings::default();
        settings.network.net.cluster_cidr = "172.16.0.0/12".parse().unwrap();
        settings.network.net.mode = mode;
        let start = Start { now, seed: 1, digest_key: [7; 32], settings, recover: None };
        let conductor = Conductor::start(MemoryStore::open(&MemoryDisk::new(), now), start).unwrap();
        let (nodes, addresses, sessions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { conductor, now, nodes, addresses, sessions, deaf: None }
    }

    /// An agent's session begins.
    fn hello(&mut self, n: u32) -> Event {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 99, 0, 1)) + n);
        let address = *self.addresses.entry(name(n)).or_insert(address);
        self.nodes.entry(name(n)).or_insert_with(|| Node::new(name(n), address));
        let session = self.sessions.entry(name(n)).or_default();
        *session += 1;
        let report = report(address);
        let (pods, sources) = (Vec::new(), Vec::new());
        Event::Hello(Box::new(Hello { node: name(n), session: *session, epoch: 0, report, pods, sources }))
    }

    /// All that happens until the server has nothing more to do, and every kernel follows.
    fn settle(&mut self, mut events: Vec<Event>) {
        loop {
            let output = self.conductor.step(self.now, std::mem::take(&mut events)).unwrap();
            for (name, message) in output.to_agents {
                let ToAgent::Network(update) = message else { continue };
                if self.deaf.as_ref() != Some(&name)
                    && let Some(node) = self.nodes.get_mut(&name)
                {
                    node.update(&update);
                }
            }
            self.now = self.now + Duration::from_millis(1);
            if self.conductor.backlog() == 0 && output.wake.is_none_or(|at| at > self.now) {
                break;
            }
        }
        for node in self.nodes.values_mut() {
            node.apply().unwrap();
        }
    }

    fn ranges(&self) -> Vec<(Arc<str>, Cidr)> {
        let world = self.conductor.world();
        world.nodes.iter().map(|(name, node)| (name.clone(), node.pod_cidr.unwrap())).collect()
    }

    /// Every node sends packets for the pods of all others to their machines; of these every `step`th is
    /// asked for.
    fn converged(&self, step: usize) {
        let ranges = self.ranges();
        for (at, (name, node)) in self.nodes.iter().enumerate() {
            if self.deaf.as_ref() == Some(name) {
                continue;
            }
            for (other, range) in ranges.iter().skip(at % step).step_by(step).filter(|(other, _)| other != name) {
                let to = node.leads(range.nth(2).unwrap());
                assert_eq!(to, Some(self.addresses[other]), "{name} to {other}'s pods");
            }
            assert_eq!(node.ways().len() + 1, ranges.len(), "{name}");
        }
    }
}

fn a_thousand_nodes(mode: NetworkMode, step: usize) {
    let mut fleet = Fleet::new(mode);
    for batch in [0..NODES / 2, NODES / 2..NODES] {
        let events = batch.map(|n| fleet.hello(n)).collect();
        fleet.settle(events);
    }
    fleet.converged(step);

    // One is cut off while another changes its address, one goes and two come.
    fleet.deaf = Some(name(7));
    fleet.addresses.insert(name(500), Ipv4Addr::new(10, 99, 200, 1));
    let stamp = Stamp { session: 1, seq: 1 };
    let moved = Report { node: Some(report(fleet.addresses[&name(500)])), ..Report::default() };
    let moved = Event::Report { node: name(500), stamp, report: Box::new(moved) };
    let gone = Ask::DeleteNode { name: name(300), force: true, dry_run: false };
    let gone = Event::Ask { id: AskId(1), ask: Box::new(gone), user: "admin".into() };
    let before = fleet.nodes[&name(7)].ways();
    fleet.nodes.remove(&name(300));
    let events = vec![moved, gone, fleet.hello(NODES), fleet.hello(NODES + 1)];
    fleet.settle(events);
    fleet.converged(step);
    assert_eq!(fleet.nodes[&name(7)].ways(), before, "who is cut off keeps its ways");
    fleet.deaf = None;
    let again = fleet.hello(7);
    fleet.settle(vec![again]);
    fleet.converged(step);

    // Somebody takes ways away, and an agent starts again.
    let (lost, all) = (name(20), fleet.ranges());
    for (_, range) in all.iter().take(10) {
        fleet.nodes.get_mut(&lost).unwrap().lose_way(*range);
    }
    let said = fleet.nodes.get_mut(&lost).unwrap().look();
    assert!(said[0].contains("was gone or another one; it is as it was") && said[0].contains("and 6 more"), "{said:?}");
    assert!(fleet.nodes.get_mut(&lost).unwrap().look().is_empty(), "told once");
    let again = fleet.nodes.get_mut(&name(21)).unwrap();
    again.lose_way(all[0].1);
    assert!(again.start() && again.apply().is_ok());
    fleet.converged(step);
}

#[test]
fn a_thousand_nodes_reach_each_other_by_routes() {
    a_thousand_nodes(NetworkMode::Routes, 1);
}

#[test]
fn a_thousand_nodes_reach_each_other_by_vxlan() {
    // Each asks for other ones, and together for all.
    a_thousand_nodes(NetworkMode::Vxlan, 250);
}
