//! The guest threads: a fair queue of what computes, and beside it a small runtime for I/O, timers and files.

use super::clock::{millis, now_ms, thread_cpu_ns};
use super::run_queue::{LineId, RunQueue};
use super::share::CpuShare;
use super::task::{BoxedFuture, Ended, Task, Turn};
use crate::call::{Call, CallEnd};
use crate::limits::DEADLINE_SWEEP;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, ready};
use std::thread;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Threads of their own for guests that compute, wait in the background, or run as workers. Clones are the
/// same threads; they end with the last clone, and what still runs on them is dropped.
#[derive(Clone)]
pub struct GuestThreads {
    inner: Arc<Inner>,
}

struct Inner {
    scheduler: Arc<Scheduler>,
    /// Taken only by the drop.
    io: Option<tokio::runtime::Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.scheduler.stop();
        // The last handle may be dropped inside an async task, where a blocking shutdown would panic.
        if let Some(io) = self.io.take() {
            io.shutdown_background();
        }
    }
}

/// Why a call runs on the guest threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It was struck on another thread: what it does here tells whether its dyno overran.
    OnTrial,
    /// Its dyno is suspected, or its client needs no answer any more.
    Untried,
}

/// What has happened on the guest threads since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulingCounts {
    /// Calls that were struck elsewhere and moved here.
    pub tried: u64,
    /// Calls among them that used the CPU they were suspected of.
    pub convicted: u64,
    /// Calls and workers that were dropped before their end.
    pub cut_off: u64,
    /// Panics that were contained.
    pub panicked: u64,
}

impl GuestThreads {
    /// Starts `threads` guest threads (at least one) and one thread for I/O.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("guest-io")
            .enable_all()
            .build()?;
        let scheduler = Arc::new(Scheduler::default());
        io.spawn(sweep(scheduler.clone()));
        let inner = Inner {
            scheduler,
            io: Some(io),
        };
        for number in 0..threads.max(1) {
            let (scheduler, io) = (inner.scheduler.clone(), inner.handle().clone());
            thread::Builder::new()
                .name(format!("guest-{number}"))
                .spawn(move || {
                    let _entered = io.enter();
                    scheduler.work();
                })?;
        }
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A new share, whose weight against others counts when the CPU is short.
    pub fn share(&self, weight: u32) -> Arc<CpuShare> {
        let scheduler = &self.inner.scheduler;
        let line = scheduler.state().queue.open(weight);
        Arc::new(CpuShare::new(scheduler.clone(), line))
    }

    /// Runs a future that polls guests, under a share. Dropping the handle stops it.
    pub fn run<F>(&self, share: &Arc<CpuShare>, future: F) -> Running<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (sender, output) = oneshot::channel();
        let future = async move {
            // Nobody may be interested any more.
            let _unread = sender.send(future.await);
        };
        let scheduler = &self.inner.scheduler;
        Running {
            task: scheduler.submit(share, Box::pin(future), Start::Queued),
            output,
        }
    }

    /// Gives a future a home: it runs when it is woken, on the guest threads or where it is called
    /// ([`Resident::run_here`]).
    pub(crate) fn reside<F>(&self, share: &Arc<CpuShare>, future: F) -> Resident
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let scheduler = &self.inner.scheduler;
        Resident {
            task: scheduler.submit(share, Box::pin(future), Start::Idle),
            io: self.inner.handle().clone(),
        }
    }

    /// Finishes a call here, whoever started it. `done` gets its end, which is [`CallEnd::cut_off`] when the call
    /// was dropped before.
    pub fn finish(
        &self,
        share: &Arc<CpuShare>,
        call: Call,
        moved: Moved,
        done: impl FnOnce(CallEnd) + Send + Unpin + 'static,
    ) -> MovedCall {
        let future = Finishing {
            call: Some(call),
            done: Some(done),
        };
        let scheduler = &self.inner.scheduler;
        MovedCall {
            task: scheduler.submit(
                share,
                Box::pin(future),
                match moved {
                    Moved::OnTrial => Start::OnTrial,
                    Moved::Untried => Start::Queued,
                },
            ),
        }
    }

    /// Runs host work that waits: it must not poll guests, or compute.
    pub fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.handle().spawn(future)
    }

    /// Runs a blocking closure (compilation, mapping, file copies) off every async thread.
    pub fn spawn_blocking<F, R>(&self, work: F) -> tokio::task::JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.inner.handle().spawn_blocking(work)
    }

    /// What has happened so far.
    pub fn counts(&self) -> SchedulingCounts {
        self.inner.scheduler.counts.read()
    }
}

impl Inner {
    fn handle(&self) -> &tokio::runtime::Handle {
        self.io
            .as_ref()
            .expect("the runtime is taken only when the last owner drops it")
            .handle()
    }
}

