//! Events that wait until the disk has room again.
//!
//! A disk may stay full for hours, so this is bounded by what the cluster has and not by what
//! happens meanwhile: a newer word replaces an older one of the same source or node. A node that
//! reports more than there is room for has its session ended; its next hello tells everything.

use std::sync::Arc;

use crate::event::Event;

/// Reports of all nodes together; as many as one batch takes.
const REPORTS: usize = crate::conductor::BATCH_EVENTS;
/// Revisions of one source: its newest, and those that a lost database asked for.
const REVISIONS_OF_A_SOURCE: usize = 4;

/// In the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Held {
    events: Vec<Event>,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// All of them, followed by new ones.
    pub(crate) fn before(&mut self, mut new: Vec<Event>) -> Vec<Event> {
        let mut all = std::mem::take(&mut self.events);
        all.append(&mut new);
        all
    }

    /// Keeps an event. Gives the node whose session must end because its reports find no room.
    /// Requests are not kept: they are answered at once.
    pub(crate) fn keep(&mut self, event: Event) -> Option<Arc<str>> {
        match &event {
            Event::Ask { .. } => return None,
            Event::Seen(new) => {
                self.events
                    .retain(|e| !matches!(e, Event::Seen(s) if s.source == new.source && s.revision == new.revision));
                let of_source = |e: &Event| matches!(e, Event::Seen(s) if s.source == new.source);
                if self.events.iter().filter(|e| of_source(e)).count() >= REVISIONS_OF_A_SOURCE
                    && let Some(oldest) = self.events.iter().position(of_source)
                {
                    self.events.remove(oldest);
                }
            }
            Event::Away { source: new, .. } | Event::Reachable { source: new } => self
                .events
                .retain(|e| !matches!(e, Event::Away { source, .. } | Event::Reachable { source } if source == new)),
            Event::Hello(new) => self.forget(&new.node),
            Event::Ended { node: new } => {
                self.events.retain(|e| !matches!(e, Event::Ended { node } if node == new));
            }
            Event::Report { node, report, .. } => {
                // A heartbeat says no more than what is held of the node already.
                if report.is_heartbeat() && self.events.iter().any(|e| node_of(e) == Some(node)) {
                    return None;
                }
                if self.events.iter().filter(|e| matches!(e, Event::Report { .. })).count() >= REPORTS {
                    let node = node.clone();
                    self.forget(&node);
                    return Some(node);
                }
            }
        }
        self.events.push(event);
        None
    }

    fn forget(&mut self, node: &Arc<str>) {
        self.events.retain(|e| node_of(e) != Some(node));
    }
}

fn node_of(event: &Event) -> Option<&Arc<str>> {
    match event {
        Event::Hello(hello) => Some(&hello.node),
        Event::Report { node, .. } | Event::Ended { node } => Some(node),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_core::release::inbound::Seen;
    use evenkeel_model::{
        Revision, Snapshot,
        session::{NodeReport, Report, Stamp},
    };

    use super::*;

    fn report(node: &str, reason: Option<&str>) -> Event {
        let said = NodeReport { not_ready: reason.map(String::from), ..NodeReport::default() };
        let report = Report { node: reason.map(|_| said), ..Report::default() };
        Event::Report { node: node.into(), stamp: Stamp::default(), report: Box::new(report) }
    }

    fn seen(source: &str, commit: usize) -> Event {
        Event::Seen(Box::new(Seen {
            source: source.into(),
            revision: Revision::git(Some("main"), &format!("{commit:040x}")),
            author: String::new(),
            message: String::new(),
            outcome: Ok(Arc::new(Snapshot::default())),
            confirmed: true,
        }))
    }

    #[test]
    fn a_newer_word_replaces_an_older_one() {
        let mut held = Held::default();
        let away = Event::Away {
            source: "shop".into(),
            reason: "Timeout".into(),
            message: String::new(),
            next_try: Duration::from_secs(1),
        };
        for event in [seen("shop", 1), away, Event::Reachable { source: "shop".into() }, seen("shop", 1)] {
            assert_eq!(held.keep(event), None);
        }
        assert_eq!(held.before(Vec::new()), [Event::Reachable { source: "shop".into() }, seen("shop", 1)]);
        assert!(held.is_empty());
    }

    #[test]
    fn the_newest_revisions_of_a_source_stay() {
        let mut held = Held::default();
        for commit in 0..100 {
            held.keep(seen("shop", commit));
        }
        held.keep(seen("other", 1));
        let all = held.before(Vec::new());
        assert_eq!(all.len(), REVISIONS_OF_A_SOURCE + 1);
        assert!(all.contains(&seen("shop", 99)));
    }

    #[test]
    fn a_node_with_too_much_to_say_starts_anew() {
        let mut held = Held::default();
        held.keep(report("quiet", None));
        held.keep(report("quiet", None));
        let ended: Vec<_> = (0..REPORTS).filter_map(|_| held.keep(report("loud", Some("why")))).collect();
        assert_eq!(ended, ["loud".into()]);
        assert_eq!(held.before(Vec::new()), [report("quiet", None)], "heartbeats are held once");
    }
}
