//! The address at which the client reached us: addresses in answers start with it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};

use crate::control::Control;

/// `http://127.0.0.1:8080`, without a final slash; `https` when the client came by TLS.
#[derive(Debug)]
pub(super) struct Origin(pub String);

impl Origin {
    /// `127.0.0.1:8080`; a client that named no port gets the one that is listened on.
    pub fn host_and_port(&self, port: u16) -> String {
        let host = self.0.split_once("://").map_or(&*self.0, |(_, host)| host);
        // The colons of an IPv6 address are inside of its brackets.
        let after_address = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if after_address.contains(':') {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        }
    }
}

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
        // The router's word: it replaces what a client says.
        let is_tls = parts
            .headers
            .get("x-forwarded-proto")
            .is_some_and(|protocol| protocol == "https");
        let scheme = if is_tls { "https" } else { "http" };
        Ok(Self(match host {
            Some(host) => format!("{scheme}://{host}"),
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
