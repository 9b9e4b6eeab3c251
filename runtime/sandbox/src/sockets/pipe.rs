//! One direction of an in-memory connection: a queue of bytes with a bound, and wakers at both ends.

use crate::limits::PIPE_BYTES_MAX;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The two handles of one queue share it; either may be closed first.
#[derive(Clone)]
pub(super) struct Pipe {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Not yet read. Dropped whenever it is empty, so that an idle connection holds no buffer.
    bytes: BytesMut,
    read_total: u64,
    writer_closed: bool,
    reader_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The other end does not read any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Pipe {
    pub(super) fn new() -> Self {
        Self {
            state: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `max` bytes; `None` at the end.
    pub(super) fn poll_read(&self, context: &mut Context<'_>, max: usize) -> Poll<Option<Bytes>> {
        self.take(context, |bytes| {
            let length = bytes.len().min(max);
            (bytes.split_to(length).freeze(), length)
        })
    }

    /// Copies what is there into `buffer`; `None` at the end.
    pub(super) fn poll_copy(
        &self,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<Option<()>> {
        self.take(context, |bytes| {
            let length = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..length]);
            bytes.advance(length);
            ((), length)
        })
    }

    /// Takes from a queue that is not empty; `take` says how many bytes it took.
    fn take<R>(
        &self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut BytesMut) -> (R, usize),
    ) -> Poll<Option<R>> {
        let mut state = self.lock();
        if state.bytes.is_empty() {
            if state.writer_closed || state.reader_closed {
                return Poll::Ready(None);
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (taken, length) = take(&mut state.bytes);
        state.read_total += length as u64;
        if state.bytes.is_empty() {
            state.bytes = BytesMut::new();
        }
        let waker = state.writer.take();
        drop(state);
        wake(waker);
        Poll::Ready(Some(taken))
    }

    /// Ready when a read would not wait.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.bytes.is_empty() || state.writer_closed || state.reader_closed {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// How many bytes [`Self::write`] takes now, once it is any.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<Result<usize, Closed>> {
        let mut state = self.lock();
        if state.writer_closed || state.reader_closed {
            return Poll::Ready(Err(Closed));
        }
        let room = PIPE_BYTES_MAX - state.bytes.len();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Queues as much as there is room for, and says how much that was.
    pub(super) fn write(&self, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        if state.writer_closed || state.reader_closed {
            return 0;
        }
        let length = bytes.len().min(PIPE_BYTES_MAX - state.bytes.len());
        state.bytes.extend_from_slice(&bytes[..length]);
        let waker = state.reader.take();
        drop(state);
        wake(waker);
        length
    }

    /// What is queued can still be read; then comes the end.
    pub(super) fn close_writer(&self) {
        let mut state = self.lock();
        state.writer_closed = true;
        let waker = state.reader.take();
        drop(state);
        wake(waker);
    }

    /// Drops what is queued. From now on the writer is told.
    pub(super) fn close_reader(&self) {
        let mut state = self.lock();
        state.reader_closed = true;
        state.bytes = BytesMut::new();
        let wakers = (state.reader.take(), state.writer.take());
        drop(state);
        wake(wakers.0);
        wake(wakers.1);
    }

    /// Bytes that were read since the beginning.
    pub(super) fn read_total(&self) -> u64 {
        self.lock().read_total
    }

    pub(super) fn is_reader_closed(&self) -> bool {
        self.lock().reader_closed
    }

    pub(super) fn is_writer_closed(&self) -> bool {
        self.lock().writer_closed
    }
}

/// Never under the lock: who is woken may come back at once.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        formatter
            .debug_struct("Pipe")
            .field("bytes", &state.bytes.len())
            .field("writer_closed", &state.writer_closed)
            .field("reader_closed", &state.reader_closed)
            .finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(pipe: &Pipe, max: usize) -> Poll<Option<Bytes>> {
        pipe.poll_read(&mut Context::from_waker(Waker::noop()), max)
    }

    fn room(pipe: &Pipe) -> Poll<Result<usize, Closed>> {
        pipe.poll_room(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_pipe_takes_no_more_until_it_is_read() {
        let pipe = Pipe::new();
        let bytes = vec![7; PIPE_BYTES_MAX + 1];
        assert_eq!(pipe.write(&bytes), PIPE_BYTES_MAX);
        assert_eq!(pipe.write(&bytes), 0);
        assert_eq!(room(&pipe), Poll::Pending);
        assert_eq!(read(&pipe, 10), Poll::Ready(Some(Bytes::from(vec![7; 10]))));
        assert_eq!(room(&pipe), Poll::Ready(Ok(10)));
        assert_eq!(pipe.read_total(), 10);
    }

    #[test]
    fn what_was_written_before_the_end_is_read_before_it() {
        let pipe = Pipe::new();
        assert_eq!(read(&pipe, 10), Poll::Pending);
        pipe.write(b"last words");
        pipe.close_writer();
        assert_eq!(pipe.write(b"too late"), 0);
        assert_eq!(
            read(&pipe, 99),
            Poll::Ready(Some(Bytes::from_static(b"last words")))
        );
        assert_eq!(read(&pipe, 99), Poll::Ready(None));
    }

    #[test]
    fn a_writer_is_told_that_nobody_reads() {
        let pipe = Pipe::new();
        pipe.write(b"unheard");
        pipe.close_reader();
        assert_eq!(room(&pipe), Poll::Ready(Err(Closed)));
        assert_eq!(read(&pipe, 99), Poll::Ready(None));
    }
}
