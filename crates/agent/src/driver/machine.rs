//! Measures the machine: memory, cpus, disks and process ids, from `/proc`, the cgroups and the
//! file systems. Called by the engine's follower on its interval; what follows from the numbers is
//! in `logic::capacity` and `logic::pressure`.
//!
//! Where the agent runs in a limited part of a machine, pods have no more than that part: the
//! limits of the cgroups around the agent count. Its own cgroup's do not, as those of its systemd
//! unit: they bound the agent, not its pods; but at the root of a cgroup namespace (the agent and
//! its engine in one container) they are the machine's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::logic::pressure::{Gauge, Sample};

/// Where the kernel tells. Tests have files of their own.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    proc: PathBuf,
    cgroups: PathBuf,
}

/// The limits around the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    /// Thousandths of a cpu.
    pub(super) cpu_milli: Option<u64>,
    /// Bytes, and how many of them are free.
    pub(super) memory: Option<Gauge>,
}

impl Default for Machine {
    fn default() -> Self {
        Self { proc: "/proc".into(), cgroups: "/sys/fs/cgroup".into() }
    }
}

impl Machine {
    /// Bytes of memory of the whole machine.
    pub(super) fn memory(&self) -> Option<Gauge> {
        let text = fs::read_to_string(self.proc.join("meminfo")).ok()?;
        Some(Gauge { free: kib(&text, "MemAvailable")? * 1024, all: kib(&text, "MemTotal")? * 1024 })
    }

    /// Cpu time that the whole machine has spent at work since its start, of all cpus, in nanoseconds.
    pub(super) fn busy_nanos(&self) -> Option<u64> {
        /// One tick: the kernel tells user space a hundredth of a second on every architecture (`USER_HZ`).
        const TICK_NANOS: u64 = 10_000_000;
        let text = fs::read_to_string(self.proc.join("stat")).ok()?;
        let ticks: Vec<u64> =
            text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|n| n.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in the first two.
        let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else { return None };
        Some((user + nice + system + irq + softirq).saturating_mul(TICK_NANOS))
    }

    /// Everything that can be short, with the disks at these paths.
    pub(super) fn sample(&self, disks: &[&Path], limits: &Limits) -> Sample {
        let machine = self.memory();
        // Whichever is nearer to its end.
        let memory = match (machine, limits.memory) {
            (Some(a), Some(b)) if b.free < a.free => Some(b),
            (None, limit) => limit,
            (machine, _) => machine,
        };
        let (space, inodes) = disks.iter().filter_map(|dir| disk(dir)).unzip();
        Sample { memory, space, inodes, pids: self.pids() }
    }

