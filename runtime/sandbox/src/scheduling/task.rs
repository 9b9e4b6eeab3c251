//! One thing that runs on the guest threads: its state, its waker, its trial, its deadline.

use super::clock::{now_ms, ticks};
use super::poll_guest;
use super::share::CpuShare;
use crate::limits::{GUEST_TICKS, GUILTY_CPU, INLINE_POLLS_MAX, INLINE_TICKS};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

pub(super) type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for a wake-up; in no queue.
const IDLE: u8 = 0;
/// In the run queue.
const QUEUED: u8 = 1;
/// Being polled.
const RUNNING: u8 = 2;
/// Being polled, and was woken meanwhile: goes back into the queue.
const WOKEN: u8 = 3;
/// Its future is gone.
const DONE: u8 = 4;

const NO_DEADLINE: u64 = u64::MAX;

pub(super) struct Task {
    pub(super) id: u64,
    pub(super) share: Arc<CpuShare>,
    state: AtomicU8,
    future: Mutex<Option<BoxedFuture>>,
    /// Monotonic milliseconds after which it is dropped.
    deadline_ms: AtomicU64,
    /// It was struck on another thread. The tick is wall time, so that is only a suspicion: a preempted thread
    /// strikes innocent calls too. CPU used here convicts.
    on_trial: AtomicBool,
    trial_cpu_ns: AtomicU64,
}

/// What one turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It computed for as long as it may.
    Struck,
    /// It was woken while it ran.
    Woken,
    /// It waits.
    Waiting,
    /// It is over.
    Ended(Ended),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Finished,
    CutOff,
    Panicked,
}

impl Task {
    /// A task that counts as queued, or else waits to be woken.
    pub(super) fn new(
        id: u64,
        share: Arc<CpuShare>,
        future: BoxedFuture,
        queued: bool,
        on_trial: bool,
    ) -> Self {
        Self {
            id,
            share,
            state: AtomicU8::new(if queued { QUEUED } else { IDLE }),
            future: Mutex::new(Some(future)),
            deadline_ms: AtomicU64::new(NO_DEADLINE),
            on_trial: AtomicBool::new(on_trial),
            trial_cpu_ns: AtomicU64::new(0),
        }
    }

    /// Polls it once, on a guest thread, which took it from the queue.
    pub(super) fn run(self: &Arc<Self>) -> Turn {
        self.state.store(RUNNING, Ordering::Release);
        match self.poll(GUEST_TICKS) {
            Ok(struck) => self.requeue(struck),
            Err(ended) => self.over(ended),
        }
    }

    /// Polls it on this thread, as long as it is short and is woken; `None` when it is not idle. `between` runs after
    /// each poll that leaves it waiting: what that makes ready is done here too.
    pub(super) fn run_here(self: &Arc<Self>, between: &mut dyn FnMut()) -> Option<Turn> {
        let begun = self
            .state
            .compare_exchange(IDLE, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        begun.ok()?;
        let began = ticks();
        let mut polls = 0;
        loop {
            let struck = match self.poll(INLINE_TICKS.saturating_sub(ticks() - began)) {
                Ok(struck) => struck,
                Err(ended) => return Some(self.over(ended)),
            };
            between();
            polls += 1;
            let turn = self.requeue(struck);
            if turn != Turn::Woken || polls == INLINE_POLLS_MAX {
                return Some(turn);
            }
            self.state.store(RUNNING, Ordering::Release);
        }
    }

    /// Polls the future, whatever it does: whether it was struck, or how it ended.
    fn poll(self: &Arc<Self>, ticks: u64) -> Result<bool, Ended> {
        if self.is_overdue() {
            return Err(Ended::CutOff);
        }
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        let polled = {
            let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
            let future = future.as_mut().ok_or(Ended::CutOff)?;
            let poll = || poll_guest(ticks, future.as_mut(), &mut context);
            catch_unwind(AssertUnwindSafe(poll))
        };
        match polled {
            Ok((Poll::Ready(()), _)) => Err(Ended::Finished),
            Ok((Poll::Pending, struck)) => Ok(struck),
            Err(panic) => {
                tracing::error!("a guest's task panicked: {}", panic_text(&*panic));
                Err(Ended::Panicked)
            }
        }
    }

    fn requeue(&self, struck: bool) -> Turn {
        let idle = self
            .state
            .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if idle.is_ok() {
            return Turn::Waiting;
        }
        self.state.store(QUEUED, Ordering::Release);
        if struck { Turn::Struck } else { Turn::Woken }
    }

    fn over(&self, how: Ended) -> Turn {
        self.state.store(DONE, Ordering::Release);
        self.drop_future();
        Turn::Ended(how)
    }

    /// Drops the future, unless it is being polled at this moment.
    pub(super) fn drop_future(&self) {
        let future = match self.future.try_lock() {
            Ok(mut future) => future.take(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        };
        // A guest's fibre unwinds here, through host code that may panic.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            tracing::error!("a guest's end panicked: {}", panic_text(&*panic));
        }
    }

    /// It was struck where it was called: what it does on the guest threads tells whether it overran.
    pub(super) fn begin_trial(&self) {
        self.trial_cpu_ns.store(0, Ordering::Relaxed);
        if !self.on_trial.swap(true, Ordering::Relaxed) {
            self.share.try_call();
        }
    }

    /// Counts the CPU of one turn of a call on trial; the verdict, once there is one.
    pub(super) fn verdict(&self, used_ns: u64, turn: Turn) -> Option<bool> {
        if !self.on_trial.load(Ordering::Relaxed) {
            return None;
        }
        let used_ns = self.trial_cpu_ns.fetch_add(used_ns, Ordering::Relaxed) + used_ns;
        let guilty = u128::from(used_ns) >= GUILTY_CPU.as_nanos();
        if !guilty && turn == Turn::Struck {
            return None;
        }
        self.on_trial.store(false, Ordering::Relaxed);
        Some(guilty)
    }

    pub(super) fn set_deadline_ms(&self, at: u64) {
        self.deadline_ms.store(at, Ordering::Relaxed);
    }

    pub(super) fn is_overdue(&self) -> bool {
        let deadline = self.deadline_ms.load(Ordering::Relaxed);
        deadline != NO_DEADLINE && deadline <= now_ms()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Relaxed) == IDLE
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Its next turn drops it.
    pub(super) fn cut_off(self: &Arc<Self>) {
        self.set_deadline_ms(0);
        self.wake_by_ref();
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let next = match state {
                IDLE => QUEUED,
                RUNNING => WOKEN,
                _ => return,
            };
            match self
                .state
                .compare_exchange(state, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(IDLE) => return self.share.scheduler.push(self.clone()),
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Task")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (
        panic.downcast_ref::<&'static str>(),
        panic.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "it gave no reason",
    }
}
