//! Who is asked for names that are not the cluster's: the node's own resolvers, as its
//! `/etc/resolv.conf` names them, read again when it changes.

use std::{
    fs::{self, Metadata},
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// How often it is looked whether the file changed: a look is one system call.
const LOOK: Duration = Duration::from_secs(1);

/// Resolvers of a file that count, as for the C library (`MAXNS`).
const MOST: usize = 3;

/// The largest such file that is read.
const MOST_BYTES: u64 = 64 * 1024;

/// Where resolvers are found.
#[derive(Debug, Clone)]
pub enum Resolvers {
    /// In a file in the form of `resolv.conf(5)`.
    File(PathBuf),
    /// These.
    Fixed(Vec<SocketAddr>),
}

/// The resolvers of this moment.
#[derive(Debug)]
pub(super) struct Current {
    from: Resolvers,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    servers: Arc<[SocketAddr]>,
    /// It was said that the file cannot be read.
    said: bool,
}

/// What tells one state of a file from the next.
type Stamp = (SystemTime, u64, u64);

impl Current {
    pub(super) fn new(from: Resolvers) -> Self {
        let seen = match &from {
            Resolvers::Fixed(servers) => Seen { servers: servers.clone().into(), ..Seen::default() },
            Resolvers::File(_) => Seen::default(),
        };
        Self { from, seen: Mutex::new(seen) }
    }

    /// The resolvers as they are now.
    pub(super) fn get(&self, now: Instant) -> Arc<[SocketAddr]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Resolvers::File(path) = &self.from
            && seen.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK)
        {
            seen.looked = Some(now);
            seen.look(path);
        }
        Arc::clone(&seen.servers)
    }
}

impl Seen {
    fn look(&mut self, path: &Path) {
        let found = fs::metadata(path);
        let stamp = found.as_ref().ok().and_then(stamp);
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        match found.and_then(|found| read(path, &found)) {
            Ok(text) => {
                self.servers = parse(&text).into();
                if self.servers.is_empty() {
                    tracing::warn!(path = %path.display(), "names no resolver: only the cluster's own names are answered");
                }
                self.stamp = stamp;
                self.said = false;
            }
            // Also in the moment in which somebody replaces it: the last ones stay.
            Err(error) => {
                self.stamp = None;
                if !std::mem::replace(&mut self.said, true) {
                    tracing::warn!(path = %path.display(), %error, "the node's resolvers cannot be read");
                }
            }
        }
    }
}

fn stamp(found: &Metadata) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    Some((found.modified().ok()?, found.ino(), found.len()))
}

fn read(path: &Path, found: &Metadata) -> io::Result<String> {
    if found.len() > MOST_BYTES {
        return Err(io::Error::other(format!("it is larger than {MOST_BYTES} bytes")));
    }
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        if let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) {
            servers.push(SocketAddr::new(address, 53));
        } else {
            // An IPv6 address of one link has its zone behind it; nothing else is known to be there.
            tracing::debug!(line, "a resolver that is not understood is left out");
        }
    }
    servers.truncate(MOST);
    servers
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn resolvers_are_read_as_the_c_library_does() {
        let text = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 192.0.2.1\nnameserver\t192.0.2.2 # second\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 192.0.2.4\noptions ndots:2\n";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "192.0.2.2:53", "[2001:db8::1]:53"]);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_keeps_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let write = |text: &str| {
            let next = folder.path().join("next");
            fs::File::create(&next).unwrap().write_all(text.as_bytes()).unwrap();
            fs::rename(next, &path).unwrap();
        };
        let current = Current::new(Resolvers::File(path.clone()));
        let start = Instant::now();
        assert!(current.get(start).is_empty());
        write("nameserver 192.0.2.1\n");
        assert!(current.get(start + LOOK / 2).is_empty(), "it is not looked at each time");
        assert_eq!(current.get(start + LOOK).len(), 1);
        write("nameserver 192.0.2.1\nnameserver 192.0.2.2\n");
        assert_eq!(current.get(start + LOOK * 2).len(), 2);
        fs::remove_file(&path).unwrap();
        assert_eq!(current.get(start + LOOK * 3).len(), 2);
        write("");
        assert!(current.get(start + LOOK * 4).is_empty());
    }
}
