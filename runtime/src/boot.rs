//! Boot images: a release's heap after its app has loaded, made once and kept in this host's private cache.
//!
//! An image holds config vars, so it is never part of a slug: only its native form is kept, named by a digest
//! keyed with this host's secret, and it can always be made again.

use crate::error::LoadError;
use crate::files::{self, DynoFiles};
use crate::log::{DynoLog, LogLine, LogSource};
use crate::process::{Process, ProcessSpec};
use crate::runtime::Runtime;
use crate::size::DynoSize;
use dyno_sandbox::{
    EngineKind, FileAccount, Guest, Handler, InstanceSpec, MemoryAccount, Outbound, SnapshotError,
    Stdio, snapshot,
};
use std::fs;
use std::sync::Arc;

/// The name that lines of a boot carry instead of a dyno's.
const BOOT: &str = "boot";

/// Uses the image if there is one, else makes it in the background. Never fails: without an image, dynos
/// initialise at their first request.
pub(crate) async fn begin(runtime: &Runtime, process: &Process, spec: &ProcessSpec) {
    let name = image_name(runtime, process, spec);
    let (host, image) = (runtime.clone(), name.clone());
    let found = runtime
        .threads()
        .spawn_blocking(move || find(&host, &image))
        .await;
    match found {
        Ok(Ok(Some(guest))) => process.use_booted(guest),
        Ok(Ok(None)) | Err(_) => make_in_background(runtime, process, spec, name),
        Ok(Err(error)) => {
            tracing::warn!("a boot image could not be read and is made again: {error}");
            make_in_background(runtime, process, spec, name);
        }
    }
}

/// What decides the booted heap: the slug, the component, and the environment with its secrets.
fn image_name(runtime: &Runtime, process: &Process, spec: &ProcessSpec) -> String {
    let digest = spec.slug.digest().to_string();
    let component = process
        .manifest_entry()
        .component
        .map(|digest| digest.hex())
        .unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![b"boot image 1", digest.as_bytes(), component.as_bytes()];
    for (name, value) in process.environment() {
        parts.push(name.as_bytes());
        parts.push(value.as_bytes());
    }
    format!("boot-{}", runtime.cache().keyed_name(&parts))
}

fn find(runtime: &Runtime, name: &str) -> Result<Option<Arc<Guest>>, LoadError> {
    match runtime
        .cache()
        .find(runtime.engines(), EngineKind::Sequential, name)?
    {
        Some(component) => {
            let guest = Guest::link(
                runtime.engines(),
                EngineKind::Sequential,
                component,
                Handler::Http,
            )?;
            Ok(Some(Arc::new(guest)))
        }
        None => Ok(None),
    }
}

fn make_in_background(runtime: &Runtime, process: &Process, spec: &ProcessSpec, name: String) {
    let (runtime, process, spec) = (runtime.clone(), process.clone(), spec.clone());
    let threads = runtime.threads().clone();
    threads.spawn(async move {
        let _turn = runtime.boots().clone().acquire_owned().await;
        let text = match make(&runtime, &process, &spec, &name).await {
            Ok(guest) => {
                process.use_booted(guest);
                return;
            }
            Err(MakeError::Snapshot(error @ SnapshotError::Boot(_))) => {
                format!("{error}\nThe app loads at its first request instead.")
            }
            Err(error) => format!(
                "The app was not booted ahead and loads at its first request instead: {}",
                chain(&error)
            ),
        };
        process.boot_ended();
        for line in text.lines() {
            spec.log.write(LogLine {
                source: LogSource::Platform,
                dyno: BOOT.into(),
                text: line.to_owned(),
            });
        }
    });
}

#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its files could not be prepared")]
    Files(#[from] std::io::Error),
    #[error("the work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

async fn make(
    runtime: &Runtime,
    process: &Process,
    spec: &ProcessSpec,
    name: &str,
) -> Result<Arc<Guest>, MakeError> {
    let started = std::time::Instant::now();
    let (scratch, source) = (runtime.scratch().to_owned(), process.clone());
    let files = runtime
        .threads()
        .spawn_blocking(move || DynoFiles::prepare(&scratch, &source))
        .await??;
    let path = process.component_path().cloned().unwrap_or_default();
    let component = fs::read(&path).map_err(|source| LoadError::Read { path, source })?;
    let instance = Arc::new(instance_spec(process, spec, &files));
    let host = runtime.clone();
    let booted = runtime
        .threads()
        .spawn_blocking(move || {
            let (engines, cache) = (host.engines(), host.cache());
            snapshot(engines, cache, host.threads(), &component, instance)
        })
        .await??;
    let snapshotted = started.elapsed();
    let (host, image) = (runtime.clone(), name.to_owned());
    let guest = runtime
        .threads()
        .spawn_blocking(move || {
            let component = host
                .cache()
                .compile(host.engines(), EngineKind::Sequential, &image, &booted)
                .map_err(LoadError::from)?;
            let guest = Guest::link(
                host.engines(),
                EngineKind::Sequential,
                component,
                Handler::Http,
            )?;
            Ok::<_, LoadError>(Arc::new(guest))
        })
        .await??;
    tracing::info!(
        app = spec.app,
        release = spec.release,
        "booted ahead in {} ms, image compiled in {} ms",
        snapshotted.as_millis(),
        started.elapsed().saturating_sub(snapshotted).as_millis()
    );
    Ok(guest)
}

/// What `boot` sees: the release's environment and files, nothing of one dyno, no network.
fn instance_spec(process: &Process, spec: &ProcessSpec, files: &DynoFiles) -> InstanceSpec {
    let size = DynoSize::default();
    let memory = MemoryAccount::strict(size.memory_bytes_max);
    let log = DynoLog::new(spec.log.clone(), BOOT.into());
    let (limits, bounds) = (files::limits_of(size), log.clone());
    let account = FileAccount::new(limits, memory.clone(), move |met| bounds.met(met, &limits));
    let mut instance = InstanceSpec::new(Stdio::Lines(log), memory, Outbound::closed());
    instance.files = account;
    instance.app.clone_from(&spec.app);
    instance.environment = process
        .environment()
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    instance.arguments = process.manifest_entry().arguments.clone();
    instance.mounts = files.mounts().to_vec();
    instance
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
