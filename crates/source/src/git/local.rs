//! A repository on this machine: its references read as files, its commits noticed at once.
//!
//! Only the two things that git promises to keep stable are read: the layout of references
//! (`gitrepository-layout`) and objects. Nothing is written, no lock is taken.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Notify;

use super::{Parsed, Reader, commit, open_objects};
use crate::{
    Read, Reason, SourceError,
    spec::{Target, is_commit},
    watch::{Spot, Watch},
};

/// Symbolic references that lead to each other; git follows 5.
const MAX_LINKS: usize = 5;

/// Where a repository's parts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Holds this worktree's `HEAD`.
    git_dir: PathBuf,
    /// Holds `refs`, `packed-refs` and `objects`.
    common: PathBuf,
}

impl Layout {
    /// The repository at a path: a bare one, one with `.git`, or a worktree.
    pub(crate) fn find(path: &Path) -> Result<Self, SourceError> {
        let path = fs::canonicalize(path).map_err(|e| SourceError::io("open repository", path, &e))?;
        let dot_git = path.join(".git");
        let git_dir = if dot_git.is_dir() {
            dot_git
        } else if dot_git.is_file() {
            let text = fs::read_to_string(&dot_git).map_err(|e| SourceError::io("read", &dot_git, &e))?;
            let target = text.strip_prefix("gitdir:").map(str::trim).ok_or_else(|| {
                SourceError::new(Reason::NotARepository, format!("{} names no repository", dot_git.display()))
            })?;
            let target = path.join(target);
            fs::canonicalize(&target).map_err(|e| SourceError::io("open repository", &target, &e))?
        } else if path.join("HEAD").is_file() && path.join("objects").is_dir() {
            path
        } else {
            return Err(SourceError::new(Reason::NotARepository, format!("{} is no git repository", path.display())));
        };
        let common = match fs::read_to_string(git_dir.join("commondir")) {
            Ok(text) => {
                let target = git_dir.join(text.trim());
                fs::canonicalize(&target).map_err(|e| SourceError::io("open repository", &target, &e))?
            }
            Err(e) if e.kind() == ErrorKind::NotFound => git_dir.clone(),
            Err(e) => return Err(SourceError::io("read", &git_dir.join("commondir"), &e)),
        };
        if common.join("reftable").is_dir() {
            let message = format!("{} keeps its references as a reftable, which is not supported", common.display());
            return Err(SourceError::new(Reason::Unsupported, message));
        }
        Ok(Self { git_dir, common })
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.common.join("objects")
    }

    fn spots(&self) -> Vec<Spot> {
        let spot = |path, recursive| Spot { path, recursive };
        let mut spots = vec![spot(self.common.clone(), false), spot(self.common.join("refs"), true)];
        if self.git_dir != self.common {
            spots.push(spot(self.git_dir.clone(), false));
        }
        spots
    }

