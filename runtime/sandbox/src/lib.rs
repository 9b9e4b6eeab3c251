//! The one crate that instantiates wasmtime's generics: engines, stores, host functions, calls.
//!
//! Everything above this crate sees boxed futures and plain types, so that a change in dyno lifecycle,
//! routing or the command line never compiles wasmtime's generic code again.
//!
//! The journey of a component: bytes → [`CodeCache`] (native code, authenticated) → [`Guest`] (linked,
//! ready to instantiate) → [`Instance`] (one store, made from an [`InstanceSpec`]) → a [`Call`]
//! (one request; owns the instance while it runs) → the instance again, or its end.

mod attached;
mod call;
mod code_cache;
mod command;
mod compile_store;
mod concurrent;
mod context;
mod egress;
mod engine;
mod files;
mod guest;
mod host;
mod host_memory;
mod instance;
mod interfaces;
pub mod limits;
mod memory;
mod names;
mod nesting;
mod outbound;
mod preview1;
mod resolver;
mod scheduling;
mod snapshot;
mod sockets;
mod stdio;
mod trap;
mod working_set;

pub use attached::{ClientKind, ClientStreams, GuestStreams, attach};
pub use call::{Answer, AnswerBody, Call, CallEnd, Finished, NoAnswer, Start, call};
pub use code_cache::{CodeCache, CodeCacheError, NativeCode};
pub use command::{CommandExit, run_command};
pub use compile_store::{CompileCounts, CompileStoreOptions};
pub use concurrent::{ConcurrentError, ConcurrentService, ConcurrentSpec};
pub use egress::{Destination, DestinationError, EgressPolicy, Reach};
pub use engine::{EngineKind, EngineOptions, Engines};
pub use files::{FileAccount, FileBound, FileLimits, SharedTree, copy_tree};
pub use guest::{Guest, GuestError, Handler};
pub use host::{BoxError, Host};
pub use host_memory::HostMemory;
pub use instance::{Instance, InstanceSpec, Mount, MountedTree};
pub use interfaces::{HostInterfaces, KeyValue};
pub use memory::{MemoryAccount, MemoryPressure};
pub use outbound::{Outbound, TrustedRoots, TrustedRootsError};
pub use scheduling::{
    CpuShare, GuestThreads, InlineCall, InlinePoll, Moved, MovedCall, Running, SchedulingCounts,
    current_shard,
};
pub use snapshot::{SnapshotError, snapshot};
pub use sockets::{ConnectError, Connection, GuestReading, Loopback};
pub use stdio::{LineSink, Stdio};

pub use wasmtime;
