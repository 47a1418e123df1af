//! From a Pod in Kubernetes' form to what the runtime makes: container and sandbox specifications,
//! resources, privileges, and the hash of what a container is made of.

use std::{collections::BTreeMap, net::IpAddr};

use evenkeel_model::{Digest, Quantity, canonical};
use evenkeel_runtime::{
    CPU_PERIOD_MICROS, ContainerSpec, DnsConfig, ImageInfo, Ipc, LogRotation, MIN_MEMORY_BYTES, PortBinding, Processes,
    Propagation, Protocol, Resources, SandboxNetwork, SandboxSpec, Seccomp, Security,
};
use evenkeel_wire::PodOrder;
use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec, SecurityContext};
use serde_json::{Map, Value, json};

use super::{
    command::{DnsPolicy, PodNetwork, VolumeUse},
    env::{self, Facts},
    labels,
};

/// Fewest cpu shares that the kernel takes; also what a container without a request gets.
const MIN_CPU_SHARES: i64 = 2;
/// Shortest quota that the kernel takes, in microseconds.
const MIN_CPU_QUOTA: i64 = 1000;
/// Longest host name.
const MAX_HOSTNAME: usize = 63;

/// What a container is made of.
pub(super) struct Built {
    pub spec: ContainerSpec,
    pub volumes: Vec<VolumeUse>,
}

/// Builds a container. An error is the message of a `CreateContainerConfigError`.
pub(super) fn container(
    facts: &Facts<'_>,
    pod: &PodSpec,
    c: &Container,
    image: &ImageInfo,
    cluster: &str,
    attempt: u32,
) -> Result<Built, String> {
    let env = env::resolve(facts, c)?;
    let known: BTreeMap<String, String> = env.iter().map(|v| (v.name.clone(), v.value.clone())).collect();
    let expand = |list: &Option<Vec<String>>| list.iter().flatten().map(|t| env::expand(t, &known)).collect();
    let hash = spec_hash(facts.order, &c.name);
    let spec = ContainerSpec {
        name: labels::name(facts.order, Some(&c.name), attempt),
        labels: labels::of(cluster, facts.order, Some(&c.name), &hash),
        image: image.id.clone(),
        command: expand(&c.command),
        args: expand(&c.args),
        env,
        working_dir: c.working_dir.clone(),
        resources: resources(c),
        security: security(pod.security_context.as_ref(), c.security_context.as_ref(), image)?,
        log: LogRotation::default(),
        tty: c.tty.unwrap_or_default(),
        stdin: c.stdin.unwrap_or_default(),
        stdin_once: c.stdin_once.unwrap_or_default(),
        processes: if pod.host_pid == Some(true) { Processes::Host } else { Processes::Own },
        ipc: if pod.host_ipc == Some(true) { Ipc::Host } else { Ipc::Pod },
        ..ContainerSpec::default()
    };
    Ok(Built { spec, volumes: volumes(c, &known)? })
}

fn volumes(c: &Container, known: &BTreeMap<String, String>) -> Result<Vec<VolumeUse>, String> {
    let one = |m: &k8s_openapi::api::core::v1::VolumeMount| {
        let sub_path = match (&m.sub_path, &m.sub_path_expr) {
            (_, Some(expr)) if !expr.is_empty() => {
                let path = env::expand(expr, known);
                if env::is_open(&path) {
                    return Err(format!("subPathExpr of {} names an unknown variable", m.name));
                }
                Some(path)
            }
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            _ => None,
        };
        Ok(VolumeUse {
            volume: m.name.clone(),
            target: m.mount_path.clone(),
            sub_path,
            read_only: m.read_only.unwrap_or_default(),
            propagation: match m.mount_propagation.as_deref() {
                Some("HostToContainer") => Propagation::HostToContainer,
                Some("Bidirectional") => Propagation::Bidirectional,
                _ => Propagation::Private,
            },
        })
    };
    c.volume_mounts.iter().flatten().map(one).collect()
}

/// Requests and limits as the kubelet gives them to the kernel.
pub(super) fn resources(c: &Container) -> Resources {
    let declared = c.resources.clone().unwrap_or_default();
    let get = |side: &Option<BTreeMap<String, _>>, name: &str| {
        let q: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> = side.as_ref()?.get(name);
        q.and_then(|q| q.0.parse::<Quantity>().ok())
    };
    let cpu_limit = get(&declared.limits, "cpu").map(Quantity::milli).filter(|m| *m > 0);
    let cpu_request = get(&declared.requests, "cpu").map(Quantity::milli).or(cpu_limit).unwrap_or(0);
    let memory = get(&declared.limits, "memory").map(Quantity::units).filter(|m| *m > 0);
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let period = i64::try_from(CPU_PERIOD_MICROS).unwrap_or(i64::MAX);
    Resources {
        cpu_shares: Some(unsigned((cpu_request.saturating_mul(1024) / 1000).max(MIN_CPU_SHARES))),
        cpu_quota_micros: cpu_limit.map(|m| unsigned((m.saturating_mul(period) / 1000).max(MIN_CPU_QUOTA))),
        memory_bytes: memory.map(|m| unsigned(m).max(MIN_MEMORY_BYTES)),
    }
}

