//! What is promised of Services, checked against what each node's kernel would do with a packet: an
//! endpoint is led to only when its pod is ready, and by nobody any more when its container gets its
//! stop signal; addresses are given once; silence is judged on single nodes and not on most of them; at
//! rest every node leads where the world says.
//!
//! What should be led where is made here from pods and Services, by as little as that takes, and shares
//! no code with the product.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use evenkeel_agent::sim::SimNode;
use evenkeel_conductor::Published;
use evenkeel_model::{
    Key, Kind, Object, Time, Uid,
    net::{Cidr, PortProtocol, ServiceId, ServiceNet},
};
use evenkeel_net::model::Knock;
use evenkeel_wire::ToServer;
use serde_json::Value;

use crate::{
    machine::Machine,
    objects::{Objects, of_kind, rows, text},
};

/// How long a pod's end waits for agents that hang, less what clocks drift apart in it.
const BOUND: Duration = Duration::from_millis(1900);
/// A node whose trouble is over for so long has a session again.
const SETTLED: Duration = Duration::from_secs(25);
/// A silent node's pods are judged within this, and other nodes follow.
const JUDGED: Duration = Duration::from_secs(30);
/// A node that has not been heard of for so long may count as away.
const DOUBT: Duration = Duration::from_secs(14);
/// Where pods of the repositories listen.
const PORT: u16 = 8080;

/// The checks' memory.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Pods that were ready at some time, by namespace and name: names never come again.
    ready: BTreeSet<(Arc<str>, Arc<str>)>,
    /// When the end of each pod was asked for.
    asked: BTreeMap<Uid, Time>,
    /// What each Service was given: its address, and the port of the nodes.
    given: BTreeMap<Uid, (String, Option<u64>)>,
    /// Since when a node counts as silent without a break.
    silent: BTreeMap<Arc<str>, Time>,
    /// When most nodes may have been away last.
    crowd: Option<Time>,
    /// The nodes' conditions `Ready`.
    nodes: BTreeMap<Arc<str>, String>,
    /// What was found wrong at a server's start.
    broken: Option<String>,
    /// Containers whose stop was held against all kernels, for who reads a run.
    pub(crate) stops: u64,
    /// Services that a kernel was seen to follow.
    pub(crate) follows: u64,
}

fn value(object: &Object) -> Value {
    object.to_value()
}

/// Whether a pod's status says that it is ready.
fn is_ready(status: &Value) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// The addresses of pools that a Service has.
fn of_pools(service: &Value) -> impl Iterator<Item = Ipv4Addr> + '_ {
    rows(&service["status"]["loadBalancer"], "ingress").iter().filter_map(|one| text(&one["ip"]).parse().ok())
}

/// A Service's places: its addresses, and the nodes' own.
fn knocks(service: &Value) -> Vec<Knock> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let address: Option<Ipv4Addr> = text(&service["spec"]["clusterIP"]).parse().ok();
    let number = |v: &Value| v.as_u64().and_then(|p| u16::try_from(p).ok());
    let both = |port: &Value| {
        let at = |a: Ipv4Addr| number(&port["port"]).map(|p| (Some(a), PortProtocol::Tcp, p));
        let own = number(&port["nodePort"]).map(|p| (None, PortProtocol::Tcp, p));
        address.into_iter().chain(of_pools(service)).filter_map(at).chain(own).collect::<Vec<Knock>>()
    };
    ports.flat_map(both).collect()
}

