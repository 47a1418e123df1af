//! Commands of the machine: run one, and panic with all that it said unless it ends well.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

/// Runs a command; panics with its output unless it ends well.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    ended_well(command, output)
}

/// Runs a command, whatever its end.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?} cannot be run: {e}"))
}

/// As [`run`], with `input` on its standard input.
pub fn feed(command: &mut Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} cannot be run: {e}"));
    // What it complains about matters more than that it did not read to the end.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = ended_well(command, output);
    assert!(matches!(written, Some(Ok(()))), "{command:?} did not read its input: {written:?}");
    text
}

fn ended_well(command: &Command, output: Output) -> String {
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Runs `docker`.
pub fn docker(args: &[&str]) -> String {
    run(Command::new("docker").args(args)).trim().to_string()
}

/// The user must be root: some parts of the system are for root alone.
pub fn needs_root() {
    assert!(rustix::process::geteuid().is_root(), "this needs root: it makes namespaces and control groups");
}
