//! Takes the network of an agent that no longer runs off this machine. Called by `evenkeel down`,
//! after the pods' containers are gone.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    ADDRESSES, KNOWN,
    known::{Known, aside, changes, remove},
};
use crate::link::{
    KernelError, forward, host,
    ipam::node_address,
    kernel::{Kernel, PROTOCOL},
    names::{Owner, is_some_agents},
    pods::LOOPBACK,
};
use crate::nft::{Nft, NftError, Services};

/// Something of the network is left; calling again goes on.
#[derive(Debug, Error)]
pub enum DownError {
    /// The kernel refused.
    #[error("the pod network cannot be taken away: {0}; it needs root")]
    Kernel(#[from] KernelError),
    /// Rules of ours stay.
    #[error("packet rules cannot be taken away: {0}")]
    Rules(#[from] NftError),
    /// A file stays.
    #[error("cannot remove {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Links, routes, the VXLAN device and addresses of the agent whose folder this is, and what it knew.
pub async fn down(dir: &Path) -> Result<(), DownError> {
    let known = Known::read(&dir.join(KNOWN));
    if let Some(settings) = &known.settings {
        let owner = Owner::new(&known.owner.0, &known.owner.1);
        let kernel = Kernel::open()?;
        let links = kernel.links().await?;
        for link in links.iter().filter(|l| owner.owns(&l.name)) {
            kernel.delete_link(link.index).await?;
        }
        let anothers =
            |index| links.iter().any(|l| l.index == index && is_some_agents(&l.name) && !owner.owns(&l.name));
        for route in kernel.routes().await? {
            let inside = settings.cluster_cidr.contains(route.to.network().into());
            if route.protocol == PROTOCOL && inside && !anothers(route.link) {
                kernel.delete_route(&route).await?;
            }
        }
        let nft = Nft::new();
        for done in [Services::remove(&nft, &known.owner.0).await, forward::close(&nft, &known.owner.0).await] {
            match done {
                // None were made without it.
                Ok(()) | Err(NftError::Missing) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(address) = known.range(&known.owner.1).and_then(node_address) {
            host::let_go(&kernel, address, settings.service_cidr).await?;
        }
        if let IpAddr::V4(dns) = settings.dns {
            kernel.delete_address(LOOPBACK, dns, 32).await?;
        }
    }
    let known = dir.join(KNOWN);
    for path in [aside(&known), changes(&known), known, dir.join(ADDRESSES)] {
        remove(&path).map_err(|source| DownError::File { path, source })?;
    }
    Ok(())
}
