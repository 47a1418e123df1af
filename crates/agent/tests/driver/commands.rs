//! Commands in a pod's container, over streams as a server opens them.

use std::time::Duration;

use evenkeel_agent::driver::Streams;
use evenkeel_model::Uid;
use evenkeel_runtime::Docker;
use evenkeel_wire::stream::{
    CHUNK, CallerEnd, ExecRequest, ExecStreams, FailureKind, StreamInput, StreamOutput, StreamRequest,
};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

struct Lab<'a> {
    streams: &'a Streams<Docker>,
    pod: Uid,
}

impl Lab<'_> {
    fn open(&self, container: &str, streams: ExecStreams, args: &[&str]) -> CallerEnd {
        let command = args.iter().map(|a| (*a).to_owned()).collect();
        let request = ExecRequest { pod: self.pod, container: container.into(), command, streams };
        self.streams.open(StreamRequest::Exec(request))
    }

    /// Everything that comes: output, errors, and the last message.
    async fn all(end: &mut CallerEnd) -> (String, String, StreamOutput) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match next(end).await {
                StreamOutput::Opened => {}
                StreamOutput::Stdout(bytes) => {
                    assert!(bytes.len() <= CHUNK);
                    out.extend(bytes);
                }
                StreamOutput::Stderr(bytes) => err.extend(bytes),
                last => return (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), last),
            }
        }
    }
}

async fn next(end: &mut CallerEnd) -> StreamOutput {
    tokio::time::timeout(DEADLINE, end.recv.recv()).await.unwrap().unwrap()
}

const PIPES: ExecStreams = ExecStreams::Pipes { stdin: true, stdout: true, stderr: true };

pub(crate) async fn run(streams: &Streams<Docker>, pod: Uid) {
    let lab = Lab { streams, pod };
    let mut print = lab.open("web", PIPES, &["/program", "print"]);
    let ended = |exit_code| StreamOutput::Ended { exit_code };
    assert_eq!(Lab::all(&mut print).await, ("out 1\nout 2\n".into(), "err 1\n".into(), ended(0)));
    let only = ExecStreams::Pipes { stdin: false, stdout: false, stderr: true };
    assert_eq!(Lab::all(&mut lab.open("web", only, &["/program", "print"])).await.0, "");
    let mut exit = lab.open("web", ExecStreams::Terminal { stdin: false }, &["/program", "exit", "5"]);
    assert_eq!(Lab::all(&mut exit).await.2, ended(5));

    let mut echo = lab.open("web", PIPES, &["/program", "echo"]);
    echo.send(StreamInput::Stdin("abc".into())).await.unwrap();
    echo.send(StreamInput::StdinEnd).await.unwrap();
    assert_eq!(Lab::all(&mut echo).await, ("abc".into(), String::new(), ended(0)));

    // As a shell says it.
    let (out, err, last) = Lab::all(&mut lab.open("web", PIPES, &["nope"])).await;
    assert!(out.is_empty() && err.contains("nope") && last == ended(127), "{out} {err} {last:?}");
    let (_, _, last) = Lab::all(&mut lab.open("other", PIPES, &["nope"])).await;
    assert!(matches!(&last, StreamOutput::Failed(e) if e.kind == FailureKind::NotFound), "{last:?}");
    let (_, _, last) = Lab::all(&mut lab.open("web", PIPES, &[])).await;
    assert!(matches!(&last, StreamOutput::Failed(e) if e.kind == FailureKind::Invalid), "{last:?}");

    // Whoever drops the end ends the command, also one whose input nobody reads.
    let mut gone = lab.open("web", PIPES, &["/program", "fork"]);
    while !matches!(next(&mut gone).await, StreamOutput::Stdout(bytes) if bytes.starts_with(b"ready")) {}
    let fed = async {
        loop {
            gone.send(StreamInput::Stdin(vec![0; CHUNK].into())).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), fed).await.is_err(), "input was taken without end");
    drop(gone);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while Lab::all(&mut lab.open("web", PIPES, &["/program", "count"])).await.0 != "1\n" {
        assert!(tokio::time::Instant::now() < deadline, "the command runs on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
