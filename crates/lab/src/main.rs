//! `make lab`: a lab to try things out, until Ctrl-C.
#![allow(clippy::panic)]

use std::io::{self, Write};

use clap::{Parser, builder::RangedU64ValueParser};
use evenkeel_lab::Lab;
use tokio::signal::unix::{SignalKind, signal};

/// Several nodes on this machine, each with an address and a container engine of its own
#[derive(Debug, Parser)]
#[command(name = "evenkeel-lab", after_help = "Example: evenkeel-lab --nodes 3")]
struct Args {
    /// How many nodes
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=40))]
    nodes: usize,
    /// Machines and engines alone, without Evenkeel
    #[arg(long)]
    bare: bool,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    // What is missing is said in words; the place in the lab's source helps nobody here.
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("the lab failed");
        let _ = writeln!(io::stderr(), "error: {message}");
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a signal is kept until it is asked for, also while the lab is being made.
    let (mut interrupt, mut terminate) = runtime
        .block_on(async { io::Result::Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) })?;
    let lab = Lab::new(args.nodes);
    for number in 1..=lab.nodes() {
        let node = lab.node(number);
        println!("{}  {}  docker -H {}", node.name(), node.address(), node.engine().url());
    }
    println!("Ctrl-C ends it");
    runtime.block_on(async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    });
    drop(lab);
    Ok(())
}
