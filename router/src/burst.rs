//! Answers in bursts: requests that are ready together are all answered before the first answer is written.
//!
//! A write wakes its reader, and a reader that wakes for one answer finds one. Where several requests come at a time,
//! waiting for the others of the same turn costs none of them anything and saves most of the wake-ups.

use std::cell::Cell;

thread_local! {
    /// Answers of the thread's last turn, and of the one that runs.
    static ANSWERS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// The thread has done all it could and goes to sleep.
pub(crate) fn turn_ended() {
    ANSWERS.with(|answers| answers.set((answers.get().1, 0)));
}

/// An answer is there. Lets the other ready requests run first, if the last turn had more than this one: a lone
/// request would only lose a look at the sockets.
pub(crate) async fn join() {
    let crowded = ANSWERS.with(|answers| {
        let (last, now) = answers.get();
        answers.set((last, now.saturating_add(1)));
        last > 1
    });
    if crowded {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::{join, turn_ended};

    fn waits() -> bool {
        let mut join = pin!(join());
        let mut context = Context::from_waker(Waker::noop());
        matches!(join.as_mut().poll(&mut context), Poll::Pending)
    }

    #[test]
    fn only_answers_of_a_crowd_wait_for_each_other() {
        assert!(!waits(), "nobody was here before");
        turn_ended();
        assert!(!waits(), "one was alone");
        assert!(!waits());
        turn_ended();
        assert!(waits(), "two came in one turn");
        turn_ended();
        assert!(!waits(), "and then one");
    }
}
