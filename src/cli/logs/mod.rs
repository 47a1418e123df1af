//! `evenkeel logs`: what containers print.
//!
//! Parses and finds what is meant; `follow` reads many streams beside each other, `lines` keeps the
//! place in one of them.

mod follow;
mod lines;

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use anyhow::Result;
use evenkeel_model::{Kind, Time};
use serde_json::Value;

use super::{
    Cx,
    error::hinted,
    objects::{name, text},
    paths::{self, Scope},
    pods::{self, Meant},
};

/// Show what containers print
///
/// Of several containers, each line has its pod and container in front. With -f, pods that a
/// workload or selector gets later are read as well, and where a node is away, its containers are
/// read on from their last line when it is back.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel logs web-5d7f-abcde -n shop\n  evenkeel logs deployment/web -f --tail 20\n  evenkeel logs -l app=web --since 5m --all-containers\n  evenkeel logs web-5d7f-abcde --previous"
)]
pub(crate) struct Args {
    /// A pod, or deployment/NAME, replicaset/NAME, service/NAME
    #[arg(value_name = "POD", required_unless_present = "selector")]
    what: Option<String>,
    #[command(flatten)]
    scope: Scope,
    /// All pods with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "what")]
    selector: Option<String>,
    #[command(flatten)]
    containers: Containers,
    /// Go on with new lines
    #[arg(short, long, conflicts_with = "previous")]
    follow: bool,
    /// Of the run before this one
    #[arg(short, long)]
    previous: bool,
    /// Only so many of the last lines, of each container
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Only of the last time, as 5m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "since_time")]
    since: Option<Duration>,
    /// Only from a time on, as 2026-01-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since_time: Option<Time>,
    #[command(flatten)]
    form: Form,
    /// Containers read at once; more are an error
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    max_log_requests: u16,
}

/// Which containers of a pod.
#[derive(Debug, Clone, clap::Args)]
struct Containers {
    /// Container [default: the only one, or the pod's annotation]
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_containers")]
    container: Option<String>,
    /// All containers of a pod, init containers included
    #[arg(long)]
    all_containers: bool,
}

/// What stands in front of lines.
#[derive(Debug, Clone, clap::Args)]
struct Form {
    /// With the time in front of each line
    #[arg(long)]
    timestamps: bool,
    /// With pod and container in front of each line, also where there is only one
    #[arg(long)]
    prefix: bool,
}

fn time(text: &str) -> Result<Time, String> {
    Time::parse_rfc3339(text).ok_or_else(|| format!("`{text}` is not an RFC 3339 time"))
}

/// One container of a pod. The uid keeps pods of the same name apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    namespace: String,
    pod: String,
    uid: String,
    /// Empty for the one that the server chooses.
    container: String,
}

impl Target {
    /// What stands in front of its lines.
    fn label(&self) -> String {
        if self.container.is_empty() { self.pod.clone() } else { format!("{}/{}", self.pod, self.container) }
    }
}

/// Which pods are meant, for as long as new ones may come.
#[derive(Debug, Clone)]
enum Wanted {
    Pod(String),
    Labels(String),
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let namespace = args.scope.of(&client);
    let wanted = match (&args.selector, args.what.as_deref().map(Meant::parse).transpose()?) {
        (Some(selector), _) => Wanted::Labels(selector.clone()),
        (None, Some(Meant::Owner(kind, owner))) => {
            Wanted::Labels(pods::selector_of(&client, kind, &namespace, &owner).await?)
        }
        (None, Some(Meant::Pod(pod))) => Wanted::Pod(pod),
        (None, None) => Wanted::Labels(String::new()),
    };
    let found = match &wanted {
        Wanted::Pod(pod) => vec![client.get(&paths::item(Kind::Pod, &namespace, pod)).await?],
        Wanted::Labels(selector) => pods::list(&client, &namespace, selector).await?,
    };
    let targets: BTreeSet<Target> = found.iter().flat_map(|pod| targets(&args, pod)).collect();
    let most = usize::from(args.max_log_requests);
    if targets.len() > most {
        return Err(hinted(
            format!("{} containers are meant, and at most {most} are read at once", targets.len()),
            "name fewer, or raise --max-log-requests",
        ));
    }
    let prefix = args.form.prefix || targets.len() > 1;
    follow::Reading { args, place: cx.place.clone(), client, namespace, wanted, prefix }.run(targets, cx).await
}

/// The containers of a pod that are meant.
fn targets(args: &Args, pod: &Value) -> Vec<Target> {
    let of = |container: &str| Target {
        namespace: text(pod, "/metadata/namespace").to_owned(),
        pod: name(pod).to_owned(),
        uid: text(pod, "/metadata/uid").to_owned(),
        container: container.to_owned(),
    };
    if !args.containers.all_containers {
        return vec![of(args.containers.container.as_deref().unwrap_or_default())];
    }
    ["/spec/initContainers", "/spec/containers"]
        .iter()
        .flat_map(|field| pod.pointer(field).and_then(Value::as_array).into_iter().flatten())
        .map(|container| of(text(container, "/name")))
        .collect()
}

/// Whether a container of a pod has begun at least once, so that it has a log.
fn has_begun(pod: &Value, container: &str) -> bool {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .iter()
        .flat_map(|field| pod.pointer(field).and_then(Value::as_array).into_iter().flatten())
        .filter(|status| container.is_empty() || text(status, "/name") == container)
        .any(|status| {
            ["/state/running", "/state/terminated", "/lastState/terminated"].iter().any(|s| status.pointer(s).is_some())
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Line::try_parse_from(line.split(' ')).unwrap().args
    }

    #[test]
    fn containers_that_are_meant() {
        let pod = json!({"metadata": {"name": "web-1", "namespace": "shop", "uid": "u"},
            "spec": {"initContainers": [{"name": "init"}], "containers": [{"name": "web"}, {"name": "side"}]},
            "status": {"initContainerStatuses": [{"name": "init", "state": {"terminated": {}}}],
                "containerStatuses": [{"name": "web", "state": {"waiting": {}}}]}});
        let names = |line: &str| targets(&args(line), &pod).iter().map(Target::label).collect::<Vec<_>>();
        assert_eq!(names("logs web-1"), ["web-1"]);
        assert_eq!(names("logs web-1 -c side"), ["web-1/side"]);
        assert_eq!(names("logs web-1 --all-containers"), ["web-1/init", "web-1/web", "web-1/side"]);
        assert!(has_begun(&pod, "init") && !has_begun(&pod, "web") && !has_begun(&pod, "side"));
        assert!(Line::try_parse_from(["logs", "x", "--since", "5m", "--since-time", "2026-01-01T00:00:00Z"]).is_err());
        assert!(Line::try_parse_from(["logs", "x", "--since-time", "yesterday"]).is_err());
    }
}
