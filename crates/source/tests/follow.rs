//! Followers of real directories and repositories, made with the `git` command.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_model::{
    SourceName,
    own::{GitSpec, SourceSpec},
};
use evenkeel_source::{
    Fetched, Follower, KnownKinds, Reason, SourceEvent, is_repository, read_directory, read_git_revision,
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

/// Far longer than anything takes: only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  v: {value}\n")
}

struct Repo(TempDir);

impl Repo {
    fn new() -> Self {
        let repo = Self(tempfile::tempdir().unwrap());
        repo.git(&["init", "-q", "-b", "main"]);
        repo.write("a.yaml", &config_map("a", "one"));
        repo.commit("first\n\nwith a body");
        repo
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, args: &[&str]) -> String {
        git(self.path(), args)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Commits everything; gives its id.
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn spec(&self) -> SourceSpec {
        spec(&self.path().display().to_string())
    }
}

fn spec(url: &str) -> SourceSpec {
    SourceSpec { git: Some(GitSpec { url: url.into(), ..GitSpec::default() }), ..SourceSpec::default() }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct Followed {
    follower: Follower,
    events: mpsc::Receiver<(SourceName, SourceEvent)>,
    _data: TempDir,
}

fn follow(spec: &SourceSpec) -> Followed {
    let data = tempfile::tempdir().unwrap();
    let (send, events) = mpsc::channel(64);
    let follower = Follower::start(Arc::from("shop"), spec, data.path(), &KnownKinds::default(), send).unwrap();
    Followed { follower, events, _data: data }
}

impl Followed {
    async fn next(&mut self) -> SourceEvent {
        timeout(DEADLINE, self.events.recv()).await.expect("no event came").unwrap().1
    }

    async fn revision(&mut self) -> Fetched {
        match self.next().await {
            SourceEvent::Revision(fetched) => *fetched,
            other => panic!("not a revision: {other:?}"),
        }
    }

    /// The next event that is of this revision; earlier ones may be of states in between.
    async fn until(&mut self, hash: &str) -> Fetched {
        loop {
            let fetched = self.revision().await;
            if fetched.revision.hash() == hash {
                return fetched;
            }
        }
    }

    /// The next event with these objects; on a busy machine a state in between may be seen.
    async fn named(&mut self, expected: &[&str]) -> Fetched {
        loop {
            let fetched = self.revision().await;
            if names(&fetched) == expected {
                return fetched;
            }
        }
    }

    async fn away(&mut self) -> (String, Duration) {
        loop {
            match self.next().await {
                SourceEvent::Away { reason, next_try, .. } => return (reason, next_try),
                SourceEvent::Revision(_) | SourceEvent::Reachable => {}
            }
        }
    }
}

fn names(fetched: &Fetched) -> Vec<String> {
    fetched.outcome.as_ref().unwrap().docs.iter().map(|d| d.key.name.to_string()).collect()
}

fn complaints(fetched: &Fetched) -> String {
    let all = fetched.outcome.as_ref().unwrap_err();
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_commit_is_noticed_at_once() {
    let repo = Repo::new();
    let mut followed = follow(&repo.spec());
    let first = followed.revision().await;
    assert_eq!(first.revision.reference(), Some("main"));
    assert_eq!((first.author.as_str(), first.message.as_str()), ("Ann <ann@example.org>", "first"));
    assert!(first.complete_scan);
    assert_eq!(names(&first), ["a"]);

    let mut fastest = Duration::MAX;
    for n in 0..5 {
        repo.write("sub/b.yaml", &config_map("b", &format!("n{n}")));
        repo.git(&["add", "-A"]);
        let began = Instant::now();
        repo.git(&["commit", "-q", "-m", "next"]);
        let committed = Instant::now();
        let next = followed.revision().await;
        fastest = fastest.min(committed.elapsed());
        println!("commit {:?}, then noticed after {:?}", committed - began, committed.elapsed());
        assert_eq!(names(&next), ["a", "b"]);
        // What did not change is the very same document.
        let doc = |f: &Fetched| f.outcome.as_ref().unwrap().docs[0].clone();
        assert!(Arc::ptr_eq(&doc(&first), &doc(&next)));
    }
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}

#[tokio::test]
async fn commits_in_a_row_end_with_the_last() {
    let repo = Repo::new();
    let mut followed = follow(&repo.spec());
    followed.revision().await;
    let mut last = String::new();
    for n in 0..10 {
        repo.write("a.yaml", &config_map("a", &format!("n{n}")));
        last = repo.commit("one of many");
    }
    followed.until(&last).await;
    // Packed references, a pruned object store: the same revision, no event.
    repo.git(&["pack-refs", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    repo.write("a.yaml", &config_map("a", "after"));
    let id = repo.commit("after gc");
    assert_eq!(followed.revision().await.revision.hash(), id);
    // A nudge is answered, also when nothing moved.
    followed.follower.nudge();
    assert_eq!(followed.revision().await.revision.hash(), id);
}

#[tokio::test]
async fn a_deleted_branch_is_away_and_a_force_push_is_a_revision() {
    let repo = Repo::new();
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["branch", "feature/x"]);
    let mut spec = repo.spec();
    spec.git.as_mut().unwrap().branch = Some("feature/x".into());
    let mut followed = follow(&spec);
    assert_eq!(followed.revision().await.revision.as_str(), format!("feature/x@sha1:{first}"));

    repo.git(&["branch", "-D", "feature/x"]);
    let (reason, next_try) = followed.away().await;
    assert_eq!(reason, "BranchNotFound");
    assert!(next_try <= Duration::from_secs(30));
    repo.git(&["branch", "feature/x", &first]);
    loop {
        match followed.next().await {
            SourceEvent::Reachable => break,
            SourceEvent::Away { .. } => {}
            SourceEvent::Revision(fetched) => panic!("the revision did not move: {fetched:?}"),
        }
    }

    repo.git(&["checkout", "-q", "--orphan", "other"]);
    repo.write("a.yaml", &config_map("rewritten", "x"));
    let id = repo.commit("another history");
    repo.git(&["branch", "-f", "feature/x", &id]);
    assert_eq!(names(&followed.until(&id).await), ["rewritten"]);
}

#[tokio::test]
async fn a_tag_a_commit_and_a_path_are_followed() {
    let repo = Repo::new();
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["tag", "-a", "v1", "-m", "annotated"]);
    repo.write("deploy/b.yaml", &config_map("b", "x"));
    repo.write("deploy/.hidden/c.yaml", "not: read");
    let second = repo.commit("second");

    let mut spec = repo.spec();
    spec.git.as_mut().unwrap().tag = Some("v1".into());
    let mut tag = follow(&spec);
    assert_eq!(tag.revision().await.revision.as_str(), format!("v1@sha1:{first}"));
    repo.git(&["tag", "-f", "v1", &second]);
    assert_eq!(tag.revision().await.revision.as_str(), format!("v1@sha1:{second}"));

    let mut spec = repo.spec();
    spec.git.as_mut().unwrap().commit = Some(first.clone());
    assert_eq!(follow(&spec).revision().await.revision.as_str(), format!("sha1:{first}"));
    spec.git.as_mut().unwrap().commit = Some("0".repeat(40));
    assert_eq!(follow(&spec).away().await.0, "CommitNotFound");

    let mut spec = SourceSpec { path: Some("deploy".into()), ..repo.spec() };
    let mut path = follow(&spec);
    let fetched = path.revision().await;
    assert_eq!(names(&fetched), ["b"]);
    assert_eq!(&*fetched.outcome.unwrap().docs[0].place.file, "deploy/b.yaml");
    // A commit that takes the folder away is a revision that is wrong, not a source that is away.
    repo.git(&["rm", "-rq", "deploy"]);
    repo.commit("without the folder");
    assert!(complaints(&path.revision().await).contains("deploy: the source's path is not in this revision"));
    spec.path = Some("a.yaml".into());
    assert!(complaints(&follow(&spec).revision().await).contains("not a folder"));
}

#[tokio::test]
async fn what_leads_out_of_the_repository_is_refused() {
    let repo = Repo::new();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, repo.path().join(name)).unwrap();
    fs::create_dir(repo.path().join("sub")).unwrap();
    fs::create_dir(repo.path().join("only")).unwrap();
    link("/etc/passwd", "out.yaml");
    link("../../x", "sub/up.yaml");
    link("../nowhere.yaml", "only/nowhere.yaml");
    link("../a.yaml", "sub/same.yaml");
    let other = Repo::new();
    repo.git(&["submodule", "--quiet", "add", &other.path().display().to_string(), "module"]);
    repo.commit("leads outside");
    let text = complaints(&follow(&repo.spec()).revision().await);
    assert!(text.contains("out.yaml: a symlink that leads outside of the repository: `/etc/passwd`"), "{text}");
    assert!(text.contains("sub/up.yaml: a symlink that leads outside"), "{text}");
    assert!(text.contains("module: a submodule"), "{text}");
    assert!(!text.contains("same.yaml"), "{text}");

    // Inside the repository but outside the followed folder, a symlink is read.
    let mut inside = follow(&SourceSpec { path: Some("only".into()), ..repo.spec() });
    let text = complaints(&inside.revision().await);
    assert!(text.contains("only/nowhere.yaml: a symlink that leads to nothing"), "{text}");
    fs::remove_file(repo.path().join("only/nowhere.yaml")).unwrap();
    link("../a.yaml", "only/link.yaml");
    repo.commit("a link inside");
    assert_eq!(names(&inside.revision().await), ["a"]);
    repo.write("a.yaml", &config_map("changed", "x"));
    repo.commit("its target changes, its folder does not");
    assert_eq!(names(&inside.revision().await), ["changed"]);
}

#[tokio::test]
async fn bare_repositories_worktrees_and_file_urls_are_local() {
    let repo = Repo::new();
    let holder = tempfile::tempdir().unwrap();
    let bare = holder.path().join("bare.git");
    let worktree = holder.path().join("tree");
    repo.git(&["clone", "-q", "--bare", ".", &bare.display().to_string()]);
    repo.git(&["worktree", "add", "-q", "-b", "side", &worktree.display().to_string()]);

    let mut pushed = follow(&spec(&format!("file://{}", bare.display())));
    let mut side = follow(&spec(&worktree.display().to_string()));
    pushed.revision().await;
    assert_eq!(side.revision().await.revision.reference(), Some("side"));

    repo.write("a.yaml", &config_map("pushed", "x"));
    let id = repo.commit("to push");
    repo.git(&["push", "-q", &bare.display().to_string(), "main"]);
    assert_eq!(names(&pushed.until(&id).await), ["pushed"]);

    fs::write(worktree.join("a.yaml"), config_map("side", "x")).unwrap();
    git(&worktree, &["commit", "-qam", "in the worktree"]);
    assert_eq!(names(&side.revision().await), ["side"]);
    // A rebase detaches HEAD: no commit on the branch, no revision.
    git(&worktree, &["checkout", "-q", "--detach", "main"]);
    side.follower.nudge();
    assert_eq!(names(&side.revision().await), ["side"]);
}

#[tokio::test]
async fn another_users_repository_is_read() {
    let repo = Repo::new();
    // Only root can give files away; for others the question does not arise.
    if std::os::unix::fs::chown(repo.path(), Some(65_534), Some(65_534)).is_ok() {
        let chown = Command::new("chown").args(["-R", "65534"]).arg(repo.path()).status().unwrap();
        assert!(chown.success());
    }
    assert_eq!(names(&follow(&repo.spec()).revision().await), ["a"]);
}

#[tokio::test]
async fn what_is_no_repository_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| spec(&dir.path().join(name).display().to_string());
    assert_eq!(follow(&at("gone")).away().await.0, "NotFound");
    fs::create_dir(dir.path().join("plain")).unwrap();
    assert_eq!(follow(&at("plain")).away().await.0, "NotARepository");
    git(dir.path(), &["init", "-q", "empty"]);
    let mut empty = follow(&at("empty"));
    assert_eq!(empty.away().await.0, "BranchNotFound");
    // Its first commit is noticed.
    let path = dir.path().join("empty");
    fs::write(path.join("a.yaml"), config_map("a", "x")).unwrap();
    git(&path, &["add", "-A"]);
    git(&path, &["commit", "-qm", "the first"]);
    loop {
        if let SourceEvent::Revision(fetched) = empty.next().await {
            assert_eq!(names(&fetched), ["a"]);
            break;
        }
    }
    assert!(is_repository(&path) && !is_repository(dir.path()));
    let mut remote = follow(&spec("https://127.0.0.1:1/nothing.git"));
    let (reason, next_try) = remote.away().await;
    assert_eq!(reason, "Unreachable");
    assert!(next_try >= Duration::from_secs(27), "{next_try:?}");
}

#[tokio::test]
async fn a_directory_is_followed_through_an_editors_renames() {
    let holder = tempfile::tempdir().unwrap();
    let dir = holder.path().join("source");
    fs::create_dir(&dir).unwrap();
    let file = |name: &str| dir.join(name);
    fs::write(file("a.yaml"), config_map("a", "one")).unwrap();
    let spec = SourceSpec { directory: Some(dir.display().to_string()), ..SourceSpec::default() };
    let mut followed = follow(&spec);
    let first = followed.revision().await;
    assert!(first.revision.as_str().starts_with("dir@sha256:") && first.author.is_empty());
    assert!(!first.complete_scan, "at the start nobody knows what was there before");
    let confirmed = followed.revision().await;
    assert!(confirmed.complete_scan && confirmed.revision == first.revision);

    // As vim does: probe, backup, write anew, remove the backup.
    fs::write(file("4913"), "").unwrap();
    fs::remove_file(file("4913")).unwrap();
    fs::rename(file("a.yaml"), file("a.yaml~")).unwrap();
    fs::write(file("a.yaml"), config_map("a", "two")).unwrap();
    fs::remove_file(file("a.yaml~")).unwrap();
    let edited = followed.named(&["a"]).await;
    assert_ne!(edited.revision, first.revision);
    assert!(edited.complete_scan, "nothing is missing");

    // Written elsewhere and renamed into place, in a new folder.
    fs::create_dir(file("sub")).unwrap();
    fs::write(file("sub/.b.tmp"), config_map("b", "x")).unwrap();
    fs::rename(file("sub/.b.tmp"), file("sub/b.yaml")).unwrap();
    followed.named(&["a", "b"]).await;

    // What vanishes is told at once, and as complete only after a second scan.
    fs::remove_file(file("a.yaml")).unwrap();
    let gone = followed.named(&["b"]).await;
    assert!(!gone.complete_scan);
    let began = Instant::now();
    let again = followed.revision().await;
    assert_eq!((again.revision == gone.revision, again.complete_scan), (true, true));
    assert!(began.elapsed() > Duration::from_secs(4));

    // The directory itself goes, and comes back.
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(followed.away().await.0, "NotFound");
    fs::create_dir(&dir).unwrap();
    fs::write(file("c.yaml"), config_map("c", "x")).unwrap();
    loop {
        if let SourceEvent::Revision(fetched) = followed.next().await
            && fetched.outcome.as_ref().is_ok_and(|s| !s.docs.is_empty())
        {
            assert_eq!(names(&fetched), ["c"]);
            break;
        }
    }
}

#[test]
fn a_directorys_symlinks_stay_inside() {
    let holder = tempfile::tempdir().unwrap();
    let dir = holder.path().join("source");
    fs::create_dir_all(dir.join("..2026")).unwrap();
    fs::write(holder.path().join("outside.yaml"), config_map("outside", "x")).unwrap();
    fs::write(dir.join("..2026/map.yaml"), config_map("mounted", "x")).unwrap();
    fs::write(dir.join("plain.yaml"), config_map("plain", "x")).unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, dir.join(name)).unwrap();
    // As a mounted ConfigMap.
    link("..2026", "..data");
    link("..data/map.yaml", "map.yaml");
    link("plain.yaml", "again.yaml");
    let read = read_directory(&dir, "", None, &KnownKinds::default()).unwrap();
    let names: Vec<_> = read.outcome.unwrap().docs.iter().map(|d| d.key.name.to_string()).collect();
    assert_eq!(names, ["mounted", "plain"]);

