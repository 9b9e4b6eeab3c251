//! A dyno: a name, a quota and a state machine around instances of one process type.
//!
//! A supervisor task owns the states; a `Life` is the dyno between a start and a crash, or between a rest and the
//! next, and is what requests find. What one life leaves running (responses that still stream) keeps its own life
//! alive, so a crash never takes another client's response with it.
//!
//! An idle dyno has neither: no life, no task, no timer, no files, no mapped code. It is this struct, and the next
//! request starts its supervisor.

mod admission;
mod free_list;
mod life;
mod places;
mod port;
mod quota;
mod request;
mod response;
mod status;
mod supervisor;

use crate::body::{BoxError, RequestBody, ResponseBody};
use crate::error::CallError;
use crate::limits::{QUEUE_PER_DYNO_MAX, START_TIMEOUT};
use crate::log::{LogLine, LogSink, LogSource, NoLog};
use crate::process::Process;
use crate::runtime::Runtime;
use crate::size::DynoSize;
use crate::state::DynoState;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use dyno_sandbox::{CpuShare, GuestStreams, Handler};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use life::Life;
use status::Status;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use supervisor::Supervision;
use tokio::sync::{Notify, watch};

/// How a dyno is started.
#[derive(Clone)]
pub struct DynoOptions {
    /// Its name, `web.1`, which the guest sees as `DYNO` and every log line carries.
    pub name: String,
    /// What it may use.
    pub size: DynoSize,
    /// Where its lines go.
    pub log: Arc<dyn LogSink>,
    /// Instead of the process type's own command, once: a one-off dyno, which is not restarted.
    pub command: Option<Vec<String>>,
    /// Variables of this dyno alone; they win over config vars.
    pub environment: BTreeMap<String, String>,
    /// Who is attached to a one-off dyno; its output then goes there, and not to the log.
    pub streams: Option<GuestStreams>,
    /// Whether it drops its instances when nothing is asked of it.
    pub rest: RestPolicy,
    /// How it begins.
    pub beginning: Beginning,
    /// Told of each of its states. Called from any thread; must not block.
    pub observer: Option<Arc<dyn Fn(DynoState) + Send + Sync>>,
    /// How long a web dyno may take until it can answer; then it has crashed (R10).
    pub start_timeout: Duration,
}

/// Whether a web dyno drops its instances when nothing is asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestPolicy {
    /// After the host's [`crate::RuntimeOptions::idle_after`], or sooner when memory is short.
    #[default]
    WhenQuiet,
    /// Never: it keeps what it has.
    AlwaysOn,
}

/// How a dyno begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// It starts at once.
    #[default]
    Started,
    /// A web dyno that was up before the host restarted: its first request starts it. Others start at once.
    Idle,
}

impl DynoOptions {
    /// A dyno of the smallest size, without a log.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            size: DynoSize::default(),
            log: Arc::new(NoLog),
            command: None,
            environment: BTreeMap::new(),
            streams: None,
            rest: RestPolicy::default(),
            beginning: Beginning::default(),
            observer: None,
            start_timeout: START_TIMEOUT,
        }
    }
}

impl fmt::Debug for DynoOptions {
    /// Without the environment: it may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DynoOptions")
            .field("name", &self.name)
            .field("size", &self.size)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// How a one-off dyno ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// The guest ended by itself.
    Exited(i32),
    /// The guest trapped, for this reason.
    Trapped(String),
    /// The guest could not be started, for this reason.
    NotStarted(String),
    /// It was killed: it did not start in time (R10), or used too much memory (R15).
    Killed,
    /// It was stopped from outside.
    Stopped,
}

impl ExitStatus {
    /// The status a shell would show.
    pub fn code(&self) -> i32 {
        match self {
            Self::Exited(status) => *status,
            Self::Trapped(_) => 134,
            Self::NotStarted(_) => 126,
            Self::Killed => 137,
            Self::Stopped => 143,
        }
    }
}

/// A running dyno. Clones are the same dyno; it is stopped when the last one is dropped.
#[derive(Clone)]
pub struct Dyno {
    owner: Arc<Owner>,
}

/// Stops the dyno with its last handle; the supervisor and running requests hold only the inside.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.ask_stop(Duration::ZERO);
    }
}

struct Shared {
    runtime: Runtime,
    process: Process,
    options: DynoOptions,
    cpu: Arc<CpuShare>,
    status: Status,
    life: ArcSwapOption<Life>,
    queued: AtomicUsize,
    in_flight: AtomicUsize,
    drained: Notify,
    supervision: Mutex<Supervision>,
    /// The grace, once a stop was asked for.
    stopping: Mutex<Option<Duration>>,
    stop_asked: Notify,
    /// Set before the state is [`DynoState::Down`].
    exit: Mutex<Option<ExitStatus>>,
}

