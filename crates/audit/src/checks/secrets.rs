//! No value of a Secret in anything that people read.
//!
//! The objects' own texts (events, drifts, releases, every status) are looked through as well as
//! those given. A finding names the Secret and its key, never the value.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use evenkeel_model::{Key, Kind};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Input,
    facts::World,
    finding::{Finding, Promise},
};

/// Shorter values are everywhere by chance (`true`, `web`, `8080`).
const SHORTEST: usize = 6;

/// A line of a value of many lines counts from this length on: shorter ones (`key: value`, `{`) are
/// the format's, not the secret's.
const SHORTEST_LINE: usize = 16;

/// What must not be found.
struct Needle<'a> {
    secret: &'a Key,
    key: String,
    text: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SecretBody {
    data: Option<BTreeMap<String, Option<String>>>,
    string_data: Option<BTreeMap<String, Option<String>>>,
}

pub(crate) fn check(input: &Input<'_>, world: &World<'_>, out: &mut Vec<Finding>) {
    let needles = needles(world, out);
    if needles.is_empty() {
        return;
    }
    for text in input.texts {
        look(&needles, text.origin, text.text, out);
    }
    for object in world.objects {
        let told = matches!(object.key.kind, Kind::Event | Kind::Drift | Kind::Release);
        let parts = [&object.body[..], &object.status[..]];
        for bytes in &parts[usize::from(!told)..] {
            if let Ok(text) = core::str::from_utf8(bytes) {
                look(&needles, &object.key.to_string(), text, out);
            }
        }
    }
}

fn look(needles: &[Needle<'_>], origin: &str, text: &str, out: &mut Vec<Finding>) {
    for needle in needles.iter().filter(|n| text.contains(&n.text)) {
        let message = format!("it holds the value of key `{}` of {}", needle.key, needle.secret);
        out.push(Finding::broken(Promise::Secret, origin, message));
    }
}

fn needles<'a>(world: &World<'a>, out: &mut Vec<Finding>) -> Vec<Needle<'a>> {
    let mut all = Vec::new();
    for object in world.of_kind(Kind::Secret) {
        let Ok(body) = object.view::<SecretBody>() else {
            out.push(Finding::broken(Promise::Durable, &object.key, "it cannot be read"));
            continue;
        };
        let mut add = |key: &str, text: &str, shortest: usize| {
            // As it is, and as it stands inside JSON.
            let escaped = Value::String(text.into()).to_string();
            let escaped = escaped.trim_matches('"');
            for form in [text, escaped] {
                if form.len() >= shortest && !all.iter().any(|n: &Needle<'_>| n.text == form) {
                    all.push(Needle { secret: &object.key, key: key.into(), text: form.into() });
                }
            }
        };
        let mut value = |key: &str, text: &str| {
            add(key, text.trim(), SHORTEST);
            text.lines().map(str::trim).for_each(|line| add(key, line, SHORTEST_LINE));
        };
        for (key, encoded) in body.data.iter().flatten() {
            let encoded = encoded.as_deref().unwrap_or_default();
            let plain = decode(encoded).and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some(plain) = plain {
                // A short value in base64 is short as well.
                if plain.len() >= SHORTEST {
                    value(key, encoded);
                }
                value(key, &plain);
            } else {
                value(key, encoded);
            }
        }
        for (key, text) in body.string_data.iter().flatten() {
            value(key, text.as_deref().unwrap_or_default());
        }
    }
    all
}

/// Base64 with the standard alphabet; `None` for anything else.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::decode;
    use crate::testing::World;

    fn world(value_in_base64: &str) -> World {
        let mut w = World::default();
        w.web(1);
        w.add_value(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop", "uid": "00000000-0000-4000-8000-0000000000aa", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "data": {"password": value_in_base64}}));
        w
    }

    #[test]
    fn values_are_found_and_not_repeated() {
        // "hunter2 is it\n"
        for text in ["x hunter2 is it y", "x aHVudGVyMiBpcyBpdAo= y"] {
            let mut w = world("aHVudGVyMiBpcyBpdAo=");
            w.texts.push(("server log".into(), text.into()));
            w.expect_broken(&["it holds the value of key `password` of Secret shop/db"]);
            assert!(w.audit().iter().all(|f| !f.message.contains("hunter2") && f.object == "server log"));
        }
        let mut w = world("aHVudGVyMiBpcyBpdAo=");
        w.texts.push(("server log".into(), "hunter2".into()));
        w.expect(&[]);
        // "abc": too short to tell from chance.
        let mut w = world("YWJj");
        w.texts.push(("server log".into(), "abc YWJj".into()));
        w.expect(&[]);
    }

    #[test]
    fn the_objects_own_texts_are_read_too() {
        let mut w = world("aHVudGVyMiBpcyBpdAo=");
        w.add_value(json!({"apiVersion": "v1", "kind": "Event",
            "metadata": {"name": "e", "namespace": "shop", "uid": "00000000-0000-4000-8000-0000000000ab", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "message": "said: hunter2 is it"}));
        w.expect_broken(&["Event shop/e: it holds"]);
        // Escaped inside JSON, and one line of many: "a \"quoted\" secret line\nb\n".
        let mut w = world("YSAicXVvdGVkIiBzZWNyZXQgbGluZQpiCg==");
        w.set_status(
            0,
            &json!({"phase": "Running", "message": "a \"quoted\" secret line",
            "conditions": [{"type": "Ready", "status": "True"}]}),
        );
        w.expect_broken(&["Pod shop/web-1-0: it holds"]);
    }

    #[test]
    fn base64() {
        assert_eq!(decode("aGk=").unwrap(), b"hi");
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("a-b"), None);
    }
}
