//! TLS on the port of plain HTTP: the same journey, clocks and limits, and handshakes that come to nothing.

use std::sync::Arc;
use std::time::Duration;

use dyno_router::limits::{TLS_HANDSHAKE_TIMEOUT, TLS_HANDSHAKES_MAX};
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::{ClientConnection, HandshakeKind};

use crate::edge::{Client, Edge, Piece, active, dyno, echoes, fed, full, get, says, soon};
use crate::lifecycle::in_flight;
use crate::tls_client::{Certificate, TlsClient, connect, name, trusting};
use crate::tunnels;

const KEPT: &str = "GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n";

/// Reads to the end, which must be one that the router says: without it a cut looks like a whole answer.
async fn clean_rest(client: &mut TlsClient) -> String {
    let mut text = String::new();
    soon("a clean end", client.stream.read_to_string(&mut text))
        .await
        .unwrap();
    text
}

#[tokio::test]
async fn a_request_over_tls_is_told_so_to_dyno_and_log() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |_| {}).and_demo(active([echoes("web.1")]));
    let mut client = connect(&edge, certificate.client(&["http/1.1"]))
        .await
        .unwrap();
    let forged = "GET /path HTTP/1.1\r\nHost: demo.localhost\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 1\r\nConnection: close\r\n\r\n";
    client.send(forged).await;
    let answer = clean_rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let port = format!("x-forwarded-port: {}\n", edge.address.port());
    for line in [
        "x-forwarded-proto: https\n",
        "x-forwarded-for: 127.0.0.1\n",
        &port,
    ] {
        assert!(answer.contains(line), "no {line:?} in {answer}");
    }
    let line = edge.only_line().await;
    assert!(
        line.starts_with("at=info method=GET path=\"/path\" "),
        "{line}"
    );
    assert!(line.ends_with(" protocol=https"), "{line}");
}

#[tokio::test]
async fn plaintext_stays_plaintext_on_the_same_port() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |_| {}).and_demo(active([echoes("web.1")]));
    let answer = edge.get("/").await;
    assert!(answer.contains("x-forwarded-proto: http\n"), "{answer}");
    let line = edge.only_line().await;
    assert!(line.ends_with(" protocol=http"), "{line}");
}

#[tokio::test]
async fn http_2_is_chosen_by_alpn() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |_| {}).and_demo(active([echoes("web.1")]));
    let client = connect(&edge, certificate.client(&["http/1.1", "h2"]))
        .await
        .unwrap();
    let chosen = client.stream.get_ref().1.alpn_protocol();
    assert_eq!(chosen, Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client.stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    for number in 0..3 {
        let request = Request::post(format!("https://demo.localhost/{number}"))
            .body(Full::new(bytes::Bytes::from("hello")))
            .unwrap();
        let response = soon("an answer", sender.send_request(request))
            .await
            .unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let body = soon("its body", response.into_body().collect())
            .await
            .unwrap();
        let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        assert!(body.starts_with(&format!("POST /{number}\n")), "{body}");
        assert!(body.contains("x-forwarded-proto: https\n"), "{body}");
        assert!(body.ends_with("body: hello\n"), "{body}");
    }
    for record in edge.records.wait_for(3).await {
        assert_eq!(record.protocol, "https");
    }
}

#[tokio::test]
async fn a_client_of_neither_http_version_gets_no_connection() {
    let certificate = Certificate::new();
    let edge = Edge::with_tls(&certificate.tls(), |_| {});
    let refused = connect(&edge, certificate.client(&["spdy/3"])).await;
    assert!(refused.is_err(), "shaken hands over an unknown protocol");
}

#[tokio::test]
async fn an_upgrade_goes_through_tls() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.timeouts.idle = Duration::from_millis(500);
    })
    .and_demo(active([tunnels::switches()]));
    let mut client = certificate.connect(&edge).await;
    client.send(tunnels::HANDSHAKE).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for _ in 0..3 {
        client.send("tick").await;
        client.until("tick").await;
    }
    // Silence ends it, as it ends one without TLS.
    assert_eq!(client.rest().await, "");
    let line = edge.only_line().await;
    assert!(
        line.contains(" status=101 ") && line.ends_with(" protocol=https"),
        "{line}"
    );
}

#[tokio::test]
async fn a_break_is_no_clean_end() {
    let certificate = Certificate::new();
    let (feed, dyno) = fed("web.1", Response::builder());
    let (edge, _) = Edge::with_tls(&certificate.tls(), |_| {}).and_demo(active([dyno]));
    let mut client = certificate.connect(&edge).await;
    client
        .send("GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n")
        .await;
    feed.send(Piece::Data("begun")).await.unwrap();
    client.until("begun").await;
    feed.send(Piece::Break).await.unwrap();
    let mut rest = Vec::new();
    let end = soon("the end", client.stream.read_to_end(&mut rest)).await;
    assert!(end.is_err(), "looks like a whole answer: {rest:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_h28() {
    let certificate = Certificate::new();
    let endless = dyno("web.1", |_| async {
        let pieces = futures::stream::repeat_with(|| Ok(Frame::data(vec![b'x'; 16 << 10].into())));
        Ok(Response::new(StreamBody::new(pieces).boxed_unsync()))
    });
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.timeouts.idle = Duration::from_millis(200);
        // The clocks are first looked at after this.
        options.timeouts.keep_alive = Duration::from_millis(100);
    })
    .and_demo(active([endless]));
    let mut client = certificate.connect(&edge).await;
    client.send(KEPT).await;
    let line = edge.only_line().await;
    assert!(line.contains(" code=H28 "), "{line}");
}