    /// One reference as it stands: an id, or another reference's name.
    fn reference(&self, name: &str) -> Result<Option<String>, SourceError> {
        let path = if name == "HEAD" { self.git_dir.join(name) } else { self.common.join(name) };
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(Some(text.trim_end().to_owned())),
            // A folder: `refs/heads/a` where there is a branch `a/b`.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory) => {}
            Err(e) => return Err(SourceError::io("read", &path, &e)),
        }
        // After the loose one: `git pack-refs` writes this file before it removes those.
        let packed = self.common.join("packed-refs");
        match fs::read_to_string(&packed) {
            Ok(text) => Ok(text
                .lines()
                .filter(|line| !line.starts_with(['#', '^']))
                .find_map(|line| line.split_once(' ').filter(|(_, n)| *n == name))
                .map(|(id, _)| id.to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(SourceError::io("read", &packed, &e)),
        }
    }

    /// The id that a reference leads to.
    fn id(&self, name: &str) -> Result<Option<String>, SourceError> {
        let mut name = name.to_owned();
        for _ in 0..=MAX_LINKS {
            let Some(value) = self.reference(&name)? else { return Ok(None) };
            match value.strip_prefix("ref:") {
                Some(next) => next.trim().clone_into(&mut name),
                None if is_commit(&value) => return Ok(Some(value)),
                None if value.len() == 64 => {
                    return Err(SourceError::new(Reason::Unsupported, "SHA-256 repositories are not supported"));
                }
                None => return Err(SourceError::new(Reason::Damaged, format!("reference {name} cannot be read"))),
            }
        }
        Err(SourceError::new(Reason::Damaged, format!("reference {name} leads in a circle")))
    }

    fn branch(&self, branch: &str) -> Result<(Option<String>, String), SourceError> {
        match self.id(&format!("refs/heads/{branch}"))? {
            Some(id) => Ok((Some(branch.to_owned()), id)),
            None => Err(branch_not_found(branch)),
        }
    }

    /// The label and the id of what is followed. `known` is the branch that `HEAD` named last: a
    /// detached `HEAD`, as in the middle of a rebase, is a state of the worktree and no commit on
    /// the branch.
    pub(crate) fn resolve(
        &self,
        target: &Target,
        known: &mut Option<String>,
    ) -> Result<(Option<String>, String), SourceError> {
        match target {
            Target::Commit(hex) => Ok((None, hex.clone())),
            Target::Branch(branch) => self.branch(branch),
            Target::Tag(tag) => match self.id(&format!("refs/tags/{tag}"))? {
                Some(id) => Ok((Some(tag.clone()), id)),
                None => Err(tag_not_found(tag)),
            },
            Target::Default => {
                let head = self.reference("HEAD")?.unwrap_or_default();
                if let Some(branch) = head.strip_prefix("ref:").and_then(|r| r.trim().strip_prefix("refs/heads/")) {
                    *known = Some(branch.to_owned());
                }
                match known {
                    Some(branch) => self.branch(branch),
                    None if is_commit(&head) => Ok((Some("HEAD".into()), head)),
                    None => Err(SourceError::new(Reason::Damaged, "HEAD cannot be read")),
                }
            }
        }
    }
}

pub(super) fn branch_not_found(branch: &str) -> SourceError {
    SourceError::new(Reason::BranchNotFound, format!("branch `{branch}` does not exist or has no commit yet"))
}

pub(super) fn tag_not_found(tag: &str) -> SourceError {
    SourceError::new(Reason::TagNotFound, format!("tag `{tag}` does not exist"))
}

/// Whether a changed file may have moved a reference.
fn is_reference(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if path.extension().is_some_and(|e| e == "lock") {
        return false;
    }
    matches!(name, "HEAD" | "packed-refs" | ".git") || path.components().any(|c| c.as_os_str() == "refs")
}

/// What follows a local repository.
#[derive(Debug)]
pub(crate) struct Local {
    path: PathBuf,
    target: Target,
    known_branch: Option<String>,
    last: Option<(Option<String>, String)>,
    parsed: Parsed,
    watch: Option<Watch>,
}

impl Local {
    pub(crate) fn new(path: PathBuf, target: Target) -> Self {
        Self { path, target, known_branch: None, last: None, parsed: None, watch: None }
    }

    /// The revision, if it moved. Watches the references before it reads them.
    pub(crate) fn check(&mut self, reader: &Reader<'_>, wake: &Arc<Notify>) -> Result<Option<Read>, SourceError> {
        let layout = Layout::find(&self.path)?;
        let spots = layout.spots();
        if self.watch.as_ref().is_none_or(|w| !w.covers(&spots)) {
            self.watch = Watch::start(spots, is_reference, wake.clone())
                .inspect_err(
                    |e| tracing::warn!(repository = %self.path.display(), error = %e, "not watched, only polled"),
                )
                .ok();
        }
        let found = layout.resolve(&self.target, &mut self.known_branch)?;
        if self.last.as_ref() == Some(&found) {
            return Ok(None);
        }
        let repo = open_objects(&layout.objects())?;
        let commit = commit(&repo, &found.1)?;
        let read = reader.read(&repo, &commit, found.0.as_deref(), &mut self.parsed)?;
        self.last = Some(found);
        Ok(Some(read))
    }

    pub(crate) fn watched(&self) -> bool {
        self.watch.is_some()
    }
}
