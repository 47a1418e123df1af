//! Who stands behind a Service's ports, and whose turn it is.
//!
//! Requests go to those who are ready, each in its turn; where none is ready, to those that end and
//! still serve, as the Services of a node do. Who refused a connection lately comes last. Deliberately
//! not here: connections.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel_model::{
    ingress::BackendPort,
    net::{PortProtocol, ServiceNet},
};

/// Who refused a connection is tried last for this long; then one request tries it, and the others go on
/// passing it over until that one was answered. A node without power thus holds up one request in a while,
/// until the server knows of it.
const ILL: Duration = Duration::from_secs(5);
/// How many of them are remembered: beyond it nobody is skipped, which costs a try.
const MOST_ILL: usize = 4096;

/// A Service as requests see it.
#[derive(Debug)]
pub(crate) struct Members {
    /// As the server said it.
    pub(crate) net: Arc<ServiceNet>,
    /// For each of its ports, in their order.
    addresses: Vec<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

/// Nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// The Service has no such port.
    Port,
    /// Nobody is ready.
    Ready,
}

impl Members {
    /// Of a Service; `before` is what it was, whose turns go on.
    pub(crate) fn new(net: Arc<ServiceNet>, before: Option<&Self>) -> Self {
        let addresses = (0..net.ports.len())
            .map(|at| {
                let at_port = |serves: &dyn Fn(bool, bool, bool) -> bool| -> Vec<SocketAddr> {
                    net.endpoints
                        .iter()
                        .filter(|e| serves(e.ready, e.serving, e.terminating))
                        .filter_map(|e| Some(SocketAddr::new(e.address, (*e.ports.get(at)?)?)))
                        .collect()
                };
                let ready = at_port(&|ready, _, _| ready);
                if ready.is_empty() { at_port(&|_, serving, terminating| serving && terminating) } else { ready }
            })
            .collect();
        let turn = before.map_or(0, |b| b.turn.load(Ordering::Relaxed));
        Self { net, addresses, turn: AtomicUsize::new(turn) }
    }

    /// All addresses that requests go to.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SocketAddr> {
        self.addresses.iter().flatten()
    }

    /// At a port: who is there, and whose turn it is.
    pub(crate) fn at(&self, port: &BackendPort) -> Result<(&[SocketAddr], usize), Nobody> {
        let is = |p: &evenkeel_model::net::ServicePort| match port {
            BackendPort::Number(number) => p.port == *number,
            BackendPort::Name(name) => p.name == *name,
        };
        let index = self.net.ports.iter().position(|p| p.protocol == PortProtocol::Tcp && is(p)).ok_or(Nobody::Port)?;
        let all = self.addresses.get(index).filter(|all| !all.is_empty()).ok_or(Nobody::Ready)?;
        Ok((all, self.turn.fetch_add(1, Ordering::Relaxed) % all.len()))
    }
}

/// Who refused a connection lately.
#[derive(Debug, Default)]
pub(crate) struct Ill(RwLock<HashMap<SocketAddr, Instant>>);

impl Ill {
    pub(crate) fn note(&self, address: SocketAddr) {
        let now = Instant::now();
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Who nobody has tried for so long is in no Service that anybody asks for.
        all.retain(|_, since| now.duration_since(*since) < ILL * 12);
        if all.len() < MOST_ILL {
            all.insert(address, now);
        }
    }

    pub(crate) fn well(&self, address: SocketAddr) {
        if self.since(address).is_some() {
            self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&address);
        }
    }

    fn since(&self, address: SocketAddr) -> Option<Instant> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&address).copied()
    }

    /// Whether it is passed over; where its time is over, the first who asks may try it.
    fn is(&self, address: SocketAddr) -> bool {
        let Some(since) = self.since(address) else { return false };
        if since.elapsed() < ILL {
            return true;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&address) {
            Some(now) if *now == since => {
                *now = Instant::now();
                false
            }
            other => other.is_some(),
        }
    }

    /// The next to try of those whose turn begins at `first`: one that was not tried, the well ones
    /// before the ill.
    pub(crate) fn next(&self, all: &[SocketAddr], first: usize, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let in_turn = || all[first..].iter().chain(&all[..first]).filter(|a| !tried.contains(a));
        in_turn().find(|a| !self.is(**a)).or_else(|| in_turn().next()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{endpoint, service};

    fn number(port: u16) -> BackendPort {
        BackendPort::Number(port)
    }

    #[test]
    fn everybody_has_a_turn_and_turns_go_on_over_changes() {
        let both = service("web", vec![endpoint("10.0.0.1", 8080), endpoint("10.0.0.2", 8080)]);
        let members = Members::new(both.clone(), None);
        let at = |m: &Members| m.at(&number(80)).map(|(all, at)| all[at].to_string()).unwrap();
        assert_eq!([at(&members), at(&members), at(&members)], ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.1:8080"]);
        assert_eq!(at(&Members::new(both, Some(&members))), "10.0.0.2:8080");
        assert_eq!(members.at(&BackendPort::Name("http".into())).unwrap().0.len(), 2);
        assert_eq!(members.at(&number(81)).unwrap_err(), Nobody::Port);
    }

    #[test]
    fn those_that_end_serve_where_nobody_is_ready() {
        let mut ends = endpoint("10.0.0.1", 80);
        (ends.ready, ends.terminating) = (false, true);
        let mut starts = endpoint("10.0.0.2", 80);
        (starts.ready, starts.serving) = (false, false);
        let all = |e: Vec<_>| Members::new(service("web", e), None).all().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(all(vec![ends.clone(), starts.clone()]), ["10.0.0.1:80"]);
        assert_eq!(all(vec![ends, starts.clone(), endpoint("10.0.0.3", 80)]), ["10.0.0.3:80"]);
        let nobody = Members::new(service("web", vec![starts]), None);
        assert_eq!(nobody.at(&number(80)).unwrap_err(), Nobody::Ready);
    }

    #[test]
    fn the_ill_come_last_and_nobody_twice() {
        let all: Vec<SocketAddr> =
            ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].iter().map(|a| a.parse().unwrap()).collect();
        let ill = Ill::default();
        assert_eq!(ill.next(&all, 1, &[]), Some(all[1]));
        ill.note(all[1]);
        assert_eq!(ill.next(&all, 1, &[]), Some(all[2]));
        assert_eq!(ill.next(&all, 1, &[all[2], all[0]]), Some(all[1]), "better than nobody");
        assert_eq!(ill.next(&all, 1, &all), None);
        // After a while one request tries it, the next ones do not.
        let before = Instant::now().checked_sub(ILL).unwrap();
        ill.0.write().unwrap().insert(all[1], before);
        assert_eq!(ill.next(&all, 1, &[]), Some(all[1]));
        assert_eq!(ill.next(&all, 1, &[]), Some(all[2]));
        ill.well(all[1]);
        assert_eq!(ill.next(&all, 1, &[]), Some(all[1]));
    }
}
