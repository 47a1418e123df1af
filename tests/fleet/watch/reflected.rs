//! Clients of kube-rs that keep a copy. Its watcher lists again when an event says that it is too late, and does so
//! after nothing else.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Config, ResourceExt as _,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::cache::Known;

/// Between two tries while the server is away.
const PAUSE: Duration = Duration::from_millis(50);

/// A reflector of ConfigMaps.
pub struct Reflected {
    /// What it looks at: path and selector.
    pub path: String,
    maps: reflector::Store<ConfigMap>,
    told: Arc<AtomicUsize>,
}

impl Reflected {
    /// Follows what `path` says. It reads nothing while `stall` says so.
    pub fn start(
        (client, path): (Client, &str),
        config: watcher::Config,
        mut stall: watch::Receiver<bool>,
        stop: CancellationToken,
    ) -> Self {
        let place = path.split_once('?').map_or(path, |(place, _)| place);
        let namespace = place.strip_prefix("/api/v1/namespaces/").and_then(|p| p.split('/').next());
        let api: Api<ConfigMap> = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let (maps, writer) = reflector::store();
        let told = Arc::new(AtomicUsize::new(0));
        let this = Self { path: path.into(), maps, told: told.clone() };
        let mut events = watcher(api, config).reflect(writer).boxed();
        let follow = async move {
            while stall.wait_for(|stalls| !*stalls).await.is_ok() {
                match events.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        let late = matches!(&error, watcher::Error::WatchError(status) if status.code == 410);
                        told.fetch_add(usize::from(late), Ordering::SeqCst);
                        sleep(PAUSE).await;
                    }
                    None => return,
                }
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(follow).await });
        this
    }

    /// How often it heard that it is too late.
    pub fn told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }

    /// Its copy.
    pub fn copy(&self) -> BTreeMap<String, Known> {
        let known = |map: &ConfigMap| {
            let number = map.data.as_ref().and_then(|d| d.get("n").cloned()).unwrap_or_default();
            let version = map.resource_version().unwrap_or_default().parse().unwrap_or_default();
            (format!("{}/{}", map.namespace().unwrap_or_default(), map.name_any()), (version, number))
        };
        self.maps.state().iter().map(|map| known(map)).collect()
    }
}

/// A client by a kubeconfig, past any proxy.
pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}
