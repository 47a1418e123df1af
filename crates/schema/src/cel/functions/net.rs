//! Addresses: of networks, ranges of them, and of the web.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cel::{
    eval::{Ran, Run, fault},
    value::{Range, Url, Val},
};

pub(super) fn call<'v>(_run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Option<Ran<'v>> {
    let first = given.first()?;
    if let Some(text) = first.as_text() {
        return of_text(name, text);
    }
    Some(match (first, &given[1..]) {
        (Val::Url(url), []) => Ok(Val::Text(part(name, url)?.into())),
        (Val::Ip(ip), []) => ip_part(name, *ip)?,
        (Val::Cidr(range), rest) => range_part(name, *range, rest)?,
        _ => return None,
    })
}

fn of_text<'v>(name: &str, text: &str) -> Option<Ran<'v>> {
    Some(match name {
        "isURL" => Ok(Val::Bool(url(text).is_some())),
        "url" => url(text).map_or_else(
            || fault(format!("URL parse error during conversion from string: parse {text:?}: invalid URI for request")),
            |u| Ok(Val::Url(Arc::new(u))),
        ),
        "isIP" => Ok(Val::Bool(address(text).is_some())),
        "ip" => address(text).map_or_else(
            || fault(format!("IP Address {text:?} parse error during conversion from string")),
            |ip| Ok(Val::Ip(ip)),
        ),
        "ip.isCanonical" => match address(text) {
            Some(ip) => Ok(Val::Bool(ip.to_string() == text)),
            None => fault(format!("IP Address {text:?} parse error during conversion from string")),
        },
        "isCIDR" => Ok(Val::Bool(range(text).is_some())),
        "cidr" => range(text).map_or_else(
            || fault(format!("network address parse error during conversion from string: {text:?}")),
            |r| Ok(Val::Cidr(r)),
        ),
        _ => return None,
    })
}

/// Without a zone, and no IPv4 within IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => None,
        ip => Some(ip),
    }
}

fn range(text: &str) -> Option<Range> {
    let (ip, bits) = text.split_once('/')?;
    let ip = address(ip)?;
    let plain = bits.bytes().all(|b| b.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
    let bits: u8 = bits.parse().ok().filter(|_| plain)?;
    (bits <= width(ip)).then_some(Range { ip, bits })
}

fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn ip_part<'v>(name: &str, ip: IpAddr) -> Option<Ran<'v>> {
    let out = match name {
        "family" => return Some(Ok(Val::Int(if ip.is_ipv4() { 4 } else { 6 }))),
        "isUnspecified" => ip.is_unspecified(),
        "isLoopback" => ip.is_loopback(),
        "isLinkLocalMulticast" => match ip {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        },
        "isLinkLocalUnicast" => link_local(ip),
        "isGlobalUnicast" => {
            let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local(ip) || broadcast)
        }
        _ => return None,
    };
    Some(Ok(Val::Bool(out)))
}

fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// The address without the bits that are the host's.
fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl Range {
    fn contains(self, ip: IpAddr, bits: u8) -> bool {
        width(ip) == width(self.ip) && bits >= self.bits && masked(ip, self.bits) == masked(self.ip, self.bits)
    }
}

fn range_part<'v>(name: &str, of: Range, rest: &[Val<'v>]) -> Option<Ran<'v>> {
    Some(match (name, rest) {
        ("ip", []) => Ok(Val::Ip(of.ip)),
        ("masked", []) => Ok(Val::Cidr(Range { ip: masked(of.ip, of.bits), ..of })),
        ("prefixLength", []) => Ok(Val::Int(of.bits.into())),
        ("containsIP", [Val::Ip(ip)]) => Ok(Val::Bool(of.contains(*ip, width(*ip)))),
        ("containsIP", [text]) => match address(text.as_text()?) {
            Some(ip) => Ok(Val::Bool(of.contains(ip, width(ip)))),
            None => fault("IP Address parse error during conversion from string"),
        },
        ("containsCIDR", [Val::Cidr(other)]) => Ok(Val::Bool(of.contains(other.ip, other.bits))),
        ("containsCIDR", [text]) => match range(text.as_text()?) {
            Some(other) => Ok(Val::Bool(of.contains(other.ip, other.bits))),
            None => fault("network address parse error during conversion from string"),
        },
        _ => return None,
    })
}

/// An absolute address, or a path from the root, as Go's `url.ParseRequestURI` takes them.
fn url(text: &str) -> Option<Url> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (scheme, rest) = if text.starts_with('/') {
        ("", text)
    } else {
        let (scheme, rest) = text.split_once(':')?;
        let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !good || !rest.starts_with('/') {
            return None;
        }
        (scheme, rest)
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match before.strip_prefix("//").filter(|_| !scheme.is_empty()) {
        Some(rest) => rest.find('/').map_or((rest, ""), |at| rest.split_at(at)),
        None => ("", before),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let port = host.rsplit_once(':').filter(|(_, p)| !p.contains(']')).map(|(_, port)| port);
    if port.is_some_and(|p| !p.bytes().all(|b| b.is_ascii_digit())) || bad_escape(path) {
        return None;
    }
    let owned = |text: &str| -> String { text.into() };
    Some(Url { scheme: scheme.to_ascii_lowercase(), host: owned(host), path: owned(path), query: owned(query) })
}

fn bad_escape(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| rest.len() < 2 || !rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn part(name: &str, url: &Url) -> Option<String> {
    let (host, port) = match url.host.rsplit_once(':').filter(|(_, p)| !p.contains(']')) {
        Some((host, port)) => (host, port),
        None => (url.host.as_str(), ""),
    };
    Some(match name {
        "getScheme" => url.scheme.clone(),
        "getHost" => url.host.clone(),
        "getHostname" => host.trim_start_matches('[').trim_end_matches(']').into(),
        "getPort" => port.into(),
        "getEscapedPath" => url.path.clone(),
        _ => return None,
    })
}
