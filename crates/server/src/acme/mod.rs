//! Certificates for Ingresses from an ACME directory (RFC 8555), as Let's Encrypt's is one: asked for when an
//! Ingress wants one, and again when two thirds of its life are over.
//!
//! One task, started with the server where a directory is set. It looks at what Ingresses want (`core::acme`)
//! whenever the world changed, has one order under way at a time (`order`), and writes through the conductor
//! what comes of it. What fails is told as an event at the Ingress and tried again after a wait that grows.
//! Agents' Ingresses give the answers that the directory looks for (HTTP-01), so port 80 of the hosts must
//! lead to nodes. Deliberately not here: keys of nodes and users (`pki`).

mod due;
mod http;
mod order;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use evenkeel_core::{
    Ask,
    acme::{self, Held, Step, Wanted},
};
use evenkeel_model::{Key, Kind, Time, Version};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    api::Backend as _,
    host::{Host, wall},
    pki,
};

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_secs(1);
/// Without a change it looks this often: clocks may jump.
const LOOK: Duration = Duration::from_hours(1);
/// One order takes at most this long, with all waits for the directory.
const ORDER: Duration = Duration::from_mins(5);
/// Waits between failures are this many times as long, one after the other: at most five within an hour, for
/// directories refuse for longer whoever asks more.
const GROWS: u32 = 3;
/// The longest of them.
const LONGEST: Duration = Duration::from_hours(6);
/// Names of one certificate: what Let's Encrypt takes.
const MOST_NAMES: usize = 100;

/// How certificates are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The directory's URL.
    pub directory: String,
    /// Where the directory may write to.
    pub email: Option<String>,
    /// PEM of the authority that vouches for the directory, if not one that the system knows.
    pub ca: Option<PathBuf>,
    /// The first wait after a failure.
    pub first_wait: Duration,
}

/// What was tried for a Secret, and failed.
struct Tries {
    /// Of what: something else is tried at once.
    of: (BTreeSet<String>, Option<Version>),
    count: u32,
    next: Time,
}

/// The task's state.
struct Acme {
    host: Host,
    options: Options,
    account: Option<instant_acme::Account>,
    /// The account that was kept is not the directory's any more.
    forget: bool,
    tries: BTreeMap<Key, Tries>,
}

/// Runs until it is stopped.
pub async fn run(host: Host, options: Options, stop: CancellationToken) {
    let mut head = host.live().head();
    let mut acme = Acme { host, options, account: None, forget: false, tries: BTreeMap::new() };
    loop {
        head.borrow_and_update();
        let Some(next) = stop.run_until_cancelled(acme.look()).await else { return };
        let waits = async {
            tokio::select! {
                // The host's end is the end of all.
                changed = head.changed() => changed.is_ok(),
                () = sleep(next) => true,
            }
        };
        if !stop.run_until_cancelled(waits).await.unwrap_or(false) {
            return;
        }
        if stop.run_until_cancelled(sleep(SETTLE)).await.is_none() {
            return;
        }
    }
}

impl Acme {
    /// Does what is due, one certificate at most. Says when to look again.
    async fn look(&mut self) -> Duration {
        let asked = self.host.live().view().list(Kind::Ingress, "").any(|i| acme::asks(i));
        if !asked && self.tries.is_empty() {
            return LOOK;
        }
        let Ok(world) = self.host.world().await else { return SETTLE };
        if world.recovering.is_some() {
            return SETTLE;
        }
        // Of an order that a crash cut off: none is under way here.
        for ingress in acme::answering(&world) {
            self.write(Step::Answers { ingress, answers: Vec::new() }).await.ok();
        }
        let wanted = acme::wanted(&world);
        drop(world);
        self.tries.retain(|secret, _| wanted.iter().any(|w| w.secret == *secret));
        let now = wall();
        let mut soonest = LOOK;
        for want in wanted {
            let wait = self.when(&want, now).since(now);
            if wait.is_zero() {
                self.get(&want).await;
                return Duration::ZERO;
            }
            soonest = soonest.min(wait);
        }
        soonest
    }

    fn when(&self, want: &Wanted, now: Time) -> Time {
        let due = match &want.held {
            Held::Nothing | Held::Others => now,
            Held::Certificate(held) => due::due(&held.chain, &want.hosts).unwrap_or(now),
        };
        let tries = self.tries.get(&want.secret).filter(|t| t.of == of(want));
        tries.map_or(due, |t| due.max(t.next))
    }

