//! What the node is and has: the agent's `NodeReport`, from what the engine and the machine say.
//! Called by the engine's follower when the engine comes or goes, and on its interval.
//!
//! Measuring is in `machine`, what follows from the numbers in `logic::capacity` and
//! `logic::pressure`.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use evenkeel_model::net::BalancedPorts;
use evenkeel_runtime::EngineInfo;
use evenkeel_wire::{NodeReport, NodeTaint};
use serde_json::json;

use super::{
    machine::{Limits, Machine, disk_bytes},
    platform::own_arch,
};
use crate::logic::capacity::{self, Reserved};

/// Pods that a node takes, as the kubelet's default.
pub const DEFAULT_MAX_PODS: u32 = 110;
/// The Kubernetes version whose node the agent is.
const KUBELET_VERSION: &str = concat!("v1.36.0+evenkeel.", env!("CARGO_PKG_VERSION"));

/// Settings of the node that come from flags.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// The node's name.
    pub name: String,
    /// Labels beside the well-known ones.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<NodeTaint>,
    /// The node's address.
    pub ip: Option<IpAddr>,
    /// How many pods it takes.
    pub max_pods: u32,
    /// What is kept back from pods for the rest of the machine.
    pub reserved: Reserved,
}

/// The node as it is now. `engine` is what the engine last said, `down` why it does not answer,
/// `pressures` the conditions that hold.
pub(super) fn report(
    settings: &NodeSettings,
    engine: Option<&EngineInfo>,
    down: Option<&str>,
    limits: &Limits,
    pressures: Vec<String>,
) -> NodeReport {
    let machine = has(settings, engine, limits);
    let mut addresses = Vec::new();
    if let Some(ip) = settings.ip {
        addresses.push(("InternalIP".to_owned(), ip.to_string()));
    }
    addresses.push(("Hostname".to_owned(), settings.name.clone()));
    NodeReport {
        capacity: machine.capacity(),
        allocatable: machine.allocatable(&settings.reserved),
        labels: labels(settings, engine),
        taints: settings.taints.clone(),
        node_info: node_info(engine),
        addresses,
        not_ready: down.map(str::to_owned),
        pressures,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // What the logic keeps: the machine does not know of it.
        pod_cidr: None,
        engine_network: None,
        balanced: BalancedPorts::default(),
        troubles: Vec::new(),
    }
}

/// Says what is reserved beyond what the machine has.
pub(super) fn overdrawn(settings: &NodeSettings) -> Option<String> {
    has(settings, None, &Machine::default().limits()).overdrawn(&settings.reserved)
}

/// What pods could have of the machine at most.
fn has(settings: &NodeSettings, engine: Option<&EngineInfo>, limits: &Limits) -> capacity::Machine {
    let memory = engine
        .map(|e| e.memory_bytes)
        .filter(|n| *n > 0)
        .or_else(|| Machine::default().memory().map(|m| m.all))
        .unwrap_or(0);
    let cpus = engine.map(|e| u64::from(e.cpus)).filter(|n| *n > 0).unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(u64::MAX))
    });
    let cpu_milli = cpus.saturating_mul(1000);
    capacity::Machine {
        cpu_milli: limits.cpu_milli.map_or(cpu_milli, |limit| limit.min(cpu_milli)),
        memory: limits.memory.map_or(memory, |limit| limit.all.min(memory)),
        storage: disk_bytes(engine_dir(engine)).unwrap_or(0),
        pods: settings.max_pods,
    }
}

/// Where containers write: the engine's folder, where this process sees it.
pub(super) fn engine_dir(engine: Option<&EngineInfo>) -> &Path {
    engine.map(|e| e.root_dir.as_path()).filter(|p| p.exists()).unwrap_or(Path::new("/"))
}

fn arch(engine: Option<&EngineInfo>) -> String {
    match engine.map(|e| e.arch.as_str()).filter(|a| !a.is_empty()) {
        Some(arch) => arch.to_owned(),
        None => own_arch().to_owned(),
    }
}

fn labels(settings: &NodeSettings, engine: Option<&EngineInfo>) -> BTreeMap<String, String> {
    let mut labels = settings.labels.clone();
    labels.insert("kubernetes.io/hostname".into(), settings.name.clone());
    labels.insert("kubernetes.io/os".into(), "linux".into());
    labels.insert("kubernetes.io/arch".into(), arch(engine));
    labels
}

