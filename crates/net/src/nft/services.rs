//! Services made real on one node: takes in what the server said, keeps the kernel's table like it,
//! and makes it again when somebody else changed it.
//!
//! ```text
//! let mut services = Services::new(cluster_id, node_name, Nft::new())?;
//! services.update(&update);          // as often as the server says something; cheap, no effect
//! services.apply().await?;           // one transaction for all since the last one
//! // every `CHECK_EVERY`: one call of the kernel when nothing happened
//! if let Some(drift) = services.check().await? { report(drift.message) }
//! ```
//!
//! The first `apply` after a start makes the whole table in one transaction; connections that are
//! there stay as they are. Until a full update was taken in it does nothing, and an old table of the
//! same cluster works on. Where a batch is refused, because the table is not what it was thought to
//! be, the whole table is made instead. An error leaves the table as it was; the next `apply` makes
//! all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use evenkeel_model::{
    Uid,
    net::{NetworkUpdate, PortProtocol, ServiceId},
};
use serde_json::Value;
use thiserror::Error;

use super::{
    book::{Book, HostPort, Plan},
    conntrack,
    front::{Backend, Front},
    health::HealthPort,
    policy::{self, Policies},
    run::{Nft, NftError},
    table::Place,
    watch::Watch,
};
use crate::link::kernel::Kernel;

/// How often [`Services::check`] is to be called: a table that someone flushed is there again within
/// a second.
pub const CHECK_EVERY: Duration = Duration::from_millis(500);

/// Services could not be made real.
#[derive(Debug, Error)]
pub enum ServicesError {
    /// By nft.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The kernel could not be asked about its rules.
    #[error(
        "the kernel's nftables could not be asked: {0}; Services need root, or CAP_NET_ADMIN, and a kernel with nf_tables"
    )]
    Kernel(#[source] io::Error),
    /// The rules are in place, but flows to those who are gone may still be there.
    #[error("old flows could not be ended: {0}; they end by themselves when no packet comes for two minutes")]
    Flows(#[source] io::Error),
}

/// What [`Services::apply`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Elements that were written or taken away.
    pub elements: usize,
    /// Whether the whole table was made.
    pub full: bool,
    /// Flows of UDP that were ended.
    pub flows: usize,
}

/// Somebody else changed our table, and it was made again: to be recorded as a drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// What happened.
    pub message: String,
}

/// One node's Services.
#[derive(Debug)]
pub struct Services {
    nft: Nft,
    table: String,
    book: Book,
    policies: Policies,
    watch: Watch,
    /// The kernel's count of changes after our last one.
    generation: Option<u32>,
    /// Whether somebody else wrote during our last change, perhaps to our table.
    doubtful: bool,
    /// What is to be reported.
    drift: Option<Drift>,
    /// TCP fronts of which somebody went since connections under way were looked at.
    lost: BTreeSet<Front>,
}

impl Services {
    /// Of one node of a cluster, in the network namespace of the thread that calls. Changes nothing
    /// yet.
    pub fn new(cluster_id: &str, node: &str, nft: Nft) -> Result<Self, ServicesError> {
        let table = table_name(cluster_id);
        Ok(Self {
            nft,
            watch: Watch::new(table.clone()).map_err(ServicesError::Kernel)?,
            book: Book::new(table.clone(), node.into()),
            policies: Policies::new(node.into()),
            table,
            generation: None,
            doubtful: false,
            drift: None,
            lost: BTreeSet::new(),
        })
    }

    /// The name of the table, of family `ip`: each cluster has its own, should agents of two run on
    /// one host.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Takes in what the server said, full or a difference. The node's own range of addresses and the
    /// settings are taken from it too.
    pub fn update(&mut self, update: &NetworkUpdate) {
        self.book.update(update);
        self.policies.update(update);
    }

    /// Takes in the address that this node gave a pod, `None` when it is free again: whom policies
    /// isolate is judged by it.
    pub fn set_address(&mut self, pod: Uid, address: Option<Ipv4Addr>) {
        self.policies.set_address(pod, address);
    }

    /// Takes in all ports of the node that lead to a pod (any name that is the pod's alone, as its
    /// uid); none when it is gone. Ports of pods with `hostNetwork` do not belong here.
    pub fn set_host_ports(&mut self, pod: &Arc<str>, ports: &[HostPort]) {
        self.book.host_ports(pod, ports);
    }

