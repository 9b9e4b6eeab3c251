//! Runs a bare command in the same sandbox as a dyno, with this process's standard streams.

use crate::dyno::ExitStatus;
use crate::error::LoadError;
use crate::files::DynoFiles;
use crate::process::Process;
use crate::runtime::Runtime;
use crate::size::DynoSize;
use dyno_sandbox::{CommandExit, InstanceSpec, MemoryAccount, Mount, Stdio, run_command};
use dyno_slug::World;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A bare component and what it sees. Nothing is inherited.
#[derive(Clone)]
pub struct ExecSpec {
    /// The component's bytes.
    pub component: Vec<u8>,
    /// What it exports.
    pub world: World,
    /// `argv`, with `argv[0]`.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Directories it sees, beside a private `/tmp`; the first is its working directory.
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

/// Runs a command to its end. Dropping the future stops it.
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
    let arguments = spec.arguments.clone();
    let process = Process::of_component(runtime, spec).await?;
    let Some(guest) = process.guest() else {
        return Ok(ExitStatus::NotStarted("there is no code".into()));
    };
    let scratch = runtime.scratch().to_owned();
    let prepared = runtime
        .threads()
        .spawn_blocking(move || DynoFiles::prepare(&scratch, &process))
        .await;
    let files = match prepared.map_err(std::io::Error::other).flatten() {
        Ok(files) => files,
        Err(error) => {
            return Ok(ExitStatus::NotStarted(format!(
                "its /tmp could not be made: {error}"
            )));
        }
    };
    let mut instance = InstanceSpec::new(Stdio::Inherit, memory, runtime.egress().clone());
    instance.environment = environment;
    instance.arguments = arguments;
    instance.mounts = files.mounts().to_vec();
    let share = runtime.threads().share(DynoSize::default().cpu_share);
    let exit = runtime
        .threads()
        .run(&share, run_command(&guest, Arc::new(instance)))
        .await;
    drop(files);
    Ok(match exit {
        Some(CommandExit::Status(status)) => ExitStatus::Exited(status),
        Some(CommandExit::Trapped(text)) => ExitStatus::Trapped(text),
        Some(CommandExit::NotStarted(reason)) => ExitStatus::NotStarted(reason),
        None => ExitStatus::Stopped,
    })
}
