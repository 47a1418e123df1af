//! `evenkeel source`: add, list, remove; and the flags that are fields of a Source.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use evenkeel_model::{
    Kind,
    own::{RollbackMode, SourceSpec, UnsupportedMode},
};
use hyper::Method;
use serde_json::{Value, json};

use super::{Cx, get::Table, objects::name, output::Format, paths};
use crate::{
    client::TABLE,
    run::{Place, locate},
};

/// Add, list and remove sources
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Follow one more repository or directory
    #[command(
        after_help = "Examples:\n  evenkeel source add billing https://git.example/billing.git --branch main\n  evenkeel source add web ./manifests --interval 10s"
    )]
    Add(Box<Add>),
    /// Show the sources
    #[command(after_help = "Example:\n  evenkeel source list -o yaml")]
    List(List),
    /// Stop following one; its objects stay unless --prune
    #[command(after_help = "Example:\n  evenkeel source remove billing --prune")]
    Remove(Remove),
}

/// Fields of a Source.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Source")]
pub(crate) struct Fields {
    /// Branch to follow [default: the repository's own]
    #[arg(long, value_name = "BRANCH", group = "reference")]
    branch: Option<String>,
    /// Tag to follow
    #[arg(long, value_name = "TAG", group = "reference")]
    tag: Option<String>,
    /// Commit to stay at, 40 hexadecimal digits
    #[arg(long, value_name = "COMMIT", group = "reference")]
    commit: Option<String>,
    /// Folder inside it that holds the manifests
    #[arg(long, value_name = "FOLDER")]
    path: Option<String>,
    /// How often a remote is asked [default: 30s]
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// What a kind that is not supported causes [default: reject]
    #[arg(long, value_parser = unsupported, value_name = "reject|skip")]
    unsupported: Option<UnsupportedMode>,
    /// Whether drift is written back [default: true]
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    self_heal: Option<bool>,
    /// What a failed release causes [default: auto]
    #[arg(long, value_parser = rollback, value_name = "auto|manual|off")]
    rollback: Option<RollbackMode>,
    /// How long a healthy release is watched [default: 30s]
    #[arg(long, value_name = "DURATION")]
    watch_window: Option<String>,
    /// Restarts of a container that fail a release [default: 3]
    #[arg(long, value_name = "COUNT")]
    crash_limit: Option<u32>,
    /// File with a token for https
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with user:password for https
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Private key for ssh
    #[arg(long, value_name = "FILE")]
    ssh_key_file: Option<PathBuf>,
    /// Known hosts for ssh
    #[arg(long, value_name = "FILE")]
    known_hosts_file: Option<PathBuf>,
    /// File with the secret of the source's git hook
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Name of the source
    name: String,
    /// A directory, a repository or its URL
    #[arg(value_name = "DIR|URL")]
    from: String,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Name of the source
    name: String,
    /// Delete the objects that it made, too
    #[arg(long)]
    prune: bool,
}

impl Fields {
    /// The specification of a Source at this place.
    pub(crate) fn spec(&self, place: Place) -> Result<SourceSpec> {
        let file = |f: &Option<PathBuf>| -> Result<Option<String>> {
            let Some(file) = f else { return Ok(None) };
            let file = std::path::absolute(file).with_context(|| format!("the file {}", file.display()))?;
            Ok(Some(file.to_str().with_context(|| format!("{} is not UTF-8", file.display()))?.to_owned()))
        };
        let mut spec = SourceSpec {
            path: self.path.clone(),
            interval: self.interval.clone(),
            unsupported: self.unsupported,
            self_heal: self.self_heal,
            rollback: self.rollback,
            watch_window: self.watch_window.clone(),
            crash_limit: self.crash_limit,
            webhook_secret_file: file(&self.webhook_secret_file)?,
            ..SourceSpec::default()
        };
        let is_git = matches!(place, Place::Git(_));
        place.fill(&mut spec);
        let only_git = [
            ("--branch", self.branch.is_some()),
            ("--tag", self.tag.is_some()),
            ("--commit", self.commit.is_some()),
            ("--token-file", self.token_file.is_some()),
            ("--password-file", self.password_file.is_some()),
            ("--ssh-key-file", self.ssh_key_file.is_some()),
            ("--known-hosts-file", self.known_hosts_file.is_some()),
        ];
        if let Some((flag, _)) = only_git.iter().find(|(_, given)| *given && !is_git) {
            bail!("{flag} is for repositories, and this is followed as a directory: it holds no .git");
        }
        if let Some(git) = &mut spec.git {
            git.branch.clone_from(&self.branch);
            git.tag.clone_from(&self.tag);
            git.commit.clone_from(&self.commit);
            git.token_file = file(&self.token_file)?;
            git.password_file = file(&self.password_file)?;
            git.ssh_key_file = file(&self.ssh_key_file)?;
            git.known_hosts_file = file(&self.known_hosts_file)?;
        }
        Ok(spec)
    }
}

fn unsupported(text: &str) -> Result<UnsupportedMode, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("`{text}` is neither reject nor skip"))
}

fn rollback(text: &str) -> Result<RollbackMode, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("`{text}` is none of auto, manual, off"))
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    match verb {
        Verb::Add(add) => {
            let spec = add.fields.spec(locate(&add.from)?)?;
            let info = Kind::Source.info();
            let body = json!({
                "apiVersion": info.api_version(), "kind": info.kind,
                "metadata": {"name": add.name}, "spec": spec,
            });
            let made = client.send(Method::POST, &paths::collection(Kind::Source, ""), &body).await?;
            cx.out.line(format!("source {} added", name(&made)))?;
        }
        Verb::List(list) => {
            let path = paths::collection(Kind::Source, "");
            match list.output {
                Format::Table | Format::Wide => {
                    let mut table = Table::of(Kind::Source, list.output == Format::Wide, false);
                    table.add(&client.get_as(&path, TABLE).await?);
                    cx.out.table(&table.header, &table.rows)?;
                }
                Format::Name => {
                    for name in paths::source_names(&client).await? {
                        cx.out.line(name)?;
                    }
                }
                format => {
                    let all = client.get(&path).await?;
                    cx.out.object(&all, format)?;
                }
            }
        }
        Verb::Remove(remove) => {
            let prune = if remove.prune { "?prune=true" } else { "" };
            let path = format!("{}{prune}", paths::source(&remove.name));
            client.send(Method::DELETE, &path, &Value::Null).await?;
            let objects = if remove.prune { "its objects are being deleted" } else { "its objects stay" };
            cx.out.line(format!("source {} removed; {objects}", remove.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
