//! The flags of `up` that are settings of the core: waits, limits, and how long what is kept.
//!
//! Each stands for the field of that name in the core's `Settings`, which also has its default.
//! Settings of one source are not here: they are fields of the Source.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, value_parser};
use evenkeel_agent::driver::HEARTBEAT;
use evenkeel_core::{Settings, network::Layout};
use evenkeel_model::net::{Cidr, NetworkMode};
use evenkeel_server::{api::Logged, host::BackupOptions};
use humantime::parse_duration;

use super::error::hinted;

/// Settings that were given; the others keep their default.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Given {
    /// A node without a word for this long is Unknown; agents speak every 10s, so at least 12s
    /// [default: 40s]
    #[arg(long, value_name = "DURATION", value_parser = grace)]
    node_grace: Option<Duration>,
    /// How long pods that say nothing else tolerate a node that is not ready or away [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    default_toleration: Option<Duration>,
    /// Pods of at most one node are evicted in this time [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    eviction_interval: Option<Duration>,
    /// How long a server that lost its database waits for its nodes [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    recovery_wait: Option<Duration>,
    /// A pod that finds no node for this long fails its release [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    unschedulable_limit: Option<Duration>,
    /// Tries to get an image, or to create or start a container, that fail a release [default: 3]
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..))]
    start_tries: Option<u32>,
    /// First wait before a release that failed from outside is tried again; it doubles [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    retry_first: Option<Duration>,
    /// Longest such wait [default: 30m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    retry_max: Option<Duration>,
    /// How long events are kept [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    event_age: Option<Duration>,
    /// How many events are kept at most [default: 5000]
    #[arg(long, value_name = "COUNT", value_parser = count())]
    event_count: Option<u64>,
    /// How long settled drifts are kept [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    drift_age: Option<Duration>,
    /// How many settled drifts are kept at most [default: 1000]
    #[arg(long, value_name = "COUNT", value_parser = count())]
    drift_count: Option<u64>,
    /// How many finished releases of a source are kept [default: 50]
    #[arg(long, value_name = "COUNT", value_parser = count())]
    release_count: Option<u64>,
    /// Addresses of pods; each node has a part of it. Of a cluster that is there it cannot be changed
    /// [default: 10.42.0.0/16]
    #[arg(long, value_name = "CIDR", help_heading = "Network")]
    cluster_cidr: Option<Cidr>,
    /// Addresses of Services. Of a cluster that is there it cannot be changed [default: 10.43.0.0/16]
    #[arg(long, value_name = "CIDR", help_heading = "Network")]
    service_cidr: Option<Cidr>,
    /// Length of each node's part of the pods' addresses [default: 24]
    #[arg(long, value_name = "BITS", help_heading = "Network")]
    node_cidr_size: Option<u8>,
    /// Domain of the cluster's names [default: cluster.local]
    #[arg(long, value_name = "DOMAIN", help_heading = "Network")]
    cluster_domain: Option<String>,
    /// How pods reach those of other nodes: auto (routes where nodes share a link, vxlan else), routes
    /// or vxlan [default: auto]
    #[arg(long, value_name = "MODE", value_parser = mode, help_heading = "Network")]
    network: Option<NetworkMode>,
    /// Time between two copies of the database, made into backups/ of the data directory; 0 makes none
    /// [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    backup_interval: Option<Duration>,
    /// How many of these copies stay [default: 7]
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u16).range(1..))]
    backup_keep: Option<u16>,
    /// Which requests are logged, in access/ of the data directory: off, changes (what changes something
    /// or leads into a pod, reads of Secrets, what is refused) or all [default: changes]
    #[arg(long, value_name = "WHICH", value_parser = logged)]
    access_log: Option<Logged>,
}

/// What a heartbeat has for its way: a grace without it makes nodes that are well Unknown.
const WAY: Duration = Duration::from_secs(2);

/// A node's grace: at least a heartbeat and its way.
fn grace(text: &str) -> Result<Duration, String> {
    let grace = parse_duration(text).map_err(|e| e.to_string())?;
    let least = HEARTBEAT + WAY;
    if grace < least {
        return Err(format!(
            "agents send a heartbeat every {} s, so that nodes that are well would be Unknown between two; \
             at least {} s",
            HEARTBEAT.as_secs(),
            least.as_secs()
        ));
    }
    Ok(grace)
}

/// How packets of pods travel between nodes.
fn mode(text: &str) -> Result<NetworkMode, String> {
    match text {
        "auto" => Ok(NetworkMode::Auto),
        "routes" => Ok(NetworkMode::Routes),
        "vxlan" => Ok(NetworkMode::Vxlan),
        "wireguard" => Err("wireguard is not supported yet; use auto, routes or vxlan".into()),
        _ => Err("one of auto, routes and vxlan".into()),
    }
}

/// Which requests are logged.
fn logged(text: &str) -> Result<Logged, String> {
    match text {
        "off" => Ok(Logged::Off),
        "changes" => Ok(Logged::Changes),
        "all" => Ok(Logged::All),
        _ => Err("one of off, changes and all".into()),
    }
}

/// Counts of what is kept: at least one, and no more than memory is for.
fn count() -> clap::builder::RangedU64ValueParser {
    value_parser!(u64).range(1..=100_000)
}

