//! Rendezvous: clients that name a token instead of a request, to meet a one-off dyno on the other side.
//!
//! `rendezvous://HOST:PORT/TOKEN` is TLS, a line with the token, a greeting back, and from then on bare bytes
//! both ways. What is a session, and who may join it, the hook knows; the router knows the wire.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::accept::Places;
use crate::limits::RENDEZVOUS_CLOSE_TIMEOUT;

const GREETING: &[u8] = b"rendezvous\r\n";
/// What is thrown away at once while a closing client still sends.
const SCRAP_BYTES: usize = 1024;

/// Who brings clients and sessions together.
pub trait Rendezvous: Send + Sync + 'static {
    /// Takes over the connection of a client that named `token`.
    ///
    /// The token is a stranger's guess until it is found: compare it in constant time, and let it be used once.
    /// Called on an edge thread, so it must not block; a session that computes belongs on another runtime.
    ///
    /// # Errors
    /// The stream comes back when no session waits for this token; the router closes it.
    fn join(&self, token: RendezvousToken, stream: RendezvousStream) -> Result<(), UnknownToken>;
}

/// No session waits for the token: here is the stream again.
#[derive(Debug, thiserror::Error)]
#[error("no session waits for this token")]
pub struct UnknownToken(pub RendezvousStream);

/// What a client said in place of a request: 1 to [`crate::limits::RENDEZVOUS_TOKEN_BYTES_MAX`] visible ASCII
/// characters. It is a secret, so it is neither printed nor comparable.
#[derive(Clone)]
pub struct RendezvousToken(Box<str>);

impl RendezvousToken {
    /// `line` — visible ASCII, as the sniffer has seen; anything else is the empty token, which nobody has.
    pub(crate) fn new(line: &[u8]) -> Self {
        Self(std::str::from_utf8(line).unwrap_or_default().into())
    }

    /// The token itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RendezvousToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RendezvousToken(…)")
    }
}

/// A client's side of a session: what it types can be read, what is written it shows.
///
/// It counts as a connection until it is dropped. No time-out of the router applies to it: how long a session
/// may be silent, or a client not read, is the hook's to say (Heroku: one hour). A router that stops lets it go on
/// for [`crate::Timeouts::drain`]; then reads and writes fail with [`io::ErrorKind::ConnectionAborted`], those
/// that wait already too.
///
/// The client looks for the marker of an exit status in each chunk that it reads: write it at once, after a flush.
pub struct RendezvousStream {
    /// Gone once the router has cut it.
    stream: Option<Box<dyn Duplex>>,
    /// One for each direction: two tasks may wait, each for its own.
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _open: oneshot::Sender<Infallible>,
    _places: Places,
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

impl RendezvousStream {
    /// Tells the client that it has arrived; from now on it sends what is typed.
    ///
    /// To be said at once, and before anything else. The client throws the whole first chunk away that it reads:
    /// output that follows on the heels is lost with it, so wait for the dyno, or for 100 ms.
    pub async fn greet(&mut self) -> io::Result<()> {
        self.write_all(GREETING).await?;
        self.flush().await
    }

    /// Ends the session so that the client sees an end and no error, whatever it has sent meanwhile.
    ///
    /// Waits for the client to close its side for at most [`crate::limits::RENDEZVOUS_CLOSE_TIMEOUT`].
    pub async fn close(mut self) {
        let clean = async {
            self.shutdown().await?;
            // What is left unread would make the close a reset, which overtakes the output.
            let mut scrap = [0; SCRAP_BYTES];
            while self.read(&mut scrap).await? > 0 {}
            io::Result::Ok(())
        };
        // Otherwise it ends all the same, only less clearly.
        let _ = tokio::time::timeout(RENDEZVOUS_CLOSE_TIMEOUT, clean).await;
    }
}

impl fmt::Debug for RendezvousStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RendezvousStream")
    }
}

/// The router's side of a session: dropping it cuts the stream.
pub(crate) struct Session {
    open: oneshot::Receiver<Infallible>,
    _cut: DropGuard,
}

impl Session {
    pub(crate) fn new(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        places: Places,
    ) -> (Self, RendezvousStream) {
        let cut = CancellationToken::new();
        let (sender, open) = oneshot::channel();
        let stream = RendezvousStream {
            stream: Some(Box::new(stream)),
            read_cut: Box::pin(cut.clone().cancelled_owned()),
            write_cut: Box::pin(cut.clone().cancelled_owned()),
            _open: sender,
            _places: places,
        };
        let session = Self {
            open,
            _cut: cut.drop_guard(),
        };
        (session, stream)
    }

    /// Resolves when the stream was dropped.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.open).await;
    }
}

/// The stream, unless it is cut: then it is closed here, and whoever waits is woken to learn of it.
fn uncut<'a>(
    stream: &'a mut Option<Box<dyn Duplex>>,
    cut: &mut Pin<Box<WaitForCancellationFutureOwned>>,
    cx: &mut Context<'_>,
) -> io::Result<Pin<&'a mut Box<dyn Duplex>>> {
    if cut.as_mut().poll(cx).is_ready() {
        *stream = None;
    }
    stream
        .as_mut()
        .map(Pin::new)
        .ok_or_else(|| io::Error::new(io::ErrorKind::ConnectionAborted, "the router stops"))
}

impl AsyncRead for RendezvousStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        uncut(&mut this.stream, &mut this.read_cut, cx)?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for RendezvousStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        uncut(&mut this.stream, &mut this.write_cut, cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        uncut(&mut this.stream, &mut this.write_cut, cx)?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        uncut(&mut this.stream, &mut this.write_cut, cx)?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::RendezvousToken;

    #[test]
    fn a_token_is_not_printed() {
        let token = RendezvousToken::new(b"secret");
        assert_eq!(token.as_str(), "secret");
        assert!(!format!("{token:?}").contains("secret"));
    }
}
