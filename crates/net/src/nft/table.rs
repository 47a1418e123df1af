//! The table around the elements: maps, chains and rules, none of which grows with the Services.
//! Pure.
//!
//! A front's element in `services` goes to a chain that picks one of as many as stand behind it; its
//! elements in `backends` say who has which number. Marks of packets are not used: `numgen` is a part
//! of the key. Clients that come back (`sessionAffinity`) are remembered in `seen`, by a name that
//! lasts as long as the one who answered is there; the packet's priority holds it meanwhile, which
//! the kernel sets anew when it forwards.

use std::fmt::Write as _;

use evenkeel_model::net::{Cidr, NetworkSettings};

use super::{
    element::{NEAR, Picker},
    policy,
};

/// Most clients that are remembered for affinity; a new one beyond is sent anywhere. About 200 bytes
/// of the kernel's memory each.
const MOST_SEEN: u32 = 1 << 18;

/// A front in a packet: the address, or the zeros that stand for all of the node's own.
const ADDRESS: &str = "ip daddr . meta l4proto . th dport";
const NODE: &str = "ip daddr & 0.0.0.0 . meta l4proto . th dport";

/// Packets to an address that the node itself has: not 127.0.0.0/8, from where no packet leaves, and not
/// the DNS server's, which is every node's.
fn to_node(settings: &NetworkSettings) -> String {
    format!("fib daddr type local ip daddr != {{ 127.0.0.0/8, {} }}", settings.dns)
}

/// Where the chains of a table stand among others on the same hook: at nftables' usual place, or so
/// many steps behind it. While a table takes the place of another, a packet may pass the one that is
/// not filled yet and then the one that is emptied by now; not so when the new one stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place(u16);

impl Place {
    /// A step behind an old one. After so many the first is taken again: one load in 64 may then cost
    /// a connection that begins in that very moment.
    pub(super) fn behind(self) -> Self {
        Self((self.0 + 1) % 64)
    }

    /// By the priority of the chain `prerouting`.
    pub(super) fn of_prerouting(priority: i64) -> Option<Self> {
        u16::try_from(priority + 100).ok().filter(|n| *n < 64).map(Self)
    }
}

