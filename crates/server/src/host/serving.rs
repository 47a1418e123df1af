//! The wait for nodes to serve what was committed of Ingresses.
//!
//! As long as somebody waits, the conductor's thread says after each step how far nodes are
//! (`evenkeel_conductor::Served`); most of the time nobody does, and nothing is looked at. Called by `acme`.
//! Deliberately not here: what a node serves, and which count (the conductor).

use std::time::{Duration, Instant};

use evenkeel_conductor::{Behind, Reach, Served};
use evenkeel_model::Version;
use thiserror::Error;
use tokio::{sync::watch, time::timeout};

use super::{Host, Message};

/// Nodes that are named; more are counted.
const NAMED: usize = 5;

/// The wait is over, and not all nodes are known to serve it.
#[derive(Debug, Error)]
pub(crate) enum Missing {
    /// The store fails, or the server recovers.
    #[error("no node was told of it")]
    Untold,
    /// By name, each with why.
    #[error("{0}")]
    Nodes(String),
}

impl Missing {
    fn of(behind: Option<Vec<&Behind>>) -> Self {
        let Some(behind) = behind else { return Self::Untold };
        let why = |reach| match reach {
            Reach::At(_) => "serves what was so before",
            Reach::Unsaid => "has not said what it serves, as agents of an older version do not",
            Reach::Away => "has no session",
        };
        let mut named: Vec<String> =
            behind.iter().take(NAMED).map(|b| format!("{} {}", b.node, why(b.reach))).collect();
        let more = behind.len().saturating_sub(NAMED);
        named.extend((more > 0).then(|| format!("and {more} more")));
        Self::Nodes(named.join(", "))
    }
}

/// How far nodes are, for those who wait.
#[derive(Debug, Default)]
pub(crate) struct Serving(watch::Sender<Served>);

impl Serving {
    /// Tells those who wait; what there is to tell is asked for only where somebody does.
    pub(super) fn tell(&self, served: impl FnOnce() -> Served) {
        if self.0.receiver_count() > 0 {
            self.0.send_replace(served());
        }
    }

    /// Waits until all nodes that are not silent serve what was committed up to a version, and says how long
    /// that took. `look` makes the conductor tell how it is now.
    async fn wait(
        &self,
        version: Version,
        patience: Duration,
        look: impl Future<Output = ()>,
    ) -> Result<Duration, Missing> {
        let begun = Instant::now();
        let mut served = self.0.subscribe();
        let all_serve = async {
            look.await;
            served.wait_for(|s| s.missing(version).is_some_and(|m| m.is_empty())).await.is_ok()
        };
        match timeout(patience, all_serve).await {
            Ok(true) => Ok(begun.elapsed()),
            // The other end is this very thing: it is there.
            Ok(false) | Err(_) => Err(Missing::of(self.0.borrow().missing(version))),
        }
    }
}

impl Host {
    /// Waits until all nodes that are not silent serve Ingresses as they were committed up to a version; for
    /// so long at most, after which the error names those that are not known to.
    pub(crate) async fn until_served(&self, version: Version, patience: Duration) -> Result<Duration, Missing> {
        let queue = self.shared.queue.clone();
        // The queue is gone only at the end of the process.
        let look = async move { drop(queue.send(Message::Look).await) };
        self.shared.serving.wait(version, patience, look).await
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, sync::Arc};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn served(told: u64, behind: &[(&str, Reach)]) -> Served {
        let behind = behind.iter().map(|(node, reach)| Behind { node: Arc::from(*node), reach: *reach }).collect();
        Served { told: Version(told), behind }
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_serve_is_heard_at_once_and_nothing_is_asked_while_nobody_waits() {
        let serving = Arc::new(Serving::default());
        serving.tell(|| panic!("nobody waits"));
        let waiting = serving.clone();
        let look = async {};
        let waits = tokio::spawn(async move { waiting.wait(Version(7), PATIENCE, look).await });
        tokio::task::yield_now().await;
        for (told, behind) in [(6, &[][..]), (7, &[("n1", Reach::At(Version(6)))]), (9, &[("n1", Reach::Unsaid)])] {
            serving.tell(|| served(told, behind));
            tokio::task::yield_now().await;
            assert!(!waits.is_finished(), "{told} {behind:?}");
        }
        let before = tokio::time::Instant::now();
        serving.tell(|| served(9, &[("n1", Reach::At(Version(7)))]));
        assert!(waits.await.unwrap().is_ok());
        assert_eq!(before.elapsed(), Duration::ZERO, "no time passed");
        serving.tell(|| panic!("nobody waits any more"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_serve_in_time_is_named() {
        let serving = Serving::default();
        let nobody = serving.wait(Version(7), PATIENCE, ready(())).await.unwrap_err();
        assert_eq!(nobody.to_string(), "no node was told of it");
        let mut behind = vec![("a", Reach::Away), ("b", Reach::Unsaid), ("c", Reach::At(Version(3)))];
        behind.extend(["d", "e", "f", "g"].map(|node| (node, Reach::Away)));
        behind.push(("h", Reach::At(Version(7))));
        let now = served(9, &behind);
        let look = async { serving.tell(|| now) };
        let before = tokio::time::Instant::now();
        let missing = serving.wait(Version(7), PATIENCE, look).await.unwrap_err();
        assert_eq!(before.elapsed(), PATIENCE);
        assert_eq!(
            missing.to_string(),
            "a has no session, b has not said what it serves, as agents of an older version do not, \
             c serves what was so before, d has no session, e has no session, and 2 more"
        );
    }
}
