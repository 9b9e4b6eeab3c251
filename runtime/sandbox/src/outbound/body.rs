//! The body of an answer: its bytes, the time between them, and the request's turn until they have all come.

use super::errors;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

pub(super) struct AnswerBody {
    incoming: hyper::body::Incoming,
    between_bytes: Duration,
    /// Set while the next bytes are waited for; most bodies never wait.
    patience: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    _turn: OwnedSemaphorePermit,
}

impl AnswerBody {
    pub(super) fn new(
        incoming: hyper::body::Incoming,
        between_bytes: Duration,
        turn: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            incoming,
            between_bytes,
            patience: None,
            is_waiting: false,
            _turn: turn,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            self.is_waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(errors::of_hyper_body)));
        }
        let between_bytes = self.between_bytes;
        let began = !std::mem::replace(&mut self.is_waiting, true);
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep(between_bytes)));
        if began {
            patience.as_mut().reset(Instant::now() + between_bytes);
        }
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
