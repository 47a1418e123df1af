//! A command in a container, or the container's own process, with its standard streams on a stream to
//! the caller.
//!
//! Called by `streams`. Both ways run at once and wait for each other's reader: output for the
//! caller, at most [`evenkeel_wire::stream::PROGRESS`]; input for the command, as long as it takes
//! (a database that works off one statement for minutes reads no further). When the caller goes,
//! the command is ended; a container's own process runs on.

use evenkeel_runtime::{
    AttachSession, ContainerId, ContainerInfo, ContainerState, ExecId, ExecSession, ExecSpec, LogStream, Result as Ran,
    Runtime, RuntimeError, StartFailure, Stream,
};
use evenkeel_wire::stream::{
    self, AttachRequest, ExecRequest, ExecStreams, FailureKind, NodeEnd, SendError, StreamError, StreamInput,
    StreamOutput,
};
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::streams::Broken;

/// Exit codes of shells for a command that is not there, and for one that may not be run.
const NOT_FOUND: i32 = 127;
/// See [`NOT_FOUND`].
const NOT_EXECUTABLE: i32 = 126;

/// Runs the command to its end and returns its exit code. `found` are the container's runs, the
/// newest first.
pub(super) async fn serve<R: Runtime>(
    runtime: &R,
    end: &mut NodeEnd,
    request: ExecRequest,
    found: Vec<ContainerInfo>,
) -> Result<i32, Broken> {
    let id = running(&request.container, found)?;
    if request.command.is_empty() {
        return Err(StreamError::new(FailureKind::Invalid, "there is no command to run").into());
    }
    let (stdin, tty) = input(request.streams);
    let spec = ExecSpec { command: request.command, stdin, tty };
    let session = match runtime.exec_start(&id, &spec).await {
        Ok(session) => session,
        Err(RuntimeError::Start { failure, message }) => {
            end.send(StreamOutput::Opened).await?;
            return not_started(&end.send, failure, message).await;
        }
        Err(error) => return Err(error.into()),
    };
    let ExecSession { id: exec, stdin, output } = session;
    let ended = carry(runtime, end, (stdin, output), &Process::Command(exec.clone()), request.streams).await;
    if let Err(Broken::Caller(_)) = &ended
        && let Err(error) = runtime.exec_end(&exec).await
    {
        tracing::warn!(%error, container = request.container, "a command whose caller has gone could not be ended");
    }
    ended
}

/// Connects to the container's own process until it ends, or the caller goes.
pub(super) async fn attach<R: Runtime>(
    runtime: &R,
    end: &mut NodeEnd,
    request: AttachRequest,
    found: Vec<ContainerInfo>,
) -> Result<i32, Broken> {
    let id = running(&request.container, found)?;
    let AttachSession { stdin, output } = runtime.attach(&id, input(request.streams).0).await?;
    carry(runtime, end, (stdin, output), &Process::Container(id), request.streams).await
}

/// Whether standard input is connected, and whether there is a terminal.
fn input(streams: ExecStreams) -> (bool, bool) {
    match streams {
        ExecStreams::Pipes { stdin, .. } => (stdin, false),
        ExecStreams::Terminal { stdin } => (stdin, true),
    }
}

/// Whose streams they are.
enum Process {
    Command(ExecId),
    Container(ContainerId),
}

impl Process {
    async fn resize<R: Runtime>(&self, runtime: &R, width: u16, height: u16) -> Ran<()> {
        match self {
            Self::Command(id) => runtime.exec_resize(id, width, height).await,
            Self::Container(id) => runtime.resize(id, width, height).await,
        }
    }

    /// Its exit code when its output has ended. That of a container's own process is in the pod's status.
    async fn exit_code<R: Runtime>(&self, runtime: &R) -> Ran<i64> {
        match self {
            Self::Command(id) => runtime.exec_wait(id).await,
            Self::Container(_) => Ok(0),
        }
    }
}

type Stdin = std::pin::Pin<Box<dyn AsyncWrite + Send>>;

/// The container that runs now.
fn running(name: &str, found: Vec<ContainerInfo>) -> Result<ContainerId, StreamError> {
    let Some(newest) = found.into_iter().next() else {
        let message = format!("container \"{name}\" is not created yet, or is gone");
        return Err(StreamError::new(FailureKind::NotFound, message));
    };
    let state = match newest.state {
        ContainerState::Running { .. } => return Ok(newest.id),
        ContainerState::Created => "it has not been started yet".to_owned(),
        ContainerState::Paused { .. } => "it is paused".to_owned(),
        ContainerState::Exited { code, finished, .. } => {
            format!("it ended with exit code {code} at {}", finished.rfc3339())
        }
        ContainerState::Dead => "it is being removed".to_owned(),
    };
    Err(StreamError::new(FailureKind::NotRunning, format!("container \"{name}\" is not running: {state}")))
}

