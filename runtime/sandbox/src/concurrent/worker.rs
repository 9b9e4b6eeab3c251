//! One instance of a 0.3 handler: its event loop, and the requests that wait for it.

use super::{ConcurrentSpec, Inner, NotStarted, NotTaken};
use crate::call::{Finished, exit_status};
use crate::guest::Guest;
use crate::host::Host;
use crate::limits::{EPOCH_TICK, ORPHAN_GRACE};
use crate::scheduling::{Resident, panic_text, ticks};
use crate::trap;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, Stream};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

/// One request, with the way back to its client.
pub(super) struct Job {
    pub(super) request: http::Request<WasiBody>,
    pub(super) sender: oneshot::Sender<wasmtime::Result<http::Response<WasiBody>>>,
    /// Closed when the client has left.
    pub(super) left: tokio::sync::oneshot::Receiver<()>,
}

pub(super) struct Worker {
    inbox: Mutex<Inbox>,
    /// Whether it takes requests.
    open: AtomicBool,
    /// Whether its instance is gone.
    ended: AtomicBool,
    /// Requests that wait or are being answered.
    requests: AtomicUsize,
    requests_at_once_max: usize,
    /// The tick at which it took its latest request.
    latest: AtomicU64,
    /// Set when it ended in the middle of its work: what its bodies have not given yet will never come.
    lost: Arc<AtomicBool>,
    event_loop: OnceLock<Resident>,
}

#[derive(Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Worker {
    /// A worker whose instance is made when it first runs.
    pub(super) fn hire(service: &Arc<Inner>) -> Arc<Self> {
        let worker = Arc::new(Self {
            inbox: Mutex::default(),
            open: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            requests_at_once_max: service.spec.requests_at_once_max,
            latest: AtomicU64::new(ticks()),
            lost: Arc::default(),
            event_loop: OnceLock::new(),
        });
        let employment = Employment(worker.clone());
        let event_loop = work(service.guest.clone(), service.spec.clone(), employment);
        let resident = service.threads.reside(&service.share, event_loop);
        // Nobody else has seen this worker yet.
        let _first = worker.event_loop.set(resident);
        worker
    }

    /// Puts a request into its inbox, or hands it back when it takes no more.
    #[must_use]
    pub(super) fn take_on(&self, job: Job) -> Option<Job> {
        let mut inbox = self.inbox();
        if inbox.closed {
            return Some(job);
        }
        inbox.jobs.push_back(job);
        self.requests.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Runs it on this thread while that is short, unless it runs elsewhere already; `between` runs between its
    /// polls.
    pub(super) fn run(&self, between: impl FnMut()) {
        if let Some(event_loop) = self.event_loop.get() {
            event_loop.run_here(between);
        }
    }

    /// Lets it take no more requests; it ends when it has answered those it has.
    pub(super) fn retire(&self) {
        self.close();
        if let Some(event_loop) = self.event_loop.get() {
            event_loop.wake();
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether it could take a request at once.
    pub(super) fn is_free(&self) -> bool {
        self.requests() < self.requests_at_once_max
            && self.event_loop.get().is_some_and(Resident::is_idle)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether bodies of its answers are still being read: they hold its mark.
    fn is_read(&self) -> bool {
        Arc::strong_count(&self.lost) > 1
    }

    pub(super) fn lost(&self) -> Arc<AtomicBool> {
        self.lost.clone()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_job(&self, answering: usize) -> Option<Job> {
        if answering >= self.requests_at_once_max {
            return None;
        }
        let job = self.inbox().jobs.pop_front()?;
        self.latest.store(ticks(), Ordering::Relaxed);
        Some(job)
    }

    fn answered_one(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes the inbox; the requests in it go back to where they came from.
    fn close(&self) {
        self.close_with(NotTaken::error);
    }

    fn close_with(&self, error: impl Fn(http::Request<WasiBody>) -> wasmtime::Error) {
        self.open.store(false, Ordering::Relaxed);
        let jobs = {
            let mut inbox = self.inbox();
            inbox.closed = true;
            std::mem::take(&mut inbox.jobs)
        };
        self.requests.fetch_sub(jobs.len(), Ordering::Relaxed);
        for job in jobs {
            // The client may have left.
            let _unread = job.sender.send(Err(error(job.request)));
        }
    }
}

/// Ends with the event loop, however that ends.
struct Employment(Arc<Worker>);

impl Drop for Employment {
    fn drop(&mut self) {
        let Self(worker) = self;
        worker.ended.store(true, Ordering::Relaxed);
        worker.close();
    }
}

async fn work(guest: Guest, spec: ConcurrentSpec, employment: Employment) {
    let Employment(worker) = &employment;
    let serving = AssertUnwindSafe(serve(&guest, &spec, worker)).catch_unwind();
    let failed = match serving.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(match exit_status(&error) {
            Some(status) => Finished::Exited(status),
            None => Finished::Trapped(trap::describe(&error)),
        }),
        Err(panic) => {
            let text = panic_text(&*panic);
            tracing::error!("the host panicked while it ran a guest: {text}");
            Some(Finished::Trapped(format!(
                "the host failed while it ran the guest: {text}"
            )))
        }
    };
    let report = spec.failed.clone();
    drop(employment);
    if let Some(finished) = failed {
        report(finished);
    }
}

/// Sets a mark when it is dropped before the instance has retired. Declared after the store, so that it is
/// dropped first: whoever sees a body's channel closed by the store's end finds the mark.
struct LostUnlessRetired<'a>(Option<&'a AtomicBool>);

impl Drop for LostUnlessRetired<'_> {
    fn drop(&mut self) {
        if let Some(lost) = self.0 {
            lost.store(true, Ordering::Release);
        }
    }
}

async fn serve(guest: &Guest, spec: &ConcurrentSpec, worker: &Worker) -> wasmtime::Result<()> {
    let (mut store, service) = match instantiate(guest, spec).await {
        Ok(made) => made,
        Err(error) if exit_status(&error).is_some() => return Err(error),
        Err(error) => {
            let reason = format!("{error:#}");
            tracing::warn!("no instance could be started: {reason}");
            worker.close_with(|_| wasmtime::Error::new(NotStarted(reason.clone())));
            return Ok(());
        }
    };
    let mut lost = LostUnlessRetired(Some(&*worker.lost));
    let proxy = Proxy::P3(service);
    let mut patience = Patience {
        allowed: spec.request_timeout + ORPHAN_GRACE,
        timer: None,
        retiring: false,
    };
    let mut answering = pin!(
        store.run_concurrent(async |accessor| answer_all(accessor, &proxy, spec, worker).await)
    );
    // Another instance of the dyno may be what went too far: all of them end.
    let mut memory_exceeded = pin!(spec.instance.memory.wait_exceeded());
    // A guest that blocks its event loop is timed from outside of it.
    let ended = poll_fn(|context| match answering.as_mut().poll(context) {
        Poll::Pending if memory_exceeded.as_mut().poll(context).is_ready() => {
            let exceeded = "the dyno went far beyond its memory quota";
            Poll::Ready(Err(wasmtime::Error::msg(exceeded)))
        }
        Poll::Pending => patience.poll(worker, context),
        ended @ Poll::Ready(_) => ended.map(Result::flatten),
    })
    .await;
    if ended.is_ok() {
        lost.0 = None;
    }
    ended
}

async fn instantiate(
    guest: &Guest,
    spec: &ConcurrentSpec,
) -> wasmtime::Result<(Store<Host>, Service)> {
    let mut store = spec.instance.store(guest.engine())?;
    let service = guest.service()?.instantiate_async(&mut store).await?;
    Ok((store, service))
}

/// Takes requests and answers them, until the worker is closed and everything is answered.
async fn answer_all(
    accessor: &Accessor<Host>,
    proxy: &Proxy,
    spec: &ConcurrentSpec,
    worker: &Worker,
) -> wasmtime::Result<()> {
    let Proxy::P3(service) = proxy else {
        return Err(wasmtime::Error::msg("the guest is not a 0.3 handler"));
    };
    let handle = *service.wasi_http_handler().func_handle().func();
    let born = Instant::now();
    let mut taken = 0;
    let mut answering = pin!(FuturesUnordered::new());
    poll_fn(|context| {
        loop {
            match answering.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(answered))) => {
                    let answered: bool = answered;
                    worker.answered_one();
                    if !answered {
                        // What the guest still does for that request ends with the instance.
                        worker.close();
                    }
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) | Poll::Pending => {}
            }
            if accessor
                .poll_ready_for_concurrent_call(handle, context)
                .is_ready()
                && let Some(job) = worker.next_job(answering.len())
            {
                taken += 1;
                if taken >= spec.requests_max || born.elapsed() >= spec.age_max {
                    worker.close();
                }
                answering.push(answer_one(accessor, proxy, job));
                continue;
            }
            let working =
                !answering.is_empty() || accessor.poll_no_interesting_tasks(context).is_pending();
            return if working || worker.is_open() {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            };
        }
    })
    .await
}