    /// Whether a LoadBalancer's own ports answer at the node's addresses.
    pub fn set_open(&mut self, id: &ServiceId, open: bool) {
        self.book.set_open(id, open);
    }

    /// Ports at which the node says whether it has somebody for a Service
    /// (`healthCheckNodePort`), for [`super::HealthServer`].
    pub fn health_ports(&self) -> BTreeMap<u16, HealthPort> {
        super::health::ports(self.book.services(), self.book.own())
    }

    /// Brings the kernel to what was taken in, in one transaction.
    pub async fn apply(&mut self) -> Result<Applied, ServicesError> {
        let known = self.book.is_applied();
        let tried = match self.attempt().await {
            // The table is not what it was thought to be.
            Err(ServicesError::Nft(NftError::Refused(why) | NftError::Absent(why))) if known => {
                let message =
                    format!("the nftables table `ip {}` did not take a change, and was made again: {why}", self.table);
                self.drift = Some(Drift { message });
                self.attempt().await
            }
            other => other,
        };
        let mut done = Applied::default();
        let (plan, policies) = tried?;
        if let Some(policies) = policies {
            done.elements = policies.elements;
            self.policies.done(policies);
        }
        let Some(plan) = plan else { return Ok(done) };
        done.full = plan.full;
        done.elements += plan.added.len() + plan.deleted.len();
        let (udp, tcp): (Vec<Front>, Vec<Front>) =
            plan.cut.iter().partition(|front| front.protocol == PortProtocol::Udp);
        self.lost.extend(tcp);
        self.book.done(plan);
        done.flows = self.end_flows(udp).await?;
        Ok(done)
    }

    /// Plans and runs a batch, and sees to it that nobody else's change in the same moment is taken for
    /// it. When it fails, nothing is known of the table.
    async fn attempt(&mut self) -> Result<(Option<Plan>, Option<policy::Plan>), ServicesError> {
        let before = self.watch.generation().map_err(ServicesError::Kernel)?;
        self.notice()?;
        let doubtful = std::mem::take(&mut self.doubtful);
        if doubtful {
            self.forget();
        }
        let plan = self.book.plan();
        let full = plan.as_ref().is_some_and(|p| p.full);
        let policies = self.policies.plan(&self.table, full);
        if plan.is_none() && policies.is_none() {
            return Ok((None, None));
        }
        let place = if full { self.place().await? } else { Place::default() };
        // Somebody who wrote meanwhile is known by the count alone; where that happened, the next load
        // is listened to.
        let deaf = full && !doubtful;
        if deaf {
            self.watch.close_ears();
        }
        // One transaction: nobody who is isolated is open in between.
        let mut text = plan.as_ref().map(|p| self.book.text(p, place)).unwrap_or_default();
        text.extend(policies.as_ref().map(|p| p.text.as_str()));
        if let Err(e) = self.nft.batch(&text).await {
            self.forget();
            return Err(e.into());
        }
        let seen = self.watch.look().map_err(ServicesError::Kernel)?;
        let after = self.watch.generation().map_err(ServicesError::Kernel)?;
        let heard_alone = !deaf && !seen.lost && seen.touched == 1;
        let alone = after == before.wrapping_add(1) || heard_alone;
        self.doubtful = !alone;
        self.generation = alone.then_some(after);
        Ok((plan, policies))
    }

    /// What the kernel holds is not known any more.
    fn forget(&mut self) {
        self.book.forget();
        self.policies.forget();
    }

    /// Where a new table is to stand: behind the one that is there.
    async fn place(&self) -> Result<Place, ServicesError> {
        let listed = match self.nft.list(&["chain", "ip", &self.table, "prerouting"]).await {
            Err(NftError::Absent(_)) => return Ok(Place::default()),
            other => other?,
        };
        let objects = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let there = objects.iter().find_map(|o| o["chain"]["prio"].as_i64()).and_then(Place::of_prerouting);
        Ok(there.map(Place::behind).unwrap_or_default())
    }

