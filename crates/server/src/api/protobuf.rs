//! `DeleteOptions` as protobuf: what Go clients, `kubectl drain --disable-eviction` among them, send
//! with a DELETE.
//!
//! Called by `pods`. Deliberately not here: any other message; kubectl sends those only to make
//! objects, which come from sources.

use serde_json::{Map, Value, json};

/// Media type of such a body.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";
/// First bytes of Kubernetes' envelope.
const MAGIC: &[u8] = b"k8s\0";

/// One field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; `None` if it is none.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            _ => return None,
        };
        out.push((tag >> 3, value));
    }
    Some(out)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn text(bytes: &[u8]) -> Option<Value> {
    String::from_utf8(bytes.to_vec()).ok().map(Value::String)
}

/// The options as their JSON has them; `None` if the body is something else. Numbers are those of
/// the fields in `meta/v1/generated.proto`.
pub(crate) fn delete_options(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let part = |number: u64| {
        envelope.iter().find_map(|(n, f)| match f {
            Field::Bytes(b) if *n == number => Some(*b),
            _ => None,
        })
    };
    let kind = part(1).and_then(fields).unwrap_or_default();
    let is_options = |(n, f): &(u64, Field<'_>)| *n == 2 && matches!(f, Field::Bytes(b"DeleteOptions"));
    if !kind.iter().any(is_options) {
        return None;
    }
    let mut out = Map::new();
    for (number, field) in fields(part(2).unwrap_or_default())? {
        let (name, value) = match (number, field) {
            // In two's complement, as protobuf has int64.
            (1, Field::Number(n)) => ("gracePeriodSeconds", json!(n.cast_signed())),
            (2, Field::Bytes(b)) => ("preconditions", preconditions(b)?),
            (3, Field::Number(n)) => ("orphanDependents", (n != 0).into()),
            (4, Field::Bytes(b)) => ("propagationPolicy", text(b)?),
            (5, Field::Bytes(b)) => {
                let list = out.entry("dryRun").or_insert_with(|| json!([]));
                list.as_array_mut()?.push(text(b)?);
                continue;
            }
            // Written also where it is false, as every value that is no pointer.
            (6, Field::Number(0)) => continue,
            _ => return None,
        };
        out.insert(name.into(), value);
    }
    Some(Value::Object(out))
}

fn preconditions(bytes: &[u8]) -> Option<Value> {
    let mut out = Map::new();
    for field in fields(bytes)? {
        let (name, value) = match field {
            (1, Field::Bytes(b)) => ("uid", text(b)?),
            (2, Field::Bytes(b)) => ("resourceVersion", text(b)?),
            _ => return None,
        };
        out.insert(name.into(), value);
    }
    Some(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![(number << 3) | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(kind: &[u8], raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, kind)].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
    }

    #[test]
    fn options_are_read_as_their_json() {
        let raw = [
            vec![0x08, 0xac, 0x02],
            field(2, &[field(1, b"u-1"), field(2, b"7")].concat()),
            field(4, b"Foreground"),
            field(5, b"All"),
            vec![0x30, 0x00],
        ]
        .concat();
        assert_eq!(
            delete_options(&envelope(b"DeleteOptions", &raw)).unwrap(),
            json!({"gracePeriodSeconds": 300, "preconditions": {"uid": "u-1", "resourceVersion": "7"},
                "propagationPolicy": "Foreground", "dryRun": ["All"]})
        );
        assert_eq!(delete_options(&envelope(b"DeleteOptions", b"")).unwrap(), json!({}));
        let negative = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(delete_options(&envelope(b"DeleteOptions", &negative)).unwrap(), json!({"gracePeriodSeconds": -1}));
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            b"".to_vec(),
            b"{}".to_vec(),
            MAGIC.to_vec(),
            envelope(b"Pod", b""),
            envelope(b"DeleteOptions", &[0x08]),
            envelope(b"DeleteOptions", &[0x08, 0x80, 0x80]),
            envelope(b"DeleteOptions", &[0x22, 0x7f, b'x']),
            envelope(b"DeleteOptions", &field(9, b"new")),
            envelope(b"DeleteOptions", &[0x30, 0x01]),
        ] {
            assert_eq!(delete_options(&body), None, "{body:?}");
        }
    }
}
