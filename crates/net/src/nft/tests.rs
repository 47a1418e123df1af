//! What a table holds after any row of updates is what it would hold if it were made anew; a change
//! costs what changed.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::net::{PortProtocol, ServiceId, ServiceNet};
use proptest::{collection::vec, prelude::*};

use super::{
    book::{Book, HostPort},
    element::Key,
    model::Maps,
    table::Place,
    testkit::{change, endpoint, full, service},
};

fn book() -> Book {
    Book::new("evenkeel_test".into(), "n1".into())
}

fn do_it(book: &mut Book, kernel: &mut Maps) -> usize {
    let Some(plan) = book.plan() else { return 0 };
    kernel.run(&plan).unwrap();
    let cost = plan.added.len() + plan.deleted.len();
    book.done(plan);
    cost
}

#[derive(Debug, Clone)]
enum Step {
    Service(Box<ServiceNet>),
    Gone(u16),
    Pod(u8, Vec<HostPort>),
    Full(Vec<ServiceNet>),
    Cidr(u8),
    Apply,
}

fn services() -> impl Strategy<Value = ServiceNet> {
    let endpoints = vec((0..4_u8, 0..6_u8, any::<[bool; 3]>()), 0..5);
    // Few of each, so that they meet: the same address of two Services, the same node port.
    let shape = (0..5_u16, 0..3_u16, any::<[bool; 4]>(), prop::option::of(1..3_u32));
    (shape, endpoints, vec(0..3_u8, 0..3)).prop_map(|((name, port, flags, affinity), endpoints, external)| {
        let mut s = service(&name.to_string(), name);
        [s.internal_local, s.external_local, s.publish_not_ready, _] = flags;
        s.affinity_seconds = affinity;
        s.ports[0].port = 80 + port;
        s.ports[0].node_port = flags[3].then_some(30000 + port);
        if name % 2 == 1 {
            s.ports[0].protocol = PortProtocol::Udp;
        }
        s.external_ips = external.iter().map(|n| [192, 0, 2, *n].into()).collect();
        s.endpoints = endpoints
            .into_iter()
            .map(|(net, host, [ready, serving, terminating])| {
                // One in four lies outside of the cluster.
                let address = if net == 3 { format!("198.51.100.{host}") } else { format!("10.42.{net}.{host}") };
                let mut e = endpoint(&address, &format!("n{net}"));
                (e.ready, e.serving, e.terminating) = (ready, serving, terminating);
                e
            })
            .collect();
        s
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let port = (0..3_u16, 0..3_u8).prop_map(|(n, host)| HostPort {
        host_address: (n == 2).then(|| [192, 0, 2, 1].into()),
        host_port: 30000 + n,
        protocol: PortProtocol::Tcp,
        address: [10, 42, 1, 100 + host].into(),
        port: 80,
    });
    prop_oneof![
        6 => services().prop_map(|s| Step::Service(Box::new(s))),
        2 => (0..5_u16).prop_map(Step::Gone),
        2 => (0..3_u8, vec(port, 0..3)).prop_map(|(pod, ports)| Step::Pod(pod, ports)),
        1 => vec(services(), 0..3).prop_map(Step::Full),
        1 => (0..3_u8).prop_map(Step::Cidr),
        4 => Just(Step::Apply),
    ]
}

proptest! {
    #[test]
    fn differences_lead_where_a_full_load_leads(steps in vec(steps(), 1..40)) {
        let (mut book, mut kernel) = (book(), Maps::default());
        book.update(&full(Vec::new()));
        let mut known: BTreeMap<ServiceId, ServiceNet> = BTreeMap::new();
        let mut pods: BTreeMap<u8, Vec<HostPort>> = BTreeMap::new();
        let mut cidr = "10.42.1.0/24".to_string();
        for step in steps {
            match step {
                Step::Service(s) => {
                    let s = *s;
                    known.insert(s.id.clone(), s.clone());
                    book.update(&change(vec![s], Vec::new()));
                }
                Step::Gone(n) => {
                    let id = service(&n.to_string(), n).id;
                    known.remove(&id);
                    book.update(&change(Vec::new(), vec![id]));
                }
                Step::Pod(pod, ports) => {
                    book.host_ports(&Arc::from(pod.to_string()), &ports);
                    pods.insert(pod, ports);
                }
                Step::Full(services) => {
                    known = services.iter().map(|s| (s.id.clone(), s.clone())).collect();
                    let mut update = full(known.values().cloned().collect());
                    update.nodes[0].pod_cidr = Some(cidr.parse().unwrap());
                    book.update(&update);
                }
                Step::Cidr(n) => {
                    cidr = format!("10.42.{n}.0/24");
                    let mut update = change(Vec::new(), Vec::new());
                    update.nodes = full(Vec::new()).nodes;
                    update.nodes[0].pod_cidr = Some(cidr.parse().unwrap());
                    book.update(&update);
                }
                Step::Apply => {
                    do_it(&mut book, &mut kernel);
                }
            }
        }
        do_it(&mut book, &mut kernel);
        prop_assert_eq!(do_it(&mut book, &mut kernel), 0, "nothing is left to do");

        let (mut anew, mut other) = (self::book(), Maps::default());
        let mut update = full(known.values().cloned().collect());
        update.nodes[0].pod_cidr = Some(cidr.parse().unwrap());
        anew.update(&update);
        for (pod, ports) in &pods {
            anew.host_ports(&Arc::from(pod.to_string()), ports);
        }
        do_it(&mut anew, &mut other);
        for key in book.idle() {
            prop_assert!(matches!(key, Key::Hairpin(_) | Key::Outside(..)));
            prop_assert!(kernel.0.remove(&key).is_some() && !other.0.contains_key(&key));
        }
        prop_assert_eq!(kernel, other);
    }
}

#[test]
fn one_change_costs_the_same_among_many() {
    let cost = |count: u16| {
        let mut all: Vec<ServiceNet> = (1..=count).map(|n| service(&n.to_string(), n)).collect();
        for s in &mut all {
            s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.2.2", "n2")];
        }
        let (mut book, mut kernel) = (book(), Maps::default());
        book.update(&full(all.clone()));
        do_it(&mut book, &mut kernel);
        let mut one = all[0].clone();
        one.endpoints[1] = endpoint("10.42.2.9", "n2");
        book.update(&change(vec![one.clone()], Vec::new()));
        let text = book.text(&book.plan().unwrap(), Place::default());
        let elements = do_it(&mut book, &mut kernel);
        // Said again, it is nothing new.
        book.update(&change(vec![one], Vec::new()));
        assert!(book.plan().is_none());
        (elements, text)
    };
    let (elements, text) = cost(2);
    assert_eq!(elements, 2);
    assert_eq!(
        text,
        "delete element ip evenkeel_test backends { 10.43.0.1 . tcp . 80 . 1 }\n\
         add element ip evenkeel_test backends { 10.43.0.1 . tcp . 80 . 1 : 10.42.2.9 . 8080 }\n"
    );
    assert_eq!(cost(2000), (elements, text));
}

#[test]
fn pickers_are_made_with_room_and_beyond_it_the_table_is_made_again() {
    let (mut book, mut kernel) = (book(), Maps::default());
    book.update(&full(Vec::new()));
    let text = book.text(&book.plan().unwrap(), Place::default());
    assert_eq!(text.matches("add chain ip evenkeel_test address_").count(), 32);
    assert_eq!(text.matches("add chain ip evenkeel_test node_").count(), 32);
    do_it(&mut book, &mut kernel);
    let mut s = service("web", 1);
    for n in 1..=70_u8 {
        s.endpoints.push(endpoint(&format!("10.42.1.{n}"), "n1"));
        book.update(&change(vec![s.clone()], Vec::new()));
        let plan = book.plan().unwrap();
        assert_eq!(plan.full, n == 33 || n == 65, "{n}");
        assert_eq!(book.text(&plan, Place::default()).contains("add chain"), plan.full);
        do_it(&mut book, &mut kernel);
    }
    s.affinity_seconds = Some(10800);
    book.update(&change(vec![s.clone()], Vec::new()));
    assert!(
        book.text(&book.plan().unwrap(), Place::default()).contains("add chain ip evenkeel_test address_70_10800s\n")
    );
}

#[test]
fn flows_end_where_somebody_left_and_for_udp_alone() {
    let (mut book, mut kernel) = (book(), Maps::default());
    let mut s = service("dns", 1);
    s.endpoints = vec![endpoint("10.42.1.2", "n1")];
    s.ports[0].protocol = PortProtocol::Udp;
    book.update(&full(vec![s.clone()]));
    do_it(&mut book, &mut kernel);
    s.endpoints.push(endpoint("10.42.1.3", "n1"));
    book.update(&change(vec![s.clone()], Vec::new()));
    assert!(book.plan().unwrap().cut.is_empty(), "one came");
    do_it(&mut book, &mut kernel);
    s.endpoints.remove(0);
    book.update(&change(vec![s.clone()], Vec::new()));
    assert_eq!(book.plan().unwrap().cut.len(), 1);
    do_it(&mut book, &mut kernel);
    book.update(&change(Vec::new(), vec![s.id]));
    assert_eq!(book.plan().unwrap().cut.len(), 1);
}

#[test]
fn nothing_is_done_before_the_settings_are_known() {
    let mut book = book();
    book.update(&change(vec![service("web", 1)], Vec::new()));
    book.host_ports(&Arc::from("p"), &[]);
    assert!(book.plan().is_none());
}
