//! `evenkeel get`: objects as tables, JSON, YAML or names.
//!
//! The columns are the server's; this only lays them out.

use std::process::ExitCode;

use anyhow::{Result, bail};
use evenkeel_model::Kind;
use serde_json::{Value, json};

use super::{
    Cx, Out, kinds,
    objects::{items, name, text},
    output::{Format, one_line},
    paths::{self, Scope},
    watching::Watch,
};
use crate::client::{Client, TABLE};

/// Show objects
///
/// Kinds: namespaces, configmaps, secrets, pods, replicasets, deployments, nodes, events, sources,
/// releases, drifts and all others of the API, those of CustomResourceDefinitions among them; also in
/// the singular and by their short names, several with commas, or `all`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel get pods -A\n  evenkeel get deployments,pods -n shop -o wide\n  evenkeel get source shop -o yaml\n  evenkeel get pods -l app=web --watch"
)]
pub(crate) struct Args {
    /// KIND or KIND,KIND or KIND/NAME
    #[arg(value_name = "KIND")]
    what: String,
    /// Names of objects
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    scope: Scope,
    /// Label selector, as app=web
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    selector: String,
    /// Field selector, as status.phase=Running
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    field_selector: String,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Go on with every change
    #[arg(short, long)]
    watch: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let (found, names) = match args.what.split_once('/') {
        Some((kind, name)) => (vec![kinds::find(&client, kind).await?], vec![name.to_owned()]),
        None => (kinds::of_list(&client, &args.what).await?, args.names.clone()),
    };
    let namespace = args.scope.of(&client);
    if args.watch {
        let [kind] = found.as_slice() else { bail!("--watch takes one kind") };
        return watch(&client, &args, *kind, &names, &namespace, &mut cx.out).await;
    }
    if !names.is_empty() && args.scope.all_namespaces {
        bail!("an object cannot be named across all namespaces: use -n NAMESPACE");
    }
    match args.output {
        Format::Table | Format::Wide => tables(&client, &args, &found, &names, &namespace, &mut cx.out).await?,
        format => objects(&client, &args, &found, &names, &namespace, format, &mut cx.out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_path(args: &Args, kind: Kind, namespace: &str) -> String {
    let pairs = [("labelSelector", args.selector.as_str()), ("fieldSelector", args.field_selector.as_str())];
    format!("{}{}", paths::collection(kind, namespace), paths::query(&pairs))
}

async fn tables(
    client: &Client,
    args: &Args,
    kinds: &[Kind],
    names: &[String],
    namespace: &str,
    out: &mut Out,
) -> Result<()> {
    let mut shown = 0;
    for kind in kinds {
        let mut table = Table::new(*kind, args);
        table.prefix = kinds.len() > 1;
        if names.is_empty() {
            table.add(&client.get_as(&list_path(args, *kind, namespace), TABLE).await?);
        }
        for name in names {
            table.add(&client.get_as(&paths::item(*kind, namespace, name), TABLE).await?);
        }
        if table.rows.is_empty() {
            continue;
        }
        if shown > 0 {
            out.line("")?;
        }
        shown += 1;
        out.table(&table.header, &table.rows)?;
    }
    if shown == 0 {
        let place = if namespace.is_empty() || !kinds.iter().any(|k| k.namespaced()) {
            String::new()
        } else {
            format!(" in namespace {namespace}")
        };
        eprintln!("No resources found{place}.");
    }
    Ok(())
}

/// A table of the server, laid out for a terminal.
pub(super) struct Table {
    kind: Kind,
    wide: bool,
    namespaces: bool,
    pub(super) prefix: bool,
    pub(super) header: Vec<String>,
    shown: Vec<usize>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn new(kind: Kind, args: &Args) -> Self {
        Self::of(kind, args.output == Format::Wide, args.scope.all_namespaces && kind.namespaced())
    }

    /// An empty one; `namespaces` puts the namespace in front of each row.
    pub(super) fn of(kind: Kind, wide: bool, namespaces: bool) -> Self {
        let (header, shown, rows) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, wide, namespaces, prefix: false, header, shown, rows }
    }

    /// Takes in what the server answered.
    pub(super) fn add(&mut self, answer: &Value) {
        let columns = answer.get("columnDefinitions").and_then(Value::as_array);
        if let Some(columns) = columns.filter(|_| self.header.is_empty()) {
            if self.namespaces {
                self.header.push("NAMESPACE".into());
            }
            for (i, column) in columns.iter().enumerate() {
                if self.wide || column.get("priority").and_then(Value::as_i64).unwrap_or(0) == 0 {
                    self.header.push(text(column, "/name").to_uppercase());
                    self.shown.push(i);
                }
            }
        }
        for row in answer.get("rows").and_then(Value::as_array).into_iter().flatten() {
            let mut cells = Vec::new();
            if self.namespaces {
                cells.push(text(row, "/object/metadata/namespace").to_owned());
            }
            for (at, i) in self.shown.iter().enumerate() {
                let cell = match row.pointer(&format!("/cells/{i}")) {
                    Some(Value::String(s)) => one_line(s),
                    Some(other) => other.to_string(),
                    None => String::new(),
                };
                let named = at == 0 && self.prefix;
                cells.push(if named { format!("{}/{cell}", self.kind.info().singular) } else { cell });
            }
            self.rows.push(cells);
        }
    }
}

async fn objects(
    client: &Client,
    args: &Args,
    kinds: &[Kind],
    names: &[String],
    namespace: &str,
    format: Format,
    out: &mut Out,
) -> Result<()> {
    let mut all = Vec::new();
    for kind in kinds {
        if names.is_empty() {
            let list = client.get(&list_path(args, *kind, namespace)).await?;
            all.extend(items(&list).iter().cloned());
        }
        for name in names {
            all.push(client.get(&paths::item(*kind, namespace, name)).await?);
        }
    }
    if format == Format::Name {
        for object in &all {
            out.line(name_of(object))?;
        }
        return Ok(());
    }
    match (all.as_slice(), names.len() == 1 && kinds.len() == 1) {
        ([one], true) => out.object(one, format),
        _ => out.object(&json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": all}), format),
    }
}

/// `deployment.apps/web`.
fn name_of(object: &Value) -> String {
    let kind = Kind::of(text(object, "/apiVersion"), text(object, "/kind"));
    let what = kind.map_or_else(
        || text(object, "/kind").to_lowercase(),
        |k| {
            let info = k.info();
            if info.group.is_empty() { info.singular.to_owned() } else { format!("{}.{}", info.singular, info.group) }
        },
    );
    format!("{what}/{}", name(object))
}

async fn watch(
    client: &Client,
    args: &Args,
    kind: Kind,
    names: &[String],
    namespace: &str,
    out: &mut Out,
) -> Result<ExitCode> {
    let fields = match names {
        [] => args.field_selector.clone(),
        [one] => format!("metadata.name={one}"),
        _ => bail!("--watch takes one name"),
    };
    let selection = [("labelSelector", args.selector.as_str()), ("fieldSelector", fields.as_str())];
    let as_table = matches!(args.output, Format::Table | Format::Wide);
    let accept = if as_table { TABLE } else { "application/json" };
    let path = paths::collection(kind, namespace);
    loop {
        let (list, mut watch) = Watch::start(client, &path, &selection, accept).await?;
        let mut table = Table::new(kind, args);
        if as_table {
            table.add(&list);
            out.table(&table.header, &table.rows)?;
        } else {
            items(&list).iter().try_for_each(|o| show(o, args.output, out))?;
        }
        out.flush()?;
        while let Some(event) = watch.next().await? {
            if as_table {
                let before = table.rows.len();
                table.add(&event.object);
                // Columns as wide as those above, as far as they fit.
                let mut all = table.rows.clone();
                let new = all.split_off(before);
                let mut rows: Vec<&[String]> = vec![&table.header];
                rows.extend(all.iter().chain(&new).map(Vec::as_slice));
                for line in super::output::align(&rows).into_iter().skip(rows.len() - new.len()) {
                    out.line(line)?;
                }
                // Only the widths of recent rows matter.
                if table.rows.len() > KEPT_ROWS {
                    table.rows.drain(..KEPT_ROWS / 2);
                }
            } else {
                show(&event.object, args.output, out)?;
            }
            out.flush()?;
        }
    }
}

/// Rows that a watch remembers for its columns' widths.
const KEPT_ROWS: usize = 200;

fn show(object: &Value, format: Format, out: &mut Out) -> Result<()> {
    match format {
        Format::Name => out.line(name_of(object)),
        Format::Yaml => {
            out.line("---")?;
            out.object(object, format)
        }
        _ => out.object(object, format),
    }
}
