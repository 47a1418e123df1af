//! The generated tables are what `data/` says, and agree with `k8s-openapi`.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods)] // it reads the committed tables

#[path = "../examples/generate.rs"]
#[allow(dead_code, clippy::all, clippy::pedantic)]
mod generate;

use std::path::Path;

use k8s_openapi::{
    Resource,
    api::{
        apps::v1 as apps, batch::v1 as batch, core::v1 as core, networking::v1 as networking, policy::v1 as policy,
        rbac::v1 as rbac,
    },
};

#[test]
fn tables_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, text) in generate::render(root) {
        let committed = std::fs::read_to_string(root.join("src/tables").join(file)).unwrap();
        assert!(text == committed, "{file} differs: cargo run -p evenkeel-schema --example generate");
    }
}

fn holds<T: Resource>(plural: &str) {
    let known = evenkeel_schema::kinds::kubernetes();
    let found = known.iter().find(|k| k.kind == T::KIND && k.group == T::GROUP && k.version == T::VERSION);
    assert_eq!(found.map(|k| k.plural), Some(plural), "{}", T::KIND);
    assert_eq!(found.unwrap().plural, T::URL_PATH_SEGMENT);
}

#[test]
fn names_of_kinds_agree_with_k8s_openapi() {
    holds::<core::Pod>("pods");
    holds::<core::ConfigMap>("configmaps");
    holds::<core::Secret>("secrets");
    holds::<core::Namespace>("namespaces");
    holds::<core::Node>("nodes");
    holds::<core::Service>("services");
    holds::<core::ServiceAccount>("serviceaccounts");
    holds::<rbac::ClusterRole>("clusterroles");
    holds::<rbac::ClusterRoleBinding>("clusterrolebindings");
    holds::<rbac::Role>("roles");
    holds::<rbac::RoleBinding>("rolebindings");
    holds::<apps::Deployment>("deployments");
    holds::<apps::ReplicaSet>("replicasets");
    holds::<apps::StatefulSet>("statefulsets");
    holds::<batch::Job>("jobs");
    holds::<networking::Ingress>("ingresses");
    holds::<policy::PodDisruptionBudget>("poddisruptionbudgets");
}

#[test]
fn the_documentation_of_what_is_supported_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifests.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) = page.split_once("a test holds it -->\n\n").unwrap();
    let fresh = evenkeel_schema::support::markdown();
    assert!(table == fresh, "docs/manifests.md differs: cargo run -p evenkeel-schema --example support");
}
