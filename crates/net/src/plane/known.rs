//! What the server said of the network, merged: kept on disk, so that an agent that starts without
//! its server goes on with what it knew. Pure but for the files.
//!
//! All of it is one file, which costs what there is. So changes of Services, which come in crowds, are
//! added to a second one first, and the whole follows; `keep` says when.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, Write as _},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use evenkeel_files::{PRIVATE, replace};
use evenkeel_model::{
    net::{Cidr, NetworkSettings, NetworkUpdate, NodeNet, ServiceNet},
    policy::{PodNet, PolicyNet, PolicyUpdate},
};
use serde::{Deserialize, Serialize};

use super::balance::Opened;

/// Version of the file.
const FORMAT: u32 = 1;
/// Largest file that is read: ten thousand Services with their endpoints are about 20 MB.
const MAX_FILE: u64 = 256 << 20;

/// All nodes and Services, as of the newest update.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Known {
    #[serde(default)]
    format: u32,
    /// Whose links are on this machine, for whoever takes them away: cluster and node.
    #[serde(default)]
    pub(crate) owner: (String, String),
    /// How the network is laid out; `None` before a server said it.
    pub settings: Option<NetworkSettings>,
    /// Nodes by name.
    #[serde(default)]
    nodes: Vec<NodeNet>,
    #[serde(default)]
    services: Vec<Arc<ServiceNet>>,
    #[serde(default)]
    policies: Vec<Arc<PolicyNet>>,
    /// Pods of which policies speak, by uid.
    #[serde(default)]
    pods: Vec<Arc<PodNet>>,
    /// LoadBalancers that have their ports at this node's addresses.
    #[serde(default)]
    pub(super) opened: Vec<Opened>,
}

impl Known {
    /// What is known of a node.
    pub fn node(&self, name: &str) -> Option<&NodeNet> {
        self.nodes.binary_search_by(|n| (*n.name).cmp(name)).ok().map(|at| &self.nodes[at])
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> &[NodeNet] {
        &self.nodes
    }

    /// All Services, by namespace and name.
    pub fn services(&self) -> &[Arc<ServiceNet>] {
        &self.services
    }

    /// The range of a node's pods.
    pub(crate) fn range(&self, node: &str) -> Option<Cidr> {
        self.node(node)?.pod_cidr
    }

    /// The address that other nodes reach a node by.
    pub(crate) fn address(&self, node: &str) -> Option<IpAddr> {
        self.node(node)?.address
    }

    /// Takes an update in; updates come in their order.
    pub(crate) fn take(&mut self, update: &NetworkUpdate) {
        if update.full {
            self.nodes.clone_from(&update.nodes);
            self.nodes.sort_by(|a, b| a.name.cmp(&b.name));
            self.services.clone_from(&update.services);
            self.services.sort_by(|a, b| a.id.cmp(&b.id));
            self.policies.clone_from(&update.policy.policies);
            self.policies.sort_by(|a, b| a.id.cmp(&b.id));
            self.pods.clone_from(&update.policy.pods);
            self.pods.sort_by_key(|p| p.uid);
        } else {
            merge(&mut self.nodes, &update.nodes, &update.gone_nodes, |n| n.name.clone());
            merge(&mut self.services, &update.services, &update.gone_services, |s| s.id.clone());
            let policy = &update.policy;
            merge(&mut self.policies, &policy.policies, &policy.gone_policies, |p| p.id.clone());
            merge(&mut self.pods, &policy.pods, &policy.gone_pods, |p| p.uid);
        }
        if let Some(settings) = &update.settings {
            self.settings = Some(settings.clone());
        }
    }

    /// All of it as the server would say it.
    pub(crate) fn as_update(&self) -> NetworkUpdate {
        NetworkUpdate {
            session: 0,
            number: 0,
            full: true,
            settings: self.settings.clone(),
            nodes: self.nodes.clone(),
            gone_nodes: Vec::new(),
            services: self.services.clone(),
            gone_services: Vec::new(),
            policy: PolicyUpdate {
                policies: self.policies.clone(),
                pods: self.pods.clone(),
                ..PolicyUpdate::default()
            },
        }
    }

    /// Reads what was kept; nothing where there is no file, or one that cannot be read: the server
    /// says all of it again.
    pub(crate) fn read(path: &Path) -> Self {
        let read = || -> io::Result<Self> {
            if fs::metadata(path)?.len() > MAX_FILE {
                return Err(io::Error::other("it is too large"));
            }
            let known: Self = serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)?;
            if known.format > FORMAT {
                return Err(io::Error::other(format!("it has format {}, not {FORMAT}", known.format)));
            }
            Ok(known)
        };
        let begun = match read() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            begun => begun,
        };
        match begun {
            Ok(mut known) => {
                known.catch_up(path);
                known
            }
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "what was known of the network cannot be read; the server will say it again");
                Self::default()
            }
        }
    }

    /// Writes all of it; changes that were set aside before are in it.
    pub(crate) fn write(&mut self, path: &Path) -> io::Result<()> {
        self.format = FORMAT;
        replace(path, &serde_json::to_vec(self).map_err(io::Error::other)?, PRIVATE)?;
        // Taken in again after a crash between the two, they say what is so already.
        remove(&aside(path))
    }

    /// Takes in the changes that came after the file was written. A line that was cut off is the last.
    fn catch_up(&mut self, path: &Path) {
        for file in [aside(path), changes(path)] {
            let Ok(file) = fs::File::open(file) else { continue };
            let lines = io::BufReader::new(file).split(b'\n').map_while(Result::ok);
            for update in lines.map_while(|line| serde_json::from_slice::<NetworkUpdate>(&line).ok()) {
                self.take(&update);
            }
        }
    }
}

