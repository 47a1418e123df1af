//! A controller as people write them with kube-rs: its own kind, made by server-side apply; a controller
//! that owns what it makes, with a finalizer and a status; and a reflector beside it that takes its first
//! list as a stream. `tests/e2e/kube_rs.rs` runs it, outside of the cluster and in a pod.
//!
//! It says what it does on standard output, a line each.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // a program for tests

use std::{borrow::Cow, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use k8s_openapi::{
    api::core::v1::ConfigMap, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::{
        Controller, WatchStreamExt as _,
        controller::Action,
        finalizer::{self, Event, finalizer},
        reflector,
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who writes, for server-side apply.
const MANAGER: &str = "greeter";
const FINALIZER: &str = "demo.example/greeter";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Greeting {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Option<Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Spec {
    text: String,
}

impl Resource for Greeting {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Greeting".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "demo.example".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "greetings".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error(transparent)]
    Finalizer(Box<finalizer::Error<kube::Error>>),
}

struct Context {
    client: Client,
    /// What the reflector has of the ConfigMaps.
    maps: reflector::Store<ConfigMap>,
}

/// Makes the kind, by server-side apply, and waits until it is served.
async fn define(client: &Client) {
    let schema = json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "greetings.demo.example"},
        "spec": {"group": "demo.example", "scope": "Namespaced",
            "names": {"plural": "greetings", "singular": "greeting", "kind": "Greeting"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}}]}});
    let all: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply(MANAGER).force();
    all.patch("greetings.demo.example", &params, &Patch::Apply(definition)).await.unwrap();
    let known = await_condition(all, "greetings.demo.example", conditions::is_crd_established());
    tokio::time::timeout(Duration::from_secs(30), known).await.unwrap().unwrap();
    println!("defined");
}

/// Writes the ConfigMap that a Greeting is for, and says in its status which one.
async fn apply(greeting: &Greeting, context: &Context) -> Result<Action, kube::Error> {
    let (name, namespace) = (greeting.name_any(), greeting.namespace().unwrap_or_default());
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.clone());
    map.metadata.owner_references = Some(greeting.controller_owner_ref(&()).into_iter().collect());
    map.data = Some([("text".to_owned(), greeting.spec.text.clone())].into());
    let params = PatchParams::apply(MANAGER).force();
    let written = maps.patch(&name, &params, &Patch::Apply(map)).await?;
    let seen = context.maps.state().iter().any(|m| m.uid() == written.uid());
    let status = json!({"apiVersion": "demo.example/v1", "kind": "Greeting",
        "status": {"observedGeneration": greeting.metadata.generation, "seen": seen}});
    let greetings: Api<Greeting> = Api::namespaced(context.client.clone(), &namespace);
    greetings.patch_status(&name, &params, &Patch::Apply(status)).await?;
    println!("applied {name}: {}", greeting.spec.text);
    // The reflector may hear of the ConfigMap later than its writer.
    Ok(if seen { Action::await_change() } else { Action::requeue(Duration::from_millis(200)) })
}

async fn reconcile(greeting: Arc<Greeting>, context: Arc<Context>) -> Result<Action, Failed> {
    let all: Api<Greeting> = Api::namespaced(context.client.clone(), &greeting.namespace().unwrap_or_default());
    finalizer(&all, FINALIZER, greeting, |event| async {
        match event {
            Event::Apply(greeting) => apply(&greeting, &context).await,
            Event::Cleanup(greeting) => {
                println!("cleaned up {}", greeting.name_any());
                Ok(Action::await_change())
            }
        }
    })
    .await
    .map_err(|e| Failed::Finalizer(Box::new(e)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = Client::try_default().await.unwrap();
    define(&client).await;
    let (maps, writer) = reflector::store();
    let config = watcher::Config::default().streaming_lists();
    let stream = watcher(Api::<ConfigMap>::all(client.clone()), config).default_backoff().reflect(writer);
    let reflecting = tokio::spawn(stream.for_each(|event| async {
        if let Err(e) = event {
            println!("reflector: {e}");
        }
    }));
    let context = Arc::new(Context { client: client.clone(), maps });
    let again = |_: Arc<Greeting>, error: &Failed, _: Arc<Context>| {
        println!("again: {error}");
        Action::requeue(Duration::from_millis(500))
    };
    Controller::new(Api::<Greeting>::all(client.clone()), watcher::Config::default())
        .owns(Api::<ConfigMap>::all(client), watcher::Config::default())
        .shutdown_on_signal()
        .run(reconcile, again, context)
        .for_each(|ended| async {
            if let Err(e) = ended {
                println!("controller: {e}");
            }
        })
        .await;
    reflecting.abort();
    println!("ended");
}
