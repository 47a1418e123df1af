//! Which pod of the node has which address: given round robin from the node's range, kept on disk.
//!
//! An address stays with its pod over restarts of its containers, of the agent and of the machine,
//! and is free when the pod is forgotten. A freed one is the last to be given again: others may
//! still speak to it. Deliberately not here: what the kernel has (the caller says what is busy).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use evenkeel_files::{PRIVATE, replace};
use evenkeel_model::{Uid, net::Cidr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of the file.
const FORMAT: u32 = 1;
/// Largest file that is read: a range of 16 bits of addresses is some MiB.
const MAX_FILE: u64 = 16 << 20;

/// An address cannot be given.
#[derive(Debug, Error)]
pub enum IpamError {
    /// The disk refused.
    #[error("cannot keep the pods' addresses in {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is none of ours.
    #[error("{} cannot be read: {reason}; move it away to begin with no address given", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// All are given.
    #[error(
        "all {size} addresses of the node's range {range} are given; wider ranges for nodes come with `--node-cidr-size` at the server"
    )]
    Full {
        /// The range.
        range: Cidr,
        /// How many pods it holds.
        size: u64,
    },
    /// A range without room for any pod.
    #[error("the node's range {0} has no room for pods: it must hold at least 4 addresses")]
    TooSmall(Cidr),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    format: u32,
    /// Where the search for the next one begins.
    #[serde(default)]
    next: u64,
    #[serde(default)]
    pods: BTreeMap<Uid, Ipv4Addr>,
}

/// The addresses of a node's pods.
#[derive(Debug)]
pub struct Ipam {
    path: PathBuf,
    record: Record,
}

/// The node's own address in its range: what pods see its traffic come from.
pub fn node_address(range: Cidr) -> Option<Ipv4Addr> {
    range.nth(1).filter(|_| range.size() >= 4)
}

/// How many pods a range holds: its first address, the node's own, and its last are kept back.
fn room(range: Cidr) -> u64 {
    range.size().saturating_sub(3)
}

