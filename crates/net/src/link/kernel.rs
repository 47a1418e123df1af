//! What the rest of `link` says to the kernel, over one netlink socket: links, addresses, routes and
//! neighbours in plain types. IPv4 alone. Deliberately not here: what shall be there.
//!
//! A socket belongs to the network namespace of the thread that opens it, for good.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use evenkeel_model::net::Cidr;
use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVxlan, RouteMessageBuilder,
    packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressScope},
        link::{InfoData, InfoKind, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
};
use thiserror::Error;

/// Marks routes as ours for whoever reads them, and for us: no other program uses it
/// (`/etc/iproute2/rt_protos` and the kernel's list end at 192 with gaps).
pub(crate) const PROTOCOL: u8 = 69;

/// The main routing table.
const MAIN: u8 = 254;

/// The kernel refused something, or could not be asked.
#[derive(Debug, Error)]
#[error("cannot {what}: {source}")]
pub struct KernelError {
    /// What was tried.
    pub what: String,
    /// What it said.
    #[source]
    pub source: io::Error,
}

pub(crate) fn refused(what: impl Into<String>, source: io::Error) -> KernelError {
    KernelError { what: what.into(), source }
}

/// Errors of the library as those of the kernel.
fn failed(what: &str) -> impl FnOnce(rtnetlink::Error) -> KernelError + '_ {
    move |error| {
        let source = match &error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            other => io::Error::other(other.to_string()),
        };
        refused(what, source)
    }
}

/// Whether what was to be taken away is gone already.
fn is_gone(error: &io::Error) -> bool {
    // No such file, process, device or address.
    matches!(error.raw_os_error(), Some(2 | 3 | 19 | 99))
}

fn gone_is_fine(result: Result<(), KernelError>) -> Result<(), KernelError> {
    match result {
        Err(error) if is_gone(&error.source) => Ok(()),
        other => other,
    }
}

/// A link as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) loopback: bool,
    pub(crate) mac: Vec<u8>,
    /// Of a VXLAN device: its number, its own address, its port.
    pub(crate) tunnel: Option<Tunnel>,
}

/// What a VXLAN device is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) number: u32,
    pub(crate) local: Ipv4Addr,
    pub(crate) port: u16,
}

/// An address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) link: u32,
    pub(crate) ip: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// A route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) to: Cidr,
    pub(crate) link: u32,
    pub(crate) via: Option<Ipv4Addr>,
    /// The gateway counts as reachable through the link, whatever its addresses say.
    pub(crate) onlink: bool,
    /// Source of packets that this machine sends itself.
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) protocol: u8,
}

/// A permanent entry of neighbours: `to` is a gateway or a pod, or, of a bridge's kind, the other
/// end of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Neighbour {
    pub(crate) link: u32,
    pub(crate) to: Ipv4Addr,
    pub(crate) mac: Vec<u8>,
}

/// A virtual cable: one end here, the other in another namespace.
#[derive(Debug, Clone)]
pub(crate) struct Cable<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u32,
    pub(crate) peer_name: &'a str,
    pub(crate) peer_mac: [u8; 6],
    /// The other namespace.
    pub(crate) peer_network: std::os::fd::RawFd,
}

/// A netlink socket. Its end is that of its last clone.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    handle: Handle,
}

