//! What one client connection is: its ends, its clocks, and why it was closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::error_code::ErrorCode;
use crate::options::Timeouts;
use crate::router::Edge;

/// What all requests of one connection share. The text forms are made once per connection, not per request.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    edge: Arc<Edge>,
    client_address: HeaderValue,
    local_port: HeaderValue,
    protocol: &'static str,
    clocks: Clocks,
}

impl ConnectionContext {
    pub(crate) fn new(edge: Arc<Edge>, client: SocketAddr, local: SocketAddr) -> Arc<Self> {
        // An IPv4 client of a dual-stack socket is known by its IPv4 address.
        let address = client.ip().to_canonical().to_string();
        Arc::new(Self {
            edge,
            client_address: HeaderValue::from_str(&address)
                .unwrap_or_else(|_| HeaderValue::from_static("")),
            local_port: HeaderValue::from(local.port()),
            protocol: "http",
            clocks: Clocks::new(),
        })
    }

    pub(crate) fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    pub(crate) fn client_address(&self) -> &HeaderValue {
        &self.client_address
    }

    pub(crate) fn local_port(&self) -> &HeaderValue {
        &self.local_port
    }

    /// The connection has turned out to be TLS. Only before its first request.
    pub(crate) fn secured(self: &mut Arc<Self>) {
        Arc::get_mut(self)
            .expect("requests, which share it, come after the handshake")
            .protocol = "https";
    }

    /// `http` or `https`.
    pub(crate) fn protocol(&self) -> &'static str {
        self.protocol
    }

    pub(crate) fn clocks(&self) -> &Clocks {
        &self.clocks
    }
}

/// The times of a connection, read by one lazily armed timer: a request costs a few stores and no timer.
///
/// Times are milliseconds since the connection began, plus one; 0 is "not now".
#[derive(Debug)]
pub(crate) struct Clocks {
    began: Instant,
    requests: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    write_blocked_since: AtomicU64,
    closed_by_us: AtomicU8,
    reset: AtomicBool,
    tunnel: AtomicBool,
}

/// What the timer finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again at this time.
    Wait(Instant),
    /// No request for the keep-alive time.
    Idle,
    /// A request head that does not end.
    SlowHead,
    /// The client does not read.
    Stalled,
}

impl Clocks {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(0),
            write_blocked_since: AtomicU64::new(0),
            closed_by_us: AtomicU8::new(0),
            reset: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
        }
    }

    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    pub(crate) fn request_ended(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes came: between requests they begin a head.
    pub(crate) fn read(&self) {
        if self.requests.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == 0
        {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    pub(crate) fn write_blocked(&self) {
        if self.write_blocked_since.load(Ordering::Relaxed) == 0 {
            self.write_blocked_since
                .store(self.now(), Ordering::Relaxed);
        }
    }

    pub(crate) fn written(&self) {
        if self.write_blocked_since.load(Ordering::Relaxed) != 0 {
            self.write_blocked_since.store(0, Ordering::Relaxed);
        }
    }

    /// What is due at `now`. `heads` — whether bytes between requests are a request head (HTTP/1) or may be anything (HTTP/2).
    pub(crate) fn verdict(&self, now: Instant, timeouts: &Timeouts, heads: bool) -> Verdict {
        let mut next = now
            + timeouts
                .keep_alive
                .min(timeouts.idle)
                .min(timeouts.request_head);
        if let Some(since) = self.at(&self.write_blocked_since) {
            let due = since + timeouts.idle;
            if due <= now {
                return Verdict::Stalled;
            }
            next = next.min(due);
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            return Verdict::Wait(next);
        }
        let (since, timeout, verdict) = match self.at(&self.head_since) {
            Some(since) if heads => (since, timeouts.request_head, Verdict::SlowHead),
            _ => (
                self.at(&self.idle_since).unwrap_or(self.began),
                timeouts.keep_alive,
                Verdict::Idle,
            ),
        };
        let due = since + timeout;
        if due <= now {
            verdict
        } else {
            Verdict::Wait(next.min(due))
        }
    }

    /// Remembers why we close, for the log lines of the requests that this ends.
    pub(crate) fn closing(&self, code: ErrorCode) {
        let reason = if code == ErrorCode::H28 { 2 } else { 1 };
        self.closed_by_us.store(reason, Ordering::Relaxed);
    }

    /// Why a request ended that nobody answered to the end.
    pub(crate) fn abandoned_because(&self) -> ErrorCode {
        match self.closed_by_us.load(Ordering::Relaxed) {
            0 => ErrorCode::H27,
            2 => ErrorCode::H28,
            _ => ErrorCode::H24,
        }
    }

    /// The connection is to end with a reset: its close would look like the end of a whole response.
    pub(crate) fn request_reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
    }

    /// The connection has switched protocols: no more requests.
    pub(crate) fn became_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    pub(crate) fn wants_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn at(&self, clock: &AtomicU64) -> Option<Instant> {
        let millis = clock.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(millis))
    }
}