    /// Looks for changes by others.
    fn notice(&mut self) -> Result<(), ServicesError> {
        let seen = self.watch.look().map_err(ServicesError::Kernel)?;
        let unseen = seen.lost
            && self.generation.is_some()
            && Some(self.watch.generation().map_err(ServicesError::Kernel)?) != self.generation;
        if !self.book.is_applied() || (seen.touched == 0 && !unseen) {
            return Ok(());
        }
        self.forget();
        let what = if seen.touched > 0 {
            "was changed by another program"
        } else {
            "may have been changed by another program, among so many changes that not all were seen"
        };
        self.drift =
            Some(Drift { message: format!("the nftables table `ip {}` {what}; it was made again", self.table) });
        Ok(())
    }

    /// Makes the table again where somebody else changed it, and says so. Changes of other tables are
    /// nobody's business here.
    pub async fn check(&mut self) -> Result<Option<Drift>, ServicesError> {
        self.notice()?;
        if self.doubtful || self.drift.is_some() {
            self.apply().await?;
            self.end_forbidden().await?;
        }
        // Not with each change: all flows of the node are read for it.
        let lost: Vec<Front> = std::mem::take(&mut self.lost).into_iter().collect();
        self.end_flows(lost).await?;
        Ok(self.drift.take())
    }

    /// Ends old flows of these fronts to those who are not there now.
    async fn end_flows(&self, fronts: Vec<Front>) -> Result<usize, ServicesError> {
        if fronts.is_empty() {
            return Ok(0);
        }
        let there = |f: &Front| self.book.body(*f).map(|b| b.backends().collect()).unwrap_or_default();
        let there: BTreeMap<Front, BTreeSet<Backend>> = fronts.iter().map(|front| (*front, there(front))).collect();
        let mut socket = self.watch.socket().map_err(ServicesError::Flows)?;
        // Reading all flows of a busy node takes a while.
        tokio::task::spawn_blocking(move || conntrack::forget(&mut socket, &there))
            .await
            .unwrap_or_else(|e| Err(io::Error::other(e)))
            .map_err(ServicesError::Flows)
    }

    /// Ends what began while the table was away and policies do not let through.
    async fn end_forbidden(&self) -> Result<(), ServicesError> {
        if self.policies.is_idle() {
            return Ok(());
        }
        let mut socket = self.watch.socket().map_err(ServicesError::Flows)?;
        let kernel = Kernel::open().map_err(|e| ServicesError::Flows(io::Error::other(e)))?;
        let addresses = kernel.addresses().await.map_err(|e| ServicesError::Flows(io::Error::other(e)))?;
        let own: BTreeSet<Ipv4Addr> = addresses.into_iter().map(|a| a.ip).collect();
        let policies = self.policies.clone();
        let work = move || conntrack::forbid(&mut socket, &own, |flow| policies.allows(flow));
        let ended = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        ended.map(drop).map_err(ServicesError::Flows)
    }

    /// Takes a cluster's table away: when the node leaves it. What was sent by it stops to pass.
    pub async fn remove(nft: &Nft, cluster_id: &str) -> Result<(), NftError> {
        let table = table_name(cluster_id);
        nft.batch(&format!("add table ip {table}\ndelete table ip {table}\n")).await
    }

    /// Chains of others that drop all that is forwarded unless a rule of theirs says otherwise, as
    /// Docker's do: no rule of ours can let pods' packets through there. Each with what to do.
    pub async fn blockers(&self) -> Result<Vec<String>, ServicesError> {
        let all = self.nft.list(&["chains"]).await?;
        let chains = all["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(chains.iter().filter_map(|c| blocker(&c["chain"])).collect())
    }
}

fn blocker(chain: &Value) -> Option<String> {
    let family = chain["family"].as_str().filter(|f| ["ip", "inet"].contains(f))?;
    (chain["hook"] == "forward" && chain["policy"] == "drop").then(|| {
        let (table, name) = (chain["table"].as_str().unwrap_or_default(), chain["name"].as_str().unwrap_or_default());
        format!(
            "chain `{family} {table} {name}` drops forwarded packets: pods reach nothing outside their node. Let them \
             through there (`nft insert rule {family} {table} {name} ip saddr CLUSTER-CIDR accept`, and the same with \
             `daddr`), or set its policy to accept"
        )
    })
}

/// `evenkeel_` with the beginning of the cluster's id.
fn table_name(cluster_id: &str) -> String {
    let short: String = cluster_id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("evenkeel_{}", short.to_ascii_lowercase())
}
