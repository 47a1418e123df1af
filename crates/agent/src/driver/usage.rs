//! What the node and its containers use, for whoever asks.
//!
//! Called by `streams`. Cpu is a rate between two looks: the one before, where that was not long ago,
//! else two looks a second apart. Nothing is measured while nobody asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_model::Uid;
use evenkeel_runtime::{ContainerId, ContainerInfo, ContainerState, Runtime, RuntimeError, Stats};
use evenkeel_wire::usage::{ContainerUsage, NodeUsage, UsageRequest, Used};
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::{logs::LogReader, machine::Machine};
use crate::logic::labels;

/// Between two looks, where there was none before.
const WINDOW: Duration = Duration::from_secs(1);
/// A look that is older is too old to say what is used now.
const OLD: Duration = Duration::from_mins(1);
/// Containers that the engine is asked about at once.
const AT_ONCE: usize = 8;

/// One look.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    cpu_nanos: u64,
    memory_bytes: u64,
    containers: BTreeMap<ContainerId, (Uid, String, Stats)>,
}

/// Measures; remembers the last look. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    machine: Machine,
    last: Arc<Mutex<Option<Look>>>,
}

impl Meter {
    /// What is used now.
    pub(super) async fn measure<R: Runtime>(
        &self,
        reader: &LogReader<R>,
        request: UsageRequest,
    ) -> Result<NodeUsage, RuntimeError> {
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut now = self.look(reader, request).await?;
        let recent = |before: &Look| (WINDOW..OLD).contains(&now.at.saturating_duration_since(before.at));
        let known = |before: &Look| now.containers.keys().all(|id| before.containers.contains_key(id));
        let before = if let Some(before) = before.filter(|b| recent(b) && known(b)) {
            before
        } else {
            let first = now;
            tokio::time::sleep_until(first.at + WINDOW).await;
            now = self.look(reader, request).await?;
            first
        };
        let usage = between(&before, &now);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(usage)
    }

    async fn look<R: Runtime>(&self, reader: &LogReader<R>, request: UsageRequest) -> Result<Look, RuntimeError> {
        let running = if request.pods { reader.running().await? } else { Vec::new() };
        let one = |info: ContainerInfo| async move {
            let pod = info.labels.get(labels::POD_UID)?.parse().ok()?;
            let name = info.labels.get(labels::CONTAINER)?.clone();
            // One that has just ended uses nothing any more.
            let stats = reader.runtime().stats(&info.id).await.ok()?;
            Some((info.id, (pod, name, stats)))
        };
        let all = stream::iter(running).map(one).buffer_unordered(AT_ONCE);
        let containers = all.filter_map(std::future::ready).collect().await;
        let memory = self.machine.memory().map_or(0, |m| m.all.saturating_sub(m.free));
        let cpu_nanos = self.machine.busy_nanos().unwrap_or_default();
        Ok(Look { at: Instant::now(), cpu_nanos, memory_bytes: memory, containers })
    }
}

impl<R: Runtime> LogReader<R> {
    /// The running containers of this cluster's pods.
    async fn running(&self) -> Result<Vec<ContainerInfo>, RuntimeError> {
        let mut found = self.of_cluster().await?;
        found.retain(|c| c.labels.contains_key(labels::CONTAINER) && matches!(c.state, ContainerState::Running { .. }));
        Ok(found)
    }
}

fn between(before: &Look, now: &Look) -> NodeUsage {
    let window = now.at.saturating_duration_since(before.at).max(Duration::from_millis(1));
    let rate = |before: u64, now: u64| {
        let nanos = u128::from(now.saturating_sub(before)) * 1_000_000_000 / window.as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    };
    let containers = now.containers.iter().filter_map(|(id, (pod, container, stats))| {
        let (_, _, old) = before.containers.get(id)?;
        let used = Used { cpu_nanocores: rate(old.cpu_nanos, stats.cpu_nanos), memory_bytes: stats.memory_bytes };
        Some(ContainerUsage { pod: *pod, container: container.clone(), used })
    });
    NodeUsage {
        window_millis: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        node: Used { cpu_nanocores: rate(before.cpu_nanos, now.cpu_nanos), memory_bytes: now.memory_bytes },
        containers: containers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_a_rate_over_the_window() {
        let at = Instant::now();
        let look = |seconds: u64, cpu: u64, of: &[(&str, u64)]| Look {
            at: at + Duration::from_secs(seconds),
            cpu_nanos: cpu,
            memory_bytes: 7,
            containers: of
                .iter()
                .map(|(id, cpu_nanos)| {
                    (
                        ContainerId((*id).into()),
                        (Uid(1), "web".into(), Stats { cpu_nanos: *cpu_nanos, memory_bytes: 5 }),
                    )
                })
                .collect(),
        };
        let second = 1_000_000_000;
        let usage = between(&look(0, 0, &[("a", second)]), &look(2, 3 * second, &[("a", 2 * second), ("new", 9)]));
        assert_eq!((usage.window_millis, usage.node), (2000, Used { cpu_nanocores: 1_500_000_000, memory_bytes: 7 }));
        let used = Used { cpu_nanocores: 500_000_000, memory_bytes: 5 };
        // One that was not there before has no rate yet.
        assert_eq!(usage.containers, [ContainerUsage { pod: Uid(1), container: "web".into(), used }]);
        // A counter that began anew is no use below nothing.
        assert_eq!(between(&look(0, 9, &[]), &look(1, 1, &[])).node.cpu_nanocores, 0);
    }
}
