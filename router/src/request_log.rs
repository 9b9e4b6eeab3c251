//! The request log: one record per request, printed as Heroku's router line.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};

use crate::error_code::{ErrorCode, Severity};
use crate::limits::LOG_VALUE_BYTES_MAX;

/// Where the records go.
///
/// Called on the request path, so it must never block: a sink that is full drops the record and counts it.
pub trait RequestLog: Send + Sync + 'static {
    /// Takes the record of one request; called exactly once for each, after its last byte.
    fn record(&self, record: RequestRecord);
}

/// Sends each line to `tracing`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingLog;

impl RequestLog for TracingLog {
    fn record(&self, record: RequestRecord) {
        tracing::info!(target: "dyno_router::request", app = record.app.as_deref(), "{record}");
    }
}

/// For whom a request was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestTarget {
    /// An app: the line belongs into its log.
    App,
    /// The fallback service.
    Fallback,
    /// No app of that name, or a request that the router refused before it knew one.
    Unknown,
}

/// What happened to one request. All fields are cheap handles; nothing is formatted until `Display` is used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestRecord {
    /// For whom it was.
    pub target: RequestTarget,
    /// The app, when one was found.
    pub app: Option<Arc<str>>,
    /// The error, if the router has one to report.
    pub code: Option<ErrorCode>,
    /// More about the error: `cause="…"` (H26), or what follows `HTTP restriction` (H25).
    pub cause: Option<&'static str>,
    /// The method.
    pub method: Method,
    /// Path and query, as the client wrote them.
    pub path: Option<PathAndQuery>,
    /// The `Host`, as the client wrote it.
    pub host: Option<HeaderValue>,
    /// The request id that the dyno saw.
    pub request_id: Option<HeaderValue>,
    /// The list in `X-Forwarded-For` as the dyno saw it: ends with the client's address.
    pub forwarded_for: Option<HeaderValue>,
    /// The dyno, when one was chosen.
    pub dyno: Option<Arc<str>>,
    /// From the request's arrival until a dyno took it.
    pub connect: Option<Duration>,
    /// From then until the last byte.
    pub service: Option<Duration>,
    /// The status, 499 when the client left.
    pub status: StatusCode,
    /// Response bytes: body, status line and the header fields that the dyno and the router set
    /// (not those which frame the message on the wire).
    pub bytes: Option<u64>,
    /// `http` or `https`.
    pub protocol: &'static str,
}

impl fmt::Display for RequestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_outcome(f)?;
        write!(
            f,
            " method={} path=",
            Escaped::bare(self.method.as_str().as_bytes())
        )?;
        let path = self.path.as_ref().map_or("", PathAndQuery::as_str);
        write!(f, "{} host=", Escaped::quoted(path.as_bytes()))?;
        write!(
            f,
            "{} request_id=",
            Escaped::bare(bytes_of(self.host.as_ref()))
        )?;
        write!(
            f,
            "{} fwd=",
            Escaped::bare(bytes_of(self.request_id.as_ref()))
        )?;
        write!(
            f,
            "{} dyno=",
            Escaped::quoted(bytes_of(self.forwarded_for.as_ref()))
        )?;
        f.write_str(self.dyno.as_deref().unwrap_or(""))?;
        f.write_str(" connect=")?;
        fmt_millis(f, self.connect)?;
        f.write_str(" service=")?;
        fmt_millis(f, self.service)?;
        write!(f, " status={} bytes=", self.status.as_str())?;
        if let Some(bytes) = self.bytes {
            write!(f, "{bytes}")?;
        }
        write!(f, " protocol={}", self.protocol)
    }
}

impl RequestRecord {
    fn fmt_outcome(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(code) = self.code else {
            return f.write_str("at=info");
        };
        if let Some(socket) = code.socket() {
            write!(f, "sock={socket} ")?;
        }
        let at = match code.severity() {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "at={at} code={code} desc=\"{}", code.description())?;
        match (code, self.cause) {
            (ErrorCode::H25, Some(cause)) => write!(f, ": {cause}\""),
            (_, Some(cause)) => write!(f, "\" cause=\"{cause}\""),
            (_, None) => f.write_char('"'),
        }
    }
}

fn bytes_of(value: Option<&HeaderValue>) -> &[u8] {
    value.map_or(&[], HeaderValue::as_bytes)
}

fn fmt_millis(f: &mut fmt::Formatter<'_>, duration: Option<Duration>) -> fmt::Result {
    match duration {
        Some(duration) => write!(f, "{}ms", duration.as_millis()),
        None => Ok(()),
    }
}

/// A value from the client, so printed that it can neither end its quotes, nor its line, nor
/// pretend to be another key.
struct Escaped<'a> {
    value: &'a [u8],
    always_quoted: bool,
}

impl<'a> Escaped<'a> {
    fn quoted(value: &'a [u8]) -> Self {
        Self {
            value,
            always_quoted: true,
        }
    }

    /// Quoted only when a reader of `key=value` could misread it.
    fn bare(value: &'a [u8]) -> Self {
        Self {
            value,
            always_quoted: false,
        }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.always_quoted
            || self
                .value
                .iter()
                .any(|byte| matches!(byte, b' ' | b'=' | b'"' | b'\\') || !byte.is_ascii_graphic());
        if quoted {
            f.write_char('"')?;
        }
        let cut = self.value.len() > LOG_VALUE_BYTES_MAX;
        let mut rest = &self.value[..self.value.len().min(LOG_VALUE_BYTES_MAX)];
        // Runs of harmless bytes go out in one piece; nearly every value is one run.
        while !rest.is_empty() {
            let run = rest
                .iter()
                .position(|&byte| needs_escape(byte))
                .unwrap_or(rest.len());
            f.write_str(std::str::from_utf8(&rest[..run]).unwrap_or_default())?;
            rest = &rest[run..];
            if let Some((&byte, after)) = rest.split_first() {
                match byte {
                    b'"' => f.write_str("\\\"")?,
                    b'\\' => f.write_str("\\\\")?,
                    byte => write!(f, "\\x{byte:02x}")?,
                }
                rest = after;
            }
        }
        if cut {
            f.write_str("...")?;
        }
        if quoted {
            f.write_char('"')?;
        }
        Ok(())
    }
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\') || !(byte == b' ' || byte.is_ascii_graphic())
}
