//! `evenkeel exec`: a command in a container.
//!
//! Parses and finds the pod; `carry` moves bytes, `terminal` sets this end's terminal up.

mod carry;
mod terminal;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Result;
use evenkeel_model::Kind;

use super::{Cx, objects::name, paths, pods};

/// Run a command in a container
///
/// Its output comes to stdout and stderr, with a terminal (-t) all of it to stdout. When this
/// command is stopped or loses its connection, the command in the container is ended as well.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel exec web-5d7f-abcde -- date\n  evenkeel exec -it deployment/web -n shop -- sh\n  evenkeel exec -i deployment/db -c postgres -- psql shop < dump.sql\n\nExit codes: that of the command, 128 + n where signal n ended it, 126 or 127 where it cannot be run; 1 where\nit was not begun or was cut off."
)]
pub(crate) struct Args {
    /// A pod, or deployment/NAME, replicaset/NAME, service/NAME: one of its pods, a ready one first
    #[arg(value_name = "POD")]
    what: String,
    /// Namespace [default: that of the kubeconfig's context, else `default`]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Container [default: the only one, or the pod's annotation]
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The protocol of this client: the one whose standard input can end.
const PROTOCOL: &str = "v5.channel.k8s.io";

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let namespace = args.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
    let pod = match pods::Meant::parse(&args.what)? {
        pods::Meant::Pod(pod) => pod,
        pods::Meant::Owner(kind, owner) => {
            let selector = pods::selector_of(&client, kind, &namespace, &owner).await?;
            pods::best(&pods::list(&client, &namespace, &selector).await?).map(name).unwrap_or_default().to_owned()
        }
    };
    let raw = args.tty && args.stdin && std::io::stdin().is_terminal();
    if args.tty && args.stdin && !raw {
        eprintln!("warning: standard input is no terminal; it is passed on as it is");
    }
    let socket = client.socket(&path(&args, &namespace, &pod), PROTOCOL).await?;
    carry::run(socket, carry::Ends { stdin: args.stdin, tty: args.tty, raw }).await
}

fn path(args: &Args, namespace: &str, pod: &str) -> String {
    let flag = |b: bool| if b { "true" } else { "" };
    let mut pairs: Vec<(&str, &str)> = args.command.iter().map(|c| ("command", c.as_str())).collect();
    pairs.extend([
        ("container", args.container.as_deref().unwrap_or_default()),
        ("stdin", flag(args.stdin)),
        ("stdout", "true"),
        ("stderr", flag(!args.tty)),
        ("tty", flag(args.tty)),
    ]);
    // An empty argument is one, too.
    let query = pairs
        .iter()
        .filter(|(k, v)| *k == "command" || !v.is_empty())
        .map(|(k, v)| format!("{k}={}", paths::encode(v)))
        .collect::<Vec<_>>()
        .join("&");
    format!("{}/exec?{query}", paths::item(Kind::Pod, namespace, pod))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_is_sent_as_it_is() {
        let args = Args {
            what: "web".into(),
            namespace: None,
            container: Some("c".into()),
            stdin: false,
            tty: true,
            command: vec!["sh".into(), "-c".into(), "a && b".into(), String::new()],
        };
        assert_eq!(
            path(&args, "shop", "web"),
            "/api/v1/namespaces/shop/pods/web/exec?command=sh&command=-c&command=a%20%26%26%20b&command=&container=c&stdout=true&tty=true"
        );
    }
}
