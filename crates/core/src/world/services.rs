//! Services by what is asked of them with each change: which of them select a pod, who has which
//! address and port of the nodes, which slices are whose.
//!
//! Kept with each write, so that a pod's change costs a look at the few Services whose selector may
//! fit, however many there are. Deliberately not here: giving out addresses (`service`).

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};
use core::net::IpAddr;

use evenkeel_model::{Key, Kind, Labels, Object};
use imbl::{OrdMap, OrdSet};
use serde::Deserialize;

use crate::change::Changed;

/// Label of a slice: the Service whose it is.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is kept of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRecord {
    /// `spec.selector`; empty where its endpoints are made by hand.
    pub selector: BTreeMap<String, String>,
    /// Its addresses in the cluster.
    pub addresses: Vec<IpAddr>,
    /// Ports of the nodes that are its own.
    pub node_ports: Vec<u16>,
}

/// All Services.
#[derive(Debug, Clone, Default)]
pub struct Services {
    records: OrdMap<Key, Arc<ServiceRecord>>,
    /// By namespace and one pair of the selector: a pod without that label is not selected.
    by_label: OrdMap<(Arc<str>, String, String), OrdSet<Key>>,
    /// The pair under which a Service stands.
    filed: OrdMap<Key, (String, String)>,
    by_address: OrdMap<IpAddr, Key>,
    by_node_port: OrdMap<u16, Key>,
    slices: OrdMap<Key, OrdSet<Key>>,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    selector: Option<BTreeMap<String, String>>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    ports: Vec<Port>,
    health_check_node_port: Option<u16>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    node_port: Option<u16>,
}

impl Services {
    /// A Service's record.
    pub fn get(&self, key: &Key) -> Option<&ServiceRecord> {
        self.records.get(key).map(|r| &**r)
    }

    /// Keys of the Services that select a pod with these labels.
    pub fn selecting<'a>(&'a self, namespace: &'a Arc<str>, labels: &'a Labels) -> impl Iterator<Item = &'a Key> + 'a {
        labels
            .iter()
            .filter_map(move |(k, v)| self.by_label.get(&(namespace.clone(), k.clone(), v.clone())))
            .flatten()
            .filter(move |key| {
                let selector = self.records.get(*key).map(|r| &r.selector);
                selector.is_some_and(|s| s.iter().all(|(k, v)| labels.get(k) == Some(v)))
            })
    }

    /// Every address that a Service has, in order.
    pub fn addresses(&self) -> impl Iterator<Item = (&IpAddr, &Key)> {
        self.by_address.iter()
    }

    /// The addresses that are taken from one on, in order.
    pub fn addresses_from(&self, first: IpAddr) -> impl Iterator<Item = &IpAddr> {
        self.by_address.range(first..).map(|(ip, _)| ip)
    }

    /// Whose an address is.
    pub fn of_address(&self, address: &IpAddr) -> Option<&Key> {
        self.by_address.get(address)
    }

    /// Whose a port of the nodes is.
    pub fn of_node_port(&self, port: u16) -> Option<&Key> {
        self.by_node_port.get(&port)
    }

    /// The ports of the nodes that are taken from one on, in order.
    pub fn node_ports_from(&self, first: u16) -> impl Iterator<Item = &u16> {
        self.by_node_port.range(first..).map(|(port, _)| port)
    }

    /// Keys of a Service's slices.
    pub fn slices(&self, service: &Key) -> impl Iterator<Item = &Key> {
        self.slices.get(service).into_iter().flatten()
    }

    /// The Service whose a slice is, by its label.
    pub fn of_slice(slice: &Object) -> Option<Key> {
        slice.meta.labels.get(SERVICE_NAME).map(|name| slice.key.sibling(Kind::Service, name.as_str()))
    }

    /// Follows a slice's object.
    pub(super) fn slice_changed(&mut self, changed: &Changed) {
        let (old, new) = (changed.old.as_deref(), changed.new.as_deref());
        let (old, new) = (old.and_then(Self::of_slice), new.and_then(Self::of_slice));
        if old == new {
            return;
        }
        if let Some(old) = old {
            drop_from(&mut self.slices, &old, &changed.key);
        }
        if let Some(new) = new {
            self.slices.entry(new).or_default().insert(changed.key.clone());
        }
    }

    /// Follows a Service's object.
    pub(super) fn update(&mut self, changed: &Changed) {
        let record = changed.new.as_deref().map(read);
        if record.as_ref() == self.records.get(&changed.key).map(|r| &**r) {
            return;
        }
        let key = &changed.key;
        if let Some(old) = self.records.remove(key) {
            if let Some((k, v)) = self.filed.remove(key) {
                drop_from(&mut self.by_label, &(key.namespace.clone(), k, v), key);
            }
            for address in &old.addresses {
                if self.by_address.get(address) == Some(key) {
                    self.by_address.remove(address);
                }
            }
            for port in &old.node_ports {
                if self.by_node_port.get(port) == Some(key) {
                    self.by_node_port.remove(port);
                }
            }
        }
        let Some(record) = record else { return };
        for address in &record.addresses {
            self.by_address.insert(*address, key.clone());
        }
        for port in &record.node_ports {
            self.by_node_port.insert(*port, key.clone());
        }
        // Under the pair that fewest others stand under: of `part-of: shop` and `app: cart` the second.
        let at = |(k, v): &(&String, &String)| (key.namespace.clone(), (*k).clone(), (*v).clone());
        let size = |pair: &(&String, &String)| self.by_label.get(&at(pair)).map_or(0, OrdSet::len);
        if let Some(pair) = record.selector.iter().min_by_key(size) {
            self.by_label.entry(at(&pair)).or_default().insert(key.clone());
            self.filed.insert(key.clone(), (pair.0.clone(), pair.1.clone()));
        }
        self.records.insert(key.clone(), Arc::new(record));
    }
}

fn read(object: &Object) -> ServiceRecord {
    // What cannot be read (it was checked when it came in) has nothing.
    let Body { spec } = serde_json::from_slice(&object.body).unwrap_or_default();
    let named = spec.cluster_ip.into_iter().chain(spec.cluster_ips);
    let mut addresses: Vec<IpAddr> = named.filter_map(|text| text.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let ports = spec.ports.iter().filter_map(|p| p.node_port).chain(spec.health_check_node_port);
    let mut node_ports: Vec<u16> = ports.filter(|p| *p != 0).collect();
    node_ports.sort_unstable();
    node_ports.dedup();
    let external = spec.kind.as_deref() == Some("ExternalName");
    let selector = spec.selector.filter(|_| !external).unwrap_or_default();
    ServiceRecord { selector, addresses, node_ports }
}

fn drop_from<K: Ord + Clone>(index: &mut OrdMap<K, OrdSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = index.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            index.remove(at);
        }
    }
}
