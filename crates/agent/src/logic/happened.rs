//! What happened to pods, for people: told to the server, which makes Kubernetes Events of it.
//!
//! Equal ones are one with a count. One that was told is told again only after [`REPEAT`], so that a
//! probe that fails each second makes no report each second; of many that differ only in their words
//! the later ones are one. All of it is bounded, the oldest go first, and none is kept on disk: what
//! matters for decisions is in the pods' statuses. Deliberately not here: what is worth telling (the
//! pods' machines say that).

use std::{collections::BTreeMap, time::Duration};

use evenkeel_model::{Time, Uid};
use evenkeel_wire::{PodEvent, PodOrder};

use super::{secrets, shift::shift};

/// Least time between two words on the same thing.
const REPEAT: Duration = Duration::from_mins(1);
/// How long a thing is remembered as told: Kubernetes aggregates over 10 minutes.
const REMEMBER: Duration = Duration::from_mins(10);
/// Things remembered or waiting; the oldest go first. Some for each of 110 pods.
const MOST: usize = 1000;
/// Things of one pod and reason that differ in their words: Kubernetes' limit for similar ones.
const SIMILAR: usize = 10;
/// Stands for the words of all further ones, as in Kubernetes.
const COMBINED: &str = "(combined from similar events): ";
/// Longest message in bytes: that of a Kubernetes Event.
const MAX_MESSAGE: usize = 1024;

/// What makes two of them one: pod, part of it, reason, message.
type Key = (Uid, String, &'static str, String);

#[derive(Debug)]
struct Entry {
    /// What is to be told; `None` once it was.
    waiting: Option<PodEvent>,
    /// When it may be told.
    due: Time,
    /// When it happened last.
    last: Time,
}

/// Everything that happened of late.
#[derive(Debug, Default)]
pub(super) struct Happened {
    entries: BTreeMap<Key, Entry>,
    ready: Vec<Key>,
}

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Normal,
    Warning,
}

impl Happened {
    /// Notes that something happened to a pod, or to one container of it. Values of the pod's Secrets
    /// are struck out.
    pub(super) fn note(
        &mut self,
        now: Time,
        order: &PodOrder,
        part: Option<String>,
        tone: Tone,
        reason: &'static str,
        message: &str,
    ) {
        let lines = message.lines().map(str::to_owned).collect();
        let mut message = secrets::strike(order, lines).join("\n");
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        let part = part.unwrap_or_default();
        let mut key = (order.uid, part.clone(), reason, message.clone());
        if !self.entries.contains_key(&key) && self.similar(&key) >= SIMILAR {
            COMBINED.clone_into(&mut key.3);
            message.insert_str(0, COMBINED);
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        }
        let entry = self.entries.entry(key).or_insert(Entry { waiting: None, due: now, last: now });
        entry.last = now;
        let event = entry.waiting.get_or_insert_with(|| PodEvent {
            pod: order.uid,
            namespace: order.namespace.clone(),
            name: order.name.clone(),
            field: part,
            warning: tone == Tone::Warning,
            reason: reason.to_owned(),
            message: String::new(),
            count: 0,
            first: now,
            last: now,
        });
        event.count = event.count.saturating_add(1);
        event.last = now;
        event.message = message;
        if self.entries.len() > MOST {
            self.drop_oldest();
        }
    }

    fn similar(&self, (pod, part, reason, _): &Key) -> usize {
        let from = (*pod, part.clone(), *reason, String::new());
        self.entries.range(from..).take_while(|((p, f, r, _), _)| (p, f, r) == (pod, part, reason)).count()
    }

