//! Standard streams of a guest that somebody is attached to: two bounded pipes of bytes.
//!
//! Both directions push back: a guest that prints faster than its client reads waits, and so does a client that
//! types faster than its guest reads. Nothing is kept beyond the bound.

use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Whether the client is a terminal, as the guest's `isatty` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// A person types.
    Terminal,
    /// A file or a program.
    Pipe,
}

/// Makes the standard streams of a guest, and the other ends of them. Each direction holds `bytes_max` bytes.
pub fn attach(kind: ClientKind, bytes_max: usize) -> (GuestStreams, ClientStreams) {
    let (input, output) = (Pipe::new(bytes_max), Pipe::new(bytes_max));
    let client = ClientStreams {
        input: input.clone(),
        output: output.clone(),
    };
    let guest = GuestStreams {
        kind,
        input,
        output,
    };
    (guest, client)
}

/// What a guest reads and writes as its standard streams. Standard output and error are one.
#[derive(Clone)]
pub struct GuestStreams {
    kind: ClientKind,
    input: Pipe,
    output: Pipe,
}

impl GuestStreams {
    /// Tells the client of what the guest cannot say itself, such as its trap. What does not fit is dropped.
    pub fn say(&self, text: &str) {
        let mut output = self.output.lock();
        let room = output.hard_room();
        output
            .bytes
            .extend(text.as_bytes().iter().take(room).copied());
        output.wake();
    }

    /// No guest writes any more: the client sees the end behind what is left.
    pub fn end(&self) {
        let mut output = self.output.lock();
        output.ended = true;
        output.wake();
    }

    pub(crate) fn stdin(&self) -> Input {
        Input(self.kind, self.input.clone())
    }

    pub(crate) fn stdout(&self) -> Output {
        Output(self.kind, self.output.clone())
    }
}

impl fmt::Debug for GuestStreams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GuestStreams")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The client's ends. When this is dropped the guest reads an end, and what it writes fails.
pub struct ClientStreams {
    input: Pipe,
    output: Pipe,
}

impl ClientStreams {
    /// Gives bytes to the guest, waiting for room. What comes after the end of the input is dropped.
    ///
    /// # Cancel safety
    /// A dropped future may have given a part.
    pub async fn type_in(&self, bytes: &[u8]) {
        self.input.write_all(bytes).await;
    }

    /// Shows bytes to the client as if the guest had printed them, waiting for room: the echo of a terminal.
    ///
    /// # Cancel safety
    /// A dropped future may have shown a part.
    pub async fn echo(&self, bytes: &[u8]) {
        self.output.write_all(bytes).await;
    }

    /// Nothing more is typed: the guest reads an end behind what is left.
    pub fn end_input(&self) {
        let mut input = self.input.lock();
        input.ended = true;
        input.wake();
    }

    /// What was printed since the last call, when there is something; `None` at the end.
    ///
    /// # Cancel safety
    /// A dropped future takes nothing.
    pub async fn read(&self) -> Option<Bytes> {
        poll_fn(|context| {
            let mut output = self.output.lock();
            if !output.bytes.is_empty() {
                return Poll::Ready(Some(output.take(usize::MAX)));
            }
            if output.ended {
                return Poll::Ready(None);
            }
            output.wait(context);
            Poll::Pending
        })
        .await
    }
}

impl Drop for ClientStreams {
    fn drop(&mut self) {
        self.end_input();
        let mut output = self.output.lock();
        output.abandoned = true;
        output.bytes.clear();
        output.wake();
    }
}

impl fmt::Debug for ClientStreams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientStreams")
    }
}

/// Bytes on their way in one direction. Clones are the same pipe.
#[derive(Clone)]
struct Pipe(Arc<Mutex<Content>>);

struct Content {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// Nobody writes any more.
    ended: bool,
    /// Nobody reads any more.
    abandoned: bool,
    /// Whoever waits, for bytes or for room: there are two or three.
    waiting: Vec<Waker>,
}

impl Pipe {
    fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Content {
            bytes: VecDeque::new(),
            bytes_max,
            ended: false,
            abandoned: false,
            waiting: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_all(&self, mut bytes: &[u8]) {
        poll_fn(|context| {
            let mut content = self.lock();
            if content.ended || content.abandoned {
                return Poll::Ready(());
            }
            let length = content.room().min(bytes.len());
            content.bytes.extend(&bytes[..length]);
            bytes = &bytes[length..];
            if length > 0 {
                content.wake();
            }
            if bytes.is_empty() {
                return Poll::Ready(());
            }
            content.wait(context);
            Poll::Pending
        })
        .await;
    }

    /// Waits until a guest can write, or learns that it cannot any more.
    async fn writable(&self) {
        poll_fn(|context| {
            let mut content = self.lock();
            if content.room() > 0 || content.abandoned {
                return Poll::Ready(());
            }
            content.wait(context);
            Poll::Pending
        })
        .await;
    }

    /// Waits until a guest can read, or learns of the end.
    async fn readable(&self) {
        poll_fn(|context| {
            let mut content = self.lock();
            if !content.bytes.is_empty() || content.ended {
                return Poll::Ready(());
            }
            content.wait(context);
            Poll::Pending
        })
        .await;
    }
}

impl Content {
    fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes.len())
    }

    /// Several handles may each have been promised the same room; what they write at once is bounded all the same.
    fn hard_room(&self) -> usize {
        (2 * self.bytes_max).saturating_sub(self.bytes.len())
    }

    fn take(&mut self, length_max: usize) -> Bytes {
        let length = self.bytes.len().min(length_max);
        let taken: Vec<u8> = self.bytes.drain(..length).collect();
        self.wake();
        taken.into()
    }

    fn wait(&mut self, context: &Context<'_>) {
        let known = |waker: &Waker| waker.will_wake(context.waker());
        if !self.waiting.iter().any(known) {
            self.waiting.push(context.waker().clone());
        }
    }

    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

