//! A connection of HTTP/2 that runs after those who have something for it.
//!
//! Each request on it is a task, and each answer wakes the connection, which would write it at once: a call of
//! the kernel and a record of TLS for every answer. A connection that is woken therefore goes behind what is
//! ready to run already, once, and then writes what all of them brought (`together`). With nothing else to run that
//! is no wait.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turn {
    last: bool,
    waited: bool,
}

impl Turn {
    /// With `last` what is woken lets others run first; else it runs as it is woken.
    pub(crate) fn new(last: bool) -> Self {
        Self { last, waited: false }
    }

    /// Runs the future to its end, and calls `after` each time that it ran. May be dropped and called again for the
    /// same one.
    pub(crate) fn of<F: Future>(
        &mut self,
        mut of: Pin<&mut F>,
        mut after: impl FnMut(&mut Context<'_>),
    ) -> impl Future<Output = F::Output> {
        poll_fn(move |cx| {
            if self.last && !std::mem::replace(&mut self.waited, true) {
                // A task that wakes itself while it runs goes to the end of those that are ready.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.waited = false;
            let polled = of.as_mut().poll(cx);
            after(cx);
            polled
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    /// Takes what is there each time that it runs, and says how often that was.
    async fn takes(last: bool) -> usize {
        let (send, mut receive) = mpsc::unbounded_channel();
        let runs = Arc::new(AtomicUsize::new(0));
        let counts = runs.clone();
        let task = tokio::spawn(async move {
            let mut taken = 0;
            let reader = poll_fn(|cx| {
                counts.fetch_add(1, Ordering::Relaxed);
                while let Poll::Ready(Some(())) = receive.poll_recv(cx) {
                    taken += 1;
                }
                if taken == 10 { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::pin!(reader);
            Turn::new(last).of(reader, |_| {}).await;
        });
        tokio::task::yield_now().await;
        for _ in 0..10 {
            let send = send.clone();
            tokio::spawn(async move { send.send(()) });
        }
        timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
        runs.load(Ordering::Relaxed)
    }

    /// On a worker as in the agent, which lets the one that is woken run next.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_others_bring_is_taken_at_once() {
        let both = tokio::spawn(async { (takes(false).await, takes(true).await) });
        let (first, last) = both.await.unwrap();
        assert!(last <= 2, "{last} runs, {first} of one that runs as it is woken");
        assert!(first > last, "{last} runs, {first} of one that runs as it is woken");
    }
}
