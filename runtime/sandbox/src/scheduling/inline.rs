//! A call on the caller's thread, for as long as it is short.

use super::clock::ticks;
use super::poll_guest;
use super::share::CpuShare;
use crate::call::{Call, CallEnd};
use crate::limits::INLINE_TICKS;
use std::fmt;
use std::task::{Context, Poll};

/// A call that its caller polls, with the ticks it has taken from the caller's thread.
pub struct InlineCall {
    call: Call,
    ticks: u64,
}

/// What one poll of a call on the caller's thread came to.
#[derive(Debug)]
pub enum InlinePoll {
    /// The guest is done.
    Ready(CallEnd),
    /// The guest waits for I/O; its waker is registered.
    Waiting,
    /// The guest has had its ticks: hand the call to the guest threads.
    Struck,
}

impl InlineCall {
    /// Nothing runs until it is polled.
    pub fn new(call: Call) -> Self {
        Self { call, ticks: 0 }
    }

    /// Polls the call once on this thread, under its dyno's share.
    pub fn poll(&mut self, share: &CpuShare, context: &mut Context<'_>) -> InlinePoll {
        let (began, left) = (ticks(), INLINE_TICKS.saturating_sub(self.ticks));
        let (poll, struck) = share.sampled(|| poll_guest(left, self.call.as_mut(), context));
        // A call that waits again and again has one budget, not one after each wait.
        self.ticks += ticks() - began;
        match poll {
            Poll::Ready(end) => {
                share.behaved();
                InlinePoll::Ready(end)
            }
            Poll::Pending if struck || self.ticks >= INLINE_TICKS => InlinePoll::Struck,
            Poll::Pending => InlinePoll::Waiting,
        }
    }

    /// The call itself, to be finished elsewhere.
    pub fn into_call(self) -> Call {
        self.call
    }
}

impl fmt::Debug for InlineCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InlineCall")
            .field("ticks", &self.ticks)
            .finish_non_exhaustive()
    }
}
