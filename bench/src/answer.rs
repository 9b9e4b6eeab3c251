//! Finds the end of one HTTP/1.1 answer in a buffer, and checks that it is the expected one.

use std::str::from_utf8;
use thiserror::Error;

use crate::limits::ANSWER_BYTES_MAX;

/// Why an answer does not count.
#[derive(Debug, Error, PartialEq)]
pub enum Wrong {
    /// Another status than 200. A fast error must not pass for a fast answer.
    #[error("status {0}")]
    Status(String),
    /// Another body than the hello.
    #[error("an unexpected body")]
    Body,
    /// The server wants to close the connection.
    #[error("no keep-alive")]
    Close,
    /// Not HTTP/1.1, or a length that cannot be read.
    #[error("not understood: {0}")]
    Syntax(&'static str),
    /// Longer than any hello.
    #[error("an answer of more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

/// Looks for a whole answer at the start of `bytes`; `None` means that more must be read.
pub fn whole(bytes: &[u8], expected: &[u8]) -> Result<Option<usize>, Wrong> {
    let Some(head_length) = find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > ANSWER_BYTES_MAX {
            Err(Wrong::TooLong)
        } else {
            Ok(None)
        };
    };
    let head = from_utf8(&bytes[..head_length]).map_err(|_| Wrong::Syntax("head"))?;
    let framing = framing(head)?;
    let body = &bytes[head_length + 4..];
    let end = match framing {
        Framing::Length(length) if length != expected.len() => return Err(Wrong::Body),
        Framing::Length(length) if body.len() < length => None,
        Framing::Length(length) => (body[..length] == *expected)
            .then_some(Some(length))
            .ok_or(Wrong::Body)?,
        Framing::Chunked => chunked_end(body, expected)?,
    };
    match end {
        None if bytes.len() > ANSWER_BYTES_MAX => Err(Wrong::TooLong),
        end => Ok(end.map(|end| head_length + 4 + end)),
    }
}

enum Framing {
    Length(usize),
    Chunked,
}

fn framing(head: &str) -> Result<Framing, Wrong> {
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .ok_or(Wrong::Syntax("status line"))?;
    if !status.starts_with("200") {
        return Err(Wrong::Status(status.to_owned()));
    }
    let mut framing = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| Wrong::Syntax("content-length"))?;
            framing = Some(Framing::Length(length));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked);
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            return Err(Wrong::Close);
        }
    }
    framing.ok_or(Wrong::Syntax("no length"))
}

/// Walks the chunks. The last chunk is read to its very end: left in the socket it would be taken for the next answer.
fn chunked_end(body: &[u8], expected: &[u8]) -> Result<Option<usize>, Wrong> {
    let (mut at, mut matched) = (0, 0);
    loop {
        let Some(line) = find(&body[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = from_utf8(&body[at..at + line])
            .ok()
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .filter(|size| *size <= ANSWER_BYTES_MAX)
            .ok_or(Wrong::Syntax("chunk size"))?;
        at += line + 2;
        let Some(chunk) = body.get(at..at + size + 2) else {
            return Ok(None);
        };
        at += size + 2;
        if size == 0 {
            // Trailers would stand where the empty line is.
            return match chunk == b"\r\n" {
                true if matched == expected.len() => Ok(Some(at)),
                true => Err(Wrong::Body),
                false => Err(Wrong::Syntax("trailers")),
            };
        }
        if expected.get(matched..matched + size) != Some(&chunk[..size]) {
            return Err(Wrong::Body);
        }
        matched += size;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"hello, world!\n";
    const PLAIN: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nhello, world!\nHTTP/1.1 200";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n9\r\n, world!\n\r\n0\r\n\r\n";

    #[test]
    fn an_answer_ends_where_its_length_says() {
        assert_eq!(whole(PLAIN, HELLO), Ok(Some(PLAIN.len() - 12)));
    }

    #[test]
    fn a_chunked_answer_is_read_to_its_last_byte() {
        assert_eq!(whole(CHUNKED, HELLO), Ok(Some(CHUNKED.len())));
        for length in 0..CHUNKED.len() {
            assert_eq!(whole(&CHUNKED[..length], HELLO), Ok(None), "{length} bytes");
        }
    }

    #[test]
    fn an_error_page_does_not_pass_for_an_answer() {
        let page = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 14\r\n\r\nhello, world!\n";
        assert_eq!(
            whole(page, HELLO),
            Err(Wrong::Status("503 Service Unavailable".to_owned()))
        );
    }

    #[test]
    fn another_body_does_not_pass_for_an_answer() {
        let same_length = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\nhello, warld!\n";
        let shorter =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(whole(same_length, HELLO), Err(Wrong::Body));
        assert_eq!(whole(shorter, HELLO), Err(Wrong::Body));
    }

    #[test]
    fn a_connection_that_will_close_is_refused() {
        let closing =
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 14\r\n\r\nhello, world!\n";
        assert_eq!(whole(closing, HELLO), Err(Wrong::Close));
    }

    #[test]
    fn an_endless_head_is_refused() {
        assert_eq!(
            whole(&vec![b'a'; ANSWER_BYTES_MAX + 1], HELLO),
            Err(Wrong::TooLong)
        );
    }
}
