//! Serves one connection: runs the protocol that its first bytes tell, watches its clocks and the drain.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::accept::Places;
use crate::answer::Answer;
use crate::client_socket::{ClientSocket, ClientStream};
use crate::connection::{ConnectionContext, Verdict};
use crate::error_code::ErrorCode;
use crate::first_bytes::{self, HttpVersion, Opening, Peeked, SecuredOpening};
use crate::journey::{self, Abort};
use crate::limits;
use crate::options::Limits;
use crate::rendezvous::{Rendezvous, RendezvousToken, Session, UnknownToken};
use crate::tls::Tls;

/// Where a listener is in its life; shared by its connections.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    phase: AtomicU8,
    changed: Notify,
}

// The phases, in their order; the first, 0, is serving.
const DRAINING: u8 = 1;
const CUT: u8 = 2;

impl Lifecycle {
    pub(crate) fn drain(&self) {
        self.enter(DRAINING);
    }

    pub(crate) fn cut(&self) {
        self.enter(CUT);
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    /// Resolves in `phase` and in every later one.
    async fn reached(&self, phase: u8) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.phase() >= phase {
                return;
            }
            changed.await;
        }
    }
}

/// The configured protocol servers, made once per router.
#[derive(Debug)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    /// Every limit is named, so that an upgrade of hyper or h2 cannot move one unseen.
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .keep_alive(true)
            .half_close(false)
            .pipeline_flush(false)
            .max_buf_size(limits.request_head_bytes.max(8192))
            // The clocks of the connection do this with one timer that is armed per minute, not per request.
            .header_read_timeout(None);
        if limits.headers != limits::HEADERS_MAX {
            // Only then: hyper parses its default of 100 on the stack, any other number on the heap.
            http1.max_headers(limits.headers);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::H2_STREAMS_MAX)
            .initial_stream_window_size(limits::H2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(limits::H2_SEND_BUFFER_BYTES)
            .max_header_list_size(limits::H2_HEADER_LIST_BYTES_MAX)
            .header_table_size(limits::H2_HEADER_TABLE_BYTES)
            .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS_MAX)
            .max_local_error_reset_streams(limits::H2_LOCAL_RESETS_MAX)
            .keep_alive_interval(limits::H2_PING_INTERVAL)
            .keep_alive_timeout(limits::H2_PING_TIMEOUT);
        Self { http1, http2 }
    }
}

/// Serves a connection to its end. Answers whether it had to be cut.
pub(crate) async fn serve<S: ClientStream>(
    connection: Arc<ConnectionContext>,
    mut stream: S,
    places: Places,
    lifecycle: &Lifecycle,
) -> bool {
    let edge = Arc::clone(connection.edge());
    let opening = opening(&connection, lifecycle, &mut stream, first_bytes::sniff).await;
    let Some((opening, bytes)) = opening else {
        return false;
    };
    let stream = Peeked::new(bytes, stream);
    match (opening, &edge.tls) {
        (Opening::Http(version), _) => {
            serve_http(connection, version, stream, places, lifecycle).await
        }
        // In a box, or every plain connection would be as large as one of TLS.
        (Opening::Tls, Some(tls)) => {
            Box::pin(serve_tls(tls, connection, stream, places, lifecycle)).await
        }
        // Closed without a guess.
        (Opening::Tls, None) => false,
    }
}

async fn serve_tls<S: ClientStream>(
    tls: &Tls,
    mut connection: Arc<ConnectionContext>,
    stream: Peeked<S>,
    places: Places,
    lifecycle: &Lifecycle,
) -> bool {
    let stream = tokio::select! {
        biased;
        stream = tls.handshake(connection.edge(), stream) => stream,
        () = lifecycle.reached(DRAINING) => None,
    };
    let Some(mut stream) = stream else {
        return false;
    };
    connection.secured();
    let rendezvous = tls.rendezvous();
    let sniff = |bytes: &[u8]| match rendezvous {
        Some(_) => first_bytes::sniff_secured(bytes),
        None => first_bytes::sniff_http(bytes).map(SecuredOpening::Http),
    };
    let opening = opening(&connection, lifecycle, &mut stream, sniff).await;
    let Some((opening, bytes)) = opening else {
        return false;
    };
    let stream = Peeked::new(bytes, stream);
    match (opening, rendezvous) {
        (SecuredOpening::Http(version), _) => {
            serve_http(connection, version, stream, places, lifecycle).await
        }
        (SecuredOpening::Token { length }, Some(rendezvous)) => {
            serve_rendezvous(rendezvous, length, stream, places, lifecycle).await
        }
        (SecuredOpening::Token { .. } | SecuredOpening::OverlongToken, _) => false,
    }
}