/// Who should answer for a Service: the ready ones it selects, else those that end and are ready still.
fn who(service: &Value, objects: &Objects) -> Vec<(Ipv4Addr, u16)> {
    let (namespace, selector) = (&service["metadata"]["namespace"], &service["spec"]["selector"]["app"]);
    let pods = of_kind(objects, Kind::Pod).filter(|o| *o.key.namespace == *text(namespace));
    let (mut ready, mut ending) = (Vec::new(), Vec::new());
    for pod in pods.filter(|o| o.meta.labels.get("app").is_some_and(|app| app == text(selector))) {
        let status: Value = pod.status().ok().flatten().unwrap_or_default();
        let over = ["Succeeded", "Failed"].contains(&text(&status["phase"]));
        let Some(address) = text(&status["podIP"]).parse().ok().filter(|_| is_ready(&status) && !over) else {
            continue;
        };
        if pod.deleting() { &mut ending } else { &mut ready }.push((address, PORT));
    }
    let mut all = if ready.is_empty() { ending } else { ready };
    all.sort_unstable();
    all
}

/// Who should answer at a Service's first port by what a node was told of it.
fn told(service: &ServiceNet) -> Vec<(Ipv4Addr, u16)> {
    let pick = |wanted: fn(&evenkeel_model::net::Endpoint) -> bool| {
        let all = service.endpoints.iter().filter(|e| wanted(e));
        let mut all: Vec<_> = all
            .filter_map(|e| match (e.address, e.ports.first().copied().flatten()) {
                (IpAddr::V4(address), Some(port)) => Some((address, port)),
                _ => None,
            })
            .collect();
        all.sort_unstable();
        all
    };
    let ready = pick(|e| e.ready);
    if ready.is_empty() { pick(|e| e.serving && e.terminating) } else { ready }
}

/// The first address of a Service, with its port.
fn front(service: &ServiceNet) -> Option<Knock> {
    let address = service.cluster_ips.first().and_then(|a| if let IpAddr::V4(a) = a { Some(*a) } else { None });
    Some((Some(address?), PortProtocol::Tcp, service.ports.first()?.port))
}

impl Services {
    /// An agent says something: who is ready is so from here on.
    pub(crate) fn said(&mut self, message: &ToServer) {
        match message {
            ToServer::Hello(hello) => {
                for pod in hello.pods.iter().filter(|p| is_ready(&p.status)) {
                    let of = |field: &str| Arc::from(text(&pod.pod["metadata"][field]));
                    self.ready.insert((of("namespace"), of("name")));
                }
            }
            ToServer::Report { report, .. } => {
                for pod in &report.pods {
                    let name = (pod.namespace.clone(), pod.name.clone());
                    if !self.ready.contains(&name)
                        && serde_json::from_slice(&pod.status).is_ok_and(|status: Value| is_ready(&status))
                    {
                        self.ready.insert(name);
                    }
                }
            }
        }
    }

