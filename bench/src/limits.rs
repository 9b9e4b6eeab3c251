//! The bounds of a benchmark run.

use std::time::Duration;

/// Longest wait for a server to answer its first request. A debug build compiling its first component needs most of it,
/// and so does a busy machine that compiles an interpreter.
pub const START_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest wait for a server to end after it was asked to; then it is killed.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// An answer that takes longer than this counts as none.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two looks at a server that is starting.
pub const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Most bytes of one answer, head included. The answer expected has some 200.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Most latencies kept of one cell, so that a long cell cannot fill the memory.
pub const SAMPLES_MAX: usize = 20_000_000;

/// Most connections at once: file descriptors are finite, and both ends of each are on this machine.
pub const CONNECTIONS_MAX: usize = 4096;

/// Last lines of a server's output that an error shows.
pub const LOG_LINES_SHOWN: usize = 20;

/// A round in which the ceiling did less than this share of its median was disturbed, and is left out.
pub const CEILING_SHARE_MIN: f64 = 0.6;

/// Longest wait for a connection's first answer under load, before the clock starts: each of many connections may have
/// an instance of an interpreter made for it.
pub const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// A server that takes less than a twentieth of this long as processor time in it is quiet.
pub const QUIET_SURE: Duration = Duration::from_secs(1);

/// Longest wait for all apps of the density scenario to be ready, or for one change to be seen.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);

/// A guest that has not answered for this long is in its endless loop.
pub const LOOP_SURE: Duration = Duration::from_millis(300);

/// Most bytes of one answer of the API.
pub const API_ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// An answer of the API that takes longer than this counts as none. A slug of an interpreter is unpacked before it.
pub const API_ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at a build: short beside the shortest build, and few beside the API's rate limit.
pub const BUILD_LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Longest time of one of the soak's parts; on a slow machine fewer requests are asked instead of waiting for all.
pub const SOAK_PART_MAX: Duration = Duration::from_secs(90);

/// Wrong answers that the soak's section shows; the others are counted.
pub const WRONG_ANSWERS_SHOWN: usize = 10;
