//! A Source's fields made into what is to be followed, checked once.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use evenkeel_model::own::{GitSpec, SourceSpec};

use crate::{Reason, SourceError};

/// How often a remote is asked where nothing else is said.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// The shortest interval: a server would take more for an attack.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Where manifests come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    /// A directory.
    Directory(PathBuf),
    /// A repository on this machine.
    Local { path: PathBuf, target: Target },
    /// A repository behind a network.
    Remote { git: Box<GitSpec>, target: Target },
}

/// What of a repository is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The branch that `HEAD` names.
    Default,
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
    /// A fixed commit, 40 hexadecimal digits.
    Commit(String),
}

/// A Source, ready to be followed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) origin: Origin,
    /// Folder inside the origin; empty for all of it, else without slashes around it.
    pub(crate) folder: String,
    pub(crate) interval: Duration,
}

fn bad(message: impl Into<String>) -> SourceError {
    SourceError::new(Reason::InvalidSpec, message)
}

impl Plan {
    pub(crate) fn of(spec: &SourceSpec) -> Result<Self, SourceError> {
        let origin = match (&spec.git, &spec.directory) {
            (Some(git), None) => git_origin(git)?,
            (None, Some(directory)) => {
                let path = PathBuf::from(directory);
                if !path.is_absolute() {
                    return Err(bad(format!("directory `{directory}` is not absolute")));
                }
                Origin::Directory(path)
            }
            _ => return Err(bad("exactly one of `git` and `directory` must be set")),
        };
        let interval = match &spec.interval {
            None => DEFAULT_INTERVAL,
            Some(text) => humantime::parse_duration(text)
                .map_err(|e| bad(format!("interval `{text}` is no duration such as `30s`: {e}")))?
                .max(MIN_INTERVAL),
        };
        Ok(Self { origin, folder: folder(spec.path.as_deref().unwrap_or_default())?, interval })
    }
}

/// A folder inside a source in its plain form.
pub(crate) fn folder(path: &str) -> Result<String, SourceError> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy()),
            Component::CurDir => {}
            _ => return Err(bad(format!("path `{path}` does not stay inside the source"))),
        }
    }
    Ok(parts.join("/"))
}

fn git_origin(git: &GitSpec) -> Result<Origin, SourceError> {
    let target = match (&git.branch, &git.tag, &git.commit) {
        (None, None, None) => Target::Default,
        (Some(branch), None, None) => Target::Branch(reference("branch", branch)?),
        (None, Some(tag), None) => Target::Tag(reference("tag", tag)?),
        (None, None, Some(commit)) if is_commit(commit) => Target::Commit(commit.to_ascii_lowercase()),
        (None, None, Some(commit)) => return Err(bad(format!("commit `{commit}` is not 40 hexadecimal digits"))),
        _ => return Err(bad("at most one of `branch`, `tag` and `commit` may be set")),
    };
    Ok(match local_path(&git.url)? {
        Some(path) => Origin::Local { path, target },
        None => Origin::Remote { git: Box::new(git.clone()), target },
    })
}

pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// A name that stays inside `refs/heads` or `refs/tags`, because it becomes part of a file's path.
fn reference(what: &str, name: &str) -> Result<String, SourceError> {
    if git2::Reference::is_valid_name(&format!("refs/heads/{name}")) {
        Ok(name.to_owned())
    } else {
        Err(bad(format!("`{name}` is no name of a {what}")))
    }
}

/// The path of a repository on this machine; `None` for one behind a network.
pub(crate) fn local_path(url: &str) -> Result<Option<PathBuf>, SourceError> {
    if let Some(path) = url.strip_prefix("file://") {
        let path = path.strip_prefix("localhost").unwrap_or(path);
        return if path.starts_with('/') {
            Ok(Some(percent_decoded(path).into()))
        } else {
            Err(bad(format!("`{url}` names another machine's file; use https or ssh")))
        };
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let user = rest.split('/').next().and_then(|host| host.rsplit_once('@')).map_or("", |(user, _)| user);
        if user.contains(':') {
            // Not repeated in the message: it holds a password.
            return Err(bad(
                "the URL holds a password, which everybody who sees the Source could read: use passwordFile",
            ));
        }
        return match scheme {
            "https" | "http" | "ssh" => Ok(None),
            _ => Err(bad(format!("`{scheme}` is not supported: use https, ssh, file or a path"))),
        };
    }
    // As git: a colon before the first slash makes it host:path.
    let colon = url.find(':');
    if colon.is_some_and(|c| url.find('/').is_none_or(|s| c < s)) {
        return Ok(None);
    }
    if url.is_empty() { Err(bad("the URL is empty")) } else { Ok(Some(url.into())) }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let decoded = (byte == b'%').then(|| bytes.get(i + 1..i + 3)).flatten().and_then(|h| hex::decode(h).ok());
        if let Some(decoded) = decoded {
            out.extend(decoded);
            i += 3;
        } else {
            out.push(byte);
            i += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_local_or_remote_as_git_reads_them() {
        for (url, expected) in [
            ("/srv/repo", Some("/srv/repo")),
            ("./repo", Some("./repo")),
            ("./a:b", Some("./a:b")),
            ("file:///srv/my%20repo", Some("/srv/my repo")),
            ("git@host:team/repo.git", None),
            ("https://host/repo.git", None),
            ("ssh://git@host:22/repo.git", None),
        ] {
            assert_eq!(local_path(url).unwrap(), expected.map(PathBuf::from), "{url}");
        }
        for url in ["", "ftp://x/y", "file://other/repo"] {
            assert!(local_path(url).is_err(), "{url}");
        }
        let error = local_path("https://me:hunter2@host/r").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("passwordFile"), "{error}");
    }

    #[test]
    fn a_spec_is_checked_as_a_whole() {
        let git = |git| SourceSpec { git: Some(git), ..SourceSpec::default() };
        let url = || GitSpec { url: "/r".into(), ..GitSpec::default() };
        assert_eq!(
            Plan::of(&git(GitSpec { branch: Some("a/b".into()), ..url() })).unwrap().origin,
            Origin::Local { path: "/r".into(), target: Target::Branch("a/b".into()) }
        );
        for wrong in [
            SourceSpec::default(),
            git(GitSpec { branch: Some("../../x".into()), ..url() }),
            git(GitSpec { branch: Some("a".into()), tag: Some("b".into()), ..url() }),
            git(GitSpec { commit: Some("abc".into()), ..url() }),
            SourceSpec { path: Some("../x".into()), ..git(url()) },
            SourceSpec { interval: Some("soon".into()), ..git(url()) },
            SourceSpec { directory: Some("x".into()), ..SourceSpec::default() },
        ] {
            assert_eq!(Plan::of(&wrong).unwrap_err().reason, Reason::InvalidSpec, "{wrong:?}");
        }
        assert_eq!(folder("./a//b/").unwrap(), "a/b");
    }
}
