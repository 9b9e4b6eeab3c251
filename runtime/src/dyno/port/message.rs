//! Requests and responses on their way over a connection: what belongs to one hop stays there.

use crate::body::RequestBody;
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Uri, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The client's side of a connection that may switch protocols.
pub(super) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// Passes bytes both ways until both directions have ended.
    pub(super) async fn join(self, guest: OnUpgrade) {
        let (Ok(client), Ok(guest)) = tokio::join!(self.0, guest) else {
            // One of them left before the switch: nothing is left to join.
            return;
        };
        let (mut client, mut guest) = (TokioIo::new(client), TokioIo::new(guest));
        // How it ends is between those two.
        let _bytes = tokio::io::copy_bidirectional(&mut client, &mut guest).await;
    }
}

/// Makes a request one of HTTP/1.1 for an origin server. The result is there when its client can switch protocols
/// and asks to.
pub(super) fn prepare_request(request: &mut http::Request<RequestBody>) -> Option<Upgrade> {
    let upgrade = request
        .extensions_mut()
        .remove::<OnUpgrade>()
        .filter(|_| request.headers().contains_key(UPGRADE));
    *request.version_mut() = Version::HTTP_11;
    let authority = request.uri().authority().map(ToString::to_string);
    let headers = request.headers_mut();
    if let Some(authority) = authority.filter(|_| !headers.contains_key(HOST))
        && let Ok(host) = HeaderValue::try_from(authority)
    {
        headers.insert(HOST, host);
    }
    strip_hop(headers);
    if upgrade.is_some() {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    upgrade.map(Upgrade)
}

/// Takes from a response what was for the connection to the guest only.
pub(super) fn prepare_response(headers: &mut HeaderMap) {
    strip_hop(headers);
    headers.remove(UPGRADE);
}

fn strip_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dyno::boxed_body;
    use bytes::Bytes;
    use http_body_util::Empty;

    #[test]
    fn a_request_of_any_form_becomes_one_for_an_origin_server() {
        let mut request = http::Request::get("https://shop.example/cart?x=1")
            .version(Version::HTTP_2)
            .header("connection", "keep-alive")
            .header("upgrade", "h2c")
            .header("x-forwarded-for", "192.0.2.1")
            .body(boxed_body(Empty::<Bytes>::new()))
            .unwrap();
        assert!(prepare_request(&mut request).is_none());
        assert_eq!(request.uri(), "/cart?x=1");
        assert_eq!(request.version(), Version::HTTP_11);
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "x-forwarded-for"]);
        assert_eq!(request.headers()[HOST], "shop.example");
    }
}