/// Hands the stream on, and stays to cut it at the end of a drain.
async fn serve_rendezvous<S: ClientStream>(
    rendezvous: &dyn Rendezvous,
    token_length: usize,
    mut stream: Peeked<S>,
    places: Places,
    lifecycle: &Lifecycle,
) -> bool {
    let token = RendezvousToken::new(&stream.take_line(token_length));
    let (mut session, stream) = Session::new(stream, places);
    if let Err(UnknownToken(stream)) = rendezvous.join(token, stream) {
        tracing::debug!("a client named a rendezvous token that nobody waits for");
        stream.close().await;
        return false;
    }
    tokio::select! {
        biased;
        () = session.ended() => false,
        () = lifecycle.reached(CUT) => true,
    }
}

/// What the client begins with. `None` when it closed, broke or said nothing in time, or when the router
/// stops: nothing was asked yet, so nothing is lost and there is no line.
async fn opening<S: ClientStream, T>(
    connection: &ConnectionContext,
    lifecycle: &Lifecycle,
    stream: &mut S,
    sniff: impl Fn(&[u8]) -> Option<T>,
) -> Option<(T, BytesMut)> {
    let timeout = connection.edge().options.timeouts.request_head;
    tokio::select! {
        biased;
        peeked = tokio::time::timeout(timeout, first_bytes::peek(stream, sniff)) => peeked.ok()?.ok()?,
        () = lifecycle.reached(DRAINING) => None,
    }
}

async fn serve_http<S: ClientStream>(
    connection: Arc<ConnectionContext>,
    version: HttpVersion,
    stream: Peeked<S>,
    places: Places,
    lifecycle: &Lifecycle,
) -> bool {
    let edge = Arc::clone(connection.edge());
    let service = Requests {
        connection: Arc::clone(&connection),
    };
    let io = TokioIo::new(ClientSocket::new(stream, places, Arc::clone(&connection)));
    match version {
        HttpVersion::Http1 => {
            let served = edge.protocols.http1.serve_connection(io, service);
            let served = Box::pin(served.with_upgrades());
            run(served, &connection, lifecycle, Heads::BetweenRequests).await
        }
        HttpVersion::Http2 => {
            let served = Box::pin(edge.protocols.http2.serve_connection(io, service));
            run(served, &connection, lifecycle, Heads::Anytime).await
        }
    }
}

/// Do bytes between two requests belong to a request head?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heads {
    BetweenRequests,
    Anytime,
}

/// A protocol's connection that can be asked to end.
trait Served: Future<Output = hyper::Result<()>> + Send {
    fn drain(self: Pin<&mut Self>);
}

type Io<S> = TokioIo<ClientSocket<S>>;

impl<S: ClientStream> Served for http1::UpgradeableConnection<Io<S>, Requests> {
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S: ClientStream> Served for http2::Connection<Io<S>, Requests, TokioExecutor> {
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls the connection first and everything else only when it may have something to say: a request
/// costs a look at one atomic and one timer.
async fn run<C: Served>(
    mut served: Pin<Box<C>>,
    connection: &Arc<ConnectionContext>,
    lifecycle: &Lifecycle,
    heads: Heads,
) -> bool {
    let timeouts = &connection.edge().options.timeouts;
    let clocks = connection.clocks();
    let mut changed = pin!(lifecycle.changed.notified());
    let mut registered = false;
    let mut draining = false;
    let mut timer = pin!(tokio::time::sleep_until(
        Instant::now() + timeouts.request_head.min(timeouts.keep_alive)
    ));
    let mut was_idle = false;
    let cut = poll_fn(|cx: &mut Context<'_>| {
        if !registered {
            registered = true;
            let _ = changed.as_mut().poll(cx);
        }
        match lifecycle.phase() {
            CUT => return Poll::Ready(true),
            DRAINING if !draining => {
                draining = true;
                served.as_mut().drain();
                changed.set(lifecycle.changed.notified());
                let _ = changed.as_mut().poll(cx);
                if lifecycle.phase() == CUT {
                    return Poll::Ready(true);
                }
            }
            _ => {}
        }
        loop {
            if let Poll::Ready(result) = served.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(%error, "client connection ended with an error");
                }
                return Poll::Ready(false);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match clocks.verdict(now, timeouts, heads == Heads::BetweenRequests) {
                Verdict::Wait(next) => timer.as_mut().reset(next),
                // The first time politely: HTTP/2 says GOAWAY, HTTP/1 just closes.
                Verdict::Idle if !was_idle => {
                    was_idle = true;
                    served.as_mut().drain();
                    timer.as_mut().reset(now + timeouts.keep_alive);
                }
                Verdict::Stalled => {
                    clocks.closing(ErrorCode::H28);
                    return Poll::Ready(false);
                }
                Verdict::Idle | Verdict::SlowHead => return Poll::Ready(false),
            }
        }
    })
    .await;
    if cut {
        clocks.closing(ErrorCode::H24);
    }
    // Dropping it ends its requests; their log lines say why.
    drop(served);
    cut
}

/// The service that hyper calls for each request of a connection.
struct Requests {
    connection: Arc<ConnectionContext>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Abort;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Abort>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(journey::answer(Arc::clone(&self.connection), request))
    }
}
