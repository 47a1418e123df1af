//! Lines of watches, made once for all who are told the same.
//!
//! Called by `watch`: of one change there are as many watchers as there are nodes, controllers and people who look
//! on, and most want the whole object. Only the last lines are kept, for watchers who are woken by one change take
//! it at about the same time. Deliberately not here: who is told what.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use evenkeel_model::{Object, Version};

/// Lines kept, as many as a watcher takes at once.
const LINES: usize = super::live::TAKE;
/// Bytes of them.
const BYTES: usize = 4 << 20;

/// What a line says beside the object: the version at which it happened, what happened, and in which version of
/// its API the object is shown.
pub(super) type Said = (Version, &'static str, &'static str);

/// The last lines.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By whom it is about: after a restart of the store another object may have the same version.
    of: HashMap<Said, (Arc<Object>, Bytes)>,
    order: VecDeque<Said>,
    bytes: usize,
}

impl Lines {
    /// The line of an object, made unless it is there.
    pub(super) fn of(&self, said: Said, object: &Arc<Object>, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        let there = |kept: &Kept| kept.of.get(&said).filter(|(o, _)| Arc::ptr_eq(o, object)).map(|(_, b)| b.clone());
        if let Some(line) = there(&self.kept()) {
            return line;
        }
        // Made without the lock: two may make the same, which costs less than that all others wait.
        let line = Bytes::from(make());
        self.kept().keep(said, object, &line);
        line
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, said: Said, object: &Arc<Object>, line: &Bytes) {
        self.bytes += line.len();
        match self.of.insert(said, (object.clone(), line.clone())) {
            Some((_, before)) => self.bytes -= before.len(),
            None => self.order.push_back(said),
        }
        while self.order.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, line)) = self.of.remove(&oldest) {
                self.bytes -= line.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{Key, Kind, Meta, Uid};

    use super::*;

    fn object() -> Arc<Object> {
        let key = Key::new(Kind::ConfigMap, "d", "o");
        Arc::new(Object::new(key, Uid(1), Meta::default(), b"{}".as_slice().into()))
    }

    #[test]
    fn a_line_is_made_once_for_one_object() {
        let (lines, one) = (Lines::default(), object());
        let said = (Version(7), "ADDED", "v1");
        assert_eq!(lines.of(said, &one, || b"first".to_vec()), "first");
        assert_eq!(lines.of(said, &one, || b"second".to_vec()), "first");
        assert_eq!(lines.of((Version(7), "DELETED", "v1"), &one, || b"other".to_vec()), "other");
        // Equal, but of another life of the store.
        assert_eq!(lines.of(said, &object(), || b"third".to_vec()), "third");
    }

    #[test]
    fn the_oldest_lines_go() {
        let (lines, one) = (Lines::default(), object());
        let big = || vec![b'x'; BYTES / 4];
        for version in 0..6 {
            lines.of((Version(version), "ADDED", "v1"), &one, big);
        }
        assert_eq!(lines.of((Version(5), "ADDED", "v1"), &one, Vec::new).len(), BYTES / 4);
        assert_eq!(lines.of((Version(0), "ADDED", "v1"), &one, Vec::new).len(), 0);
        let kept = lines.kept();
        assert!(kept.bytes <= BYTES && kept.order.len() == kept.of.len(), "{kept:?}");
        drop(kept);
        for version in 0..1000 {
            lines.of((Version(version), "ADDED", "v1"), &one, || b"y".to_vec());
        }
        assert_eq!(lines.kept().of.len(), LINES);
    }
}