/// A guest's standard input.
#[derive(Clone)]
pub(crate) struct Input(ClientKind, Pipe);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.0 == ClientKind::Terminal
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut input = self.1.lock();
        if input.bytes.is_empty() && input.ended {
            return Err(StreamError::Closed);
        }
        Ok(input.take(size))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.1.readable().await;
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut input = self.1.lock();
        if input.bytes.is_empty() && !input.ended {
            input.wait(context);
            return Poll::Pending;
        }
        buffer.put_slice(&input.take(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

/// A guest's standard output, or error.
#[derive(Clone)]
pub(crate) struct Output(ClientKind, Pipe);

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.0 == ClientKind::Terminal
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut output = self.1.lock();
        if output.abandoned {
            return Err(StreamError::Closed);
        }
        if bytes.len() > output.hard_room() {
            return Err(StreamError::trap("it wrote more than it was allowed to"));
        }
        output.bytes.extend(&bytes);
        output.wake();
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let output = self.1.lock();
        if output.abandoned {
            return Err(StreamError::Closed);
        }
        Ok(output.room())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.1.writable().await;
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut output = self.1.lock();
        if output.abandoned {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = output.room().min(bytes.len());
        if length == 0 && !bytes.is_empty() {
            output.wait(context);
            return Poll::Pending;
        }
        output.bytes.extend(&bytes[..length]);
        output.wake();
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const BYTES_MAX: usize = 8;

    #[tokio::test]
    async fn what_is_typed_is_read_and_then_the_end() {
        let (guest, client) = attach(ClientKind::Terminal, BYTES_MAX);
        let mut stdin = guest.stdin();
        assert!(InputStream::read(&mut stdin, 100).unwrap().is_empty());
        client.type_in(b"hello").await;
        client.end_input();
        stdin.ready().await;
        assert_eq!(InputStream::read(&mut stdin, 2).unwrap(), "he");
        assert_eq!(InputStream::read(&mut stdin, 100).unwrap(), "llo");
        stdin.ready().await;
        assert!(matches!(
            InputStream::read(&mut stdin, 100),
            Err(StreamError::Closed)
        ));
    }

    #[tokio::test]
    async fn a_guest_waits_at_the_bound_until_the_client_reads() {
        let (guest, client) = attach(ClientKind::Pipe, BYTES_MAX);
        let mut stdout = guest.stdout();
        assert_eq!(stdout.check_write().unwrap(), BYTES_MAX);
        OutputStream::write(&mut stdout, Bytes::from_static(b"12345678")).unwrap();
        assert_eq!(stdout.check_write().unwrap(), 0);
        assert!(stdout.ready().now_or_never().is_none());
        assert_eq!(client.read().await.unwrap(), "12345678");
        stdout.ready().await;
        guest.end();
        assert_eq!(client.read().await, None);
    }

    #[tokio::test]
    async fn a_client_waits_at_the_bound_until_the_guest_reads() {
        let (guest, client) = attach(ClientKind::Pipe, BYTES_MAX);
        let mut typing = Box::pin(client.type_in(b"123456789"));
        assert!(typing.as_mut().now_or_never().is_none());
        let mut stdin = guest.stdin();
        assert_eq!(InputStream::read(&mut stdin, 4).unwrap(), "1234");
        typing.await;
        assert_eq!(InputStream::read(&mut stdin, 100).unwrap(), "56789");
    }

    #[tokio::test]
    async fn a_write_past_twice_the_bound_is_a_trap() {
        let (guest, _client) = attach(ClientKind::Pipe, BYTES_MAX);
        let mut stdout = guest.stdout();
        let write = |stdout: &mut Output, length| {
            OutputStream::write(stdout, Bytes::from(vec![b'x'; length]))
        };
        write(&mut stdout, 2 * BYTES_MAX).unwrap();
        assert!(matches!(write(&mut stdout, 1), Err(StreamError::Trap(_))));
        guest.say("lost");
    }

    #[tokio::test]
    async fn a_guest_whose_client_has_gone_reads_an_end_and_cannot_write() {
        let (guest, client) = attach(ClientKind::Pipe, BYTES_MAX);
        drop(client);
        let (mut stdin, mut stdout) = (guest.stdin(), guest.stdout());
        stdin.ready().await;
        stdout.ready().await;
        assert!(InputStream::read(&mut stdin, 1).is_err());
        assert!(stdout.check_write().is_err());
        assert!(OutputStream::write(&mut stdout, Bytes::from_static(b"x")).is_err());
    }
}
