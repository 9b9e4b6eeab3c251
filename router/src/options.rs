//! What a router is made with: time-outs, limits, the request log, the fallback.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::duration_setting;
use crate::fallback::Fallback;
use crate::limits;
use crate::request_log::{RequestLog, TracingLog};

/// Everything a [`crate::Router`] needs.
pub struct RouterOptions {
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// How much of everything there may be.
    pub limits: Limits,
    /// Where the request log goes; default: `tracing` at info level.
    pub request_log: Arc<dyn RequestLog>,
    /// Answers requests to a bare address or `localhost`; default: nobody, which is a 404.
    pub fallback: Option<Fallback>,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            request_log: Arc::new(TracingLog),
            fallback: None,
        }
    }
}

impl fmt::Debug for RouterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterOptions")
            .field("timeouts", &self.timeouts)
            .field("limits", &self.limits)
            .field("fallback", &self.fallback.is_some())
            .finish_non_exhaustive()
    }
}

/// How long each phase may take.
///
/// As settings, a duration is a number of seconds (`30`, `0.5`) or a text (`"30s"`, `"500ms"`, `"2m"`, `"1h"`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// First response byte (H12). Runs from the end of the request head; each piece of the request body restarts it.
    #[serde(with = "duration_setting")]
    pub first_byte: Duration,
    /// Rolling silence of the dyno after the first byte (H15), and of the client in a request or response body (H28).
    #[serde(with = "duration_setting")]
    pub idle: Duration,
    /// Wait for a dyno that is starting (H20).
    #[serde(with = "duration_setting")]
    pub boot_wait: Duration,
    /// From the first byte of a request head to its last, and from a connection's start (with TLS, its
    /// handshake's end) to the first line; then the connection closes.
    #[serde(with = "duration_setting")]
    pub request_head: Duration,
    /// From the first byte of a TLS connection to the end of its handshake; then it closes.
    #[serde(with = "duration_setting")]
    pub tls_handshake: Duration,
    /// A connection without a request.
    #[serde(with = "duration_setting")]
    pub keep_alive: Duration,
    /// Wait for requests in flight when the router stops.
    #[serde(with = "duration_setting")]
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: limits::FIRST_BYTE_TIMEOUT,
            idle: limits::IDLE_TIMEOUT,
            boot_wait: limits::BOOT_WAIT_TIMEOUT,
            request_head: limits::REQUEST_HEAD_TIMEOUT,
            tls_handshake: limits::TLS_HANDSHAKE_TIMEOUT,
            keep_alive: limits::KEEP_ALIVE_TIMEOUT,
            drain: limits::DRAIN_TIMEOUT,
        }
    }
}

/// How much of everything there may be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Client connections; beyond it the accept loop pauses.
    pub connections: usize,
    /// Client connections of one address; beyond it a new one is closed at once.
    pub connections_per_address: usize,
    /// TLS handshakes at once (at least one); beyond it a new one waits.
    pub tls_handshakes: usize,
    /// Request target in bytes; longer is 414.
    pub request_target_bytes: usize,
    /// One request header in bytes; longer is 431.
    pub header_line_bytes: usize,
    /// The whole request head in bytes (at least 8192); longer is 431.
    pub request_head_bytes: usize,
    /// Request header fields; more is 431.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS_MAX,
            tls_handshakes: limits::TLS_HANDSHAKES_MAX,
            request_target_bytes: limits::REQUEST_TARGET_BYTES_MAX,
            header_line_bytes: limits::HEADER_LINE_BYTES_MAX,
            request_head_bytes: limits::REQUEST_HEAD_BYTES_MAX,
            headers: limits::HEADERS_MAX,
        }
    }
}
