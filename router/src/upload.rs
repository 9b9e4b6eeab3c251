//! A request body on its way to a dyno: read on demand, watched for silence.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::body::{BoxError, RequestBody};

/// How far the upload of one request is; shared by the body and by the request that waits for an answer.
#[derive(Debug)]
pub(crate) struct UploadProgress {
    started: Instant,
    last_ms: AtomicU64,
    state: AtomicU8,
}

const STREAMING: u8 = 0;
const BROKEN: u8 = 1;
const SILENT: u8 = 2;

/// How an upload failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadFailure {
    /// The client sent what is no body, or left.
    Broken,
    /// The client sent nothing for the idle time-out.
    Silent,
}

impl UploadProgress {
    /// When the client's last byte came.
    pub(crate) fn last_activity(&self) -> Instant {
        self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn failure(&self) -> Option<UploadFailure> {
        match self.state.load(Ordering::Relaxed) {
            BROKEN => Some(UploadFailure::Broken),
            SILENT => Some(UploadFailure::Silent),
            _ => None,
        }
    }

    fn touch(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(millis, Ordering::Relaxed);
    }
}

/// Wraps a request's body. A request without one gets an empty body and nothing to watch.
pub(crate) fn receive(
    incoming: Incoming,
    idle_timeout: Duration,
) -> (RequestBody, Option<Arc<UploadProgress>>) {
    if incoming.is_end_stream() {
        // An `Empty` has no size, so this box allocates nothing.
        return (
            Empty::new().map_err(|never| match never {}).boxed_unsync(),
            None,
        );
    }
    let progress = Arc::new(UploadProgress {
        started: Instant::now(),
        last_ms: AtomicU64::new(0),
        state: AtomicU8::new(STREAMING),
    });
    let upload = Upload {
        incoming,
        progress: Arc::clone(&progress),
        idle_timeout,
        timer: None,
        waiting: false,
    };
    (upload.boxed_unsync(), Some(progress))
}

struct Upload {
    incoming: Incoming,
    progress: Arc<UploadProgress>,
    idle_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer runs only while the dyno waits for the client, never while the client waits for the dyno.
    waiting: bool,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.waiting = false;
                this.progress.touch();
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| {
                        this.progress.state.store(BROKEN, Ordering::Relaxed);
                        error.into()
                    })
                }))
            }
            Poll::Pending => {
                let deadline = Instant::now() + this.idle_timeout;
                let timer = this
                    .timer
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                if !this.waiting {
                    timer.as_mut().reset(deadline);
                    this.waiting = true;
                }
                ready!(timer.as_mut().poll(cx));
                this.progress.state.store(SILENT, Ordering::Relaxed);
                Poll::Ready(Some(Err(
                    "the client sent nothing of its request body for too long".into(),
                )))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
