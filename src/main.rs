//! The binary: reads the command line and runs a verb.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cli;
mod client;
mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
