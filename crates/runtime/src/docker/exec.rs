//! Commands in containers with their streams connected: start, terminal's size, end.
//!
//! Docker has no request that ends a command, and lets one run on whose connection is gone. So its
//! process is signalled from outside: by the process id that the engine tells, where the agent
//! shares the engine's process ids, which the process's cgroup proves.

use std::{
    fs, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bollard::{
    Docker as Client,
    errors::Error,
    exec::{CreateExecOptions, ResizeExecOptions},
    query_parameters::ResizeContainerTTYOptionsBuilder,
};
use futures_util::StreamExt as _;
use rustix::{
    io::Errno,
    process::{Pid, Signal, getpgid, kill_process, kill_process_group},
};
use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep},
};

use super::{Docker, READ_TIMEOUT, WRITE_TIMEOUT, classify, raw, raw::Form};
use crate::{
    AttachSession, ContainerId, ExecId, ExecLimits, ExecSession, ExecSpec, LogChunk, LogStream, Result, RuntimeError,
};

/// The input of a container that goes on when a client's has ended. Told of that end, the engine would end the
/// client's output, too.
struct StaysOpen<W>(W);

impl<W: AsyncWrite + Unpin> AsyncWrite for StaysOpen<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

/// The engine ends the output a moment before it knows the exit code; a command that has closed
/// its output may run on for long.
const EXIT_POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The engine takes the connection over before the terminal is there; a size is tried again for
/// so long.
const RESIZE: Duration = Duration::from_secs(3);
/// A command gets this long to end by itself when its caller has gone.
const GRACE: Duration = Duration::from_secs(3);
/// How often the engine is asked meanwhile.
const POLL: Duration = Duration::from_millis(50);
/// What `kill` may have to say.
const KILL_OUTPUT: usize = 1024;
/// What the engine writes as output where there never was a process.
const NOT_STARTED: &[u8] = b"OCI runtime exec failed";

/// What the engine knows of a command.
enum Known {
    /// It runs, or is about to.
    Running { pid: Option<Pid>, container: String, tty: bool },
    /// It has ended.
    Ended { exit_code: i64, started: bool },
}

async fn known(client: &Client, id: &ExecId) -> Result<Known> {
    let request = client.inspect_exec(&id.0);
    let state = Docker::within("inspect exec", READ_TIMEOUT, request).await?.map_err(classify::general)?;
    let pid = state.pid.and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw);
    Ok(match (state.running, state.exit_code) {
        (Some(false), Some(exit_code)) => Known::Ended { exit_code, started: pid.is_some() },
        _ => Known::Running {
            pid,
            container: state.container_id.unwrap_or_default(),
            tty: state.process_config.and_then(|c| c.tty).unwrap_or(false),
        },
    })
}

