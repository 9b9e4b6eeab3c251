//! Connections to a process that listens: made when needed, kept while they are idle, used for one request at a time.
//!
//! Whoever waits for a response drives its connection: a request goes from the caller's thread to the guest's and back, with
//! no task between. An idle connection needs no driving.

use super::Held;
use crate::body::{BoxError, RequestBody, ResponseBody};
use crate::dyno::boxed_body;
use crate::limits::RESPONSE_HEAD_BYTES_MAX;
use bytes::Bytes;
use dyno_sandbox::{ConnectError, GuestReading, Loopback};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::watch;

/// The connections to one process.
pub(super) struct Pool {
    loopback: Arc<Loopback>,
    idle: Mutex<Vec<Connection>>,
    idle_max: usize,
    shut: watch::Sender<bool>,
}

/// A connection and what moves bytes over it.
struct Connection {
    sender: SendRequest<RequestBody>,
    /// `None` when it has ended.
    driver: Option<Driver>,
    reading: GuestReading,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection while one request uses it.
pub(super) struct Lease {
    connection: Connection,
    pool: Arc<Pool>,
}

/// Why a request got no response.
pub(super) enum NotSent {
    /// The guest has seen nothing of the request.
    Untouched(Box<http::Request<RequestBody>>),
    /// It has, or may have; this is what happened.
    Lost(String),
}

impl Pool {
    pub(super) fn new(loopback: Arc<Loopback>, idle_max: usize) -> Arc<Self> {
        Arc::new(Self {
            loopback,
            idle: Mutex::default(),
            idle_max,
            shut: watch::Sender::new(false),
        })
    }

    /// Makes no connection any more, and ends the idle ones.
    pub(super) fn shut(&self) {
        self.shut.send_replace(true);
        self.loopback.shut();
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    pub(super) fn wait_shut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut shut = self.shut.subscribe();
        async move {
            // Without the pool there is no process either.
            let _shut = shut.wait_for(|shut| *shut).await;
        }
    }

    /// The connection that was used last: the guest is the least likely to have given it up.
    pub(super) fn take_idle(self: &Arc<Self>) -> Option<Lease> {
        loop {
            let mut connection = self.idle().pop()?;
            if connection.is_free() {
                return Some(Lease {
                    connection,
                    pool: self.clone(),
                });
            }
        }
    }

    /// A new connection.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Lease, ConnectError> {
        let stream = self.loopback.connect()?;
        let reading = stream.reading();
        let (sender, driver) = Builder::new()
            .max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            // No byte goes over the connection for this, so nothing can go wrong with it.
            .map_err(|_| ConnectError::NotListening)?;
        Ok(Lease {
            connection: Connection {
                sender,
                driver: Some(Box::pin(driver.with_upgrades())),
                reading,
            },
            pool: self.clone(),
        })
    }

    /// Keeps a connection for the next request, if it can take one.
    fn keep(&self, mut connection: Connection) {
        // A guest that does one thing after the other accepts whoever waits only when this connection ends.
        if *self.shut.borrow() || self.loopback.is_anyone_waiting() || !connection.is_free() {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < self.idle_max {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Moves what can be moved. Its end is seen by whoever waits for a response or a body.
    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(context).is_ready()
        {
            self.driver = None;
        }
    }

    /// Whether it can take a request: the one before is over in both directions, and the guest has not closed it.
    fn is_free(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

impl Lease {
    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<Incoming>, NotSent> {
        let read_before = self.connection.reading.bytes();
        // Without a body the request can be made again, should the guest turn out not to have read it.
        let again = request.body().is_end_stream().then(|| {
            (
                request.method().clone(),
                request.uri().clone(),
                request.headers().clone(),
            )
        });
        let mut response = std::pin::pin!(self.connection.sender.try_send_request(request));
        let sent = std::future::poll_fn(|context| {
            self.connection.drive(context);
            response.as_mut().poll(context)
        });
        let mut error = match sent.await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        if let Some(request) = error.take_message() {
            return Err(NotSent::Untouched(Box::new(request)));
        }
        match again {
            Some((method, uri, headers)) if self.connection.reading.bytes() == read_before => {
                let mut request = http::Request::new(boxed_body(Empty::<Bytes>::new()));
                (*request.method_mut(), *request.uri_mut()) = (method, uri);
                *request.headers_mut() = headers;
                Err(NotSent::Untouched(Box::new(request)))
            }
            _ => Err(NotSent::Lost(reason(&error.into_error()))),
        }
    }

    /// The body of the response. The connection is free at its end.
    pub(super) fn stream(self, body: Incoming, held: Held) -> ResponseBody {
        let mut streamed = Streamed {
            body,
            rest: Some((self, held)),
        };
        if streamed.body.is_end_stream() {
            streamed.end();
        }
        streamed.boxed_unsync()
    }

    /// Drives the connection until it has ended, or switched protocols.
    pub(super) async fn drive_to_end(self) {
        if let Some(driver) = self.connection.driver {
            // Who uses the connection learns how it ended.
            let _end = driver.await;
        }
    }
}

fn reason(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "the process closed the connection before it answered".into()
    } else if error.is_parse() {
        format!("the process answered with something that is not HTTP: {error}")
    } else {
        format!("the connection to the process failed: {error}")
    }
}

/// A response's body, with what is given back at its end.
struct Streamed {
    body: Incoming,
    rest: Option<(Lease, Held)>,
}

impl Streamed {
    fn end(&mut self) {
        if let Some((lease, held)) = self.rest.take() {
            lease.pool.keep(lease.connection);
            drop(held);
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end. One that left early leaves a connection behind
        // on which the rest would come: it is dropped with the body.
        if self.body.is_end_stream() {
            self.end();
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some((lease, _)) = &mut self.rest {
            lease.connection.drive(context);
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.end();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
