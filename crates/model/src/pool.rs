//! Evenkeel's own kind `AddressPool`: addresses that Services of type LoadBalancer take.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::net::Cidr;

/// `AddressPool.spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressPoolSpec {
    /// Ranges, each as `192.0.2.240-192.0.2.250`, `192.0.2.0/28` or one address.
    pub addresses: Vec<String>,
    /// Whether Services get addresses of it that do not ask for it; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_assign: Option<bool>,
    /// Labels of the nodes that may announce its addresses; all nodes where it is empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
}

impl AddressPoolSpec {
    /// Its ranges; what is none was refused when it came in.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> {
        self.addresses.iter().filter_map(|text| text.parse().ok())
    }
}

/// `AddressPool.status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressPoolStatus {
    /// How many addresses it has.
    pub size: u64,
    /// How many of them Services have.
    pub used: u64,
}

/// IPv4 addresses from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressRange {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
}

impl AddressRange {
    /// How many there are.
    pub fn size(self) -> u64 {
        u64::from(u32::from(self.last) - u32::from(self.first)) + 1
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Whether it shares an address with a range in CIDR notation.
    pub fn overlaps(self, other: Cidr) -> bool {
        self.first <= other.last() && other.network() <= self.last
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for AddressRange {
    type Err = String;

    /// Of a CIDR that has more than two the first and the last address are left out: they are the network's
    /// own.
    fn from_str(text: &str) -> Result<Self, String> {
        let address = |text: &str| -> Result<Ipv4Addr, String> {
            let text = text.trim();
            text.parse().map_err(|_| format!("`{text}` is not an IPv4 address"))
        };
        let range = if text.contains('/') {
            let cidr: Cidr = text.trim().parse().map_err(|e: crate::net::CidrError| e.reason)?;
            let (first, last) = (cidr.network(), cidr.last());
            let inner = |n: Ipv4Addr, up: bool| Ipv4Addr::from(if up { u32::from(n) + 1 } else { u32::from(n) - 1 });
            if cidr.size() > 2 {
                Self { first: inner(first, true), last: inner(last, false) }
            } else {
                Self { first, last }
            }
        } else if let Some((first, last)) = text.split_once('-') {
            Self { first: address(first)?, last: address(last)? }
        } else {
            let one = address(text)?;
            Self { first: one, last: one }
        };
        if range.first > range.last {
            return Err(format!("{} lies behind {}", range.first, range.last));
        }
        let unusable =
            |a: Ipv4Addr| a.is_loopback() || a.is_unspecified() || a.octets()[0] >= 224 || a.octets()[0] == 0;
        if unusable(range.first) || unusable(range.last) || range.overlaps(Cidr::around(Ipv4Addr::LOCALHOST, 8)) {
            return Err("it holds addresses that no machine can have".into());
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn ranges_are_read_in_three_forms() {
        let shown = |text: &str| text.parse::<AddressRange>().map(|r| (r.to_string(), r.size()));
        assert_eq!(shown("192.0.2.240 - 192.0.2.250"), Ok(("192.0.2.240-192.0.2.250".into(), 11)));
        assert_eq!(shown("192.0.2.0/28"), Ok(("192.0.2.1-192.0.2.14".into(), 14)));
        assert_eq!(shown("192.0.2.7/32"), Ok(("192.0.2.7-192.0.2.7".into(), 1)));
        assert_eq!(shown("192.0.2.7"), Ok(("192.0.2.7-192.0.2.7".into(), 1)));
        for (text, why) in [
            ("192.0.2.9-192.0.2.1", "lies behind"),
            ("192.0.2.1/28", "lies within"),
            ("fd00::1", "not an IPv4"),
            ("127.0.0.1-127.0.0.9", "no machine"),
            ("126.0.0.1-128.0.0.1", "no machine"),
            ("224.0.0.1", "no machine"),
        ] {
            let said = text.parse::<AddressRange>().unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        let range: AddressRange = "10.42.0.9-10.43.0.1".parse().unwrap();
        assert!(range.overlaps("10.42.0.0/16".parse().unwrap()) && !range.overlaps("10.44.0.0/16".parse().unwrap()));
    }
}
