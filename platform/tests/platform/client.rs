//! A client that says everything itself: one connection per request, any Host.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::PATIENCE;

/// A complete answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The body as JSON of an answer that must have this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    /// The id of an error that must have this status.
    pub fn error(&self, status: u16) -> String {
        let body = self.expect(status);
        assert!(body["message"].is_string(), "{body}");
        body["id"].as_str().unwrap().to_owned()
    }
}

/// Sends a request and returns its answer's head and the stream of its body.
pub async fn open(address: SocketAddr, request: Request<Bytes>) -> http::Response<Incoming> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request.map(Full::new)).await.unwrap()
    };
    timeout(PATIENCE, exchange).await.expect("an answer")
}

/// Sends a request and reads its whole answer.
pub async fn send(address: SocketAddr, request: Request<Bytes>) -> Answer {
    let (head, body) = open(address, request).await.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.expect("a body");
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.unwrap().to_bytes(),
    }
}
