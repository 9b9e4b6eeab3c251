//! One connection to a server, of HTTP/1.1 or HTTP/2.

use crate::limits::{FIELD_BYTES_MAX, OUTBOUND_BUFFER_BYTES, OUTBOUND_STREAM_WINDOW_BYTES};
use http::header::HOST;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::WasiBody;

/// What became of a request.
pub(super) enum Sent {
    Answer(Response<Incoming>),
    /// Not a byte of it went out.
    Unsent(Box<Request<WasiBody>>),
    Failed(hyper::Error),
}

/// A connection for one request.
pub(super) struct Connection {
    pub(super) sender: Sender,
    is_reused: bool,
}

pub(super) enum Sender {
    /// One request after the other.
    One(http1::SendRequest<WasiBody>),
    /// Many requests at once.
    Many(Shared),
}

/// An HTTP/2 connection and the requests that are on it.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) sender: http2::SendRequest<WasiBody>,
    pub(super) users: Arc<()>,
}

impl Connection {
    pub(super) fn new(sender: Sender) -> Self {
        Self {
            sender,
            is_reused: false,
        }
    }

    pub(super) fn reused(sender: Sender) -> Self {
        Self {
            sender,
            is_reused: true,
        }
    }

    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(super) async fn send(&mut self, mut request: Request<WasiBody>) -> Sent {
        let result = match &mut self.sender {
            Sender::One(sender) => {
                let absolute = std::mem::take(request.uri_mut());
                *request.uri_mut() = path_of(&absolute);
                match sender.try_send_request(request).await {
                    Err(mut error) => Err(match error.take_message() {
                        Some(mut unsent) => {
                            *unsent.uri_mut() = absolute;
                            return Sent::Unsent(Box::new(unsent));
                        }
                        None => error.into_error(),
                    }),
                    Ok(answer) => Ok(answer),
                }
            }
            Sender::Many(shared) => {
                // HTTP/2 has the authority in the URL.
                let host = request.headers_mut().remove(HOST);
                match shared.sender.try_send_request(request).await {
                    Err(mut error) => Err(match error.take_message() {
                        Some(mut unsent) => {
                            if let Some(host) = host {
                                unsent.headers_mut().insert(HOST, host);
                            }
                            return Sent::Unsent(Box::new(unsent));
                        }
                        None => error.into_error(),
                    }),
                    Ok(answer) => Ok(answer),
                }
            }
        };
        match result {
            Ok(answer) => Sent::Answer(answer),
            Err(error) => Sent::Failed(error),
        }
    }
}

fn path_of(absolute: &Uri) -> Uri {
    absolute
        .path_and_query()
        .cloned()
        .map_or_else(Uri::default, Uri::from)
}

/// Begins to speak HTTP/1.1; the connection is driven in a task of its own and holds `place` until it ends.
pub(super) async fn speak_http1<S>(stream: S, place: OwnedSemaphorePermit) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, driver) = http1::Builder::new()
        .max_buf_size(OUTBOUND_BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        // What goes wrong here is what the request on it is told.
        let _told = driver.await;
        drop(place);
    });
    Ok(Sender::One(sender))
}

/// Begins to speak HTTP/2, as [`speak_http1`] does.
pub(super) async fn speak_http2<S>(stream: S, place: OwnedSemaphorePermit) -> hyper::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let header_bytes = u32::try_from(FIELD_BYTES_MAX).unwrap_or(u32::MAX);
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(OUTBOUND_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(OUTBOUND_STREAM_WINDOW_BYTES)
        .max_send_buf_size(OUTBOUND_BUFFER_BYTES)
        .max_header_list_size(header_bytes)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        let _told = driver.await;
        drop(place);
    });
    Ok(Sender::Many(Shared {
        sender,
        users: Arc::new(()),
    }))
}