impl Dyno {
    /// Starts a dyno and returns at once, in state [`DynoState::Starting`]. It restarts itself when it crashes.
    pub fn start(runtime: &Runtime, process: &Process, options: DynoOptions) -> Self {
        let idle = options.beginning == Beginning::Idle
            && options.command.is_none()
            && process.handler() != Some(Handler::Command);
        let shared = Arc::new(Shared {
            runtime: runtime.clone(),
            process: process.clone(),
            cpu: runtime.threads().share(options.size.cpu_share),
            options,
            status: Status::new(if idle {
                DynoState::Idle
            } else {
                DynoState::Starting
            }),
            life: ArcSwapOption::empty(),
            queued: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            drained: Notify::new(),
            supervision: Mutex::default(),
            stopping: Mutex::new(None),
            stop_asked: Notify::new(),
            exit: Mutex::new(None),
        });
        if !idle {
            shared.wake();
        }
        Self {
            owner: Arc::new(Owner { shared }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// Its name: `web.1`.
    pub fn name(&self) -> &str {
        &self.shared().options.name
    }

    /// What it may use.
    pub fn size(&self) -> DynoSize {
        self.shared().options.size
    }

    /// The process type it runs.
    pub fn process(&self) -> &Process {
        &self.shared().process
    }

    /// What it is doing.
    pub fn state(&self) -> DynoState {
        self.shared().status.now()
    }

    /// Tells of every change of state.
    pub fn watch(&self) -> watch::Receiver<DynoState> {
        self.shared().status.watch()
    }

    /// Since when it has been in its state.
    pub fn since(&self) -> SystemTime {
        self.shared().status.since()
    }

    /// Requests that it is answering, and those that wait for an instance of it.
    pub fn in_flight(&self) -> usize {
        self.shared().in_flight.load(Ordering::Relaxed)
    }

    /// Bytes that count against its memory quota now: linear memories and tables of its instances, what the host
    /// holds for them, and what they wrote to files.
    pub fn memory_used(&self) -> u64 {
        self.shared()
            .life
            .load()
            .as_ref()
            .map_or(0, |life| life.memory_used())
    }

    /// CPU time its guests have used since it was made: exact where they computed for long, an estimate from
    /// samples for short requests.
    pub fn cpu_used(&self) -> Duration {
        self.shared().cpu.used()
    }

    /// Lets no more requests in, waits up to `grace` for those it has, and ends it. Dropping the future does
    /// not undo the stop.
    pub fn stop(&self, grace: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.shared().ask_stop(grace);
        let (mut state, owner) = (self.watch(), self.owner.clone());
        async move {
            // The sender lives as long as `owner`, so the wait ends only at the state.
            let _ended = state.wait_for(|state| *state == DynoState::Down).await;
            drop(owner);
        }
    }

    /// Waits until it has ended for good: a one-off's command has run, or the dyno was stopped.
    pub fn wait_exit(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let (mut state, owner) = (self.watch(), self.owner.clone());
        async move {
            let _ended = state.wait_for(|state| *state == DynoState::Down).await;
            let exit = lock(&owner.shared.exit).clone();
            exit.unwrap_or(ExitStatus::Stopped)
        }
    }

    /// Answers a request, or hands it back when the dyno is not up.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<ResponseBody>, CallError> {
        request::answer(self.shared().clone(), request).await
    }
}

impl Shared {
    fn enter(&self, state: DynoState) {
        // The line comes first: who waits for a state may look at the log.
        let announce = |before| {
            let state = match state {
                // Heroku's word for a one-off that has ended, however it did.
                DynoState::Down if self.options.command.is_some() => "complete",
                state => state.as_str(),
            };
            self.say(format!("State changed from {before} to {state}"));
        };
        if self.status.change(state, announce)
            && let Some(observer) = &self.options.observer
        {
            observer(state);
        }
    }

    /// The first caller decides the grace.
    fn ask_stop(&self, grace: Duration) {
        lock(&self.stopping).get_or_insert(grace);
        if lock(&self.supervision).end_if_asleep() {
            // Nothing runs that would have to be ended.
            *lock(&self.exit) = Some(ExitStatus::Stopped);
            self.enter(DynoState::Down);
        }
        self.stop_asked.notify_waiters();
    }

    /// Starts the supervisor, unless there is one.
    fn wake(self: &Arc<Self>) {
        if lock(&self.supervision).begin() {
            let supervisor = supervisor::supervise(self.clone());
            self.runtime.threads().spawn(supervisor);
        }
    }

    fn say(&self, text: String) {
        self.options.log.write(LogLine {
            source: LogSource::Platform,
            dyno: self.options.name.clone(),
            text,
        });
    }

    fn say_as_app(&self, text: String) {
        self.options.log.write(LogLine {
            source: LogSource::App,
            dyno: self.options.name.clone(),
            text,
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a request from its arrival until its guest is done and its response has gone.
struct InFlight(Arc<Shared>);

impl InFlight {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.drained.notify_waiters();
        }
    }
}

/// Counts a request that waits for an instance; [`Queued::join`] refuses one too many.
struct Queued<'a>(&'a Shared);

impl<'a> Queued<'a> {
    fn join(shared: &'a Shared) -> Option<Self> {
        let joined = shared
            .queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |queued| {
                (queued < QUEUE_PER_DYNO_MAX).then_some(queued + 1)
            });
        joined.is_ok().then_some(Self(shared))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Puts any body into the one type that dynos take.
pub(crate) fn boxed_body<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    body.map_err(Into::into).boxed_unsync()
}

impl<B> tower::Service<http::Request<B>> for Dyno
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<ResponseBody>;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, CallError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(request::answer(
            self.shared().clone(),
            request.map(boxed_body),
        ))
    }
}

impl fmt::Debug for Dyno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dyno")
            .field("name", &self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
