//! Tells what a client speaks by its first bytes, and gives them back to whoever reads the connection next.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::client_socket::ClientStream;
use crate::limits::RENDEZVOUS_TOKEN_BYTES_MAX;

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// More than any sniffer needs to tell.
const PEEK_BYTES: usize = 4096;
const _: () = assert!(PEEK_BYTES > RENDEZVOUS_TOKEN_BYTES_MAX + "\r\n".len());

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

/// How a connection may begin once its TLS handshake is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecuredOpening {
    Http(HttpVersion),
    /// A line that is one word of so many bytes.
    Token {
        length: usize,
    },
    /// A word that is longer than any token.
    OverlongToken,
}

/// Reads until `sniff` can tell from what has come. `None`: closed before.
pub(crate) async fn peek<S: ClientStream, T>(
    stream: &mut S,
    sniff: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<(T, BytesMut)>> {
    let mut bytes = BytesMut::with_capacity(PEEK_BYTES);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        if let Some(told) = sniff(&bytes) {
            return Ok(Some((told, bytes)));
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

/// What a connection with TLS begins with; `None` while it cannot be told.
pub(crate) fn sniff_secured(bytes: &[u8]) -> Option<SecuredOpening> {
    let version = sniff_http(bytes)?;
    let length = bytes
        .iter()
        .position(|byte| !byte.is_ascii_graphic())
        .unwrap_or(bytes.len());
    match &bytes[length..] {
        _ if version == HttpVersion::Http2 => Some(SecuredOpening::Http(version)),
        _ if length > RENDEZVOUS_TOKEN_BYTES_MAX => Some(SecuredOpening::OverlongToken),
        [] | b"\r" => None,
        [b'\n', ..] | [b'\r', b'\n', ..] if length > 0 => Some(SecuredOpening::Token { length }),
        // A space, as in a request line, or what its parser refuses.
        _ => Some(SecuredOpening::Http(version)),
    }
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

impl<S> Peeked<S> {
    pub(crate) fn new(bytes: BytesMut, stream: S) -> Self {
        Self { bytes, stream }
    }

    /// Takes the first line, whose word has `length` bytes, with its end.
    pub(crate) fn take_line(&mut self, length: usize) -> BytesMut {
        let line = self.bytes.split_to(length.min(self.bytes.len()));
        let end = self.bytes.iter().position(|&byte| byte == b'\n');
        self.forget(end.map_or(0, |end| end + 1));
        line
    }

    fn forget(&mut self, count: usize) {
        self.bytes.advance(count);
        if self.bytes.is_empty() {
            // An idle connection keeps no buffer for what it said first.
            self.bytes = BytesMut::new();
        }
    }
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
        self.forget(count);
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
    use super::{H2_PREFACE, HttpVersion, Opening, SecuredOpening, sniff, sniff_secured};
    use crate::limits::RENDEZVOUS_TOKEN_BYTES_MAX;

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
    #[test]
    fn a_line_that_is_one_word_is_a_token() {
        for (line, length) in [
            (&b"abc\r\n"[..], 3),
            (b"abc\n", 3),
            (b"abc\r\ntyped", 3),
            (b"PRI\r\n", 3),
            (b"a/b?c=d\r\n", 7),
        ] {
            let token = Some(SecuredOpening::Token { length });
            assert_eq!(sniff_secured(line), token, "{line:?}");
            let end = line.iter().position(|&byte| byte == b'\n').unwrap_or(0);
            for begun in 1..end {
                assert_eq!(sniff_secured(&line[..begun]), None, "{:?}", &line[..begun]);
            }
        }
    }

    #[test]
    fn what_is_no_word_is_http() {
        let http1 = Some(SecuredOpening::Http(HttpVersion::Http1));
        for line in [
            &b"GET "[..],
            b"GET / HTTP/1.1\r\n",
            b"\r\n",
            b"\n",
            b" abc\r\n",
            b"abc\rd",
            b"abc\x00",
            b"\xffabc\r\n",
            b"\x16\x03\x01",
        ] {
            assert_eq!(sniff_secured(line), http1, "{line:?}");
        }
        let http2 = Some(SecuredOpening::Http(HttpVersion::Http2));
        assert_eq!(sniff_secured(H2_PREFACE), http2);
    }

    #[test]
    fn a_word_may_be_as_long_as_a_token_and_not_longer() {
        let length = RENDEZVOUS_TOKEN_BYTES_MAX;
        let mut line = vec![b't'; length];
        assert_eq!(sniff_secured(&line), None);
        line.extend(b"\r\n");
        let token = Some(SecuredOpening::Token { length });
        assert_eq!(sniff_secured(&line), token);
        line.insert(0, b't');
        let overlong = Some(SecuredOpening::OverlongToken);
        assert_eq!(sniff_secured(&line), overlong);
        assert_eq!(sniff_secured(&line[..=length]), overlong);
    }
}
