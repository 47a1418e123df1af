//! What the node is and has: the agent's `NodeReport`. Reads `/proc`, `/etc` and the disk; called
//! by the driver when the engine comes, and now and then for the pressures.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use evenkeel_runtime::EngineInfo;
use evenkeel_wire::{NodeReport, NodeTaint};
use serde_json::json;

/// Pods that a node takes, as the kubelet's default.
pub const DEFAULT_MAX_PODS: u32 = 110;
/// Memory kept back from pods, and the mark of `MemoryPressure`: the kubelet's default.
const MEMORY_RESERVE: u64 = 100 << 20;
/// `DiskPressure` below this share of free disk, in percent: soon after, writes fail.
const DISK_PRESSURE_PERCENT: u64 = 5;
/// `PIDPressure` above this share of the kernel's process ids, in percent.
const PID_PRESSURE_PERCENT: u64 = 90;
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
}

/// The node as it is now. `engine` is what the engine last said; `down` why it does not answer.
pub(super) fn report(settings: &NodeSettings, engine: Option<&EngineInfo>, down: Option<&str>) -> NodeReport {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = engine
        .map(|e| e.memory_bytes)
        .filter(|n| *n > 0)
        .or_else(|| kib(&meminfo, "MemTotal").map(|k| k * 1024))
        .unwrap_or(0);
    let cpus = engine
        .map(|e| e.cpus as usize)
        .filter(|n| *n > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let disk_dir = engine.map(|e| e.root_dir.as_path()).filter(|p| p.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(disk_dir).ok();
    let disk_bytes = disk.as_ref().map_or(0, |d| d.f_blocks.saturating_mul(d.f_frsize));
    let resources = |memory: u64, disk: u64| {
        BTreeMap::from([
            ("cpu".to_owned(), cpus.to_string()),
            ("memory".to_owned(), format!("{}Ki", memory / 1024)),
            ("pods".to_owned(), settings.max_pods.to_string()),
            ("ephemeral-storage".to_owned(), format!("{}Ki", disk / 1024)),
        ])
    };
    let mut pressures = Vec::new();
    if kib(&meminfo, "MemAvailable").is_some_and(|k| k * 1024 < MEMORY_RESERVE) {
        pressures.push("MemoryPressure".to_owned());
    }
    if disk.is_some_and(|d| d.f_bavail.saturating_mul(100) < d.f_blocks.saturating_mul(DISK_PRESSURE_PERCENT)) {
        pressures.push("DiskPressure".to_owned());
    }
    if pid_pressure() {
        pressures.push("PIDPressure".to_owned());
    }
    let mut addresses = Vec::new();
    if let Some(ip) = settings.ip {
        addresses.push(("InternalIP".to_owned(), ip.to_string()));
    }
    addresses.push(("Hostname".to_owned(), settings.name.clone()));
    NodeReport {
        capacity: resources(memory, disk_bytes),
        allocatable: resources(memory.saturating_sub(MEMORY_RESERVE), disk_bytes / 10 * 9),
        labels: labels(settings, engine),
        taints: settings.taints.clone(),
        node_info: node_info(engine),
        addresses,
        not_ready: down.map(str::to_owned),
        pressures,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn arch(engine: Option<&EngineInfo>) -> String {
    match engine.map(|e| e.arch.as_str()).filter(|a| !a.is_empty()) {
        Some(arch) => arch.to_owned(),
        None => match std::env::consts::ARCH {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        },
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
    let machine = file("/etc/machine-id");
    json!({
        "machineID": machine,
        "systemUUID": machine,
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

/// A line of `/proc/meminfo`.
fn kib(meminfo: &str, field: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn pid_pressure() -> bool {
    let number = |text: String| text.trim().parse::<u64>().ok();
    let max = fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(number);
    let running = fs::read_to_string("/proc/loadavg").ok().and_then(|text| {
        let tasks = text.split_whitespace().nth(3)?.split_once('/')?.1.to_owned();
        number(tasks)
    });
    matches!((max, running), (Some(max), Some(running)) if running * 100 > max * PID_PRESSURE_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_reports_itself_with_and_without_its_engine() {
        let settings = NodeSettings {
            name: "n1".into(),
            labels: BTreeMap::from([("disk".into(), "fast".into())]),
            taints: Vec::new(),
            ip: Some(IpAddr::from([10, 0, 0, 1])),
            max_pods: DEFAULT_MAX_PODS,
        };
        let alone = report(&settings, None, Some("no socket"));
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
        let with = report(&settings, Some(&engine), None);
        assert_eq!((with.capacity["cpu"].as_str(), with.capacity["memory"].as_str()), ("3", "1048576Ki"));
        assert_eq!(with.allocatable["memory"], format!("{}Ki", (1 << 20) - 100 * 1024));
        assert_eq!(with.node_info["containerRuntimeVersion"], "docker://20.10.24");
        assert_eq!(with.labels["kubernetes.io/arch"], "arm64");
        assert_eq!(with.addresses, [("InternalIP".into(), "10.0.0.1".into()), ("Hostname".into(), "n1".into())]);
    }

    #[test]
    fn meminfo_lines() {
        let text = "MemTotal:       24689880 kB\nMemAvailable:   1 kB\n";
        assert_eq!(
            (kib(text, "MemTotal"), kib(text, "MemAvailable"), kib(text, "Mem")),
            (Some(24_689_880), Some(1), None)
        );
    }
}