fn security(
    pod: Option<&PodSecurityContext>,
    own: Option<&SecurityContext>,
    image: &ImageInfo,
) -> Result<Security, String> {
    let (pod, own) = (pod.cloned().unwrap_or_default(), own.cloned().unwrap_or_default());
    let user = own.run_as_user.or(pod.run_as_user);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
        check_non_root(user, &image.user)?;
    }
    let group = own.run_as_group.or(pod.run_as_group);
    let image_user = || image.user.split(':').next().filter(|u| !u.is_empty()).unwrap_or("0").to_owned();
    let mut groups: Vec<i64> = pod.supplemental_groups.unwrap_or_default();
    groups.extend(pod.fs_group.filter(|g| !groups.contains(g)));
    let bare = |caps: Option<Vec<String>>| {
        caps.unwrap_or_default().iter().map(|c| c.strip_prefix("CAP_").unwrap_or(c).to_owned()).collect()
    };
    let caps = own.capabilities.unwrap_or_default();
    let privileged = own.privileged.unwrap_or_default();
    Ok(Security {
        user: user.map(|u| u.to_string()).or_else(|| group.map(|_| image_user())),
        group,
        supplemental_groups: groups,
        read_only_root: own.read_only_root_filesystem.unwrap_or_default(),
        privileged,
        cap_add: bare(caps.add),
        cap_drop: bare(caps.drop),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        seccomp: match own.seccomp_profile.or(pod.seccomp_profile).map(|p| p.type_).as_deref() {
            Some("Unconfined") => Seccomp::Unconfined,
            Some("Localhost") => return Err("seccompProfile type Localhost is not supported yet".into()),
            // Kubernetes without SeccompDefault has no filter here; the engine's own is the safer one.
            _ => Seccomp::RuntimeDefault,
        },
    })
}

fn check_non_root(user: Option<i64>, image_user: &str) -> Result<(), String> {
    match user {
        Some(0) => Err("container's runAsUser breaks non-root policy".into()),
        Some(_) => Ok(()),
        None => match image_user.split(':').next().unwrap_or_default() {
            "" | "0" | "root" => Err("container has runAsNonRoot and image will run as root".into()),
            name if name.parse::<u32>().is_ok() => Ok(()),
            name => Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
            )),
        },
    }
}

/// Builds the sandbox of a pod.
pub(super) fn sandbox(order: &PodOrder, pod: &PodSpec, cluster: &str, attempt: u32) -> SandboxSpec {
    let dns = pod.dns_config.clone().unwrap_or_default();
    let host_ports: Vec<PortBinding> =
        pod.init_containers.iter().flatten().chain(&pod.containers).flat_map(host_ports).collect();
    let mut labels = labels::of(cluster, order, None, "");
    if !host_ports.is_empty() {
        // For an agent that comes back: the engine keeps them only where it publishes them itself.
        labels.insert(labels::HOST_PORTS.into(), serde_json::to_string(&host_ports).unwrap_or_default());
    }
    let host = pod.hostname.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| order.name.to_string());
    SandboxSpec {
        name: labels::name(order, None, attempt),
        labels,
        hostname: host.chars().take(MAX_HOSTNAME).collect::<String>().trim_end_matches(['-', '.']).to_owned(),
        dns: DnsConfig {
            servers: dns.nameservers.unwrap_or_default(),
            searches: dns.searches.unwrap_or_default(),
            options: dns.options.iter().flatten().filter_map(dns_option).collect(),
        },
        hosts: pod
            .host_aliases
            .iter()
            .flatten()
            .flat_map(|a| a.hostnames.iter().flatten().map(|h| (a.ip.clone(), h.clone())))
            .collect(),
        host_ports,
        network: SandboxNetwork::Default,
        sysctls: pod
            .security_context
            .iter()
            .flat_map(|s| s.sysctls.iter().flatten())
            .map(|s| (s.name.clone(), s.value.clone()))
            .collect(),
    }
}

/// What a pod says of its network.
pub(super) fn network(order: &PodOrder, pod: &PodSpec) -> PodNetwork {
    PodNetwork {
        host: pod.host_network.unwrap_or_default(),
        dns: match pod.dns_policy.as_deref() {
            Some("ClusterFirstWithHostNet") => DnsPolicy::ClusterFirstWithHostNet,
            Some("Default") => DnsPolicy::Default,
            Some("None") => DnsPolicy::None,
            _ => DnsPolicy::ClusterFirst,
        },
        namespace: order.namespace.to_string(),
        subdomain: pod.subdomain.clone().filter(|s| !s.is_empty()),
        hostname_is_full: pod.set_hostname_as_fqdn.unwrap_or_default(),
    }
}

