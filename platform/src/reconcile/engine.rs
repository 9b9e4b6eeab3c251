//! What the reconciler needs of a runtime: load a process, start dynos, watch and stop them.
//!
//! A trait of our own, so that the reconciler is tested with scripted dynos that crash and hang on command.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dyno_router::Backend;
use dyno_runtime::GuestStreams;
use futures::future::BoxFuture;

use crate::log::{AppLog, LogSource};
use crate::model::{ConfigVars, DynoSizeName};

/// A dyno's state, in the API's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynoState {
    Starting,
    Up,
    Idle,
    Crashed,
    Down,
}

impl DynoState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Crashed => "crashed",
            Self::Down => "down",
        }
    }

    /// Takes requests.
    pub fn serves(self) -> bool {
        matches!(self, Self::Up | Self::Idle)
    }
}

/// A process type of one release, to be loaded.
#[derive(Clone)]
pub(crate) struct ProcessRequest {
    pub app: String,
    /// `v3`
    pub release: String,
    /// The slug's digest.
    pub slug: String,
    pub process_type: String,
    pub config_vars: ConfigVars,
    /// For lines of no dyno: what the app prints while it is booted ahead.
    pub log: DynoLog,
}

/// Why a process cannot be loaded, in words for the app's owner.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LoadFailure(pub String);

/// Where a dyno's lines go: source and text; the name is fixed by who made the log.
pub(crate) type DynoLog = Arc<dyn Fn(LogSource, &str) + Send + Sync>;

/// A log whose lines all carry this process name, whatever the guest prints.
pub(crate) fn log_as(log: Arc<AppLog>, process: String) -> DynoLog {
    Arc::new(move |source, text| log.write(source, &process, text))
}

/// The process name of what an app prints while it is booted ahead.
pub(crate) const BOOT: &str = "boot";

/// For how long a dyno runs, and with which arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// As the process type says; whenever it ends it starts again.
    Always,
    /// As the process type says, with these arguments after its own, until it ends.
    OnceWith(Vec<String>),
    /// The process type's code with these arguments instead of its own, until it ends.
    OnceInstead(Vec<String>),
}

/// A dyno to be started.
pub(crate) struct DynoStart {
    /// `web.1`
    pub name: String,
    pub size: DynoSizeName,
    pub log: DynoLog,
    pub run: Run,
    pub environment: BTreeMap<String, String>,
    /// Who is attached to a one-off.
    pub streams: Option<GuestStreams>,
    /// `None` for a one-off.
    pub place: Option<FormationPlace>,
}

/// What a dyno of a formation has and a one-off has not.
pub(crate) struct FormationPlace {
    /// Told of each of its states; must not block.
    pub observer: Observer,
    pub beginning: Beginning,
    /// It keeps its instances though nothing is asked of it.
    pub always_on: bool,
}

/// Is told of a dyno's states.
pub(crate) type Observer = Arc<dyn Fn(DynoState) + Send + Sync>;

/// How a dyno of a formation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    Started,
    /// As it was left when the host went down: its first request starts it. For web dynos that were up.
    Idle,
}

/// Runs dynos.
pub(crate) trait Engine: Send + Sync + fmt::Debug {
    fn load(
        &self,
        request: ProcessRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn LoadedProcess>, LoadFailure>>;
}

/// A loaded process type.
pub(crate) trait LoadedProcess: Send + Sync {
    /// Starts a dyno and returns at once.
    fn start(&self, start: DynoStart) -> Arc<dyn RunningDyno>;
}

/// A started dyno.
pub(crate) trait RunningDyno: Send + Sync {
    fn state(&self) -> DynoState;
    /// When the present state began.
    fn since(&self) -> SystemTime;
    /// How the router reaches it.
    fn backend(&self) -> Arc<Backend>;
    /// Ends it: asks, waits `grace`, then insists.
    fn stop(&self, grace: Duration) -> BoxFuture<'static, ()>;
    /// A one-off's exit status, once it has ended.
    fn exit(&self) -> BoxFuture<'static, i32>;
}
