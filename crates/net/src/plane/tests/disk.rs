//! A disk that takes its time: packets do not wait for it, words do.

use std::path::PathBuf;

use super::*;
use crate::plane::{
    KNOWN,
    keep::{Keeper, Turn},
    known::{Known, aside, changes},
};

/// A pipe in the place of the file of changes: who writes to it waits for a reader.
struct Hang(PathBuf);

impl Hang {
    fn new(dir: &Path) -> Self {
        let pipe = changes(&dir.join(KNOWN));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        Self(pipe)
    }

    /// Lets go of who waits, and of nobody later: gives what is written until the writer has ended.
    fn read(&self) -> std::thread::JoinHandle<String> {
        let apart = self.0.with_extension("pipe");
        std::fs::rename(&self.0, &apart).unwrap();
        std::thread::spawn(move || std::fs::read_to_string(apart).unwrap())
    }
}

impl Drop for Hang {
    /// A test that fails leaves nobody waiting: its runtime would wait, too.
    fn drop(&mut self) {
        // Where it was let go, it is no more.
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_does_not_take_yet_is_followed_and_not_said() {
    let (one, other) = two().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = started([&one, &other], &dirs, NetworkMode::Routes).await;
    let pods = [Place::new().await, Place::new().await, Place::new().await];
    first.pod(1, &pods[0]).await;
    let b = second.pod(2, &pods[1]).await;
    let known = dirs[0].path().join(KNOWN);
    eventually("all is written", || {
        let left = [changes(&known), aside(&known)].into_iter().find(|file| file.exists());
        left.map_or(Ok(()), |file| Err(format!("{} is there", file.display())))
    })
    .await;

    let pipe = Hang::new(dirs[0].path());
    first.plane.update(Arc::new(web(2, &[(b, "n2")]))).await;
    let service = "10.43.0.80".parse().unwrap();
    let ask = || asked_at(&pods[0], &pods[1], 8080, service, Some(80));
    eventually("the Service leads to the pod", ask).await;
    // Nor does the next change wait, nor a pod.
    first.plane.update(Arc::new(web(3, &[]))).await;
    eventually("the Service leads nowhere", || match ask() {
        Err(refused) if refused.contains("refused") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    first.pod(3, &pods[2]).await;
    let mut applied = first.plane.applied();
    assert_eq!(*applied.borrow(), 1, "what is not kept is not said to be followed");

    let reader = pipe.read();
    tokio::time::timeout(PATIENCE, applied.wait_for(|n| *n == 3)).await.expect("said").unwrap();
    assert!(reader.join().unwrap().contains(r#""number":2"#));
    eventually("all of it is on disk", || {
        let known = Known::read(&known);
        match known.services() {
            [web] if web.endpoints.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// The turns of a keeper until it says this number; all that it says.
async fn turns(keeper: &mut Keeper, known: &Known, until: u64) -> Vec<u64> {
    let mut said: Vec<u64> = keeper.keep().into_iter().collect();
    while said.last() != Some(&until) {
        match tokio::time::timeout(PATIENCE, keeper.turn()).await.expect("said") {
            Turn::Write => keeper.begin(known),
            Turn::Done(number) => said.extend(number),
        }
        said.extend(keeper.keep());
    }
    said
}

#[tokio::test]
async fn numbers_are_said_once_their_changes_are_kept_one_way_or_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(KNOWN);
    let mut known = Known::default();
    let mut keeper = Keeper::new(path.clone());
    let mut change = |keeper: &mut Keeper, number| {
        let update = Arc::new(update(number, NetworkMode::Auto, nodes()));
        known.take(&update);
        keeper.take(update, false);
        keeper.reached(number);
        known.clone()
    };
    let all = change(&mut keeper, 1);
    assert_eq!(turns(&mut keeper, &all, 1).await, [1]);
    assert_eq!(Known::read(&path).nodes(), all.nodes());

    // No line can be added: the whole is written in place of it.
    std::fs::remove_file(changes(&path)).unwrap();
    std::fs::create_dir(changes(&path)).unwrap();
    let all = change(&mut keeper, 2);
    assert_eq!(turns(&mut keeper, &all, 2).await, [2]);
    // Nor anything else: then it is said all the same.
    std::fs::remove_dir_all(aside(&path)).unwrap();
    drop(dir);
    let all = change(&mut keeper, 3);
    assert_eq!(turns(&mut keeper, &all, 3).await, [3]);

    // More than waits for a disk is left to the whole, and nothing of it is said before.
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new(dir.path().join(KNOWN));
    let mut last = change(&mut keeper, 4);
    for number in 5..2000 {
        last = change(&mut keeper, number);
    }
    assert_eq!(keeper.keep(), None);
    assert_eq!(turns(&mut keeper, &last, 1999).await, [1999]);
    assert!(!changes(&dir.path().join(KNOWN)).exists(), "it was added, too");
    assert_eq!(Known::read(&dir.path().join(KNOWN)).nodes(), last.nodes());
}