fn dns_option(o: &k8s_openapi::api::core::v1::PodDNSConfigOption) -> Option<String> {
    let name = o.name.as_deref()?;
    Some(o.value.as_ref().map_or_else(|| name.to_owned(), |v| format!("{name}:{v}")))
}

fn host_ports(c: &Container) -> impl Iterator<Item = PortBinding> + '_ {
    c.ports.iter().flatten().filter_map(|p| {
        Some(PortBinding {
            host_ip: p.host_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified()),
            host_port: p.host_port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0)?,
            container_port: u16::try_from(p.container_port).ok()?,
            protocol: match p.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            },
        })
    })
}

/// Scheme of [`spec_hash`]. A container with another scheme's hash is taken for right.
const SCHEME: &str = "1:";

/// Fields of a container that it is made of. What else there is (probes, hooks, policies) takes
/// effect without making it anew.
const MADE_OF: [&str; 13] = [
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "env",
    "envFrom",
    "resources",
    "volumeMounts",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Fields with the value that Kubernetes gives them when they are absent, wherever they stand.
fn is_default(field: &str, value: &Value) -> bool {
    match field {
        "readOnly" | "stdin" | "stdinOnce" | "tty" | "optional" | "privileged" => value == &json!(false),
        "apiVersion" => value == "v1",
        "mountPropagation" => value == "None",
        "divisor" => value == "0" || value == "1",
        _ => false,
    }
}

fn without_defaults(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(k, v)| !is_default(k, v)).map(|(k, v)| (k.clone(), without_defaults(v))).collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(without_defaults).collect()),
        other => other.clone(),
    }
}

/// `1:` and two digests: of the fields that the container is made of, and of the content that its
/// environment takes. The second part tells what a container was made with; because environment
/// does not follow its ConfigMap, only the first part makes a container differ from its pod.
pub(super) fn spec_hash(order: &PodOrder, container: &str) -> String {
    let spec = &order.pod["spec"];
    let lists =
        ["initContainers", "containers", "ephemeralContainers"].iter().filter_map(|l| spec[*l].as_array()).flatten();
    let Some(c) = lists.clone().find(|c| c["name"] == container) else { return SCHEME.into() };
    let mut made: Map<String, Value> = Map::new();
    for field in MADE_OF {
        if let Some(v) = c.get(field) {
            made.insert(field.into(), v.clone());
        }
    }
    made.insert("podSecurityContext".into(), spec["securityContext"].clone());
    let tree = canonical::without_empty(&without_defaults(&Value::Object(made)));
    let mut used: Vec<&[u8]> = Vec::new();
    for content in &order.contents {
        if uses(c, content.secret, &content.name) {
            used.push(&content.digest.0);
        }
    }
    let (own, env) = (Digest::of(&canonical::value_bytes(&tree)), Digest::of_parts(used));
    format!("{SCHEME}{}-{}", own.short(32), env.short(16))
}

fn uses(container: &Value, secret: bool, name: &str) -> bool {
    let (all, one) = if secret { ("secretRef", "secretKeyRef") } else { ("configMapRef", "configMapKeyRef") };
    let list = |field: &str| container[field].as_array().map(Vec::as_slice).unwrap_or_default();
    list("envFrom").iter().any(|e| e[all]["name"] == name)
        || list("env").iter().any(|e| e["valueFrom"][one]["name"] == name)
}

/// Whether a container with the hash `live` is what `wanted` says.
pub(super) fn same_spec(live: &str, wanted: &str) -> bool {
    fn own(h: &str) -> Option<&str> {
        h.strip_prefix(SCHEME).map(|h| h.split_once('-').map_or(h, |(own, _)| own))
    }
    match (own(live), own(wanted)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_quota_and_memory_are_the_kubelets() {
        let c: Container = serde_json::from_value(json!({"name": "c", "resources": {
            "requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "1Mi"}}}))
        .unwrap();
        let r = resources(&c);
        assert_eq!(r.cpu_shares, Some(102));
        assert_eq!(r.cpu_quota_micros, Some(50_000));
        assert_eq!(r.memory_bytes, Some(MIN_MEMORY_BYTES));
        assert_eq!(resources(&Container::default()).cpu_shares, Some(2));
    }

    #[test]
    fn non_root_is_checked_against_user_and_image() {
        assert!(check_non_root(Some(0), "5").is_err());
        assert!(check_non_root(Some(7), "root").is_ok());
        assert!(check_non_root(None, "").is_err());
        assert!(check_non_root(None, "1000:1000").is_ok());
        assert!(check_non_root(None, "web").is_err());
    }

    #[test]
    fn schemes_of_other_versions_count_as_right() {
        assert!(same_spec("1:a-b", "1:a-c"));
        assert!(!same_spec("1:a-b", "1:x-b"));
        assert!(same_spec("0:zzz", "1:a-b"));
    }
}
