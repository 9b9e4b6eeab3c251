//! A response body on its way to the client: counted, cut at its declared length, watched for silence.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::body::{BoxError, ResponseBody};
use crate::error_code::ErrorCode;
use crate::request_guard::RequestGuard;

/// What hyper sends.
#[allow(clippy::large_enum_variant)] // pages are the exception, and every response would pay for a box
pub(crate) enum Answer {
    /// A page of the router; its record is written already.
    Page(Option<Bytes>),
    /// A dyno's, or the fallback's.
    Stream(Stream),
}

pub(crate) struct Stream {
    body: ResponseBody,
    guard: RequestGuard,
    /// What is left of the declared `Content-Length`.
    left: Option<u64>,
    ended: bool,
    /// HTTP/1.0 without a length ends with the connection: a break must then be a reset.
    ends_with_close: bool,
    idle_timeout: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

/// How a response body is framed and watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamOptions {
    pub(crate) content_length: Option<u64>,
    pub(crate) ends_with_close: bool,
    pub(crate) idle_timeout: Option<Duration>,
}

impl Stream {
    pub(crate) fn new(body: ResponseBody, guard: RequestGuard, options: StreamOptions) -> Self {
        let mut stream = Self {
            body,
            guard,
            left: options.content_length,
            ended: false,
            ends_with_close: options.ends_with_close,
            idle_timeout: options.idle_timeout,
            timer: None,
            waiting: false,
        };
        if stream.left.unwrap_or(0) == 0 && stream.body.is_end_stream() {
            stream.complete();
        }
        stream
    }

    fn complete(&mut self) {
        self.ended = true;
        self.guard.succeeded();
    }

    /// The dyno broke off. The error makes hyper abort: no well-formed end reaches the client.
    fn broken(
        &mut self,
        code: ErrorCode,
        error: BoxError,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.ended = true;
        if self.ends_with_close {
            self.guard.connection().clocks().request_reset();
        }
        self.guard.failed(code);
        Poll::Ready(Some(Err(error)))
    }

    fn on_data(&mut self, mut data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let declared = self
            .left
            .map(|left| usize::try_from(left).unwrap_or(usize::MAX));
        let too_long = declared.is_some_and(|left| data.len() > left);
        if let Some(left) = declared {
            data.truncate(left);
        }
        if let Some(left) = &mut self.left {
            *left -= data.len() as u64;
        }
        self.guard.sent(data.len());
        if too_long {
            // The client gets the whole message it was promised; the rest is the dyno's mistake.
            self.ended = true;
            self.guard.failed(ErrorCode::H18);
        } else if self.body.is_end_stream() && self.left.unwrap_or(0) == 0 {
            // hyper drops a body that says it is at its end without asking once more.
            self.complete();
        } else if self.left == Some(0) {
            // HTTP/1 asks no more after the declared length; HTTP/2 does, and may get trailers.
            self.guard.succeeded();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(timeout) = self.idle_timeout else {
            return Poll::Pending;
        };
        let deadline = Instant::now() + timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.waiting {
            timer.as_mut().reset(deadline);
            self.waiting = true;
        }
        ready!(timer.as_mut().poll(cx));
        self.broken(
            ErrorCode::H15,
            "the dyno sent nothing of its response for too long".into(),
        )
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let stream = match self.get_mut() {
            Self::Page(page) => return Poll::Ready(page.take().map(|page| Ok(Frame::data(page)))),
            Self::Stream(stream) => stream,
        };
        if stream.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut stream.body).poll_frame(cx) {
            Poll::Pending => stream.poll_idle(cx),
            Poll::Ready(Some(Ok(frame))) => {
                stream.waiting = false;
                match frame.into_data() {
                    Ok(data) => stream.on_data(data),
                    Err(trailers) => {
                        stream.complete();
                        Poll::Ready(Some(Ok(trailers)))
                    }
                }
            }
            Poll::Ready(Some(Err(error))) => stream.broken(ErrorCode::H18, error),
            Poll::Ready(None) if stream.left.is_some_and(|left| left > 0) => stream.broken(
                ErrorCode::H18,
                "the dyno sent less than its content-length".into(),
            ),
            Poll::Ready(None) => {
                stream.complete();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(page) => page.is_none(),
            Self::Stream(stream) => stream.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(page) => {
                SizeHint::with_exact(page.as_ref().map_or(0, |page| page.len() as u64))
            }
            Self::Stream(stream) => match stream.left {
                Some(left) => SizeHint::with_exact(left),
                None if stream.ended => SizeHint::with_exact(0),
                None => stream.body.size_hint(),
            },
        }
    }
}
