//! From one type to another, and the parts of points in time.

use alloc::{format, string::ToString, sync::Arc};

use evenkeel_model::{Time, base64};

use super::time;
use crate::cel::{
    eval::{Ran, Run, fault},
    value::{MILLI, Val},
};

pub(super) fn call<'v>(_run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Option<Ran<'v>> {
    let [of] = given else { return None };
    match name {
        "bool" => match (of, of.as_text()) {
            (Val::Bool(_), _) => Some(Ok(of.clone())),
            (_, Some("true" | "TRUE" | "True" | "t" | "1")) => Some(Ok(Val::Bool(true))),
            (_, Some("false" | "FALSE" | "False" | "f" | "0")) => Some(Ok(Val::Bool(false))),
            _ => Some(fault("type conversion error from 'string' to 'bool'")),
        },
        "int" => int(of),
        "uint" => uint(of),
        "double" => double(of),
        "string" => string(of),
        "bytes" => match (of, of.as_text()) {
            (Val::Bytes(_), _) => Some(Ok(of.clone())),
            (_, Some(text)) => Some(Ok(Val::Bytes(Arc::from(text.as_bytes())))),
            _ => None,
        },
        "timestamp" => match (of, of.as_text()) {
            (Val::Timestamp(_), _) => Some(Ok(of.clone())),
            (_, Some(text)) => Some(
                Time::parse_rfc3339(text)
                    .map_or_else(|| wrong("string", "google.protobuf.Timestamp"), |t| Ok(Val::Timestamp(t))),
            ),
            _ => None,
        },
        "duration" => match (of, of.as_text()) {
            (Val::Duration(_), _) => Some(Ok(of.clone())),
            (_, Some(text)) => Some(
                time::parse_duration(text)
                    .map_or_else(|| wrong("string", "google.protobuf.Duration"), |d| Ok(Val::Duration(d))),
            ),
            _ => None,
        },
        _ => part(name, of),
    }
}

fn wrong<'v>(from: &str, to: &str) -> Ran<'v> {
    fault(format!("type conversion error from '{from}' to '{to}'"))
}

/// A part of a time or a span.
fn part<'v>(name: &str, of: &Val<'v>) -> Option<Ran<'v>> {
    match of {
        Val::Timestamp(at) => Some(Ok(Val::Int(time::part(name, *at)?))),
        Val::Duration(nanos) => {
            let milli = nanos / MILLI;
            Some(Ok(Val::Int(match name {
                "getHours" => milli / 3_600_000,
                "getMinutes" => milli / 60_000,
                "getSeconds" => milli / 1000,
                "getMilliseconds" => milli % 1000,
                _ => return None,
            })))
        }
        _ => None,
    }
}

fn int<'v>(of: &Val<'v>) -> Option<Ran<'v>> {
    let overflow = || fault("integer overflow");
    Some(match of {
        Val::Int(_) => Ok(of.clone()),
        Val::Uint(n) => i64::try_from(*n).map_or_else(|_| overflow(), |n| Ok(Val::Int(n))),
        #[allow(clippy::cast_possible_truncation)] // within the range it is what is wanted
        Val::Double(n) if (-9.2e18..9.2e18).contains(n) => Ok(Val::Int(*n as i64)),
        Val::Double(_) => overflow(),
        Val::Timestamp(t) => Ok(Val::Int(t.secs())),
        other => other.as_text()?.parse().map_or_else(|_| wrong("string", "int"), |n| Ok(Val::Int(n))),
    })
}

fn uint<'v>(of: &Val<'v>) -> Option<Ran<'v>> {
    let overflow = || fault("unsigned integer overflow");
    Some(match of {
        Val::Uint(_) => Ok(of.clone()),
        Val::Int(n) => u64::try_from(*n).map_or_else(|_| overflow(), |n| Ok(Val::Uint(n))),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as above
        Val::Double(n) if (0.0..1.8e19).contains(n) => Ok(Val::Uint(*n as u64)),
        Val::Double(_) => overflow(),
        other => other.as_text()?.parse().map_or_else(|_| wrong("string", "uint"), |n| Ok(Val::Uint(n))),
    })
}

#[allow(clippy::cast_precision_loss)] // that is what it is asked for
fn double<'v>(of: &Val<'v>) -> Option<Ran<'v>> {
    Some(match of {
        Val::Double(_) => Ok(of.clone()),
        Val::Int(n) => Ok(Val::Double(*n as f64)),
        Val::Uint(n) => Ok(Val::Double(*n as f64)),
        other => other.as_text()?.parse().map_or_else(|_| wrong("string", "double"), |n| Ok(Val::Double(n))),
    })
}

fn string<'v>(of: &Val<'v>) -> Option<Ran<'v>> {
    Some(match of {
        Val::Text(_) | Val::Str(_) => Ok(of.clone()),
        Val::Bool(b) => Ok(Val::text(if *b { "true" } else { "false" })),
        Val::Int(n) => Ok(Val::Text(n.to_string().into())),
        Val::Uint(n) => Ok(Val::Text(n.to_string().into())),
        Val::Double(n) => Ok(Val::Text(n.to_string().into())),
        Val::Timestamp(t) => Ok(Val::Text(t.rfc3339().into())),
        Val::Duration(d) => Ok(Val::Text(time::duration_text(*d).into())),
        Val::Ip(ip) => Ok(Val::Text(ip.to_string().into())),
        Val::Cidr(range) => Ok(Val::Text(format!("{}/{}", range.ip, range.bits).into())),
        Val::Bytes(bytes) => match core::str::from_utf8(bytes) {
            Ok(text) => Ok(Val::text(text)),
            Err(_) => fault(format!("invalid UTF-8 in bytes, cannot convert to string: {}", base64::encode(bytes))),
        },
        _ => return None,
    })
}
