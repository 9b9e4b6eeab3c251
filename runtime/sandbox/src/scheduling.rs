//! Where guest code runs: on the caller's thread while it is short, on the guest threads when it overruns.
//!
//! The epoch tick is how an overrun is noticed. Whoever polls a guest says for how many ticks it may compute
//! ([`poll_guest`]); a guest that has had them yields, which wakes its task, and sets a thread-local flag that
//! tells its poller: it was struck, it does not wait. The flag is exact because the epoch callback runs on the
//! polling thread, inside that poll. Code that merely `.await`s a guest has no budget: its guest yields at every
//! tick, and is polled again because it woke.

mod clock;
mod inline;
mod run_queue;
mod shard;
mod share;
mod task;
#[cfg(test)]
mod tests;
mod threads;

pub(crate) use clock::{advance, ticks};
pub use inline::{InlineCall, InlinePoll};
pub use shard::current_shard;
pub use share::CpuShare;
pub(crate) use task::panic_text;
pub(crate) use threads::Resident;
pub use threads::{GuestThreads, Moved, MovedCall, Running, SchedulingCounts};

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::{Store, UpdateDeadline};

/// One poll of a guest.
#[derive(Clone, Copy)]
struct GuestPoll {
    /// The tick after which it is struck.
    ends: u64,
    struck: bool,
}

thread_local! {
    static CURRENT: Cell<GuestPoll> = const { Cell::new(GuestPoll { ends: 0, struck: false }) };
}

/// Makes a store report strikes by the protocol above.
pub(crate) fn watch_epochs<T: 'static>(store: &mut Store<T>) {
    store.set_epoch_deadline(crate::limits::INLINE_TICKS);
    store.epoch_deadline_callback(|_| {
        let poll = CURRENT.get();
        // The store's own deadline may have passed while the guest waited for I/O.
        let left = poll.ends.saturating_sub(ticks());
        if left > 0 {
            return Ok(UpdateDeadline::Continue(left));
        }
        CURRENT.set(GuestPoll {
            struck: true,
            ..poll
        });
        Ok(UpdateDeadline::Yield(1))
    });
}

/// Polls a future once; a guest in it may compute for `budget` ticks. True when it was struck.
fn poll_guest<F: Future + ?Sized>(
    budget: u64,
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> (Poll<F::Output>, bool) {
    /// Also when the poll panics.
    struct Restored(GuestPoll);

    impl Drop for Restored {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    let current = GuestPoll {
        ends: ticks() + budget,
        struck: false,
    };
    let _outer = Restored(CURRENT.replace(current));
    let poll = future.poll(context);
    (poll, CURRENT.get().struck)
}