    fn drop_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.entries.remove(&key);
            self.ready.retain(|k| *k != key);
        }
    }

    /// Moves what may be told to what is told, and forgets what was told long ago.
    pub(super) fn tick(&mut self, now: Time) {
        self.entries.retain(|_, entry| entry.waiting.is_some() || now.since(entry.last) < REMEMBER);
        let due = self.entries.iter().filter(|(_, entry)| entry.waiting.is_some() && entry.due <= now);
        self.ready = due.map(|(key, _)| key.clone()).collect();
    }

    /// When [`Happened::tick`] has something to move.
    pub(super) fn wake(&self) -> Option<Time> {
        self.entries
            .iter()
            .filter(|(key, e)| e.waiting.is_some() && !self.ready.contains(key))
            .map(|(_, e)| e.due)
            .min()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is told now, in the order in which it happened.
    pub(super) fn take(&mut self, now: Time) -> Vec<PodEvent> {
        let mut out: Vec<PodEvent> = Vec::new();
        for key in std::mem::take(&mut self.ready) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.due = now + REPEAT;
                out.extend(entry.waiting.take());
            }
        }
        out.sort_by_key(|event| event.last);
        out
    }

    pub(super) fn clock_moved(&mut self, millis: i64) {
        for entry in self.entries.values_mut() {
            shift(&mut entry.due, millis);
            shift(&mut entry.last, millis);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evenkeel_model::{Content, Digest, Version};
    use evenkeel_wire::PodContent;

    use super::*;

    fn order(pod: u128) -> PodOrder {
        let data = BTreeMap::from([("k".to_owned(), Arc::from(b"hunter2hunter2".as_slice()))]);
        PodOrder {
            uid: Uid(pod),
            namespace: "shop".into(),
            name: "web".into(),
            version: Version(1),
            pod: serde_json::Value::Null,
            deletion: None,
            contents: vec![PodContent {
                secret: true,
                name: "s".into(),
                secret_type: String::new(),
                digest: Digest::of(b""),
                content: Arc::new(Content { secret: true, data }),
            }],
            image_ids: BTreeMap::new(),
            self_heal: true,
        }
    }

    fn at(seconds: i64) -> Time {
        Time::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_thing_is_told_at_once_and_then_once_a_minute_with_its_count() {
        let mut book = Happened::default();
        let mut told = Vec::new();
        for second in 0..150 {
            book.note(at(second), &order(1), None, Tone::Warning, "Unhealthy", "no answer");
            book.tick(at(second));
            told.extend(book.take(at(second)).into_iter().map(|e| (second, e.count)));
        }
        assert_eq!(told, [(0, 1), (60, 60), (120, 60)]);
        assert_eq!(book.wake(), Some(at(180)));
        book.tick(at(180));
        let last = book.take(at(180));
        assert_eq!((last[0].count, last[0].first, last[0].last), (29, at(121), at(149)));
        book.tick(at(149 + 600));
        assert!(book.entries.is_empty(), "forgotten");
    }

    #[test]
    fn similar_ones_are_combined_and_all_is_bounded() {
        let mut book = Happened::default();
        for n in 0..50 {
            book.note(at(n), &order(1), None, Tone::Warning, "Unhealthy", &format!("answer {n}"));
        }
        assert_eq!(book.entries.len(), SIMILAR + 1);
        book.tick(at(50));
        let told = book.take(at(50));
        let combined = told.last().unwrap();
        assert_eq!((combined.count, combined.message.as_str()), (40, "(combined from similar events): answer 49"));
        for pod in 0..3000 {
            book.note(at(60), &order(pod), None, Tone::Normal, "Started", "x");
        }
        assert_eq!(book.entries.len(), MOST);
    }

    #[test]
    fn values_of_secrets_and_long_words_are_cut() {
        let mut book = Happened::default();
        let message = format!("the word is hunter2hunter2 {}", "ü".repeat(2000));
        book.note(at(0), &order(1), Some("spec.containers{web}".into()), Tone::Normal, "Unhealthy", &message);
        book.tick(at(0));
        let told = book.take(at(0));
        assert!(!told[0].message.contains("hunter2") && told[0].message.len() <= MAX_MESSAGE, "{}", told[0].message);
        assert_eq!(told[0].field, "spec.containers{web}");
    }
}
