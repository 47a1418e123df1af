//! Runs the program `nft`: a batch by its input, a listing as JSON. Bounded in time and output, and
//! never through a shell. Deliberately not here: what a batch says.
//!
//! One `nft -f -` is one transaction: all of a batch is done or nothing is.

use std::{ffi::OsString, io, process::Stdio, time::Duration};

use serde_json::Value;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

/// Longest time of one `nft`: ten thousand Services load in half a second; what takes so much longer
/// hangs.
const LONGEST: Duration = Duration::from_secs(30);

/// Most bytes taken of a listing: a table of ten thousand Services is about 10 MB as JSON.
const MOST_OUTPUT: u64 = 64 << 20;

/// Most bytes kept of a complaint: nft repeats the lines that it did not like, and one of them may be
/// a whole load.
const MOST_COMPLAINT: u64 = 2048;

/// The program `nft`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nft {
    /// Program and first arguments.
    words: Vec<OsString>,
}

/// `nft` did not do what it was told.
#[derive(Debug, Error)]
pub enum NftError {
    /// The program is not installed.
    #[error(
        "`nft` is not installed; install the package nftables, which has it under this name on Debian, Ubuntu, Fedora, Alpine and Arch"
    )]
    Missing,
    /// The program was not started, or stopped talking.
    #[error("`nft` could not be run: {0}")]
    Io(#[from] io::Error),
    /// It took too long and was ended.
    #[error("`nft` did not end within {} s and was stopped; see whether the machine is overloaded", LONGEST.as_secs())]
    TooLong,
    /// It wrote more than is taken.
    #[error("`nft` listed more than {} MiB", MOST_OUTPUT >> 20)]
    TooMuch,
    /// It refused; nothing of the batch was done.
    #[error("`nft` refused: {0}")]
    Refused(String),
    /// The listed table, chain or set is not there.
    #[error("nftables has no such table or element: {0}")]
    Absent(String),
    /// It may not.
    #[error("`nft` may not change this network's rules: {0}; Services need root, or CAP_NET_ADMIN")]
    Denied(String),
    /// Its listing is no JSON.
    #[error("what `nft -j` listed is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
}

/// Whether `PATH` has an `nft`. Not whether it may do anything.
pub fn is_installed() -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join("nft").is_file()))
}

impl Default for Nft {
    fn default() -> Self {
        Self::new()
    }
}

impl Nft {
    /// `nft` as `PATH` has it, in the network namespace of the thread that calls.
    pub fn new() -> Self {
        Self { words: vec!["nft".into()] }
    }

    /// `nft` behind another program: `nsenter --net=/run/netns/n1`.
    pub fn through<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        words.push("nft".into());
        Self { words }
    }

    /// A command of it with these arguments, which dies with its handle.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().map_or_else(|| "nft".into(), OsString::clone));
        command.args(words).args(arguments).kill_on_drop(true);
        // Messages in English: some of them are told apart.
        command.env("LC_ALL", "C");
        command
    }

    /// Does a batch as one transaction: all of it, or nothing and an error. An empty one does nothing.
    pub async fn batch(&self, text: &str) -> Result<(), NftError> {
        if text.is_empty() {
            return Ok(());
        }
        self.run(&["-f", "-"], text).await.map(drop)
    }

    /// What `nft -j list <what>` says: `["table", "ip", "evenkeel"]`, `["ruleset"]`.
    pub async fn list(&self, what: &[&str]) -> Result<Value, NftError> {
        let arguments: Vec<&str> = ["-j", "list"].iter().chain(what).copied().collect();
        Ok(serde_json::from_slice(&self.run(&arguments, "").await?)?)
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, NftError> {
        timeout(LONGEST, self.run_unbounded(arguments, input)).await.unwrap_or(Err(NftError::TooLong))
    }

    async fn run_unbounded(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, NftError> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => NftError::Missing,
            _ => NftError::Io(e),
        })?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // All three at once: a pipe that nobody empties would hold the program up.
        let write = async {
            if let Some(mut stdin) = stdin {
                match stdin.write_all(input.as_bytes()).await {
                    // It ended before it read all; its complaint says why.
                    Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
                    other => other?,
                }
            }
            Ok::<_, io::Error>(())
        };
        let (written, output, complaint) = tokio::join!(write, take(stdout, MOST_OUTPUT), take(stderr, MOST_COMPLAINT));
        let (output, whole) = output?;
        let (complaint, _) = complaint?;
        written?;
        if !whole {
            return Err(NftError::TooMuch);
        }
        let status = child.wait().await?;
        if status.success() {
            return Ok(output);
        }
        Err(refusal(String::from_utf8_lossy(&complaint).trim(), &status.to_string()))
    }
}

/// At most so much of a stream, the rest read and thrown away so that its writer ends, and whether
/// that was all.
async fn take(stream: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut out = Vec::new();
    let Some(mut stream) = stream else { return Ok((out, true)) };
    (&mut stream).take(most).read_to_end(&mut out).await?;
    let rest = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok((out, rest == 0))
}

fn refusal(complaint: &str, status: &str) -> NftError {
    if complaint.is_empty() {
        return NftError::Refused(status.into());
    }
    // nft repeats the line that it means, a caret below it; the reason is in the first lines.
    let short: String =
        complaint.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect::<Vec<_>>().join("; ");
    if complaint.contains("Operation not permitted") {
        NftError::Denied(short)
    } else if complaint.contains("No such file or directory") {
        NftError::Absent(short)
    } else {
        NftError::Refused(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Nft {
        Nft { words: vec!["sh".into(), "-c".into(), script.into(), "nft".into()] }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let nft = Nft { words: vec!["/nowhere/nft".into()] };
        let error = nft.batch("flush ruleset").await.unwrap_err();
        assert!(matches!(error, NftError::Missing) && error.to_string().contains("package nftables"), "{error}");
    }

    #[tokio::test]
    async fn a_batch_goes_by_the_input() {
        let check = shell("[ \"$*\" = '-f -' ] && [ \"$(cat)\" = 'add table ip t' ]");
        check.batch("add table ip t").await.unwrap();
        check.batch("add table ip u").await.unwrap_err();
        shell("exit 1").batch("").await.unwrap();
        let listed = shell("echo \"{\\\"said\\\": \\\"$*\\\"}\"").list(&["table", "ip", "t"]).await.unwrap();
        assert_eq!(listed["said"], "-j list table ip t");
    }

    #[tokio::test]
    async fn refusals_say_why_and_are_told_apart() {
        for (said, shown) in [
            ("x: Error: syntax error", "refused"),
            ("Error: No such file or directory", "no such table"),
            ("Operation not permitted (you must be root)", "CAP_NET_ADMIN"),
        ] {
            let error = shell(&format!("echo '{said}' >&2; exit 1")).batch("x").await.unwrap_err().to_string();
            assert!(error.contains(shown) && error.contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn neither_a_long_input_nor_long_answers_hold_it_up() {
        // More than a pipe takes, in all three directions, in an order that would block.
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; cat >/dev/null";
        shell(script).batch(&"x".repeat(1 << 20)).await.unwrap();
        let error = shell("exit 3").batch(&"x".repeat(1 << 20)).await.unwrap_err();
        assert!(error.to_string().contains('3'), "{error}");
    }
}
