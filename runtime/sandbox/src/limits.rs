//! Every bound of the sandbox in one place: what the number is, why, and what happens at it.

use std::time::Duration;

/// Epoch tick: the longest a guest computes before the host gets a say. Measured: 0.25 ms gained nothing.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);

/// Ticks a call may run on the caller's thread before it moves to the guest threads. Two, because a tick is
/// wall time: with one, a preempted edge thread convicts innocent 5 µs calls.
pub const INLINE_TICKS: u64 = 2;

/// Ticks a guest may compute on a guest thread before others get their turn.
pub const GUEST_TICKS: u64 = 1;

/// CPU that a struck call uses on the guest threads before its dyno is found guilty of overrunning. Less, and the
/// strike is put down to a busy machine.
pub const GUILTY_CPU: Duration = Duration::from_micros(400);

/// How long the calls of a dyno that overran start on the guest threads; doubles with each overrun.
pub const SUSPICION_WINDOW: Duration = Duration::from_millis(50);

/// How many times [`SUSPICION_WINDOW`] doubles: to 1.6 s. A dyno that overruns for ever then costs an edge thread
/// two ticks in that time.
pub const SUSPICION_DOUBLINGS_MAX: u32 = 5;

/// How many times a task that wakes itself is polled again at once on its caller's thread, before it moves.
pub const INLINE_POLLS_MAX: u32 = 8;

/// How often sleeping calls with a deadline are looked at.
pub const DEADLINE_SWEEP: Duration = Duration::from_millis(50);

/// How long a call whose client has left may still run before its store is dropped.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// Bytes of one line a guest may log; longer lines are cut into pieces of this size (Heroku's bound).
pub const LOG_LINE_BYTES_MAX: usize = 10_000;

/// Contexts (open directories, a copy of the environment) that a dyno keeps for its next instances.
pub const CONTEXTS_KEPT_MAX: usize = 4;

/// Host objects (streams, requests, files, timers) one instance may hold; to make one more traps. Each may have
/// up to 64 KiB behind it, so that this bounds what the host holds for a guest that hoards them.
pub const RESOURCES_MAX: usize = 2_000;

/// Bytes of header fields per request or response of a guest; what the router takes from a client is less.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;

/// A dyno's memory limit, in its quotas: between the two it is warned (R14), past the limit killed (R15). Heroku's.
pub const MEMORY_LIMIT_QUOTAS: u64 = 2;

/// Bytes that a dyno is charged for each instance beside its memories and tables: the touched part of its stack, its
/// store, and the pieces of bodies on their way ([`RESPONSE_CHUNKS_BUFFERED`]).
pub const HOST_BYTES_PER_INSTANCE: u64 = 256 * 1024;

/// Bytes of one element of a table.
pub const TABLE_ELEMENT_BYTES: u64 = 8;

/// Linear memories of one component instance: a program has one, and its adapter may have another.
pub const MEMORIES_PER_COMPONENT_MAX: u32 = 8;

/// Tables of one component instance; componentize-py makes about thirty core instances with one each.
pub const TABLES_PER_COMPONENT_MAX: u32 = 40;

/// Directories that one instance may be reading at once; one more is refused. A reader holds all names of its
/// directory.
pub const DIRECTORY_LISTINGS_MAX: usize = 16;

/// Bytes a guest may ask for in one call for random bytes.
pub const RANDOM_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of host-side copies (lists, strings) one host call may make for a guest.
pub const HOSTCALL_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Elements of one table: CPython's function table holds about 15,000.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Instances of core modules inside one component instance (componentize-py links about thirty).
pub const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 200;

/// Stack of WebAssembly frames. CPython's own recursion limit of 1,000 Python frames needs about 2 MiB.
pub const WASM_STACK_BYTES: usize = 4 * 1024 * 1024;

/// Host stack of a guest's fibre: the guest's stack and what host functions need below it.
pub const FIBER_STACK_BYTES: usize = 6 * 1024 * 1024;
const _: () = assert!(FIBER_STACK_BYTES > WASM_STACK_BYTES + 1024 * 1024);

/// Largest component that is compiled.
pub const COMPONENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Components inside components inside components of one that is compiled; tools that compose make three or four.
pub const COMPONENT_NESTING_MAX: usize = 32;

