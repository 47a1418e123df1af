//! Kubernetes' protobuf bodies as the JSON trees that they stand for: a walk over the field numbers
//! of the tables.
//!
//! Called by the API: clients made with client-go 0.32 or later, kubectl among them, send their typed
//! writes so. The envelope is that of apimachinery's `runtime.Unknown`, the encoding gogo's, which
//! writes fields that are no pointers also where they are zero: those that say nothing are left out.
//! Deliberately not here: answers, which are JSON, and strict decoding, for which the tree goes on.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::{Time, base64};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::types::{Field, Literal, Object, Type};

/// First bytes of the envelope.
const MAGIC: &[u8] = b"k8s\0";
/// Messages in each other. Kubernetes' own types nest some twenty deep.
const MAX_DEPTH: usize = 64;
/// Whole numbers that are no pointers in Go: zero is absence. All others that are optional are
/// pointers, whose zero somebody wrote (`runAsUser: 0`).
const PLAIN_NUMBERS: [&str; 5] = ["generation", "healthCheckNodePort", "hostPort", "minReadySeconds", "nodePort"];
/// Times that are a `MicroTime`: six digits of a second, which clients in Go insist on.
const MICRO_TIMES: [&str; 5] = ["acquireTime", "eventTime", "lastObservedTime", "pingTime", "renewTime"];
/// Text that is a pointer in Go and means something else when it is empty.
const TEXT_POINTERS: [&str; 2] = ["storageClassName", "volumeAttributesClassName"];

/// A body that is no message, or not the one that was expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the body is no protobuf message of Kubernetes: {0}")]
pub struct ProtobufError(String);

fn bad(what: impl Into<String>) -> ProtobufError {
    ProtobufError(what.into())
}

/// A field of a message as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire<'a> {
    /// A varint.
    Number(u64),
    /// Eight bytes.
    Fixed(u64),
    /// Text, bytes, a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order.
pub fn fields(mut bytes: &[u8]) -> Result<Vec<(u16, Wire<'_>)>, ProtobufError> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            1 => {
                let (value, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| bad("it ends within a number"))?;
                bytes = rest;
                Wire::Fixed(u64::from_le_bytes(*value))
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).unwrap_or(usize::MAX);
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(|| bad("it ends within a field"))?;
                bytes = rest;
                Wire::Bytes(value)
            }
            other => return Err(bad(format!("wire type {other} is not used by Kubernetes"))),
        };
        let number = u16::try_from(tag >> 3).map_err(|_| bad("a field's number is too large"))?;
        out.push((number, value));
    }
    Ok(out)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ProtobufError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(|| bad("it ends within a number"))?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(bad("a number is longer than 64 bits"))
}

/// What an envelope holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `apiVersion`; may be empty.
    pub api_version: &'a str,
    /// `kind`; may be empty.
    pub kind: &'a str,
    /// The message.
    pub raw: &'a [u8],
}

/// Opens the envelope of a body.
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let inner = body.strip_prefix(MAGIC).ok_or_else(|| bad("it does not begin with `k8s`"))?;
    let part = |all: &[(u16, Wire<'_>)], number: u16| -> Option<usize> { all.iter().position(|(n, _)| *n == number) };
    let outer = fields(inner)?;
    let bytes = |at: Option<usize>| match at.map(|i| outer[i].1) {
        Some(Wire::Bytes(b)) => Ok(b),
        None => Ok(&[][..]),
        Some(_) => Err(bad("its envelope is broken")),
    };
    if !bytes(part(&outer, 3))?.is_empty() {
        return Err(bad("encoded contents are not supported"));
    }
    let meta = fields(bytes(part(&outer, 1))?)?;
    let name = |number: u16| match part(&meta, number).map(|i| meta[i].1) {
        Some(Wire::Bytes(b)) => text(b),
        None => Ok(""),
        Some(_) => Err(bad("its type is broken")),
    };
    Ok(Envelope { api_version: name(1)?, kind: name(2)?, raw: bytes(part(&outer, 2))? })
}

fn text(bytes: &[u8]) -> Result<&str, ProtobufError> {
    core::str::from_utf8(bytes).map_err(|_| bad("text in it is no UTF-8"))
}

/// A message of a type as its JSON. Fields that the tables do not have are left out, as clients of a
/// newer version send them.
pub fn decode(ty: &Type, message: &[u8]) -> Result<Value, ProtobufError> {
    match ty {
        Type::Object(object) => {
            let mut out = Map::new();
            read(object, &[], message, &mut out, 0)?;
            Ok(Value::Object(out))
        }
        _ => Err(bad("only objects stand for themselves")),
    }
}

/// Reads a message, or what protobuf nests below it at `prefix` and JSON has in one level.
fn read(
    object: &'static Object,
    prefix: &[u16],
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(bad("it nests too deeply"));
    }
    for (number, wire) in fields(bytes)? {
        let here = object.fields.iter().filter(|f| f.numbers.starts_with(prefix) && f.numbers.len() > prefix.len());
        let mut here = here.filter(|f| f.numbers[prefix.len()] == number);
        let Some(field) = here.next() else { continue };
        if field.numbers.len() > prefix.len() + 1 {
            let Wire::Bytes(inner) = wire else { return Err(wrong(object, field)) };
            let mut deeper = prefix.to_vec();
            deeper.push(number);
            read(object, &deeper, inner, out, depth + 1)?;
            continue;
        }
        match &field.ty {
            Type::List(item) => {
                let list = out.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Err(wrong(object, field)) };
                match (item, wire) {
                    // Packed, as proto3 does it.
                    (Type::Int32 | Type::Int64 | Type::Bool, Wire::Bytes(mut packed)) => {
                        while !packed.is_empty() {
                            list.push(scalar(object, field, item, Wire::Number(varint(&mut packed)?), depth)?);
                        }
                    }
                    _ => list.push(scalar(object, field, item, wire, depth)?),
                }
            }
            Type::Map(item) => {
                let Wire::Bytes(entry) = wire else { return Err(wrong(object, field)) };
                let (key, value) = entry_of(object, field, item, entry, depth)?;
                let map = out.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(map) = map else { return Err(wrong(object, field)) };
                map.insert(key, value);
            }
            ty => {
                let value = scalar(object, field, ty, wire, depth)?;
                if !says_nothing(object, field, &value) {
                    out.insert(field.name.into(), value);
                }
            }
        }
    }
    Ok(())
}