/// The beginning of a load: takes away what was there, and makes everything but elements and pickers.
pub(super) fn skeleton(table: &str, settings: &NetworkSettings, own: Option<Cidr>, place: Place) -> String {
    let mut out = String::with_capacity(4096);
    let to_node = to_node(settings);
    // Deleting what is not there is an error: make it first.
    let _ = write!(
        out,
        "add table ip {table}
delete table ip {table}
table ip {table} {{
  map services {{ typeof {ADDRESS} : verdict; }}
  map services_near {{ typeof {ADDRESS} : verdict; }}
  map nobody {{ typeof {ADDRESS} : verdict; }}
  map backends {{ typeof {ADDRESS} . numgen random mod 65536 : ip daddr . th dport; }}
  map names {{ typeof {ADDRESS} . numgen random mod 65536 : meta priority; }}
  map named {{ typeof {ADDRESS} . meta priority : ip daddr . th dport; }}
  map seen {{ typeof {ADDRESS} . ip saddr : meta priority; flags dynamic,timeout; size {MOST_SEEN}; }}
  set guarded {{ typeof {ADDRESS}; }}
  set allowed {{ typeof {ADDRESS} . ip saddr; flags interval; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  set outside {{ typeof {ADDRESS}; }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp type port-unreachable
  }}
  chain to_near {{
    {ADDRESS} vmap @services_near
    {to_node} {NODE} vmap @services_near
  }}
  chain to_all {{
    {ADDRESS} vmap @services
    {to_node} {NODE} vmap @services
  }}
"
    );
    out.push_str(policy::SKELETON);
    hooks(&mut out, settings, own, place);
    out
}

/// Where packets pass. The guard keeps everybody else away from the ports that lead from this machine's
/// own loopback to a pod: their links let such packets through (`link::pods`). Who may not connect to a
/// LoadBalancer is kept out before its packet is sent on.
fn hooks(out: &mut String, settings: &NetworkSettings, own: Option<Cidr>, place: Place) {
    let to_node = to_node(settings);
    let (before, after) = (i32::from(place.0) - 100, i32::from(place.0) + 100);
    let (cluster, service, dns) = (settings.cluster_cidr, settings.service_cidr, settings.dns);
    let _ = write!(
        out,
        "  chain guard {{
    type filter hook prerouting priority -300; policy accept;
    iif != \"lo\" ip daddr 127.0.0.0/8 drop
  }}
  chain keep_out {{
    {ADDRESS} @guarded {ADDRESS} . ip saddr != @allowed drop
    {to_node} {NODE} @guarded {NODE} . ip saddr != @allowed drop
  }}
  chain guard_balancers {{
    type filter hook prerouting priority -150; policy accept;
    ct state new jump keep_out
  }}
  chain guard_balancers_output {{
    type filter hook output priority -150; policy accept;
    ct state new jump keep_out
  }}
  chain prerouting {{
    type nat hook prerouting priority {before}; policy accept;
    ip saddr {cluster} jump to_near
    jump to_all
  }}
  chain output {{
    type nat hook output priority {before}; policy accept;
    jump to_near
    jump to_all
  }}
  chain nobody_there {{
    {ADDRESS} vmap @nobody
    {to_node} {NODE} vmap @nobody
    ip daddr {service} ip daddr != {dns} goto refuse
  }}
  chain filter_forward {{
    type filter hook forward priority -10; policy accept;
    ct state new jump nobody_there
  }}
  chain filter_input {{
    type filter hook input priority -10; policy accept;
    ct state new jump nobody_there
  }}
  chain filter_output {{
    type filter hook output priority -10; policy accept;
    ct state new jump nobody_there
  }}
  chain postrouting {{
    type nat hook postrouting priority {after}; policy accept;
    oif \"lo\" accept
    ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random
"
    );
    if let Some(own) = own {
        // A pod of this node answers by way of this node, whoever asked: the client's address stays.
        let _ = writeln!(out, "    ct status dnat ip saddr != 127.0.0.0/8 ip daddr {own} accept");
    }
    let _ = write!(
        out,
        "    ct status dnat ip saddr != {cluster} ip daddr {cluster} masquerade fully-random
    ct status dnat ip saddr != {cluster} {ADDRESS} @outside masquerade fully-random
"
    );
    if let Some(own) = own {
        let _ =
            writeln!(out, "    ip saddr {own} ip daddr != {cluster} ip daddr != 224.0.0.0/4 masquerade fully-random");
    }
    out.push_str("  }\n}\n");
}

/// Makes a picker's chain.
pub(super) fn picker(out: &mut String, table: &str, picker: Picker) {
    let chain = picker.chain();
    let front = if picker.kind.node { NODE } else { ADDRESS };
    let offset = if picker.kind.near { format!(" offset {NEAR}") } else { String::new() };
    let any = format!("{front} . numgen random mod {}{offset}", picker.of);
    // While a change is made, a packet may see the old count and the new numbers: number 0 is always
    // there.
    let first = format!("{front} . numgen random mod 1{offset}");
    let to = "meta l4proto { tcp, udp } dnat ip to";
    let _ = writeln!(out, "add chain ip {table} {chain}");
    let mut rule = |text: &str| {
        let _ = writeln!(out, "add rule ip {table} {chain} {text}");
    };
    let Some(seconds) = picker.kind.affinity else {
        rule(&format!("{to} {any} map @backends"));
        rule(&format!("{to} {first} map @backends"));
        return;
    };
    let known = format!("{front} . ip saddr");
    let named = format!("{to} {front} . meta priority map @named");
    let remember = format!("update @seen {{ {known} timeout {seconds}s : meta priority }}");
    rule("meta priority set none");
    rule(&format!("meta priority set {known} map @seen"));
    rule(&format!("meta priority != none {remember}"));
    rule(&format!("meta priority != none {named}"));
    // Remembered, and no longer there. An update alone would leave the old name.
    rule(&format!("meta priority != none delete @seen {{ {known} : meta priority }}"));
    for number in [any, first] {
        rule(&format!("meta priority set {number} map @names"));
        rule(&remember);
        rule(&named);
    }
}
