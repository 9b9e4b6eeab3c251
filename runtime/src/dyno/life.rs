//! One life of a dyno: what it serves with between a start and a crash or a rest.

use super::free_list::FreeList;
use super::places::Places;
use super::port::Port;
use super::{ExitStatus, Shared};
use crate::environment;
use crate::files::{self, DynoFiles};
use crate::limits::{
    INSTANCE_AGE_MAX, REQUEST_TIMEOUT, REQUESTS_AT_ONCE_PER_INSTANCE, REQUESTS_AT_ONCE_PER_SERVER,
    REQUESTS_PER_INSTANCE_MAX,
};
use crate::log::{DynoLog, Notices};
use crate::static_site::StaticSite;
use dyno_sandbox::limits::CONNECTIONS_MAX;
use dyno_sandbox::{
    ConcurrentService, ConcurrentSpec, CpuShare, FileAccount, Finished, Guest, Instance,
    InstanceSpec, MemoryAccount, Stdio,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot, watch};

/// How a guest brought its dyno down.
#[derive(Debug)]
pub(super) enum Crash {
    Exited(i32),
    Trapped(String),
    NotStarted(String),
}

impl From<Crash> for ExitStatus {
    fn from(crash: Crash) -> Self {
        match crash {
            Crash::Exited(status) => Self::Exited(status),
            Crash::Trapped(text) => Self::Trapped(text),
            Crash::NotStarted(reason) => Self::NotStarted(reason),
        }
    }
}

/// What requests find.
pub(super) struct Life {
    pub(super) serving: Serving,
    /// One per call that may run at once; closed when the life ends.
    pub(super) places: Arc<Places>,
    /// What its guests run under.
    cpu: Arc<CpuShare>,
    /// Turns true when what still runs must be dropped.
    cut: watch::Sender<bool>,
    crash: Mutex<Option<oneshot::Sender<Crash>>>,
    memory: Option<Arc<MemoryAccount>>,
    born: Instant,
    /// Milliseconds after `born` of the last request.
    last_request: AtomicU64,
    /// Told to end for want of requests.
    rest: Notify,
    rested: AtomicBool,
    _files: Option<DynoFiles>,
}

/// How requests are answered.
pub(super) enum Serving {
    /// Instances of a 0.2 handler, one request at a time each.
    Instances {
        free: FreeList<Instance>,
        spec: Arc<InstanceSpec>,
        /// Keeps the code mapped for as long as the life lasts.
        guest: Arc<Guest>,
    },
    /// A 0.3 handler, whose instances take many requests at once.
    Concurrent(ConcurrentService),
    /// A command that listens on its port.
    Port(Port),
    /// Files, served by the host.
    Static(Arc<StaticSite>),
}

/// What an instance of a dyno sees.
pub(super) fn instance_spec(shared: &Shared, files: &DynoFiles) -> InstanceSpec {
    let log = DynoLog::new(shared.options.log.clone(), shared.options.name.clone());
    let host = shared.runtime.memory().host().cloned();
    let memory = MemoryAccount::within(host, shared.options.size.memory_bytes_max);
    let limits = files::limits_of(shared.options.size);
    let bounds = log.clone();
    let account = FileAccount::new(limits, memory.clone(), move |met| bounds.met(met, &limits));
    let outbound = shared.process.outbound().clone();
    let outbound = outbound.logging_to(Arc::new(Notices(log.clone())));
    let stdio = match &shared.options.streams {
        Some(streams) => Stdio::Attached(streams.clone()),
        None => Stdio::Lines(log),
    };
    let mut spec = InstanceSpec::new(stdio, memory, outbound);
    spec.files = account;
    spec.app = shared.process.app().to_owned();
    spec.keyvalue = shared.process.key_value().clone();
    spec.environment = environment::of_dyno(
        shared.process.environment(),
        &shared.options.environment,
        &shared.options.name,
    );
    spec.arguments = match &shared.options.command {
        Some(command) => command.clone(),
        None => shared.process.manifest_entry().arguments.clone(),
    };
    spec.mounts = files.mounts().to_vec();
    spec
}

impl Life {
    /// A life around the first instance of a 0.2 handler.
    pub(super) fn of_instances(
        shared: &Shared,
        spec: Arc<InstanceSpec>,
        guest: Arc<Guest>,
        first: Instance,
        files: DynoFiles,
    ) -> (Self, oneshot::Receiver<Crash>) {
        let memory = spec.memory.clone();
        let serving = Serving::Instances {
            free: FreeList::new(first),
            spec,
            guest,
        };
        let concurrency = shared.options.size.concurrency as usize;
        Self::new(shared, serving, concurrency, Some(memory), Some(files))
    }

    /// A life of a 0.3 handler. Its instances report their failures to the life that this returns.
    pub(super) fn of_concurrent(
        shared: &Shared,
        spec: Arc<InstanceSpec>,
        guest: Guest,
        files: DynoFiles,
    ) -> (Self, oneshot::Receiver<Crash>) {
        let memory = spec.memory.clone();
        let (reporter, reports) = oneshot::channel();
        let reporter = Mutex::new(Some(reporter));
        let concurrent = ConcurrentSpec {
            instance: spec,
            instances_max: shared.options.size.concurrency as usize,
            requests_at_once_max: REQUESTS_AT_ONCE_PER_INSTANCE,
            requests_max: REQUESTS_PER_INSTANCE_MAX,
            age_max: INSTANCE_AGE_MAX,
            request_timeout: REQUEST_TIMEOUT,
            failed: Arc::new(move |finished| report(&reporter, finished)),
        };
        let threads = shared.runtime.threads().clone();
        let service = ConcurrentService::new(guest, concurrent, threads, shared.cpu.clone());
        let at_once = shared.options.size.concurrency as usize * REQUESTS_AT_ONCE_PER_INSTANCE;
        let (life, _) = Self::new(
            shared,
            Serving::Concurrent(service),
            at_once,
            Some(memory),
            Some(files),
        );
        (life, reports)
    }

