//! A file as a response body: read in chunks on a blocking thread, only as fast as the client takes them.

use super::conditional::Span;
use super::limits::CHUNK_BYTES;
use crate::body::{BoxError, ResponseBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// A body that is in memory already.
pub(super) fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    ResponseBody::new(Full::new(bytes.into()).map_err(|never| match never {}))
}

/// Some bytes of a file.
#[derive(Debug)]
pub(super) struct FileBody {
    file: Arc<File>,
    offset: u64,
    remaining: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    pub(super) fn new(file: File, span: Span) -> Self {
        Self {
            file: Arc::new(file),
            offset: span.start,
            remaining: span.length,
            reading: None,
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        if self.reading.is_none() {
            let (file, offset) = (Arc::clone(&self.file), self.offset);
            let length = usize::try_from(self.remaining)
                .map_or(CHUNK_BYTES, |remaining| remaining.min(CHUNK_BYTES));
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let mut chunk = vec![0; length];
                // A file that ends early ends the response with an error: its length was promised.
                file.read_exact_at(&mut chunk, offset)?;
                Ok(Bytes::from(chunk))
            }));
        }
        let Some(reading) = self.reading.as_mut() else {
            return Poll::Pending;
        };
        let result = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let chunk = match result {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return self.fail(Box::new(error)),
            Err(error) => return self.fail(Box::new(error)),
        };
        self.offset += chunk.len() as u64;
        self.remaining -= chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

impl FileBody {
    fn fail(&mut self, error: BoxError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.remaining = 0;
        Poll::Ready(Some(Err(error)))
    }
}
