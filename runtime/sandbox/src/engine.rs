//! The two engines: one without component-model concurrency for 0.2 guests, one with it for 0.3.

use crate::compile_store::{CompileCounts, CompileStore, CompileStoreOptions};
use crate::guest;
use crate::host::Host;
use crate::interfaces::HostInterfaces;
use crate::limits;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;
use tracing::warn;
use wasmtime::component::Linker;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

/// Which of the two engines a component runs on.
///
/// Component-model concurrency costs a reused 0.2 call a third more CPU, and 0.3 cannot do without it; native
/// code of one engine does not run on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// 0.2 components and commands: one call at a time per instance.
    Sequential,
    /// 0.3 components: many calls share an instance.
    Concurrent,
}

impl EngineKind {
    /// The name used in cache paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrent => "concurrent",
        }
    }
}

/// How the engines are set up.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Instances that can be live at once, per engine. Each slot reserves address space, not memory.
    pub instance_slots_max: u32,
    /// Bytes one linear memory may ever reach, whatever the dyno's size.
    pub memory_bytes_max: u64,
    /// Zero a guest's host stack before it is used again. wasm cannot read it, so this is defence in
    /// depth at 11 % of a fresh request.
    pub stack_zeroing: bool,
    /// What guests may import beside WASI.
    pub interfaces: HostInterfaces,
    /// The per-function compile cache; `None` compiles every function anew.
    pub compile_store: Option<CompileStoreOptions>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            instance_slots_max: 1000,
            memory_bytes_max: 4 << 30,
            stack_zeroing: false,
            interfaces: HostInterfaces::default(),
            compile_store: None,
        }
    }
}

/// Both engines and the thread that advances their epochs.
#[derive(Clone)]
pub struct Engines {
    sequential: Engine,
    concurrent: Engine,
    /// Made once: hundreds of names, and a first request pays for every one of them.
    linkers: Arc<[OnceLock<Linker<Host>>; 2]>,
    interfaces: HostInterfaces,
    store: Option<Arc<CompileStore>>,
}

impl fmt::Debug for Engines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engines").finish_non_exhaustive()
    }
}

impl Engines {
    /// Creates the engines and starts their epoch thread, which ends with the last clone.
    ///
    /// Where the address space is too short for the pool the engine allocates on demand instead: slower
    /// starts, same behaviour.
    pub fn new(options: &EngineOptions) -> wasmtime::Result<Self> {
        let store = options
            .compile_store
            .as_ref()
            .map(|store| Arc::new(CompileStore::open(store.clone())));
        let engines = Self {
            sequential: engine(EngineKind::Sequential, options, store.clone())?,
            concurrent: engine(EngineKind::Concurrent, options, store.clone())?,
            linkers: Arc::default(),
            interfaces: options.interfaces.clone(),
            store,
        };
        engines.start_epochs()?;
        Ok(engines)
    }

    /// The engine of one kind.
    pub fn get(&self, kind: EngineKind) -> &Engine {
        match kind {
            EngineKind::Sequential => &self.sequential,
            EngineKind::Concurrent => &self.concurrent,
        }
    }

    /// What guests of one kind may import.
    pub(crate) fn linker(&self, kind: EngineKind) -> wasmtime::Result<&Linker<Host>> {
        let place = &self.linkers[match kind {
            EngineKind::Sequential => 0,
            EngineKind::Concurrent => 1,
        }];
        if let Some(linker) = place.get() {
            return Ok(linker);
        }
        let linker = guest::linker(self, kind)?;
        Ok(place.get_or_init(|| linker))
    }

    /// How many functions were found compiled, and how many were compiled, since the start.
    pub fn compile_counts(&self) -> CompileCounts {
        self.store
            .as_ref()
            .map_or_else(CompileCounts::default, |store| store.counts())
    }

    pub(crate) fn interfaces(&self) -> &HostInterfaces {
        &self.interfaces
    }

    /// Without ticks a guest's loop would never end, so no thread means no engines.
    fn start_epochs(&self) -> wasmtime::Result<()> {
        let weak = [self.sequential.weak(), self.concurrent.weak()];
        thread::Builder::new().name("epoch".into()).spawn(move || {
            loop {
                crate::scheduling::advance();
                let mut alive = false;
                for engine in &weak {
                    if let Some(engine) = engine.upgrade() {
                        engine.increment_epoch();
                        alive = true;
                    }
                }
                if !alive {
                    return;
                }
                thread::sleep(limits::EPOCH_TICK);
            }
        })?;
        Ok(())
    }
}