/// Wall-clock limit of one `boot`, snapshot included, compilation not.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of the per-function compile cache on disk; at the bound the older half is dropped.
pub const COMPILE_STORE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Bytes of native code and boot images on disk; the least recently used go first.
pub const CODE_CACHE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Longest that one file of the code cache may take to be written; a half-written one that is older was left by a
/// process that was killed, and is removed.
pub const CODE_CACHE_WRITE_MAX: Duration = Duration::from_secs(3600);

/// Ranges kept of the pages that a start touches (an interpreter has about 50).
pub const WORKING_SET_RANGES_MAX: usize = 4096;

/// Chunks of a response body that wait between guest and client.
pub const RESPONSE_CHUNKS_BUFFERED: usize = 4;

/// TCP sockets that all instances of one dyno may hold; one more fails as it would at a system's limit.
pub const SOCKETS_MAX: usize = 512;

/// Connections to the port of one dyno that may be open at once, those of its own included.
pub const CONNECTIONS_MAX: usize = 256;
const _: () = assert!(SOCKETS_MAX > CONNECTIONS_MAX);

/// Connections that may wait until the guest accepts them; one more is refused. A system's usual backlog.
pub const BACKLOG_MAX: usize = 128;

/// Bytes that wait in one direction of a connection to a guest's port; whoever writes more waits.
pub const PIPE_BYTES_MAX: usize = 64 * 1024;

/// Requests that one app may have on the way out at once; one more waits, at most as long as for a connection.
pub const OUTBOUND_REQUESTS_MAX: usize = 256;

/// Connections that one app may have open for its outgoing requests, idle ones included.
pub const OUTBOUND_CONNECTIONS_MAX: usize = 128;

/// Idle connections that are kept for one app; at the bound the one that was idle the longest is closed.
pub const OUTBOUND_IDLE_MAX: usize = 32;
const _: () = assert!(OUTBOUND_IDLE_MAX < OUTBOUND_CONNECTIONS_MAX);

/// How long an idle connection is kept. Shorter than what servers commonly allow (60 s and more), so that few are
/// found closed.
pub const OUTBOUND_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes read ahead on one HTTP/1.1 connection, and written ahead on any. Also bounds the head of an answer.
pub const OUTBOUND_BUFFER_BYTES: usize = 256 * 1024;

/// Bytes that an HTTP/2 server may send on one connection before the guest has read them.
pub const OUTBOUND_STREAM_WINDOW_BYTES: u32 = 256 * 1024;

// Bytes in flight of one app, both ways: at most 64 MiB.
const _: () = assert!(OUTBOUND_CONNECTIONS_MAX * OUTBOUND_BUFFER_BYTES * 2 <= 64 * 1024 * 1024);
const _: () = assert!(OUTBOUND_STREAM_WINDOW_BYTES as usize <= OUTBOUND_BUFFER_BYTES);

/// Longest wait for a connection to a server, TLS and the wait for a free place included, and for a free place. A guest
/// may ask for less.
pub const OUTBOUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for one of a server's several addresses.
pub const OUTBOUND_ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);
const _: () = assert!(OUTBOUND_ADDRESS_TIMEOUT.as_secs() < OUTBOUND_CONNECT_TIMEOUT.as_secs());

/// Longest wait for the head of an answer, from when the request began to be sent. A guest may ask for less.
pub const OUTBOUND_FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest silence in the body of an answer. A guest may ask for less.
pub const OUTBOUND_BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an address found for a name is used: short, so that a service that moves is found again.
pub const OUTBOUND_NAME_TTL: Duration = Duration::from_secs(10);

/// How long a name without an address is not asked for again.
pub const OUTBOUND_NAME_TTL_FAILED: Duration = Duration::from_secs(1);

/// Names whose addresses are kept for one app; at the bound the oldest goes.
pub const OUTBOUND_NAMES_MAX: usize = 64;

/// Names of one app that are asked for at once: the system's resolver holds a thread for each.
pub const OUTBOUND_RESOLVES_AT_ONCE: usize = 4;

/// Refused connections are told to an app's log once in this time, with the number of those left out.
pub const REFUSAL_LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of one app's key-value store, keys and bookkeeping included; a write beyond them fails.
pub const KEYVALUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an entry of a key-value store counts beside its key and value: about what the map takes for it.
pub const KEYVALUE_ENTRY_OVERHEAD_BYTES: usize = 128;

/// Keys that one call lists.
pub const KEYVALUE_KEYS_PER_PAGE: usize = 1000;
