//! Announces addresses of pools on this node's links: answers who asks for them, says when it takes one,
//! and gives one up that another node has taken.
//!
//! Which addresses these are the server says. In a session with it this node is in the right: it says so
//! again when somebody else claims one. Without a session it goes on, for the server may be away and not
//! this node. It gives an address up when another machine claims it, for then the server has given it
//! away, and when no other node answers any more: then it is this one that is cut off. At a start without
//! a session it asks first. `decide` is pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use evenkeel_model::net::{NetworkUpdate, ServiceId};
use tokio::{
    sync::{mpsc, watch as channel},
    time::{Instant, MissedTickBehavior, interval},
};

use super::Drift;
use crate::link::{
    arp::{Arp, Message},
    host::Machine,
};

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(200);
/// An address that was taken is said at once and then after these times, for who did not hear it.
const FIRST: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// And then this often: whoever learned it from another one hears better.
const AGAIN: Duration = Duration::from_secs(10);
/// For so long it is asked whether somebody has an address, at a start without a session.
const ASK_FOR: Duration = Duration::from_secs(1);
/// Without a session and without a word of another node for so long this one is cut off. They are asked each
/// second, and their kernels answer. An agent sees within 20 s that its session is dead: with this it has let
/// go before the server, by default after 40 s (`--node-grace`), gives the address to another node.
const LEASE: Duration = Duration::from_secs(5);
/// The same complaint is told this often.
const COMPLAIN: Duration = Duration::from_mins(1);

/// The addresses of pools that this node is to announce, by what the server said.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    addresses: BTreeMap<ServiceId, Vec<Ipv4Addr>>,
    /// Whether the server has said so in a session that goes on.
    sure: bool,
}

impl Assigned {
    /// Takes in what the server said.
    pub(super) fn update(&mut self, update: &NetworkUpdate, node: &str) {
        if update.full {
            self.addresses.clear();
            // What an agent kept has no number.
            self.sure = update.number != 0;
        }
        update.gone_services.iter().for_each(|id| drop(self.addresses.remove(id)));
        for service in &update.services {
            if service.balancer.announcer.as_deref() == Some(node) {
                let v4 = |ip: &IpAddr| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None };
                let all = service.load_balancer_ips.iter().filter_map(v4).collect();
                self.addresses.insert(service.id.clone(), all);
            } else {
                self.addresses.remove(&service.id);
            }
        }
    }

    /// The session ended.
    pub(super) fn away(&mut self) {
        self.sure = false;
    }

    /// What is to be announced on this machine's links.
    pub(super) fn wanted(&self, machine: &Machine, peers: impl Iterator<Item = IpAddr>) -> Wanted {
        let mut out = Wanted { sure: self.sure, ..Wanted::default() };
        if self.addresses.is_empty() {
            return out;
        }
        for (id, addresses) in &self.addresses {
            let whose: Arc<str> = format!("{}/{}", id.namespace, id.name).into();
            for address in addresses {
                if let Some(link) = machine.link_to(*address) {
                    out.addresses.insert(*address, (link, whose.clone()));
                }
            }
        }
        let v4 = |ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None };
        out.peers = peers.filter_map(v4).filter(|ip| machine.is_beside(*ip)).collect();
        out
    }
}

/// What is to be announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Addresses, with the link of each and whose it is, for people.
    pub(super) addresses: BTreeMap<Ipv4Addr, (String, Arc<str>)>,
    /// Addresses of the other nodes.
    pub(super) peers: BTreeSet<Ipv4Addr>,
    /// Whether the server has said so in a session that goes on.
    pub(super) sure: bool,
}

/// How it stands with one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is asked whether somebody has it, until then.
    Asks { until: Instant },
    /// It is this node's; it is said next at this time, for the so many-th time.
    Has { next: Instant, said: usize },
    /// Somebody else has it.
    Anothers,
    /// This node is cut off.
    CutOff,
}

