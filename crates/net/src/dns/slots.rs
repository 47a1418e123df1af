//! Places for what is under way: so many in all, and so many for each client, so that one pod cannot
//! take away all names from the others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Places, shared by all clients.
#[derive(Debug)]
pub(super) struct Slots {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    of: Arc<Slots>,
    client: IpAddr,
}

impl Slots {
    pub(super) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// A place for a client; `None` where there is none.
    pub(super) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Slot> {
        let mut taken = self.taken();
        if taken.all >= self.all || taken.by_client.get(&client).is_some_and(|n| *n >= self.each) {
            return None;
        }
        taken.all += 1;
        *taken.by_client.entry(client).or_default() += 1;
        Some(Slot { of: Arc::clone(self), client })
    }

    // Plain numbers, right also after a panic elsewhere.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(n) = taken.by_client.get_mut(&self.client) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_all_and_for_each() {
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let slots = Slots::new(3, 2);
        let first = slots.take(a).unwrap();
        let _second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none(), "one client has its share");
        let _third = slots.take(b).unwrap();
        assert!(slots.take(b).is_none(), "all are taken");
        drop(first);
        assert!(slots.take(a).is_some());
        assert_eq!(slots.taken().by_client.len(), 2);
    }
}
