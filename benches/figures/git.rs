//! Reading a repository of 20,000 manifests: all of it, and after one file changed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use evenkeel_model::own::{GitSpec, SourceSpec};
use evenkeel_source::{Follower, SourceEvent, read_git_revision};
use git2::{ObjectType, Oid, Repository, Signature};
use saphyr_parser::{Event, Parser};

use crate::{
    manifests,
    measure::{Better, Samples, alternate, compared, millis, ms},
};

/// Folders of the repository, and files in each.
const FOLDERS: usize = 200;
const FILES: usize = 100;
const BRANCH: &str = "refs/heads/main";
/// A follower that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// A repository of [`FOLDERS`] × [`FILES`] manifests, packed.
struct Fixture {
    path: PathBuf,
    repo: Repository,
    edition: usize,
}

impl Fixture {
    fn new(path: &Path) -> Self {
        let repo = Repository::init(path).unwrap();
        repo.set_head(BRANCH).unwrap();
        let mut root = repo.treebuilder(None).unwrap();
        for folder in 0..FOLDERS {
            let mut tree = repo.treebuilder(None).unwrap();
            for file in 0..FILES {
                let text = manifests::document(folder * FILES + file, 1);
                tree.insert(format!("m{file}.yaml"), repo.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
            }
            root.insert(format!("f{folder}"), tree.write().unwrap(), 0o040_000).unwrap();
        }
        let tree = root.write().unwrap();
        drop(root);
        let fixture = Self { path: path.to_path_buf(), repo, edition: 1 };
        let first = fixture.commit(tree, None);
        fixture.publish(first);
        git(&["-C", path.to_str().unwrap(), "repack", "-adq"]);
        Self { repo: Repository::open(path).unwrap(), ..fixture }
    }

    fn commit(&self, tree: Oid, parent: Option<Oid>) -> Oid {
        let who = Signature::now("Someone", "someone@example.dev").unwrap();
        let tree = self.repo.find_tree(tree).unwrap();
        let parent = parent.map(|p| self.repo.find_commit(p).unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.repo.commit(None, &who, &who, "change", &tree, &parents).unwrap()
    }

    fn publish(&self, commit: Oid) {
        self.repo.reference(BRANCH, commit, true, "bench").unwrap();
    }

    fn head(&self) -> Oid {
        self.repo.refname_to_id(BRANCH).unwrap()
    }

    /// A commit that changes one file, which the branch does not name yet.
    fn change_one(&mut self) -> Oid {
        self.edition += 1;
        let folder = self.edition * 37 % FOLDERS;
        let head = self.repo.find_commit(self.head()).unwrap();
        let old = head.tree().unwrap();
        let name = format!("f{folder}");
        let inner = self.repo.find_tree(old.get_name(&name).unwrap().id()).unwrap();
        let mut inner = self.repo.treebuilder(Some(&inner)).unwrap();
        let text = manifests::document(folder * FILES, self.edition);
        inner.insert("m0.yaml", self.repo.blob(text.as_bytes()).unwrap(), 0o100_644).unwrap();
        let mut root = self.repo.treebuilder(Some(&old)).unwrap();
        root.insert(&name, inner.write().unwrap(), 0o040_000).unwrap();
        self.commit(root.write().unwrap(), Some(head.id()))
    }
}

fn git(args: &[&str]) {
    let output = Command::new("git").args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Hands every blob of the branch to `each`.
fn blobs(path: &Path, mut each: impl FnMut(&[u8])) {
    let repo = Repository::open(path).unwrap();
    let odb = repo.odb().unwrap();
    let tree = repo.find_commit(repo.refname_to_id(BRANCH).unwrap()).unwrap().tree().unwrap();
    tree.walk(git2::TreeWalkMode::PreOrder, |_, entry| {
        if entry.kind() == Some(ObjectType::Blob) {
            each(odb.read(entry.id()).unwrap().data());
        }
        git2::TreeWalkResult::Ok
    })
    .unwrap();
}

/// The parser's events alone: nothing is kept, no value is made.
fn events(path: &Path) -> usize {
    let mut n = 0;
    blobs(path, |bytes| {
        let mut parser = Parser::new_from_str(std::str::from_utf8(bytes).unwrap());
        while let Some(event) = parser.next_event() {
            n += usize::from(matches!(event.unwrap().0, Event::Scalar(..)));
        }
    });
    n
}

/// Values, as a tool gets them that reads YAML with serde.
fn values(path: &Path) -> usize {
    let mut n = 0;
    blobs(path, |bytes| {
        let value: serde_json::Value = serde_yaml::from_slice(bytes).unwrap();
        n += usize::from(value.is_object());
    });
    n
}

pub fn cold_plan() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(&dir.path().join("repo"));
    let path = fixture.path.clone();
    // What was read is kept by its reader: giving it back is no part of the plan.
    let whole = || {
        let start = Instant::now();
        let read = read_git_revision(path.to_str().unwrap(), "main", "", None, &evenkeel_source::KnownKinds::default())
            .unwrap();
        let took = ms(start.elapsed());
        assert_eq!(read.outcome.unwrap().docs.len(), FOLDERS * FILES);
        took
    };
    let (ours, theirs) = alternate(whole, || millis(|| events(&path)));
    let what = ("read, parse, check, assemble", "read the blobs, run the YAML parser (events only)");
    compared(what, "ms", Better::Lower, (1.2, 0.0), (&ours, &theirs));
    let (ours, theirs) = alternate(whole, || millis(|| values(&path)));
    let what = ("read, parse, check, assemble", "read the blobs, parse the YAML to values (libyaml, serde)");
    compared(what, "ms", Better::Lower, (1.2, 0.0), (&ours, &theirs));
}

pub fn changed_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Fixture::new(&dir.path().join("followed"));
    let mut fetched = Fixture::new(&dir.path().join("fetched"));
    let mirror = dir.path().join("mirror.git");
    let mirror = mirror.to_str().unwrap();
    git(&["init", "--quiet", "--bare", mirror]);
    let url = format!("file://{}", fetched.path.display());
    git(&["--git-dir", mirror, "remote", "add", "origin", &url]);
    git(&["--git-dir", mirror, "fetch", "--quiet", "origin", "main"]);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (send, mut events) = tokio::sync::mpsc::channel(16);
    let git_spec = GitSpec { url: format!("file://{}", source.path.display()), ..GitSpec::default() };
    let spec = SourceSpec { git: Some(git_spec), ..SourceSpec::default() };
    let follower = runtime
        .block_on(async {
            Follower::start("bench".into(), &spec, dir.path(), &evenkeel_source::KnownKinds::default(), send)
        })
        .expect("a follower");
    let mut wait = |commit: Oid| {
        let commit = commit.to_string();
        let seen = async {
            while let Some((_, event)) = events.recv().await {
                match event {
                    SourceEvent::Revision(r) if r.revision.as_str().ends_with(&commit) => return r.outcome.is_ok(),
                    SourceEvent::Away { message, .. } => panic!("{message}"),
                    _ => {}
                }
            }
            false
        };
        assert!(runtime.block_on(async { tokio::time::timeout(PATIENCE, seen).await }).expect("the revision comes"));
    };
    wait(source.head());
    let ours = || {
        let commit = source.change_one();
        let start = Instant::now();
        source.publish(commit);
        wait(commit);
        ms(start.elapsed())
    };
    let theirs = || {
        let commit = fetched.change_one();
        fetched.publish(commit);
        millis(|| git(&["--git-dir", mirror, "fetch", "--quiet", "origin", "main"]))
    };
    let (ours, theirs): (Samples, Samples) = alternate(ours, theirs);
    let what = ("moved branch to checked snapshot, file://", "git fetch --quiet origin main, bare mirror, file://");
    compared(what, "ms", Better::Lower, (1.3, 5.0), (&ours, &theirs));
    follower.stop();
}
