//! Conditional and partial requests: `If-None-Match`, `If-Range`, `Range`.

use http::HeaderMap;
use http::header::{self, HeaderValue};

/// Some of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// What a request's `Range` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Everything: there is no range, or one that may be ignored.
    Whole,
    Part(Span),
    /// No byte of the file (416).
    Unsatisfiable,
}

/// Whether the client has this version already.
///
/// The weak comparison: a proxy that compressed the answer on its way made our tag weak.
///
/// Source: RFC 9110, sections 8.8.3.2 and 13.1.2.
pub(super) fn etag_matches(expected: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(expected), Ok(etag)) = (expected.to_str(), etag.to_str()) else {
        return false;
    };
    expected
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether a range may be answered: without `If-Range`, or when it names this very version.
///
/// A date never does, because no date is ever sent.
///
/// Source: RFC 9110, section 13.1.5.
pub(super) fn is_range_current(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get(header::IF_RANGE)
        .is_none_or(|expected| expected == etag)
}

/// Reads `Range` against a file of `length` bytes. More than one range is answered with everything.
///
/// Source: RFC 9110, section 14.1.2.
pub(super) fn range(headers: &HeaderMap, length: u64) -> Range {
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Range::Whole;
    };
    let Some((unit, set)) = value.to_str().ok().and_then(|text| text.split_once('=')) else {
        return Range::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Range::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Range::Whole;
    };
    match (number(first), number(last)) {
        (Number::Absent, Number::Is(0)) => Range::Unsatisfiable,
        (Number::Absent, Number::Is(_)) if length == 0 => Range::Unsatisfiable,
        (Number::Absent, Number::Is(suffix)) => {
            let suffix = suffix.min(length);
            Range::Part(Span {
                start: length - suffix,
                length: suffix,
            })
        }
        (Number::Is(first), Number::Absent) if first >= length => Range::Unsatisfiable,
        (Number::Is(first), Number::Absent) => Range::Part(Span {
            start: first,
            length: length - first,
        }),
        (Number::Is(first), Number::Is(last)) if first > last => Range::Whole,
        (Number::Is(first), Number::Is(_)) if first >= length => Range::Unsatisfiable,
        (Number::Is(first), Number::Is(last)) => Range::Part(Span {
            start: first,
            length: last.min(length - 1) - first + 1,
        }),
        _ => Range::Whole,
    }
}

enum Number {
    Absent,
    Is(u64),
    Unreadable,
}

fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        return Number::Absent;
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Number::Unreadable;
    }
    // Digits only, so what does not fit is larger than any file.
    Number::Is(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(value: &str, length: u64) -> Range {
        let headers = HeaderMap::from_iter([(header::RANGE, value.parse().unwrap())]);
        range(&headers, length)
    }

    fn part(start: u64, length: u64) -> Range {
        Range::Part(Span { start, length })
    }

    #[test]
    fn ranges_are_read_at_their_boundaries() {
        assert_eq!(of("bytes=0-0", 10), part(0, 1));
        assert_eq!(of("bytes=9-9", 10), part(9, 1));
        assert_eq!(of("bytes=9-", 10), part(9, 1));
        assert_eq!(of("bytes=2-99999999999999999999999", 10), part(2, 8));
        assert_eq!(of("bytes=-3", 10), part(7, 3));
        assert_eq!(of("bytes=-30", 10), part(0, 10));
        assert_eq!(of("Bytes = 1-2", 10), part(1, 2));
        for unsatisfiable in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(
                of(unsatisfiable, 10),
                Range::Unsatisfiable,
                "{unsatisfiable}"
            );
        }
        assert_eq!(of("bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(of("bytes=-1", 0), Range::Unsatisfiable);
        for ignored in [
            "bytes=3-2",
            "bytes=a-b",
            "bytes=-",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes",
            "bytes=+1-2",
        ] {
            assert_eq!(of(ignored, 10), Range::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_tag_matches_in_a_list_weakened_or_as_a_star() {
        let etag = HeaderValue::from_static("\"a\"");
        for yes in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(etag_matches(&HeaderValue::from_static(yes), &etag), "{yes}");
        }
        for no in ["\"b\"", "a", "", "W/\"b\""] {
            assert!(!etag_matches(&HeaderValue::from_static(no), &etag), "{no}");
        }
    }
}
