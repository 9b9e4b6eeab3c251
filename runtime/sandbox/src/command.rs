//! A WASI command: workers, one-off dynos, release commands.

use crate::call::exit_status;
use crate::guest::Guest;
use crate::instance::InstanceSpec;
use crate::scheduling::panic_text;
use crate::trap;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandExit {
    /// Its exit status.
    Status(i32),
    /// It trapped; the text has the reason and the WebAssembly frames.
    Trapped(String),
    /// It could not be started.
    NotStarted(String),
}

/// Runs a command from start to end. Dropping the future stops it.
pub fn run_command(
    guest: &Guest,
    spec: Arc<InstanceSpec>,
) -> Pin<Box<dyn Future<Output = CommandExit> + Send>> {
    let guest = guest.clone();
    Box::pin(async move {
        match AssertUnwindSafe(run(&guest, &spec)).catch_unwind().await {
            Ok(Ok(exit)) => exit,
            Ok(Err(error)) => match exit_status(&error) {
                Some(status) => CommandExit::Status(status),
                None => CommandExit::Trapped(trap::describe(&error)),
            },
            Err(panic) => {
                let text = panic_text(&*panic);
                tracing::error!("the host panicked while it ran a command: {text}");
                CommandExit::Trapped(format!("the host failed while it ran the command: {text}"))
            }
        }
    })
}

async fn run(guest: &Guest, spec: &Arc<InstanceSpec>) -> wasmtime::Result<CommandExit> {
    if let Some(module) = guest.preview1() {
        return module.run(spec).await;
    }
    let mut store = match spec.store(guest.engine()) {
        Ok(store) => store,
        Err(error) => return Ok(CommandExit::NotStarted(format!("{error:#}"))),
    };
    let result = if let Some(pre) = guest.command() {
        let command = match pre.instantiate_async(&mut store).await {
            Ok(command) => command,
            Err(error) if exit_status(&error).is_none() => {
                return Ok(CommandExit::NotStarted(format!("{error:#}")));
            }
            Err(error) => return Err(error),
        };
        command.wasi_cli_run().call_run(&mut store).await?
    } else if let Some(pre) = guest.command_concurrent() {
        let command = pre.instantiate_async(&mut store).await?;
        store
            .run_concurrent(async move |accessor| command.wasi_cli_run().call_run(accessor).await)
            .await??
    } else {
        return Ok(CommandExit::NotStarted(
            "the guest does not export wasi:cli/run".into(),
        ));
    };
    Ok(CommandExit::Status(i32::from(result.is_err())))
}
