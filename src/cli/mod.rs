//! The command line: one file a verb, and what they share.
//!
//! Called by `main`. Verbs that speak to a server use `client` alone: what they can do, `curl` can.
//! Results go to stdout, everything else to stderr.

mod acme;
mod adopt;
mod agent;
mod audit;
mod backup;
mod ca;
mod completion;
mod config;
mod describe;
mod diff;
mod docs;
mod down;
mod drain;
mod drift;
mod error;
mod events;
mod exec;
mod forward;
mod get;
mod history;
mod kinds;
mod kubeconfig;
mod lasting;
mod logs;
mod net;
mod node;
mod nodes;
mod objects;
mod oidc;
mod orphan;
mod output;
mod passphrase;
mod paths;
mod pods;
mod rebalance;
mod restore;
mod rollback;
mod server;
mod settings;
mod source;
mod status;
mod suspend;
mod sync;
mod token;
mod up;
mod validate;
mod watching;
mod why;

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::client::{Client, Where};
pub(crate) use output::Out;

/// Threads of a server at most: the design's bound.
const SERVER_WORKERS: usize = 4;
/// Threads of an agent at most: the design's bound.
const AGENT_WORKERS: usize = 2;
/// Threads that may block at once: the design's bound.
const BLOCKING: usize = 16;

/// What runs is what git says. A bad commit goes back on its own and tells why.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, max_term_width = 100, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 error; 2 wrong usage, or what the verb's help says \
(diff: something would change; drift: some are open; audit: a promise is broken).";

#[derive(Debug, Subcommand)]
enum Verb {
    Up(Box<up::Args>),
    Server(Box<server::Args>),
    Agent(Box<agent::Args>),
    Status(status::Args),
    Get(get::Args),
    Describe(describe::Args),
    Logs(logs::Args),
    Exec(exec::Args),
    PortForward(forward::Args),
    Events(events::Args),
    #[command(subcommand)]
    Source(Box<source::Verb>),
    Sync(sync::Args),
    Suspend(suspend::Suspend),
    Resume(suspend::Resume),
    Retry(sync::Retry),
    Diff(diff::Args),
    Validate(validate::Args),
    History(history::Args),
    Rollback(rollback::Args),
    Unpin(rollback::Unpin),
    Drift(drift::Args),
    Adopt(adopt::Args),
    Why(why::Args),
    #[command(subcommand)]
    Token(token::Verb),
    #[command(subcommand)]
    Node(node::Verb),
    #[command(subcommand)]
    Net(net::Verb),
    Rebalance(rebalance::Args),
    #[command(subcommand)]
    Orphan(orphan::Verb),
    Audit(audit::Args),
    Down(down::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    #[command(subcommand)]
    Ca(ca::Verb),
    Kubeconfig(kubeconfig::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Docs(docs::Args),
}

/// What every verb gets.
pub(crate) struct Cx {
    pub(crate) place: Where,
    pub(crate) out: Out,
}

impl Cx {
    /// The client of the server that the command line names.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.place)?)
    }
}

/// Runs the process's command line.
pub(crate) fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse(&typed).and_then(|cli| with_config(cli, &typed)) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut cx = Cx { place: cli.place, out: Out::new() };
    let ended = run(cli.verb, &mut cx).and_then(|code| cx.out.flush().map(|()| code));
    match ended {
        Ok(code) => code,
        Err(e) => error::report(&e),
    }
}

/// Parses a command line; what is wrong with it has been told.
fn parse(typed: &[OsString]) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(typed).map_err(|e| {
        // Its text goes where it belongs; nobody reads a closed one.
        let _closed = e.print();
        ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(1))
    })
}

/// Parses once more with the settings of the configuration file, where there is one.
fn with_config(cli: Cli, typed: &[OsString]) -> Result<Cli, ExitCode> {
    let (verb, named) = match &cli.verb {
        Verb::Up(args) => ("up", args.config()),
        Verb::Server(args) => ("server", args.config()),
        Verb::Agent(args) => ("agent", args.config()),
        _ => return Ok(cli),
    };
    let file = named.map_or_else(|| cli.place.data_dir().join(config::CONFIG), Into::into);
    match config::merged(verb, typed, &file, named.is_some()) {
        Ok(None) => Ok(cli),
        Ok(Some(all)) => parse(&all),
        Err(e) => Err(error::report(&e)),
    }
}

fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    match verb {
        Verb::Completion(args) => completion::run(args, cx),
        Verb::Docs(args) => docs::run(args, cx),
        Verb::Kubeconfig(args) => kubeconfig::run(args, cx),
        Verb::Ca(verb) => ca::run(verb, cx),
        Verb::Validate(args) => validate::run(&args, cx),
        Verb::Restore(args) => restore::run(&args, cx),
        Verb::Up(args) => runtime(SERVER_WORKERS)?.block_on(up::run(*args, cx)),
        Verb::Server(args) => runtime(SERVER_WORKERS)?.block_on(server::run(*args, cx)),
        Verb::Agent(args) => runtime(AGENT_WORKERS)?.block_on(agent::run(*args, cx)),
        verb => runtime(0)?.block_on(ask(verb, cx)),
    }
}