/// All that is known of addresses.
#[derive(Debug, Default)]
struct Holdings {
    wanted: Wanted,
    standing: BTreeMap<Ipv4Addr, Standing>,
    /// When another node was last heard.
    heard: Option<Instant>,
    /// Since when there is no session.
    unsure: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Do {
    Announce(Ipv4Addr),
    Ask(Ipv4Addr),
    Answer(Ipv4Addr),
    /// Another machine says that it has an address of ours.
    Conflict(Ipv4Addr),
}

impl Holdings {
    fn set(&mut self, wanted: Wanted, now: Instant) {
        self.standing.retain(|address, _| wanted.addresses.contains_key(address));
        self.unsure = if wanted.sure { None } else { self.unsure.or(Some(now)) };
        for address in wanted.addresses.keys() {
            let new = || {
                if wanted.sure { Standing::Has { next: now, said: 0 } } else { Standing::Asks { until: now + ASK_FOR } }
            };
            let standing = self.standing.entry(*address).or_insert_with(new);
            if wanted.sure && !matches!(standing, Standing::Has { .. }) {
                *standing = Standing::Has { next: now, said: 0 };
            }
        }
        self.wanted = wanted;
    }

    /// What time asks for.
    fn tick(&mut self, now: Instant) -> Vec<Do> {
        let mut out = Vec::new();
        let alone = self.unsure.is_some_and(|since| {
            let last = self.heard.map_or(since, |heard| heard.max(since));
            !self.wanted.peers.is_empty() && now >= last + LEASE
        });
        let asks = self.unsure.is_some() && !self.standing.is_empty();
        if asks {
            out.extend(self.wanted.peers.iter().map(|peer| Do::Ask(*peer)));
        }
        for (address, standing) in &mut self.standing {
            match standing {
                Standing::Has { .. } if alone => *standing = Standing::CutOff,
                Standing::Has { next, said } if *next <= now => {
                    out.push(Do::Announce(*address));
                    *next = now + FIRST.get(*said).copied().unwrap_or(AGAIN);
                    *said += 1;
                }
                Standing::Asks { until } if *until <= now => *standing = Standing::Has { next: now, said: 0 },
                Standing::Asks { .. } => out.push(Do::Ask(*address)),
                Standing::Has { .. } | Standing::Anothers | Standing::CutOff => {}
            }
        }
        out
    }

    /// What a message asks for.
    fn hear(&mut self, message: &Message, now: Instant) -> Option<Do> {
        if self.wanted.peers.contains(&message.sender) {
            self.heard = Some(now);
            // It is not cut off any more; meanwhile the address may have become another's.
            for standing in self.standing.values_mut().filter(|s| **s == Standing::CutOff) {
                *standing = Standing::Asks { until: now + ASK_FOR };
            }
        }
        if let Some(standing) = self.standing.get_mut(&message.sender) {
            if !self.wanted.sure {
                *standing = Standing::Anothers;
            } else if let Standing::Has { next, said } = standing {
                // A moment later: the other one may have heard by then that it is no longer its own.
                *next = (*next).min(now + Duration::from_secs(1));
                *said = (*said).max(1);
                return Some(Do::Conflict(message.sender));
            }
            return None;
        }
        let has = matches!(self.standing.get(&message.target), Some(Standing::Has { .. }));
        (message.asks && has).then_some(Do::Answer(message.target))
    }
}

/// Announces until nobody says what any more.
pub(super) async fn run(mut wanted: channel::Receiver<Wanted>, drifts: mpsc::Sender<Drift>) {
    let mut announcer = Announcer::new(drifts);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let idle = announcer.holdings.standing.is_empty();
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = wanted.borrow_and_update().clone();
                announcer.holdings.set(now, Instant::now());
                announcer.open();
                announcer.tick();
            }
            _ = ticks.tick(), if !idle => announcer.tick(),
            (link, heard) = hear(&announcer.sockets) => announcer.hear(&link, heard),
        }
    }
}

/// The next message on any link.
async fn hear(sockets: &BTreeMap<String, Arp>) -> (String, io::Result<Message>) {
    if sockets.is_empty() {
        return std::future::pending().await;
    }
    let all = sockets.iter().map(|(link, arp)| Box::pin(async move { (link.clone(), arp.next().await) }));
    futures_util::future::select_all(all).await.0
}