#[tokio::test]
async fn silence_after_the_handshake_closes_the_connection() {
    let certificate = Certificate::new();
    let edge = Edge::with_tls(&certificate.tls(), |options| {
        options.timeouts.request_head = Duration::from_millis(150);
    });
    let mut silent = certificate.connect(&edge).await;
    assert_eq!(silent.rest().await, "");
    let mut slow = certificate.connect(&edge).await;
    slow.send("GET / HT").await;
    assert_eq!(slow.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.timeouts.keep_alive = Duration::from_millis(150);
    })
    .and_demo(active([says("web.1", "hello")]));
    let mut client = certificate.connect(&edge).await;
    client.send(KEPT).await;
    client.until("hello").await;
    assert_eq!(clean_rest(&mut client).await, "");
}

/// Waits until the one place that there is for connections serves a client over TLS.
async fn served_in_the_only_place(edge: &Edge, certificate: &Certificate) {
    soon("a free place", async {
        while let Err(error) = async {
            let mut client = connect(edge, certificate.client(&[])).await?;
            client.stream.write_all(KEPT.as_bytes()).await?;
            client.stream.read_u8().await
        }
        .await
        {
            drop(error);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_handshake_is_cut_and_leaves_nothing() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.timeouts.tls_handshake = Duration::from_millis(150);
        options.limits.connections_per_address = 1;
        options.limits.tls_handshakes = 1;
    })
    .and_demo(active([says("web.1", "hello")]));
    // A record that promises more than it brings, and a handshake whose second half never comes.
    for begun in [
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        client_hello(&certificate),
    ] {
        let mut client = edge.connect().await;
        client.send(&begun).await;
        client.rest().await;
    }
    served_in_the_only_place(&edge, &certificate).await;
    assert_eq!(edge.records.wait_for(1).await.len(), 1);
}

#[tokio::test]
async fn what_only_begins_like_tls_is_closed_and_leaves_nothing() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.limits.connections_per_address = 1;
        options.limits.tls_handshakes = 1;
    })
    .and_demo(active([says("web.1", "hello")]));
    for garbage in [
        b"\x16GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x00\x05hello".to_vec(),
        vec![0x16; 70_000],
    ] {
        let mut client = edge.connect().await;
        // The router may have closed before it took all of it.
        let _ = client.stream.write_all(&garbage).await;
        client.rest().await;
    }
    served_in_the_only_place(&edge, &certificate).await;
    assert_eq!(edge.records.wait_for(1).await.len(), 1);
}

fn client_hello(certificate: &Certificate) -> Vec<u8> {
    let mut hello = Vec::new();
    ClientConnection::new(certificate.client(&[]), name())
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    hello
}

#[tokio::test]
async fn beyond_the_handshake_limit_a_client_waits_for_a_place() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.limits.tls_handshakes = 1;
    })
    .and_demo(active([says("web.1", "hello")]));
    let mut first = edge.connect().await;
    first.send(client_hello(&certificate)).await;
    // It was answered, so it is under way.
    let answered = soon("the answer to a hello", first.stream.read_u8()).await;
    assert_eq!(answered.unwrap(), 0x16);
    let second = certificate.connect(&edge);
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(early.is_err(), "shaken hands beyond the limit");
    // Only handshakes wait for one another.
    assert!(edge.get("/").await.ends_with("hello"));
    drop(first);
    let mut second = second.await;
    // Done with the handshake, it holds no place.
    certificate.connect(&edge).await;
    second.send(get("/")).await;
    assert!(clean_rest(&mut second).await.ends_with("hello"));
}

#[test]
fn the_handshake_bounds_are_settings() {
    let timeouts: dyno_router::Timeouts = toml::from_str("tls_handshake = \"2s\"").unwrap();
    assert_eq!(timeouts.tls_handshake, Duration::from_secs(2));
    let limits: dyno_router::Limits = toml::from_str("tls_handshakes = 7").unwrap();
    assert_eq!(limits.tls_handshakes, 7);
    assert_eq!(
        dyno_router::Timeouts::default().tls_handshake,
        TLS_HANDSHAKE_TIMEOUT
    );
    assert_eq!(
        dyno_router::Limits::default().tls_handshakes,
        TLS_HANDSHAKES_MAX
    );
}

