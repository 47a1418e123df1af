//! Which addresses a lab has: a range that nothing on this machine uses yet.

use std::{
    fs::File,
    net::Ipv4Addr,
    process::{Command, id},
};

use serde_json::Value;

use crate::command::run;

/// The second bytes of the ranges that labs take: `10.200.0.0/24` to `10.219.255.0/24`. Far from
/// what routers, Docker and Kubernetes take by themselves.
const SECOND: std::ops::Range<u32> = 200..220;
const RANGES: u32 = (SECOND.end - SECOND.start) * 256;

/// 256 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range(u32);

impl Range {
    /// Takes a free one: `occupy` makes it visible among the machine's routes before anybody else
    /// looks.
    pub(crate) fn take(occupy: impl FnOnce(Self)) -> Self {
        let path = std::env::temp_dir().join("evenkeel-lab.lock");
        let lock = File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        lock.lock().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let routes = run(Command::new("ip").args(["-j", "-4", "route", "show", "table", "all"]));
        let routes: Value = serde_json::from_str(&routes).unwrap_or_else(|e| panic!("ip -j: {e}: {routes}"));
        let taken = taken(&routes);
        let range = free(id().wrapping_mul(7919), &taken)
            .unwrap_or_else(|| panic!("no range of 10.200.0.0 to 10.219.255.255 is free on this machine"));
        occupy(range);
        range
    }

    /// The host's own address.
    pub(crate) fn host(self) -> Ipv4Addr {
        self.at(1)
    }

    /// The address of machine `number`.
    pub(crate) fn machine(self, number: usize) -> Ipv4Addr {
        self.at(10 + u32::try_from(number).unwrap_or_else(|e| panic!("{number}: {e}")))
    }

    fn at(self, last: u32) -> Ipv4Addr {
        assert!(last < 255, "a lab has room for 244 machines");
        Ipv4Addr::from(self.0 + last)
    }
}

/// Ranges that routes of this machine mention, as first address and length of the prefix. A default
/// route, also one in two halves, takes nothing.
fn taken(routes: &Value) -> Vec<(u32, u32)> {
    let words = routes.as_array().into_iter().flatten().filter_map(|r| r["dst"].as_str());
    words
        .filter_map(|word| {
            let (address, length) = word.split_once('/').unwrap_or((word, "32"));
            Some((address.parse::<Ipv4Addr>().ok()?.to_bits(), length.parse().ok()?))
        })
        .filter(|(_, length)| *length >= 8)
        .collect()
}

/// The first free range from a place that differs between processes.
fn free(from: u32, taken: &[(u32, u32)]) -> Option<Range> {
    (0..RANGES).map(|n| Range((10 << 24 | SECOND.start << 16) + (from.wrapping_add(n) % RANGES) * 256)).find(|range| {
        !taken.iter().any(|(address, length)| {
            let mask = u32::MAX.checked_shl(32 - (*length).min(24)).unwrap_or(0);
            range.0 & mask == address & mask
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn first(taken: &[&str]) -> Option<String> {
        let routes: Vec<_> = taken.iter().map(|dst| json!({"dst": dst, "dev": "eth0"})).collect();
        free(0, &super::taken(&Value::from(routes))).map(|range| range.host().to_string())
    }

    #[test]
    fn a_range_is_free_unless_a_route_touches_it() {
        let cases: &[(&[&str], Option<&str>)] = &[
            (&[], Some("10.200.0.1")),
            (&["default", "0.0.0.0/1", "192.168.0.0/16", "172.17.0.0/16"], Some("10.200.0.1")),
            (&["10.200.0.0/24", "10.200.1.7"], Some("10.200.2.1")),
            (&["10.200.0.128/25"], Some("10.200.1.1")),
            (&["10.200.0.0/16"], Some("10.201.0.1")),
            (&["10.0.0.0/8"], None),
        ];
        for (taken, expected) in cases {
            assert_eq!(first(taken).as_deref(), *expected, "{taken:?}");
        }
    }

    #[test]
    fn the_search_goes_round() {
        let all_but_first = (201..220).map(|n| (10 << 24 | n << 16, 16)).collect::<Vec<_>>();
        assert_eq!(free(RANGES - 1, &all_but_first).map(Range::host), Some(Ipv4Addr::new(10, 200, 0, 1)));
    }
}
