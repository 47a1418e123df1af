//! What agents were told last of things of one sort, so that what says the same is told once.

use std::collections::BTreeMap;

/// By the thing's name.
#[derive(Debug)]
pub(crate) struct Told<K, T>(BTreeMap<K, T>);

/// What there is to tell of a thing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News<T> {
    /// Nothing.
    Same,
    /// It is so now.
    Is(T),
    /// It is gone.
    Gone,
}

impl<K, T> Default for Told<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, T: Clone + PartialEq> Told<K, T> {
    /// Takes in how a thing is now, `None` where it is not there, as told.
    pub(crate) fn tell(&mut self, key: K, now: Option<T>) -> News<T> {
        match now {
            Some(now) if self.0.get(&key) == Some(&now) => News::Same,
            Some(now) => {
                self.0.insert(key, now.clone());
                News::Is(now)
            }
            None if self.0.remove(&key).is_some() => News::Gone,
            None => News::Same,
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        self.0.get(key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_told_once() {
        let mut told = Told::default();
        let news = [Some(1), Some(1), Some(2), None, None].map(|now| told.tell("a", now));
        assert_eq!(news, [News::Is(1), News::Same, News::Is(2), News::Gone, News::Same]);
    }
}