async fn carry<R: Runtime>(
    runtime: &R,
    end: &mut NodeEnd,
    (stdin, mut output): (Stdin, LogStream),
    process: &Process,
    streams: ExecStreams,
) -> Result<i32, Broken> {
    let (send, recv) = (&end.send, &mut end.recv);
    stream::put(send, StreamOutput::Opened).await?;
    let (want_out, want_err) = match streams {
        ExecStreams::Pipes { stdout, stderr, .. } => (stdout, stderr),
        ExecStreams::Terminal { .. } => (true, false),
    };
    let print = async {
        while let Some(piece) = output.next().await {
            let piece = match piece {
                Err(RuntimeError::Start { failure, message }) => return not_started(send, failure, message).await,
                other => other?,
            };
            let wanted = if piece.stream == Stream::Stdout { want_out } else { want_err };
            for chunk in stream::chunks(piece.bytes).take_while(|_| wanted) {
                let message = match piece.stream {
                    Stream::Stdout => StreamOutput::Stdout(chunk),
                    Stream::Stderr => StreamOutput::Stderr(chunk),
                };
                stream::put(send, message).await?;
            }
        }
        let code = process.exit_code(runtime).await?;
        Ok(i32::try_from(code).unwrap_or(NOT_EXECUTABLE))
    };
    tokio::select! {
        ended = print => ended,
        () = feed(runtime, process, recv, stdin) => Err(SendError::Gone.into()),
        () = send.closed() => Err(SendError::Gone.into()),
    }
}

/// Passes on what the caller sends, until it goes.
async fn feed<R: Runtime>(runtime: &R, process: &Process, recv: &mut mpsc::Receiver<StreamInput>, stdin: Stdin) {
    let mut stdin = Some(stdin);
    while let Some(message) = recv.recv().await {
        match (message, &mut stdin) {
            (StreamInput::Stdin(bytes), Some(to)) => {
                // A command that has closed its standard input goes on without.
                if to.write_all(&bytes).await.is_err() {
                    stdin = None;
                }
            }
            (StreamInput::StdinEnd, Some(to)) => {
                let _closed_already = to.shutdown().await;
                stdin = None;
            }
            (StreamInput::Resize { width, height }, _) => {
                if let Err(error) = process.resize(runtime, width, height).await {
                    tracing::debug!(%error, "a terminal's size could not be set");
                }
            }
            (StreamInput::Close, _) => return,
            (StreamInput::Stdin(_) | StreamInput::StdinEnd, None) => {}
        }
    }
}

/// Tells of a command that could not be run as a shell would: a line on standard error, and its
/// exit code.
async fn not_started(send: &mpsc::Sender<StreamOutput>, failure: StartFailure, message: String) -> Result<i32, Broken> {
    let line = format!("{}\n", message.trim());
    stream::put(send, StreamOutput::Stderr(line.into())).await?;
    Ok(if failure == StartFailure::ExecutableNotFound { NOT_FOUND } else { NOT_EXECUTABLE })
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Time;

    use super::*;

    fn container(state: ContainerState) -> ContainerInfo {
        ContainerInfo {
            id: ContainerId("c".into()),
            name: String::new(),
            labels: std::collections::BTreeMap::new(),
            image: String::new(),
            image_id: String::new(),
            created: Time(0),
            state,
            resources: evenkeel_runtime::Resources::default(),
            engine_restarts: false,
            ip: None,
            joins: None,
            network: evenkeel_runtime::SandboxNetwork::Default,
        }
    }

    #[test]
    fn only_a_container_that_runs_takes_a_command() {
        let of = |state| running("web", vec![container(state)]).map_err(|e| (e.kind, e.message));
        assert_eq!(of(ContainerState::Running { pid: 1, started: Time(0) }), Ok(ContainerId("c".into())));
        let ended = ContainerState::Exited {
            code: 3,
            oom: false,
            started: Time(0),
            finished: Time(60_000),
            error: String::new(),
        };
        let text = "container \"web\" is not running: it ended with exit code 3 at 1970-01-01T00:01:00Z";
        assert_eq!(of(ended), Err((FailureKind::NotRunning, text.into())));
        assert_eq!(running("web", vec![]).unwrap_err().kind, FailureKind::NotFound);
    }
}
