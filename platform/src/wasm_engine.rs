//! The reconciler's engine: dynos of `dyno-runtime`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dyno_router::{Backend, BackendError, BackendErrorKind};
use dyno_runtime::{
    CallError, Destination, Dyno, DynoOptions, DynoSizes, LogLine, LogSink, Process, ProcessSpec,
    RestPolicy, Runtime,
};
use dyno_slug::SlugStore;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::log::LogSource;
use crate::reconcile::{
    Beginning, DynoLog, DynoStart, DynoState, Engine, LoadFailure, LoadedProcess, Observer,
    ProcessRequest, Run, RunningDyno,
};
use crate::settings::EgressSettings;

/// Runs slugs of a store in a runtime.
pub(crate) struct WasmEngine {
    runtime: Runtime,
    slugs: SlugStore,
    sizes: Arc<DynoSizes>,
    egress: EgressSettings,
}

struct WasmProcess {
    runtime: Runtime,
    process: Process,
    sizes: Arc<DynoSizes>,
}

struct WasmDyno(Dyno);

/// Hands a dyno's lines on; their source is set by the host, never read from the guest's text.
struct Lines(DynoLog);

impl WasmEngine {
    pub fn new(
        runtime: Runtime,
        slugs: SlugStore,
        sizes: DynoSizes,
        egress: EgressSettings,
    ) -> Self {
        let sizes = Arc::new(sizes);
        Self {
            runtime,
            slugs,
            sizes,
            egress,
        }
    }
}

impl Engine for WasmEngine {
    fn load(
        &self,
        request: ProcessRequest,
    ) -> BoxFuture<'static, Result<Arc<dyn LoadedProcess>, LoadFailure>> {
        let (runtime, slugs) = (self.runtime.clone(), self.slugs.clone());
        let sizes = Arc::clone(&self.sizes);
        let allowed = self.egress.of_app(&request.app).to_vec();
        async move {
            let process = load(runtime, slugs, sizes, allowed, request).await?;
            Ok(Arc::new(process) as Arc<dyn LoadedProcess>)
        }
        .boxed()
    }
}

async fn load(
    runtime: Runtime,
    slugs: SlugStore,
    sizes: Arc<DynoSizes>,
    allowed: Vec<Destination>,
    request: ProcessRequest,
) -> Result<WasmProcess, LoadFailure> {
    let digest = request
        .slug
        .parse()
        .map_err(|error| LoadFailure(format!("the slug's digest is damaged: {error}")))?;
    let slug = tokio::task::spawn_blocking(move || slugs.get(&digest))
        .await
        .map_err(|error| LoadFailure(format!("reading the slug was interrupted: {error}")))?
        .map_err(|error| LoadFailure(chain(&error)))?;
    let process_type = request
        .process_type
        .parse()
        .map_err(|error| LoadFailure(format!("the process type's name is damaged: {error}")))?;
    let spec = ProcessSpec {
        release: request.release,
        config_vars: request.config_vars.into_map(),
        allowed,
        log: Arc::new(Lines(request.log)),
        ..ProcessSpec::new(request.app, slug, process_type)
    };
    let process = Process::load(&runtime, spec)
        .await
        .map_err(|error| LoadFailure(chain(&error)))?;
    Ok(WasmProcess {
        runtime,
        process,
        sizes,
    })
}

/// An error and its causes in one line of words, none of them twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

impl WasmProcess {
    /// The runtime starts a dyno again unless it is given a command of its own.
    fn command(&self, run: Run) -> Option<Vec<String>> {
        match run {
            Run::Always => None,
            Run::OnceWith(more) => {
                let own = self.process.arguments().iter().cloned();
                Some(own.chain(more).collect())
            }
            Run::OnceInstead(arguments) => Some(arguments),
        }
    }
}

impl LoadedProcess for WasmProcess {
    fn start(&self, start: DynoStart) -> Arc<dyn RunningDyno> {
        let place = start.place;
        let always_on = place.as_ref().is_some_and(|place| place.always_on);
        let idle = place
            .as_ref()
            .is_some_and(|place| place.beginning == Beginning::Idle);
        let options = DynoOptions {
            // Every name of the API's sizes is one of the runtime's; a test says so.
            size: self.sizes.get(start.size.as_str()).unwrap_or_default(),
            log: Arc::new(Lines(start.log)),
            command: self.command(start.run),
            environment: start.environment,
            streams: start.streams,
            rest: if always_on {
                RestPolicy::AlwaysOn
            } else {
                RestPolicy::WhenQuiet
            },
            beginning: if idle {
                dyno_runtime::Beginning::Idle
            } else {
                dyno_runtime::Beginning::Started
            },
            observer: place.map(|place| observer(place.observer)),
            ..DynoOptions::new(start.name)
        };
        Arc::new(WasmDyno(Dyno::start(&self.runtime, &self.process, options)))
    }
}

fn observer(observer: Observer) -> Arc<dyn Fn(dyno_runtime::DynoState) + Send + Sync> {
    Arc::new(move |now| observer(state(now)))
}

impl LogSink for Lines {
    fn write(&self, line: LogLine) {
        let source = match line.source {
            dyno_runtime::LogSource::App => LogSource::App,
            dyno_runtime::LogSource::Platform => LogSource::Heroku,
        };
        (self.0)(source, &line.text);
    }
}

impl RunningDyno for WasmDyno {
    fn state(&self) -> DynoState {
        state(self.0.state())
    }

    fn since(&self) -> SystemTime {
        self.0.since()
    }

    fn backend(&self) -> Arc<Backend> {
        let dyno = self.0.clone();
        // A closure and not the dyno's own tower service: that one boxes each call, as the router does already.
        let service = tower::service_fn(move |request| {
            let dyno = dyno.clone();
            async move { dyno.call(request).await.map_err(backend_error) }
        });
        Backend::new(self.0.name(), service)
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'static, ()> {
        self.0.stop(grace).boxed()
    }

    fn exit(&self) -> BoxFuture<'static, i32> {
        self.0.wait_exit().map(|status| status.code()).boxed()
    }
}

fn state(state: dyno_runtime::DynoState) -> DynoState {
    match state {
        dyno_runtime::DynoState::Starting => DynoState::Starting,
        dyno_runtime::DynoState::Up => DynoState::Up,
        dyno_runtime::DynoState::Idle => DynoState::Idle,
        dyno_runtime::DynoState::Crashed => DynoState::Crashed,
        dyno_runtime::DynoState::Down => DynoState::Down,
    }
}

fn backend_error(error: CallError) -> BackendError {
    let kind = match error {
        CallError::NotUp(request) => return BackendError::unavailable(*request),
        CallError::QueueFull | CallError::HostFull => BackendErrorKind::QueueFull,
        CallError::NoResponse { .. } => BackendErrorKind::NoResponse,
        CallError::Timeout => BackendErrorKind::Timeout,
        _ => BackendErrorKind::Platform,
    };
    // Its words only: the error itself may hold a request, which no other thread may look into.
    BackendError::new(kind).with_source(error.to_string())
}

impl fmt::Debug for WasmEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmEngine")
            .field("slugs", &self.slugs.path())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use dyno_runtime::DynoSize;

    use crate::model::DynoSizeName;

    #[test]
    fn the_runtime_and_the_api_know_the_same_sizes() {
        for size in DynoSizeName::ALL {
            assert!(DynoSize::by_name(size.as_str()).is_some(), "{size}");
        }
        for name in DynoSize::names() {
            assert!(DynoSizeName::parse(name).is_some(), "{name}");
        }
    }
}
