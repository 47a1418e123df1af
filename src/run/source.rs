//! What a person names on the command line, as a Source.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use evenkeel_core::{Ask, edit::Owners};
use evenkeel_model::{
    Key, Kind, Meta,
    own::{GitSpec, SourceSpec},
};
use evenkeel_server::{api::AskError, host::Host};

/// Where manifests are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A repository: commits count, the working tree does not.
    Git(String),
    /// A directory as it is.
    Directory(String),
}

/// Tells a repository from a directory: a path that holds `.git`, or a bare repository, is followed
/// as git; any other directory, also one inside a repository, as a directory; a URL as git.
pub(crate) fn locate(text: &str) -> Result<Place> {
    if is_url(text) {
        return Ok(Place::Git(text.to_string()));
    }
    let path = Path::new(text);
    let real: PathBuf = path.canonicalize().with_context(|| format!("{text} cannot be found"))?;
    if !real.is_dir() {
        bail!("{text} is a file; give the directory or repository that holds it");
    }
    let text = real.to_str().with_context(|| format!("{} is not UTF-8", real.display()))?.to_string();
    let bare = real.join("HEAD").is_file() && real.join("objects").is_dir() && real.join("refs").is_dir();
    Ok(if bare || real.join(".git").exists() { Place::Git(text) } else { Place::Directory(text) })
}

fn is_url(text: &str) -> bool {
    let scp = text
        .split_once(':')
        .is_some_and(|(host, _)| host.contains('@') && !host.contains('/') && !Path::new(text).exists());
    text.contains("://") || scp
}

impl Place {
    /// A source's name, if none is given: the last part of the path or URL without `.git`, in lower
    /// case, each run of characters outside `a-z0-9` made one `-`.
    pub(crate) fn default_name(&self) -> String {
        let (Self::Git(text) | Self::Directory(text)) = self;
        let last = text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(text);
        let last = last.strip_suffix(".git").unwrap_or(last).to_lowercase();
        let mut name = String::new();
        for c in last.chars() {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        let name = name.trim_end_matches('-');
        if name.is_empty() { "source".into() } else { name.into() }
    }

    /// Puts itself into a specification.
    pub(crate) fn fill(self, spec: &mut SourceSpec) {
        match self {
            Self::Git(url) => spec.git = Some(GitSpec { url, ..spec.git.take().unwrap_or_default() }),
            Self::Directory(path) => spec.directory = Some(path),
        }
    }
}

/// Makes the Source, or updates its settings. A name that is in use for another place is an error
/// that shows both.
pub(super) async fn ensure(host: &Host, name: &str, spec: SourceSpec, user: &str) -> Result<()> {
    let key = Key::cluster(Kind::Source, name);
    let ask = match host.get(&key) {
        None => Ask::CreateSource {
            name: name.into(),
            spec,
            meta: Meta::default(),
            owners: Owners::By(user.into()),
            dry_run: false,
        },
        Some(object) => {
            let before: SourceSpec = object.spec().context("the Source that is there")?;
            if place(&before) != place(&spec) {
                bail!(
                    "the source name `{name}` is in use for {}, not for {}; give another one with --name",
                    place(&before),
                    place(&spec)
                );
            }
            let merged = merge(before.clone(), spec);
            if merged == before {
                return Ok(());
            }
            Ask::UpdateSource {
                name: name.into(),
                spec: merged,
                if_version: None,
                meta: None,
                owners: Owners::By(user.into()),
                dry_run: false,
            }
        }
    };
    match host.ask(ask, user).await {
        Ok(_) => Ok(()),
        Err(AskError::Refused(r)) => bail!("the source {name} was refused: {}", r.message),
        Err(e) => Err(e).with_context(|| format!("the source {name}")),
    }
}

/// What the flags say counts; what they do not say stays as it is.
fn merge(before: SourceSpec, flags: SourceSpec) -> SourceSpec {
    SourceSpec {
        git: flags.git,
        directory: flags.directory,
        path: flags.path,
        interval: flags.interval.or(before.interval),
        self_heal: flags.self_heal.or(before.self_heal),
        rollback: flags.rollback.or(before.rollback),
        unsupported: flags.unsupported.or(before.unsupported),
        watch_window: flags.watch_window.or(before.watch_window),
        crash_limit: flags.crash_limit.or(before.crash_limit),
        max_unsettled: flags.max_unsettled.or(before.max_unsettled),
        mass_delete: flags.mass_delete.or(before.mass_delete),
        webhook_secret_file: flags.webhook_secret_file.or(before.webhook_secret_file),
        suspend: before.suspend,
        locked: before.locked,
        ignore_differences: before.ignore_differences,
    }
}

/// The place of a specification, for comparison and for messages.
fn place(spec: &SourceSpec) -> String {
    let base = match (&spec.git, &spec.directory) {
        (Some(git), _) => format!("the repository {}", git.url),
        (None, Some(directory)) => format!("the directory {directory}"),
        (None, None) => "nothing".into(),
    };
    match spec.path.as_deref().filter(|p| !p.is_empty()) {
        Some(path) => format!("{base}, path {path}"),
        None => base,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_last_part() {
        for (place, name) in [
            (Place::Git("https://git.example/team/Shop_Front.git".into()), "shop-front"),
            (Place::Git("git@git.example:shop.git".into()), "shop"),
            (Place::Directory("/srv/manifests-example/".into()), "manifests-example"),
            (Place::Directory("/".into()), "source"),
        ] {
            assert_eq!(place.default_name(), name, "{place:?}");
        }
    }

    #[test]
    fn repositories_and_directories_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().to_str().unwrap();
        assert!(matches!(locate(text).unwrap(), Place::Directory(_)));
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        assert!(matches!(locate(text).unwrap(), Place::Git(_)));
        assert!(matches!(locate("https://git.example/x").unwrap(), Place::Git(_)));
        assert!(matches!(locate("git@git.example:x.git").unwrap(), Place::Git(_)));
        assert!(locate("/no/such/place").is_err());
    }
}
