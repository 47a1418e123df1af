//! Addresses of pods as the plane gives them: off its task's turns, because each that is given or freed
//! ends with a sync of the disk, and packets of others must not wait for one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use evenkeel_model::{Uid, net::Cidr};

use super::Addresses;
use crate::link::ipam::{Ipam, IpamError};

/// Who has which address.
pub(super) struct Given {
    path: PathBuf,
    ipam: Arc<Mutex<Ipam>>,
    /// Those that are given, for whoever must not wait.
    addresses: Addresses,
    alive: Arc<Mutex<Alive>>,
}

/// Pods that lose their address to nobody.
#[derive(Default)]
struct Alive {
    /// Those without a link yet. Each is in it before its address is given, so that one that is given at
    /// the same time cannot be taken for one of a pod that is gone.
    leased: BTreeSet<Uid>,
    /// Those with one.
    plugged: BTreeSet<Uid>,
}

impl Given {
    /// Begins with what is in a file; `addresses` tells what is given.
    pub(super) fn open(path: PathBuf, addresses: Addresses) -> Result<Self, IpamError> {
        let ipam = Ipam::open(&path)?;
        addresses.with(|all| *all = ipam.given().collect());
        Ok(Self { path, ipam: Arc::new(Mutex::new(ipam)), addresses, alive: Arc::default() })
    }

    /// All that are given.
    pub(super) fn all(&self) -> BTreeMap<Uid, Ipv4Addr> {
        self.addresses.with(|all| all.clone())
    }

    /// The address of a pod that has one.
    pub(super) fn of(&self, pod: Uid) -> Option<Ipv4Addr> {
        self.addresses.of(pod)
    }

    /// A pod has its link.
    pub(super) fn plugged(&self, pod: Uid) {
        let mut alive = locked(&self.alive);
        alive.leased.remove(&pod);
        alive.plugged.insert(pod);
    }

    /// A pod's link is gone: should there be no address left, it gives way.
    pub(super) fn unplugged(&self, pod: Uid) {
        locked(&self.alive).plugged.remove(&pod);
    }

    /// Gives a pod an address that is not `busy`, or the one that it has; it is on disk then.
    pub(super) fn give(
        &self,
        pod: Uid,
        range: Cidr,
        busy: BTreeSet<Ipv4Addr>,
    ) -> impl Future<Output = Result<Ipv4Addr, IpamError>> + Send + use<> {
        locked(&self.alive).leased.insert(pod);
        let alive = self.alive.clone();
        self.work(move |ipam| {
            let is_alive = |pod| {
                let alive = locked(&alive);
                alive.leased.contains(&pod) || alive.plugged.contains(&pod)
            };
            ipam.give(pod, range, &busy, is_alive).inspect_err(|_| _ = locked(&alive).leased.remove(&pod))
        })
    }

    /// A pod is gone for good: its address is free, some moments later.
    pub(super) fn free(&self, pod: Uid) {
        let mut alive = locked(&self.alive);
        alive.leased.remove(&pod);
        alive.plugged.remove(&pod);
        let freed = self.work(move |ipam| ipam.free(pod));
        tokio::spawn(async move {
            if let Err(error) = freed.await {
                tracing::error!(%error, "a pod's address is not free yet");
            }
        });
    }

    fn work<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Ipam) -> Result<T, IpamError> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<T, IpamError>> + Send>> {
        let (ipam, addresses, path) = (self.ipam.clone(), self.addresses.clone(), self.path.clone());
        let work = tokio::task::spawn_blocking(move || {
            let mut ipam = locked(&ipam);
            let result = act(&mut ipam);
            addresses.with(|all| *all = ipam.given().collect());
            result
        });
        Box::pin(async move { work.await.unwrap_or_else(|e| Err(IpamError::Io { path, source: io::Error::other(e) })) })
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
