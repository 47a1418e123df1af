//! What a backup file is: a tar that begins with `backup.json`, the header, and holds the parts that
//! make a control half: the database, the CA's folder, the key of Secrets at rest.
//!
//! The host writes one, `evenkeel restore` reads it; [`seal`] is what it looks like under a
//! passphrase. Plain, it can be read with `tar` alone. Deliberately not here: how a copy of the
//! database is made (`sqlite`), and what takes the place of what (`restore`).

mod read;
pub mod seal;
mod write;

use evenkeel_model::{Digest, Time};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use read::{header, unpack};
pub use write::Plan;

/// What the header says that the file is.
const KIND: &str = "evenkeel backup";
/// Version of the form. Fields are only ever added within one.
pub const FORMAT: u32 = 1;
/// Name of the header, the first entry.
pub const HEADER: &str = "backup.json";
/// Name of the database's part.
pub const DATABASE: &str = "evenkeel.db";
/// Name of the part with the key of Secrets at rest.
pub const KEY: &str = "encryption.key";
/// Where the parts of the CA's folder begin.
pub const CA: &str = "ca/";
/// Bytes of a header: some 150 for each part, and a node has one; ten thousand nodes fit.
pub const HEADER_LIMIT: u64 = 2 << 20;
/// Bytes of a part that is not the database: keys and certificates.
const SMALL_LIMIT: u64 = 1 << 20;
/// Levels of folders below `ca/`: `nodes` is one.
const DEPTH: usize = 2;

/// The first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `evenkeel backup`.
    pub kind: String,
    /// [`FORMAT`].
    pub format: u32,
    /// Id of the cluster.
    pub cluster: String,
    /// When it was made.
    pub created: Time,
    /// Version of the program that made it.
    pub program: String,
    /// Epoch of the store.
    pub epoch: u64,
    /// Version of the store.
    pub version: u64,
    /// Schema of the database.
    pub schema: u32,
    /// Everything else in it, in order.
    pub parts: Vec<Part>,
}

/// One file in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its place below the data directory.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// What is wrong with a backup file.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Something else.
    #[error("it is no backup of Evenkeel: {0}")]
    Foreign(String),
    /// Of a newer program.
    #[error(
        "it has form {found}, and this program reads forms up to {FORMAT}: use the program that made it, or a newer one"
    )]
    Newer {
        /// Its form.
        found: u32,
    },
    /// It ends too early.
    #[error("it ends too early: the copy is not whole")]
    Short,
    /// A part is not as its header says.
    #[error("{part} in it is damaged: {why}")]
    Damaged {
        /// Which.
        part: String,
        /// What differs.
        why: &'static str,
    },
    /// The passphrase, or the bytes under it.
    #[error("the passphrase is wrong, or the file was changed")]
    Passphrase,
    /// Bytes under the right passphrase.
    #[error("the file was changed, or the copy is not whole")]
    Changed,
    /// A passphrase is needed.
    #[error("it is sealed with a passphrase")]
    Sealed,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(String),
    /// A passphrase that protects nothing.
    #[error("the passphrase is empty")]
    Empty,
    /// Reading or writing failed.
    #[error("cannot {doing}")]
    Io {
        /// As `read the backup`.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ArchiveError {
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Short,
            // An error of ours that came through a reader.
            _ => match source.downcast::<Self>() {
                Ok(ours) => ours,
                Err(source) => Self::Io { doing, source },
            },
        }
    }
}

impl Header {
    /// Whether this program can read what it heads.
    fn check(self) -> Result<Self, ArchiveError> {
        if self.kind != KIND {
            return Err(ArchiveError::Foreign(format!("its header says `{}`", self.kind.escape_debug())));
        }
        if self.format > FORMAT {
            return Err(ArchiveError::Newer { found: self.format });
        }
        if let Some(part) = self.parts.iter().find(|p| !p.is_safe()) {
            return Err(ArchiveError::Foreign(format!("it holds `{}`", part.name.escape_debug())));
        }
        for needed in [DATABASE, KEY] {
            if !self.parts.iter().any(|p| p.name == needed) {
                return Err(ArchiveError::Foreign(format!("it holds no {needed}")));
            }
        }
        Ok(self)
    }
}

impl Part {
    /// Whether its name is one of ours and stays below the folder that it is unpacked into.
    fn is_safe(&self) -> bool {
        if self.name == DATABASE {
            return true;
        }
        let small = self.bytes <= SMALL_LIMIT;
        small && (self.name == KEY || self.name.strip_prefix(CA).is_some_and(below_ca))
    }
}

