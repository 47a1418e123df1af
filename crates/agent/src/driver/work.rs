//! Does one piece of work: the boring half. Each [`Work`] becomes calls of the runtime, the volumes
//! or the network, and ends with one [`Output`] or [`Failure`]. Nothing is tried again here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use evenkeel_model::Uid;
use evenkeel_net::plane::Plane;
use evenkeel_runtime::{ContainerId, ContainerSpec, ContainerState, EnvVar, LogOptions, Runtime, RuntimeError, Stream};
use evenkeel_wire::PodOrder;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    clock,
    images::Images,
    orphans, platform, probe,
    volumes::{VolumeError, Volumes},
};
use crate::{
    logic::{
        command::{Failure, Output, Target, VolumeUse, Work},
        env::settle,
        labels,
    },
    tokens::{self, Keeper, TokenSource, Tokens},
};

/// Containers started at once. Beyond 4 only latency grows, not the rate.
const STARTS_AT_ONCE: usize = 4;
/// Containers removed at once, so that a mass removal does not hold up starts.
const REMOVALS_AT_ONCE: usize = 4;
/// Commands run in containers at once: each costs the engine half a container start.
const EXECS_AT_ONCE: usize = 8;
/// Bytes of output that are read for a tail, at most.
const MAX_TAIL_BYTES: usize = 256 << 10;
/// A tail is there at once or the engine hangs.
const TAIL_TIMEOUT: Duration = Duration::from_secs(15);

/// Carries out work on one node.
pub(super) struct Worker<R> {
    pub(super) runtime: Arc<R>,
    pub(super) images: Images<R>,
    pub(super) volumes: Arc<Volumes>,
    pub(super) plane: Plane,
    pub(super) node_ip: Option<IpAddr>,
    keeper: Keeper,
    pub(super) starts: Semaphore,
    removals: Semaphore,
    execs: Semaphore,
}

impl<R: Runtime> Worker<R> {
    pub(super) fn new(
        runtime: Arc<R>,
        agent_dir: &Path,
        plane: Plane,
        node_ip: Option<IpAddr>,
        tokens: TokenSource,
    ) -> Result<Self, VolumeError> {
        Ok(Self {
            images: Images::new(runtime.clone(), agent_dir),
            volumes: Arc::new(Volumes::new(agent_dir)?),
            runtime,
            plane,
            node_ip,
            keeper: Keeper::new(tokens),
            starts: Semaphore::new(STARTS_AT_ONCE),
            removals: Semaphore::new(REMOVALS_AT_ONCE),
            execs: Semaphore::new(EXECS_AT_ONCE),
        })
    }

    pub(super) async fn run(&self, pod: Uid, work: Work) -> Result<Output, Failure> {
        match work {
            Work::PrepareVolumes { order } => {
                self.prepare_volumes(order).await?;
                Ok(Output::Done)
            }
            Work::RemoveVolumes => {
                let turn = self.keeper.turn(pod);
                let _turn = turn.lock().await;
                self.keeper.forget(pod);
                self.on_disk(move |volumes| volumes.remove(pod)).await?;
                Ok(Output::Done)
            }
            Work::EnsureImage { image, policy, pinned, auths } => {
                let found = self.images.ensure(&image, policy, pinned.as_deref(), &auths, clock()).await?;
                if let Output::Image(has) | Output::Pulled(has, _) = &found {
                    platform::check(&image, has)?;
                }
                Ok(found)
            }
            Work::CreateSandbox { spec, network } => self.create_sandbox(pod, *spec, &network).await,
            Work::CreateContainer { sandbox, mut spec, volumes, service_links } => {
                self.link(&mut spec, service_links).await?;
                self.create_container(pod, &sandbox, *spec, volumes).await
            }
            Work::Start { id } => {
                let _turn = turn(&self.starts).await?;
                done(self.runtime.start(&id).await)
            }
            Work::Stop { id, grace } => gone_is_fine(self.runtime.stop(&id, grace).await),
            Work::Kill { id } => gone_is_fine(self.runtime.kill(&id, "SIGKILL").await),
            Work::Remove { id, orphans } => {
                let _turn = turn(&self.removals).await?;
                if orphans {
                    orphans::end(vec![id.clone()]).await.map_err(|e| Failure::Internal(e.to_string()))?;
                }
                gone_is_fine(self.runtime.remove(&id).await)
            }
            Work::Inspect { id } => self.inspect(pod, &id).await,
            Work::Unpause { id } => gone_is_fine(self.runtime.unpause(&id).await),
            Work::Rename { id, name } => done(self.runtime.rename(&id, &name).await),
            Work::Update { id, resources } => done(self.runtime.update(&id, &resources).await),
            Work::Probe { target, timeout } => {
                let _turn = self.exec_turn(&target).await?;
                probe::probe(&*self.runtime, &target, timeout).await
            }
            Work::Hook { target, timeout } => {
                let _turn = self.exec_turn(&target).await?;
                probe::hook(&*self.runtime, &target, timeout).await
            }
            Work::Tail { id, lines } => self.tail(&id, lines).await,
        }
    }