impl Docker {
    pub(super) async fn begin_exec(&self, id: ContainerId, spec: ExecSpec) -> Result<ExecSession> {
        let options = CreateExecOptions {
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(spec.tty),
            cmd: Some(spec.command),
            ..Default::default()
        };
        let client = self.client()?.clone();
        let request = client.create_exec(&id.0, options);
        let made = Self::within("create exec", WRITE_TIMEOUT, request).await?.map_err(classify::general)?;
        let body = format!(r#"{{"Detach":false,"Tty":{}}}"#, spec.tty);
        let connection = self.hijack(&format!("/exec/{}/start", made.id), body).await?;
        let (read, write) = tokio::io::split(connection);
        let form = if spec.tty { Form::Plain } else { Form::Framed };
        let id = ExecId(made.id);
        let output = checked(client, id.clone(), raw::read(read, form));
        Ok(ExecSession { id, stdin: Box::pin(write), output })
    }

    pub(super) async fn begin_attach(&self, id: ContainerId, stdin: bool) -> Result<AttachSession> {
        let standard = self.standard(&id).await?;
        let path = format!("/containers/{}/attach?stream=1&stdout=1&stderr=1&stdin={}", id.0, u8::from(stdin));
        // An empty body: what is sent beyond the head is the process's input.
        let connection = self.hijack(&path, String::new()).await?;
        // The engine takes anybody to one that has ended meanwhile, says nothing, and never ends it.
        if !self.standard(&id).await?.runs {
            return Err(RuntimeError::Conflict { message: "the container has ended".into() });
        }
        let (read, write) = tokio::io::split(connection);
        let stdin: Pin<Box<dyn AsyncWrite + Send>> =
            if standard.input_ends { Box::pin(write) } else { Box::pin(StaysOpen(write)) };
        Ok(AttachSession { stdin, output: raw::read(read, standard.form) })
    }

    pub(super) async fn resize_container(&self, id: ContainerId, width: u16, height: u16) -> Result<()> {
        let options = ResizeContainerTTYOptionsBuilder::default().h(height.into()).w(width.into()).build();
        let request = self.client()?.resize_container_tty(&id.0, options);
        Self::within("resize", READ_TIMEOUT, request).await?.map_err(classify::general)
    }

    pub(super) async fn resize(&self, id: ExecId, width: u16, height: u16) -> Result<()> {
        let begun = Instant::now();
        let client = self.client()?;
        loop {
            let request = client.resize_exec(&id.0, ResizeExecOptions { height, width });
            let Err(error) = Self::within("resize", READ_TIMEOUT, request).await? else { return Ok(()) };
            if matches!(known(client, &id).await?, Known::Ended { .. }) {
                return Ok(());
            }
            if begun.elapsed() > RESIZE {
                return Err(classify::general(error));
            }
            sleep(POLL).await;
        }
    }

    pub(super) async fn exit_code(&self, id: ExecId) -> Result<i64> {
        let (mut wait, most) = EXIT_POLL;
        loop {
            if let Known::Ended { exit_code, .. } = known(self.client()?, &id).await? {
                return Ok(exit_code);
            }
            sleep(wait).await;
            wait = (wait * 2).min(most);
        }
    }

    pub(super) async fn end_exec(&self, id: ExecId) -> Result<()> {
        let begun = Instant::now();
        let (pid, container, tty) = loop {
            match known(self.client()?, &id).await? {
                Known::Ended { .. } => return Ok(()),
                Known::Running { pid: Some(pid), container, tty } => break (pid, container, tty),
                Known::Running { pid: None, .. } if begun.elapsed() > GRACE => {
                    return Err(RuntimeError::Other { message: "the engine does not tell its process".into() });
                }
                Known::Running { pid: None, .. } => sleep(POLL).await,
            }
        };
        // A terminal that goes away says so with a hang-up; a shell in one ignores SIGTERM.
        self.signal(pid, &container, if tty { Signal::HUP } else { Signal::TERM }).await?;
        let begun = Instant::now();
        while begun.elapsed() < GRACE {
            if matches!(known(self.client()?, &id).await?, Known::Ended { .. }) {
                return Ok(());
            }
            sleep(POLL).await;
        }
        self.signal(pid, &container, Signal::KILL).await
    }

    /// Signals a command's process with its children: the engine makes it the leader of a group.
    async fn signal(&self, pid: Pid, container: &str, signal: Signal) -> Result<()> {
        if !is_of(pid, container) {
            let message = format!("its process {pid} is not among those that this agent sees");
            return Err(RuntimeError::Other { message });
        }
        let group = getpgid(Some(pid)) == Ok(pid);
        match if group { kill_process_group(pid, signal) } else { kill_process(pid, signal) } {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            // An agent without root: the container's own user may.
            Err(Errno::PERM) => self.signal_inside(pid, container, group, signal).await,
            Err(error) => Err(RuntimeError::Other { message: format!("its process cannot be signalled: {error}") }),
        }
    }

    async fn signal_inside(&self, pid: Pid, container: &str, group: bool, signal: Signal) -> Result<()> {
        let Some(inside) = inner_pid(pid) else { return Ok(()) };
        let target = if group { format!("-{inside}") } else { inside.to_string() };
        let command = vec!["kill".to_owned(), format!("-{}", signal.as_raw()), "--".to_owned(), target];
        let limits = ExecLimits { timeout: GRACE, max_output: KILL_OUTPUT };
        let result = self.run_exec(ContainerId(container.to_owned()), command, limits).await?;
        if result.exit_code == Some(0) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&result.output).trim().to_owned();
        Err(RuntimeError::Other { message: format!("its process cannot be signalled from the container: {said}") })
    }
}

/// Of a command that could not be started, the engine says so as if the command had printed it:
/// such a piece becomes the error that it is.
fn checked(client: Client, id: ExecId, output: LogStream) -> LogStream {
    let mut first = true;
    output
        .then(move |piece| {
            let suspect =
                std::mem::take(&mut first) && piece.as_ref().is_ok_and(|p: &LogChunk| p.bytes.starts_with(NOT_STARTED));
            let (client, id) = (client.clone(), id.clone());
            async move {
                let piece = piece?;
                if !suspect {
                    return Ok(piece);
                }
                match known(&client, &id).await? {
                    Known::Ended { started: false, .. } => {
                        let message = String::from_utf8_lossy(&piece.bytes).trim().to_owned();
                        let error = Error::DockerResponseServerError { status_code: 400, message };
                        Err(classify::start(error))
                    }
                    _ => Ok(piece),
                }
            }
        })
        .boxed()
}

/// Whether a process of this machine is of a container; the engine may tell process ids that are
/// not this agent's (it runs in a container, or the engine in a virtual machine).
fn is_of(pid: Pid, container: &str) -> bool {
    !container.is_empty() && read_proc(pid, "cgroup").is_some_and(|text| text.contains(container))
}

/// A process's id in its own, innermost namespace.
fn inner_pid(pid: Pid) -> Option<u32> {
    let status = read_proc(pid, "status")?;
    let ids = status.lines().find_map(|l| l.strip_prefix("NSpid:"))?;
    ids.split_whitespace().last()?.parse().ok()
}

fn read_proc(pid: Pid, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_cgroup_and_has_an_inner_id() {
        let own = rustix::process::getpid();
        assert!(!is_of(own, "09469d4bdf996be6aa6c10dabb8b43718a1ebb140c17436d5fefd8b443e5d21a"));
        assert!(!is_of(own, ""));
        assert!(inner_pid(own).is_some_and(|p| p > 0));
    }
}
