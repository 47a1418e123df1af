//! Our types to the engine's API and back. Pure.

use std::{collections::HashMap, net::IpAddr, path::PathBuf};

use bollard::models as api;
use evenkeel_model::Time;

use crate::{
    CPU_PERIOD_MICROS, ContainerId, ContainerInfo, ContainerSpec, ContainerState, EngineInfo, EventAction, ImageInfo,
    Ipc, LogRotation, Mount, PortBinding, Processes, Propagation, Protocol, Resources, RuntimeEvent, SandboxNetwork,
    SandboxSpec, Seccomp,
};

/// What the engine's time stamps say; its zero time (year 1) is our epoch.
pub(super) fn time(text: Option<&str>) -> Time {
    text.and_then(Time::parse_rfc3339).map_or(Time(0), |t| Time(t.0.max(0)))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn positive(n: Option<i64>) -> Option<u64> {
    n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
}

fn no_restart() -> api::RestartPolicy {
    api::RestartPolicy { name: Some(api::RestartPolicyNameEnum::NO), maximum_retry_count: None }
}

/// Tells the sandbox program to make its own network namespace.
const OWN: &str = "own";
/// What it needs for that and for becoming nobody afterwards, in the words of the engine's API.
const OWN_CAPABILITIES: [&str; 3] = ["SYS_ADMIN", "SETUID", "SETGID"];

/// The sandbox's creation. `Default` is the engine's bridge here.
///
/// In a network of its own it begins as root: the engine gives other users no capabilities. All but
/// the three that it needs are taken away before it starts, and these as soon as it has used them;
/// see `sandbox/sandbox-*.s`. The engine's filter allows unshare to who has `SYS_ADMIN`.
pub(super) fn sandbox_body(spec: &SandboxSpec, image: String, network: SandboxNetwork) -> api::ContainerCreateBody {
    let bridge = network == SandboxNetwork::Default;
    let own = network == SandboxNetwork::Own;
    let (exposed, bindings) = ports(&spec.host_ports);
    let list = |v: &Vec<String>| (!v.is_empty()).then(|| v.clone());
    api::ContainerCreateBody {
        hostname: (!spec.hostname.is_empty()).then(|| spec.hostname.clone()),
        image: Some(image),
        cmd: own.then(|| vec![OWN.into()]),
        user: own.then(|| "0:0".into()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        exposed_ports: (bridge && !exposed.is_empty()).then_some(exposed),
        host_config: Some(api::HostConfig {
            network_mode: Some(
                match network {
                    SandboxNetwork::Default => "bridge",
                    SandboxNetwork::None => "none",
                    SandboxNetwork::Own | SandboxNetwork::Host => "host",
                }
                .into(),
            ),
            cap_drop: own.then(|| vec!["ALL".into()]),
            cap_add: own.then(|| OWN_CAPABILITIES.map(Into::into).to_vec()),
            security_opt: own.then(|| vec!["no-new-privileges".into()]),
            // Containers of the pod join its IPC namespace, which the engine's default forbids.
            ipc_mode: Some("shareable".into()),
            port_bindings: (bridge && !bindings.is_empty()).then_some(bindings),
            dns: list(&spec.dns.servers),
            dns_search: list(&spec.dns.searches),
            dns_options: list(&spec.dns.options),
            extra_hosts: (!spec.hosts.is_empty())
                .then(|| spec.hosts.iter().map(|(address, name)| format!("{name}:{address}")).collect()),
            sysctls: (!spec.sysctls.is_empty()).then(|| spec.sysctls.clone().into_iter().collect()),
            restart_policy: Some(no_restart()),
            // It never writes anything.
            log_config: Some(api::HostConfigLogConfig { typ: Some("none".into()), config: None }),
            readonly_rootfs: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn ports(list: &[PortBinding]) -> (Vec<String>, api::PortMap) {
    let mut exposed = Vec::new();
    let mut bindings = api::PortMap::new();
    for port in list {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        let key = format!("{}/{protocol}", port.container_port);
        if !exposed.contains(&key) {
            exposed.push(key.clone());
        }
        bindings.entry(key).or_default().get_or_insert_with(Vec::new).push(api::PortBinding {
            host_ip: port.host_ip.map(|ip| ip.to_string()),
            host_port: Some(port.host_port.to_string()),
        });
    }
    (exposed, bindings)
}

/// A container's creation.
pub(super) fn container_body(sandbox: &ContainerId, spec: &ContainerSpec) -> api::ContainerCreateBody {
    let join = format!("container:{sandbox}");
    let security = &spec.security;
    let list = |v: &Vec<String>| (!v.is_empty()).then(|| v.clone());
    api::ContainerCreateBody {
        image: Some(spec.image.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        entrypoint: list(&spec.command),
        cmd: list(&spec.args),
        env: Some(spec.env.iter().map(|e| format!("{}={}", e.name, e.value)).collect()),
        working_dir: spec.working_dir.clone(),
        user: user(spec),
        stop_signal: spec.stop_signal.clone(),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin),
        stdin_once: Some(spec.stdin_once),
        // The image's own health check would run beside our probes.
        healthcheck: Some(api::HealthConfig { test: Some(vec!["NONE".into()]), ..Default::default() }),
        host_config: Some(api::HostConfig {
            network_mode: Some(join.clone()),
            ipc_mode: Some(if spec.ipc == Ipc::Host { "host".into() } else { join }),
            pid_mode: match &spec.processes {
                Processes::Own => None,
                Processes::Of(id) => Some(format!("container:{id}")),
                Processes::Host => Some("host".into()),
            },
            mounts: Some(spec.mounts.iter().map(mount).collect()),
            tmpfs: (!spec.tmpfs.is_empty()).then(|| tmpfs(&spec.tmpfs)),
            restart_policy: Some(no_restart()),
            log_config: Some(log(spec.log)),
            privileged: Some(security.privileged),
            readonly_rootfs: Some(security.read_only_root),
            cap_add: list(&security.cap_add),
            cap_drop: list(&security.cap_drop),
            group_add: (!security.supplemental_groups.is_empty())
                .then(|| security.supplemental_groups.iter().map(ToString::to_string).collect()),
            security_opt: Some(security_options(spec)),
            cpu_shares: spec.resources.cpu_shares.map(signed),
            cpu_period: spec.resources.cpu_quota_micros.map(|_| signed(CPU_PERIOD_MICROS)),
            cpu_quota: spec.resources.cpu_quota_micros.map(signed),
            memory: spec.resources.memory_bytes.map(signed),
            // Equal to memory: no swap on top of it.
            memory_swap: spec.resources.memory_bytes.map(signed),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn user(spec: &ContainerSpec) -> Option<String> {
    match (&spec.security.user, spec.security.group) {
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (Some(user), None) => Some(user.clone()),
        (None, Some(group)) => Some(format!("0:{group}")),
        (None, None) => None,
    }
}

fn mount(m: &Mount) -> api::Mount {
    api::Mount {
        target: Some(m.target.clone()),
        source: Some(m.source.to_string_lossy().into_owned()),
        typ: Some(api::MountType::BIND),
        read_only: Some(m.read_only),
        bind_options: Some(api::MountBindOptions {
            propagation: match m.propagation {
                // The engine's default is rprivate, and rslave for what holds its own folder, as `/` does.
                Propagation::Private => None,
                Propagation::HostToContainer => Some(api::MountBindOptionsPropagationEnum::RSLAVE),
                Propagation::Bidirectional => Some(api::MountBindOptionsPropagationEnum::RSHARED),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn tmpfs(list: &[(String, Option<u64>)]) -> HashMap<String, String> {
    list.iter()
        .map(|(path, size)| {
            let size = size.map_or_else(String::new, |n| format!(",size={n}"));
            (path.clone(), format!("mode=1777{size}"))
        })
        .collect()
}

fn log(rotation: LogRotation) -> api::HostConfigLogConfig {
    let config = [
        ("max-size".to_owned(), rotation.max_bytes.to_string()),
        ("max-file".to_owned(), rotation.max_files.max(1).to_string()),
    ];
    api::HostConfigLogConfig { typ: Some("json-file".into()), config: Some(config.into()) }
}

fn security_options(spec: &ContainerSpec) -> Vec<String> {
    let mut options = Vec::new();
    if spec.security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &spec.security.seccomp {
        Seccomp::RuntimeDefault => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(json) => options.push(format!("seccomp={json}")),
    }
    options
}

/// What stands for "no limit" in an update of memory: the greatest page-aligned number. The engine
/// takes 0 for "as it is" and refuses -1.
const UNLIMITED_MEMORY: i64 = i64::MAX & !0xffff;

/// An update of limits. The engine takes 0 for "as it is", so defaults are said as what they are.
pub(super) fn update_body(resources: Resources) -> api::ContainerUpdateBody {
    let memory = resources.memory_bytes.map_or(UNLIMITED_MEMORY, signed);
    api::ContainerUpdateBody {
        cpu_shares: Some(resources.cpu_shares.map_or(1024, signed)),
        cpu_period: resources.cpu_quota_micros.map(|_| signed(CPU_PERIOD_MICROS)),
        cpu_quota: Some(resources.cpu_quota_micros.map_or(-1, signed)),
        memory: Some(memory),
        memory_swap: Some(memory),
        restart_policy: Some(no_restart()),
        ..Default::default()
    }
}

/// What the engine says of a container.
pub(super) fn container_info(c: api::ContainerInspectResponse) -> ContainerInfo {
    let host = c.host_config.unwrap_or_default();
    let config = c.config.unwrap_or_default();
    let joins = host
        .network_mode
        .as_deref()
        .and_then(|mode| mode.strip_prefix("container:"))
        .map(|id| ContainerId(id.to_owned()));
    let network = match host.network_mode.as_deref() {
        Some("none") => SandboxNetwork::None,
        Some("host") if config.cmd.as_ref().is_some_and(|cmd| cmd == &[OWN]) => SandboxNetwork::Own,
        Some("host") => SandboxNetwork::Host,
        _ => SandboxNetwork::Default,
    };
    ContainerInfo {
        id: ContainerId(c.id.unwrap_or_default()),
        name: c.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        image: config.image.unwrap_or_default(),
        image_id: c.image.unwrap_or_default(),
        created: time(c.created.as_deref()),
        state: state(&c.state.unwrap_or_default()),
        resources: resources(&host),
        engine_restarts: host
            .restart_policy
            .and_then(|p| p.name)
            .is_some_and(|name| !matches!(name, api::RestartPolicyNameEnum::NO | api::RestartPolicyNameEnum::EMPTY)),
        ip: c.network_settings.and_then(|n| n.networks).and_then(|networks| address(&networks)),
        joins,
        network,
    }
}

fn address(networks: &HashMap<String, api::EndpointSettings>) -> Option<IpAddr> {
    networks.values().filter_map(|n| n.ip_address.as_deref()?.parse().ok()).min()
}

fn resources(host: &api::HostConfig) -> Resources {
    // `docker update --cpus` writes nano cpus where no quota was set.
    let quota = positive(host.cpu_quota)
        .map(|quota| match positive(host.cpu_period) {
            Some(period) if period != CPU_PERIOD_MICROS => quota.saturating_mul(CPU_PERIOD_MICROS) / period,
            _ => quota,
        })
        .or_else(|| positive(host.nano_cpus).map(|nano| nano / (1_000_000_000 / CPU_PERIOD_MICROS)));
    Resources {
        cpu_shares: positive(host.cpu_shares),
        cpu_quota_micros: quota,
        memory_bytes: positive(host.memory).filter(|n| *n < UNLIMITED_MEMORY.unsigned_abs()),
    }
}

fn state(s: &api::ContainerState) -> ContainerState {
    use api::ContainerStateStatusEnum as Status;
    let pid = s.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let started = time(s.started_at.as_deref());
    let code = s.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
    match s.status {
        Some(Status::CREATED) => ContainerState::Created,
        Some(Status::RUNNING) => ContainerState::Running { pid, started },
        Some(Status::PAUSED) => ContainerState::Paused { pid, started },
        Some(Status::DEAD | Status::REMOVING) => ContainerState::Dead,
        // Podman has further ones (`configured`, `stopping`); its flag decides.
        _ if s.running == Some(true) => ContainerState::Running { pid, started },
        _ => ContainerState::Exited {
            code,
            // With cgroup v1 the flag also tells of a child that was killed.
            oom: s.oom_killed == Some(true) && code == 137,
            started,
            finished: time(s.finished_at.as_deref()),
            error: s.error.clone().unwrap_or_default(),
        },
    }
}

/// Attributes of an event that are not the container's labels.
const EVENT_ATTRIBUTES: &[&str] =
    &["image", "name", "exitCode", "signal", "oldName", "execDuration", "execID", "containerExitCode", "podId"];

/// An event, if it is one that we tell.
pub(super) fn event(message: api::EventMessage) -> Option<RuntimeEvent> {
    let actor = message.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    let number = |key: &str| attributes.get(key).and_then(|v| v.parse::<i32>().ok());
    let action = match message.action.as_deref()? {
        "create" => EventAction::Created,
        "start" => EventAction::Started,
        "die" | "died" => {
            EventAction::Died { exit_code: number("exitCode").or_else(|| number("containerExitCode")).unwrap_or(-1) }
        }
        "oom" => EventAction::Oom,
        "kill" => EventAction::Killed { signal: number("signal").unwrap_or(9) },
        "stop" => EventAction::Stopped,
        "pause" => EventAction::Paused,
        "unpause" => EventAction::Unpaused,
        "rename" => {
            let old = attributes.get("oldName").map_or("", String::as_str);
            EventAction::Renamed { old_name: old.trim_start_matches('/').to_owned() }
        }
        "update" => EventAction::Updated,
        "destroy" | "remove" => EventAction::Destroyed,
        _ => return None,
    };
    let at =
        message.time_nano.map(|n| n / 1_000_000).or_else(|| message.time.map(|s| s.saturating_mul(1000))).unwrap_or(0);
    let name = attributes.remove("name").unwrap_or_default();
    attributes.retain(|key, _| !EVENT_ATTRIBUTES.contains(&key.as_str()));
    Some(RuntimeEvent {
        at: Time(at),
        id: ContainerId(actor.id?),
        name,
        labels: attributes.into_iter().collect(),
        action,
    })
}

/// An inspected image.
pub(super) fn image_info(image: api::ImageInspect) -> ImageInfo {
    ImageInfo {
        id: image.id.unwrap_or_default(),
        tags: image.repo_tags.unwrap_or_default(),
        digests: image.repo_digests.unwrap_or_default(),
        size: positive(image.size).unwrap_or(0),
        created: time(image.created.as_deref()),
        user: image.config.and_then(|c| c.user).unwrap_or_default(),
        os: image.os.unwrap_or_default(),
        arch: image.architecture.unwrap_or_default(),
    }
}

/// A listed image; lists do not tell its user and platform.
pub(super) fn image_summary(image: api::ImageSummary) -> ImageInfo {
    let named = |list: Vec<String>| list.into_iter().filter(|t| !t.starts_with("<none>")).collect();
    ImageInfo {
        id: image.id,
        tags: named(image.repo_tags),
        digests: named(image.repo_digests),
        size: positive(Some(image.size)).unwrap_or(0),
        created: Time::from_secs(image.created.max(0)),
        user: String::new(),
        os: String::new(),
        arch: String::new(),
    }
}

/// Version and info in one. `has_default_network` is left false.
pub(super) fn engine_info(version: api::SystemVersion, info: api::SystemInfo) -> EngineInfo {
    let podman = version.components.unwrap_or_default().iter().any(|c| c.name.to_lowercase().contains("podman"));
    let arch = version.arch.or(info.architecture).unwrap_or_default();
    EngineInfo {
        name: if podman { "podman" } else { "docker" }.into(),
        version: version.version.unwrap_or_default(),
        api_version: version.api_version.unwrap_or_default(),
        cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        memory_bytes: positive(info.mem_total).unwrap_or(0),
        os: info.os_type.or(version.os).unwrap_or_else(|| "linux".into()),
        arch: match arch.as_str() {
            "x86_64" => "amd64".into(),
            "aarch64" => "arm64".into(),
            _ => arch,
        },
        os_image: info.operating_system.unwrap_or_default(),
        kernel: info.kernel_version.or(version.kernel_version).unwrap_or_default(),
        root_dir: PathBuf::from(info.docker_root_dir.unwrap_or_default()),
        has_default_network: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnvVar;

    #[test]
    fn a_container_joins_its_sandbox_and_sets_nothing_that_the_join_forbids() {
        let spec = ContainerSpec {
            name: "web".into(),
            image: "sha256:1".into(),
            command: vec!["/app".into()],
            env: vec![EnvVar { name: "A".into(), value: "b=c".into() }],
            resources: Resources { memory_bytes: Some(64 << 20), cpu_quota_micros: Some(50_000), cpu_shares: Some(2) },
            ..Default::default()
        };
        let body = container_body(&ContainerId("abc".into()), &spec);
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("container:abc"));
        assert_eq!(host.ipc_mode.as_deref(), Some("container:abc"));
        assert_eq!(host.pid_mode, None);
        let beside = ContainerSpec { processes: Processes::Of(ContainerId("web".into())), ..spec.clone() };
        let host_of = |spec| container_body(&ContainerId("abc".into()), spec).host_config.unwrap();
        assert_eq!(host_of(&beside).pid_mode.as_deref(), Some("container:web"));
        let of_host = ContainerSpec { processes: Processes::Host, ipc: Ipc::Host, ..beside.clone() };
        let modes = host_of(&of_host);
        assert_eq!((modes.pid_mode.as_deref(), modes.ipc_mode.as_deref()), (Some("host"), Some("host")));
        assert_eq!(host.memory, host.memory_swap);
        assert_eq!((host.cpu_quota, host.cpu_period), (Some(50_000), Some(100_000)));
        assert!(body.hostname.is_none() && host.dns.is_none() && host.extra_hosts.is_none());
        assert!(host.port_bindings.is_none() && host.oom_score_adj.is_none());
        assert_eq!(body.env.unwrap(), ["A=b=c"]);
        assert!(body.cmd.is_none());
    }

    #[test]
    fn a_sandbox_without_network_binds_no_port() {
        let spec = SandboxSpec {
            name: "s".into(),
            host_ports: vec![PortBinding {
                host_ip: None,
                host_port: 80,
                container_port: 8080,
                protocol: Protocol::Tcp,
            }],
            ..Default::default()
        };
        let host = sandbox_body(&spec, "i".into(), SandboxNetwork::None).host_config.unwrap();
        assert_eq!((host.network_mode.as_deref(), host.port_bindings), (Some("none"), None));
        let body = sandbox_body(&spec, "i".into(), SandboxNetwork::Default);
        assert_eq!(body.exposed_ports.unwrap(), ["8080/tcp"]);
        let host = body.host_config.unwrap();
        assert!(host.port_bindings.unwrap().contains_key("8080/tcp"));
        assert!(host.cap_add.is_none() && body.user.is_none(), "no privilege where none is needed");
    }

    #[test]
    fn a_sandbox_of_its_own_network_has_what_it_needs_for_that_alone() {
        let spec = SandboxSpec { name: "s".into(), hostname: "web".into(), ..Default::default() };
        let body = sandbox_body(&spec, "i".into(), SandboxNetwork::Own);
        let host = body.host_config.unwrap();
        assert_eq!((body.user.as_deref(), body.hostname.as_deref()), (Some("0:0"), Some("web")));
        assert_eq!(
            (host.cap_drop.unwrap(), host.cap_add.unwrap()),
            (vec!["ALL".to_owned()], OWN_CAPABILITIES.map(String::from).to_vec())
        );
        for (mode, cmd, network) in [
            ("host", Some("own"), SandboxNetwork::Own),
            ("host", None, SandboxNetwork::Host),
            ("none", None, SandboxNetwork::None),
            ("default", None, SandboxNetwork::Default),
        ] {
            let found = container_info(api::ContainerInspectResponse {
                host_config: Some(api::HostConfig { network_mode: Some(mode.into()), ..Default::default() }),
                config: Some(api::ContainerConfig { cmd: cmd.map(|c| vec![c.into()]), ..Default::default() }),
                ..Default::default()
            });
            assert_eq!(found.network, network, "{mode}");
        }
    }

    #[test]
    fn an_exit_is_oom_only_with_137() {
        let exited = |code, oom| {
            state(&api::ContainerState {
                status: Some(api::ContainerStateStatusEnum::EXITED),
                exit_code: Some(code),
                oom_killed: Some(oom),
                ..Default::default()
            })
        };
        assert!(matches!(exited(137, true), ContainerState::Exited { oom: true, .. }));
        assert!(matches!(exited(0, true), ContainerState::Exited { oom: false, code: 0, .. }));
        assert_eq!(time(Some("0001-01-01T00:00:00Z")), Time(0));
        assert_eq!(time(Some("2026-01-02T03:04:05.678901234Z")).0 % 1000, 678);
    }

    #[test]
    fn events_carry_labels_alone() {
        let attributes = [("name", "web"), ("image", "a"), ("exitCode", "3"), ("evenkeel.dev/pod", "p")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let message = api::EventMessage {
            action: Some("die".into()),
            actor: Some(api::EventActor { id: Some("c".into()), attributes: Some(attributes.into()) }),
            time_nano: Some(1_500_000_000),
            ..Default::default()
        };
        let event = event(message).unwrap();
        assert_eq!(event.action, EventAction::Died { exit_code: 3 });
        assert_eq!((event.at, event.name.as_str(), event.labels.len()), (Time(1500), "web", 1));
    }

    #[test]
    fn limits_read_back_whichever_way_they_were_set() {
        let nano = api::HostConfig { nano_cpus: Some(500_000_000), ..Default::default() };
        assert_eq!(resources(&nano).cpu_quota_micros, Some(50_000));
        let odd = api::HostConfig { cpu_quota: Some(10_000), cpu_period: Some(50_000), ..Default::default() };
        assert_eq!(resources(&odd).cpu_quota_micros, Some(20_000));
        let none = api::HostConfig { cpu_quota: Some(-1), memory: Some(-1), ..Default::default() };
        assert_eq!(resources(&none), Resources::default());
    }
}
