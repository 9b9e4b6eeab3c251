//! What the router strips from a message's header and what it adds, in both directions.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Uri, Version, request};
use hyper::upgrade::OnUpgrade;

use crate::connection::ConnectionContext;
use crate::limits::{REQUEST_ID_BYTES_MAX, REQUEST_ID_BYTES_MIN};
use crate::refusal::{drop_underscore_twins, names_upgrade};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Whose `_` twins are dropped although the client sent no `-` twin.
static SET_BY_ROUTER: [HeaderName; 6] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_PORT,
    X_REQUEST_ID,
    X_REQUEST_START,
    header::HOST,
];

/// What the log line needs of the added fields.
pub(crate) struct Forwarded {
    pub(crate) request_id: HeaderValue,
    /// The list in `X-Forwarded-For`.
    pub(crate) addresses: HeaderValue,
    /// The dyno may switch protocols.
    pub(crate) may_switch: bool,
}

/// Makes a client's request head into the one that a dyno sees: origin form, end-to-end fields only,
/// the router's own fields set.
pub(crate) fn prepare_request(
    parts: &mut request::Parts,
    connection: &ConnectionContext,
) -> Forwarded {
    let via = match parts.version {
        Version::HTTP_10 => "1.0 dyno-router",
        Version::HTTP_2 => "2.0 dyno-router",
        _ => "1.1 dyno-router",
    };
    let switch = take_switch(parts);
    let headers = &mut parts.headers;
    let te_trailers = headers.get(header::TE).is_some_and(accepts_trailers);
    strip_hop_by_hop(headers);
    if te_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.remove(header::EXPECT);
    headers.remove(header::PROXY_AUTHORIZATION);
    headers.remove(HTTP2_SETTINGS);
    drop_underscore_twins(headers, &SET_BY_ROUTER);

    let forwarded_for = append_address(headers, connection.client_address());
    let request_id = request_id(headers);
    headers.insert(X_FORWARDED_FOR, forwarded_for.clone());
    headers.insert(
        X_FORWARDED_PROTO,
        HeaderValue::from_static(connection.protocol()),
    );
    headers.insert(X_FORWARDED_PORT, connection.local_port().clone());
    headers.insert(X_REQUEST_ID, request_id.clone());
    headers.insert(X_REQUEST_START, HeaderValue::from(unix_millis()));
    headers.append(header::VIA, HeaderValue::from_static(via));

    if parts.uri.authority().is_some() || parts.uri.path_and_query().is_none() {
        let path = parts.uri.path_and_query().cloned();
        parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let may_switch = switch.is_some();
    if let Some((protocol, client)) = switch {
        parts.headers.insert(header::UPGRADE, protocol);
        parts.extensions.insert(client);
    }
    Forwarded {
        request_id,
        addresses: forwarded_for,
        may_switch,
    }
}

/// The protocol that an HTTP/1.1 client would rather speak, and its side of the connection for when the dyno agrees.
///
/// Never HTTP/2: requests would come to the dyno past the router.
fn take_switch(parts: &mut request::Parts) -> Option<(HeaderValue, OnUpgrade)> {
    let protocol = parts.headers.get(header::UPGRADE)?;
    let wanted = parts.version == Version::HTTP_11
        && names_upgrade(&parts.headers)
        && !protocol
            .as_bytes()
            .trim_ascii_start()
            .to_ascii_lowercase()
            .starts_with(b"h2");
    if !wanted {
        return None;
    }
    let protocol = protocol.clone();
    Some((protocol, parts.extensions.remove::<OnUpgrade>()?))
}

/// Makes a dyno's agreement to switch protocols into the one that the client sees.
pub(crate) fn prepare_switch(headers: &mut HeaderMap) {
    let protocol = headers.get(header::UPGRADE).cloned();
    prepare_response(headers);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Makes a dyno's response header into the one that the client sees.
pub(crate) fn prepare_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    keep_first(headers, &header::DATE);
    keep_first(headers, &header::SERVER);
    headers.append(header::VIA, HeaderValue::from_static("1.1 dyno-router"));
}

/// RFC 9110, 7.6.1. Framing is per hop too: the connection on the other side does its own.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let header::Entry::Occupied(entry) = headers.entry(header::CONNECTION) {
        let (_, values) = entry.remove_entry_mult();
        let named: Vec<HeaderName> = values
            .flat_map(|value| {
                value
                    .as_bytes()
                    .split(|&byte| byte == b',')
                    .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        for name in named {
            // Naming these would take the message apart, not the hop.
            if name != header::HOST && name != header::CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(header::TE);
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::UPGRADE);
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// The list the client sent, in one field, with its own address at the end.
fn append_address(headers: &HeaderMap, address: &HeaderValue) -> HeaderValue {
    if !headers.contains_key(X_FORWARDED_FOR) {
        return address.clone();
    }
    let mut list = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(address.as_bytes());
    HeaderValue::from_bytes(&list).unwrap_or_else(|_| address.clone())
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut fields = headers.get_all(X_REQUEST_ID).iter();
    if let (Some(value), None) = (fields.next(), fields.next())
        && (REQUEST_ID_BYTES_MIN..=REQUEST_ID_BYTES_MAX).contains(&value.len())
        && value
            .as_bytes()
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return value.clone();
    }
    // From the thread's generator: an id need not be secret, and a system call per request is dear.
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn keep_first(headers: &mut HeaderMap, name: &HeaderName) {
    let mut values = headers.get_all(name).iter();
    if let (Some(first), Some(_)) = (values.next(), values.next()) {
        let first = first.clone();
        headers.insert(name.clone(), first);
    }
}