    /// The tightest limits of the cgroups around the agent.
    pub(super) fn limits(&self) -> Limits {
        let Ok(text) = fs::read_to_string(self.proc.join("self/cgroup")) else { return Limits::default() };
        let mut limits = Limits::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            for dir in around(path) {
                if controllers.is_empty() {
                    limits.tighten(self.unified(dir));
                } else {
                    controllers.split(',').for_each(|name| limits.tighten(self.legacy(name, dir)));
                }
            }
        }
        limits
    }

    /// Version 2 of the cgroups: all in one tree. The root of the machine has no such files.
    fn unified(&self, dir: &str) -> Limits {
        let dir = self.cgroups.join(dir);
        let memory = number(&dir.join("memory.max")).map(|all| gauge(&dir, all, "memory.current", "inactive_file"));
        let cpu_milli = fs::read_to_string(dir.join("cpu.max")).ok().and_then(|text| {
            let (quota, period) = text.trim().split_once(' ')?;
            milli(quota.parse().ok()?, period.parse().ok()?)
        });
        Limits { cpu_milli, memory }
    }

    /// Version 1: a tree for each controller.
    fn legacy(&self, controller: &str, dir: &str) -> Limits {
        let at = self.cgroups.join(controller).join(dir);
        match controller {
            "memory" => {
                // No limit is the largest number of whole pages.
                let all = number(&at.join("memory.limit_in_bytes")).filter(|n| *n < 1 << 60);
                let memory = all.map(|all| gauge(&at, all, "memory.usage_in_bytes", "total_inactive_file"));
                Limits { memory, ..Limits::default() }
            }
            "cpu" => {
                let quota = number(&at.join("cpu.cfs_quota_us"));
                let cpu_milli =
                    quota.zip(number(&at.join("cpu.cfs_period_us"))).and_then(|(quota, period)| milli(quota, period));
                Limits { cpu_milli, ..Limits::default() }
            }
            _ => Limits::default(),
        }
    }

    /// Connections that the kernel may track in this network, and how many it could still. Pods' are among
    /// them; `None` where it tracks none.
    pub(super) fn connections(&self) -> Option<Gauge> {
        let of = |name: &str| number(&self.proc.join("sys/net/netfilter").join(name));
        let (count, all) = (of("nf_conntrack_count")?, of("nf_conntrack_max")?);
        Some(Gauge { free: all.saturating_sub(count), all })
    }

    /// Threads and processes count alike; whichever limit of the kernel's is lower.
    fn pids(&self) -> Option<Gauge> {
        let most = |name: &str| number(&self.proc.join("sys/kernel").join(name));
        let all = most("pid_max")?.min(most("threads-max").unwrap_or(u64::MAX));
        let load = fs::read_to_string(self.proc.join("loadavg")).ok()?;
        let running: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
        Some(Gauge { free: all.saturating_sub(running), all })
    }
}

impl Limits {
    fn tighten(&mut self, other: Self) {
        self.cpu_milli = match (self.cpu_milli, other.cpu_milli) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.memory = match (self.memory, other.memory) {
            (Some(a), Some(b)) => Some(Gauge { free: a.free.min(b.free), all: a.all.min(b.all) }),
            (a, b) => a.or(b),
        };
    }
}

/// The cgroups whose limits bound the agent's pods too, as paths below the tree: those around its
/// own, and the root.
fn around(own: &str) -> Vec<&str> {
    let own = own.trim_matches('/');
    let mut all = vec![""];
    all.extend(own.match_indices('/').map(|(at, _)| &own[..at]));
    all
}

/// A group's memory: what it could still take counts what the page cache gives back.
fn gauge(dir: &Path, all: u64, usage: &str, cache: &str) -> Gauge {
    let used = number(&dir.join(usage)).unwrap_or(0);
    let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let cached = stat
        .lines()
        .find_map(|line| line.strip_prefix(cache)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
        .unwrap_or(0);
    Gauge { free: all.saturating_sub(used.saturating_sub(cached)), all }
}

fn milli(quota: u64, period: u64) -> Option<u64> {
    (period > 0).then(|| quota.saturating_mul(1000) / period).filter(|n| *n > 0)
}

/// A file with one number; `max` and -1 are none.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Space in bytes and inodes of the disk of a path.
fn disk(dir: &Path) -> Option<(Gauge, Gauge)> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    // What is reserved for root counts as not there, as `df` counts.
    let usable = disk.f_blocks.saturating_sub(disk.f_bfree).saturating_add(disk.f_bavail);
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let space = Gauge { free: bytes(disk.f_bavail), all: bytes(usable) };
    Some((space, Gauge { free: disk.f_favail, all: disk.f_files }))
}

/// Bytes of the disk of a path.
pub(super) fn disk_bytes(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(dir).ok().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize))
}

