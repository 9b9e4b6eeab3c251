//! One instance: a store, what it may see, and the guest's exports.

use crate::context::ContextPool;
use crate::files::{FileAccount, SharedTree};
use crate::guest::Guest;
use crate::host::Host;
use crate::interfaces::KeyValue;
use crate::limits;
use crate::memory::MemoryAccount;
use crate::outbound::Outbound;
use crate::scheduling::{ticks, watch_epochs};
use crate::sockets::Loopback;
use crate::stdio::Stdio;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;

/// A host directory that a guest sees under a path of its own.
#[derive(Clone, Debug)]
pub struct Mount {
    /// What is on the host.
    pub host: MountedTree,
    /// Its path inside the guest (`/app`).
    pub guest: String,
}

/// A directory of the host, and what a guest may do in it.
#[derive(Clone, Debug)]
pub enum MountedTree {
    /// It may look at it.
    ReadOnly(PathBuf),
    /// It may change it.
    Writable(PathBuf),
    /// It may change it, and has a copy of its own from then on. One at most.
    Shared(Arc<SharedTree>),
}

/// Everything an instance may see. One per dyno, shared by its instances.
#[derive(Clone, Debug)]
pub struct InstanceSpec {
    /// The app's name, for interfaces of an embedder's own.
    pub app: String,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// `argv`, for commands.
    pub arguments: Vec<String>,
    /// Directories in the order a heap snapshot saw them; the first is the working directory.
    pub mounts: Vec<Mount>,
    /// Standard streams.
    pub stdio: Stdio,
    /// The memory all instances of the dyno share.
    pub memory: Arc<MemoryAccount>,
    /// The files all instances of the dyno share.
    pub files: Arc<FileAccount>,
    /// What it finds under `wasi:keyvalue`; shared by all dynos of an app.
    pub keyvalue: Arc<KeyValue>,
    /// How it reaches the network; shared by all dynos of an app.
    pub outbound: Outbound,
    /// The port on which the guest may listen; without one it may listen nowhere, unless it has the host's network.
    pub loopback: Option<Arc<Loopback>>,
    /// A permit per TCP socket.
    pub(crate) sockets: Arc<Semaphore>,
    /// For instances of this very specification.
    pub(crate) contexts: ContextPool,
}

impl InstanceSpec {
    /// An instance that sees nothing yet, with a memory account and a way out. Its files have no bounds: they are
    /// set by who mounts some.
    pub fn new(stdio: Stdio, memory: Arc<MemoryAccount>, outbound: Outbound) -> Self {
        Self {
            app: String::new(),
            environment: Vec::new(),
            arguments: Vec::new(),
            mounts: Vec::new(),
            stdio,
            files: FileAccount::unbounded(memory.clone()),
            memory,
            keyvalue: Arc::default(),
            outbound,
            loopback: None,
            sockets: Arc::new(Semaphore::new(limits::SOCKETS_MAX)),
            contexts: ContextPool::default(),
        }
    }

    pub(crate) fn shared_tree(&self) -> Option<&Arc<SharedTree>> {
        self.mounts.iter().find_map(|mount| match &mount.host {
            MountedTree::Shared(tree) => Some(tree),
            MountedTree::ReadOnly(_) | MountedTree::Writable(_) => None,
        })
    }

    pub(crate) fn store(
        self: &Arc<Self>,
        engine: &wasmtime::Engine,
    ) -> wasmtime::Result<Store<Host>> {
        let mut store = Store::new(engine, Host::new(self)?);
        store.limiter(|host| &mut host.memory);
        store.set_hostcall_fuel(limits::HOSTCALL_BYTES_MAX);
        watch_epochs(&mut store);
        Ok(store)
    }
}

/// One live instance of a 0.2 handler.
pub struct Instance {
    pub(crate) store: Store<Host>,
    pub(crate) proxy: Proxy,
    /// Requests answered so far.
    pub served: u64,
    /// The tick at which it was made.
    born: u64,
    /// Which guest code it came from, to tell instances of a base from those of its booted image.
    pub guest_id: u64,
}

impl Instance {
    pub(crate) async fn new(guest: &Guest, spec: &Arc<InstanceSpec>) -> wasmtime::Result<Self> {
        let mut store = spec.store(guest.engine())?;
        let proxy = guest.proxy()?.instantiate_async(&mut store).await?;
        Ok(Self {
            store,
            proxy,
            served: 0,
            born: ticks(),
            guest_id: guest.id(),
        })
    }

    /// How long ago it was made, to a tick or so.
    pub fn age(&self) -> Duration {
        let ticks = ticks().saturating_sub(self.born);
        limits::EPOCH_TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Instance")
            .field("served", &self.served)
            .field("guest_id", &self.guest_id)
            .finish_non_exhaustive()
    }
}
