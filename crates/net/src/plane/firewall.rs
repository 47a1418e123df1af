//! Lets pods through Docker's firewall, beside the network's turns: each look runs a program, and packets
//! must not wait for one. That it cannot be done keeps nothing else from being done: where nothing is
//! dropped all is well.

use std::time::Duration;

use evenkeel_model::net::Cidr;
use tokio::sync::watch as channel;

use crate::{link::forward, nft::run::Nft};

/// It is looked at this often at most. Docker makes its bridge anew when it starts, which brings the look
/// about.
const PAUSE: Duration = Duration::from_secs(5);

/// Asks for looks; the task ends with it.
pub(super) struct Firewall(channel::Sender<Option<Cidr>>);

impl Firewall {
    /// For the pods of a cluster; its task begins with the first look.
    pub(super) fn new(cluster: &str) -> Self {
        let (send, wanted) = channel::channel(None);
        tokio::spawn(run(cluster.to_owned(), wanted));
        Self(send)
    }

    /// Something changed on the machine, or time passed: pods of this range are to be let through.
    pub(super) fn look(&self, range: Cidr) {
        self.0.send_replace(Some(range));
    }
}

async fn run(cluster: String, mut wanted: channel::Receiver<Option<Cidr>>) {
    let mut complaint = None;
    while wanted.changed().await.is_ok() {
        let Some(range) = *wanted.borrow_and_update() else { continue };
        match forward::open(&Nft::new(), &cluster, range).await {
            Ok(done) => {
                if done {
                    tracing::info!(%range, "pods are let through Docker's firewall (chain DOCKER-USER)");
                }
                complaint = None;
            }
            Err(error) => {
                let text = error.to_string();
                if complaint.as_ref() != Some(&text) {
                    tracing::warn!(%error, "whether a firewall of this machine drops pods' packets is not known");
                    complaint = Some(text);
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
