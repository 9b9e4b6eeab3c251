//! Tells what a client speaks by its first bytes, and gives them back to whoever reads the connection next.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::client_socket::ClientStream;

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// More than any sniffer needs to tell.
const PEEK_BYTES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http1,
    Http2,
}

/// How a connection may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    Http(HttpVersion),
    Tls,
}

/// Reads until `sniff` can tell from what has come. `None`: closed before.
pub(crate) async fn peek<S: ClientStream, T>(
    mut stream: S,
    sniff: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<(T, Peeked<S>)>> {
    let mut bytes = BytesMut::with_capacity(PEEK_BYTES);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        if let Some(told) = sniff(&bytes) {
            return Ok(Some((told, Peeked { bytes, stream })));
        }
    }
}

/// What the connection itself begins with; `None` while it cannot be told.
pub(crate) fn sniff(bytes: &[u8]) -> Option<Opening> {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Some(Opening::Tls);
    }
    sniff_http(bytes).map(Opening::Http)
}

/// Which HTTP; `None` while it cannot be told. What is none of them is HTTP/1, whose parser refuses it.
pub(crate) fn sniff_http(bytes: &[u8]) -> Option<HttpVersion> {
    let compared = bytes.len().min(H2_PREFACE.len());
    if bytes[..compared] != H2_PREFACE[..compared] {
        return Some(HttpVersion::Http1);
    }
    (compared == H2_PREFACE.len()).then_some(HttpVersion::Http2)
}

/// A stream of which some bytes were read already: they come first.
pub(crate) struct Peeked<S> {
    bytes: BytesMut,
    stream: S,
}

impl<S: ClientStream> ClientStream for Peeked<S> {
    const KEEPS_WRITES: bool = S::KEEPS_WRITES;

    fn reset_on_close(&self) {
        self.stream.reset_on_close();
    }
}

impl<S: ClientStream> AsyncRead for Peeked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        if self.bytes.is_empty() {
            // An idle connection keeps no buffer for what it said first.
            self.bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: ClientStream> AsyncWrite for Peeked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{H2_PREFACE, HttpVersion, Opening, sniff};

    #[test]
    fn the_first_byte_tells_tls_from_plaintext() {
        assert_eq!(sniff(b"\x16"), Some(Opening::Tls));
        assert_eq!(sniff(b"G"), Some(Opening::Http(HttpVersion::Http1)));
        assert_eq!(sniff(b"\x00"), Some(Opening::Http(HttpVersion::Http1)));
    }

    #[test]
    fn only_the_whole_preface_is_http_2() {
        for length in 1..H2_PREFACE.len() {
            assert_eq!(sniff(&H2_PREFACE[..length]), None, "{length} bytes");
        }
        let http2 = Some(Opening::Http(HttpVersion::Http2));
        assert_eq!(sniff(H2_PREFACE), http2);
        assert_eq!(sniff(&[H2_PREFACE, &b"more"[..]].concat()), http2);
        let http1 = Some(Opening::Http(HttpVersion::Http1));
        assert_eq!(sniff(b"PRI * HTTP/1.1\r\n"), http1);
    }
}