impl Given {
    /// When the server copies its database by itself.
    pub(crate) fn backups(&self) -> BackupOptions {
        let own = BackupOptions::default();
        BackupOptions {
            interval: self.backup_interval.unwrap_or(own.interval),
            keep: self.backup_keep.map_or(own.keep, usize::from),
        }
    }

    /// Which requests are logged.
    pub(crate) fn access_log(&self) -> Logged {
        self.access_log.unwrap_or_default()
    }

    /// The ranges of addresses, as they go together.
    fn layout(&self) -> Result<Layout> {
        let own = Layout::default();
        Layout::new(
            self.cluster_cidr.unwrap_or(own.net.cluster_cidr),
            self.service_cidr.unwrap_or(own.net.service_cidr),
            self.node_cidr_size.unwrap_or(own.node_prefix),
            self.cluster_domain.as_deref().unwrap_or(&own.net.domain),
            self.network.unwrap_or(own.net.mode),
        )
        .map_err(|error| hinted(error.to_string(), error.hint()))
    }

    /// The settings of the core.
    pub(crate) fn settings(&self) -> Result<Settings> {
        let own = Settings::default();
        let kept = |given: Option<u64>, default| given.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Settings {
            network: self.layout()?,
            node_grace: self.node_grace.unwrap_or(own.node_grace),
            default_toleration: self.default_toleration.unwrap_or(own.default_toleration),
            eviction_interval: self.eviction_interval.unwrap_or(own.eviction_interval),
            recovery_wait: self.recovery_wait.unwrap_or(own.recovery_wait),
            unschedulable_limit: self.unschedulable_limit.unwrap_or(own.unschedulable_limit),
            start_tries: self.start_tries.unwrap_or(own.start_tries),
            retry_first: self.retry_first.unwrap_or(own.retry_first),
            retry_max: self.retry_max.unwrap_or(own.retry_max),
            event_age: self.event_age.unwrap_or(own.event_age),
            event_count: kept(self.event_count, own.event_count),
            drift_age: self.drift_age.unwrap_or(own.drift_age),
            drift_count: kept(self.drift_count, own.drift_count),
            release_count: kept(self.release_count, own.release_count),
            ..own
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        given: Given,
    }

    /// The defaults stand in the help texts: they must be those of the core.
    #[test]
    fn the_help_tells_the_defaults_of_the_core() {
        let written = Line::parse_from([
            "x",
            "--node-grace=40s",
            "--default-toleration=5m",
            "--eviction-interval=10s",
            "--recovery-wait=1m",
            "--unschedulable-limit=1m",
            "--start-tries=3",
            "--retry-first=1m",
            "--retry-max=30m",
            "--event-age=1h",
            "--event-count=5000",
            "--drift-age=7d",
            "--drift-count=1000",
            "--release-count=50",
            "--backup-interval=1d",
            "--backup-keep=7",
            "--cluster-cidr=10.42.0.0/16",
            "--service-cidr=10.43.0.0/16",
            "--node-cidr-size=24",
            "--cluster-domain=cluster.local",
            "--network=auto",
            "--access-log=changes",
        ]);
        let none = Line::parse_from(["x"]);
        assert_eq!(format!("{:?}", written.given.settings().unwrap()), format!("{:?}", Settings::default()));
        assert_eq!(format!("{:?}", none.given.settings().unwrap()), format!("{:?}", Settings::default()));
        assert_eq!(
            (written.given.backups(), none.given.backups()),
            (BackupOptions::default(), BackupOptions::default())
        );
        assert_eq!((written.given.access_log(), none.given.access_log()), (Logged::default(), Logged::default()));
        assert!(Line::parse_from(["x", "--backup-interval=0"]).given.backups().interval.is_zero());
        assert!(Line::try_parse_from(["x", "--event-count=0"]).is_err());
    }

    #[test]
    fn ranges_that_do_not_go_together_are_refused_with_what_to_set() {
        let given = |words: &[&str]| Line::try_parse_from([&["x"], words].concat());
        let error = given(&["--cluster-cidr=10.43.0.0/16"]).unwrap().given.settings().unwrap_err();
        assert!(format!("{error:#}").contains("share addresses"), "{error:#}");
        let wide = given(&["--cluster-cidr=10.128.0.0/9", "--network=vxlan"]).unwrap().given.settings().unwrap();
        assert_eq!((wide.network.nodes(), wide.network.net.mode), (32768, NetworkMode::Vxlan));
        for (refused, why) in [
            ("--network=wireguard", "not supported yet; use auto"),
            ("--cluster-cidr=10.42.1.0/16", "10.42.0.0/16"),
            ("--service-cidr=fd00::/108", "IPv6 is not supported yet"),
        ] {
            let error = given(&[refused]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_grace_shorter_than_a_heartbeat_and_its_way_is_refused() {
        for refused in ["0s", "10s", "11s 999ms"] {
            let error = Line::try_parse_from(["x", "--node-grace", refused]).unwrap_err().to_string();
            assert!(error.contains("a heartbeat every 10 s") && error.contains("at least 12 s"), "{error}");
        }
        assert!(Line::try_parse_from(["x", "--node-grace", "soon"]).is_err());
        let least = Line::parse_from(["x", "--node-grace", "12s"]);
        assert_eq!(least.given.settings().unwrap().node_grace, HEARTBEAT + WAY);
    }
}
