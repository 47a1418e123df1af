//! Commands with their streams connected: pipes, a terminal, the end of a caller.

use std::time::{Duration, Instant};

use evenkeel_runtime::{ContainerId, ExecSession, ExecSpec, LogOptions, Runtime, RuntimeError, StartFailure, Stream};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::support::Pod;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start(pod: &Pod, id: &ContainerId, tty: bool, args: &[&str]) -> ExecSession {
    let command = std::iter::once("/program").chain(args.iter().copied()).map(Into::into).collect();
    pod.docker.exec_start(id, &ExecSpec { command, stdin: true, tty }).await.unwrap()
}

/// Everything that it prints, by stream.
async fn output(session: &mut ExecSession) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = session.output.next().await {
        let piece = piece.unwrap();
        if piece.stream == Stream::Stdout { out.extend(piece.bytes) } else { err.extend(piece.bytes) }
    }
    (out, err)
}

/// Reads until a text has come.
async fn until(session: &mut ExecSession, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        let next = tokio::time::timeout(DEADLINE, session.output.next()).await;
        let piece = next.unwrap_or_else(|_| panic!("no `{text}` in `{seen}`")).unwrap().unwrap();
        seen.push_str(&String::from_utf8_lossy(&piece.bytes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipes_carry_what_they_are_given_and_the_exit_code() {
    let pod = Pod::new().await;
    let id = pod.run("app", &["run"]).await;
    let mut both = start(&pod, &id, false, &["print"]).await;
    assert_eq!(output(&mut both).await, (b"out 1\nout 2\n".to_vec(), b"err 1\n".to_vec()));
    assert_eq!(pod.docker.exec_wait(&both.id).await, Ok(0));
    let mut exit = start(&pod, &id, false, &["exit", "5"]).await;
    assert_eq!(output(&mut exit).await, (vec![], vec![]));
    assert_eq!(pod.docker.exec_wait(&exit.id).await, Ok(5));

    // More than all buffers hold, so that both ways run at once.
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut echo = start(&pod, &id, false, &["echo"]).await;
    let mut stdin = std::mem::replace(&mut echo.stdin, Box::pin(tokio::io::sink()));
    let bytes = sent.clone();
    let writer = tokio::spawn(async move {
        stdin.write_all(&bytes).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let (out, _) = output(&mut echo).await;
    writer.await.unwrap();
    assert!(out == sent, "{} of {} bytes", out.len(), sent.len());
    assert_eq!(pod.docker.exec_wait(&echo.id).await, Ok(0));

    // Without standard input the command reads an end at once.
    let spec = ExecSpec { command: vec!["/program".into(), "echo".into()], ..Default::default() };
    let mut none = pod.docker.exec_start(&id, &spec).await.unwrap();
    assert_eq!(output(&mut none).await, (vec![], vec![]));
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_a_size_and_any_bytes() {
    let pod = Pod::new().await;
    let id = pod.run("app", &["run"]).await;
    let mut session = start(&pod, &id, true, &["size"]).await;
    pod.docker.exec_resize(&session.id, 101, 37).await.unwrap();
    // The program prints its size each time that it changes; the first may be before that.
    until(&mut session, "101x37").await;
    pod.docker.exec_resize(&session.id, 99, 20).await.unwrap();
    until(&mut session, "99x20").await;
    // The terminal turns the key into a signal.
    session.stdin.write_all(b"\x03").await.unwrap();
    output(&mut session).await;
    assert_eq!(pod.docker.exec_wait(&session.id).await, Ok(130));
    pod.docker.exec_resize(&session.id, 80, 24).await.unwrap();

    // Bytes that look like a frame's header are output like any other.
    let mut bytes = start(&pod, &id, true, &["bytes"]).await;
    assert_eq!(output(&mut bytes).await.0, b"\x01\0\0\0\x7f\xff\xff\xffx");
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_started_says_why() {
    let pod = Pod::new().await;
    let id = pod.run("app", &["run"]).await;
    for tty in [false, true] {
        for (command, failure) in
            [("/nope", StartFailure::ExecutableNotFound), ("/etc/hostname", StartFailure::PermissionDenied)]
        {
            let spec = ExecSpec { command: vec![command.into()], stdin: false, tty };
            let said = match pod.docker.exec_start(&id, &spec).await {
                Ok(mut session) => session.output.next().await.unwrap().unwrap_err(),
                Err(error) => error,
            };
            assert!(matches!(&said, RuntimeError::Start { failure: f, .. } if *f == failure), "{command}: {said:?}");
        }
    }
    let ended = pod.run("ended", &["exit", "0"]).await;
    pod.exited(&ended).await;
    let spec = ExecSpec { command: vec!["/program".into()], ..Default::default() };
    let said = pod.docker.exec_start(&ended, &spec).await.unwrap_err();
    assert!(matches!(said, RuntimeError::Conflict { .. }), "{said:?}");
    // The engine itself would say nothing for ever.
    let said = pod.docker.attach(&ended, true).await.map(drop).unwrap_err();
    assert!(matches!(said, RuntimeError::Conflict { .. }), "{said:?}");
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_caller_has_gone_is_ended_with_its_children() {
    let pod = Pod::new().await;
    let id = pod.run("app", &["run"]).await;
    for (tty, verb) in [(false, "fork"), (true, "fork"), (false, "stubborn")] {
        let mut session = start(&pod, &id, tty, &[verb]).await;
        until(&mut session, "ready").await;
        let ExecSession { id: exec, output, .. } = session;
        drop(output);
        let begun = Instant::now();
        pod.docker.exec_end(&exec).await.unwrap();
        let code = tokio::time::timeout(DEADLINE, pod.docker.exec_wait(&exec)).await.unwrap().unwrap();
        assert!(code > 128, "{verb}: {code} after {:?}", begun.elapsed());
        pod.docker.exec_end(&exec).await.unwrap();
    }
    // Nothing but the container's own process is left.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut count = start(&pod, &id, false, &["count"]).await;
        let (out, _) = output(&mut count).await;
        if out == b"1\n" {
            break;
        }
        assert!(Instant::now() < deadline, "processes left: {}", String::from_utf8_lossy(&out));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pod.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_while_nothing_comes_and_a_line_without_end_is_passed_on() {
    let pod = Pod::new().await;
    let quiet = pod.run("quiet", &["run"]).await;
    let follow = LogOptions { follow: true, ..Default::default() };
    // It opens though there is nothing to read yet.
    let mut log = tokio::time::timeout(DEADLINE, pod.docker.logs(&quiet, &follow)).await.unwrap().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), log.next()).await.is_err());
    // The engine writes such a line in parts of 16 KiB; none waits for an end that does not come.
    let mut spec = pod.spec("long", &["long"]).await;
    spec.tty = true;
    let endless = pod.create(&spec).await;
    pod.docker.start(&endless).await.unwrap();
    let mut log = pod.docker.logs(&endless, &follow).await.unwrap();
    let mut seen = 0;
    while seen < 2 * (16 << 10) {
        let piece = tokio::time::timeout(DEADLINE, log.next()).await.unwrap().unwrap().unwrap();
        assert!(piece.bytes.iter().all(|b| *b == b'x'));
        seen += piece.bytes.len();
    }
    pod.end().await;
}
