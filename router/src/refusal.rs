//! Which requests are refused before any dyno is chosen (RFC 9112, Heroku's limits).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request};

use crate::host::Host;
use crate::limits::HEADER_NAME_BYTES_MAX;
use crate::options::Limits;

/// Why a request is refused. The connection closes after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// `cause="…"` in the log line (H26).
    pub(crate) cause: &'static str,
}

const BAD_HEADER: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    cause: "bad header",
};
const TOO_LONG: Refusal = Refusal {
    status: StatusCode::URI_TOO_LONG,
    cause: "request target too long",
};
const TOO_LARGE: Refusal = Refusal {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    cause: "header too large",
};
const BAD_EXPECT: Refusal = Refusal {
    status: StatusCode::EXPECTATION_FAILED,
    cause: "unsupported expect header value",
};
const BAD_METHOD: Refusal = Refusal {
    status: StatusCode::METHOD_NOT_ALLOWED,
    cause: "unsupported method",
};

/// Finds the one host of a request and puts it, and nothing else, into `Host`.
///
/// The authority of the target wins over `Host` in HTTP/1 (RFC 9112, 3.2.2); in HTTP/2 the two must
/// agree. So what the router routes by and what the app reads is one value.
pub(crate) fn take_host(parts: &mut request::Parts) -> Result<Host, Refusal> {
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(BAD_HEADER);
    }
    let Some(authority) = parts.uri.authority() else {
        let value = field.ok_or(BAD_HEADER)?;
        return Host::parse(value.as_bytes()).ok_or(BAD_HEADER);
    };
    let host = Host::parse(authority.as_str().as_bytes()).ok_or(BAD_HEADER)?;
    match field {
        Some(value)
            if parts.version == Version::HTTP_2
                && !value
                    .as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            return Err(BAD_HEADER);
        }
        None if parts.version != Version::HTTP_2 => return Err(BAD_HEADER),
        _ => {}
    }
    let value = HeaderValue::from_str(authority.as_str()).map_err(|_| BAD_HEADER)?;
    parts.headers.insert(header::HOST, value);
    Ok(host)
}

/// Checks everything but the host.
pub(crate) fn check(parts: &request::Parts, limits: &Limits) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(BAD_METHOD);
    }
    let target_bytes = parts
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    if target_bytes > limits.request_target_bytes {
        return Err(TOO_LONG);
    }
    for (name, value) in &parts.headers {
        let name_bytes = name.as_str().len();
        if name_bytes > HEADER_NAME_BYTES_MAX || name_bytes + value.len() > limits.header_line_bytes
        {
            return Err(TOO_LARGE);
        }
    }
    check_transfer_encoding(&parts.headers)?;
    check_expect(&parts.headers)?;
    if names_upgrade(&parts.headers) && !parts.headers.contains_key(header::UPGRADE) {
        return Err(BAD_HEADER);
    }
    Ok(())
}

/// Exactly `chunked`, once: any other coding would reach the app undecoded.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut fields = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(()),
        (Some(value), None)
            if value
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(())
        }
        _ => Err(BAD_HEADER),
    }
}

/// hyper answers `100-continue` itself when the body is first read; an empty expectation is none.
fn check_expect(headers: &HeaderMap) -> Result<(), Refusal> {
    let met = headers.get_all(header::EXPECT).iter().all(|value| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"100-continue")
    });
    if met { Ok(()) } else { Err(BAD_EXPECT) }
}

/// Whether `Connection` names `Upgrade`.
pub(crate) fn names_upgrade(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    })
}

/// Drops fields that a CGI-style guest could not tell from their `-` twin (`X_Forwarded_For`).
pub(crate) fn drop_underscore_twins(headers: &mut HeaderMap, set_by_router: &[HeaderName]) {
    if !headers.keys().any(|name| name.as_str().contains('_')) {
        return;
    }
    let twins: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            if !name.as_str().contains('_') {
                return false;
            }
            let twin = name.as_str().replace('_', "-");
            headers.contains_key(&twin) || set_by_router.iter().any(|own| own.as_str() == twin)
        })
        .cloned()
        .collect();
    for name in twins {
        headers.remove(name);
    }
}
