//! A process of the lab: on the host or in a machine's namespaces, with its output in a file.
//!
//! Each one ends with the process that started it, however that ends: its starter has
//! `pdeathsig KILL`. That signal comes when the starting *thread* ends, so a thread that lasts as
//! long as the process starts them all, and stories may start theirs from any thread.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, OnceLock,
        mpsc::{Sender, channel},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::eventually;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a command from a thread that never ends.
pub(crate) fn spawn_lasting(command: Command) -> Child {
    static STARTER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (send, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                // A group of its own: Ctrl-C is for us, and we end what we started, in our order.
                let started =
                    command.process_group(0).spawn().map_err(|e| io::Error::new(e.kind(), format!("{command:?}: {e}")));
                // Who asked waits for it.
                let _ = answer.send(started);
            }
        });
        Mutex::new(send)
    });
    let (answer, child) = channel();
    let order = starter.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send((command, answer));
    order.expect("the starter's thread lasts");
    child.recv().expect("the starter answers").unwrap_or_else(|e| panic!("cannot be run: {e}"))
}

/// The words before a command's own that end it with this process.
pub(crate) fn ends_with_us() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

/// Where a process runs.
pub(crate) enum Inside<'a> {
    Host,
    /// In all namespaces of the machine with this first process, and in its control group, so that
    /// it freezes with the machine.
    Machine {
        init: u32,
        group: &'a Path,
    },
}

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    what: String,
    /// Our child: the program itself on the host, else `nsenter`, its parent.
    starter: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its output is added to `log`.
    pub(crate) fn start(inside: &Inside<'_>, command: &Command, log: &Path) -> Self {
        let what = format!("{} {:?}", command.get_program().display(), command.get_args().collect::<Vec<_>>());
        let mut whole = ends_with_us();
        if let Inside::Machine { init, group } = inside {
            whole.args(["sh", "-c", "echo $$ >\"$0\"/cgroup.procs && exec \"$@\""]).arg(group);
            whole.args(["nsenter", "-t", &init.to_string(), "-m", "-u", "-i", "-n", "-p", "--"]);
        }
        whole.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => whole.env(name, value),
                None => whole.env_remove(name),
            };
        }
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let out = |file: &File| file.try_clone().map_or_else(|e| panic!("{}: {e}", log.display()), Stdio::from);
        whole.stdin(Stdio::null()).stdout(out(&file)).stderr(out(&file));
        let mut starter = spawn_lasting(whole);
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid = eventually(&format!("{what} runs"), || {
            if let Ok(Some(status)) = starter.try_wait() {
                panic!("{what} ended at once with {status}\n{}", tail(log));
            }
            let pid = match inside {
                Inside::Host => Some(starter.id()),
                Inside::Machine { .. } => child_of(starter.id()),
            }?;
            // Until then it is still its starter's image.
            (is_named(pid, &program)).then_some(pid)
        });
        Self { what, starter, pid, log: log.to_path_buf() }
    }

    /// Its process id, as the host sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The end of what it has said so far.
    pub fn said(&self) -> String {
        tail(&self.log)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.starter.try_wait().unwrap_or_else(|e| panic!("{}: {e}", self.what))
    }

    /// `kill -9`; gives back when it is gone.
    pub fn kill(mut self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM; waits for its end.
    pub fn terminate(mut self) {
        self.end(Signal::TERM);
        let what = self.what.clone();
        eventually(&format!("{what} ends on SIGTERM"), || self.ended());
    }

    /// SIGSTOP: its sockets stay open and it says nothing any more.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    fn end(&mut self, signal: Signal) {
        self.signal(signal);
        if signal == Signal::KILL {
            let _ = self.starter.wait();
        }
    }

    fn signal(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        // It may end by itself at any moment; then there is nobody to tell.
        let _ = kill_process(id(self.pid), signal);
        // `nsenter` stops itself when its child is stopped, and would never see that child's end.
        if self.starter.id() != self.pid && signal != Signal::STOP {
            let _ = kill_process(id(self.starter.id()), Signal::CONT);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}

/// `kill -9` of one process, by its id.
pub(crate) fn kill_9(pid: u32) {
    // It may be gone already.
    let _ = kill_process(id(pid), Signal::KILL);
}

fn id(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("{pid} is no process id"))
}

/// The first child of a process.
pub(crate) fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Whether a process has become this program (the kernel keeps 15 bytes of the name).
pub(crate) fn is_named(pid: u32, program: &str) -> bool {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    program.as_bytes().iter().take(15).eq(comm.trim_end().as_bytes())
}

/// When a process started, in clock ticks since boot (proc(5), field 22 of `stat`): with its id it
/// names a process for good.
pub(crate) fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets that may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The last lines of a file.
pub(crate) fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    format!("--- the last of {} ---\n{}", log.display(), lines[lines.len().saturating_sub(25)..].join("\n"))
}