struct Announcer {
    holdings: Holdings,
    /// By link.
    sockets: BTreeMap<String, Arp>,
    drifts: mpsc::Sender<Drift>,
    complaints: BTreeMap<String, Instant>,
    asked_peers: Option<Instant>,
}

impl Announcer {
    fn new(drifts: mpsc::Sender<Drift>) -> Self {
        Self {
            holdings: Holdings::default(),
            sockets: BTreeMap::new(),
            drifts,
            complaints: BTreeMap::new(),
            asked_peers: None,
        }
    }

    /// A socket on each link that is needed, and on no other.
    fn open(&mut self) {
        let links: BTreeSet<String> = self.holdings.wanted.addresses.values().map(|(link, _)| link.clone()).collect();
        self.sockets.retain(|link, _| links.contains(link));
        for link in links {
            if self.sockets.contains_key(&link) {
                continue;
            }
            match Arp::open(&link) {
                Ok(arp) => drop(self.sockets.insert(link, arp)),
                Err(error) => {
                    self.complain(format!("addresses cannot be announced on the link {link}: {error}"), false);
                }
            }
        }
    }

    fn tick(&mut self) {
        if self.sockets.len() < self.holdings.wanted.addresses.values().map(|(l, _)| l).collect::<BTreeSet<_>>().len() {
            self.open();
        }
        let now = Instant::now();
        let asks_peers = self.asked_peers.is_none_or(|at| now >= at + FIRST[1]);
        if asks_peers {
            self.asked_peers = Some(now);
        }
        for what in self.holdings.tick(now) {
            match what {
                Do::Announce(address) => self.on_link(address, |arp| arp.announce(address)),
                Do::Ask(address) if self.holdings.wanted.addresses.contains_key(&address) => {
                    self.on_link(address, |arp| arp.ask(address));
                }
                Do::Ask(peer) if asks_peers => {
                    let failed = self.sockets.values().find_map(|arp| arp.ask(peer).err());
                    if let Some(error) = failed {
                        self.complain(format!("other nodes cannot be asked for: {error}"), false);
                    }
                }
                Do::Ask(_) | Do::Answer(_) | Do::Conflict(_) => {}
            }
        }
    }

    fn on_link(&mut self, address: Ipv4Addr, act: impl Fn(&Arp) -> io::Result<()>) {
        let link = self.holdings.wanted.addresses.get(&address).map(|(link, _)| link.clone()).unwrap_or_default();
        let done = self.sockets.get(&link).map(act);
        if let Some(Err(error)) = done {
            // A link that went and came is another one.
            self.sockets.remove(&link);
            self.complain(format!("the address {address} cannot be announced on the link {link}: {error}"), false);
        }
    }

    fn hear(&mut self, link: &str, heard: io::Result<Message>) {
        let message = match heard {
            Ok(message) => message,
            Err(error) => {
                self.sockets.remove(link);
                return self.complain(format!("the link {link} is not heard: {error}"), false);
            }
        };
        match self.holdings.hear(&message, Instant::now()) {
            Some(Do::Answer(address)) => self.on_link(address, |arp| arp.answer(&message)),
            Some(Do::Conflict(address)) => {
                let whose = self.holdings.wanted.addresses.get(&address).map(|(_, whose)| whose.clone());
                let mac = message.mac.map(|byte| format!("{byte:02x}")).join(":");
                let whose = whose.unwrap_or_default();
                let text =
                    format!("another machine ({mac}) says that it has {address}, the address of the Service {whose}");
                self.complain(text, true);
            }
            _ => {}
        }
    }

