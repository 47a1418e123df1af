//! Pressures of the node: when memory, disk or process ids count as short, and when no longer.
//! Pure; the driver measures, and reports what comes out of here as the node's conditions.
//!
//! A pressure holds from the first measurement below its mark. It ends once everything it is about
//! was clear of the mark by a fifth for [`TRANSITION`] without a break, so that a node at the edge
//! does not swing and pull pods back and forth.

use std::time::Duration;

use evenkeel_model::net::NetworkTrouble;

/// How long a pressure's end must last before it counts: the kubelet's
/// `--eviction-pressure-transition-period`.
pub const TRANSITION: Duration = Duration::from_mins(5);
/// Memory is short below this many bytes: the kubelet's `memory.available<100Mi`.
const MEMORY_BYTES: u64 = 100 << 20;
/// … or below this share, in thousandths, where that is more: on a big machine 100 MiB are gone
/// between two measurements.
const MEMORY_PERMILLE: u64 = 10;
/// A disk is short of space below this share, in thousandths: the kubelet's `nodefs.available<10%`.
const SPACE_PERMILLE: u64 = 100;
/// A disk is short of inodes below this share, in thousandths: the kubelet's `nodefs.inodesFree<5%`.
const INODES_PERMILLE: u64 = 50;
/// Process ids are short below this share, in thousandths. The kubelet has no default.
const PIDS_PERMILLE: u64 = 100;

/// How much there is of something, and how much of it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauge {
    /// What is free.
    pub free: u64,
    /// All of it; 0 where it has no limit.
    pub all: u64,
}

/// One measurement. What could not be measured is missing and leaves its pressure as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Bytes of memory.
    pub memory: Option<Gauge>,
    /// Bytes of each disk that counts: the engine's and the agent's.
    pub space: Vec<Gauge>,
    /// Inodes of each.
    pub inodes: Vec<Gauge>,
    /// Process ids.
    pub pids: Option<Gauge>,
}

/// The memory that is kept back from pods, so that the mark is not reached by what was promised.
pub(crate) fn memory_mark(all: u64) -> u64 {
    MEMORY_BYTES.max(share(all, MEMORY_PERMILLE))
}

/// The same for the disk.
pub(crate) fn space_mark(all: u64) -> u64 {
    share(all, SPACE_PERMILLE)
}

fn share(all: u64, permille: u64) -> u64 {
    all / 1000 * permille + all % 1000 * permille / 1000
}

/// What one measurement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Clear of the mark by a fifth.
    Clear,
    /// Between.
    Near,
    /// Below the mark.
    Short,
}

fn verdict(gauge: Gauge, mark: u64) -> Verdict {
    if gauge.all == 0 {
        return Verdict::Clear;
    }
    match gauge.free {
        free if free < mark => Verdict::Short,
        free if free < mark + mark / 5 => Verdict::Near,
        _ => Verdict::Clear,
    }
}

/// One pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Pressure {
    #[default]
    None,
    /// It holds; clear of the mark since then, if it is now.
    Holds { clear: Option<Duration> },
}

impl Pressure {
    fn take(&mut self, now: Duration, verdict: Verdict) {
        *self = match (*self, verdict) {
            (Self::None, Verdict::Clear | Verdict::Near) => Self::None,
            (Self::None, Verdict::Short) | (Self::Holds { .. }, Verdict::Short | Verdict::Near) => {
                Self::Holds { clear: None }
            }
            (Self::Holds { clear }, Verdict::Clear) => {
                let since = clear.unwrap_or(now);
                if now.saturating_sub(since) >= TRANSITION { Self::None } else { Self::Holds { clear: Some(since) } }
            }
        };
    }
}

/// The node's pressures over time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pressures {
    memory: Pressure,
    disk: Pressure,
    pids: Pressure,
}

impl Pressures {
    /// Takes a measurement, at a time of a clock that never jumps.
    pub fn take(&mut self, now: Duration, sample: &Sample) {
        if let Some(memory) = sample.memory {
            self.memory.take(now, verdict(memory, memory_mark(memory.all)));
        }
        let space = sample.space.iter().map(|g| verdict(*g, space_mark(g.all)));
        let inodes = sample.inodes.iter().map(|g| verdict(*g, share(g.all, INODES_PERMILLE)));
        if let Some(worst) = space.chain(inodes).max() {
            self.disk.take(now, worst);
        }
        if let Some(pids) = sample.pids {
            self.pids.take(now, verdict(pids, share(pids.all, PIDS_PERMILLE)));
        }
    }

    /// The conditions that hold, by their Kubernetes names.
    pub fn conditions(&self) -> Vec<String> {
        let all = [("MemoryPressure", self.memory), ("DiskPressure", self.disk), ("PIDPressure", self.pids)];
        all.into_iter().filter(|(_, p)| *p != Pressure::None).map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether the disk is short.
    pub fn disk(&self) -> bool {
        self.disk != Pressure::None
    }
}

/// The kernel's table of connections counts as full below this free share, in thousandths.
const CONNECTIONS_PERMILLE: u64 = 100;
/// … and no longer above this.
const CONNECTIONS_CLEAR: u64 = 200;

/// Whether the kernel's table of connections is full or nearly so: then it drops those that are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connections {
    full: bool,
    all: u64,
}

