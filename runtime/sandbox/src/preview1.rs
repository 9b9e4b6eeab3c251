//! A command of preview 1 that is run as it is, without the adapter.
//!
//! The adapter keeps its state in the module's own memory, and an allocator that takes every page it finds for its own
//! (AssemblyScript's does) overwrites it. A slug holds components only; this is for a module that its user runs by hand.

use crate::call::exit_status;
use crate::command::CommandExit;
use crate::engine::{EngineKind, Engines, compiling};
use crate::guest::GuestError;
use crate::host::wasi_context;
use crate::instance::InstanceSpec;
use crate::limits;
use crate::memory::MemoryShare;
use crate::scheduling::watch_epochs;
use wasmtime::{InstancePre, Linker, Module, Store};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::{self, WasiP1Ctx};

const START: &str = "_start";

/// A linked module.
pub(crate) struct Preview1 {
    linked: InstancePre<State>,
}

/// The data of one store.
struct State {
    wasi: WasiP1Ctx,
    memory: MemoryShare,
}

impl Preview1 {
    pub(crate) fn link(engines: &Engines, module: &[u8]) -> Result<Self, GuestError> {
        let engine = engines.get(EngineKind::Sequential);
        let module = compiling(|| Module::new(engine, module)).map_err(GuestError::Module)?;
        if module.get_export(START).is_none() {
            let missing = wasmtime::format_err!("a command exports it");
            return Err(GuestError::Export(START, missing));
        }
        let linked = linker(engine).and_then(|linker| linker.instantiate_pre(&module));
        Ok(Self {
            linked: linked.map_err(GuestError::Link)?,
        })
    }

    /// Runs it from start to end.
    pub(crate) async fn run(&self, spec: &InstanceSpec) -> wasmtime::Result<CommandExit> {
        let (mut wasi, _output) = wasi_context(spec)?;
        let state = State {
            wasi: wasi.build_p1(),
            memory: MemoryShare::new(spec.memory.clone()),
        };
        let mut store = Store::new(self.linked.module().engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
        watch_epochs(&mut store);
        let instance = match self.linked.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) if exit_status(&error).is_none() => {
                return Ok(CommandExit::NotStarted(format!("{error:#}")));
            }
            Err(error) => return Err(error),
        };
        let start = instance.get_typed_func::<(), ()>(&mut store, START)?;
        start.call_async(&mut store, ()).await?;
        Ok(CommandExit::Status(0))
    }
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    // wasmtime-wasi takes a status over 125 for a trap; to a shell it is a status.
    linker.allow_shadowing(true);
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |status: i32| -> wasmtime::Result<()> { Err(I32Exit(status).into()) },
    )?;
    Ok(linker)
}
