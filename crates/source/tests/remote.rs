//! A follower of a repository behind HTTP: served by `git http-backend` from a small server here.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use evenkeel_model::{
    SourceName,
    own::{GitSpec, SourceSpec},
};
use evenkeel_source::{Fetched, Follower, KnownKinds, SourceEvent};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

const DEADLINE: Duration = Duration::from_secs(20);

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A forge of one repository.
struct Forge {
    dir: TempDir,
    port: u16,
    /// Queries of the references, and fetches.
    lists: Arc<AtomicUsize>,
    fetches: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Forge {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs::create_dir(&work).unwrap();
        git(&work, &["init", "-q", "-b", "main"]);
        git(dir.path(), &["init", "-q", "--bare", "-b", "main", "shop.git"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let forge = Self {
            port: listener.local_addr().unwrap().port(),
            lists: Arc::default(),
            fetches: Arc::default(),
            down: Arc::default(),
            dir,
        };
        let (root, lists, fetches, down) =
            (forge.dir.path().to_path_buf(), forge.lists.clone(), forge.fetches.clone(), forge.down.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (root, lists, fetches) = (root.clone(), lists.clone(), fetches.clone());
                if !down.load(Ordering::SeqCst) {
                    thread::spawn(move || serve(stream, &root, &lists, &fetches));
                }
            }
        });
        forge.push("first", "one");
        forge
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Commits a ConfigMap of that name and pushes it; gives the commit's id.
    fn push(&self, message: &str, name: &str) -> String {
        let work = self.work();
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
        fs::write(work.join("a.yaml"), text).unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", message]);
        git(&work, &["push", "-q", "--force", "../shop.git", "main"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    fn spec(&self) -> SourceSpec {
        let git = GitSpec { url: format!("http://127.0.0.1:{}/shop.git", self.port), ..GitSpec::default() };
        SourceSpec { git: Some(git), interval: Some("1s".into()), ..SourceSpec::default() }
    }
}

/// One request and its answer, by CGI.
fn serve(stream: TcpStream, root: &Path, lists: &AtomicUsize, fetches: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |l| l.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let counter = if method == "POST" { fetches } else { lists };
    counter.fetch_add(1, Ordering::SeqCst);
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", &method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", headers.get("content-type").map_or("", String::as_str))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(&body).ok()?;
    let mut answer = child.wait_with_output().ok()?.stdout;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let content = answer.split_off(end + 4);
    let head = String::from_utf8(answer).ok()?;
    let status = head.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{head}", content.len()).ok()?;
    stream.write_all(&content).ok()
}

async fn next(events: &mut mpsc::Receiver<(SourceName, SourceEvent)>) -> SourceEvent {
    timeout(DEADLINE, events.recv()).await.expect("no event came").unwrap().1
}

async fn revision(events: &mut mpsc::Receiver<(SourceName, SourceEvent)>) -> Fetched {
    loop {
        match next(events).await {
            SourceEvent::Revision(fetched) => return *fetched,
            SourceEvent::Reachable | SourceEvent::Away { .. } => {}
        }
    }
}

async fn away(events: &mut mpsc::Receiver<(SourceName, SourceEvent)>) -> String {
    loop {
        if let SourceEvent::Away { reason, .. } = next(events).await {
            return reason;
        }
    }
}

fn name(fetched: &Fetched) -> String {
    fetched.outcome.as_ref().unwrap().docs[0].key.name.to_string()
}

#[tokio::test]
async fn a_remote_is_asked_at_its_interval_and_fetched_when_it_moved() {
    let forge = Forge::new();
    let data = tempfile::tempdir().unwrap();
    let (send, mut events) = mpsc::channel(64);
    let start = |spec: &SourceSpec| {
        Follower::start(Arc::from("shop"), spec, data.path(), &KnownKinds::default(), send.clone()).unwrap()
    };
    let follower = start(&forge.spec());
    let first = revision(&mut events).await;
    assert_eq!(
        (name(&first).as_str(), first.revision.reference(), first.message.as_str()),
        ("one", Some("main"), "first")
    );
    let fetched = forge.fetches.load(Ordering::SeqCst);

    // Polls that find nothing new fetch nothing.
    let asked = forge.lists.load(Ordering::SeqCst);
    let deadline = Instant::now() + DEADLINE;
    while forge.lists.load(Ordering::SeqCst) < asked + 2 {
        assert!(Instant::now() < deadline, "it does not poll");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(forge.fetches.load(Ordering::SeqCst), fetched);

    // A hook's nudge, a push, a rewritten history.
    let second = forge.push("second", "two");
    follower.nudge();
    let two = loop {
        let fetched = revision(&mut events).await;
        if fetched.revision.hash() == second {
            break fetched;
        }
    };
    assert_eq!(name(&two), "two");
    git(&forge.work(), &["reset", "-q", "--hard", "HEAD~1"]);
    let third = forge.push("instead of the second", "three");
    assert_eq!(revision(&mut events).await.revision.hash(), third);

    // The server goes and comes back: nothing else changes.
    forge.down.store(true, Ordering::SeqCst);
    assert_eq!(away(&mut events).await, "Unreachable");
    forge.down.store(false, Ordering::SeqCst);
    follower.nudge();
    assert_eq!(revision(&mut events).await.revision.hash(), third);

    // A restart finds its mirror: one query, no fetch.
    drop(follower);
    let fetched = forge.fetches.load(Ordering::SeqCst);
    let (send, mut events) = mpsc::channel(64);
    let _follower =
        Follower::start(Arc::from("shop"), &forge.spec(), data.path(), &KnownKinds::default(), send).unwrap();
    assert_eq!(revision(&mut events).await.revision.hash(), third);
    assert_eq!(forge.fetches.load(Ordering::SeqCst), fetched);

    // The branch is deleted.
    git(&forge.dir.path().join("shop.git"), &["update-ref", "-d", "refs/heads/main"]);
    assert_eq!(away(&mut events).await, "BranchNotFound");
}

#[tokio::test]
async fn branches_tags_and_commits_of_a_remote_are_followed() {
    let forge = Forge::new();
    let first = git(&forge.work(), &["rev-parse", "HEAD"]);
    git(&forge.work(), &["tag", "-a", "v1", "-m", "annotated"]);
    git(&forge.work(), &["push", "-q", "../shop.git", "v1", "main:refs/heads/feature/x"]);
    forge.push("second", "two");
    let read = async |change: fn(&mut GitSpec, &str)| {
        let data = tempfile::tempdir().unwrap();
        let (send, mut events) = mpsc::channel(64);
        let mut spec = forge.spec();
        change(spec.git.as_mut().unwrap(), &first);
        let _follower = Follower::start(Arc::from("x"), &spec, data.path(), &KnownKinds::default(), send).unwrap();
        match next(&mut events).await {
            SourceEvent::Revision(fetched) => fetched.revision.to_string(),
            SourceEvent::Away { reason, message, .. } => format!("{reason}: {message}"),
            SourceEvent::Reachable => panic!("reachable before anything was told"),
        }
    };
    assert_eq!(read(|g, _| g.tag = Some("v1".into())).await, format!("v1@sha1:{first}"));
    assert_eq!(read(|g, _| g.branch = Some("feature/x".into())).await, format!("feature/x@sha1:{first}"));
    assert_eq!(read(|g, id| g.commit = Some(id.into())).await, format!("sha1:{first}"));
    assert!(read(|g, _| g.tag = Some("v2".into())).await.starts_with("TagNotFound"));
    assert!(read(|g, _| g.commit = Some("1".repeat(40))).await.starts_with("CommitNotFound"));
    let missing = read(|g, _| g.url = g.url.replace("shop", "nothing")).await;
    assert!(missing.starts_with("Unreachable") && missing.contains("nothing.git"), "{missing}");
}
