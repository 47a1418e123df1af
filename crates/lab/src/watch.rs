//! Eyes from outside: which of the lab's applications answer, without asking Evenkeel or an engine.
//!
//! Pods of a lab have no address: each is asked on its loopback, by a thread that enters its
//! network namespace.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fd::AsFd,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::process::is_named;

/// 20 Hz.
const STEP: Duration = Duration::from_millis(50);
/// An application that takes longer than this does not answer.
const ANSWER: Duration = Duration::from_secs(1);

/// What to ask.
#[derive(Debug, Clone)]
pub struct Question {
    /// The program's name, of at most 15 bytes.
    pub program: &'static str,
    /// Its port.
    pub port: u16,
    /// The path of a GET.
    pub path: &'static str,
}

/// The example's shop, whether it is ready.
pub const SHOP_READY: Question = Question { program: "shop", port: 8080, path: "/readyz" };

/// How many answered with 200, at one moment, by node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Since the watch began.
    pub at: Duration,
    /// Node by node, from node 1.
    pub answering: Vec<usize>,
}

impl Sample {
    /// On all nodes together.
    pub fn all(&self) -> usize {
        self.answering.iter().sum()
    }
}

/// A watch at 20 Hz, until it is stopped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<Sample>>,
}

impl Watch {
    /// `groups` gives the nodes' groups of each moment: nodes may be added.
    pub(crate) fn start(groups: impl Fn() -> Vec<PathBuf> + Send + 'static, question: Question) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let begin = Instant::now();
            let mut samples = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                let next = Instant::now() + STEP;
                let at = begin.elapsed();
                let answering = groups().iter().map(|group| count(group, &question)).collect();
                samples.push(Sample { at, answering });
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            samples
        });
        Self { stop, thread }
    }

    /// Ends it; gives all that it saw.
    pub fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_else(|_| panic!("the watch died"))
    }
}

/// How many programs in the groups below `group` answer. This thread changes its network namespace.
pub(crate) fn count(group: &Path, question: &Question) -> usize {
    let containers = fs::read_dir(group).into_iter().flatten().flatten();
    let pids = containers.flat_map(|entry| {
        let text = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    });
    pids.filter(|pid| is_named(*pid, question.program) && answers(*pid, question) == Some(200)).count()
}

/// Moves this thread into a network namespace.
pub(crate) fn enter(namespace: &Path) -> io::Result<()> {
    Ok(move_into_link_name_space(File::open(namespace)?.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// The status code that a program gives on its loopback.
fn answers(pid: u32, question: &Question) -> Option<u16> {
    enter(Path::new(&format!("/proc/{pid}/ns/net"))).ok()?;
    let address = SocketAddr::from(([127, 0, 0, 1], question.port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    write!(stream, "GET {} HTTP/1.0\r\n\r\n", question.path).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}