/// Keeps changes beside the file that has all before them; `sync` also over a loss of power.
pub(super) fn append(path: &Path, updates: &[Arc<NetworkUpdate>], sync: bool) -> io::Result<()> {
    let mut lines = Vec::new();
    for update in updates {
        serde_json::to_writer(&mut lines, &**update).map_err(io::Error::other)?;
        lines.push(b'\n');
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(changes(path))?;
    file.write_all(&lines)?;
    // Else a lost power takes what the kernel has along, so nothing has to be on the disk for that.
    if sync { file.sync_data() } else { Ok(()) }
}

/// Sets the changes that there are aside, to be taken away once all of it is written: those that come
/// meanwhile are not in it.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    let (from, to) = (changes(path), aside(path));
    let moved = if to.exists() {
        // A file that could not be written before: they are of both times.
        fs::read(&from).and_then(|later| {
            let mut all = fs::OpenOptions::new().append(true).open(&to)?;
            all.write_all(&later)?;
            all.sync_data()?;
            fs::remove_file(&from)
        })
    } else {
        fs::rename(&from, &to)
    };
    match moved {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

/// Removes a file; none is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The file of changes beside that of everything.
pub(super) fn changes(path: &Path) -> PathBuf {
    path.with_extension("changes")
}

/// The changes that are in what is being written.
pub(super) fn aside(path: &Path) -> PathBuf {
    path.with_extension("changes.old")
}

/// Puts new and changed ones in their places, and takes gone ones out.
fn merge<T: Clone, K: Ord>(all: &mut Vec<T>, new: &[T], gone: &[K], key: impl Fn(&T) -> K) {
    if new.is_empty() && gone.is_empty() {
        return;
    }
    let mut map: BTreeMap<K, T> = std::mem::take(all).into_iter().map(|item| (key(&item), item)).collect();
    for key in gone {
        map.remove(key);
    }
    map.extend(new.iter().map(|item| (key(item), item.clone())));
    *all = map.into_values().collect();
}

#[cfg(test)]
mod tests {

    use super::*;

    fn node(name: &str, address: &str) -> NodeNet {
        NodeNet { name: name.into(), address: address.parse().ok(), pod_cidr: None, zone: None }
    }

    fn update(full: bool, nodes: Vec<NodeNet>, gone: &[&str]) -> NetworkUpdate {
        NetworkUpdate {
            session: 1,
            number: 1,
            full,
            settings: full.then(NetworkSettings::default),
            nodes,
            gone_nodes: gone.iter().map(|n| (*n).into()).collect(),
            ..NetworkUpdate::default()
        }
    }

    #[test]
    fn a_full_update_says_all_and_others_the_difference() {
        let names = |known: &Known| known.nodes().iter().map(|n| n.name.to_string()).collect::<Vec<_>>();
        let mut known = Known::default();
        known.take(&update(true, vec![node("b", "10.0.0.2"), node("a", "10.0.0.1")], &[]));
        known.take(&update(false, vec![node("c", "10.0.0.3"), node("a", "10.0.0.9")], &["b", "never"]));
        assert_eq!(names(&known), ["a", "c"]);
        assert_eq!(known.address("a"), "10.0.0.9".parse().ok());
        assert!(known.settings.is_some() && known.node("b").is_none());
        known.take(&update(true, vec![node("d", "10.0.0.4")], &[]));
        assert_eq!(names(&known), ["d"]);
    }

    #[test]
    fn it_is_kept_and_a_damaged_file_is_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.json");
        assert_eq!(Known::read(&path), Known::default());
        let mut known = Known { owner: ("c".into(), "n".into()), ..Known::default() };
        known.take(&update(true, vec![node("a", "10.0.0.1")], &[]));
        known.write(&path).unwrap();
        assert_eq!(Known::read(&path), known);
        fs::write(&path, "{").unwrap();
        assert_eq!(Known::read(&path), Known::default());
    }

    #[test]
    fn changes_are_kept_beside_it_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.json");
        let mut known = Known::default();
        known.take(&update(true, vec![node("a", "10.0.0.1")], &[]));
        known.write(&path).unwrap();
        let more =
            [update(false, vec![node("b", "10.0.0.2")], &[]), update(false, vec![node("c", "10.0.0.3")], &["a"])];
        for update in &more {
            known.take(update);
            append(&path, &[Arc::new(update.clone())], false).unwrap();
        }
        assert_eq!(Known::read(&path), known);
        let kept = fs::read(changes(&path)).unwrap();
        set_aside(&path).unwrap();
        // What comes while it is written stays, and so it does when that failed and is tried again.
        let late = update(false, vec![node("d", "10.0.0.4")], &[]);
        let mut newest = known.clone();
        newest.take(&late);
        append(&path, &[Arc::new(late.clone())], true).unwrap();
        assert_eq!(Known::read(&path), newest);
        known.write(&path).unwrap();
        newest.format = known.format;
        assert_eq!(Known::read(&path), newest);
        fs::write(aside(&path), &kept).unwrap();
        set_aside(&path).unwrap();
        assert!(!changes(&path).exists());
        assert_eq!(Known::read(&path), newest);
        newest.write(&path).unwrap();
        assert!(!aside(&path).exists());
        // A crash before they were taken away, and one in the middle of a line.
        fs::write(changes(&path), [&kept[..], &kept[..20]].concat()).unwrap();
        assert_eq!(Known::read(&path), newest);
    }
}
