//! The zone over time: what changes by parts equals what is told at once.

use std::collections::BTreeMap;

use evenkeel_model::net::{Endpoint, ServiceId, ServiceNet};
use proptest::prelude::*;

use super::{
    super::testkit::{NODE, endpoint, id, ip, not_ready, service, some_services, some_zone, update},
    Meaning, Place, Zone,
};

fn meaning(zone: &Zone, name: &str) -> Meaning {
    match zone.read(&name.split('.').collect::<Vec<_>>()) {
        Place::Here { meaning, .. } => meaning,
        Place::Elsewhere => panic!("{name} is ours"),
    }
}

#[test]
fn nothing_is_known_before_a_full_update() {
    assert_eq!(Zone::updated(None, NODE, &update(false, some_services(), &[])), None);
}

#[test]
fn a_full_update_takes_away_what_it_does_not_name() {
    let next =
        Zone::updated(Some(&some_zone()), NODE, &update(true, vec![service("a.b", &["10.43.0.9"])], &[])).unwrap();
    assert_eq!(meaning(&next, "web.shop.svc.cluster.local"), Meaning::Missing);
    assert_eq!(meaning(&next, "20.0.43.10.in-addr.arpa"), Meaning::Missing);
    assert_eq!(next.services.len(), 1);
    assert_eq!(next.pointers.len(), 1);
}

#[test]
fn an_address_changes_hands_and_both_directions_follow() {
    let changed = vec![service("web.shop", &["10.43.0.99"]), service("new.shop", &["10.43.0.20"])];
    let next = Zone::updated(Some(&some_zone()), NODE, &update(false, changed, &["mail.shop"])).unwrap();
    assert_eq!(meaning(&next, "web.shop.svc.cluster.local"), Meaning::Addresses(vec![ip("10.43.0.99")]));
    let names = Meaning::Pointers(vec!["new.shop.svc.cluster.local".into()]);
    assert_eq!(meaning(&next, "20.0.43.10.in-addr.arpa"), names);
    assert_eq!(meaning(&next, "mail.shop.svc.cluster.local"), Meaning::Missing);
}

#[test]
fn another_domain_is_taken_with_all_services() {
    let mut moved = update(false, Vec::new(), &[]);
    let with = evenkeel_model::net::NetworkSettings { domain: "Prod.Example.org".into(), ..Default::default() };
    moved.settings = Some(with);
    let next = Zone::updated(Some(&some_zone()), NODE, &moved).unwrap();
    assert_eq!(meaning(&next, "web.shop.svc.prod.example.org"), Meaning::Addresses(vec![ip("10.43.0.20")]));
    assert_eq!(next.read(&["web", "shop", "svc", "cluster", "local"]), Place::Elsewhere);
}

#[test]
fn only_this_node_is_served() {
    let zone = some_zone();
    for (client, served) in [
        ("127.0.0.1", true),
        ("10.43.0.10", true),
        ("192.0.2.7", true),
        ("10.42.1.77", true),
        ("10.42.2.77", false),
        ("192.0.2.8", false),
        ("8.8.8.8", false),
    ] {
        assert_eq!(zone.serves(ip(client)), served, "{client}");
    }
}

/// A change of one Service; `None` takes it away.
type Change = (String, Option<ServiceNet>);

fn some_endpoint() -> impl Strategy<Value = Endpoint> {
    (0_u8..6, any::<bool>(), any::<bool>()).prop_map(|(n, ready, named)| {
        let (address, host) = (format!("10.42.0.{n}"), format!("h{n}"));
        let host = named.then_some(host.as_str());
        if ready { endpoint(&address, host) } else { not_ready(&address, host) }
    })
}

fn some_change() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![Just(None), (0_u8..4).prop_map(Some)];
    (0_u8..4, 0_u8..2, kind, prop::collection::vec(some_endpoint(), 0..4), any::<bool>()).prop_map(
        |(name, namespace, kind, endpoints, publish_not_ready)| {
            let name = format!("s{name}.n{namespace}");
            let made = kind.map(|kind| {
                let made = match kind {
                    0 => service(&name, &[]),
                    1 => ServiceNet { external_name: Some("example.org".into()), ..service(&name, &[]) },
                    n => service(&name, &[&format!("10.43.0.{n}")]),
                };
                ServiceNet { endpoints, publish_not_ready, ..made }
            });
            (name, made)
        },
    )
}

proptest! {
    #[test]
    fn parts_add_up_to_the_whole(changes in prop::collection::vec(some_change(), 0..40)) {
        let mut zone = Zone::updated(None, NODE, &update(true, Vec::new(), &[])).unwrap();
        let mut world: BTreeMap<ServiceId, ServiceNet> = BTreeMap::new();
        for (name, change) in changes {
            let part = if let Some(made) = change {
                world.insert(made.id.clone(), made.clone());
                update(false, vec![made], &[])
            } else {
                world.remove(&id(&name));
                update(false, Vec::new(), &[&name])
            };
            zone = Zone::updated(Some(&zone), NODE, &part).unwrap();
            let whole = update(true, world.values().cloned().collect(), &[]);
            prop_assert_eq!(&zone, &Zone::updated(None, NODE, &whole).unwrap());
        }
    }
}
