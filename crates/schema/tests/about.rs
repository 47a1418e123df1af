//! Every field that people may write is explained.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use evenkeel_model::Kind;
use evenkeel_schema::{Object, Support, Texts, Type, definition, of_kind};

fn inner(ty: &Type) -> Option<&'static Object> {
    match ty {
        Type::Object(o) => Some(o),
        Type::List(item) | Type::Map(item) => inner(item),
        _ => None,
    }
}

#[test]
fn every_accepted_field_has_a_text() {
    let texts = Texts::read();
    let mut missing = Vec::new();
    let mut seen = BTreeSet::new();
    for kind in Kind::ALL {
        let mut todo = vec![of_kind(*kind).object().unwrap()];
        while let Some(object) = todo.pop() {
            if !seen.insert(object.name) {
                continue;
            }
            if texts.object(object).is_none() {
                missing.push(object.name.to_owned());
            }
            for field in object.fields {
                // The table itself says what is refused or ignored.
                let silent = matches!(field.support, Support::Ignored { .. } | Support::Refused { accepted: [], .. });
                if !silent && texts.written(object, field).is_none() {
                    missing.push(format!("{}.{}", object.name, field.name));
                }
                // A status is explained as far as it says something here.
                if field.name != "status" && !silent {
                    todo.extend(inner(&field.ty));
                }
            }
        }
    }
    assert!(missing.is_empty(), "data/about.tsv says nothing of {missing:#?}");
}

#[test]
fn what_the_tables_know_is_told_with_the_text() {
    let texts = Texts::read();
    let told = |object: &str, field: &str| {
        let object = definition(object).unwrap().object().unwrap();
        texts.field(object, object.field(field).unwrap())
    };
    assert!(told("core.v1.PodSpec", "restartPolicy").ends_with("Default: Always."));
    assert_eq!(told("core.v1.PodSpec", "shareProcessNamespace"), "Not supported.");
    assert_eq!(
        told("core.v1.PodSpec", "ephemeralContainers"),
        "Not supported: one is added to a pod that runs, by kubectl debug."
    );
    assert_eq!(told("core.v1.ServiceAccount", "imagePullSecrets"), "Accepted and ignored: a pod names its own.");
    assert!(!told("core.v1.ConfigMap", "immutable").contains("ignored"));
    assert!(told("core.v1.ServicePort", "protocol").ends_with("Not supported, but for TCP, UDP."));
    assert!(told("core.v1.Pod", "status").ends_with("Set by the server."));
    assert!(!told("meta.v1.ObjectMeta", "generateName").contains("Not supported"));
}
