//! Control groups of a machine: one that its processes run in, so that it can be frozen whole, and
//! the removal of what the kernel and its engine leave behind.
//!
//! Version 1 and 2 both: with version 1 the freezer is a hierarchy of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::wait::eventually;

const ROOT: &str = "/sys/fs/cgroup";

/// The groups of one machine, all with its name.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    name: String,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Group {
    /// Makes the group; an older one of the name may be there.
    pub(crate) fn make(name: &str) -> Self {
        let group = Self::of(name);
        let own = group.own();
        fs::create_dir_all(&own).unwrap_or_else(|e| panic!("{}: {e}: the lab makes control groups", own.display()));
        group
    }

    fn of(name: &str) -> Self {
        let two = Path::new(ROOT).join("cgroup.controllers").exists();
        Self { name: name.to_string(), version: if two { Version::Two } else { Version::One } }
    }

    /// What an engine takes as the parent of its containers' groups.
    pub(crate) fn parent(&self) -> String {
        format!("/{}", self.name)
    }

    /// Where the machine's own processes are: version 2 has processes only in leaves.
    pub(crate) fn own(&self) -> PathBuf {
        self.base().join("sys")
    }

    /// The machine's group, with one below for each container, named by its id.
    pub(crate) fn base(&self) -> PathBuf {
        match self.version {
            Version::One => Path::new(ROOT).join("freezer").join(&self.name),
            Version::Two => Path::new(ROOT).join(&self.name),
        }
    }

    /// Stops everything in it, containers too, or lets it go on; waits until that is so.
    pub(crate) fn freeze(&self, frozen: bool) {
        let base = self.base();
        let (file, word, seen, expected) = match (self.version, frozen) {
            (Version::One, true) => ("freezer.state", "FROZEN", "freezer.state", "FROZEN"),
            (Version::One, false) => ("freezer.state", "THAWED", "freezer.state", "THAWED"),
            (Version::Two, true) => ("cgroup.freeze", "1", "cgroup.events", "frozen 1"),
            (Version::Two, false) => ("cgroup.freeze", "0", "cgroup.events", "frozen 0"),
        };
        fs::write(base.join(file), word).unwrap_or_else(|e| panic!("{}: {e}", base.join(file).display()));
        eventually(&format!("{} is {word}", base.display()), || {
            let text = fs::read_to_string(base.join(seen)).ok()?;
            text.lines().any(|line| line == expected).then_some(())
        });
    }

    /// Removes all groups of the name, with those below. Processes in them must be ending.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for base in bases(&self.name) {
            remove(&base)?;
        }
        Ok(())
    }
}

/// The groups of machines 1, 2, … of a lab, as far as there are.
pub(crate) fn of_nodes(lab: &str) -> Vec<PathBuf> {
    let bases = (1..).map(|number| Group::of(&name(lab, number)).base());
    bases.take_while(|base| base.exists()).collect()
}

/// The name of the groups of a lab's machine.
pub(crate) fn name(lab: &str, machine: usize) -> String {
    format!("{lab}-m{machine}")
}

/// Lets go on, and removes, the groups of all machines whose name begins so.
pub(crate) fn remove_all(prefix: &str) -> io::Result<()> {
    let mut names: Vec<String> = Vec::new();
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names.dedup();
    for name in names {
        let group = Group::of(&name);
        if group.base().exists() {
            // What is frozen cannot die (version 1).
            group.freeze(false);
        }
        group.remove()?;
    }
    Ok(())
}

/// Folders that hold a group of a name.
fn bases(name: &str) -> Vec<PathBuf> {
    hierarchies().into_iter().map(|h| h.join(name)).filter(|base| base.exists()).collect()
}

/// The mounted hierarchies: of version 1 one for each controller, of version 2 the root.
fn hierarchies() -> Vec<PathBuf> {
    let below = fs::read_dir(ROOT).into_iter().flatten().flatten().map(|e| e.path());
    below.filter(|path| path.join("cgroup.procs").exists()).chain([PathBuf::from(ROOT)]).collect()
}

fn remove(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path())?;
        }
    }
    // Files in it are the kernel's and go with it. Killed processes leave it a moment later.
    let mut last = Ok(());
    for _ in 0..100 {
        last = match fs::remove_dir(group) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        match &last {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => crate::wait::pause(),
            _ => break,
        }
    }
    last.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", group.display())))
}
