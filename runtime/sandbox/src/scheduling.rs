//! Where guest code runs: on the caller's thread while it is short, on the guest threads when it overruns.
//!
//! The epoch tick is how an overrun is noticed. A poller that knows the protocol ([`poll_inline`], the guest
//! threads) is told by a thread-local flag that its guest was struck, and queues it again itself; any other
//! poller gets the ordinary yield, which wakes. Without that second half, code that merely `.await`s a guest
//! would hang at its first strike.

use crate::call::{Call, CallEnd};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime::{Store, UpdateDeadline};

thread_local! {
    static STRUCK: Cell<bool> = const { Cell::new(false) };
    static REQUEUES: Cell<bool> = const { Cell::new(false) };
}

/// Makes a store report strikes by the protocol above.
pub(crate) fn watch_epochs<T: 'static>(store: &mut Store<T>) {
    store.set_epoch_deadline(crate::limits::INLINE_TICKS);
    store.epoch_deadline_callback(|_| {
        if REQUEUES.get() {
            STRUCK.set(true);
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(PendingOnce(false))))
        } else {
            Ok(UpdateDeadline::Yield(1))
        }
    });
}

/// Pending once, wakes nobody: the poller saw the flag and queues the call again.
struct PendingOnce(bool);

impl Future for PendingOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// What one poll of a call on the caller's thread came to.
#[derive(Debug)]
pub enum InlinePoll {
    /// The guest is done.
    Ready(CallEnd),
    /// The guest waits for I/O; its waker is registered.
    Waiting,
    /// The guest computed through its ticks: hand the call to the guest threads. No waker is registered.
    Struck,
}

/// Polls a call once on this thread.
pub fn poll_inline(call: &mut Call, context: &mut Context<'_>) -> InlinePoll {
    REQUEUES.set(true);
    STRUCK.set(false);
    let poll = call.as_mut().poll(context);
    REQUEUES.set(false);
    match poll {
        Poll::Ready(end) => InlinePoll::Ready(end),
        Poll::Pending if STRUCK.get() => InlinePoll::Struck,
        Poll::Pending => InlinePoll::Waiting,
    }
}

/// Threads of their own for guests that compute, wait in the background, or run as workers.
#[derive(Clone, Debug)]
pub struct GuestThreads {
    runtime: Arc<Runtime>,
}

#[derive(Debug)]
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        // The last handle may be dropped inside an async task, where a blocking shutdown would panic.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl GuestThreads {
    /// Starts `threads` guest threads (at least one).
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("guest")
            // A guest's poll lasts a whole tick: with the default of 61 the sockets would wait 61 ticks.
            .event_interval(1)
            .global_queue_interval(1)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Arc::new(Runtime(Some(runtime))),
        })
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime
            .0
            .as_ref()
            .expect("the runtime is taken only when the last owner drops it")
            .handle()
    }

    /// Runs a closure in these threads' context, so that what it spawns is spawned here.
    pub(crate) fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        let _entered = self.handle().enter();
        work()
    }

    /// Runs a future that polls guests by plain `.await`.
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle().spawn(future)
    }

    /// Runs a blocking closure (compilation, mapping, file copies) off every async thread.
    pub fn spawn_blocking<F, R>(&self, work: F) -> tokio::task::JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle().spawn_blocking(work)
    }

    /// Finishes a call here, whoever started it. When `cut_off` resolves first, the call is dropped whole (its
    /// fibre unwound, its store with it) and the end is [`CallEnd::cut_off`].
    pub fn finish(
        &self,
        call: Call,
        cut_off: impl Future<Output = ()> + Send + 'static,
        done: impl FnOnce(CallEnd) + Send + 'static,
    ) {
        self.handle().spawn(async move {
            let end = tokio::select! {
                end = call => end,
                () = cut_off => CallEnd::cut_off(),
            };
            done(end);
        });
    }
}