fn node_info(engine: Option<&EngineInfo>) -> serde_json::Value {
    let file = |path: &str| fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
    let release = file("/etc/os-release");
    let os_image = release
        .lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .or_else(|| engine.map(|e| e.os_image.clone()))
        .unwrap_or_default();
    let first = |paths: &[&str]| paths.iter().map(|path| file(path)).find(|text| !text.is_empty()).unwrap_or_default();
    let machine = first(&["/etc/machine-id", "/var/lib/dbus/machine-id"]);
    // As the kubelet reads it: from the firmware, which root alone may ask, else the machine's id.
    let system = first(&["/sys/class/dmi/id/product_uuid", "/proc/device-tree/vm,uuid"]);
    let system = if system.is_empty() { machine.clone() } else { system.trim_matches('\0').to_owned() };
    json!({
        "machineID": machine,
        "systemUUID": system,
        "bootID": file("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": file("/proc/sys/kernel/osrelease"),
        "osImage": os_image,
        "containerRuntimeVersion": engine.map(|e| format!("{}://{}", e.name, e.version)).unwrap_or_default(),
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": arch(engine),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::pressure::Gauge;

    #[test]
    fn a_node_reports_itself_with_and_without_its_engine() {
        let settings = NodeSettings {
            name: "n1".into(),
            labels: BTreeMap::from([("disk".into(), "fast".into())]),
            taints: Vec::new(),
            ip: Some(IpAddr::from([10, 0, 0, 1])),
            max_pods: DEFAULT_MAX_PODS,
            reserved: Reserved::default(),
        };
        let none = Limits::default();
        let alone = report(&settings, None, Some("no socket"), &none, Vec::new());
        assert_eq!(alone.not_ready.as_deref(), Some("no socket"));
        assert_eq!(alone.capacity["pods"], "110");
        assert!(alone.capacity["memory"].parse::<evenkeel_model::Quantity>().unwrap().units() > 1 << 20);
        assert_eq!((alone.labels["disk"].as_str(), alone.labels["kubernetes.io/hostname"].as_str()), ("fast", "n1"));
        let engine = EngineInfo {
            name: "docker".into(),
            version: "20.10.24".into(),
            cpus: 3,
            memory_bytes: 1 << 30,
            arch: "arm64".into(),
            ..EngineInfo::default()
        };
        let with = report(&settings, Some(&engine), None, &none, vec!["PIDPressure".into()]);
        assert_eq!((with.capacity["cpu"].as_str(), with.capacity["memory"].as_str()), ("3", "1048576Ki"));
        assert_eq!(with.allocatable["memory"], format!("{}Ki", (1 << 20) - 100 * 1024));
        assert_eq!(with.node_info["containerRuntimeVersion"], "docker://20.10.24");
        assert_eq!(with.labels["kubernetes.io/arch"], "arm64");
        assert_eq!(with.addresses, [("InternalIP".into(), "10.0.0.1".into()), ("Hostname".into(), "n1".into())]);
        assert_eq!((with.pressures, with.not_ready), (vec!["PIDPressure".to_owned()], None));
        for field in ["machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "kubeletVersion"] {
            assert!(with.node_info[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
        }
    }

    #[test]
    fn limits_of_the_agents_slice_and_the_reserve_count() {
        let settings = NodeSettings {
            name: "n1".into(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            ip: None,
            max_pods: 5,
            reserved: "cpu=250m,memory=1Gi".parse().unwrap(),
        };
        let engine = EngineInfo { cpus: 8, memory_bytes: 16 << 30, ..EngineInfo::default() };
        let all = Gauge { free: 1, all: 4 << 30 };
        let limits = Limits { cpu_milli: Some(1500), memory: Some(all) };
        let report = report(&settings, Some(&engine), None, &limits, Vec::new());
        assert_eq!((report.capacity["cpu"].as_str(), report.capacity["memory"].as_str()), ("1500m", "4194304Ki"));
        assert_eq!(report.allocatable["cpu"], "1250m");
        assert_eq!(report.allocatable["memory"], format!("{}Ki", (3 << 20) - 100 * 1024));
        let beyond = NodeSettings { reserved: "memory=1Pi".parse().unwrap(), ..settings };
        assert!(overdrawn(&beyond).unwrap().starts_with("--system-reserved keeps back memory"));
    }
}
