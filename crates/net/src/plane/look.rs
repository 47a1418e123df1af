//! The look at all of the node's network: what others undid is put right and told, what they did and the
//! agent cannot undo is told.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::{
    Status,
    task::{LOOK, Place, Task},
};
use crate::link::{
    KernelError,
    host::{self, Machine},
    routes::plan,
};

/// While pods cannot be made, whatever is in the way is looked at this often: not all that frees it is
/// told.
const REFUSED: Duration = Duration::from_secs(3);

impl Task {
    pub(super) async fn look(&mut self) -> Result<(), KernelError> {
        let kernel = self.kernel()?;
        self.machine = Machine {
            links: kernel.links().await?,
            addresses: kernel.addresses().await?,
            routes: kernel.routes().await?,
        };
        Ok(())
    }

    /// Looks at all of it, and puts right what differs.
    pub(super) async fn check(&mut self) {
        let refused = matches!(*self.says.status.borrow(), Status::Refused(_));
        self.check_at = Some(Instant::now() + if refused { REFUSED } else { LOOK });
        match self.renew().await {
            Ok(()) => {
                if self.complaint.take().is_some() {
                    tracing::info!("the node's network is as it shall be again");
                }
                if *self.says.status.borrow() == Status::Own {
                    self.rules.look_again();
                    self.follow_services().await;
                } else {
                    self.followed();
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn renew(&mut self) -> Result<(), KernelError> {
        if self.known.settings.is_none() {
            return Ok(());
        }
        self.look().await?;
        let Some(place) = self.ready().await? else { return Ok(()) };
        let missing = self.missing(&place);
        let kernel = self.kernel()?;
        host::hold(&kernel, place.own.in_range, place.settings.service_cidr).await?;
        self.names.serve(&kernel, place.settings.dns).await?;
        for message in missing {
            self.drifted(message);
        }
        let new = plan(&place.own, place.settings.mode, self.known.nodes(), &self.machine.own_addresses());
        let mtu = self.machine.uplink_mtu(place.own.address.map(IpAddr::V4));
        let drifts = self.ways.renew(&kernel, &place.own, &new, place.settings.cluster_cidr, mtu).await?;
        for message in drifts {
            self.drifted(message);
        }
        self.told_without(&new);
        self.plan = new;
        self.nodes_behind = false;
        self.firewall.look(place.settings.cluster_cidr);
        self.check_pods(&kernel).await?;
        self.pods_known();
        self.look_for_taken();
        Ok(())
    }

    /// What somebody took of what the node has of the cluster's network itself, in words.
    fn missing(&mut self, place: &Place) -> Vec<String> {
        let IpAddr::V4(dns) = place.settings.dns else { return Vec::new() };
        // Of another place nothing was there before.
        let before = self.held.replace(place.clone());
        if before.as_ref() != Some(place) {
            return Vec::new();
        }
        self.machine.lacks(place.own.in_range, place.settings.service_cidr, Some(dns))
    }
}
