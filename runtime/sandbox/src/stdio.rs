//! A guest's stdout and stderr, cut into lines for the log.

use crate::attached::GuestStreams;
use crate::limits::LOG_LINE_BYTES_MAX;
use bytes::Bytes;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Takes the lines a guest writes. Called on guest threads: it must not block.
pub trait LineSink: Send + Sync {
    /// One line without its newline, at most [`LOG_LINE_BYTES_MAX`] bytes, invalid UTF-8 replaced.
    fn line(&self, text: String);
}

/// Where a guest's standard streams go.
#[derive(Clone)]
pub enum Stdio {
    /// stdin is empty; stdout and stderr go to the sink by line.
    Lines(Arc<dyn LineSink>),
    /// A client is attached: bytes both ways.
    Attached(GuestStreams),
    /// The standard streams of this process.
    Inherit,
}

impl fmt::Debug for Stdio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lines(_) => "Stdio::Lines",
            Self::Attached(_) => "Stdio::Attached",
            Self::Inherit => "Stdio::Inherit",
        })
    }
}

/// One output stream of one instance; every handle the guest opens shares the partial line.
#[derive(Clone)]
pub(crate) struct LineStream {
    shared: Arc<Shared>,
}

struct Shared {
    sink: Arc<dyn LineSink>,
    partial: Mutex<Vec<u8>>,
}

impl LineStream {
    pub(crate) fn new(sink: Arc<dyn LineSink>) -> Self {
        Self {
            shared: Arc::new(Shared {
                sink,
                partial: Mutex::new(Vec::new()),
            }),
        }
    }
}

impl LineStream {
    /// Gives out a line that has no newline yet.
    pub(crate) fn end_line(&self) {
        let shared = &self.shared;
        let mut partial = shared
            .partial
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A sink that panicked would panic again, and twice is the end of the process.
        if !partial.is_empty() && !thread::panicking() {
            shared.emit(&mut partial);
        }
    }
}

impl Shared {
    fn push(&self, mut bytes: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.fill(&mut partial, &bytes[..at]);
            self.emit(&mut partial);
            bytes = &bytes[at + 1..];
        }
        self.fill(&mut partial, bytes);
    }

    /// Appends to the partial line, giving out full pieces when it reaches the bound.
    fn fill(&self, partial: &mut Vec<u8>, mut bytes: &[u8]) {
        while partial.len() + bytes.len() > LOG_LINE_BYTES_MAX {
            let room = LOG_LINE_BYTES_MAX - partial.len();
            partial.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            self.emit(partial);
        }
        partial.extend_from_slice(bytes);
    }

    fn emit(&self, partial: &mut Vec<u8>) {
        if partial.last() == Some(&b'\r') {
            partial.pop();
        }
        self.sink
            .line(String::from_utf8_lossy(partial).into_owned());
        partial.clear();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut partial = std::mem::take(
            self.partial
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        if !partial.is_empty() && !thread::panicking() {
            self.emit(&mut partial);
        }
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.shared.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.shared.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl LineSink for Lines {
        fn line(&self, text: String) {
            self.0.lock().unwrap().push(text);
        }
    }

    fn lines_of(writes: &[&[u8]]) -> Vec<String> {
        let lines = Arc::new(Lines::default());
        let mut stream = LineStream::new(lines.clone());
        for write in writes {
            OutputStream::write(&mut stream, Bytes::copy_from_slice(write)).unwrap();
        }
        drop(stream);
        std::mem::take(&mut *lines.0.lock().unwrap())
    }

    #[test]
    fn writes_are_joined_into_lines_and_the_last_is_kept() {
        assert_eq!(
            lines_of(&[b"one\ntw", b"o\r\n\nthree"]),
            ["one", "two", "", "three"]
        );
    }

    #[test]
    fn a_line_of_the_bound_stays_whole_and_one_byte_more_is_cut() {
        let whole = vec![b'x'; LOG_LINE_BYTES_MAX];
        assert_eq!(lines_of(&[&whole, b"\n"]).len(), 1);
        let longer = vec![b'x'; LOG_LINE_BYTES_MAX + 1];
        let cut = lines_of(&[&longer, b"\n"]);
        assert_eq!(
            cut.iter().map(String::len).collect::<Vec<_>>(),
            [LOG_LINE_BYTES_MAX, 1]
        );
    }
}
