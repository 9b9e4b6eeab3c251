//! Which response heads of a dyno are refused instead of passed on (H17, H25).

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::error_code::ErrorCode;
use crate::limits::{RESPONSE_HEADER_BYTES_MAX, SET_COOKIE_BYTES_MAX};

/// Why a dyno's response is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restriction {
    pub(crate) code: ErrorCode,
    /// What follows `HTTP restriction` in the log line (H25), or `cause="…"` (H17).
    pub(crate) cause: &'static str,
}

const POORLY_FORMATTED: Restriction = Restriction {
    code: ErrorCode::H17,
    cause: "interim status",
};

const fn restriction(cause: &'static str) -> Restriction {
    Restriction {
        code: ErrorCode::H25,
        cause,
    }
}

/// Checks a response head and answers its declared length. Equal repeated lengths are one length.
pub(crate) fn check_response(
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<u64>, Restriction> {
    // An interim response is no answer, and nobody was asked for another protocol.
    if status.is_informational() {
        return Err(POORLY_FORMATTED);
    }
    for (name, value) in headers {
        if name == header::SET_COOKIE && value.len() > SET_COOKIE_BYTES_MAX {
            return Err(restriction("oversized cookie"));
        }
        if name.as_str().len() + value.len() > RESPONSE_HEADER_BYTES_MAX {
            return Err(restriction("oversized header"));
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    let invalid = restriction("invalid content length");
    let length = parse_length(first).ok_or(invalid)?;
    for other in lengths {
        if parse_length(other) != Some(length) {
            return Err(invalid);
        }
    }
    Ok(Some(length))
}

/// Digits only: `+5`, ` 5` and `0x5` mean different things to different readers.
fn parse_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::check_response;
    use crate::error_code::ErrorCode;
    use crate::limits::{RESPONSE_HEADER_BYTES_MAX, SET_COOKIE_BYTES_MAX};

    fn lengths(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::CONTENT_LENGTH,
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn equal_lengths_become_one_and_different_ones_are_refused() {
        let headers = lengths(&["5", "5"]);
        assert_eq!(check_response(StatusCode::OK, &headers), Ok(Some(5)));
        for values in [
            &["5", "6"][..],
            &["+5"],
            &["5, 5"],
            &["-1"],
            &["99999999999999999999"],
            &[""],
        ] {
            let refused = check_response(StatusCode::OK, &lengths(values)).unwrap_err();
            assert_eq!(refused.code, ErrorCode::H25, "{values:?}");
            assert_eq!(refused.cause, "invalid content length", "{values:?}");
        }
    }

    #[test]
    fn a_cookie_at_the_limit_passes_and_one_byte_more_does_not() {
        let mut headers = HeaderMap::new();
        let cookie = |bytes| HeaderValue::from_str(&"c".repeat(bytes)).unwrap();
        headers.insert(header::SET_COOKIE, cookie(SET_COOKIE_BYTES_MAX));
        assert_eq!(check_response(StatusCode::OK, &headers), Ok(None));
        headers.insert(header::SET_COOKIE, cookie(SET_COOKIE_BYTES_MAX + 1));
        let refused = check_response(StatusCode::OK, &headers).unwrap_err();
        assert_eq!(
            (refused.code, refused.cause),
            (ErrorCode::H25, "oversized cookie")
        );
    }

    #[test]
    fn a_header_over_512_kib_is_refused() {
        let mut headers = HeaderMap::new();
        let value = "v".repeat(RESPONSE_HEADER_BYTES_MAX);
        headers.insert("x-long", HeaderValue::from_str(&value).unwrap());
        let refused = check_response(StatusCode::OK, &headers).unwrap_err();
        assert_eq!(
            (refused.code, refused.cause),
            (ErrorCode::H25, "oversized header")
        );
    }

    #[test]
    fn an_interim_status_is_no_answer() {
        for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS] {
            let refused = check_response(status, &HeaderMap::new()).unwrap_err();
            assert_eq!(refused.code, ErrorCode::H17);
        }
    }
}
