//! `evenkeel adopt`: what was changed by hand becomes a change of the repository.
//!
//! The server says what drifted and in which file the object stands; the file is read from the repository here,
//! and the one value changed in it (`evenkeel_manifest::amend`). Git is the machine's own: its identity, its
//! keys, its hooks are what whoever calls this has. A branch is written without the working tree, so that
//! nothing that lies about in it is touched or committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};
use evenkeel_manifest::amend;
use evenkeel_model::{
    Key, Kind,
    own::{DriftOrigin, DriftSpec, DriftStatus, ObjectRef, SourceSpec},
};
use serde_json::Value;
use similar::TextDiff;

use super::{
    Cx,
    error::hinted,
    kinds,
    objects::{self, maybe, name, text, typed},
    output::one_line,
    paths,
};
use crate::client::Client;

/// Lines around a change.
const CONTEXT: usize = 3;

/// Write what was changed by hand into the repository
///
/// Takes open drifts of objects, shows them as a patch of the source's files, and with --branch commits
/// it. When the source's branch has the change, the drift is settled as Adopted. Needs git.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel adopt                            every open drift of the only source, as a patch\n  evenkeel adopt 4d732e7f0640dff6-31144aa6d9 | git apply\n  evenkeel adopt --repo ~/shop --branch scale-up --push"
)]
pub(crate) struct Args {
    /// Names of drifts [default: all of the source that are open]
    #[arg(value_name = "DRIFT")]
    drifts: Vec<String>,
    /// Source whose files are changed [default: the only one]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// A clone of the source's repository on this machine [default: the source's own path, if it has one]
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// Commit to this branch; it begins at the source's own if it is not there
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// The commit's message
    #[arg(short, long, value_name = "TEXT", requires = "branch")]
    message: Option<String>,
    /// Push the branch to origin
    #[arg(long, requires = "branch")]
    push: bool,
}

