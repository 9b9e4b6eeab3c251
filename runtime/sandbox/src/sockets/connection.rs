//! A connection in memory: two pipes, with an end for the host and streams for the guest.

use super::pipe::{Closed, Pipe};
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// One end of a connection. Dropping it closes both directions.
#[derive(Debug)]
pub(super) struct End {
    incoming: Pipe,
    outgoing: Pipe,
}

/// Both ends of a new connection.
pub(super) fn pair() -> (End, End) {
    let (there, back) = (Pipe::new(), Pipe::new());
    let near = End {
        incoming: back.clone(),
        outgoing: there.clone(),
    };
    let far = End {
        incoming: there,
        outgoing: back,
    };
    (near, far)
}

impl End {
    /// The streams through which a guest uses this end. Each closes its direction when it is dropped.
    pub(super) fn streams(&self) -> (Box<dyn InputStream>, Box<dyn OutputStream>) {
        (
            Box::new(GuestInput(self.incoming.clone())),
            Box::new(GuestOutput(self.outgoing.clone())),
        )
    }

    pub(super) fn close_incoming(&self) {
        self.incoming.close_reader();
    }

    pub(super) fn close_outgoing(&self) {
        self.outgoing.close_writer();
    }

    /// Whether the other end has gone in both directions.
    pub(super) fn is_abandoned(&self) -> bool {
        self.incoming.is_writer_closed() && self.outgoing.is_reader_closed()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close_incoming();
        self.close_outgoing();
    }
}

struct GuestInput(Pipe);

impl InputStream for GuestInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if size == 0 {
            return Ok(Bytes::new());
        }
        match self.0.poll_read(&mut no_wake(), size) {
            Poll::Ready(Some(bytes)) => Ok(bytes),
            Poll::Ready(None) => Err(StreamError::Closed),
            Poll::Pending => Ok(Bytes::new()),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestInput {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.0.poll_readable(context)).await;
    }
}

impl Drop for GuestInput {
    fn drop(&mut self) {
        self.0.close_reader();
    }
}

struct GuestOutput(Pipe);

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.check_write()? {
            room if bytes.len() <= room => {
                self.0.write(&bytes);
                Ok(())
            }
            room => Err(StreamError::Trap(wasmtime::format_err!(
                "a write of {} bytes where {room} were permitted",
                bytes.len()
            ))),
        }
    }

    fn flush(&mut self) -> StreamResult<()> {
        // What is written is there for the other end at once.
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.0.poll_room(&mut no_wake()) {
            Poll::Ready(Ok(room)) => Ok(room),
            Poll::Ready(Err(Closed)) => Err(StreamError::Closed),
            Poll::Pending => Ok(0),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {
        let _room = std::future::poll_fn(|context| self.0.poll_room(context)).await;
    }
}

impl Drop for GuestOutput {
    fn drop(&mut self) {
        self.0.close_writer();
    }
}

/// For a look without waiting; who waits registers with `ready`.
fn no_wake() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The host's end of a connection to a guest that listens.
#[derive(Debug)]
pub struct Connection {
    end: End,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(end: End, place: OwnedSemaphorePermit) -> Self {
        Self { end, _place: place }
    }

    /// What can be asked about the connection while something else uses it.
    pub fn reading(&self) -> GuestReading {
        GuestReading(self.end.outgoing.clone())
    }
}

/// How far a guest has read what was sent to it.
#[derive(Clone, Debug)]
pub struct GuestReading(Pipe);

impl GuestReading {
    /// Bytes that the guest has read since the connection was made.
    pub fn bytes(&self) -> u64 {
        self.0.read_total()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.end
            .incoming
            .poll_copy(context, buffer)
            .map(|_end| Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match std::task::ready!(self.end.outgoing.poll_room(context)) {
            Ok(_room) => self.end.outgoing.write(bytes),
            Err(Closed) => 0,
        };
        // A guest may answer before it has read everything, and close. Its answer still counts, so what it
        // does not want is dropped here, as a kernel would.
        Poll::Ready(Ok(if written == 0 { bytes.len() } else { written }))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end.close_outgoing();
        Poll::Ready(Ok(()))
    }
}