impl Ipam {
    /// Reads what was given; nothing where there is no file.
    pub fn open(path: &Path) -> Result<Self, IpamError> {
        let io = |source| IpamError::Io { path: path.into(), source };
        let record = match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(e) => return Err(io(e)),
            Ok(file) => {
                let content = |reason: String| IpamError::Content { path: path.into(), reason };
                if file.len() > MAX_FILE {
                    return Err(content("it is too large".into()));
                }
                let record: Record =
                    serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|e| content(e.to_string()))?;
                if record.format > FORMAT {
                    return Err(content(format!("it has format {}, this version reads up to {FORMAT}", record.format)));
                }
                record
            }
        };
        Ok(Self { path: path.into(), record })
    }

    /// The address of a pod, if it has one.
    pub fn of(&self, pod: Uid) -> Option<Ipv4Addr> {
        self.record.pods.get(&pod).copied()
    }

    /// All that are given.
    pub fn given(&self) -> impl Iterator<Item = (Uid, Ipv4Addr)> + '_ {
        self.record.pods.iter().map(|(pod, address)| (*pod, *address))
    }

    /// Gives a pod an address of `range`: the one that it has, or the next that is neither given nor
    /// `busy`. It is on disk when this returns. Where all are given, those of pods that are not
    /// `alive` are taken back first.
    pub fn give(
        &mut self,
        pod: Uid,
        range: Cidr,
        busy: &BTreeSet<Ipv4Addr>,
        alive: impl Fn(Uid) -> bool,
    ) -> Result<Ipv4Addr, IpamError> {
        if let Some(address) = self.of(pod).filter(|a| range.contains((*a).into())) {
            return Ok(address);
        }
        if room(range) == 0 {
            return Err(IpamError::TooSmall(range));
        }
        let address = if let Some(address) = self.next_free(range, busy) {
            address
        } else {
            self.record.pods.retain(|pod, _| alive(*pod));
            self.next_free(range, busy).ok_or(IpamError::Full { range, size: room(range) })?
        };
        self.record.next = u64::from(u32::from(address) - u32::from(range.network())) + 1;
        self.record.pods.insert(pod, address);
        // What is not on disk is not given: it is tried again.
        self.write().inspect_err(|_| _ = self.record.pods.remove(&pod))?;
        Ok(address)
    }

    fn next_free(&self, range: Cidr, busy: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let given: BTreeSet<Ipv4Addr> = self.record.pods.values().copied().collect();
        let (first, count) = (2, room(range));
        // A place beyond the end is one of another range, or the end itself.
        let from = if (first..first + count).contains(&self.record.next) { self.record.next - first } else { 0 };
        (0..count)
            .filter_map(|n| range.nth(first + (from + n) % count))
            .find(|address| !given.contains(address) && !busy.contains(address))
    }

    /// Takes a pod's address back; none is fine.
    pub fn free(&mut self, pod: Uid) -> Result<(), IpamError> {
        match self.record.pods.remove(&pod) {
            Some(_) => self.write(),
            None => Ok(()),
        }
    }

    fn write(&mut self) -> Result<(), IpamError> {
        self.record.format = FORMAT;
        let text = serde_json::to_vec(&self.record).map_err(io::Error::other);
        text.and_then(|text| replace(&self.path, &text, PRIVATE))
            .map_err(|source| IpamError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn nobody() -> BTreeSet<Ipv4Addr> {
        BTreeSet::new()
    }

    #[test]
    fn a_pod_keeps_its_address_and_a_freed_one_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("addresses.json");
        let range: Cidr = "10.42.3.0/29".parse().unwrap();
        let mut ipam = Ipam::open(&path).unwrap();
        let all = |_| true;
        let give = |ipam: &mut Ipam, n| ipam.give(Uid(n), range, &nobody(), all).map(|a| a.to_string());
        assert_eq!(node_address(range), Some(ip("10.42.3.1")));
        assert_eq!(give(&mut ipam, 1).unwrap(), "10.42.3.2");
        assert_eq!(give(&mut ipam, 2).unwrap(), "10.42.3.3");
        assert_eq!(give(&mut ipam, 1).unwrap(), "10.42.3.2");
        ipam.free(Uid(1)).unwrap();
        ipam.free(Uid(1)).unwrap();
        assert_eq!(give(&mut ipam, 3).unwrap(), "10.42.3.4", "not the one that was just freed");
        // Another life goes on where this one ended.
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut ipam = Ipam::open(&path).unwrap();
        assert_eq!(ipam.of(Uid(2)), Some(ip("10.42.3.3")));
        assert_eq!(give(&mut ipam, 4).unwrap(), "10.42.3.5");
        assert_eq!(give(&mut ipam, 5).unwrap(), "10.42.3.6");
        assert_eq!(give(&mut ipam, 6).unwrap(), "10.42.3.2");
        let full = give(&mut ipam, 7).unwrap_err().to_string();
        assert!(full.contains("all 5 addresses") && full.contains("--node-cidr-size"), "{full}");
    }

    #[test]
    fn busy_ones_are_left_out_and_dead_pods_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut ipam = Ipam::open(&dir.path().join("addresses.json")).unwrap();
        let range: Cidr = "10.42.3.0/29".parse().unwrap();
        let busy = BTreeSet::from([ip("10.42.3.2"), ip("10.42.3.4")]);
        for (pod, address) in [(1, "10.42.3.3"), (2, "10.42.3.5"), (3, "10.42.3.6")] {
            assert_eq!(ipam.give(Uid(pod), range, &busy, |_| true).unwrap(), ip(address));
        }
        assert!(ipam.give(Uid(4), range, &busy, |_| true).is_err());
        assert_eq!(ipam.give(Uid(4), range, &busy, |pod| pod != Uid(2)).unwrap(), ip("10.42.3.5"));
        // A node that is given another range: pods get addresses of it from then on.
        let other: Cidr = "10.42.9.0/24".parse().unwrap();
        assert_eq!(ipam.give(Uid(1), other, &nobody(), |_| true).unwrap(), ip("10.42.9.6"));
        let small: Cidr = "10.42.9.0/31".parse().unwrap();
        assert!(matches!(ipam.give(Uid(9), small, &nobody(), |_| true), Err(IpamError::TooSmall(_))));
    }

    #[test]
    fn a_file_that_is_not_ours_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("addresses.json");
        fs::write(&path, "{\"format\":7}").unwrap();
        assert!(Ipam::open(&path).unwrap_err().to_string().contains("format 7"));
        fs::write(&path, "nothing").unwrap();
        assert!(Ipam::open(&path).is_err());
    }
}
