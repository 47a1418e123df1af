//! An object's JSON, put together from the bytes that it is kept as: no tree is built of them.

use alloc::{borrow::ToOwned as _, collections::BTreeMap, string::String, vec::Vec};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::Object;

/// The fields of an object of JSON, each as it stands there.
type Fields<'b> = BTreeMap<String, &'b RawValue>;

/// The bytes of a field.
enum Part<'b> {
    Kept(&'b str),
    Made(Vec<u8>),
}

fn made<T: Serialize + ?Sized>(value: &T) -> Part<'static> {
    Part::Made(serde_json::to_vec(value).unwrap_or_default())
}

fn kept(bytes: &[u8]) -> Part<'_> {
    // What cannot be read is nothing, as in a tree.
    Part::Kept(serde_json::from_slice::<&RawValue>(bytes).map_or("null", RawValue::get))
}

fn fields(bytes: &[u8]) -> Fields<'_> {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn parts(fields: Fields<'_>) -> BTreeMap<String, Part<'_>> {
    fields.into_iter().map(|(name, value)| (name, Part::Kept(value.get()))).collect()
}

fn write(parts: &BTreeMap<String, Part<'_>>, out: &mut Vec<u8>) {
    for (i, (name, part)) in parts.iter().enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        out.extend(serde_json::to_vec(name).unwrap_or_default());
        out.push(b':');
        match part {
            Part::Kept(text) => out.extend_from_slice(text.as_bytes()),
            Part::Made(bytes) => out.extend_from_slice(bytes),
        }
    }
    out.extend_from_slice(if parts.is_empty() { b"{}" } else { b"}" });
}

/// Appends the whole object, the bytes of its tree.
pub(crate) fn write_object(object: &Object, out: &mut Vec<u8>) {
    let mut whole = parts(fields(&object.body));
    if let (Some(node), Some(Part::Kept(spec))) = (&object.node, whole.get("spec"))
        && spec.starts_with('{')
    {
        let mut inner = parts(fields(spec.as_bytes()));
        inner.insert("nodeName".to_owned(), made(&**node));
        let mut bytes = Vec::with_capacity(spec.len() + 64);
        write(&inner, &mut bytes);
        whole.insert("spec".to_owned(), Part::Made(bytes));
    }
    let info = object.key.kind.info();
    whole.insert("apiVersion".to_owned(), made(&info.api_version()));
    whole.insert("kind".to_owned(), made(info.kind));
    let mut metadata: BTreeMap<String, Part<'_>> =
        object.metadata_head().into_iter().map(|(name, value)| (name, made(&value))).collect();
    if !object.managed.is_empty() {
        metadata.insert("managedFields".to_owned(), kept(&object.managed));
    }
    let mut bytes = Vec::with_capacity(object.managed.len() + 512);
    write(&metadata, &mut bytes);
    whole.insert("metadata".to_owned(), Part::Made(bytes));
    if !object.status.is_empty() {
        whole.insert("status".to_owned(), kept(&object.status));
    }
    write(&whole, out);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canonical;

    #[test]
    fn the_text_is_that_of_the_tree() {
        let metadata = json!({"name": "a", "namespace": "shop", "resourceVersion": "7", "labels": {"x": "\"y\""},
            "uid": "00000000-0000-4000-8000-000000000001",
            "managedFields": [{"manager": "me", "fieldsV1": {"f:data": {"f:\u{fc}": {}}}}]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"containers": [{"name": "c", "args": ["\u{0}\n\u{1f600}"]}], "nodeName": "n1"},
            "status": {"phase": "Running", "n": 1.5e300}});
        let mut empty = pod.clone();
        empty["spec"] = json!({"nodeName": "n1"});
        empty.as_object_mut().unwrap().remove("status");
        let mut odd = pod.clone();
        odd["a\"b"] = json!([null, {}, [], -1]);
        for value in [
            pod,
            empty,
            odd,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "d"}, "data": {"a": ""}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}),
        ] {
            let object = Object::from_value(value).unwrap();
            let expected = canonical::value_bytes(&object.to_value());
            assert_eq!(String::from_utf8(object.to_json()).unwrap(), String::from_utf8(expected).unwrap());
        }
        let broken = Object {
            body: b"{".as_slice().into(),
            status: b"x".as_slice().into(),
            ..Object::from_value(
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c", "namespace": "d"}}),
            )
            .unwrap()
        };
        assert_eq!(serde_json::from_slice::<Value>(&broken.to_json()).unwrap(), broken.to_value());
    }
}