    link("../outside.yaml", "out.yaml");
    link("/etc/passwd", "etc.yaml");
    let text: Vec<_> = read_directory(&dir, "", None, &KnownKinds::default())
        .unwrap()
        .outcome
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text.iter().all(|t| t.contains("outside of the source")), "{text:?}");
    assert_eq!(
        read_directory(&holder.path().join("gone"), "", None, &KnownKinds::default()).unwrap_err().reason,
        Reason::NotFound
    );
    assert_eq!(read_directory(&dir, "../x", None, &KnownKinds::default()).unwrap_err().reason, Reason::InvalidSpec);
}

#[test]
fn revisions_are_read_once_by_any_name() {
    let repo = Repo::new();
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["tag", "v1"]);
    repo.write("a.yaml", &config_map("second", "x"));
    let second = repo.commit("second");
    let url = repo.path().display().to_string();
    for (rev, expected) in [
        ("", format!("main@sha1:{second}")),
        ("HEAD", format!("main@sha1:{second}")),
        ("main", format!("main@sha1:{second}")),
        ("v1", format!("v1@sha1:{first}")),
        (&*first, format!("sha1:{first}")),
        (&first[..8], format!("sha1:{first}")),
    ] {
        assert_eq!(
            read_git_revision(&url, rev, "", None, &KnownKinds::default()).unwrap().revision.as_str(),
            expected,
            "{rev}"
        );
    }
    for rev in ["nothing", "../../etc", "fffffffff"] {
        assert_eq!(
            read_git_revision(&url, rev, "", None, &KnownKinds::default()).unwrap_err().reason,
            Reason::CommitNotFound,
            "{rev}"
        );
    }
    let other = PathBuf::from(&url).join("a.yaml");
    assert!(read_git_revision(&other.display().to_string(), "", "", None, &KnownKinds::default()).is_err());
}
