//! A Secret's `stringData` goes into its `data`, in base64, as Kubernetes does when it is written.

use evenkeel_model::base64;
use serde_json::{Map, Value};

/// Merges in place; a key in both has the value of `stringData`.
pub(crate) fn merge_string_data(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    let Some(Value::Object(text)) = map.remove("stringData") else { return };
    let data = map.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in text {
        let bytes = value.as_str().unwrap_or_default().as_bytes();
        data.insert(key, base64::encode(bytes).into());
    }
}
