//! Boots a component once and writes its heap back as a new component.

use crate::code_cache::{CodeCache, CodeCacheError};
use crate::engine::{EngineKind, Engines};
use crate::host::Host;
use crate::instance::InstanceSpec;
use crate::limits;
use crate::scheduling::GuestThreads;
use std::sync::Arc;
use thiserror::Error;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, Instance, Val};
use wasmtime_wizer::{WasmtimeWizerComponent, Wizer};

/// Why there is no snapshot. The component still works: it initialises at its first request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The app itself could not be loaded; the text is what `boot` answered, usually a stack trace.
    #[error("the app could not be booted ahead: {0}")]
    Boot(String),
    /// `boot` did not end in time.
    #[error("the app was not booted after {} s", limits::BOOT_TIMEOUT.as_secs())]
    Timeout,
    /// The guest threads ended, or the host failed while it ran the guest.
    #[error("the boot was interrupted")]
    Interrupted,
    /// The component has no usable `boot` export.
    #[error("the component exports no `boot: func() -> result<_, string>`")]
    NoBoot,
    /// The guest trapped, or the snapshot could not be taken.
    #[error("the heap could not be snapshotted")]
    Failed(#[source] wasmtime::Error),
    /// The instrumented component could not be compiled.
    #[error(transparent)]
    Code(#[from] CodeCacheError),
}

/// Runs `boot` of a 0.2 component with `spec`'s environment and directories, and returns the booted component.
///
/// Blocks: instrumenting, compiling and writing the image compute for seconds. The guest itself runs on the guest
/// threads, where it has the share of a small dyno. `spec` must have no network: a socket does not survive into
/// another instance. The component is compiled through `cache`, so that all apps of one base compile its
/// instrumented form once.
///
/// # Panics
/// Outside a tokio runtime.
pub fn snapshot(
    engines: &Engines,
    cache: &CodeCache,
    threads: &GuestThreads,
    component: &[u8],
    spec: Arc<InstanceSpec>,
) -> Result<Vec<u8>, SnapshotError> {
    let mut wizer = Wizer::new();
    wizer.init_func("boot()").keep_init_func(true);
    let (context, instrumented) = wizer
        .instrument_component(component)
        .map_err(SnapshotError::Failed)?;
    let compiled = cache
        .load(engines, EngineKind::Sequential, &instrumented)?
        .component;
    drop(instrumented);
    let engines = engines.clone();
    let runtime = tokio::runtime::Handle::current();
    let (mut store, instance) = runtime.block_on(async {
        let booting = threads.run(&threads.share(1), boot(engines, compiled, spec));
        tokio::time::timeout(limits::BOOT_TIMEOUT, booting)
            .await
            .map_err(|_| SnapshotError::Timeout)?
            .unwrap_or(Err(SnapshotError::Interrupted))
    })?;
    let snapshotting = async {
        let mut booted = WasmtimeWizerComponent {
            store: &mut store,
            instance,
        };
        wizer.snapshot_component(&context, &mut booted).await
    };
    runtime
        .block_on(snapshotting)
        .map_err(SnapshotError::Failed)
}

async fn boot(
    engines: Engines,
    compiled: Component,
    spec: Arc<InstanceSpec>,
) -> Result<(Store<Host>, Instance), SnapshotError> {
    let kind = EngineKind::Sequential;
    let mut store = spec
        .store(engines.get(kind))
        .map_err(SnapshotError::Failed)?;
    let linker = engines.linker(kind).map_err(SnapshotError::Failed)?;
    let index: ComponentExportIndex = compiled
        .get_export_index(None, "boot")
        .ok_or(SnapshotError::NoBoot)?;
    let instance = linker
        .instantiate_async(&mut store, &compiled)
        .await
        .map_err(SnapshotError::Failed)?;
    let boot = instance
        .get_func(&mut store, index)
        .ok_or(SnapshotError::NoBoot)?;
    let mut results = vec![Val::Bool(false); boot.ty(&store).results().len()];
    boot.call_async(&mut store, &[], &mut results)
        .await
        .map_err(SnapshotError::Failed)?;
    if let Some(Val::Result(Err(text))) = results.first() {
        return Err(SnapshotError::Boot(match text.as_deref() {
            Some(Val::String(text)) => text.clone(),
            _ => "it gave no reason".into(),
        }));
    }
    Ok((store, instance))
}