    /// Gets one certificate, or tells why there is none.
    async fn get(&mut self, want: &Wanted) {
        let gotten = timeout(ORDER, self.gotten(want)).await;
        let gotten = gotten.unwrap_or_else(|_| Err(format!("the order took more than {} s", ORDER.as_secs())));
        // Whatever became of it: nobody asks for these any more.
        let over = Step::Answers { ingress: want.ingress.clone(), answers: Vec::new() };
        if let Err(error) = self.write(over).await {
            tracing::debug!(ingress = %want.ingress, error, "an order's answers stay until the next look");
        }
        match gotten {
            Ok(()) => {
                metrics::counter!("evenkeel_acme_certificates_total").increment(1);
                tracing::info!(secret = %want.secret, "a certificate was issued");
                self.tries.remove(&want.secret);
            }
            Err(why) => self.failed(want, &why).await,
        }
    }

    async fn gotten(&mut self, want: &Wanted) -> Result<(), String> {
        objection(want)?;
        let (chain, key) = self.order(want).await?;
        let until =
            due::life(&chain).map(|(_, end)| end.rfc3339()).ok_or("the directory's certificate cannot be read")?;
        let (ingress, secret) = (want.ingress.clone(), want.secret.clone());
        self.write(Step::Certificate { ingress, secret, chain, key, until }).await
    }

    async fn failed(&mut self, want: &Wanted, why: &str) {
        metrics::counter!("evenkeel_acme_failures_total").increment(1);
        let before = self.tries.get(&want.secret).filter(|t| t.of == of(want)).map_or(0, |t| t.count);
        let pause = jittered(self.options.first_wait.saturating_mul(GROWS.saturating_pow(before)).min(LONGEST));
        let names = want.hosts.iter().cloned().collect::<Vec<_>>().join(", ");
        let again = humantime(pause);
        let message =
            format!("no certificate for {names} in the Secret {}: {why}; tried again in {again}", want.secret.name);
        tracing::warn!(ingress = %want.ingress, secret = %want.secret, why, wait = ?pause, "no certificate");
        let tries = Tries { of: of(want), count: before.saturating_add(1), next: wall() + pause };
        self.tries.insert(want.secret.clone(), tries);
        if let Err(error) = self.write(Step::Failed { ingress: want.ingress.clone(), message }).await {
            tracing::debug!(ingress = %want.ingress, error, "its failure could not be told");
        }
    }

    async fn write(&self, step: Step) -> Result<(), String> {
        let written = self.host.ask(Ask::Acme(Box::new(step)), "evenkeel-acme").await;
        written.map(drop).map_err(|e| format!("the server cannot keep it: {e}"))
    }
}

fn of(want: &Wanted) -> (BTreeSet<String>, Option<Version>) {
    (want.hosts.clone(), want.version)
}

/// What cannot be had whatever the directory says.
fn objection(want: &Wanted) -> Result<(), String> {
    if want.held == Held::Others {
        let secret = &want.secret.name;
        return Err(format!(
            "the Secret {secret} is there already and was not made for this; delete it, or name another"
        ));
    }
    if let Some(host) = want.hosts.iter().find(|h| h.starts_with('*')) {
        return Err(format!("{host} is a wildcard, for which directories want a proof by DNS that is not supported"));
    }
    if want.hosts.len() > MOST_NAMES {
        return Err(format!("{} names are more than {MOST_NAMES}", want.hosts.len()));
    }
    Ok(())
}

/// Up to a quarter longer, so that many do not come together.
fn jittered(wait: Duration) -> Duration {
    wait + pki::up_to(wait / 4)
}

/// A wait for people, in its largest unit.
fn humantime(wait: Duration) -> String {
    match wait.as_secs() {
        secs if secs >= 7200 => format!("{} h", secs / 3600),
        secs if secs >= 120 => format!("{} min", secs / 60),
        secs => format!("{secs} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_directory_gives_is_refused_before_it_is_asked() {
        let want = |hosts: &[&str], held| Wanted {
            ingress: Key::new(Kind::Ingress, "d", "i"),
            secret: Key::new(Kind::Secret, "d", "s"),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            version: None,
            held,
        };
        assert!(objection(&want(&["a.example"], Held::Nothing)).is_ok());
        assert!(objection(&want(&["a.example"], Held::Others)).unwrap_err().contains("not made for this"));
        assert!(objection(&want(&["*.a.example"], Held::Nothing)).unwrap_err().contains("wildcard"));
        let many: Vec<String> = (0..101).map(|n| format!("h{n}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(objection(&want(&many, Held::Nothing)).is_err());
    }

    #[test]
    fn waits_vary_and_are_told() {
        let wait = Duration::from_secs(100);
        let all: Vec<Duration> = (0..20).map(|_| jittered(wait)).collect();
        assert!(all.iter().all(|w| (100..=125).contains(&w.as_secs())) && all.iter().any(|w| *w != all[0]), "{all:?}");
        assert_eq!([60, 180, 3600 * 6].map(|s| humantime(Duration::from_secs(s))), ["60 s", "3 min", "6 h"]);
    }
}