fn wrong(object: &Object, field: &Field) -> ProtobufError {
    bad(format!("{}.{} has another type", object.short(), field.name))
}

/// An entry of a map: a message of key and value.
fn entry_of(
    object: &'static Object,
    field: &Field,
    item: &Type,
    entry: &[u8],
    depth: usize,
) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut value) = (String::new(), None);
    for part in fields(entry)? {
        match part {
            (1, Wire::Bytes(b)) => key = text(b)?.to_string(),
            (2, wire) => value = Some(scalar(object, field, item, wire, depth)?),
            _ => {}
        }
    }
    let empty = match item {
        Type::Object(_) | Type::Map(_) => Value::Object(Map::new()),
        Type::List(_) => Value::Array(Vec::new()),
        _ => "".into(),
    };
    Ok((key, value.unwrap_or(empty)))
}

fn scalar(
    object: &'static Object,
    field: &Field,
    ty: &Type,
    wire: Wire<'_>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    Ok(match (ty, wire) {
        (Type::Object(inner), Wire::Bytes(b)) => {
            let mut out = Map::new();
            read(inner, &[], b, &mut out, depth + 1)?;
            Value::Object(out)
        }
        // A list within a map stands in a message of its own (`ExtraValue`).
        (Type::List(item), Wire::Bytes(b)) => {
            let items = fields(b)?.into_iter().filter(|(n, _)| *n == 1);
            Value::Array(items.map(|(_, w)| scalar(object, field, item, w, depth + 1)).collect::<Result<_, _>>()?)
        }
        (Type::String, Wire::Bytes(b)) => text(b)?.into(),
        (Type::Bytes, Wire::Bytes(b)) => base64::encode(b).into(),
        (Type::Bool, Wire::Number(n)) => (n != 0).into(),
        (Type::Int32 | Type::Int64, Wire::Number(n)) => n.cast_signed().into(),
        (Type::Double, Wire::Fixed(bits)) => {
            serde_json::Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
        }
        (Type::Quantity, Wire::Bytes(b)) => first_text(b, 1)?.into(),
        (Type::Time, Wire::Bytes(b)) => time(b, MICRO_TIMES.contains(&field.name))?,
        (Type::IntOrString, Wire::Bytes(b)) => int_or_string(b)?,
        (Type::Any, Wire::Bytes(b)) => any(b)?,
        _ => return Err(wrong(object, field)),
    })
}

fn first_text(bytes: &[u8], number: u16) -> Result<String, ProtobufError> {
    for field in fields(bytes)? {
        if let (n, Wire::Bytes(b)) = field
            && n == number
        {
            return Ok(text(b)?.to_string());
        }
    }
    Ok(String::new())
}

fn number(bytes: &[u8], wanted: u16) -> Result<i64, ProtobufError> {
    let found = fields(bytes)?.into_iter().find_map(|f| match f {
        (n, Wire::Number(v)) if n == wanted => Some(v.cast_signed()),
        _ => None,
    });
    Ok(found.unwrap_or_default())
}

/// Seconds and nanoseconds; `null` for Go's zero time, which has neither.
fn time(bytes: &[u8], micro: bool) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let whole = Time::from_secs(number(bytes, 1)?).rfc3339();
    if !micro {
        return Ok(whole.into());
    }
    let micros = number(bytes, 2)?.rem_euclid(1_000_000_000) / 1000;
    Ok(format!("{}.{micros:06}Z", whole.trim_end_matches('Z')).into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    if number(bytes, 1)? == 1 { Ok(first_text(bytes, 3)?.into()) } else { Ok(number(bytes, 2)?.into()) }
}

