//! What the server's half of this process logs: when agents connected, and what it warned of.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _};

/// Shared with the subscriber.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    connected: Vec<(Instant, String)>,
    warnings: Vec<String>,
}

#[derive(Default)]
struct Fields {
    message: String,
    node: String,
    all: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "node" => self.node = format!("{value:?}"),
            _ => {}
        }
        let _ = write!(self.all, " {field}={value:?}");
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let of_server = event.metadata().target().starts_with("evenkeel_server");
        if !of_server || *event.metadata().level() > Level::INFO {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut said = self.0.lock().unwrap();
        if fields.message == "agent connected" {
            said.connected.push((Instant::now(), fields.node));
        } else if *event.metadata().level() <= Level::WARN {
            said.warnings.push(fields.all);
        }
    }
}

impl Log {
    /// Begins to listen in this process, once.
    pub fn listen() -> Self {
        let log = Self::default();
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log.clone())).unwrap();
        log
    }

    /// Nodes that connected since then.
    pub fn connected(&self, since: Instant) -> BTreeSet<String> {
        let said = self.0.lock().unwrap();
        said.connected.iter().filter(|(at, _)| *at >= since).map(|(_, node)| node.clone()).collect()
    }

    /// The most sessions that began within so long, and from the first to the last.
    pub fn burst(&self, since: Instant, window: Duration) -> (usize, Duration) {
        let said = self.0.lock().unwrap();
        let mut times: Vec<Instant> = said.connected.iter().map(|(at, _)| *at).filter(|at| *at >= since).collect();
        times.sort();
        let within = |from: &Instant| times.iter().filter(|at| *at >= from && **at < *from + window).count();
        let most = times.iter().map(within).max().unwrap_or(0);
        (most, times.last().zip(times.first()).map_or(Duration::ZERO, |(last, first)| *last - *first))
    }

    pub fn warnings(&self) -> Vec<String> {
        self.0.lock().unwrap().warnings.clone()
    }
}