    /// Makes a pod's volumes, with tokens that are fresh.
    async fn prepare_volumes(&self, order: Arc<PodOrder>) -> Result<(), Failure> {
        if tokens::wanted(&order.pod).is_empty() {
            return self.on_disk(move |volumes| volumes.prepare(&order, &Tokens::new())).await;
        }
        let turn = self.keeper.turn(order.uid);
        let _turn = turn.lock().await;
        let pod = order.uid;
        let kept = self.on_disk(move |volumes| volumes.kept_tokens(pod)).await?;
        let (kept, changed) = self.keeper.tokens(&order, kept).await?;
        self.on_disk(move |volumes| {
            if changed {
                volumes.keep_tokens(pod, &kept)?;
            }
            volumes.prepare(&order, &tokens::by_place(&kept))
        })
        .await
    }

    /// Renews tokens before they end, for ever.
    pub(super) async fn renew_tokens(&self) {
        loop {
            let pod = self.keeper.next().await;
            // Its newest order: content may have changed since.
            let Some(order) = self.keeper.order(pod) else { continue };
            if let Err(error) = self.prepare_volumes(order).await {
                tracing::warn!(%pod, %error, "a pod's volumes do not get their next token; trying again");
            }
        }
    }

    /// What the engine says; of an ended container also what it left as its termination message,
    /// where the engine has nothing to say itself.
    async fn inspect(&self, pod: Uid, id: &ContainerId) -> Result<Output, Failure> {
        let mut info = match self.runtime.inspect(id).await {
            Ok(info) => info,
            Err(RuntimeError::NotFound { .. }) => return Ok(Output::Inspected(None)),
            Err(error) => return Err(error.into()),
        };
        self.settle(&mut info);
        if let (ContainerState::Exited { error, .. }, Some(name)) =
            (&mut info.state, info.labels.get(labels::CONTAINER))
            && error.is_empty()
        {
            let name = name.clone();
            *error = self.on_disk(move |volumes| Ok(volumes.termination_message(pod, &name))).await?;
        }
        Ok(Output::Inspected(Some(Box::new(info))))
    }