/// A value that shall be in the repository.
struct Wanted {
    drift: String,
    key: Key,
    spec: DriftSpec,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let source = paths::one_source(&client, args.source.as_deref()).await?;
    let object = client.get(&paths::source(&source)).await?;
    let spec: SourceSpec = typed(&object, "/spec")?;
    let wanted = wanted(&client, &source, &args.drifts).await?;
    if wanted.is_empty() {
        eprintln!("No open drift of an object.");
        return Ok(ExitCode::SUCCESS);
    }
    let from = Files::of(&args, &spec)?;
    let revision = text(&object, "/status/appliedRevision");
    let definitions = definitions(&client, &wanted).await?;
    let mut files: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut by_hand = Vec::new();
    for one in &wanted {
        let place = place(&client, &source, &one.key, revision).await?;
        if !files.contains_key(&place) {
            let read = from.read(&place)?;
            files.insert(place.clone(), (read.clone(), read));
        }
        let Some((_, now)) = files.get_mut(&place) else { continue };
        match amend(now, &one.key, definitions.get(&one.key.kind), &one.spec.path, &one.spec.live) {
            Ok(next) => *now = next,
            Err(why) => by_hand.push(format!("{} {}: {place}: {why}", one.key, one.spec.path)),
        }
    }
    files.retain(|_, (before, after)| before != after);
    for told in &by_hand {
        eprintln!("not written: {told}");
    }
    if files.is_empty() {
        if by_hand.is_empty() {
            eprintln!("The repository says so already.");
            return Ok(ExitCode::SUCCESS);
        }
        return Err(hinted(
            "nothing could be written",
            "change these places yourself, or `evenkeel drift accept` them",
        ));
    }
    match &args.branch {
        None => files.iter().try_for_each(|(path, (before, after))| cx.out.line(patch(path, before, after)))?,
        Some(branch) => {
            let message = args.message.clone().unwrap_or_else(|| message(&wanted));
            let commit = from.commit(branch, &files, &message)?;
            cx.out.line(format!("{commit} on {branch}: {}", files.keys().cloned().collect::<Vec<_>>().join(", ")))?;
            if args.push {
                from.git(&["push", "--quiet", "origin", &format!("refs/heads/{branch}")], None)?;
                cx.out.line(format!("pushed {branch} to origin"))?;
            }
        }
    }
    Ok(if by_hand.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The open drifts of a source's objects, or those that are named.
async fn wanted(client: &Client, source: &str, names: &[String]) -> Result<Vec<Wanted>> {
    let all = objects::list(client, Kind::Drift, "").await?;
    if let Some(missing) = names.iter().find(|n| !all.iter().any(|d| name(d) == n.as_str())) {
        return Err(hinted(format!("there is no drift {missing}"), "`evenkeel drift` lists them"));
    }
    let of_definition = |d: &Value| maybe::<DriftSpec>(d, "/spec").is_some_and(|s| built_in(&s.object).is_none());
    let custom = if all.iter().any(of_definition) { kinds::custom(client).await? } else { Vec::new() };
    let mut out = Vec::new();
    for drift in all.iter().filter(|d| names.is_empty() || names.iter().any(|n| n == name(d))) {
        let Some(spec) = maybe::<DriftSpec>(drift, "/spec") else { continue };
        let asked = !names.is_empty();
        let of_container = matches!(spec.origin, DriftOrigin::Node(_));
        let settled = maybe::<DriftStatus>(drift, "/status").is_some_and(|s| s.resolution.is_some());
        let theirs = |k: &&Kind| {
            k.info().kind == spec.object.kind && spec.object.api_version.starts_with(&format!("{}/", k.info().group))
        };
        let kind = built_in(&spec.object).or_else(|| custom.iter().find(theirs).copied());
        let why = if of_container {
            Some("is of a container, which no file says")
        } else if settled {
            Some("is settled")
        } else if spec.source != source {
            Some("is of another source")
        } else if kind == Some(Kind::Secret) {
            Some("is of a Secret, whose values are not shown")
        } else if kind.is_none() {
            Some("is of a kind that the server does not have any more")
        } else {
            None
        };
        match (why, kind) {
            (None, Some(kind)) => out.push(Wanted {
                drift: name(drift).to_owned(),
                key: Key::new(kind, spec.object.namespace.as_str(), spec.object.name.as_str()),
                spec,
            }),
            (Some(why), _) if asked => bail!("drift {} {why}", name(drift)),
            _ => {}
        }
    }
    out.sort_by(|a, b| a.drift.cmp(&b.drift));
    Ok(out)
}

fn built_in(object: &ObjectRef) -> Option<Kind> {
    Kind::of(&object.api_version, &object.kind)
}

/// The `spec` of the definitions of custom kinds: they say what the paths of drifts mean.
async fn definitions(client: &Client, wanted: &[Wanted]) -> Result<BTreeMap<Kind, Value>> {
    let custom = wanted.iter().map(|w| w.key.kind).filter(|k| matches!(k, Kind::Custom(_)));
    let mut out = BTreeMap::new();
    for kind in custom.collect::<BTreeSet<_>>() {
        let name = format!("{}.{}", kind.info().plural, kind.info().group);
        let object = client.get(&paths::item(Kind::CustomResourceDefinition, "", &name)).await?;
        out.insert(kind, object.get("spec").cloned().unwrap_or_default());
    }
    Ok(out)
}

/// The file that holds an object.
async fn place(client: &Client, source: &str, key: &Key, revision: &str) -> Result<String> {
    let object = key.to_string();
    let query = paths::query(&[("object", object.as_str()), ("revision", revision)]);
    let found = client.get(&format!("{}/place{query}", paths::source(source))).await?;
    match text(&found, "/file") {
        "" => bail!("the server does not know in which file {key} is"),
        file => Ok(file.to_owned()),
    }
}

fn patch(path: &str, before: &str, after: &str) -> String {
    let (a, b) = (format!("a/{path}"), format!("b/{path}"));
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(CONTEXT).header(&a, &b).to_string().trim_end_matches('\n').to_owned()
}

fn message(wanted: &[Wanted]) -> String {
    let shown = |v: &Value| v.as_str().map_or_else(|| v.to_string(), one_line);
    let line = |w: &Wanted| {
        let by = match &w.spec.origin {
            DriftOrigin::User(user) => format!(" (by {user})"),
            DriftOrigin::Node(_) => String::new(),
        };
        format!("- {} {}: {} -> {}{by}", w.key, w.spec.path, shown(&w.spec.desired), shown(&w.spec.live))
    };
    let lines: Vec<String> = wanted.iter().map(line).collect();
    format!("Adopt what was changed by hand\n\n{}\n", lines.join("\n"))
}

/// The source's files on this machine.
enum Files {
    /// A plain directory.
    Directory(PathBuf),
    /// A repository and the commit that a change begins at.
    Git { repo: PathBuf, base: String },
}

impl Files {
    fn of(args: &Args, spec: &SourceSpec) -> Result<Self> {
        if let Some(directory) = &spec.directory {
            if args.branch.is_some() {
                return Err(hinted(
                    "the source is a directory, which has no branches",
                    "without --branch the patch is shown",
                ));
            }
            return Ok(Self::Directory(args.repo.clone().unwrap_or_else(|| directory.into())));
        }
        let git = spec.git.as_ref().context("the source is neither git nor a directory")?;
        let repo = match &args.repo {
            Some(repo) => repo.clone(),
            None if Path::new(&git.url).is_dir() => git.url.clone().into(),
            None => {
                let hint = format!("name a clone of {} by --repo DIR", git.url);
                return Err(hinted("the source's repository is not on this machine", hint));
            }
        };
        let mut this = Self::Git { repo, base: String::new() };
        let own = match (&git.branch, &git.tag, &git.commit) {
            (Some(branch), ..) => branch.clone(),
            (_, Some(tag), _) => tag.clone(),
            (_, _, Some(commit)) => commit.clone(),
            _ => "HEAD".into(),
        };
        let known = |this: &Self, name: &str| {
            let wanted = format!("{name}^{{commit}}");
            this.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted], None)
        };
        let branch = args.branch.as_ref().and_then(|b| known(&this, &format!("refs/heads/{b}")).ok());
        let found = match branch {
            Some(commit) => commit,
            None => known(&this, &own)
                .or_else(|_| known(&this, &format!("refs/remotes/origin/{own}")))
                .with_context(|| format!("the repository has no {own}"))?,
        };
        if let Self::Git { base, .. } = &mut this {
            *base = found;
        }
        Ok(this)
    }

