//! The cable between a pod and its node: no bridge, one veth a pod, and a route to it.
//!
//! Neither side asks for the other's hardware address: both are set, so nothing answers for, or takes,
//! an address that is not its own. In the pod there is one address of 32 bits and one gateway, the
//! same in every pod, that exists as an entry of neighbours alone.

use std::{fs, io, net::Ipv4Addr, path::PathBuf};

use evenkeel_model::net::Cidr;

use super::{
    kernel::{Cable, Kernel, KernelError, Neighbour, PROTOCOL, Route, refused},
    names::{GATEWAY_MAC, mac_of},
    netns::Network,
};

/// Every pod's gateway, of the addresses that no network gives.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The link in the pod.
pub const POD_LINK: &str = "eth0";
/// The loopback's index: the kernel makes it first in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// One pod's cable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    /// Its end at the node.
    pub(crate) link: String,
    /// For people.
    pub(crate) alias: String,
    /// The pod's address.
    pub(crate) address: Ipv4Addr,
    /// What the node speaks to it from.
    pub(crate) node: Ipv4Addr,
    pub(crate) mtu: u32,
    /// `net.*` kernel parameters of the pod, by name.
    pub(crate) parameters: Vec<(String, String)>,
    /// Whether ports of the node lead to the pod, also from the node's own 127.0.0.1.
    pub(crate) from_localhost: bool,
}

/// Plugs a pod in, in place of what was there under its name. Whatever fails, no half is left.
pub(crate) async fn plug(kernel: &Kernel, wire: &Wire, network: &Network) -> Result<(), KernelError> {
    // Of a sandbox before this one, whose namespace is still being taken apart.
    if let Some(old) = kernel.link(&wire.link).await? {
        kernel.delete_link(old.index).await?;
    }
    let cable = Cable {
        name: &wire.link,
        mac: GATEWAY_MAC,
        mtu: wire.mtu,
        peer_name: POD_LINK,
        peer_mac: mac_of(wire.address),
        peer_network: network.descriptor(),
    };
    kernel.add_cable(&cable).await?;
    let index = kernel.index(&wire.link).await?;
    let inner = wire.clone();
    let done = async {
        network.enter("set up the pod's link", async move |inside| pod_side(&inside, &inner).await).await?;
        node_side(kernel, wire, index).await
    };
    if let Err(error) = done.await {
        if let Err(also) = kernel.delete_link(index).await {
            tracing::warn!(link = wire.link, error = %also, "cannot take away a link that could not be set up");
        }
        return Err(error);
    }
    Ok(())
}

async fn pod_side(inside: &Kernel, wire: &Wire) -> Result<(), KernelError> {
    // Containers may bind low ports and ping without being root, as with Docker's own networks.
    parameter("net.ipv4.ip_unprivileged_port_start", "0")?;
    parameter("net.ipv4.ping_group_range", "0 2147483647")?;
    // A packet that comes back by the same cable (a pod that reaches itself by a Service's address)
    // would make the node advise another way.
    parameter("net.ipv4.conf.all.accept_redirects", "0")?;
    parameter(&format!("net.ipv4.conf.{POD_LINK}.accept_redirects"), "0")?;
    parameter(&format!("net.ipv6.conf.{POD_LINK}.disable_ipv6"), "1")?;
    for (name, value) in &wire.parameters {
        parameter(name, value)?;
    }
    inside.set_up(LOOPBACK, None).await?;
    let link = inside.index(POD_LINK).await?;
    inside.add_address(link, wire.address, 32, false).await?;
    inside.set_up(link, None).await?;
    inside.set_neighbour(&Neighbour { link, to: GATEWAY, mac: GATEWAY_MAC.to_vec() }).await?;
    let to = Cidr::around(GATEWAY, 32);
    inside.set_route(&Route { to, link, via: None, onlink: false, source: None, protocol: PROTOCOL }).await?;
    let (to, via) = (Cidr::around(Ipv4Addr::UNSPECIFIED, 0), Some(GATEWAY));
    inside.set_route(&Route { to, link, via, onlink: false, source: None, protocol: PROTOCOL }).await
}

/// The node's end as it shall be; safe to repeat.
pub(crate) async fn node_side(kernel: &Kernel, wire: &Wire, link: u32) -> Result<(), KernelError> {
    parameter(&format!("net.ipv6.conf.{}.disable_ipv6", wire.link), "1")?;
    parameter(&format!("net.ipv4.conf.{}.send_redirects", wire.link), "0")?;
    if wire.from_localhost {
        // Packets from 127.0.0.1, whose source is translated on the way, and the answers to them.
        parameter(&format!("net.ipv4.conf.{}.route_localnet", wire.link), "1")?;
    }
    kernel.set_up(link, Some(&wire.alias)).await?;
    kernel.set_neighbour(&Neighbour { link, to: wire.address, mac: mac_of(wire.address).to_vec() }).await?;
    kernel.set_route(&route(wire, link)).await
}

/// The node's route to a pod.
pub(crate) fn route(wire: &Wire, link: u32) -> Route {
    let (to, source) = (Cidr::around(wire.address, 32), Some(wire.node));
    Route { to, link, via: None, onlink: false, source, protocol: PROTOCOL }
}

/// Sets a kernel parameter of the calling thread's network. One that this kernel does not have (no
/// IPv6) needs no setting, unless it is the pod's own wish: then the name is wrong.
fn parameter(name: &str, value: &str) -> Result<(), KernelError> {
    match set_parameter(name, value) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && name.starts_with("net.ipv6.conf.") => Ok(()),
        other => other.map_err(|e| refused(format!("set the kernel parameter {name}"), e)),
    }
}

/// Writes a parameter where it says something else.
pub(crate) fn set_parameter(name: &str, value: &str) -> io::Result<()> {
    let path = parameter_path(name);
    // Some are not writable where they are as they should be.
    if fs::read_to_string(&path)?.split_whitespace().eq(value.split_whitespace()) {
        return Ok(());
    }
    fs::write(path, value)
}

fn parameter_path(name: &str) -> PathBuf {
    // A link's name may hold dots, but none of ours does.
    PathBuf::from("/proc/sys").join(name.replace('.', "/"))
}