impl Kernel {
    /// Opens one in the calling thread's network namespace, served by the calling runtime.
    pub(crate) fn open() -> Result<Self, KernelError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| refused("open a netlink socket", e))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(crate) async fn links(&self) -> Result<Vec<Link>, KernelError> {
        let all: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(failed("list links"))?;
        Ok(all.into_iter().map(link).collect())
    }

    /// The link of a name; `None` where there is none.
    pub(crate) async fn link(&self, name: &str) -> Result<Option<Link>, KernelError> {
        let what = format!("look for the link {name}");
        let found = self.handle.link().get().match_name(name.to_owned()).execute().try_next().await;
        match found.map_err(failed(&what)) {
            Ok(found) => Ok(found.map(link)),
            Err(error) if is_gone(&error.source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The link of a name that must be there.
    pub(crate) async fn index(&self, name: &str) -> Result<u32, KernelError> {
        let gone = || refused(format!("find the link {name}"), io::ErrorKind::NotFound.into());
        Ok(self.link(name).await?.ok_or_else(gone)?.index)
    }

    pub(crate) async fn add_cable(&self, cable: &Cable<'_>) -> Result<(), KernelError> {
        let peer = LinkUnspec::new_with_name(cable.peer_name)
            .address(cable.peer_mac.to_vec())
            .mtu(cable.mtu)
            .setns_by_fd(cable.peer_network)
            .build();
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .name(cable.name)
            .address(cable.mac.to_vec())
            .mtu(cable.mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let what = format!("make the link {}", cable.name);
        self.handle.link().add(message).execute().await.map_err(failed(&what))
    }

    /// A VXLAN device that learns nothing: all it knows it is told.
    pub(crate) async fn add_tunnel(
        &self,
        name: &str,
        tunnel: Tunnel,
        mac: [u8; 6],
        mtu: u32,
    ) -> Result<(), KernelError> {
        let message = LinkVxlan::new(name, tunnel.number)
            .local(tunnel.local)
            .port(tunnel.port)
            .learning(false)
            .address(mac.to_vec())
            .mtu(mtu)
            .build();
        let what = format!("make the VXLAN device {name}");
        self.handle.link().add(message).execute().await.map_err(failed(&what))
    }

    /// Sets a link up, with a word for people who look at it.
    pub(crate) async fn set_up(&self, index: u32, alias: Option<&str>) -> Result<(), KernelError> {
        let mut message = LinkUnspec::new_with_index(index).up();
        if let Some(alias) = alias {
            message = message.append_extra_attribute(LinkAttribute::IfAlias(alias.into()));
        }
        self.handle.link().set(message.build()).execute().await.map_err(failed("set a link up"))
    }

    pub(crate) async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).build();
        self.handle.link().set(message).execute().await.map_err(failed("set a link's MTU"))
    }

    /// Takes a link away; gone is fine.
    pub(crate) async fn delete_link(&self, index: u32) -> Result<(), KernelError> {
        gone_is_fine(self.handle.link().del(index).execute().await.map_err(failed("take a link away")))
    }

    pub(crate) async fn addresses(&self) -> Result<Vec<Address>, KernelError> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        let all: Vec<_> = request.execute().try_collect().await.map_err(failed("list addresses"))?;
        let address = |m: rtnetlink::packet_route::address::AddressMessage| {
            let of = |local: bool| {
                m.attributes.iter().find_map(|a| match a {
                    AddressAttribute::Local(IpAddr::V4(ip)) if local => Some(*ip),
                    AddressAttribute::Address(IpAddr::V4(ip)) if !local => Some(*ip),
                    _ => None,
                })
            };
            let ip = of(true).or_else(|| of(false))?;
            Some(Address { link: m.header.index, ip, prefix: m.header.prefix_len })
        };
        Ok(all.into_iter().filter_map(address).collect())
    }

    /// Gives a link an address; one that it has already is fine. One for `host` alone is never
    /// chosen as the source of packets to others.
    pub(crate) async fn add_address(
        &self,
        link: u32,
        address: Ipv4Addr,
        prefix: u8,
        host: bool,
    ) -> Result<(), KernelError> {
        let what = format!("give a link the address {address}/{prefix}");
        let mut request = self.handle.address().add(link, address.into(), prefix);
        if host {
            request.message_mut().header.scope = AddressScope::Host;
        }
        match request.execute().await.map_err(failed(&what)) {
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Takes an address from a link; gone is fine.
    pub(crate) async fn delete_address(&self, link: u32, address: Ipv4Addr, prefix: u8) -> Result<(), KernelError> {
        let mut request = self.handle.address().add(link, address.into(), prefix);
        let message = request.message_mut().clone();
        let what = format!("take the address {address}/{prefix} from a link");
        gone_is_fine(self.handle.address().del(message).execute().await.map_err(failed(&what)))
    }

    /// Unicast routes of the main table.
    pub(crate) async fn routes(&self) -> Result<Vec<Route>, KernelError> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let all: Vec<RouteMessage> =
            self.handle.route().get(message).execute().try_collect().await.map_err(failed("list routes"))?;
        Ok(all.iter().filter_map(route).collect())
    }

    /// Makes a route, in place of another one to the same range.
    pub(crate) async fn set_route(&self, route: &Route) -> Result<(), KernelError> {
        let what = format!("make a route to {}", route.to);
        self.handle.route().add(message(route)).replace().execute().await.map_err(failed(&what))
    }

    /// Takes a route away; gone is fine.
    pub(crate) async fn delete_route(&self, route: &Route) -> Result<(), KernelError> {
        let what = format!("take the route to {} away", route.to);
        gone_is_fine(self.handle.route().del(message(route)).execute().await.map_err(failed(&what)))
    }

    /// Permanent entries for addresses of a link.
    pub(crate) async fn neighbours(&self, link: u32) -> Result<Vec<Neighbour>, KernelError> {
        self.entries(link, AddressFamily::Inet).await
    }

    /// A tunnel's ends: which machine has a hardware address.
    pub(crate) async fn tunnel_ends(&self, link: u32) -> Result<Vec<Neighbour>, KernelError> {
        self.entries(link, AddressFamily::Bridge).await
    }

    async fn entries(&self, link: u32, family: AddressFamily) -> Result<Vec<Neighbour>, KernelError> {
        let mut request = self.handle.neighbours().get();
        request.message_mut().header.family = family;
        let mut all = request.execute();
        let mut out = Vec::new();
        while let Some(m) = all.try_next().await.map_err(failed("list neighbours"))? {
            // Some programs set other bits beside.
            let permanent = u16::from(m.header.state) & u16::from(NeighbourState::Permanent) != 0;
            let find = |m: &NeighbourMessage| {
                let mut entry = (None, None);
                for attribute in &m.attributes {
                    match attribute {
                        NeighbourAttribute::Destination(to) => entry.0 = neighbour_address(to),
                        NeighbourAttribute::LinkLayerAddress(mac) => entry.1 = Some(mac.clone()),
                        _ => {}
                    }
                }
                Some((entry.0?, entry.1?))
            };
            if let (true, true, Some((to, mac))) = (permanent, m.header.ifindex == link, find(&m)) {
                out.push(Neighbour { link, to, mac });
            }
        }
        out.sort();
        Ok(out)
    }

    pub(crate) async fn set_neighbour(&self, n: &Neighbour) -> Result<(), KernelError> {
        let what = format!("make an entry for the neighbour {}", n.to);
        let request = self.handle.neighbours().add(n.link, n.to.into()).link_layer_address(&n.mac);
        request.replace().execute().await.map_err(failed(&what))
    }

    pub(crate) async fn set_tunnel_end(&self, n: &Neighbour) -> Result<(), KernelError> {
        let what = format!("make an entry for the tunnel to {}", n.to);
        let request = self.handle.neighbours().add_bridge(n.link, &n.mac).destination(n.to.into());
        request.flags(NeighbourFlags::Own).replace().execute().await.map_err(failed(&what))
    }

    pub(crate) async fn delete_neighbour(&self, n: &Neighbour) -> Result<(), KernelError> {
        self.delete_entry(n, AddressFamily::Inet).await
    }

    pub(crate) async fn delete_tunnel_end(&self, n: &Neighbour) -> Result<(), KernelError> {
        self.delete_entry(n, AddressFamily::Bridge).await
    }

    async fn delete_entry(&self, n: &Neighbour, family: AddressFamily) -> Result<(), KernelError> {
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        message.header.ifindex = n.link;
        if family == AddressFamily::Bridge {
            message.header.flags = NeighbourFlags::Own;
        }
        message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(n.to)));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(n.mac.clone()));
        let what = format!("take the entry for {} away", n.to);
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::DelNeighbour(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let mut handle = self.handle.clone();
        let mut answers = handle.request(request).map_err(failed(&what))?;
        while let Some(answer) = answers.next().await {
            if let NetlinkPayload::Error(error) = answer.payload
                && error.code.is_some()
            {
                return gone_is_fine(Err(refused(&what, error.to_io())));
            }
        }
        Ok(())
    }
}