    /// A life of a process that listens on its port, whose end the process itself reports.
    pub(super) fn of_port(
        shared: &Shared,
        port: Port,
        memory: Arc<MemoryAccount>,
        files: DynoFiles,
    ) -> Self {
        let at_once = shared.options.size.concurrency as usize * REQUESTS_AT_ONCE_PER_SERVER;
        let at_once = at_once.min(CONNECTIONS_MAX);
        let (life, _) = Self::new(
            shared,
            Serving::Port(port),
            at_once,
            Some(memory),
            Some(files),
        );
        life
    }

    /// A life of a site of files, which cannot crash.
    pub(super) fn of_site(
        shared: &Shared,
        site: Arc<StaticSite>,
    ) -> (Self, oneshot::Receiver<Crash>) {
        let serving = Serving::Static(site);
        Self::new(shared, serving, usize::MAX, None, None)
    }

    fn new(
        shared: &Shared,
        serving: Serving,
        at_once: usize,
        memory: Option<Arc<MemoryAccount>>,
        files: Option<DynoFiles>,
    ) -> (Self, oneshot::Receiver<Crash>) {
        let (crash, crashed) = oneshot::channel();
        let life = Self {
            serving,
            places: Places::new(at_once.max(1)),
            cpu: shared.cpu.clone(),
            cut: watch::Sender::new(false),
            crash: Mutex::new(Some(crash)),
            memory,
            born: Instant::now(),
            last_request: AtomicU64::new(0),
            rest: Notify::new(),
            rested: AtomicBool::new(false),
            _files: files,
        };
        (life, crashed)
    }

    /// Keeps an instance for the next request, unless its time is over.
    pub(super) fn give_back(&self, home: usize, instance: Instance, guest_id: u64) {
        let Serving::Instances { free, .. } = &self.serving else {
            return;
        };
        if serves_on(&instance, guest_id) && !self.places.is_closed() {
            free.give_back(home, instance);
        }
    }

    /// Brings the dyno down. Only the first crash of a life counts.
    pub(super) fn crash(&self, crash: Crash) {
        self.places.close();
        if let Some(sender) = lock(&self.crash).take() {
            // The supervisor may have stopped already, for another reason.
            let _late = sender.send(crash);
        }
    }

    /// Lets no request in.
    pub(super) fn close(&self) {
        self.places.close();
        if let Serving::Port(port) = &self.serving {
            port.shut();
        }
    }

    /// Ends what still runs, for good.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
        self.cpu.end();
    }

    /// Ends what still runs, for a dyno that starts anew.
    pub(super) fn kill(&self) {
        self.cut.send_replace(true);
        self.cpu.end_running();
    }

    /// Resolves when what still runs must be dropped, or when the life is gone.
    pub(super) fn wait_cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cut = self.cut.subscribe();
        async move {
            if cut.wait_for(|cut| *cut).await.is_err() {
                // Nobody is left who could cut.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notes a request.
    pub(super) fn touch(&self) {
        self.last_request
            .store(millis(self.born.elapsed()), Ordering::Relaxed);
    }

    /// How long ago the last request came.
    pub(super) fn quiet_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_request.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last)
    }

    /// Asks the supervisor to end this life.
    pub(super) fn ask_rest(&self) {
        self.rest.notify_one();
    }

    /// Lets nobody in any more, because the dyno rests.
    pub(super) fn end_at_rest(&self) {
        self.rested.store(true, Ordering::Release);
        self.places.close();
    }

    /// Whether it ended for want of requests, and not by a crash or a stop.
    pub(super) fn has_rested(&self) -> bool {
        self.rested.load(Ordering::Acquire)
    }

    /// Resolves when the life is to end for want of requests.
    pub(super) async fn rest_asked(&self) {
        self.rest.notified().await;
    }

    pub(super) fn memory_used(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.used())
    }

    /// What its instances hold; `None` for a site of files.
    pub(super) fn memory(&self) -> Option<Arc<MemoryAccount>> {
        self.memory.clone()
    }
}

/// Whether an instance is of this guest and may take another request.
pub(super) fn serves_on(instance: &Instance, guest_id: u64) -> bool {
    instance.guest_id == guest_id
        && instance.served < REQUESTS_PER_INSTANCE_MAX
        && instance.age() < INSTANCE_AGE_MAX
}

fn report(reporter: &Mutex<Option<oneshot::Sender<Crash>>>, finished: Finished) {
    let crash = match finished {
        Finished::Exited(status) => Crash::Exited(status),
        Finished::Trapped(text) => Crash::Trapped(text),
        Finished::Returned | Finished::NotStarted(_) | Finished::CutOff => return,
    };
    if let Some(sender) = lock(reporter).take() {
        let _late = sender.send(crash);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
