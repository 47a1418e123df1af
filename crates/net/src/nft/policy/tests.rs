//! After any row of updates the table judges as one made anew, and as the policies say; a change costs
//! what changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use evenkeel_model::{
    Uid,
    net::{NetworkUpdate, PortProtocol},
    policy::{
        NamedPort, Peer, PodNet, PolicyId, PolicyNet, PolicyPort, PolicyRule, PolicyUpdate, PortMatch, Selection,
    },
};
use proptest::{collection::vec, prelude::*};

use super::{Policies, judge::Flow};
use crate::nft::testkit::{change, full};

/// A kernel's table, as far as policies go: what nft refuses fails here too.
#[derive(Debug, Default)]
struct Kernel {
    sets: BTreeMap<String, BTreeMap<String, String>>,
    chains: BTreeMap<String, Vec<String>>,
}

impl Kernel {
    fn empty() -> Self {
        let maps = ["isolated_in", "isolated_out"].map(|m| (m.to_owned(), BTreeMap::new()));
        Self { sets: maps.into(), chains: BTreeMap::new() }
    }

    fn run(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, rest) = (words[4].to_owned(), words[5..].join(" "));
            match (words[0], words[1]) {
                ("add", "set") => assert!(self.sets.insert(name, BTreeMap::new()).is_none(), "{line}"),
                ("delete", "set") => assert!(self.sets.remove(&name).is_some(), "{line}"),
                ("add", "chain") => assert!(self.chains.insert(name, Vec::new()).is_none(), "{line}"),
                ("flush", "chain") => self.chains.get_mut(&name).expect(line).clear(),
                ("delete", "chain") => assert_eq!(self.chains.remove(&name), Some(Vec::new()), "{line}"),
                ("add", "rule") => self.chains.get_mut(&name).expect(line).push(rest),
                (verb @ ("add" | "delete"), "element") => {
                    let set = self.sets.get_mut(&name).expect(line);
                    for element in rest.trim_matches(|c| "{} ".contains(c)).split(", ") {
                        let (key, value) = element.split_once(" : ").unwrap_or((element, ""));
                        if verb == "add" {
                            assert!(set.insert(key.into(), value.into()).is_none(), "{line}");
                        } else {
                            assert!(set.remove(key).is_some(), "{line}");
                        }
                    }
                }
                _ => panic!("{line}"),
            }
        }
        // Nothing refers to what is not there.
        for target in self.chains.values().flatten().filter_map(|r| r.strip_prefix("jump ")) {
            assert!(self.chains.contains_key(target), "{target}");
        }
        for way in ["isolated_in", "isolated_out"] {
            for target in self.sets[way].values() {
                assert!(self.chains.contains_key(target.strip_prefix("goto ").unwrap()), "{target}");
            }
        }
        for set in self.chains.values().flatten().flat_map(|r| r.split(' ')).filter_map(|w| w.strip_prefix('@')) {
            assert!(self.sets.contains_key(set), "{set}");
        }
    }

    /// What packets are judged by, without the numbers in names.
    fn meaning(&self) -> BTreeMap<(String, String), BTreeSet<BTreeSet<String>>> {
        let mut out = BTreeMap::new();
        for way in ["isolated_in", "isolated_out"] {
            for (address, target) in &self.sets[way] {
                let rules = &self.chains[target.strip_prefix("goto ").unwrap()];
                assert_eq!(rules.last().map(String::as_str), Some("drop"));
                let policies = rules.iter().filter_map(|r| r.strip_prefix("jump ")).map(|chain| {
                    self.chains[chain].iter().map(|rule| self.spelled(rule)).collect::<BTreeSet<String>>()
                });
                out.insert((way.to_owned(), address.clone()), policies.collect());
            }
        }
        out
    }

    fn spelled(&self, rule: &str) -> String {
        let word = |w: &str| w.strip_prefix('@').map_or_else(|| w.to_owned(), |s| format!("{:?}", self.sets[s]));
        rule.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

fn said(policy: PolicyUpdate) -> NetworkUpdate {
    NetworkUpdate { policy, ..change(Vec::new(), Vec::new()) }
}

fn do_it(book: &mut Policies, kernel: &mut Kernel, all: bool) -> usize {
    let Some(plan) = book.plan("t", all) else { return 0 };
    if all {
        *kernel = Kernel::empty();
    }
    kernel.run(&plan.text);
    let cost = plan.elements;
    book.done(plan);
    cost
}

fn id(n: u8) -> PolicyId {
    PolicyId { namespace: "shop".into(), name: n.to_string().into() }
}

fn selection(n: u8) -> Selection {
    format!("shop/app={n}").into()
}

fn address(n: u8) -> Ipv4Addr {
    [10, 42, 1 + n % 2, n].into()
}

/// Pods with even numbers are this node's.
fn pod(n: u8, selections: &[u8], address: Option<Ipv4Addr>, port: u16) -> PodNet {
    PodNet {
        uid: Uid(n.into()),
        node: Some(if n.is_multiple_of(2) { "n1" } else { "n2" }.into()),
        address: address.map(Into::into),
        selections: selections.iter().copied().collect::<BTreeSet<u8>>().into_iter().map(selection).collect(),
        ports: vec![NamedPort { name: "web".into(), protocol: PortProtocol::Tcp, port }],
    }
}

fn rules() -> impl Strategy<Value = Vec<PolicyRule>> {
    let block = (0..3_u8).prop_map(|n| Peer::Block {
        cidr: ["0.0.0.0/0", "10.42.1.0/24", "10.42.2.0/24"][usize::from(n)].parse().unwrap(),
        except: vec!["10.42.1.0/30".parse().unwrap(), "10.42.1.2/32".parse().unwrap()],
    });
    let peer = prop_oneof![(0..4_u8).prop_map(|n| Peer::Pods(selection(n))), block];
    let ports = prop_oneof![
        Just(PortMatch::All),
        (79..83_u16, 0..3_u16).prop_map(|(n, more)| PortMatch::Range(n, n + more)),
        Just(PortMatch::Named("web".into())),
    ];
    let protocol = prop_oneof![Just(PortProtocol::Tcp), Just(PortProtocol::Udp)];
    let port = (protocol, ports).prop_map(|(protocol, ports)| PolicyPort { protocol, ports });
    let rule = (prop::option::of(vec(peer, 0..3)), prop::option::of(vec(port, 1..3)));
    vec(rule.prop_map(|(peers, ports)| PolicyRule { peers, ports }), 0..3)
}

fn policies() -> impl Strategy<Value = PolicyNet> {
    (0..4_u8, 0..4_u8, prop::option::of(rules()), prop::option::of(rules()))
        .prop_map(|(n, of, ingress, egress)| PolicyNet { id: id(n), subjects: selection(of), ingress, egress })
}

#[derive(Debug, Clone)]
enum Step {
    Policy(PolicyNet),
    Gone(u8),
    Pod(PodNet),
    GonePod(u8),
    Given(u8, bool),
    Full,
    Again,
    Apply,
}

fn steps() -> impl Strategy<Value = Step> {
    let pods = (0..6_u8, vec(0..4_u8, 1..3), any::<bool>(), 80..82_u16)
        .prop_map(|(n, selections, has, port)| pod(n, &selections, has.then(|| address(n)), port));
    prop_oneof![
        4 => policies().prop_map(Step::Policy),
        1 => (0..4_u8).prop_map(Step::Gone),
        5 => pods.prop_map(Step::Pod),
        1 => (0..6_u8).prop_map(Step::GonePod),
        3 => (0..6_u8, any::<bool>()).prop_map(|(n, given)| Step::Given(n, given)),
        1 => Just(Step::Full),
        1 => Just(Step::Again),
        4 => Just(Step::Apply),
    ]
}

proptest! {
    #[test]
    fn differences_lead_where_a_full_load_leads(steps in vec(steps(), 1..40)) {
        let (mut book, mut kernel) = (Policies::new("n1".into()), Kernel::empty());
        do_it(&mut book, &mut kernel, true);
        let mut known: BTreeMap<PolicyId, PolicyNet> = BTreeMap::new();
        let mut pods: BTreeMap<Uid, PodNet> = BTreeMap::new();
        let mut given: BTreeMap<Uid, Ipv4Addr> = BTreeMap::new();
        let all = |known: &BTreeMap<PolicyId, PolicyNet>, pods: &BTreeMap<Uid, PodNet>| NetworkUpdate {
            policy: PolicyUpdate {
                policies: known.values().cloned().map(Arc::new).collect(),
                pods: pods.values().cloned().map(Arc::new).collect(),
                ..PolicyUpdate::default()
            },
            ..full(Vec::new())
        };
        for step in steps {
            match step {
                Step::Policy(policy) => {
                    known.insert(policy.id.clone(), policy.clone());
                    book.update(&said(PolicyUpdate { policies: vec![Arc::new(policy)], ..PolicyUpdate::default() }));
                }
                Step::Gone(n) => {
                    known.remove(&id(n));
                    book.update(&said(PolicyUpdate { gone_policies: vec![id(n)], ..PolicyUpdate::default() }));
                }
                Step::Pod(pod) => {
                    pods.insert(pod.uid, pod.clone());
                    book.update(&said(PolicyUpdate { pods: vec![Arc::new(pod)], ..PolicyUpdate::default() }));
                }
                Step::GonePod(n) => {
                    pods.remove(&Uid(n.into()));
                    book.update(&said(PolicyUpdate { gone_pods: vec![Uid(n.into())], ..PolicyUpdate::default() }));
                }
                Step::Given(n, true) => {
                    given.insert(Uid(n.into()), address(n));
                    book.set_address(Uid(n.into()), Some(address(n)));
                }
                Step::Given(n, false) => {
                    given.remove(&Uid(n.into()));
                    book.set_address(Uid(n.into()), None);
                }
                Step::Full => book.update(&all(&known, &pods)),
                Step::Again => drop(do_it(&mut book, &mut kernel, true)),
                Step::Apply => drop(do_it(&mut book, &mut kernel, false)),
            }
        }
        do_it(&mut book, &mut kernel, false);
        prop_assert_eq!(do_it(&mut book, &mut kernel, false), 0, "nothing is left to do");
        let (mut anew, mut other) = (Policies::new("n1".into()), Kernel::empty());
        for (pod, address) in &given {
            anew.set_address(*pod, Some(*address));
        }
        anew.update(&all(&known, &pods));
        do_it(&mut anew, &mut other, true);
        prop_assert_eq!(kernel.meaning(), other.meaning());
        // No set is left that nobody looks at, and none is missing.
        prop_assert_eq!(kernel.sets.len(), other.sets.len());
        prop_assert_eq!(kernel.chains.len(), other.chains.len());
    }
}

fn book(policies: Vec<PolicyNet>, pods: Vec<PodNet>) -> Policies {
    let mut book = Policies::new("n1".into());
    let given: Vec<Uid> = pods.iter().filter(|p| p.node.as_deref() == Some("n1")).map(|p| p.uid).collect();
    for uid in given {
        book.set_address(uid, Some(address(u8::try_from(uid.0).unwrap())));
    }
    book.update(&said(PolicyUpdate {
        policies: policies.into_iter().map(Arc::new).collect(),
        pods: pods.into_iter().map(Arc::new).collect(),
        ..PolicyUpdate::default()
    }));
    book
}

fn rule(peers: Option<Vec<Peer>>, ports: Option<Vec<PolicyPort>>) -> PolicyRule {
    PolicyRule { peers, ports }
}

fn range(first: u16, last: u16) -> PolicyPort {
    PolicyPort { protocol: PortProtocol::Tcp, ports: PortMatch::Range(first, last) }
}

#[test]
fn a_table_says_what_the_policies_say() {
    let block = Peer::Block {
        cidr: "10.0.0.0/8".parse().unwrap(),
        except: vec!["10.1.0.0/16".parse().unwrap(), "10.2.0.0/16".parse().unwrap(), "10.9.9.9/32".parse().unwrap()],
    };
    let named = PolicyPort { protocol: PortProtocol::Udp, ports: PortMatch::Named("web".into()) };
    let policy = PolicyNet {
        id: id(1),
        subjects: selection(1),
        ingress: Some(vec![
            rule(
                Some(vec![Peer::Pods(selection(2)), block]),
                Some(vec![range(80, 85), range(86, 86), range(90, 90), named]),
            ),
            rule(Some(Vec::new()), None),
        ]),
        egress: Some(Vec::new()),
    };
    let mut book = book(vec![policy], vec![pod(2, &[1], None, 80), pod(3, &[2], Some(address(3)), 81)]);
    let plan = book.plan("t", true).unwrap();
    assert_eq!(
        plan.text,
        "add set ip t pods_1 { type ipv4_addr; }\n\
         add set ip t ports_2 { type ipv4_addr . inet_service; }\n\
         add chain ip t from_3\n\
         add chain ip t in_4\n\
         add chain ip t out_5\n\
         add chain ip t to_3\n\
         add element ip t isolated_in { 10.42.1.2 : goto in_4 }\n\
         add element ip t isolated_out { 10.42.1.2 : goto out_5 }\n\
         add element ip t pods_1 { 10.42.2.3 }\n\
         add rule ip t from_3 ip saddr @pods_1 tcp dport { 80-86, 90 } accept\n\
         add rule ip t from_3 ip saddr @pods_1 ip daddr . udp dport @ports_2 accept\n\
         add rule ip t from_3 ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0-10.2.255.255, 10.9.9.9 } tcp dport { 80-86, 90 } accept\n\
         add rule ip t from_3 ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0-10.2.255.255, 10.9.9.9 } ip daddr . udp dport @ports_2 accept\n\
         add rule ip t in_4 jump from_3\n\
         add rule ip t in_4 drop\n\
         add rule ip t out_5 jump to_3\n\
         add rule ip t out_5 drop\n"
    );
    book.done(plan);
    // Whom it isolates has an address before anybody told it, and none when that is free again.
    book.set_address(Uid(2), None);
    let gone = book.plan("t", false).unwrap();
    assert!(gone.text.starts_with("delete element ip t isolated_in { 10.42.1.2 }\n"), "{}", gone.text);
}

#[test]
fn a_pods_change_costs_the_same_among_many() {
    let cost = |count: u8| {
        let policies = (0..count).map(|n| PolicyNet {
            id: id(n),
            subjects: selection(n),
            ingress: Some(vec![rule(Some(vec![Peer::Pods(selection(n))]), None)]),
            egress: None,
        });
        let pods = (0..count).map(|n| pod(n, &[n], Some(address(n)), 80));
        let mut book = book(policies.collect(), pods.collect());
        let plan = book.plan("t", true).unwrap();
        book.done(plan);
        let moved = pod(1, &[1], Some(address(201)), 80);
        book.update(&said(PolicyUpdate { pods: vec![Arc::new(moved.clone())], ..PolicyUpdate::default() }));
        let plan = book.plan("t", false).unwrap();
        assert_eq!(plan.text.lines().count(), 2, "{}", plan.text);
        let elements = plan.elements;
        book.done(plan);
        // Said again, it is nothing new.
        book.update(&said(PolicyUpdate { pods: vec![Arc::new(moved)], ..PolicyUpdate::default() }));
        assert!(book.plan("t", false).is_none());
        elements
    };
    assert_eq!((cost(2), cost(200)), (2, 2));
}

#[test]
fn a_connection_is_judged_as_its_packets_are() {
    let only = |peers, ports| Some(vec![rule(peers, ports)]);
    let web = PolicyPort { protocol: PortProtocol::Tcp, ports: PortMatch::Named("web".into()) };
    let block = Peer::Block { cidr: "192.0.2.0/24".parse().unwrap(), except: vec!["192.0.2.128/25".parse().unwrap()] };
    let policies = vec![
        PolicyNet {
            id: id(1),
            subjects: selection(1),
            ingress: only(Some(vec![Peer::Pods(selection(2)), block]), Some(vec![web])),
            egress: None,
        },
        PolicyNet { id: id(2), subjects: selection(2), ingress: None, egress: only(None, Some(vec![range(80, 90)])) },
    ];
    let pods = vec![pod(2, &[1], None, 80), pod(4, &[2], None, 80), pod(3, &[2], Some(address(3)), 80)];
    let book = book(policies, pods);
    let (two, three, four) = (address(2), address(3), address(4));
    let outside = |n: u8| Ipv4Addr::from([192, 0, 2, n]);
    for (from, to, port, allowed) in [
        (four, two, 80, true),
        (four, two, 81, false),
        (four, outside(1), 90, true),
        (four, outside(1), 91, false),
        (three, two, 80, true),
        (three, outside(1), 9000, true), // Its own node judges it.
        (outside(1), two, 80, true),
        (outside(200), two, 80, false),
        (two, outside(1), 9000, true),
        (two, two, 9000, true),
    ] {
        let flow = Flow { from, to, port, protocol: PortProtocol::Tcp };
        assert_eq!(book.allows(flow), allowed, "{flow:?}");
    }
    assert!(!book.is_idle() && Policies::new("n1".into()).is_idle());
}