/// Of a bridge's kind the library does not know what its address is.
fn neighbour_address(of: &NeighbourAddress) -> Option<Ipv4Addr> {
    match of {
        NeighbourAddress::Inet(ip) => Some(*ip),
        NeighbourAddress::Other(bytes) => <[u8; 4]>::try_from(bytes.as_slice()).ok().map(Ipv4Addr::from),
        _ => None,
    }
}

fn link(message: LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let loopback = message.header.flags.contains(LinkFlags::Loopback);
    let index = message.header.index;
    let mut out = Link { index, name: String::new(), up, mtu: 0, loopback, mac: Vec::new(), tunnel: None };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => out.name = name,
            LinkAttribute::Mtu(mtu) => out.mtu = mtu,
            LinkAttribute::Address(mac) => out.mac = mac,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(InfoData::Vxlan(parts)) = info {
                        out.tunnel = tunnel(&parts);
                    }
                }
            }
            _ => {}
        }
    }
    out
}

fn tunnel(parts: &[InfoVxlan]) -> Option<Tunnel> {
    let number = parts.iter().find_map(|p| if let InfoVxlan::Id(id) = p { Some(*id) } else { None })?;
    let local = parts.iter().find_map(|p| if let InfoVxlan::Local(ip) = p { Some(*ip) } else { None })?;
    let port = parts.iter().find_map(|p| if let InfoVxlan::Port(port) = p { Some(*port) } else { None })?;
    Some(Tunnel { number, local, port })
}

