//! The story of `up` and `server` on the terminal: one line for each thing that happened, in words.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
};

use evenkeel_model::own::Phase;
use evenkeel_server::host::Told;
use tokio::{sync::broadcast, sync::broadcast::error::RecvError, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::control::{Control, ControlOptions};

/// Tells until it is stopped.
pub(super) struct Story {
    task: JoinHandle<()>,
    colour: bool,
}

/// Begins to tell what happens: as sentences, or as a line of JSON each.
pub(super) fn start(mut from: broadcast::Receiver<Told>, json: bool, stop: CancellationToken) -> Story {
    let colour = std::io::stdout().is_terminal();
    let tell = move |told: &Told| if json { line(told) } else { sentence(told, colour) };
    let task = tokio::spawn(async move {
        loop {
            match stop.run_until_cancelled(from.recv()).await {
                // A revision that was seen and waits for nothing is told when it is applied.
                Some(Ok(Told::Release { phase: Phase::Pending, detail, .. })) if detail.is_empty() && !json => {}
                Some(Ok(told)) => say(&tell(&told)),
                Some(Err(RecvError::Lagged(n))) => say(&format!("({n} things happened too fast to be told)")),
                Some(Err(RecvError::Closed)) | None => return,
            }
        }
    });
    Story { task, colour }
}

impl Control {
    /// What is followed, and how to look at it. `node` is the one in this very process.
    pub(super) fn say_start(&mut self, options: &ControlOptions, node: Option<&str>) {
        let bold = |s: &str| paint(s, "1", self.story.colour);
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = match &options.source {
            Some((name, spec)) => {
                let place = spec.git.as_ref().map_or_else(
                    || format!("the directory {}", spec.directory.as_deref().unwrap_or_default()),
                    |g| format!("the repository {}", g.url),
                );
                writeln!(text, "Following {place} as source {}", bold(name))
            }
            None => writeln!(
                text,
                "Going on with the sources there are. Add one: {}",
                bold("evenkeel source add NAME DIR|URL")
            ),
        };
        let _ = match node {
            Some(node) => writeln!(text, "Serving   {}, node {node}", self.url),
            None => writeln!(text, "Serving   {}", self.url),
        };
        if node.is_none() {
            let server = self.url.trim_start_matches("https://");
            let _ = writeln!(
                text,
                "Nodes     {} token create here; on each machine: evenkeel agent --server {server} --token TOKEN",
                program()
            );
        }
        let _ = writeln!(
            text,
            "Look      export KUBECONFIG={}; kubectl get pods -A; {} status",
            self.kubeconfig.display(),
            program()
        );
        text.push_str("Stop      Ctrl-C; the containers run on\n");
        say(&text);
    }
}

impl Story {
    /// Waits until everything has been told.
    pub(super) async fn end(self) {
        // A teller that panicked has nothing more to say.
        let _ended = self.task.await;
    }
}

/// That it ends, and what stays.
pub(super) fn say_end() {
    say(&format!("Stopping. The containers run on; `{} down` removes them", program()));
}

/// That a server ends, and that its nodes do not.
pub(super) fn say_server_end() {
    say("Stopping. The nodes and their containers run on");
}

/// The program as it was called, so that the lines that are shown work where it is not on the PATH.
fn program() -> String {
    std::env::args().next().filter(|p| !p.is_empty()).unwrap_or_else(|| "evenkeel".into())
}

/// Prints; a terminal that has gone away does not stop Evenkeel.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
}

/// One thing that happened, for machines: its fields, and `at`, in one line.
fn line(told: &Told) -> String {
    let mut value = serde_json::to_value(told).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("at".into(), jiff::Timestamp::now().to_string().into());
    }
    value.to_string()
}

/// One thing that happened, as a person would say it.
fn sentence(told: &Told, colour: bool) -> String {
    match told {
        Told::Release { source, revision, subject, phase, detail, .. } => {
            let code = match phase {
                Phase::Healthy | Phase::RolledBack => "32",
                Phase::Failed | Phase::Rejected | Phase::RollbackFailed => "31",
                Phase::RollingBack => "33",
                _ => "36",
            };
            let gap = if subject.is_empty() { String::new() } else { format!(" \"{subject}\"") };
            let mut text = format!("{source}  {revision}{gap}  {}", paint(&phase.to_string(), code, colour));
            for line in detail {
                let _ = write!(text, "\n    {line}");
            }
            text
        }
        Told::Rollout { name, updated, ready, replicas } => {
            format!("  {name}  {updated}/{replicas} updated, {ready} ready")
        }
        Told::Drift { object, path, detail, resolution, origin } => {
            let word = resolution.as_deref().unwrap_or("seen");
            format!("{}  {object} {path}: {detail}, {origin}: {word}", paint("drift", "33", colour))
        }
        Told::Source { name, reachable: true, .. } => format!("{name}  answers again"),
        Told::Source { name, message, .. } => format!("{name}  {}: {message}", paint("away", "33", colour)),
        Told::Node { name, ready: true, .. } => format!("node {name}  ready"),
        Told::Node { name, message, .. } => format!("node {name}  {}: {message}", paint("not ready", "31", colour)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_release_tells_its_cause() {
        let told = Told::Release {
            name: "shop-0123456789".into(),
            source: "shop".into(),
            revision: "main@0123456789".into(),
            subject: "new prices".into(),
            phase: Phase::Failed,
            detail: vec!["Deployment shop/web, web-1 shop: CrashLoopBackOff: exit code 3".into()],
        };
        assert_eq!(
            sentence(&told, false),
            "shop  main@0123456789 \"new prices\"  Failed\n    Deployment shop/web, web-1 shop: CrashLoopBackOff: exit code 3"
        );
        assert!(sentence(&told, true).contains("\u{1b}[31mFailed"));
    }
}
