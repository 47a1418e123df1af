//! The command reference, `docs/cli.md`, made from the definition of the command line.
//!
//! The hidden verb `docs` prints it; a test holds the committed file against it.

use std::{fmt::Write, process::ExitCode};

use anyhow::Result;
use clap::{Command, CommandFactory};

use super::{Cli, Cx};

/// Print the command reference as Markdown
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) fn run(Args {}: Args, cx: &mut Cx) -> Result<ExitCode> {
    cx.out.raw(reference().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The whole reference.
fn reference() -> String {
    let mut command = Cli::command().term_width(0);
    command.build();
    let mut out = String::from(
        "# Command reference\n\nMade from the command line's definition by `evenkeel docs`; do not edit.\n\n\
         The client finds its server by `--kubeconfig`, else a `--data-dir` on the command line, else `KUBECONFIG`, \
         else the default data directory. In a pod, where none of these is there, it takes the pod's own token, CA and namespace, as `kubectl` does.\n\nExit codes: 0 done; 1 error; 2 wrong usage, or what the verb says.\n",
    );
    for verb in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        section(&mut out, verb, "evenkeel", 2);
    }
    out
}

fn section(out: &mut String, command: &Command, parent: &str, level: usize) {
    let path = format!("{parent} {}", command.get_name());
    // Writing to a String does not fail.
    let _ = writeln!(out, "\n{} {path}\n", "#".repeat(level));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    if !about.is_empty() {
        let _ = writeln!(out, "{about}\n");
    }
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("evenkeel evenkeel", "evenkeel");
    let _ = writeln!(out, "```text\n{usage}\n```");
    let shown =
        |a: &&clap::Arg| !a.is_hide_set() && !a.is_global_set() && a.get_id() != "help" && a.get_id() != "version";
    let args: Vec<&clap::Arg> = command.get_arguments().filter(shown).collect();
    if !args.is_empty() {
        out.push_str("\n| argument | meaning |\n|---|---|\n");
        for arg in args {
            row(out, arg);
        }
    }
    if let Some(examples) = command.get_after_help() {
        let _ = writeln!(out, "\n```text\n{examples}\n```");
    }
    for below in command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        section(out, below, &path, level + 1);
    }
}

fn row(out: &mut String, arg: &clap::Arg) {
    let names = arg.get_value_names().map(|n| n.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let takes_value = arg.get_action().takes_values();
    let value = names.filter(|_| takes_value).unwrap_or_default();
    let flag = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("`-{short}`, `--{long}`"),
        (None, Some(long)) => format!("`--{long}`"),
        _ => format!("`{value}`"),
    };
    let value = if value.is_empty() || arg.is_positional() { String::new() } else { format!(" `{value}`") };
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    let defaults: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if takes_value && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let _ = write!(help, " (default `{}`)", defaults.join(","));
    }
    let possible: Vec<String> =
        arg.get_possible_values().iter().filter(|v| !v.is_hide_set()).map(|v| format!("`{}`", v.get_name())).collect();
    if takes_value && !possible.is_empty() {
        let _ = write!(help, ": {}", possible.join(", "));
    }
    let _ = writeln!(out, "| {}{} | {help} |", flag.replace('|', "\\|"), value.replace('|', "\\|"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run with `EVENKEEL_DOCS=write` to write the file anew.
    #[test]
    fn the_committed_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
        let text = reference();
        if std::env::var_os("EVENKEEL_DOCS").is_some_and(|v| v == "write") {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text,
            "docs/cli.md is not what the command line says: EVENKEEL_DOCS=write cargo test docs"
        );
    }
}
