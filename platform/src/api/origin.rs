//! The address at which the client reached us: addresses in answers start with it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};

use crate::control::Control;

/// `http://127.0.0.1:8080`, without a final slash.
#[derive(Debug)]
pub(super) struct Origin(pub String);

impl FromRequestParts<Arc<Control>> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        control: &Arc<Control>,
    ) -> Result<Self, Infallible> {
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
            .filter(|host| is_host(host));
        Ok(Self(match host {
            Some(host) => format!("http://{host}"),
            None => control.api_url.clone(),
        }))
    }
}

/// Only what can stand in an address: the host comes from the client and goes into JSON that others may follow.
fn is_host(host: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_')
    };
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed)
}