/// True when the guest answered while its client was there.
async fn answer_one(accessor: &Accessor<Host>, proxy: &Proxy, job: Job) -> wasmtime::Result<bool> {
    let Job {
        request,
        sender,
        left,
    } = job;
    let prepared = accessor.with(|mut access| {
        Prepared::new(
            access.as_context_mut(),
            proxy,
            request,
            WasiHttpView::http,
            sender,
        )
    })?;
    // Polled only when the handler waits.
    let expired = async {
        // An error either way: nothing is ever sent.
        let _left = left.await;
        tokio::time::sleep(ORPHAN_GRACE).await;
    };
    prepared.run(accessor, expired).await
}

/// How long a worker may keep requests without answering any, and what it has answered without being read.
struct Patience {
    allowed: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs for what is left after the last answer.
    retiring: bool,
}

impl Patience {
    /// Resolves when the instance is to be dropped: with an error when requests are lost with it.
    fn poll(&mut self, worker: &Worker, context: &mut Context<'_>) -> Poll<wasmtime::Result<()>> {
        loop {
            let retiring = worker.requests() == 0;
            if retiring && worker.is_open() {
                return Poll::Pending;
            }
            if retiring != self.retiring {
                self.retiring = retiring;
                self.timer = None;
            }
            let left = if retiring {
                ORPHAN_GRACE
            } else {
                let since = ticks().saturating_sub(worker.latest.load(Ordering::Relaxed));
                let since = EPOCH_TICK.saturating_mul(u32::try_from(since).unwrap_or(u32::MAX));
                self.allowed.saturating_sub(since)
            };
            if left.is_zero() {
                let late = "the guest did not answer its requests in time";
                return Poll::Ready(Err(wasmtime::Error::msg(late)));
            }
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            ready!(timer.as_mut().poll(context));
            self.timer = None;
            if retiring && !worker.is_read() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
