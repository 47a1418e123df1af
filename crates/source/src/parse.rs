//! What a scan gathered, made into an outcome; and what is looked at in the first place.

use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::{Customs, FileParse, Options};
use evenkeel_model::{Diagnostic, Place, Severity, Snapshot, own::UnsupportedMode};

/// The largest file that is read: what the parser takes, so that a larger one never gets into memory.
pub(crate) const MAX_FILE_BYTES: u64 = evenkeel_manifest::limits::MAX_FILE_BYTES as u64;
/// The most manifests of one revision: five times the size that is planned for.
pub(crate) const MAX_FILES: usize = 100_000;
/// The deepest folder: beyond lies a loop of mounts.
pub(crate) const MAX_DEPTH: usize = 64;

/// How manifests of a source are read.
pub(crate) fn options(unsupported: Option<UnsupportedMode>) -> Options {
    Options { unsupported: unsupported.unwrap_or_default() }
}

/// The custom kinds that the cluster has, as whoever knows it says: revisions may have objects of them.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct KnownKinds(Arc<Mutex<Customs>>);

impl KnownKinds {
    /// From now on these.
    pub fn set(&self, customs: Customs) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = customs;
    }

    fn get(&self) -> Customs {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The files of one revision, and what is wrong beside their content.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) files: Vec<Arc<FileParse>>,
    pub(crate) problems: Vec<Diagnostic>,
}

impl Gathered {
    /// All of it whole, or all that is wrong in the order of files and lines.
    pub(crate) fn outcome(self, known: &KnownKinds) -> Result<Arc<Snapshot>, Vec<Diagnostic>> {
        let assembled = evenkeel_manifest::assemble(&self.files, &known.get());
        let mut problems = self.problems;
        match assembled {
            Ok(snapshot) if problems.is_empty() => return Ok(Arc::new(snapshot)),
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
        problems.sort();
        Err(problems)
    }
}

/// A complaint about a file as a whole.
pub(crate) fn problem(file: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        place: Place { file: file.into(), line: 0, column: 0 },
        path: String::new(),
        message: message.into(),
        excerpt: String::new(),
        width: 1,
        severity: Severity::Error,
    }
}

/// Names that are never looked at: `.git`, editors' files, a data directory.
pub(crate) fn hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// A path below another, with slashes.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Where a symlink in `folder` leads, as a path from the root; `None` if it leaves it.
pub(crate) fn resolve_link(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether a scan of `folder` reads this path under its own name.
pub(crate) fn is_read_anyway(folder: &str, path: &str) -> bool {
    let below =
        if folder.is_empty() { Some(path) } else { path.strip_prefix(folder).and_then(|p| p.strip_prefix('/')) };
    below.is_some_and(|p| !p.split('/').any(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_on_paper() {
        assert_eq!(resolve_link("a/b", "../c.yaml").as_deref(), Some("a/c.yaml"));
        assert_eq!(resolve_link("", "./x//y").as_deref(), Some("x/y"));
        assert_eq!(resolve_link("a", "../../x"), None);
        assert_eq!(resolve_link("a", "/etc/passwd"), None);
        assert!(is_read_anyway("a", "a/b.yaml") && !is_read_anyway("a", "ab/c.yaml"));
        assert!(is_read_anyway("", "x.yaml") && !is_read_anyway("", "..data/x.yaml"));
    }
}
