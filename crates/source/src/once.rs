//! Reading a source once, without following it: for `validate` and `diff`, on the caller's thread.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use evenkeel_manifest::parse_file;
use evenkeel_model::{Diagnostic, Snapshot, own::UnsupportedMode};

use crate::{
    KnownKinds, Read, Reason, SourceError,
    directory::{Directory, Reading},
    git::{Reader, commit, local::Layout, open_objects},
    parse,
    spec::{Target, folder, is_commit, local_path},
    work::Progress,
};

/// Reads a directory's manifests as they are now. `path` is a folder inside it, or empty.
pub fn read_directory(
    directory: &Path,
    path: &str,
    unsupported: Option<UnsupportedMode>,
    known: &KnownKinds,
) -> Result<Read, SourceError> {
    let (folder, options, progress) = (folder(path)?, parse::options(unsupported), Progress::default());
    let reading = Reading { folder: &folder, options: &options, known, progress: &progress };
    Directory::new(PathBuf::from(directory)).once(&reading)
}

/// Reads the manifests of one stream, as of a file by itself or of what a template was rendered to; `name` is
/// what diagnostics call it.
pub fn read_stream(
    name: &str,
    stream: impl std::io::Read,
    unsupported: Option<UnsupportedMode>,
    known: &KnownKinds,
) -> Result<Result<Arc<Snapshot>, Vec<Diagnostic>>, SourceError> {
    let mut bytes = Vec::new();
    // One more than is taken, so that what is larger is seen to be.
    stream
        .take(parse::MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| SourceError::io("read", Path::new(name), &e))?;
    let parsed = Arc::new(parse_file(name, &bytes, &parse::options(unsupported)));
    Ok(parse::Gathered { files: vec![parsed], problems: Vec::new() }.outcome(known))
}

/// Reads a revision of a repository on this machine: `rev` is a branch, a tag, or a commit (its
/// first 7 to 40 digits); empty for the branch that `HEAD` names. `path` is a folder inside it, or
/// empty. A repository behind a network is refused: the server that follows it has its revisions.
pub fn read_git_revision(
    url: &str,
    rev: &str,
    path: &str,
    unsupported: Option<UnsupportedMode>,
    known: &KnownKinds,
) -> Result<Read, SourceError> {
    let (folder, options, progress) = (folder(path)?, parse::options(unsupported), Progress::default());
    let Some(local) = local_path(url)? else {
        let message = format!("`{url}` is not on this machine: clone it first");
        return Err(SourceError::new(Reason::Unsupported, message));
    };
    let layout = Layout::find(&local)?;
    let repo = open_objects(&layout.objects())?;
    let targets = match rev {
        "" | "HEAD" => vec![Target::Default],
        name => vec![Target::Branch(name.to_owned()), Target::Tag(name.to_owned())],
    };
    let valid = rev.is_empty() || git2::Reference::is_valid_name(&format!("refs/heads/{rev}"));
    let mut found = None;
    for target in targets.iter().filter(|_| valid) {
        match layout.resolve(target, &mut None) {
            Ok(resolved) => {
                found = Some(resolved);
                break;
            }
            Err(e) if matches!(e.reason, Reason::BranchNotFound | Reason::TagNotFound) && !rev.is_empty() => {}
            Err(e) => return Err(e),
        }
    }
    let (label, id) = match found {
        Some(found) => found,
        None if is_commit(rev) => (None, rev.to_ascii_lowercase()),
        None if rev.len() >= 7 && rev.bytes().all(|c| c.is_ascii_hexdigit()) => {
            let commit = repo.find_commit_by_prefix(rev).map_err(|_| unknown(rev))?;
            (None, commit.id().to_string())
        }
        None => return Err(unknown(rev)),
    };
    let reader = Reader { folder: &folder, options: &options, known, progress: &progress };
    reader.read(&repo, &commit(&repo, &id)?, label.as_deref(), &mut None)
}

/// Whether a path holds a git repository (`.git`, or a bare one): it is followed as git then, any
/// other directory as a directory.
pub fn is_repository(path: &Path) -> bool {
    Layout::find(path).map_or_else(|e| e.reason == Reason::Unsupported, |_| true)
}

fn unknown(rev: &str) -> SourceError {
    SourceError::new(Reason::CommitNotFound, format!("no branch, tag or commit `{rev}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_as_a_file_is() {
        let read = |text: &str| read_stream("all.yaml", text.as_bytes(), None, &KnownKinds::default()).unwrap();
        let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        assert_eq!(read(&[map("a"), map("b")].join("---\n")).unwrap().docs.len(), 2);
        let wrong = read(&[map("a"), map("a")].join("---\n")).unwrap_err();
        assert!(wrong[0].to_string().starts_with("all.yaml:7:18: "), "{}", wrong[0]);
        let large = "#".repeat(usize::try_from(parse::MAX_FILE_BYTES).unwrap() + 1);
        assert!(read(&large).unwrap_err()[0].message.contains("32 MiB"));
    }
}