    fn read(&self, path: &str) -> Result<String> {
        match self {
            Self::Directory(root) => {
                let file = root.join(path);
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
            }
            Self::Git { base, .. } => {
                let out = self.command(&["show", "--end-of-options", &format!("{base}:{path}")]).output();
                let out = out.context("git cannot be run")?;
                if !out.status.success() {
                    bail!("{path} is not in {base}: {}", String::from_utf8_lossy(&out.stderr).trim());
                }
                String::from_utf8(out.stdout).with_context(|| format!("{path} is not UTF-8"))
            }
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        if let Self::Git { repo, .. } = self {
            command.arg("-C").arg(repo);
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs git, with another index if one is named; what it says, without its last line end.
    fn git(&self, args: &[&str], index: Option<&Path>) -> Result<String> {
        let mut command = self.command(args);
        if let Some(index) = index {
            command.env("GIT_INDEX_FILE", index);
        }
        let out = command.output().context("git cannot be run")?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            bail!("git {}: {said}", args.first().copied().unwrap_or_default());
        }
        Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
    }

    /// Commits files to a branch, over an index of its own.
    fn commit(&self, branch: &str, files: &BTreeMap<String, (String, String)>, message: &str) -> Result<String> {
        let Self::Git { repo, base } = self else { bail!("a directory has no branches") };
        let head = format!("refs/heads/{branch}");
        self.git(&["check-ref-format", &head], None).with_context(|| format!("`{branch}` is no name of a branch"))?;
        let worktrees = self.git(&["worktree", "list", "--porcelain"], None)?;
        if worktrees.lines().any(|l| l.strip_prefix("branch ") == Some(head.as_str())) {
            let hint = "name another branch and merge it, or apply the patch that is shown without --branch";
            return Err(hinted(
                format!("{branch} is checked out in {}, whose files would not follow", repo.display()),
                hint,
            ));
        }
        let folder = PathBuf::from(self.git(&["rev-parse", "--absolute-git-dir"], None)?);
        let index = folder.join(format!("evenkeel-adopt-{}.index", std::process::id()));
        let commit = self
            .tree(&index, base, files)
            .and_then(|tree| self.git(&["commit-tree", &tree, "-p", base, "-m", message], None));
        // It is a file of ours alone; one that was never made is gone as well.
        let _gone_already = fs::remove_file(&index);
        let commit = commit?;
        let old = self.git(&["rev-parse", "--verify", "--quiet", &head], None).unwrap_or_default();
        // Only if nobody moved it meanwhile.
        self.git(&["update-ref", "-m", "evenkeel adopt", &head, &commit, &old], None)?;
        self.git(&["rev-parse", "--short", &commit], None)
    }

    fn tree(&self, index: &Path, base: &str, files: &BTreeMap<String, (String, String)>) -> Result<String> {
        self.git(&["read-tree", base], Some(index))?;
        for (path, (_, text)) in files {
            let blob = self.blob(text)?;
            let entry = self.git(&["ls-files", "--stage", "--", path], Some(index))?;
            let mode = entry.split(' ').next().filter(|m| !m.is_empty()).unwrap_or("100644").to_owned();
            self.git(&["update-index", "--cacheinfo", &format!("{mode},{blob},{path}")], Some(index))?;
        }
        self.git(&["write-tree"], Some(index))
    }

    fn blob(&self, text: &str) -> Result<String> {
        use std::io::Write as _;
        let mut command = self.command(&["hash-object", "-w", "--stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("git cannot be run")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes()).context("git does not take the file")?;
        }
        let out = child.wait_with_output().context("git cannot be run")?;
        if !out.status.success() {
            bail!("git hash-object failed");
        }
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(dir: &Path, args: &[&str]) -> String {
        let out = Command::new("git").arg("-C").arg(dir).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn a_branch_gets_a_commit_and_the_working_tree_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        git(dir, &["init", "-q", "-b", "main"]);
        git(dir, &["config", "user.name", "A"]);
        git(dir, &["config", "user.email", "a@example.com"]);
        fs::write(dir.join("a.yaml"), "a: 1\n").unwrap();
        git(dir, &["add", "-A"]);
        git(dir, &["commit", "-qm", "first"]);
        fs::write(dir.join("lies-about"), "x").unwrap();
        let base = git(dir, &["rev-parse", "HEAD"]);
        let files = Files::Git { repo: dir.into(), base: base.clone() };
        assert_eq!(files.read("a.yaml").unwrap(), "a: 1\n");
        assert!(files.read("b.yaml").unwrap_err().to_string().contains("b.yaml is not in"));
        let changed = BTreeMap::from([("a.yaml".to_owned(), ("a: 1\n".to_owned(), "a: 2\n".to_owned()))]);
        let said = files.commit("fix", &changed, "A fix\n").unwrap();
        assert!(git(dir, &["rev-parse", "fix"]).starts_with(&said));
        assert_eq!(git(dir, &["show", "fix:a.yaml"]), "a: 2");
        assert_eq!(git(dir, &["rev-parse", "fix~1"]), base);
        assert_eq!(git(dir, &["log", "-1", "--format=%s", "fix"]), "A fix");
        assert_eq!(git(dir, &["status", "--porcelain"]), "?? lies-about");
        assert_eq!(fs::read_to_string(dir.join("a.yaml")).unwrap(), "a: 1\n");
        assert!(
            fs::read_dir(dir.join(".git")).unwrap().all(|e| !e
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("adopt"))
        );
        // The one that is checked out, and a name that is none.
        assert!(files.commit("main", &changed, "x").unwrap_err().to_string().contains("main is checked out in"));
        assert!(files.commit("a b", &changed, "x").is_err());
    }

    #[test]
    fn a_patch_can_be_applied() {
        let shown = patch("deploy/a.yaml", "a: 1\nb: 2\n", "a: 1\nb: 3\n");
        assert_eq!(shown, "--- a/deploy/a.yaml\n+++ b/deploy/a.yaml\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3");
    }
}
