//! Tells when someone changed what pods live by: a link set down or taken away, an address that came
//! or went, a route of ours that is gone. What changed is not told: whoever hears it looks at the
//! whole.

use std::io;

use futures_util::StreamExt as _;
use rtnetlink::{
    MulticastGroup,
    packet_core::NetlinkPayload,
    packet_route::{RouteNetlinkMessage, link::LinkAttribute, link::LinkFlags},
};
use tokio::sync::mpsc;

use crate::link::{kernel::PROTOCOL, names::Owner};

/// Follows the kernel's events until nobody listens. `changed` holds one word at most.
pub(super) async fn follow(owner: Owner, changed: mpsc::Sender<()>) -> io::Result<()> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv4Route];
    let (connection, _handle, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
    tokio::spawn(connection);
    while let Some((message, _)) = messages.next().await {
        let concerns = match &message.payload {
            NetlinkPayload::InnerMessage(inner) => concerns(&owner, inner),
            // The kernel had more to say than its buffer holds.
            NetlinkPayload::Overrun(_) => true,
            _ => false,
        };
        // One that waits already says the same.
        if concerns && matches!(changed.try_send(()), Err(mpsc::error::TrySendError::Closed(()))) {
            return Ok(());
        }
    }
    Err(io::Error::other("the kernel's events ended"))
}

fn concerns(owner: &Owner, message: &RouteNetlinkMessage) -> bool {
    match message {
        RouteNetlinkMessage::NewLink(link) => {
            let name =
                link.attributes.iter().find_map(|a| if let LinkAttribute::IfName(n) = a { Some(n) } else { None });
            // A pod's link that comes up is our own doing.
            !name.is_some_and(|n| owner.owns(n)) || !link.header.flags.contains(LinkFlags::Up)
        }
        RouteNetlinkMessage::DelLink(_) | RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => {
            true
        }
        RouteNetlinkMessage::DelRoute(route) => u8::from(route.header.protocol) == PROTOCOL,
        _ => false,
    }
}