/// Whether a name may lie below `ca/`: plain names, no way up or out.
pub fn below_ca(name: &str) -> bool {
    let plain = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(fits)
    };
    name.split('/').count() <= DEPTH && name.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::Path};

    use super::{
        seal::{Opener, Sealer, Work},
        *,
    };

    fn files() -> Vec<(String, Vec<u8>)> {
        [("ca/ca.crt", &b"cert"[..]), ("ca/nodes/n1", b""), (KEY, &[7; 32])]
            .map(|(n, b)| (n.to_string(), b.to_vec()))
            .into()
    }

    fn plan(database: &Path) -> Plan {
        let about = Header {
            kind: String::new(),
            format: 0,
            cluster: "0a".repeat(16),
            created: Time(1_800_000_000_000),
            program: "0.1.0".into(),
            epoch: 5,
            version: 9,
            schema: 1,
            parts: Vec::new(),
        };
        Plan::new(about, &files(), database).unwrap()
    }

    fn archive(dir: &Path) -> (Plan, Vec<u8>) {
        let database = dir.join("copy.db");
        fs::write(&database, vec![3; 100_000]).unwrap();
        let plan = plan(&database);
        let mut all = plan.head.clone();
        all.extend(fs::read(&database).unwrap());
        all.extend(&plan.tail);
        assert_eq!(all.len() as u64, plan.length());
        (plan, all)
    }

    #[test]
    fn what_goes_in_comes_out_and_tar_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (plan, all) = archive(dir.path());
        assert_eq!(header(&all[..3]).unwrap(), None);
        assert_eq!(header(&all).unwrap().unwrap(), plan.header);
        let to = dir.path().join("out");
        assert_eq!(unpack(&all[..], &to).unwrap(), plan.header);
        for (name, bytes) in files() {
            assert_eq!(fs::read(to.join(name)).unwrap(), bytes);
        }
        assert_eq!(fs::read(to.join(DATABASE)).unwrap().len(), 100_000);
        let names: Vec<String> = tar::Archive::new(&all[..])
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, [HEADER, "ca/ca.crt", "ca/nodes/n1", KEY, DATABASE]);
    }

    #[test]
    fn a_cut_or_changed_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (_, all) = archive(dir.path());
        for cut in [0, 100, 511, 700, 5000, all.len() - 1100, all.len() - 1024 - 512] {
            let error = unpack(&all[..cut], &dir.path().join(format!("cut{cut}"))).unwrap_err();
            // In the padding behind the last part it is the tar that breaks off.
            let short = matches!(error, ArchiveError::Short | ArchiveError::Foreign(_) | ArchiveError::Io { .. });
            assert!(short, "{cut}: {error:?}");
        }
        // A byte of the database, one of a certificate.
        for (n, at) in [all.len() - 50_000, 512 + 1024 + 512 + 2].into_iter().enumerate() {
            let mut bad = all.clone();
            bad[at] ^= 1;
            let error = unpack(&bad[..], &dir.path().join(format!("bad{n}"))).unwrap_err();
            assert!(matches!(error, ArchiveError::Damaged { .. }), "{at}: {error:?}");
        }
        for text in [&b"hello, this is no tar at all"[..], b"", &[b'x'; 2000], b"SQLite format 3"] {
            let error = unpack(text, &dir.path().join("no")).unwrap_err();
            assert!(matches!(error, ArchiveError::Foreign(_)), "{error:?}");
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for bad in ["", "..", "../x", "a/../b", "/etc/passwd", ".hidden", "a/b/c", "a//b", "a b"] {
            assert!(!below_ca(bad), "{bad}");
        }
        for good in ["ca.crt", "nodes/n1.example", "nodes/edge-2"] {
            assert!(below_ca(good), "{good}");
        }
        let part = |name: &str, bytes| Part { name: name.into(), bytes, sha256: Digest::of(b"") };
        assert!(part(DATABASE, 1 << 40).is_safe());
        assert!(!part("ca/ca.crt", 1 << 40).is_safe() && !part("admin.kubeconfig", 1).is_safe());
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (plan, all) = archive(dir.path());
        let mut sealed = Vec::new();
        let mut writer = Sealer::new(&mut sealed, &plan.header, b"correct horse", Work::TEST).unwrap();
        for piece in all.chunks(10_007) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap();
        assert!(!sealed.windows(32).any(|w| w == [7; 32]), "the key is not in clear");
        let open = |bytes: &[u8], pass: &[u8], to: &str| -> Result<Header, ArchiveError> {
            unpack(Opener::new(bytes, pass)?, &dir.path().join(to))
        };
        assert_eq!(open(&sealed, b"correct horse", "ok").unwrap(), plan.header);
        assert!(matches!(open(&sealed, b"wrong", "w").unwrap_err(), ArchiveError::Passphrase));
        assert!(matches!(unpack(&sealed[..], &dir.path().join("s")).unwrap_err(), ArchiveError::Sealed));
        // Cut at the border of two pieces, in the middle, one byte changed, a header that lies.
        let text = String::from_utf8_lossy(&sealed).find("0a0a").unwrap();
        for (n, change) in [sealed.len() - 40, 70_000, text].into_iter().enumerate() {
            let mut bad = sealed.clone();
            bad[change] ^= 1;
            let error = open(&bad, b"correct horse", &format!("bad{n}")).unwrap_err();
            let told = matches!(error, ArchiveError::Passphrase) == (change < 65_536);
            assert!(told && matches!(error, ArchiveError::Passphrase | ArchiveError::Changed), "{change}: {error:?}");
            let error = open(&sealed[..change], b"correct horse", &format!("short{n}")).unwrap_err();
            assert!(!matches!(error, ArchiveError::Io { .. }), "{change}: {error:?}");
        }
        assert!(matches!(Sealer::new(Vec::new(), &plan.header, b"", Work::TEST), Err(ArchiveError::Empty)));
    }
}
