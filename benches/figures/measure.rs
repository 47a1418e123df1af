//! Rounds, medians, and how a comparison is printed.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// Rounds of every comparison, alternating; the first side of a round changes each time.
pub const ROUNDS: usize = 7;

/// Which way is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// The samples of one thing, one a round.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// One figure that was measured once, or made from others.
    pub fn one(value: f64) -> Self {
        Self(vec![value])
    }

    fn sorted(&self) -> Vec<f64> {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The value below which this part of all lies.
    pub fn at(&self, part: f64) -> f64 {
        let all = self.sorted();
        let last = all.len().saturating_sub(1) as f64;
        all.get((last * part).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    fn range(&self) -> String {
        format!("{} .. {}", number(self.at(0.0)), number(self.at(1.0)))
    }
}

/// Runs both sides in turn.
pub fn alternate(mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> (Samples, Samples) {
    let (mut a, mut b) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            a.0.push(ours());
            b.0.push(theirs());
        } else {
            b.0.push(theirs());
            a.0.push(ours());
        }
    }
    (a, b)
}

/// How long something takes, in milliseconds.
pub fn millis<T>(run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    std::hint::black_box(run());
    ms(start.elapsed())
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Prints one side by itself.
pub fn alone(what: &str, unit: &str, samples: &Samples) {
    println!("  {what:52} {:>10} {unit}  ({})", number(samples.median()), samples.range());
}

/// Prints both sides and their ratio. The target is a bound of the ratio, `slack` what may come on
/// top of the baseline. Within the spread of its own rounds a ratio counts as met.
pub fn compared(what: (&str, &str), unit: &str, better: Better, target: (f64, f64), samples: (&Samples, &Samples)) {
    let (ours, theirs) = samples;
    alone(what.0, unit, ours);
    alone(what.1, unit, theirs);
    let ((bound, slack), ratio) = (target, ours.median() / theirs.median());
    let met = |ours: f64| match better {
        Better::Lower => ours <= theirs.median() * bound + slack,
        Better::Higher => ours >= theirs.median() * bound - slack,
    };
    let (best, sign) = match better {
        Better::Lower => (ours.at(0.0), "at most"),
        Better::Higher => (ours.at(1.0), "at least"),
    };
    let verdict = match (met(ours.median()), met(best)) {
        (true, _) => "met",
        (false, true) => "met within the spread",
        (false, false) => "MISSED",
    };
    let plus = if slack > 0.0 { format!(" + {} {unit}", number(slack)) } else { String::new() };
    println!("  ratio {ratio:.3}, to be {sign} {bound}{plus}: {verdict}");
}

/// Prints a value that has a bound of its own.
pub fn bounded(what: &str, unit: &str, better: Better, bound: f64, samples: &Samples) {
    alone(what, unit, samples);
    let met = |v: f64| if better == Better::Lower { v <= bound } else { v >= bound };
    let best = if better == Better::Lower { samples.at(0.0) } else { samples.at(1.0) };
    let verdict = match (met(samples.median()), met(best)) {
        (true, _) => "met",
        (false, true) => "met within the spread",
        (false, false) => "MISSED",
    };
    let sign = if better == Better::Lower { "at most" } else { "at least" };
    println!("  to be {sign} {} {unit}: {verdict}", number(bound));
}

fn number(n: f64) -> String {
    match n.abs() {
        a if a >= 1000.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// Says on what all this was measured.
pub fn machine() {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, v)| v.trim().to_string()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let docker = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    let docker = docker.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).unwrap_or_default();
    println!(
        "machine: {cores} cores ({}), {}, Linux {}, Docker {}, load {}",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        if docker.is_empty() { "none" } else { &docker },
        read("/proc/loadavg").split(' ').next().unwrap_or_default()
    );
}

/// A line of `/proc/PID/status` in KiB.
pub fn status_kib(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
}
