//! What a document refers to: its namespace, and the ConfigMaps and Secrets of its pods.
//!
//! Admission looks each up in the snapshot and in the cluster; here they are only listed, with the
//! place of the mention.

use evenkeel_model::{Key, Kind, Place, Reference};
use evenkeel_schema::Trail;
use serde_json::Value;

/// Says where a trail leads and shows its line.
pub(crate) type Locate<'l> = &'l dyn Fn(&Trail<'_>) -> (Place, String);

/// Every reference of a document, in the order of its fields.
pub(crate) fn of(key: &Key, value: &Value, locate: Locate<'_>) -> Vec<Reference> {
    let mut out = Collector { namespace: &key.namespace, locate, out: Vec::new() };
    let root = Trail::Root;
    if key.kind.namespaced() {
        let metadata = root.field("metadata");
        out.add(Key::cluster(Kind::Namespace, key.namespace.clone()), None, false, &metadata.field("namespace"));
    }
    let spec = root.field("spec");
    match key.kind {
        Kind::Pod => out.pod(&value["spec"], &spec),
        Kind::Deployment | Kind::ReplicaSet => {
            let template = spec.field("template");
            out.pod(&value["spec"]["template"]["spec"], &template.field("spec"));
        }
        _ => {}
    }
    out.out
}

struct Collector<'l> {
    namespace: &'l str,
    locate: Locate<'l>,
    out: Vec<Reference>,
}

fn items<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = (usize, &'v Value)> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().enumerate()
}

impl Collector<'_> {
    fn add(&mut self, key: Key, item: Option<&str>, optional: bool, at: &Trail<'_>) {
        let (place, excerpt) = (self.locate)(at);
        let item = item.map(Into::into);
        self.out.push(Reference { key, item, optional, place, path: at.to_string(), excerpt });
    }

    /// A reference by `name` (or another field) to an object in the pod's namespace, and with
    /// `key` to an item of it.
    fn named(&mut self, kind: Kind, value: &Value, name: &str, at: &Trail<'_>) {
        let Some(object) = value.get(name).and_then(Value::as_str).filter(|n| !n.is_empty()) else { return };
        let optional = value.get("optional").and_then(Value::as_bool).unwrap_or(false);
        let key = Key::new(kind, self.namespace, object);
        if let Some(item) = value.get("key").and_then(Value::as_str) {
            self.add(key, Some(item), optional, &at.field("key"));
            return;
        }
        let listed: Vec<(usize, &str)> =
            items(value, "items").filter_map(|(i, v)| Some((i, v.get("key")?.as_str()?))).collect();
        if listed.is_empty() {
            self.add(key.clone(), None, optional, &at.field(name));
        }
        let list = at.field("items");
        for (i, item) in listed {
            self.add(key.clone(), Some(item), optional, &list.index(i).field("key"));
        }
    }

    fn pod(&mut self, spec: &Value, at: &Trail<'_>) {
        for list in ["containers", "initContainers"] {
            let at = at.field(list);
            for (i, container) in items(spec, list) {
                self.container(container, &at.index(i));
            }
        }
        let secrets = at.field("imagePullSecrets");
        for (i, secret) in items(spec, "imagePullSecrets") {
            if let Some(name) = secret.get("name").and_then(Value::as_str) {
                // As in Kubernetes: a pull secret that is not there is not used.
                let key = Key::new(Kind::Secret, self.namespace, name);
                self.add(key, None, true, &secrets.index(i).field("name"));
            }
        }
        let volumes = at.field("volumes");
        for (i, volume) in items(spec, "volumes") {
            self.volume(volume, &volumes.index(i));
        }
    }

    fn container(&mut self, container: &Value, at: &Trail<'_>) {
        let list = at.field("env");
        for (i, env) in items(container, "env") {
            let (at, from) = (list.index(i), &env["valueFrom"]);
            let at = at.field("valueFrom");
            self.named(Kind::ConfigMap, &from["configMapKeyRef"], "name", &at.field("configMapKeyRef"));
            self.named(Kind::Secret, &from["secretKeyRef"], "name", &at.field("secretKeyRef"));
        }
        let list = at.field("envFrom");
        for (i, from) in items(container, "envFrom") {
            let at = list.index(i);
            self.named(Kind::ConfigMap, &from["configMapRef"], "name", &at.field("configMapRef"));
            self.named(Kind::Secret, &from["secretRef"], "name", &at.field("secretRef"));
        }
    }

    fn volume(&mut self, volume: &Value, at: &Trail<'_>) {
        self.named(Kind::ConfigMap, &volume["configMap"], "name", &at.field("configMap"));
        self.named(Kind::Secret, &volume["secret"], "secretName", &at.field("secret"));
        let projected = at.field("projected");
        let sources = projected.field("sources");
        for (i, source) in items(&volume["projected"], "sources") {
            let at = sources.index(i);
            self.named(Kind::ConfigMap, &source["configMap"], "name", &at.field("configMap"));
            self.named(Kind::Secret, &source["secret"], "name", &at.field("secret"));
        }
    }
}