/// The verbs that speak to a server or an engine.
async fn ask(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    match verb {
        Verb::Status(args) => status::run(args, cx).await,
        Verb::Get(args) => get::run(args, cx).await,
        Verb::Describe(args) => describe::run(args, cx).await,
        Verb::Logs(args) => logs::run(args, cx).await,
        Verb::Exec(args) => exec::run(args, cx).await,
        Verb::PortForward(args) => forward::run(args, cx).await,
        Verb::Events(args) => events::run(args, cx).await,
        Verb::Source(verb) => source::run(*verb, cx).await,
        Verb::Sync(args) => sync::run(args, cx).await,
        Verb::Suspend(args) => suspend::suspend(args, cx).await,
        Verb::Resume(args) => suspend::resume(args, cx).await,
        Verb::Retry(args) => sync::retry(args, cx).await,
        Verb::Diff(args) => diff::run(args, cx).await,
        Verb::History(args) => history::run(args, cx).await,
        Verb::Rollback(args) => rollback::run(args, cx).await,
        Verb::Unpin(args) => rollback::unpin(args, cx).await,
        Verb::Drift(args) => drift::run(args, cx).await,
        Verb::Adopt(args) => adopt::run(args, cx).await,
        Verb::Why(args) => why::run(args, cx).await,
        Verb::Token(verb) => token::run(verb, cx).await,
        Verb::Node(verb) => node::run(verb, cx).await,
        Verb::Net(verb) => net::run(verb, cx).await,
        Verb::Rebalance(args) => rebalance::run(args, cx).await,
        Verb::Orphan(verb) => orphan::run(verb, cx).await,
        Verb::Audit(args) => audit::run(args, cx).await,
        Verb::Down(args) => down::run(args, cx).await,
        Verb::Backup(args) => backup::run(args, cx).await,
        Verb::Up(_)
        | Verb::Server(_)
        | Verb::Agent(_)
        | Verb::Validate(_)
        | Verb::Restore(_)
        | Verb::Ca(_)
        | Verb::Kubeconfig(_)
        | Verb::Completion(_)
        | Verb::Docs(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Threads for a process: at most `workers`, and no more than there are cores; 0 is for a client.
fn runtime(workers: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = if workers > 0 {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(cores.min(workers));
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().max_blocking_threads(BLOCKING).build().context("the threads cannot be started")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lines_of_the_documentation_parse() {
        for line in [
            "up ./manifests --branch main --listen 127.0.0.1:0 --watch-window 1s --self-heal=false --data-dir /d",
            "status",
            "get pods -A -o wide",
            "get pods,deployments -n shop -l app=web -w",
            "get source shop -o yaml",
            "describe pod web -n shop",
            "logs deployment/web -f --tail 5 -c web",
            "exec -it deployment/web -n shop -c web -- sh -c x",
            "events --for pod/web",
            "source add billing https://git.example/billing.git --branch main",
            "source remove billing --prune",
            "sync shop --wait --allow-mass-delete --data-dir /d",
            "rollback shop --to main@sha1:0123456789012345678901234567890123456789 --reason x --until-next-commit",
            "unpin shop",
            "drift --since 24h --all",
            "drift accept NAME",
            "why pod web",
            "server ./manifests --listen 10.0.0.1:7443 --advertise cluster.example --node-grace 15s",
            "agent --server 10.0.0.1:7443 --token-file /t --name n1 --labels disk=ssd --taints a=b:NoSchedule",
            "token create --ttl 10m --uses 1 --labels zone=a",
            "token revoke 0a1b2c3d",
            "node cordon n1",
            "node drain n1 --timeout 5m --ignore-daemonsets --delete-emptydir-data --force --grace-period 5 --pod-selector app=web --dry-run",
            "node remove n1 --force",
            "net check --node n1 -o json",
            "orphan list -o json",
            "orphan adopt web-1 -n shop",
            "orphan remove web-1",
            "audit",
            "down --purge",
            "backup evenkeel.backup --passphrase-file p",
            "restore evenkeel.backup --data-dir /d",
            "completion bash",
        ] {
            let words = std::iter::once("evenkeel").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        // A flag that comes again wins: the first may be of the configuration file.
        let twice = Cli::try_parse_from(["evenkeel", "up", "--interval=5s", "x", "--interval", "9s"]).unwrap();
        assert!(format!("{:?}", twice.verb).contains("9s"));
    }
}
