//! `DeleteOptions` as protobuf: what Go clients, `kubectl drain --disable-eviction` among them, send
//! with a DELETE.
//!
//! Called by `pods`. Deliberately not here: messages that are objects (`given`): the schema's tables
//! have those.

use evenkeel_schema::protobuf::{Wire, envelope, fields};
use serde_json::{Map, Value, json};

/// Media type of such a body.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";
fn text(bytes: &[u8]) -> Option<Value> {
    String::from_utf8(bytes.to_vec()).ok().map(Value::String)
}

/// The options as their JSON has them; `None` if the body is something else. Numbers are those of
/// the fields in `meta/v1/generated.proto`.
pub(crate) fn delete_options(body: &[u8]) -> Option<Value> {
    let envelope = envelope(body).ok().filter(|e| e.kind == "DeleteOptions")?;
    let mut out = Map::new();
    for (number, field) in fields(envelope.raw).ok()? {
        let (name, value) = match (number, field) {
            // In two's complement, as protobuf has int64.
            (1, Wire::Number(n)) => ("gracePeriodSeconds", json!(n.cast_signed())),
            (2, Wire::Bytes(b)) => ("preconditions", preconditions(b)?),
            (3, Wire::Number(n)) => ("orphanDependents", (n != 0).into()),
            (4, Wire::Bytes(b)) => ("propagationPolicy", text(b)?),
            (5, Wire::Bytes(b)) => {
                let list = out.entry("dryRun").or_insert_with(|| json!([]));
                list.as_array_mut()?.push(text(b)?);
                continue;
            }
            // Written also where it is false, as every value that is no pointer.
            (6, Wire::Number(0)) => continue,
            _ => return None,
        };
        out.insert(name.into(), value);
    }
    Some(Value::Object(out))
}

fn preconditions(bytes: &[u8]) -> Option<Value> {
    let mut out = Map::new();
    for field in fields(bytes).ok()? {
        let (name, value) = match field {
            (1, Wire::Bytes(b)) => ("uid", text(b)?),
            (2, Wire::Bytes(b)) => ("resourceVersion", text(b)?),
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
        [b"k8s\0".to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
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
            b"k8s\0".to_vec(),
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