/// A line of `/proc/meminfo`.
fn kib(meminfo: &str, field: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine { proc: dir.path().join("proc"), cgroups: dir.path().join("cg") };
        (dir, machine)
    }

    #[test]
    fn the_cgroups_around_the_agent_bound_it_and_its_own_does_not() {
        let (_dir, machine) = machine(&[
            ("proc/self/cgroup", "0::/lab.slice/node.slice/evenkeel.service\n"),
            ("cg/lab.slice/memory.max", "max\n"),
            ("cg/lab.slice/cpu.max", "150000 100000\n"),
            ("cg/lab.slice/node.slice/memory.max", "1073741824\n"),
            ("cg/lab.slice/node.slice/memory.current", "900000000\n"),
            ("cg/lab.slice/node.slice/memory.stat", "anon 1\ninactive_file 400000000\n"),
            ("cg/lab.slice/node.slice/cpu.max", "max 100000\n"),
            // The unit's own.
            ("cg/lab.slice/node.slice/evenkeel.service/memory.max", "67108864\n"),
        ]);
        let memory = Some(Gauge { free: 573_741_824, all: 1 << 30 });
        assert_eq!(machine.limits(), Limits { cpu_milli: Some(1500), memory });
    }

    #[test]
    fn at_the_root_of_a_namespace_the_limits_are_the_machines() {
        let (_dir, machine) = machine(&[
            ("proc/self/cgroup", "0::/\n"),
            ("cg/memory.max", "536870912"),
            ("cg/memory.current", "536870912"),
            ("cg/cpu.max", "50000 100000"),
            ("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n"),
        ]);
        let limits = machine.limits();
        assert_eq!(limits, Limits { cpu_milli: Some(500), memory: Some(Gauge { free: 0, all: 1 << 29 }) });
        assert_eq!(machine.sample(&[], &limits).memory, limits.memory);
        assert_eq!(machine.sample(&[], &Limits::default()).memory, Some(Gauge { free: 4 << 30, all: 8 << 30 }));
    }

    #[test]
    fn version_1_of_the_cgroups() {
        let (_dir, machine) = machine(&[
            ("proc/self/cgroup", "4:memory:/a/b\n1:cpu,cpuacct:/a/b\n0::/\n"),
            ("cg/memory/memory.limit_in_bytes", "9223372036854771712"),
            ("cg/memory/a/memory.limit_in_bytes", "2147483648"),
            ("cg/memory/a/memory.usage_in_bytes", "1073741824"),
            ("cg/memory/a/memory.stat", "inactive_file 5\ntotal_inactive_file 73741824\n"),
            ("cg/cpu/a/cpu.cfs_quota_us", "-1"),
            ("cg/cpu/cpu.cfs_quota_us", "300000"),
            ("cg/cpu/cpu.cfs_period_us", "100000"),
        ]);
        let memory = Some(Gauge { free: 1_147_483_648, all: 1 << 31 });
        assert_eq!(machine.limits(), Limits { cpu_milli: Some(3000), memory });
    }

    #[test]
    fn process_ids_and_disks() {
        let (dir, machine) = machine(&[
            ("proc/sys/kernel/pid_max", "4194304\n"),
            ("proc/sys/kernel/threads-max", "1000\n"),
            ("proc/loadavg", "0.1 0.2 0.3 2/950 77\n"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "1200\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "1000\n"),
        ]);
        // The kernel counts some beyond the limit.
        assert_eq!(machine.connections(), Some(Gauge { free: 0, all: 1000 }));
        let sample = machine.sample(&[dir.path(), Path::new("/nonexistent")], &Limits::default());
        assert_eq!(sample.pids, Some(Gauge { free: 50, all: 1000 }));
        assert_eq!((sample.space.len(), sample.inodes.len(), sample.memory), (1, 1, None));
        assert!(sample.space[0].free <= sample.space[0].all && sample.space[0].all > 0);
        assert!(disk_bytes(dir.path()).unwrap() >= sample.space[0].all);
    }

    #[test]
    fn this_machine_is_measured() {
        let machine = Machine::default();
        let sample = machine.sample(&[Path::new("/")], &machine.limits());
        let memory = sample.memory.unwrap();
        assert!(memory.free <= memory.all && memory.all > 1 << 20);
        assert!(sample.pids.is_some_and(|p| p.free > 0));
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
