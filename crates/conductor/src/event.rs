//! What goes into a step and what comes out.

use std::{sync::Arc, time::Duration};

use evenkeel_core::{Answer, Ask, Refusal, release::inbound::Seen, world::View};
use evenkeel_model::{
    Key, Object, SourceName, Time, Version,
    session::{Hello, Report, Stamp, ToAgent},
};

/// Names a request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Something from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A source's follower has seen a revision.
    Seen(Box<Seen>),
    /// A source cannot be reached.
    Away {
        /// Source.
        source: SourceName,
        /// One word.
        reason: String,
        /// For people.
        message: String,
        /// When it is tried again, from now.
        next_try: Duration,
    },
    /// A source answers.
    Reachable {
        /// Source.
        source: SourceName,
    },
    /// A user asks for something.
    Ask {
        /// To answer it.
        id: AskId,
        /// What.
        ask: Box<Ask>,
        /// Who.
        user: String,
    },
    /// An agent's session began.
    Hello(Box<Hello>),
    /// An agent reports; an empty report is a heartbeat.
    Report {
        /// Node.
        node: Arc<str>,
        /// Its place in the session.
        stamp: Stamp,
        /// What changed there.
        report: Box<Report>,
    },
    /// An agent's session ended: nothing is sent until its next hello.
    Ended {
        /// Node.
        node: Arc<str>,
    },
}

impl Event {
    /// For logs and for the message of a panic: no values.
    pub fn describe(&self) -> String {
        match self {
            Self::Seen(s) => format!("revision {} of source {}", s.revision, s.source),
            Self::Away { source, .. } => format!("source {source} away"),
            Self::Reachable { source } => format!("source {source} reachable"),
            Self::Ask { id, .. } => format!("request {}", id.0),
            Self::Hello(h) => format!("hello of node {}", h.node),
            Self::Report { node, .. } => format!("report of node {node}"),
            Self::Ended { node } => format!("end of the session of node {node}"),
        }
    }
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The core said no.
    Refused(Refusal),
    /// Its handling panicked; everything it did was undone.
    Panicked,
    /// The disk is full.
    DiskFull,
}

/// One committed change of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its version.
    pub version: Version,
    /// The object.
    pub key: Key,
    /// Before.
    pub old: Option<Arc<Object>>,
    /// After.
    pub new: Option<Arc<Object>>,
}

/// What a step asks its driver to do, all of it after the commit.
#[derive(Debug, Default)]
pub struct Output {
    /// Answers.
    pub replies: Vec<(AskId, Result<Answer, Failure>)>,
    /// Changes for watchers, in order.
    pub published: Vec<Published>,
    /// Messages for agents, in order for each.
    pub to_agents: Vec<(Arc<str>, ToAgent)>,
    /// Nodes whose sessions must be closed, because something of them was dropped: the next hello
    /// tells everything.
    pub hang_up: Vec<Arc<str>>,
    /// What readers see from now on; `None` if nothing changed.
    pub view: Option<View>,
    /// When to step again without an event; now or earlier where work is left.
    pub wake: Option<Time>,
}