    /// A server has committed.
    pub(crate) fn published(&mut self, now: Time, changes: &[Published], objects: &Objects) -> Result<(), String> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let mut judged = None;
        let before = self.away();
        for change in changes {
            let (old, new) = (change.old.as_ref(), change.new.as_ref());
            match change.key.kind {
                Kind::Pod => {
                    if let Some(new) = new.filter(|n| n.deleting()) {
                        self.asked.entry(new.uid).or_insert(now);
                    } else if let Some(new) = new {
                        self.asked.remove(&new.uid);
                    }
                    let status = |o: Option<&Arc<Object>>| -> Value {
                        o.and_then(|o| o.status().ok().flatten()).unwrap_or_default()
                    };
                    let by_server = |status: &Value| status.to_string().contains("NodeNotReady");
                    let after = status(new);
                    if is_ready(&status(old)) && !is_ready(&after) && by_server(&after) {
                        judged = Some(&change.key);
                    }
                }
                Kind::Service => self.given(new, objects)?,
                Kind::Node => self.node(&change.key.name, new),
                _ => {}
            }
        }
        let after = self.away();
        let most = |(away, all): (usize, usize)| away * 2 > all;
        match judged.filter(|_| most(before) && most(after)) {
            Some(pod) => Err(format!("{pod} turned not ready while {after:?} nodes are away")),
            None => Ok(()),
        }
    }

    fn node(&mut self, name: &Arc<str>, node: Option<&Arc<Object>>) {
        match node {
            Some(node) => self.nodes.insert(name.clone(), crate::watch::ready(node)),
            None => self.nodes.remove(name),
        };
    }

    /// How many nodes are not ready, of how many.
    fn away(&self) -> (usize, usize) {
        (self.nodes.values().filter(|ready| *ready != "\"True\"").count(), self.nodes.len())
    }

    fn is_silent(&self, node: &str) -> bool {
        self.nodes.get(node).is_none_or(|ready| ready == "\"Unknown\"")
    }

    /// A server has started over its store. What is wrong there is told by its first step.
    pub(crate) fn reload(&mut self, now: Time, objects: &Objects) {
        for pod in of_kind(objects, Kind::Pod).filter(|o| o.deleting()) {
            self.asked.entry(pod.uid).or_insert(now);
        }
        self.silent.clear();
        self.nodes.clear();
        of_kind(objects, Kind::Node).for_each(|node| self.node(&node.key.name, Some(node)));
        self.broken = of_kind(objects, Kind::Service).try_for_each(|s| self.given(Some(s), objects)).err();
    }

    /// What a Service was given is nobody else's, and stays.
    fn given(&mut self, service: Option<&Arc<Object>>, objects: &Objects) -> Result<(), String> {
        let mut taken: BTreeMap<Knock, &Key> = BTreeMap::new();
        for other in of_kind(objects, Kind::Service) {
            for knock in knocks(&value(other)) {
                // Ports of one address are not shared either, for no two Services have one.
                let knock = (knock.0, knock.1, if knock.0.is_some() { 0 } else { knock.2 });
                if let Some(first) = taken.insert(knock, &other.key).filter(|first| **first != other.key) {
                    return Err(format!("{first} and {} were both given {knock:?}", other.key));
                }
            }
        }
        let Some(service) = service else { return Ok(()) };
        let spec = &value(service)["spec"];
        let new = (text(&spec["clusterIP"]).to_owned(), spec["ports"][0]["nodePort"].as_u64());
        let Some(old) = self.given.insert(service.uid, new.clone()) else { return Ok(()) };
        let moved = old.1.is_some() && new.1.is_some() && old.1 != new.1;
        if old.0 == new.0 && !moved {
            return Ok(());
        }
        Err(format!("{} had {old:?} and now has {new:?}", service.key))
    }

    /// A kernel followed what it was told of some Services.
    pub(crate) fn followed(&mut self, sim: &mut SimNode) -> Result<(), String> {
        for service in sim.take_followed() {
            self.follows += 1;
            let led = service.endpoints.iter().filter(|e| e.ready).filter_map(|e| e.pod.clone());
            let mut names = led.map(|name| (service.id.namespace.clone(), name));
            if let Some(never) = names.find(|name| !self.ready.contains(name)) {
                return Err(format!("{} leads to {never:?}, which was never ready", sim.name()));
            }
            // It may have been told something else by now.
            let same = sim.net.service(&service.id).is_some_and(|now| Arc::ptr_eq(now, &service));
            let (Some(at), true) = (front(&service), same) else { continue };
            let (is, should) = (sim.net.answers(at), told(&service));
            if is.as_ref() != Some(&should) {
                return Err(format!("{} leads from {at:?} to {is:?}, and was told {should:?}", sim.name()));
            }
        }
        Ok(())
    }

    /// An agent stops a container of a pod that is to end: no kernel of a node that can be reached leads
    /// there any more, unless nobody else is there to lead to.
    pub(crate) fn stopped(
        &mut self,
        now: Time,
        pod: &Object,
        machines: &[Machine],
        objects: &Objects,
    ) -> Result<(), String> {
        let planned = pod.meta.deletion.is_some_and(|d| d.grace_seconds > 0);
        let status: Value = pod.status().ok().flatten().unwrap_or_default();
        let (Some(address), true) = (text(&status["podIP"]).parse::<Ipv4Addr>().ok(), planned) else { return Ok(()) };
        self.stops += 1;
        let waited = self.asked.get(&pod.uid).is_some_and(|asked| now.since(*asked) >= BOUND);
        let services = of_kind(objects, Kind::Service).filter(|s| s.key.namespace == pod.key.namespace);
        let services: Vec<(&Key, Vec<Knock>)> = services.map(|s| (&s.key, knocks(&value(s)))).collect();
        for machine in machines.iter().filter(|m| m.powered) {
            let silent = self.is_silent(machine.sim.name());
            let excused = silent || machine.line.rival || waited && machine.was_troubled(now, SETTLED);
            for (service, places) in services.iter().filter(|_| !excused) {
                if leads(&machine.sim, service, places, address) {
                    let asked = self.asked.get(&pod.uid);
                    return Err(format!(
                        "a container of {} gets its stop signal, and {} still leads to it by {} (asked for {asked:?}, \
                         now {now:?}, trouble {:?})",
                        pod.key,
                        machine.sim.name(),
                        service,
                        machine.trouble,
                    ));
                }
            }
        }
        Ok(())
    }

    /// The server does not watch until then, or has not known what time it is.
    pub(crate) fn unwatched(&mut self, until: Time) {
        self.crowd = self.crowd.max(Some(until));
    }

    /// Pods of a node that alone is silent are ready no more, and nobody leads to them: the latter where no message
    /// is lost, for one that is, and has none after it, is told by nobody.
    pub(crate) fn silence(
        &mut self,
        now: Time,
        machines: &[Machine],
        objects: &Objects,
        lossless: bool,
    ) -> Result<(), String> {
        let heard = |name: &Arc<str>| {
            let machine = machines.iter().find(|m| m.sim.name() == name);
            machine.is_some_and(|m| now.since(m.heard) < DOUBT)
        };
        let there = self.nodes.iter().filter(|(name, ready)| *ready == "\"True\"" && heard(name)).count();
        if (self.nodes.len() - there) * 2 > self.nodes.len() {
            self.crowd = self.crowd.max(Some(now));
        }
        let silent: Vec<Arc<str>> = self.nodes.keys().filter(|name| self.is_silent(name)).cloned().collect();
        self.silent.retain(|name, _| silent.contains(name));
        if self.crowd.is_some_and(|crowd| now.since(crowd) < JUDGED) {
            return Ok(());
        }
        for node in silent {
            let since = *self.silent.entry(node.clone()).or_insert(now);
            if now.since(since) < JUDGED {
                continue;
            }
            let object = objects.get(&Key::cluster(Kind::Node, node.clone()));
            let range: Option<Cidr> = object.and_then(|o| text(&value(o)["spec"]["podCIDR"]).parse().ok());
            for pod in of_kind(objects, Kind::Pod).filter(|o| o.node.as_ref() == Some(&node)) {
                let status: Value = pod.status().ok().flatten().unwrap_or_default();
                if is_ready(&status) && !pod.deleting() {
                    return Err(format!("{} is ready, and its node was silent since {since:?}", pod.key));
                }
            }
            let Some(range) = range.filter(|_| lossless) else { continue };
            let reached =
                machines.iter().filter(|m| m.powered && !m.was_troubled(now, JUDGED) && m.line.agent.is_some());
            for machine in reached.filter(|m| !self.is_silent(m.sim.name())) {
                for service in of_kind(objects, Kind::Service).filter(|s| of_pools(&value(s)).next().is_some()) {
                    if announcer(&machine.sim, &service.key).as_ref() == Some(&node) {
                        let key = &service.key;
                        return Err(format!("{node} announces {key}, and is silent since {since:?}"));
                    }
                }
                for at in machine.sim.net.fronts() {
                    let led = machine.sim.net.answers(at).unwrap_or_default();
                    if let Some((to, _)) = led.iter().find(|(to, _)| range.contains((*to).into())) {
                        let name = machine.sim.name();
                        return Err(format!("{name} leads to {to} on {node}, silent since {since:?}"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The node that announces a Service's addresses of pools, as a node was told.
fn announcer(sim: &SimNode, service: &Key) -> Option<Arc<str>> {
    let id = ServiceId { namespace: service.namespace.clone(), name: service.name.clone() };
    sim.net.service(&id)?.balancer.announcer.clone()
}

/// Whether a node's kernel sends new connections for a Service to an address, though it leads to others
/// that stay, or the node does not know that this one ends.
fn leads(sim: &SimNode, service: &Key, places: &[Knock], to: Ipv4Addr) -> bool {
    let id = ServiceId { namespace: service.namespace.clone(), name: service.name.clone() };
    // Another one of which the node is told nothing any more has ended, and the kernel is about to follow.
    let ends = |one: &Ipv4Addr| {
        sim.net.service(&id).is_some_and(|told| {
            let endpoint = told.endpoints.iter().find(|e| e.address == IpAddr::V4(*one));
            endpoint.map_or(*one != to, |e| e.terminating)
        })
    };
    places.iter().any(|at| {
        let led = sim.net.answers(*at).unwrap_or_default();
        led.iter().any(|(a, _)| *a == to) && !led.iter().all(|(a, _)| ends(a))
    })
}

/// Whether every node's kernel leads where the world says, and has a way to all others.
pub(crate) fn converged<'a>(machines: impl Iterator<Item = &'a Machine>, objects: &Objects) -> Result<(), String> {
    let mut should: BTreeMap<Knock, Vec<(Ipv4Addr, u16)>> = BTreeMap::new();
    for service in of_kind(objects, Kind::Service).map(|o| value(o)) {
        let answers = who(&service, objects);
        should.extend(knocks(&service).into_iter().map(|at| (at, answers.clone())));
    }
    let nodes: BTreeMap<Arc<str>, (Option<Ipv4Addr>, Option<Cidr>)> =
        of_kind(objects, Kind::Node).map(|o| (o.key.name.clone(), place(&value(o)))).collect();
    let balanced: Vec<&Key> = of_kind(objects, Kind::Service)
        .filter(|o| value(o)["spec"]["type"] == "LoadBalancer")
        .map(|o| &o.key)
        .collect();
    let mut announced: BTreeMap<&Key, Arc<str>> = BTreeMap::new();
    for machine in machines {
        for service in &balanced {
            let by = announcer(&machine.sim, service).ok_or_else(|| format!("nobody announces {service}"))?;
            if *announced.entry(service).or_insert_with(|| by.clone()) != by || !nodes.contains_key(&by) {
                return Err(format!("{} has {by} announce {service}, others {announced:?}", machine.sim.name()));
            }
        }
        let (name, net) = (machine.sim.name(), &machine.sim.net);
        let is: BTreeMap<Knock, _> =
            net.fronts().into_iter().map(|at| (at, net.answers(at).unwrap_or_default())).collect();
        if is != should {
            return Err(format!("{name} leads {is:?}, not {should:?}"));
        }
        let mut ways = net.ways();
        for (other, (address, range)) in nodes.iter().filter(|(other, _)| *other != name) {
            let (Some(address), Some(range)) = (address, range) else { continue };
            let to = range.nth(2).and_then(|pod| net.leads(pod));
            if to != Some(*address) || !ways.remove(range) {
                return Err(format!("{name} sends packets for {other}'s pods to {to:?}, not {address}"));
            }
        }
        if !ways.is_empty() {
            return Err(format!("{name} has ways to {ways:?}, where no node is"));
        }
    }
    Ok(())
}

/// A node's address, and the range of its pods.
fn place(node: &Value) -> (Option<Ipv4Addr>, Option<Cidr>) {
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let inside = addresses.into_iter().find(|a| a["type"] == "InternalIP");
    (inside.and_then(|a| text(&a["address"]).parse().ok()), text(&node["spec"]["podCIDR"]).parse().ok())
}
