//! Which session of each node is heard, and how far: what is late, doubled or lost on the way does no
//! harm.
//!
//! Part of a batch: with a batch that is undone this is undone, too. Deliberately not here: what an
//! agent is sent (`dispatch`).

use std::sync::Arc;

use evenkeel_model::session::{Report, Stamp};
use imbl::OrdMap;

/// What to do with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one.
    Next,
    /// It was there before, or is of an older session: it says nothing.
    Late,
    /// Something before it was lost, or its session is not known here: the node must begin anew.
    Lost,
}

/// Sessions by node: the number of each, and its last report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(OrdMap<Arc<str>, Stamp>);

impl Sessions {
    /// A session begins; false if it did before: its hello came twice, or after that of a later one.
    /// Numbers rise, but where an agent lost its disk and its clock was set back: it waits for the end
    /// of the session before.
    pub(crate) fn begin(&mut self, node: &Arc<str>, session: u64) -> bool {
        if self.0.get(node).is_some_and(|s| s.session >= session) {
            return false;
        }
        self.0.insert(node.clone(), Stamp { session, seq: 0 });
        true
    }

    /// A session ended.
    pub(crate) fn end(&mut self, node: &str) {
        self.0.remove(node);
    }

    /// Takes a report in, if it is the next one.
    pub(crate) fn take(&mut self, node: &str, stamp: Stamp, report: &Report) -> Verdict {
        let Some(last) = self.0.get_mut(node) else { return Verdict::Lost };
        if stamp.session != last.session {
            return if stamp.session < last.session { Verdict::Late } else { Verdict::Lost };
        }
        let next = if report.is_heartbeat() { last.seq } else { last.seq + 1 };
        match stamp.seq.cmp(&next) {
            std::cmp::Ordering::Less => Verdict::Late,
            std::cmp::Ordering::Greater => Verdict::Lost,
            std::cmp::Ordering::Equal => {
                last.seq = next;
                Verdict::Next
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::session::NodeReport;

    use super::*;

    fn said() -> Report {
        Report { node: Some(NodeReport::default()), ..Report::default() }
    }

    #[test]
    fn reports_count_in_order_and_once() {
        let mut sessions = Sessions::default();
        let node: Arc<str> = "n1".into();
        let at = |session, seq| Stamp { session, seq };
        let (said, beat) = (said(), Report::default());
        assert_eq!(sessions.take(&node, at(7, 1), &said), Verdict::Lost, "no session");
        assert!(sessions.begin(&node, 7));
        assert_eq!(sessions.take(&node, at(7, 0), &beat), Verdict::Next);
        assert_eq!(sessions.take(&node, at(7, 1), &said), Verdict::Next);
        assert_eq!(sessions.take(&node, at(7, 1), &said), Verdict::Late, "doubled");
        assert_eq!(sessions.take(&node, at(7, 0), &beat), Verdict::Late);
        assert_eq!(sessions.take(&node, at(7, 1), &beat), Verdict::Next);
        assert_eq!(sessions.take(&node, at(7, 3), &said), Verdict::Lost);
        assert_eq!(sessions.take(&node, at(7, 2), &beat), Verdict::Lost, "the heartbeat tells of what did not come");
        assert!(!sessions.begin(&node, 7), "a hello that comes twice begins nothing");
        assert_eq!(sessions.take(&node, at(7, 2), &said), Verdict::Next);
    }

    #[test]
    fn another_sessions_reports_are_not_taken() {
        let mut sessions = Sessions::default();
        let node: Arc<str> = "n1".into();
        sessions.begin(&node, 7);
        assert!(sessions.begin(&node, 8));
        assert_eq!(sessions.take(&node, Stamp { session: 7, seq: 1 }, &said()), Verdict::Late);
        assert!(!sessions.begin(&node, 7), "its hello came late");
        assert_eq!(sessions.take(&node, Stamp { session: 8, seq: 1 }, &said()), Verdict::Next);
        assert_eq!(sessions.take(&node, Stamp { session: 9, seq: 1 }, &said()), Verdict::Lost);
        sessions.end(&node);
        assert_eq!(sessions.take(&node, Stamp { session: 8, seq: 2 }, &said()), Verdict::Lost);
        assert!(sessions.begin(&node, 7));
    }
}
