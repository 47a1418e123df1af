//! Names, hardware addresses and numbers that follow from who has them, so that they are the same
//! after any restart, and two agents on one machine, of one cluster or of two, have different ones.

use std::net::Ipv4Addr;

use evenkeel_model::{Digest, Uid};

/// All links of ours begin so.
const PREFIX: &str = "ek";
/// Hexadecimal digits of who an agent is, in the names of its links.
const OWNER_DIGITS: usize = 5;
/// Hexadecimal digits of the pod; with the rest just what the kernel takes, 15 characters.
const POD_DIGITS: usize = 8;

/// Whose links these are: an agent of a cluster on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    digits: String,
    number: u32,
}

impl Owner {
    /// The agent of a node in a cluster.
    pub fn new(cluster: &str, node: &str) -> Self {
        let both = Digest::of_parts([cluster.as_bytes(), node.as_bytes()]);
        let bytes = Digest::of(cluster.as_bytes()).0;
        // The upper half of the 24 bits: other programs count from below.
        let number = u32::from_be_bytes([0, bytes[0] | 0x80, bytes[1], bytes[2]]);
        Self { digits: both.short(OWNER_DIGITS), number }
    }

    /// The node's end of a pod's link.
    pub fn pod_link(&self, pod: Uid) -> String {
        let digits = Digest::of(&pod.0.to_be_bytes()).short(POD_DIGITS);
        format!("{PREFIX}{}{digits}", self.digits)
    }

    /// The VXLAN device.
    pub fn tunnel(&self) -> String {
        format!("{PREFIX}{}vx", self.digits)
    }

    /// Whether a name is that of a link of ours.
    pub fn owns(&self, link: &str) -> bool {
        self.rest(link).is_some()
    }

    /// Whether a name is that of a pod's link of ours.
    pub fn owns_pod_link(&self, link: &str) -> bool {
        self.rest(link).is_some_and(|rest| rest.len() == POD_DIGITS)
    }

    fn rest<'a>(&self, link: &'a str) -> Option<&'a str> {
        link.strip_prefix(PREFIX)?.strip_prefix(self.digits.as_str())
    }

    /// The number of the cluster's VXLAN: the same on all of its nodes.
    pub fn tunnel_number(&self) -> u32 {
        self.number
    }
}

/// Whether a name may be that of a link of some agent, this one or another.
pub(crate) fn is_some_agents(link: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    link.strip_prefix(PREFIX).is_some_and(|rest| {
        let pod = rest.len() == OWNER_DIGITS + POD_DIGITS && hex(rest);
        pod || rest.strip_suffix("vx").is_some_and(|digits| digits.len() == OWNER_DIGITS && hex(digits))
    })
}

/// The hardware address of the link end that has an address: of a pod, or of a node's tunnel.
pub(crate) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    // Locally administered.
    [0x02, 0x45, a, b, c, d]
}

/// The hardware address of every node's end of a pod's link: each is alone with its pod.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x02, 0x45, 0xff, 0xff, 0xff, 0xff];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_tell_owners_apart() {
        let (one, two, other) = (Owner::new("c1", "n1"), Owner::new("c1", "n2"), Owner::new("c2", "n1"));
        for owner in [&one, &two, &other] {
            let name = owner.pod_link(Uid(7));
            assert_eq!(name.len(), 15);
            assert!(owner.owns(&name) && owner.owns_pod_link(&name) && is_some_agents(&name));
            assert!(owner.owns(&owner.tunnel()) && !owner.owns_pod_link(&owner.tunnel()));
            assert!(is_some_agents(&owner.tunnel()));
        }
        assert!(!one.owns(&two.pod_link(Uid(7))) && !one.owns(&other.tunnel()));
        assert_ne!(one.pod_link(Uid(7)), one.pod_link(Uid(8)));
        for foreign in ["eth0", "ekans", "docker0", "ek", "ekthernet0000vx"] {
            assert!(!one.owns(foreign) && !is_some_agents(foreign), "{foreign}");
        }
        assert_eq!(one.tunnel_number(), two.tunnel_number());
        assert_ne!(one.tunnel_number(), other.tunnel_number());
        assert!(one.tunnel_number() < 1 << 24);
    }
}
