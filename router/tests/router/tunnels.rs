//! Connections that switch protocols: the dyno gets the client's side, and silence ends them.

use std::time::Duration;

use dyno_router::{Backend, ResponseBody};
use http::{Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};

use crate::edge::{Edge, active, dyno, full, says};

pub const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: demo.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A dyno that switches when it is asked to, and then says everything back.
pub fn switches() -> Arc<Backend> {
    dyno("web.1", |mut request: Request<_>| async move {
        let protocol = request.headers().get("upgrade").cloned();
        let client = request.extensions_mut().remove::<OnUpgrade>();
        let (Some(protocol), Some(client)) = (protocol, client) else {
            return Ok(Response::new(full("nothing to switch")));
        };
        tokio::spawn(async move {
            let (mut from, mut to) = split(TokioIo::new(client.await.unwrap()));
            let _end_of_client = copy(&mut from, &mut to).await;
        });
        let response: Response<ResponseBody> = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", protocol)
            .body(full(""))
            .unwrap();
        Ok(response)
    })
}

#[tokio::test]
async fn a_connection_becomes_a_tunnel_when_client_and_dyno_agree() {
    let (edge, _) = Edge::demo(active([switches()]));
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    let head = client.until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    // No HTTP any more: what looks like a request is said back.
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    client.until("GET / HTTP/1.1\r\n\r\n").await;
    let line = edge.only_line().await;
    assert!(
        line.contains("at=info") && line.contains("status=101"),
        "{line}"
    );
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_dyno_that_does_not_switch_answers_as_ever() {
    let (edge, _) = Edge::demo(active([says("web.1", "hello")]));
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.until("hello").await;
    client.send(HANDSHAKE).await;
    client.until("hello").await;
}

#[tokio::test]
async fn http_2_is_not_spoken_past_the_router() {
    let (edge, _) = Edge::demo(active([switches()]));
    let answer = edge
        .exchange("GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("nothing to switch"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let (edge, _) = Edge::with(|options| options.timeouts.idle = Duration::from_millis(200))
        .and_demo(active([switches()]));
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.until("\r\n\r\n").await;
    for _ in 0..3 {
        client.send("tick").await;
        client.until("tick").await;
    }
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_among_the_connections_of_its_address() {
    let (edge, _) = Edge::with(|options| options.limits.connections_per_address = 1)
        .and_demo(active([switches()]));
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.until("\r\n\r\n").await;
    let mut second = edge.connect().await;
    let closed = second.stream.read_u8().await;
    assert!(closed.is_err(), "a second connection was let in");
    client.send("tick").await;
    client.until("tick").await;
}
