//! Response bodies: one buffer where the guest had finished it, else a stream that limits the guest behind it.

use crate::body::{BoxError, ResponseBody};
use crate::limits::AFTER_RESPONSE_MAX;
use bytes::Bytes;
use dyno_sandbox::limits::ORPHAN_GRACE;
use dyno_sandbox::{AnswerBody, MovedCall};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A response whose guest has returned.
pub(super) fn complete(response: http::Response<AnswerBody>) -> http::Response<ResponseBody> {
    response.map(|body| {
        body.gather()
            .map_err(|error| Box::new(error) as BoxError)
            .boxed_unsync()
    })
}

/// A response whose guest may still be at work. What is there already goes out with the head.
pub(super) fn streamed(
    response: http::Response<AnswerBody>,
    guard: StreamGuard,
) -> http::Response<ResponseBody> {
    response.map(|body| {
        let body = body.gather();
        Streamed { body, guard }.boxed_unsync()
    })
}

/// Tells a running guest how long it may go on: a while after a whole response, briefly when the client left.
pub(super) struct StreamGuard {
    call: Option<MovedCall>,
    keep: Option<Box<dyn Any + Send>>,
}

impl StreamGuard {
    /// A guard of a call on the guest threads.
    pub(super) fn of_call(call: MovedCall) -> Self {
        Self {
            call: Some(call),
            keep: None,
        }
    }

    /// A guard that only keeps something until the body has ended.
    pub(super) fn keeping(keep: impl Any + Send) -> Self {
        Self {
            call: None,
            keep: Some(Box::new(keep)),
        }
    }

    fn end_within(&mut self, time: Duration) {
        self.keep = None;
        if let Some(call) = self.call.take() {
            call.end_within(time);
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.end_within(ORPHAN_GRACE);
    }
}

impl fmt::Debug for StreamGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StreamGuard")
            .field("call", &self.call)
            .finish()
    }
}

struct Streamed {
    body: AnswerBody,
    guard: StreamGuard,
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end.
        if self.body.is_end_stream() {
            self.guard.end_within(AFTER_RESPONSE_MAX);
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
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() {
            self.guard.end_within(AFTER_RESPONSE_MAX);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Box::new(error) as BoxError)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
