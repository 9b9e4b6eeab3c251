//! One request from its head to its log line: whatever happens to it, exactly one record is written.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode, header, request};

use crate::backend::{Backend, InFlight};
use crate::connection::ConnectionContext;
use crate::error_code::ErrorCode;
use crate::forwarded_headers::Forwarded;
use crate::request_log::{RequestRecord, RequestTarget};

/// `HTTP/1.1 200 ` … `\r\n` and the empty line, without the reason phrase.
const STATUS_LINE_BYTES: usize = 17;

#[derive(Debug)]
pub(crate) struct RequestGuard {
    connection: Arc<ConnectionContext>,
    /// Taken by the one that writes it.
    record: Option<RequestRecord>,
    arrived: Instant,
    dispatched: Option<Instant>,
    in_flight: Option<InFlight>,
}

impl RequestGuard {
    pub(crate) fn new(connection: Arc<ConnectionContext>, parts: &request::Parts) -> Self {
        connection.clocks().request_began();
        let record = RequestRecord {
            target: RequestTarget::Unknown,
            app: None,
            code: None,
            cause: None,
            method: parts.method.clone(),
            path: parts.uri.path_and_query().cloned(),
            host: parts.headers.get(header::HOST).cloned(),
            request_id: None,
            forwarded_for: Some(connection.client_address().clone()),
            dyno: None,
            connect: None,
            service: None,
            status: StatusCode::OK,
            bytes: None,
            protocol: connection.protocol(),
        };
        Self {
            connection,
            record: Some(record),
            arrived: Instant::now(),
            dispatched: None,
            in_flight: None,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<ConnectionContext> {
        &self.connection
    }

    pub(crate) fn arrived(&self) -> Instant {
        self.arrived
    }

    pub(crate) fn set_host(&mut self, host: Option<&HeaderValue>) {
        if let Some(record) = &mut self.record {
            record.host = host.cloned();
        }
    }

    pub(crate) fn set_forwarded(&mut self, forwarded: Forwarded) {
        if let Some(record) = &mut self.record {
            record.request_id = Some(forwarded.request_id);
            record.forwarded_for = Some(forwarded.addresses);
        }
    }

    pub(crate) fn set_target(&mut self, target: RequestTarget, app: Option<Arc<str>>) {
        if let Some(record) = &mut self.record {
            record.target = target;
            record.app = app;
        }
    }

    pub(crate) fn set_cause(&mut self, cause: &'static str) {
        if let Some(record) = &mut self.record {
            record.cause = Some(cause);
        }
    }

    /// A dyno takes the request.
    pub(crate) fn dispatch(&mut self, in_flight: InFlight) -> Arc<Backend> {
        let backend = Arc::clone(in_flight.backend());
        self.dispatched = Some(Instant::now());
        self.in_flight = Some(in_flight);
        backend
    }

    /// The dyno gave the request back.
    pub(crate) fn returned(&mut self) {
        self.in_flight = None;
        self.dispatched = None;
    }

    /// The response's status and head are known.
    pub(crate) fn responding(&mut self, status: StatusCode, headers: &HeaderMap) {
        if let Some(record) = &mut self.record {
            record.status = status;
            record.bytes = Some(head_bytes(status, headers));
        }
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes = Some(record.bytes.unwrap_or(0) + bytes as u64);
        }
    }

    /// Writes the record of a request that went well.
    pub(crate) fn succeeded(&mut self) {
        self.write(None);
    }

    /// Writes the record of a request that failed. A status the client has seen stays.
    pub(crate) fn failed(&mut self, code: ErrorCode) {
        self.write(Some(code));
    }

    fn write(&mut self, code: Option<ErrorCode>) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        if let Some(code) = code {
            let refused_with = (code == ErrorCode::H26).then_some(record.status);
            record.code = Some(code);
            record.status = refused_with.unwrap_or_else(|| code.status());
        }
        record.dyno = self
            .in_flight
            .as_ref()
            .map(|in_flight| Arc::clone(in_flight.backend().name()));
        if let Some(dispatched) = self.dispatched {
            record.connect = Some(dispatched - self.arrived);
            record.service = Some(dispatched.elapsed());
        }
        self.connection.edge().options.request_log.record(record);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.record.is_some() {
            // Nobody came to an end with this request: it was dropped with its connection or stream,
            // or the code that answered it panicked.
            let code = if std::thread::panicking() {
                ErrorCode::H99
            } else {
                self.connection.clocks().abandoned_because()
            };
            self.write(Some(code));
        }
        self.connection.clocks().request_ended();
    }
}

fn head_bytes(status: StatusCode, headers: &HeaderMap) -> u64 {
    let reason = status.canonical_reason().map_or(0, str::len);
    let fields: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    (STATUS_LINE_BYTES + reason + fields) as u64
}
