//! Bytes between this process's standard streams and the command's.
//!
//! Both ways run at once. Channels are Kubernetes': 0 standard input, 1 output, 2 errors, 3 the end
//! as a `Status`, 4 the terminal's size, 255 the end of a channel.

use std::{io::Read as _, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Value, json};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_tungstenite::tungstenite::Message;

use super::terminal::{self, Raw};
use crate::{
    cli::error::hinted,
    client::{ClientError, Socket},
};

/// Bytes read from standard input at once.
const READ: usize = 32 << 10;
/// Reads under way: a slow command makes reading wait.
const READS: usize = 2;

/// What of this end is connected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// Standard input is passed on.
    pub(super) stdin: bool,
    /// The command has a terminal.
    pub(super) tty: bool,
    /// This end's terminal passes every key on.
    pub(super) raw: bool,
}

/// How it ended.
enum End {
    /// The command did, with its exit code.
    Command(i64),
    /// A signal to this process came first.
    Signal(i32),
}

/// Runs to the command's end.
pub(super) async fn run(socket: Socket, ends: Ends) -> Result<ExitCode> {
    let raw = ends.raw.then(Raw::begin).transpose().context("the terminal cannot be set up")?;
    let (mut sink, source) = socket.split();
    let ended = tokio::select! {
        ended = print(source) => ended,
        failed = feed(&mut sink, ends) => failed,
        signal = stopped(ends.raw) => signal,
    };
    // First the terminal, then what there is to say.
    drop(raw);
    let code = match ended? {
        End::Command(code) => code,
        End::Signal(number) => i64::from(128 + number),
    };
    Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
}

/// Prints what the command says, until its end.
async fn print(mut source: SplitStream<Socket>) -> Result<End> {
    while let Some(message) = source.next().await {
        let mut bytes = match message {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Close(_)) => break,
            Ok(_) => continue,
            Err(error) => return Err(cut(&error.to_string())),
        };
        if bytes.is_empty() {
            continue;
        }
        match bytes.split_to(1)[0] {
            1 => write(&mut std::io::stdout().lock(), &bytes)?,
            2 => write(&mut std::io::stderr().lock(), &bytes)?,
            3 => return end(&bytes),
            _ => {}
        }
    }
    Err(cut("it was closed without the command's exit code"))
}

fn cut(why: &str) -> anyhow::Error {
    hinted(
        format!("the connection to the server broke: {why}"),
        "the command in the container is ended where its node learns of this",
    )
}

fn write(to: &mut impl std::io::Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes)?;
    Ok(to.flush()?)
}

/// Reads the `Status` that is the last message.
fn end(bytes: &[u8]) -> Result<End> {
    let status: Value = serde_json::from_slice(bytes).context("the command's end cannot be read")?;
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("/status") == "Success" {
        return Ok(End::Command(0));
    }
    if text("/reason") == "NonZeroExitCode" {
        let causes = status.pointer("/details/causes").and_then(Value::as_array);
        let code = causes.into_iter().flatten().find(|c| c["reason"] == "ExitCode").and_then(|c| c["message"].as_str());
        match code.and_then(|c| c.parse().ok()) {
            Some(code) => return Ok(End::Command(code)),
            None => bail!("the command's exit code cannot be read: {status}"),
        }
    }
    let code = status.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or(500);
    Err(ClientError::of_status(code, bytes).into())
}

/// Sends standard input and the terminal's size; never ends by itself.
async fn feed(sink: &mut SplitSink<Socket, Message>, ends: Ends) -> Result<End> {
    let mut input = if ends.stdin { Some(stdin()?) } else { None };
    let mut resized = if ends.tty { Some(signal(SignalKind::window_change())?) } else { None };
    if ends.tty {
        send_size(sink).await?;
    }
    loop {
        tokio::select! {
            bytes = next(&mut input) => {
                if let Some(bytes) = bytes {
                    send(sink, 0, &bytes?).await?;
                } else {
                    input = None;
                    send(sink, 255, &[0]).await?;
                }
            }
            () = changed(&mut resized) => send_size(sink).await?,
        }
    }
}

async fn next(input: &mut Option<mpsc::Receiver<std::io::Result<Bytes>>>) -> Option<std::io::Result<Bytes>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

async fn changed(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn send_size(sink: &mut SplitSink<Socket, Message>) -> Result<()> {
    match terminal::size() {
        Some((width, height)) => {
            let size = json!({"Width": width, "Height": height});
            send(sink, 4, size.to_string().as_bytes()).await
        }
        None => Ok(()),
    }
}

/// Sends a message. A connection that broke is told by whoever reads it, who may still have the
/// command's last words.
async fn send(sink: &mut SplitSink<Socket, Message>, channel: u8, bytes: &[u8]) -> Result<()> {
    let message = [&[channel], bytes].concat();
    match sink.send(Message::Binary(message.into())).await {
        Ok(()) => Ok(()),
        Err(_) => std::future::pending().await,
    }
}

/// Reads standard input on a thread of its own: a read cannot be called off, and whatever waits
/// for it would keep this process from ending.
fn stdin() -> Result<mpsc::Receiver<std::io::Result<Bytes>>> {
    let (send, receive) = mpsc::channel(READS);
    let read = move || {
        let mut from = std::io::stdin().lock();
        let mut buffer = vec![0; READ];
        loop {
            let piece = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => Ok(Bytes::copy_from_slice(&buffer[..n])),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let failed = piece.is_err();
            if send.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new().name("stdin".into()).spawn(read).context("standard input cannot be read")?;
    Ok(receive)
}

/// Waits for a signal that would end this process and leave its terminal as it is. Keys make none
/// while the terminal passes them on.
async fn stopped(raw: bool) -> Result<End> {
    if !raw {
        return std::future::pending().await;
    }
    let of = |kind| signal(kind).context("signals cannot be waited for");
    let (mut hangup, mut interrupt) = (of(SignalKind::hangup())?, of(SignalKind::interrupt())?);
    let (mut quit, mut terminate) = (of(SignalKind::quit())?, of(SignalKind::terminate())?);
    let number = tokio::select! {
        _ = hangup.recv() => SignalKind::hangup(),
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = quit.recv() => SignalKind::quit(),
        _ = terminate.recv() => SignalKind::terminate(),
    };
    Ok(End::Signal(number.as_raw_value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_an_exit_code_or_a_reason() {
        let code = |text: &str| match end(text.as_bytes()) {
            Ok(End::Command(code)) => Ok(code),
            Ok(End::Signal(_)) => panic!("{text}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(code(r#"{"status": "Success"}"#), Ok(0));
        let failed = r#"{"status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}"#;
        assert_eq!(code(failed), Ok(7));
        let gone =
            r#"{"status": "Failure", "reason": "ServiceUnavailable", "code": 503, "message": "node n1 is away"}"#;
        assert_eq!(code(gone), Err("node n1 is away".into()));
        assert!(code("nothing").is_err());
    }
}