impl fmt::Debug for GuestThreads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GuestThreads")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// Something that runs on the guest threads. Resolves to its output, or to `None` when it was cut off or
/// panicked. Dropping it stops what runs.
#[derive(Debug)]
pub struct Running<T> {
    task: Option<Arc<Task>>,
    output: oneshot::Receiver<T>,
}

impl<T> Future for Running<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Poll::Ready(ready!(Pin::new(&mut self.output).poll(context)).ok())
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take().filter(|task| !task.is_done()) {
            task.cut_off();
        }
    }
}

/// A call on the guest threads. Dropping this changes nothing for it.
#[derive(Debug)]
pub struct MovedCall {
    task: Option<Arc<Task>>,
}

impl MovedCall {
    /// Lets the call run for this much longer; then it is dropped whole: its fibre is unwound and its store
    /// goes with it.
    pub fn end_within(&self, time: Duration) {
        let Some(task) = self.task.as_ref().filter(|task| !task.is_done()) else {
            return;
        };
        if time.is_zero() {
            return task.cut_off();
        }
        task.set_deadline_ms(now_ms() + millis(time));
        task.share.scheduler.watch(task);
    }
}

/// A future that runs when it is woken, where it is woken.
#[derive(Debug)]
pub(crate) struct Resident {
    task: Option<Arc<Task>>,
    io: tokio::runtime::Handle,
}

impl Resident {
    /// Wakes it, and runs it on this thread while that is short, with `between` after each poll. When it runs
    /// already, or its dyno is suspected, the guest threads run it.
    pub(crate) fn run_here(&self, mut between: impl FnMut()) {
        let Some(task) = &self.task else { return };
        if task.share.is_suspected() {
            return task.wake_by_ref();
        }
        // Its timers and connections outlive this thread's runtime.
        let _entered = self.io.enter();
        match task.share.sampled(|| task.run_here(&mut between)) {
            Some(turn) => task.share.scheduler.settle_here(task, turn),
            None => task.wake_by_ref(),
        }
    }

    /// Wakes it on the guest threads.
    pub(crate) fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Whether it waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.is_idle())
    }
}

/// How a task starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Queued,
    OnTrial,
    Idle,
}

/// A call with what is to be done at its end, whichever that is.
struct Finishing<D: FnOnce(CallEnd)> {
    call: Option<Call>,
    done: Option<D>,
}

impl<D: FnOnce(CallEnd) + Unpin> Future for Finishing<D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(call) = &mut self.call {
            let end = ready!(call.as_mut().poll(context));
            self.call = None;
            if let Some(done) = self.done.take() {
                done(end);
            }
        }
        Poll::Ready(())
    }
}

impl<D: FnOnce(CallEnd)> Drop for Finishing<D> {
    fn drop(&mut self) {
        // The store goes before its end is told.
        self.call = None;
        if let Some(done) = self.done.take() {
            done(CallEnd::cut_off());
        }
    }
}

/// What the guest threads share.
#[derive(Default)]
pub(super) struct Scheduler {
    state: Mutex<State>,
    ready: Condvar,
    /// Tasks with a deadline. Those that wait for I/O are in no queue, so the sweep looks after them.
    draining: Mutex<Vec<Weak<Task>>>,
    draining_began: Notify,
    counts: Counts,
    /// Set under the lock of `state`.
    stopped: AtomicBool,
}

#[derive(Default)]
struct State {
    queue: RunQueue<Arc<Task>>,
    /// Every task that is not over: its owner.
    tasks: HashMap<u64, Arc<Task>>,
    last_id: u64,
    idle_threads: usize,
}

#[derive(Default)]
struct Counts {
    tried: AtomicU64,
    convicted: AtomicU64,
    cut_off: AtomicU64,
    panicked: AtomicU64,
}

