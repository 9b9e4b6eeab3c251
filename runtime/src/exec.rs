//! Commands that run to their end: of an app, or a bare component.

use crate::dyno::{Dyno, DynoOptions, ExitStatus};
use crate::error::LoadError;
use crate::process::Process;
use crate::runtime::Runtime;
use crate::size::DynoSize;
use dyno_sandbox::{CommandExit, InstanceSpec, MemoryAccount, Mount, Stdio};
use dyno_slug::World;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Runs a command of an app to its end, as a one-off dyno; its output goes to the log. Dropping the future stops it.
///
/// `arguments` take the place of the process type's own; the first is the program's name.
pub async fn run_command(
    runtime: &Runtime,
    process: &Process,
    arguments: Vec<String>,
    options: DynoOptions,
) -> ExitStatus {
    let options = DynoOptions {
        command: Some(arguments),
        ..options
    };
    Dyno::start(runtime, process, options).wait_exit().await
}

/// A bare component and what it sees. Nothing is inherited.
#[derive(Clone)]
pub struct ExecSpec {
    /// The component's bytes; or a command module's of WASI preview 1, which is run without an adapter.
    pub component: Vec<u8>,
    /// What it exports.
    pub world: World,
    /// `argv`, with `argv[0]`.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Directories it sees; the first is its working directory. A command sees no other; a handler that is served as a dyno
    /// has a private `/tmp` as well.
    pub mounts: Vec<Mount>,
    /// Bytes of linear memory it may hold.
    pub memory_bytes_max: u64,
}

impl fmt::Debug for ExecSpec {
    /// Without the environment: it may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExecSpec")
            .field("world", &self.world)
            .field("arguments", &self.arguments)
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// Runs a bare command to its end, with this process's standard streams. Dropping the future stops it.
///
/// # Errors
/// [`LoadError`] when the component cannot be compiled or linked; how the command itself ended is the result.
pub async fn exec(runtime: &Runtime, spec: ExecSpec) -> Result<ExitStatus, LoadError> {
    let memory = MemoryAccount::strict(spec.memory_bytes_max);
    let environment = spec
        .environment
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let (arguments, mounts) = (spec.arguments.clone(), spec.mounts.clone());
    let process = Process::of_component(runtime, spec).await?;
    let guest = process.guest(runtime)?;
    let mut instance = InstanceSpec::new(Stdio::Inherit, memory, process.outbound().clone());
    instance.environment = environment;
    instance.arguments = arguments;
    instance.mounts = mounts;
    let share = runtime.threads().share(DynoSize::default().cpu_share);
    let exit = runtime
        .threads()
        .run(
            &share,
            dyno_sandbox::run_command(&guest, Arc::new(instance)),
        )
        .await;
    Ok(match exit {
        Some(CommandExit::Status(status)) => ExitStatus::Exited(status),
        Some(CommandExit::Trapped(text)) => ExitStatus::Trapped(text),
        Some(CommandExit::NotStarted(reason)) => ExitStatus::NotStarted(reason),
        None => ExitStatus::Stopped,
    })
}
