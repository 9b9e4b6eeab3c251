//! Every bound of the runtime in one place: what the number is, why, and what happens at it.

use std::time::Duration;

/// Requests that may wait for a free instance of one dyno; one more is refused as too deep a backlog (H11). Heroku's
/// router queues 50 in front of the backlog of the dyno's own server; here this is the only queue.
pub const QUEUE_PER_DYNO_MAX: usize = 1_000;

/// Requests one instance answers before it is replaced, which bounds what a slow leak can hold.
pub const REQUESTS_PER_INSTANCE_MAX: u64 = 100_000;

/// Age at which an instance is replaced.
pub const INSTANCE_AGE_MAX: Duration = Duration::from_secs(3600);

/// After this long without a request a dyno drops its instances and is idle, unless the host is set otherwise.
pub const IDLE_AFTER: Duration = Duration::from_secs(60);

/// How often the host looks which dynos are quiet.
pub const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Components that stay mapped after their dynos came to rest; the least recently used go first.
pub const MAPPED_COMPONENTS_MAX: u64 = 15_000;

/// Bytes of memory that mapped components may hold while nobody uses them: about 500 interpreters, or 7,500 hellos.
pub const MAPPED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Bytes of memory that the smallest mapped component holds (measured: 39 to 76 kB).
pub const MAPPED_BYTES_MIN: u64 = 64 * 1024;

/// The kernel's memory maps that a slot of the instance pool takes, used or not.
pub const MAPS_PER_SLOT: u64 = 2;
/// Those of a live instance, beside its slot's.
pub const MAPS_PER_INSTANCE: u64 = 3;
/// Those of a mapped component.
pub const MAPS_PER_COMPONENT: u64 = 3;
/// Those of everything else: threads, libraries, the allocator.
pub const MAPS_OF_THE_PROCESS: u64 = 1_000;

/// Work a guest may do after its response is complete, before its instance is dropped.
pub const AFTER_RESPONSE_MAX: Duration = Duration::from_secs(10);

/// Time to the head of a response, where the caller sets none; the router gives up earlier (30 s).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests one 0.3 instance answers at once: a trap fails all of them.
pub const REQUESTS_AT_ONCE_PER_INSTANCE: usize = 16;

/// Requests that a server on `$PORT` is sent at once, times its dyno's concurrency: it orders them itself.
pub const REQUESTS_AT_ONCE_PER_SERVER: usize = 64;

/// A dyno that does not come up in this time has crashed (Heroku's R10).
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The first restart is immediate; the second crash in a row waits this long, each further one twice as long.
pub const RESTART_BACKOFF_FIRST: Duration = Duration::from_secs(20);

/// Longest wait between restarts.
pub const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(20 * 60);

/// A dyno that stayed up this long before it crashed starts its back-off anew.
pub const STABLE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Files one dyno's private copy of `/app` may hold; a slug with more is refused before it is copied.
pub const APP_FILES_MAX: u64 = 200_000;

/// Heap snapshots made at the same time: each compiles with all cores.
pub const BOOTS_AT_ONCE: usize = 1;

/// The port guests are told to listen on. It is virtual: nothing on the host listens there.
pub const GUEST_PORT: u16 = 5000;

/// Bytes of a response's head from a process that listens on its port; a longer one is no response (H13).
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Lines of a trap's text (reason and WebAssembly frames) that go to the log.
pub const TRAP_LINES_MAX: usize = 40;

/// Bytes a dyno may log in a second, after a burst of [`LOG_BURST_BYTES`]; further lines are dropped and counted (L12).
pub const LOG_BYTES_PER_SECOND: u64 = 256 * 1024;

/// Bytes a dyno may log at once: what Heroku's own buffer holds.
pub const LOG_BURST_BYTES: u64 = 1024 * 1024;

/// Bytes that a line is counted for beside its text, so that empty lines have a bound as well.
pub const LOG_LINE_COST_BYTES: u64 = 100;

/// How often dropped lines are told of.
pub const LOG_REPORT_EVERY: Duration = Duration::from_secs(2);

/// How often a dyno that stays over its memory quota is told of (R14). Heroku's.
pub const QUOTA_REPEAT: Duration = Duration::from_secs(20);

/// How often one bound that a guest meets again and again is told of.
pub const BOUND_REPEAT: Duration = Duration::from_secs(20);

/// Files, directories and links that a dyno may add to those of its app; to make one more fails.
pub const FILE_ENTRIES_MAX: u64 = 20_000;

/// Files and directories that a dyno may hold open; to open one more fails. Python's own servers hold a dozen.
pub const OPEN_FILES_MAX: usize = 512;
