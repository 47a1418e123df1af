//! The folder of one lab: all its files, and enough to remove everything of it after its process
//! died without a word.
//!
//! Its name is that of the process that made it, for good: id and start time, and a number. The
//! names of its control groups begin with it; its processes' ids are in a file in it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, id},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    command::output,
    group,
    process::{kill_9, started_at},
};

const PREFIX: &str = "evenkeel-lab-";
const PIDS: &str = "pids";

/// A lab's folder. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Mark {
    dir: PathBuf,
    leg: String,
}

impl Mark {
    /// Makes a new one; the first of a process removes what dead processes left.
    pub(crate) fn new() -> Self {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let (pid, number) = (id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let start = started_at(pid).expect("this process runs");
        let dir = std::env::temp_dir().join(format!("{PREFIX}{pid}-{start}-{number}"));
        fs::create_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Self { dir, leg: leg(pid, number) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What all its names in shared places begin with.
    pub(crate) fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The name of the host's leg: at most 15 bytes, as the kernel has it.
    pub(crate) fn leg(&self) -> &str {
        &self.leg
    }

    /// Writes down a process that must not outlive this lab.
    pub(crate) fn record(&self, pid: u32) {
        let Some(start) = started_at(pid) else { return };
        let file = OpenOptions::new().create(true).append(true).open(self.dir.join(PIDS));
        let written = file.and_then(|mut file| writeln!(file, "{pid} {start}"));
        written.unwrap_or_else(|e| panic!("{}: {e}", self.dir.display()));
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays behind: {e}", self.dir.display());
        }
    }
}

fn leg(pid: u32, number: u32) -> String {
    format!("ek{pid}x{number}")
}

/// Removes what is left of labs whose process has ended.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((pid, start, number)) = parse(&name) else { continue };
        if started_at(pid) == Some(start) {
            continue;
        }
        // A neighbour may be sweeping too; what is gone is gone.
        if let Err(e) = remove(&entry.path(), &name, &leg(pid, number)) {
            eprintln!("{name} of a dead run stays behind: {e}");
        }
    }
}

fn parse(name: &str) -> Option<(u32, u64, u32)> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let found = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(found)
}

fn remove(dir: &Path, name: &str, leg: &str) -> io::Result<()> {
    let recorded = fs::read_to_string(dir.join(PIDS)).unwrap_or_default();
    for line in recorded.lines() {
        let Some((pid, start)) = line.split_once(' ') else { continue };
        if let (Ok(pid), Ok(start)) = (pid.parse(), start.parse::<u64>())
            && started_at(pid) == Some(start)
        {
            kill_9(pid);
        }
    }
    // Goes with the switch's namespace; here in case that is held by something.
    output(Command::new("ip").args(["link", "del", leg]));
    group::remove_all(&format!("{name}-"))?;
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_labs_are_labs() {
        assert_eq!(parse("evenkeel-lab-12-345-0"), Some((12, 345, 0)));
        for other in ["evenkeel-lab.lock", "evenkeel-lab-12-345", "evenkeel-lab-12-345-0-m1", "evenkeel-e2e-1-2-3"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_name_of_the_leg_fits_the_kernel() {
        assert!(leg(4_194_304, 9_999).len() <= 15);
    }
}