impl Counts {
    fn read(&self) -> SchedulingCounts {
        SchedulingCounts {
            tried: self.tried.load(Ordering::Relaxed),
            convicted: self.convicted.load(Ordering::Relaxed),
            cut_off: self.cut_off.load(Ordering::Relaxed),
            panicked: self.panicked.load(Ordering::Relaxed),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Scheduler {
    /// No guest code runs, and no task is dropped, while this is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a future into its share's line; `None` when it was dropped instead, because the share has ended.
    fn submit(
        &self,
        share: &Arc<CpuShare>,
        future: BoxedFuture,
        start: Start,
    ) -> Option<Arc<Task>> {
        let (queued, on_trial) = (start != Start::Idle, start == Start::OnTrial);
        let task = {
            let mut state = self.state();
            if self.is_stopped() || share.is_closed() {
                drop(state);
                drop(future);
                return None;
            }
            state.last_id += 1;
            let task = Arc::new(Task::new(
                state.last_id,
                share.clone(),
                future,
                queued,
                on_trial,
            ));
            state.tasks.insert(task.id, task.clone());
            if on_trial {
                share.try_call();
                count(&self.counts.tried);
            }
            if queued {
                state.queue.push(share.line, task.clone());
                self.call_thread(&state);
            }
            task
        };
        Some(task)
    }

    /// Puts a task that was woken back into its line.
    pub(super) fn push(&self, task: Arc<Task>) {
        let mut state = self.state();
        if !self.is_stopped() {
            let line = task.share.line;
            state.queue.push(line, task);
            self.call_thread(&state);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn call_thread(&self, state: &State) {
        if state.idle_threads > 0 {
            self.ready.notify_one();
        }
    }

    /// A guest thread's life.
    fn work(&self) {
        // One reading of the clock per turn: what a turn ends with, the next begins with.
        let mut clock = thread_cpu_ns();
        while let Some(task) = self.next() {
            let turn = task.run();
            let now = thread_cpu_ns();
            self.settle(&task, turn, now - clock);
            clock = now;
        }
    }

    fn next(&self) -> Option<Arc<Task>> {
        let mut state = self.state();
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(task) = state.queue.take() {
                return Some(task);
            }
            state.idle_threads += 1;
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle_threads -= 1;
        }
    }

    fn settle(&self, task: &Arc<Task>, turn: Turn, used_ns: u64) {
        task.share.charge(used_ns);
        if let Some(guilty) = task.verdict(used_ns, turn) {
            task.share.judge(guilty);
            if guilty {
                count(&self.counts.convicted);
            }
        }
        let mut state = self.state();
        state.queue.settle(task.share.line, used_ns);
        self.follow(state, task, turn);
    }

    /// After a turn on a thread that is not one of these.
    fn settle_here(&self, task: &Arc<Task>, turn: Turn) {
        match turn {
            // The most frequent end of a turn takes no lock.
            Turn::Waiting if !self.is_stopped() => return,
            Turn::Struck => {
                task.begin_trial();
                count(&self.counts.tried);
            }
            Turn::Waiting | Turn::Woken | Turn::Ended(_) => {}
        }
        self.follow(self.state(), task, turn);
    }

    /// Queues a task again, or lets it go.
    fn follow(&self, mut state: MutexGuard<'_, State>, task: &Arc<Task>, turn: Turn) {
        match turn {
            Turn::Ended(Ended::CutOff) => count(&self.counts.cut_off),
            Turn::Ended(Ended::Panicked) => count(&self.counts.panicked),
            _ => {}
        }
        match turn {
            Turn::Struck | Turn::Woken if !self.is_stopped() => {
                state.queue.push(task.share.line, task.clone());
                self.call_thread(&state);
            }
            Turn::Struck | Turn::Woken | Turn::Waiting if self.is_stopped() => {
                drop(state);
                task.drop_future();
            }
            Turn::Ended(_) => {
                let owned = state.tasks.remove(&task.id);
                drop(state);
                drop(owned);
            }
            _ => {}
        }
    }

    /// Cuts off what runs under a share.
    pub(super) fn cut_off_all(&self, share: &CpuShare) {
        let tasks: Vec<_> = {
            let state = self.state();
            let tasks = state.tasks.values();
            tasks
                .filter(|task| std::ptr::eq(Arc::as_ptr(&task.share), share))
                .cloned()
                .collect()
        };
        for task in tasks {
            task.cut_off();
        }
    }

    pub(super) fn close_line(&self, line: LineId) {
        self.state().queue.close(line);
    }

    /// Looks after a task that has a deadline.
    fn watch(&self, task: &Arc<Task>) {
        self.draining().push(Arc::downgrade(task));
        self.draining_began.notify_one();
    }

    fn draining(&self) -> MutexGuard<'_, Vec<Weak<Task>>> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts off the tasks whose time is over; false when none is left to look after.
    fn cut_off_overdue(&self) -> bool {
        let watched = std::mem::take(&mut *self.draining());
        let mut left = Vec::new();
        for weak in watched {
            let Some(task) = weak.upgrade() else { continue };
            if task.is_overdue() {
                task.cut_off();
            } else if !task.is_done() {
                left.push(weak);
            }
        }
        let mut draining = self.draining();
        draining.append(&mut left);
        !draining.is_empty()
    }

    /// Ends the threads and drops every task.
    fn stop(&self) {
        let tasks = {
            let mut state = self.state();
            self.stopped.store(true, Ordering::Release);
            std::mem::take(&mut state.tasks)
        };
        self.ready.notify_all();
        for task in tasks.values() {
            task.drop_future();
        }
        // The queue is left to the last thread: its lines are closed by the shares.
        let mut state = self.state();
        let queued: Vec<_> = std::iter::from_fn(|| state.queue.take()).collect();
        drop(state);
        drop(queued);
    }
}

/// Drops what has outlived its deadline, also where it sleeps.
async fn sweep(scheduler: Arc<Scheduler>) {
    loop {
        let began = scheduler.draining_began.notified();
        if scheduler.cut_off_overdue() {
            tokio::time::sleep(DEADLINE_SWEEP).await;
        } else {
            began.await;
        }
    }
}