#[tokio::test]
async fn a_new_identity_is_used_by_the_next_connection() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let tls = old.tls();
    let (edge, _) = Edge::with_tls(&tls, |_| {}).and_demo(active([says("web.1", "hello")]));
    let mut before = old.connect(&edge).await;
    before.send(KEPT).await;
    before.until("hello").await;

    tls.set_identity(new.identity());
    let mut after = new.connect(&edge).await;
    after.send(get("/")).await;
    assert!(clean_rest(&mut after).await.ends_with("hello"));
    let distrusted = connect(&edge, old.client(&[])).await;
    assert!(distrusted.is_err(), "the old certificate is still served");
    before.send(KEPT).await;
    before.until("hello").await;
}

#[tokio::test]
async fn a_session_is_resumed_but_not_by_another_identity() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let tls = old.tls();
    let (edge, _) = Edge::with_tls(&tls, |_| {}).and_demo(active([says("web.1", "hello")]));
    let client = trusting([&old, &new], &[]);
    let kind_of_the_next = async || {
        let mut connection = connect(&edge, Arc::clone(&client)).await.unwrap();
        connection.send(get("/")).await;
        // The tickets come before the answer.
        assert!(clean_rest(&mut connection).await.ends_with("hello"));
        connection.stream.get_ref().1.handshake_kind()
    };
    assert_eq!(kind_of_the_next().await, Some(HandshakeKind::Full));
    assert_eq!(kind_of_the_next().await, Some(HandshakeKind::Resumed));
    tls.set_identity(new.identity());
    assert_eq!(kind_of_the_next().await, Some(HandshakeKind::Full));
}

#[tokio::test]
async fn one_address_has_so_many_connections_whatever_they_speak() {
    let certificate = Certificate::new();
    let (edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.limits.connections_per_address = 1;
    })
    .and_demo(active([says("web.1", "hello")]));
    let mut held = certificate.connect(&edge).await;
    held.send(KEPT).await;
    held.until("hello").await;
    assert_eq!(
        edge.connect().await.rest().await,
        "",
        "plaintext was let in"
    );
    assert!(connect(&edge, certificate.client(&[])).await.is_err());
    drop(held);
    served_in_the_only_place(&edge, &certificate).await;
}

#[tokio::test]
async fn a_stopping_router_closes_what_asked_nothing_and_finishes_the_rest() {
    let certificate = Certificate::new();
    let (feed, dyno) = fed("web.1", Response::builder());
    let (mut edge, _) = Edge::with_tls(&certificate.tls(), |_| {}).and_demo(active([dyno.clone()]));
    let mut shaking: Client = edge.connect().await;
    shaking.send(client_hello(&certificate)).await;
    soon("the answer to a hello", shaking.stream.read_u8())
        .await
        .unwrap();
    let mut shaken = certificate.connect(&edge).await;
    let mut idle = certificate.connect(&edge).await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        .await;
    idle.until("</html>\n").await;
    let mut busy = certificate.connect(&edge).await;
    busy.send(KEPT).await;
    in_flight(&dyno).await;
    feed.send(Piece::Data("begun")).await.unwrap();
    busy.until("begun\r\n").await;

    edge.stop();
    shaking.rest().await;
    assert_eq!(shaken.rest().await, "");
    assert_eq!(clean_rest(&mut idle).await, "");
    feed.send(Piece::Data("done")).await.unwrap();
    drop(feed);
    assert_eq!(clean_rest(&mut busy).await, "4\r\ndone\r\n0\r\n\r\n");
    assert_eq!(edge.stopped().await.connections_cut, 0);
}

#[tokio::test]
async fn what_does_not_end_in_the_drain_time_is_cut_over_tls_too() {
    let certificate = Certificate::new();
    let dyno = crate::edge::hangs("web.1");
    let (mut edge, _) = Edge::with_tls(&certificate.tls(), |options| {
        options.timeouts.drain = Duration::from_millis(150);
    })
    .and_demo(active([dyno.clone()]));
    let mut client = certificate.connect(&edge).await;
    client.send(get("/")).await;
    in_flight(&dyno).await;
    edge.stop();
    assert_eq!(client.rest().await, "");
    let line = edge.only_line().await;
    assert!(line.contains(" code=H24 "), "{line}");
    assert_eq!(edge.stopped().await.connections_cut, 1);
}

#[tokio::test]
async fn a_large_upload_and_its_answer_come_whole() {
    let certificate = Certificate::new();
    let size = dyno("web.1", |request| async move {
        let body: http_body_util::Collected<_> = request.into_body().collect().await.unwrap();
        let bytes = body.to_bytes();
        Ok(Response::new(full(bytes)))
    });
    let (edge, _) = Edge::with_tls(&certificate.tls(), |_| {}).and_demo(active([size]));
    let client = certificate.connect(&edge).await;
    let sent = vec![b'u'; 4 << 20];
    let (mut from, mut to) = tokio::io::split(client.stream);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        sent.len()
    );
    let upload = async {
        to.write_all(head.as_bytes()).await.unwrap();
        to.write_all(&sent).await.unwrap();
        to.flush().await.unwrap();
    };
    let mut answer = Vec::new();
    let download = from.read_to_end(&mut answer);
    let ((), read) = soon("the answer", async { tokio::join!(upload, download) }).await;
    read.unwrap();
    assert!(answer.ends_with(&sent), "{} bytes came", answer.len());
}