/// A tree that is JSON within the message.
fn any(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let raw = first_text(bytes, 1)?;
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&raw).map_err(|_| bad("a part of it that should be JSON is none"))
}

/// Whether a value is what Go writes for a field that nobody set.
fn says_nothing(object: &Object, field: &Field, value: &Value) -> bool {
    let zero = |literal: Option<Literal>| literal.is_some_and(|l| l.is(value));
    match value {
        Value::Null => true,
        Value::String(s) => s.is_empty() && !TEXT_POINTERS.contains(&field.name),
        Value::Bool(false) => zero(field.absent) || zero(field.default),
        Value::Number(n) if n.as_i64() == Some(0) => {
            let probe = object.name == "core.v1.Probe" && field.name != "terminationGracePeriodSeconds";
            probe || zero(field.absent) || PLAIN_NUMBERS.contains(&field.name)
        }
        Value::Object(map) => map.is_empty() && field.name == "status",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;
    use crate::of_kind;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![(number << 3) | 2];
        let mut length = bytes.len();
        while length > 127 {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend_from_slice(bytes);
        out
    }

    fn int(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    #[test]
    fn an_envelope_is_opened() {
        let body = [MAGIC.to_vec(), field(1, &[field(1, b"v1"), field(2, b"Pod")].concat()), field(2, b"x")].concat();
        assert_eq!(envelope(&body).unwrap(), Envelope { api_version: "v1", kind: "Pod", raw: b"x" });
        for broken in [b"".to_vec(), b"{}".to_vec(), [MAGIC, &[0x0a, 9]].concat(), [MAGIC, &[0x0b]].concat()] {
            assert!(envelope(&broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_deployment_is_read_as_its_json() {
        let probe = [
            // Probe.handler.httpGet {path, port}
            field(1, &field(2, &[field(1, b"/x"), field(2, &[int(1, 0), int(2, 80)].concat())].concat())),
            int(2, 0),
            int(3, 0),
            int(4, 5),
        ]
        .concat();
        let limit = [field(1, b"cpu"), field(2, &field(1, b"500m"))].concat();
        let container = [
            field(1, b"web"),
            field(2, b"nginx:1"),
            field(6, &[int(2, 0), int(3, 80), field(4, b"TCP")].concat()),
            field(8, &field(1, &limit)),
            field(11, &probe),
            field(14, b""),
            vec![0x80, 0x01, 0],
        ]
        .concat();
        let context = [int(2, 0)].concat();
        let pod = [field(2, &container), field(14, &context), int(4, 0)].concat();
        let template = [field(1, &field(8, b"")), field(2, &pod)].concat();
        let selector = field(1, &[field(1, b"app"), field(2, b"web")].concat());
        let spec = [int(1, 0), field(2, &selector), field(3, &template), field(4, b""), int(5, 0), int(7, 0)].concat();
        let meta = [field(1, b"web"), field(3, b"shop"), int(7, 0), field(8, b"")].concat();
        let message = [field(1, &meta), field(2, &spec), field(3, &int(1, 0))].concat();
        let value = decode(of_kind(Kind::Deployment), &message).unwrap();
        assert_eq!(value["metadata"], json!({"name": "web", "namespace": "shop"}));
        let spec = &value["spec"];
        assert_eq!((&spec["replicas"], spec.get("minReadySeconds"), spec.get("paused")), (&json!(0), None, None));
        assert_eq!(spec["selector"], json!({"matchLabels": {"app": "web"}}));
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"], json!(0));
        assert_eq!(pod["securityContext"], json!({"runAsUser": 0}));
        assert_eq!(
            pod["containers"],
            json!([{"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m"}},
                "readinessProbe": {"httpGet": {"path": "/x", "port": 80}, "periodSeconds": 5}}])
        );
    }

    #[test]
    fn bytes_and_maps_are_read() {
        let entry = [field(1, b"key"), field(2, &[0, 159])].concat();
        let message = [field(1, &field(1, b"s")), field(2, &entry), field(3, b"Opaque")].concat();
        assert_eq!(
            decode(of_kind(Kind::Secret), &message).unwrap(),
            json!({"metadata": {"name": "s"}, "data": {"key": "AJ8="}, "type": "Opaque"})
        );
    }

    #[test]
    fn what_is_broken_is_refused_and_what_is_new_left_out() {
        let ty = of_kind(Kind::Pod);
        assert_eq!(decode(ty, &field(15, b"new")).unwrap(), json!({}));
        for broken in
            [vec![0x0a], vec![0x0a, 5, 1], vec![0x08, 0x80], field(1, &[0xff]), int(1, 1), field(1, &field(1, &[0xff]))]
        {
            assert!(decode(ty, &broken).is_err(), "{broken:?}");
        }
    }
}
