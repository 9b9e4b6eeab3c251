//! Every bound of the router in one place: the defaults, and the ones nobody may configure away.

use std::time::Duration;

/// First response byte after the request was read (H12). Source: Heroku, "HTTP Routing".
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Rolling silence allowed in either direction once a response began (H15, H28). Source: Heroku, "HTTP Routing".
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(55);
/// How long a request waits for a dyno that is starting (H20). Source: Heroku, "Error Codes".
pub const BOOT_WAIT_TIMEOUT: Duration = Duration::from_secs(75);
/// From the first byte of a request head to its last.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A kept-alive client connection without a request.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stopping router waits for requests in flight.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Request target in bytes; one more is 414. Source: Heroku's router.
pub const REQUEST_TARGET_BYTES_MAX: usize = 8192;
/// One header field (name and value) in bytes; one more is 431. Source: Heroku's router.
pub const HEADER_LINE_BYTES_MAX: usize = 8192;
/// One header name in bytes; one more is 431. Source: Heroku's router.
pub const HEADER_NAME_BYTES_MAX: usize = 1000;
/// The whole request head, and what one HTTP/1 connection may buffer per direction.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header fields of a request. hyper parses up to 100 without allocating, so that is the default.
pub const HEADERS_MAX: usize = 100;
/// One `Set-Cookie` of a response (H25): a bigger one would lock the browser out for ever. Source: Heroku's router.
pub const SET_COOKIE_BYTES_MAX: usize = 8192;
/// One response header line (H25). Source: Heroku's router.
pub const RESPONSE_HEADER_BYTES_MAX: usize = 512 * 1024;

/// Client connections, all together: beyond it the accept loop pauses and the kernel's backlog queues.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Client connections of one address: beyond it a new one is closed at once.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1_000;
/// The kernel's accept queue.
pub const LISTEN_BACKLOG: u32 = 1024;
/// The pause of the accept loop when the process has no file descriptor left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// From the first byte of a TLS connection to the end of its handshake, the wait for a place included.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS handshakes at once: beyond it a new one waits for a place. Each may hold a message of 64 KiB.
pub const TLS_HANDSHAKES_MAX: usize = 2_000;
/// What a TLS connection keeps of a response that its socket does not take yet.
pub const TLS_SEND_BUFFER_BYTES: usize = 32 * 1024;

/// A rendezvous token in bytes: room for any encoding of a key; a longer word closes the connection.
pub const RENDEZVOUS_TOKEN_BYTES_MAX: usize = 256;
/// How long the end of a rendezvous session waits for the client to close its side.
pub const RENDEZVOUS_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Waiting requests per dyno of an app (H11). Source: Heroku, "HTTP Routing".
pub const QUEUE_PER_DYNO: usize = 50;
/// Dynos tried for one request before it fails with H21. Source: Heroku's router.
pub const BACKEND_TRIES_MAX: usize = 10;
/// First pause when every dyno turned the request down; doubled each time.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest such pause.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Streams of one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 100;
/// Receive window of one HTTP/2 stream.
pub const H2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Receive window of one HTTP/2 connection.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes that one HTTP/2 stream may have queued for sending.
pub const H2_SEND_BUFFER_BYTES: usize = 32 * 1024;
/// Decoded header list of an HTTP/2 request.
pub const H2_HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
/// HPACK table.
pub const H2_HEADER_TABLE_BYTES: u32 = 4096;
/// Streams reset by the client before they were served (rapid reset, CVE-2023-44487).
pub const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams that we reset for the client's errors (CVE-2025-8671).
pub const H2_LOCAL_RESETS_MAX: usize = 64;
/// Silence on an HTTP/2 connection before a ping.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// Time for the answer to a ping.
pub const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A client's own request id is kept from this length on.
pub const REQUEST_ID_BYTES_MIN: usize = 20;
/// A client's own request id is kept up to this length.
pub const REQUEST_ID_BYTES_MAX: usize = 200;
/// A host name (RFC 1035).
pub const HOST_BYTES_MAX: usize = 253;
/// A host or path in the log line is cut after this many bytes of output.
pub const LOG_VALUE_BYTES_MAX: usize = 8 * 1024;

const _: () = assert!(HEADER_LINE_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(REQUEST_TARGET_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(HEADER_NAME_BYTES_MAX < HEADER_LINE_BYTES_MAX);
const _: () = assert!(
    REQUEST_HEAD_BYTES_MAX >= 8192,
    "hyper refuses a smaller buffer"
);
const _: () = assert!(
    TLS_HANDSHAKES_MAX > CONNECTIONS_PER_ADDRESS_MAX,
    "one address could keep everybody from shaking hands"
);
const _: () = assert!(REQUEST_ID_BYTES_MIN < REQUEST_ID_BYTES_MAX);
const _: () = assert!(FIRST_BYTE_TIMEOUT.as_secs() < IDLE_TIMEOUT.as_secs());
