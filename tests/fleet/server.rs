//! The control half in this process, as `evenkeel server` puts it together.

use std::{net::SocketAddr, path::Path, sync::Arc};

use evenkeel_core::Settings;
use evenkeel_server::{
    api::{self, Api},
    dispatch::Agents,
    host::{BackupOptions, Host, Options},
    pki::{self, Pki},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub pki: Arc<Pki>,
    host: Host,
    stop: CancellationToken,
    api: JoinHandle<()>,
}

impl Server {
    /// On a data directory, at an address; port 0 takes a free one.
    pub async fn start(data: &Path, address: SocketAddr) -> Self {
        let pki = Arc::new(Pki::open(data).unwrap());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = pki.server_config(&[address.ip().to_string()]).unwrap();
        let options = Options {
            data_dir: data.to_path_buf(),
            settings: Settings::default(),
            seed: u64::from_le_bytes(pki::random().unwrap()),
            digest_key: pki.digest_key(),
            encryption_key: None,
            known_nodes: (!pki.is_new()).then(|| pki.nodes().into_iter().map(Arc::from).collect()),
            backups: BackupOptions::default(),
        };
        let handle = tokio::runtime::Handle::current();
        let started = tokio::task::spawn_blocking(move || {
            let _entered = handle.enter();
            Host::start(options)
        });
        let host = started.await.unwrap().unwrap();
        pki.admin_kubeconfig(data, &format!("https://{address}")).unwrap();
        let stop = CancellationToken::new();
        let served = Api::new(Arc::new(host.clone()), stop.clone(), None).with_pki(pki.clone());
        let agents = Agents::new(host.clone(), pki.clone(), stop.clone());
        let api = tokio::spawn(api::serve(Arc::new(served), Some(agents), listener, tls, stop.clone()));
        Self { address, pki, host, stop, api }
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.host.stop().await;
        self.api.await.unwrap();
    }
}