    async fn exec_turn(&self, target: &Target) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        match target {
            Target::Exec { .. } => turn(&self.execs).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Puts the variables of Services before the container's own, which win, and into what asks for them:
    /// that of the API, and if `all` those of the pod's namespace.
    async fn link(&self, spec: &mut ContainerSpec, all: bool) -> Result<(), Failure> {
        let namespace = spec.labels.get(labels::NAMESPACE).map_or("", String::as_str);
        let links = self.plane.links(namespace, all).await.map_err(|e| Failure::Network(e.to_string()))?;
        let known: BTreeMap<&str, &str> = links.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let values = spec.env.iter_mut().map(|v| &mut v.value);
        values.chain(&mut spec.command).chain(&mut spec.args).for_each(|text| settle(text, &known));
        let own: BTreeSet<&str> = spec.env.iter().map(|v| v.name.as_str()).collect();
        let mut env: Vec<EnvVar> = links
            .iter()
            .filter(|(name, _)| !own.contains(name.as_str()))
            .map(|(name, value)| EnvVar { name: name.clone(), value: value.clone() })
            .collect();
        env.append(&mut spec.env);
        spec.env = env;
        Ok(())
    }

    async fn create_container(
        &self,
        pod: Uid,
        sandbox: &ContainerId,
        mut spec: ContainerSpec,
        volumes: Vec<VolumeUse>,
    ) -> Result<Output, Failure> {
        let name = spec.labels.get(labels::CONTAINER).cloned().unwrap_or_default();
        spec.mounts = self.on_disk(move |all| all.resolve(pod, &name, &volumes)).await?;
        let _turn = turn(&self.starts).await?;
        let id = self.runtime.create_container(sandbox, &spec).await?;
        Ok(Output::Created { id })
    }

    async fn tail(&self, id: &ContainerId, lines: u64) -> Result<Output, Failure> {
        let options = LogOptions { tail: Some(lines), ..LogOptions::default() };
        let read = async {
            let mut output = self.runtime.logs(id, &options).await?;
            let mut collected = Lines::default();
            while let Some(piece) = output.next().await {
                let piece = piece?;
                collected.push(piece.stream, &piece.bytes);
                if collected.bytes > MAX_TAIL_BYTES {
                    break;
                }
            }
            Ok::<_, RuntimeError>(collected.finish(lines))
        };
        match tokio::time::timeout(TAIL_TIMEOUT, read).await {
            Ok(lines) => Ok(Output::Logs(lines?)),
            Err(_) => Err(RuntimeError::Timeout { operation: "logs".into(), seconds: TAIL_TIMEOUT.as_secs() }.into()),
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Volumes) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, Failure> {
        let volumes = self.volumes.clone();
        match tokio::task::spawn_blocking(move || f(&volumes)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Failure::Volume(error.full())),
            Err(_) => Err(Failure::Internal("work on volumes was cut off by a fault of the agent".into())),
        }
    }
}

pub(super) async fn turn(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
    semaphore.acquire().await.map_err(|_| Failure::Internal("the agent is stopping".into()))
}

fn done(result: Result<(), RuntimeError>) -> Result<Output, Failure> {
    result.map(|()| Output::Done).map_err(Failure::from)
}

fn gone_is_fine(result: Result<(), RuntimeError>) -> Result<Output, Failure> {
    match result {
        Err(RuntimeError::NotFound { .. }) => Ok(Output::Done),
        other => done(other),
    }
}

/// Pieces of two streams as whole lines, in the order of their ends.
#[derive(Default)]
struct Lines {
    whole: Vec<String>,
    open: [Vec<u8>; 2],
    bytes: usize,
}

impl Lines {
    fn push(&mut self, stream: Stream, piece: &[u8]) {
        self.bytes += piece.len();
        let open = &mut self.open[usize::from(stream == Stream::Stderr)];
        for part in piece.split_inclusive(|b| *b == b'\n') {
            open.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.whole.push(text(open));
                open.clear();
            }
        }
    }

    fn finish(mut self, last: u64) -> Vec<String> {
        for open in &self.open {
            if !open.is_empty() {
                self.whole.push(text(open));
            }
        }
        let keep = usize::try_from(last).unwrap_or(usize::MAX);
        self.whole.split_off(self.whole.len().saturating_sub(keep))
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let mut lines = Lines::default();
        lines.push(Stream::Stdout, b"one\ntw");
        lines.push(Stream::Stderr, b"error\r\n");
        lines.push(Stream::Stdout, b"o\nthree");
        assert_eq!(lines.finish(10), ["one", "error", "two", "three"]);
        let mut lines = Lines::default();
        lines.push(Stream::Stdout, b"1\n2\n3\n");
        assert_eq!(lines.finish(2), ["2", "3"]);
    }

    #[test]
    fn what_is_gone_needs_no_stop() {
        let gone = || Err(RuntimeError::NotFound { message: "x".into() });
        assert_eq!(gone_is_fine(gone()), Ok(Output::Done));
        assert!(done(gone()).is_err());
    }
}