impl Connections {
    /// Takes a measurement; gives whether it counts as full.
    pub fn take(&mut self, gauge: Gauge) -> bool {
        let mark = share(gauge.all, if self.full { CONNECTIONS_CLEAR } else { CONNECTIONS_PERMILLE });
        // 0 is no limit.
        self.full = gauge.all > 0 && gauge.free < mark;
        self.all = gauge.all;
        self.full
    }

    /// What is said of a full one: the same as long as it is.
    pub fn trouble(&self) -> NetworkTrouble {
        let (all, more) = (self.all, self.all.saturating_mul(2));
        NetworkTrouble {
            reason: "ConnectionTableFull".into(),
            message: format!(
                "the kernel's table of connections is nearly full, of {all}: it drops new ones of pods and of the machine; raise it (sysctl -w net.netfilter.nf_conntrack_max={more}), or find who opens so many (conntrack -L)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_connections_is_full_from_nine_tenths_until_a_fifth_is_free() {
        let mut table = Connections::default();
        for (free, full) in [(500, false), (100, false), (99, true), (0, true), (199, true), (200, false), (101, false)]
        {
            assert_eq!(table.take(Gauge { free, all: 1000 }), full, "{free} free");
        }
        assert!(!table.take(Gauge { free: 0, all: 0 }), "no limit");
        table.take(Gauge { free: 5, all: 262_144 });
        assert!(table.trouble().message.contains("nf_conntrack_max=524288"));
    }

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn memory(free: u64) -> Sample {
        Sample { memory: Some(Gauge { free, all: 4 * GIB }), ..Sample::default() }
    }

    #[test]
    fn marks() {
        for (all, mark) in [(512 * MIB, 100 * MIB), (4 * GIB, 100 * MIB), (64 * GIB, 64 * GIB / 100), (0, 100 * MIB)] {
            assert!(memory_mark(all).abs_diff(mark) < 1000, "{all}");
        }
        assert_eq!(space_mark(u64::MAX), u64::MAX / 1000 * 100 + u64::MAX % 1000 / 10);
    }

    #[test]
    fn one_verdict_for_each_measure() {
        let gauge = |free, all| Gauge { free, all };
        for (gauge, mark, expected) in [
            (gauge(99, 1000), 100, Verdict::Short),
            (gauge(100, 1000), 100, Verdict::Near),
            (gauge(119, 1000), 100, Verdict::Near),
            (gauge(120, 1000), 100, Verdict::Clear),
            // A file system without a limit of inodes says 0 of 0.
            (gauge(0, 0), 0, Verdict::Clear),
            (gauge(0, 1000), 100, Verdict::Short),
        ] {
            assert_eq!(verdict(gauge, mark), expected, "{gauge:?}");
        }
    }

    #[test]
    fn a_pressure_begins_at_once_and_ends_after_five_minutes_clear_of_the_mark() {
        let mut pressures = Pressures::default();
        // (second, MiB free, whether it holds)
        let steps = [
            (0, 2000, false),
            (10, 110, false),
            (20, 99, true),
            (30, 110, true),
            (400, 110, true),
            (410, 200, true),
            (700, 200, true),
            // Near the mark once: the five minutes begin anew.
            (705, 119, true),
            (710, 200, true),
            (1009, 200, true),
            (1010, 200, false),
            (1020, 119, false),
            (1030, 0, true),
        ];
        for (second, free, holds) in steps {
            pressures.take(Duration::from_secs(second), &memory(free * MIB));
            assert_eq!(pressures.conditions() == ["MemoryPressure"], holds, "at {second} s");
        }
    }

    #[test]
    fn the_worst_disk_counts_by_space_and_by_inodes() {
        let well = Gauge { free: 500, all: 1000 };
        let cases = [
            (vec![well, well], vec![well, well], false),
            (vec![well, Gauge { free: 99, all: 1000 }], vec![well, well], true),
            (vec![well, well], vec![Gauge { free: 49, all: 1000 }, well], true),
            (vec![well], vec![Gauge::default()], false),
        ];
        for (space, inodes, holds) in cases {
            let mut pressures = Pressures::default();
            pressures.take(Duration::ZERO, &Sample { space, inodes, ..Sample::default() });
            assert_eq!(pressures.disk(), holds);
            assert_eq!(pressures.conditions().len(), usize::from(holds));
        }
    }

    #[test]
    fn what_cannot_be_measured_stays_as_it_is() {
        let mut pressures = Pressures::default();
        let short = Some(Gauge { free: 1, all: 32768 });
        pressures.take(Duration::ZERO, &Sample { pids: short, ..memory(1) });
        assert_eq!(pressures.conditions(), ["MemoryPressure", "PIDPressure"]);
        pressures.take(Duration::from_hours(1), &Sample::default());
        assert_eq!(pressures.conditions(), ["MemoryPressure", "PIDPressure"]);
    }
}
