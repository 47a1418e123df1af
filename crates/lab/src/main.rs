//! `make lab`: a lab to try things out, until Ctrl-C.
#![allow(clippy::panic)]

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Parser, builder::RangedU64ValueParser};
use evenkeel_lab::{App, Cluster, Lab};
use tokio::signal::unix::{SignalKind, signal};

/// Several nodes on this machine, each with an address and a container engine of its own
#[derive(Debug, Parser)]
#[command(name = "evenkeel-lab", after_help = "Example: evenkeel-lab --nodes 3")]
struct Args {
    /// How many nodes
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=40))]
    nodes: usize,
    /// The `evenkeel` that runs on them
    #[arg(long, value_name = "FILE", required_unless_present = "bare")]
    binary: Option<PathBuf>,
    /// Machines and engines alone, without Evenkeel
    #[arg(long, conflicts_with = "binary")]
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
    let made = match &args.binary {
        Some(binary) => Made::Cluster(Box::new(evenkeel(&std::path::absolute(binary)?, lab))),
        None => Made::Bare(lab),
    };
    made.show();
    println!("\nCtrl-C ends it and leaves nothing.");
    runtime.block_on(async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    });
    drop(made);
    Ok(())
}

/// What there is to try.
enum Made {
    Bare(Lab),
    Cluster(Box<Cluster>),
}

/// Server, agents, and the example's shop.
fn evenkeel(binary: &Path, lab: Lab) -> Cluster {
    let web = App { replicas: 3, ..App::default() }.yaml();
    Cluster::start(binary, lab, &[("web.json", &web)], &[])
}

impl Made {
    fn lab(&self) -> &Lab {
        match self {
            Self::Bare(lab) => lab,
            Self::Cluster(cluster) => &cluster.lab,
        }
    }

    fn show(&self) {
        let lab = self.lab();
        for number in 1..=lab.nodes() {
            let node = lab.node(number);
            println!("{}  {}  docker -H {} ps", node.name(), node.address(), node.engine().url());
        }
        if let Self::Cluster(cluster) = self {
            let data = cluster.data.display();
            println!("\nThe server is at {}; ask it with", cluster.address());
            println!("  export EVENKEEL_DATA_DIR={data} KUBECONFIG={data}/admin.kubeconfig");
            println!("  {} status", cluster.binary.display());
            println!("  kubectl get pods -o wide");
            println!("It follows {}: change web.json there and commit.", cluster.repo.path.display());
            println!("What it says, and what the agents say: {}/*/evenkeel.log", lab.dir().display());
        }
        println!("\nTo be in a machine: nsenter -a -t PID, where the first processes are");
        for machine in [lab.server()].into_iter().chain((1..=lab.nodes()).map(|number| lab.node(number))) {
            println!("  {}  {}", machine.name(), machine.init());
        }
    }
}