    /// Tells people, not too often; the server too, where it is something that others did.
    fn complain(&mut self, text: String, drift: bool) {
        let now = Instant::now();
        self.complaints.retain(|_, at| now < *at + COMPLAIN);
        if self.complaints.contains_key(&text) {
            return;
        }
        tracing::warn!("{text}");
        self.complaints.insert(text.clone(), now);
        if drift {
            // Who reads them may be behind: then the log alone has it.
            let _ = self.drifts.try_send(Drift { message: text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
    const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    fn wanted(sure: bool) -> Wanted {
        let addresses = BTreeMap::from([(VIP, ("eth0".to_owned(), Arc::from("default/web")))]);
        Wanted { addresses, peers: [PEER].into(), sure }
    }

    fn says(sender: Ipv4Addr, asks: bool, target: Ipv4Addr) -> Message {
        Message { asks, mac: [2; 6], sender, target }
    }

    #[test]
    fn what_the_server_says_is_announced_and_answered() {
        let (mut all, now) = (Holdings::default(), Instant::now());
        all.set(wanted(true), now);
        assert_eq!(all.tick(now), [Do::Announce(VIP)]);
        assert_eq!(all.tick(now), []);
        assert_eq!(all.tick(now + FIRST[0]), [Do::Announce(VIP)]);
        assert_eq!(all.hear(&says(PEER, true, VIP), now), Some(Do::Answer(VIP)));
        assert_eq!(all.hear(&says(PEER, true, PEER), now), None);
        // Somebody else claims it: it is said again.
        let later = now + Duration::from_mins(1);
        all.tick(later);
        assert_eq!(all.hear(&says(VIP, true, VIP), later), Some(Do::Conflict(VIP)));
        assert_eq!(all.tick(later + FIRST[1]), [Do::Announce(VIP)]);
        all.set(Wanted { sure: true, ..Wanted::default() }, later);
        assert_eq!((all.hear(&says(PEER, true, VIP), later), all.tick(later + LEASE)), (None, Vec::new()));
    }

    #[test]
    fn without_a_session_it_goes_on_until_another_has_it() {
        let (mut all, now) = (Holdings::default(), Instant::now());
        all.set(wanted(true), now);
        all.tick(now);
        all.set(wanted(false), now);
        // The server is away, and the others are there.
        for second in 1..120 {
            let at = now + Duration::from_secs(second);
            all.hear(&says(PEER, false, PEER), at);
            all.tick(at);
            assert_eq!(all.hear(&says(PEER, true, VIP), at), Some(Do::Answer(VIP)), "after {second} s");
        }
        let at = now + Duration::from_mins(2);
        assert_eq!(all.hear(&says(VIP, true, VIP), at), None);
        assert_eq!(all.hear(&says(PEER, true, VIP), at), None, "it is another's");
        assert_eq!(all.tick(at + AGAIN), [Do::Ask(PEER)]);
        all.set(wanted(true), at);
        assert_eq!(all.tick(at), [Do::Announce(VIP)]);
    }

    #[test]
    fn a_node_that_is_cut_off_gives_up_and_one_that_starts_asks_first() {
        let (mut all, now) = (Holdings::default(), Instant::now());
        all.set(wanted(false), now);
        assert_eq!(all.tick(now), [Do::Ask(PEER), Do::Ask(VIP)]);
        assert_eq!(all.hear(&says(PEER, true, VIP), now), None);
        let mut other = Holdings::default();
        other.set(wanted(false), now);
        other.hear(&says(VIP, false, PEER), now);
        assert_eq!(other.tick(now + ASK_FOR), [Do::Ask(PEER)], "another has it");
        all.tick(now + ASK_FOR);
        assert_eq!(all.tick(now + ASK_FOR), [Do::Ask(PEER), Do::Announce(VIP)]);
        all.tick(now + LEASE);
        let late = now + LEASE;
        assert_eq!(all.hear(&says(Ipv4Addr::new(192, 0, 2, 99), true, VIP), late), None, "nobody was heard");
        assert_eq!(all.hear(&says(PEER, true, VIP), late), None);
        assert_eq!(all.tick(late), [Do::Ask(PEER), Do::Ask(VIP)], "a node is heard again");
        let mut alone = Holdings::default();
        alone.set(Wanted { peers: BTreeSet::new(), ..wanted(false) }, now);
        alone.tick(now + ASK_FOR);
        alone.tick(now + LEASE * 2);
        assert!(alone.hear(&says(PEER, true, VIP), now + LEASE * 2).is_some(), "the only node is not cut off");
    }
}
