//! The client's end of a connection, as hyper reads and writes it: the clocks are kept.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::accept::Places;
use crate::connection::ConnectionContext;

/// A stream that clients connect with.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether what was written may lie in the stream itself, for a flush to wait for. A constant, so that
    /// a plain socket pays nothing for the answer.
    const KEEPS_WRITES: bool = false;

    /// Makes the coming close a reset.
    fn reset_on_close(&self) {}
}

impl ClientStream for TcpStream {
    fn reset_on_close(&self) {
        // Best effort: without it the connection still closes, only less clearly.
        let _ = self.set_zero_linger();
    }
}

pub(crate) struct ClientSocket<S: ClientStream> {
    stream: S,
    connection: Arc<ConnectionContext>,
    /// Runs once the connection is a tunnel.
    idle: Option<Pin<Box<Sleep>>>,
    _places: Places,
}

impl<S: ClientStream> ClientSocket<S> {
    pub(crate) fn new(stream: S, places: Places, connection: Arc<ConnectionContext>) -> Self {
        Self {
            stream,
            connection,
            idle: None,
            _places: places,
        }
    }

    /// A tunnel has no requests whose clocks would run, so it has one of its own: silence in both directions.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let timeout = self.connection.edge().options.timeouts.idle;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        idle.as_mut().poll(cx).map(|()| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "nothing was sent in either direction for too long",
            )
        })
    }

    fn tunnel_moved(&mut self) {
        if let Some(idle) = &mut self.idle {
            let timeout = self.connection.edge().options.timeouts.idle;
            idle.as_mut().reset(Instant::now() + timeout);
        }
    }

    fn note_write(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => self.connection.clocks().write_blocked(),
            Poll::Ready(_) => {
                self.connection.clocks().written();
                self.tunnel_moved();
            }
        }
        result
    }
}

impl<S: ClientStream> AsyncRead for ClientSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => result?,
            Poll::Pending if self.connection.clocks().is_tunnel() => {
                return self.poll_idle(cx).map(Err);
            }
            Poll::Pending => return Poll::Pending,
        }
        if buffer.filled().len() > before {
            self.connection.clocks().read();
            self.tunnel_moved();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: ClientStream> AsyncWrite for ClientSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        if S::KEEPS_WRITES {
            // A client that does not read is seen here first: a write that fits into the buffer has succeeded.
            match result {
                Poll::Pending => self.connection.clocks().write_blocked(),
                Poll::Ready(_) => self.connection.clocks().written(),
            }
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.clocks().wants_reset() {
            self.stream.reset_on_close();
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: ClientStream> Drop for ClientSocket<S> {
    fn drop(&mut self) {
        if self.connection.clocks().wants_reset() {
            self.stream.reset_on_close();
        }
    }
}