/// Runs a compilation on threads that end with it.
///
/// Left alone, wasmtime compiles on rayon's global threads, which no embedder gets rid of again.
pub(crate) fn compiling<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match rayon::ThreadPoolBuilder::new()
        .thread_name(|_| "compile".into())
        .build()
    {
        Ok(threads) => threads.install(work),
        Err(_) => work(),
    }
}

fn engine(
    kind: EngineKind,
    options: &EngineOptions,
    store: Option<Arc<CompileStore>>,
) -> wasmtime::Result<Engine> {
    let pooled = config(kind, options, store.clone(), Some(pool(options)))?;
    match Engine::new(&pooled) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            warn!("instance pool not available, allocating on demand: {error:#}");
            Engine::new(&config(kind, options, store, None)?)
        }
    }
}

fn config(
    kind: EngineKind,
    options: &EngineOptions,
    store: Option<Arc<CompileStore>>,
    pool: Option<PoolingAllocationConfig>,
) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.wasm_exceptions(true);
    match kind {
        EngineKind::Sequential => {
            config.concurrency_support(false);
        }
        EngineKind::Concurrent => {
            config.wasm_component_model_async(true);
            config.wasm_component_model_more_async_builtins(true);
        }
    }
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    // Registering unwind tables walks a 30 MB file at every mapping; wasm traces do not need them.
    config.native_unwind_info(false);
    config.generate_address_map(true);
    // A trap names lines of the author's own files, where their build keeps DWARF.
    config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
    config.memory_init_cow(true);
    config.max_wasm_stack(limits::WASM_STACK_BYTES);
    config.async_stack_size(limits::FIBER_STACK_BYTES);
    config.async_stack_zeroing(options.stack_zeroing);
    if let Some(store) = store {
        config.enable_incremental_compilation(store)?;
    }
    config.allocation_strategy(match pool {
        Some(pool) => InstanceAllocationStrategy::Pooling(pool),
        None => InstanceAllocationStrategy::OnDemand,
    });
    Ok(config)
}

/// The pool whose settings the measurements point to: slots keep their hot pages between tenants (zeroed),
/// because page faults and TLB shootdowns are most of a fresh instance's cost.
fn pool(options: &EngineOptions) -> PoolingAllocationConfig {
    const KIB: usize = 1024;
    let slots = options.instance_slots_max;
    let scan = pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(40))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(4))
        .total_stacks(slots)
        .total_gc_heaps(slots.min(100))
        .max_core_instances_per_component(limits::CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(limits::MEMORIES_PER_COMPONENT_MAX)
        .max_tables_per_component(limits::TABLES_PER_COMPONENT_MAX)
        .max_tables_per_module(8)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .max_memory_size(usize::try_from(options.memory_bytes_max).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(if scan { 2 * KIB * KIB } else { 64 * KIB })
        .table_keep_resident(if scan { 512 * KIB } else { 64 * KIB })
        .async_stack_keep_resident(64 * KIB)
        .max_unused_warm_slots(slots)
        .decommit_batch_size(1)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// `PAGEMAP_SCAN` came with Linux 6.7; asking for it on an older kernel fails the whole engine.
fn pagemap_scan_available() -> bool {
    let mut config = Config::new();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1)
        .total_core_instances(1)
        .total_memories(1)
        .total_tables(1)
        .total_stacks(1)
        .total_gc_heaps(1)
        .pagemap_scan(Enabled::Yes);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_engines_do_not_share_native_code() {
        let engines = Engines::new(&EngineOptions {
            instance_slots_max: 4,
            ..EngineOptions::default()
        })
        .unwrap();
        let component = wat::parse_str("(component)").unwrap();
        let sequential = engines
            .get(EngineKind::Sequential)
            .precompile_component(&component)
            .unwrap();
        let concurrent = engines
            .get(EngineKind::Concurrent)
            .precompile_component(&component)
            .unwrap();
        assert_ne!(sequential, concurrent);
    }

    #[test]
    fn too_many_slots_for_the_address_space_fall_back_to_on_demand() {
        let options = EngineOptions {
            instance_slots_max: 1_000_000,
            ..EngineOptions::default()
        };
        assert!(Engines::new(&options).is_ok());
    }
}