fn route(message: &RouteMessage) -> Option<Route> {
    let table = message.attributes.iter().find_map(|a| if let RouteAttribute::Table(t) = a { Some(*t) } else { None });
    let header = &message.header;
    let main = table.unwrap_or(u32::from(header.table)) == u32::from(MAIN);
    if !main || header.address_family != AddressFamily::Inet || header.kind != RouteType::Unicast {
        return None;
    }
    let mut out = Route {
        to: Cidr::around(Ipv4Addr::UNSPECIFIED, 0),
        link: 0,
        via: None,
        onlink: header.flags.contains(rtnetlink::packet_route::route::RouteFlags::Onlink),
        source: None,
        protocol: header.protocol.into(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => {
                out.to = Cidr::around(*ip, header.destination_prefix_length);
            }
            RouteAttribute::Oif(link) => out.link = *link,
            RouteAttribute::Gateway(RouteAddress::Inet(ip)) => out.via = Some(*ip),
            RouteAttribute::PrefSource(RouteAddress::Inet(ip)) => out.source = Some(*ip),
            _ => {}
        }
    }
    Some(out)
}

fn message(route: &Route) -> RouteMessage {
    let mut builder = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(route.to.network(), route.to.prefix())
        .output_interface(route.link)
        .protocol(RouteProtocol::from(route.protocol));
    builder = match route.via {
        Some(via) => builder.gateway(via),
        None => builder.scope(RouteScope::Link),
    };
    if route.onlink {
        builder = builder.onlink();
    }
    if let Some(source) = route.source {
        builder = builder.pref_source(source);
    }
    builder.build()
}
