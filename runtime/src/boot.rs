//! Boot images: a release's heap after its app has loaded, made once and kept in this host's private cache.
//!
//! An image holds config vars, so it is never part of a slug: only its native form is kept, named by a digest
//! keyed with this host's secret, and it can always be made again.

use crate::error::LoadError;
use crate::files::{self, DynoFiles};
use crate::log::{DynoLog, LogLine, LogSource};
use crate::process::{Process, Release};
use crate::runtime::Runtime;
use crate::size::DynoSize;
use dyno_sandbox::{
    EngineKind, FileAccount, Handler, InstanceSpec, MemoryAccount, Outbound, SnapshotError, Stdio,
    snapshot,
};
use std::fs;
use std::sync::Arc;

/// The name that lines of a boot carry instead of a dyno's.
const BOOT: &str = "boot";

/// Uses the image if there is one, else makes it in the background. Never fails: without an image, dynos
/// initialise at their first request.
pub(crate) async fn begin(runtime: &Runtime, process: &Process) {
    let (host, booting) = (runtime.clone(), process.clone());
    let known = runtime.threads().spawn_blocking(move || {
        let name = image_name(&host, &booting)?;
        let known = host
            .cache()
            .contains(host.engines(), EngineKind::Sequential, &name);
        known.then_some(name)
    });
    match known.await {
        Ok(Some(name)) => process.boot_ended(Some(&name)),
        Ok(None) | Err(_) => begin_again(runtime, process),
    }
}

/// Makes the image in the background, unless that is under way.
pub(crate) fn begin_again(runtime: &Runtime, process: &Process) {
    if process.claim_boot() {
        make_in_background(runtime, process);
    }
}

/// What decides the booted heap: the slug, the component, and the environment with its secrets.
fn image_name(runtime: &Runtime, process: &Process) -> Option<String> {
    let digest = process.release()?.slug.to_string();
    let component = process
        .manifest_entry()
        .component
        .map(|digest| digest.hex())
        .unwrap_or_default();
    let mut parts: Vec<&[u8]> = vec![b"boot image 1", digest.as_bytes(), component.as_bytes()];
    let environment = process.environment();
    for (name, value) in &environment {
        parts.push(name.as_bytes());
        parts.push(value.as_bytes());
    }
    Some(format!("boot-{}", runtime.cache().keyed_name(&parts)))
}

fn make_in_background(runtime: &Runtime, process: &Process) {
    let (runtime, process) = (runtime.clone(), process.clone());
    let threads = runtime.threads().clone();
    threads.spawn(async move {
        let _turn = runtime.boots().clone().acquire_owned().await;
        let text = match make(&runtime, &process).await {
            Ok(name) => {
                process.boot_ended(Some(&name));
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
        process.boot_ended(None);
        let Some(release) = process.release() else {
            return;
        };
        for line in text.lines() {
            release.log.write(LogLine {
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

/// Boots the process and compiles its heap; answers the image's name in the cache.
async fn make(runtime: &Runtime, process: &Process) -> Result<String, MakeError> {
    let started = std::time::Instant::now();
    let (Some(release), Some(name)) = (process.release(), image_name(runtime, process)) else {
        return Err(LoadError::Damaged("a bare component is not booted".into()).into());
    };
    let (scratch, source) = (runtime.scratch().to_owned(), process.clone());
    let files = runtime
        .threads()
        .spawn_blocking(move || DynoFiles::prepare(&scratch, &source))
        .await??;
    let path = process.component_path().cloned().unwrap_or_default();
    let component = fs::read(&path).map_err(|source| LoadError::Read { path, source })?;
    let instance = Arc::new(instance_spec(process, release, &files));
    let host = runtime.clone();
    let booted = runtime
        .threads()
        .spawn_blocking(move || {
            let (engines, cache) = (host.engines(), host.cache());
            snapshot(engines, cache, host.threads(), &component, instance)
        })
        .await??;
    let snapshotted = started.elapsed();
    let (host, image) = (runtime.clone(), name.clone());
    runtime
        .threads()
        .spawn_blocking(move || {
            host.map(&image, EngineKind::Sequential, Handler::Http, || Ok(booted))
                .map(drop)
        })
        .await??;
    tracing::info!(
        app = &*release.app,
        release = &*release.version,
        "booted ahead in {} ms, image compiled in {} ms",
        snapshotted.as_millis(),
        started.elapsed().saturating_sub(snapshotted).as_millis()
    );
    Ok(name)
}

/// What `boot` sees: the release's environment and files, nothing of one dyno, no network.
fn instance_spec(process: &Process, release: &Release, files: &DynoFiles) -> InstanceSpec {
    let size = DynoSize::default();
    let memory = MemoryAccount::strict(size.memory_bytes_max);
    let log = DynoLog::new(release.log.clone(), BOOT.into());
    let (limits, bounds) = (files::limits_of(size), log.clone());
    let account = FileAccount::new(limits, memory.clone(), move |met| bounds.met(met, &limits));
    let mut instance = InstanceSpec::new(Stdio::Lines(log), memory, Outbound::closed());
    instance.files = account;
    instance.app = process.app().to_owned();
    instance.environment = process.environment().into_iter().collect();
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
