//! `evenkeel agent`: the command line of a node's half.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow};
use evenkeel_agent::remote::{ServerAddress, Token};

use super::{Cx, error::hinted, lasting};
use crate::run;

/// Bytes of a token file that are looked at: a token has about a hundred.
const TOKEN_FILE_MOST: u64 = 4096;

/// Make this machine a node of a server
///
/// The first start needs a token (`evenkeel token create` on the server). From then on the node has a
/// certificate of its own, which it renews by itself. Ctrl-C stops the agent; containers run on, and
/// an agent that starts again goes on with them.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  evenkeel agent --server 10.0.0.1:7443 --token-file /etc/evenkeel/token\n  evenkeel agent --server cluster.example --name db-1 --labels disk=ssd --taints dedicated=db:NoSchedule"
)]
pub(crate) struct Args {
    /// The server; needed, here or in the configuration file
    // Not required by the parser: it sees the command line before the file's keys are in it.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<ServerAddress>,
    /// Token for the first start; --token-file keeps it out of the list of processes
    #[arg(long, value_name = "TOKEN", env = "EVENKEEL_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
    token: Option<String>,
    /// File with the token; it need not be there once the node has joined
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Name of the node [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    node: lasting::Node,
    #[command(flatten)]
    process: lasting::Process,
}

impl Args {
    /// The configuration file that was named.
    pub(crate) fn config(&self) -> Option<&Path> {
        self.process.config.as_deref()
    }

    fn token(&self) -> Result<Option<Token>> {
        let (text, from) = match (&self.token, &self.token_file) {
            (Some(text), _) => (text.clone(), "--token".to_owned()),
            (None, Some(path)) => match read(path)? {
                Some(text) => (text, path.display().to_string()),
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        text.parse().map(Some).map_err(|e: String| hinted(from, e))
    }
}

/// A token file's text; `None` if the file is absent.
fn read(path: &Path) -> Result<Option<String>> {
    use std::io::Read as _;
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(anyhow!(e)).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut text = String::new();
    file.take(TOKEN_FILE_MOST).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(text))
}

/// Runs until Ctrl-C.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    args.process.start_log("info");
    let token = args.token()?;
    let Some(server) = args.server else {
        let hint = "--server HOST:PORT, or a key `server` in the file that --config names";
        return Err(hinted("no server is named", hint));
    };
    let options = run::agent::AgentOptions {
        data_dir: lasting::data_dir(cx)?,
        server,
        token,
        node: args.node.options(args.name)?,
    };
    run::agent::run(options).await?;
    Ok(ExitCode::SUCCESS)
}
