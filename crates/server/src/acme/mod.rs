//! Certificates for Ingresses from an ACME directory (RFC 8555), as Let's Encrypt's is one: asked for when an
//! Ingress wants one, and again when two thirds of its life are over.
//!
//! One task, started with the server where a directory is set. It looks at what Ingresses want (`core::acme`)
//! whenever the world changed, has one order under way at a time (`order`), and writes through the conductor
//! what comes of it. What fails is told as an event at the Ingress and tried again after a wait that grows.
//! That an order begins is written before it does, with when the next one would: a server that is killed and
//! started again and again asks the directory no more often than one that runs.
//! Agents' Ingresses give the answers that the directory looks for (HTTP-01), so port 80 of the hosts must
//! lead to nodes. Deliberately not here: keys of nodes and users (`pki`).

mod due;
mod http;
mod order;

use std::{path::PathBuf, time::Duration};

use evenkeel_core::{
    Ask,
    acme::{self, Held, Step, Tries, Wanted},
};
use evenkeel_model::{Kind, Time};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Backend as _, human},
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
/// What cannot be written is tried again after this: an order of which nothing is kept is not begun.
const UNKEPT: Duration = Duration::from_mins(1);
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

/// The task's state.
struct Acme {
    host: Host,
    options: Options,
    account: Option<instant_acme::Account>,
    /// The account that was kept is not the directory's any more.
    forget: bool,
}

/// Runs until it is stopped.
pub async fn run(host: Host, options: Options, stop: CancellationToken) {
    let mut head = host.live().head();
    let mut acme = Acme { host, options, account: None, forget: false };
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
        if !asked {
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
        let now = wall();
        let mut soonest = LOOK;
        for want in wanted {
            let wait = when(&want, now).since(now);
            if wait.is_zero() {
                return if self.get(&want).await { Duration::ZERO } else { UNKEPT };
            }
            soonest = soonest.min(wait);
        }
        soonest
    }

    /// Gets one certificate, or tells why there is none. False where neither can be written.
    async fn get(&mut self, want: &Wanted) -> bool {
        let tries = self.with_this(want);
        let gotten = timeout(ORDER, self.gotten(want, tries)).await;
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
                true
            }
            Err(why) => self.failed(want, &why).await,
        }
    }

    async fn gotten(&mut self, want: &Wanted, tries: Tries) -> Result<(), String> {
        objection(want)?;
        let (ingress, secret) = (want.ingress.clone(), want.secret.clone());
        self.write(Step::Begins { ingress: ingress.clone(), secret: secret.clone(), tries }).await?;
        let (chain, key) = self.order(want).await?;
        let until =
            due::life(&chain).map(|(_, end)| end.rfc3339()).ok_or("the directory's certificate cannot be read")?;
        self.write(Step::Certificate { ingress, secret, chain, key, until }).await
    }

    /// What was tried with the try that begins now, or ended now: the wait counts from here.
    fn with_this(&self, want: &Wanted) -> Tries {
        let before = want.tries.as_ref().map_or(0, |t| t.count);
        let pause = self.options.first_wait.saturating_mul(GROWS.saturating_pow(before)).min(LONGEST);
        Tries { of: want.of(), count: before.saturating_add(1), next: wall() + jittered(pause) }
    }

    async fn failed(&mut self, want: &Wanted, why: &str) -> bool {
        metrics::counter!("evenkeel_acme_failures_total").increment(1);
        let tries = self.with_this(want);
        let names = want.hosts.iter().cloned().collect::<Vec<_>>().join(", ");
        let pause = human(tries.next.since(wall()));
        let message =
            format!("no certificate for {names} in the Secret {}: {why}; tried again in {pause}", want.secret.name);
        tracing::warn!(ingress = %want.ingress, secret = %want.secret, why, pause, "no certificate");
        let (ingress, secret) = (want.ingress.clone(), want.secret.clone());
        let told = self.write(Step::Failed { ingress, secret, tries, message }).await;
        if let Err(error) = &told {
            tracing::debug!(ingress = %want.ingress, error, "its failure could not be told");
        }
        told.is_ok()
    }

    async fn write(&self, step: Step) -> Result<(), String> {
        let written = self.host.ask(Ask::Acme(Box::new(step)), "evenkeel-acme").await;
        written.map(drop).map_err(|e| format!("the server cannot keep it: {e}"))
    }
}

/// When a certificate is to be asked for.
fn when(want: &Wanted, now: Time) -> Time {
    let due = match &want.held {
        Held::Nothing | Held::Others => now,
        Held::Certificate(held) => due::due(&held.chain, &want.hosts).unwrap_or(now),
    };
    // No wait is longer than the longest, whatever the clock was when it was written.
    want.tries.as_ref().map_or(due, |t| due.max(t.next.min(now + LONGEST + LONGEST / 4)))
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

#[cfg(test)]
mod tests {
    use evenkeel_model::Key;

    use super::*;

    #[test]
    fn what_no_directory_gives_is_refused_before_it_is_asked() {
        let want = |hosts: &[&str], held| Wanted {
            ingress: Key::new(Kind::Ingress, "d", "i"),
            secret: Key::new(Kind::Secret, "d", "s"),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            version: None,
            held,
            tries: None,
        };
        assert!(objection(&want(&["a.example"], Held::Nothing)).is_ok());
        assert!(objection(&want(&["a.example"], Held::Others)).unwrap_err().contains("not made for this"));
        assert!(objection(&want(&["*.a.example"], Held::Nothing)).unwrap_err().contains("wildcard"));
        let many: Vec<String> = (0..101).map(|n| format!("h{n}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(objection(&want(&many, Held::Nothing)).is_err());
    }

    #[test]
    fn what_was_tried_is_tried_again_after_its_wait_whatever_the_clock_was() {
        let now = Time::from_secs(1_000_000);
        let mut want = Wanted {
            ingress: Key::new(Kind::Ingress, "d", "i"),
            secret: Key::new(Kind::Secret, "d", "s"),
            hosts: ["a.example".to_owned()].into(),
            version: None,
            held: Held::Nothing,
            tries: None,
        };
        assert_eq!(when(&want, now), now);
        let mut tried = |next| {
            want.tries = Some(Tries { of: want.of(), count: 1, next });
            when(&want, now)
        };
        let (later, much) = (now + Duration::from_mins(1), now + Duration::from_hours(24 * 365));
        assert_eq!((tried(later), tried(Time(0))), (later, now));
        assert_eq!(tried(much).since(now), LONGEST + LONGEST / 4, "the clock was set back");
    }

    #[test]
    fn waits_vary() {
        let wait = Duration::from_secs(100);
        let all: Vec<Duration> = (0..20).map(|_| jittered(wait)).collect();
        assert!(all.iter().all(|w| (100..=125).contains(&w.as_secs())) && all.iter().any(|w| *w != all[0]), "{all:?}");
    }
}
