//! Framing on the client's side: HTTP/1.0, 1.1 and 2.

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::edge::{Edge, Piece, active, dyno, echoes, fed, full, says, soon};

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let one = "POST /1 HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 3\r\n\r\none";
    let two = "GET /2 HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n";
    let answer = edge.exchange(format!("{one}{two}")).await;
    let (first, second) = (
        answer.find("POST /1").unwrap(),
        answer.find("GET /2").unwrap(),
    );
    assert!(first < second && answer.contains("body: one\n"), "{answer}");
    assert_eq!(edge.records.wait_for(2).await.len(), 2);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let (edge, _) = Edge::demo(active([says("web.1", "hello")]));
    let mut client = edge.connect().await;
    for _ in 0..5 {
        client
            .send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            .await;
        client.until("\r\n\r\nhello").await;
    }
    assert_eq!(edge.records.wait_for(5).await.len(), 5);
}

#[tokio::test]
async fn an_http_1_0_client_gets_the_body_to_the_connections_end() {
    let (feed, dyno) = fed("web.1", Response::builder());
    let (edge, _) = Edge::demo(active([dyno]));
    feed.send(Piece::Data("one ")).await.unwrap();
    feed.send(Piece::Data("two")).await.unwrap();
    drop(feed);
    let answer = edge
        .exchange("GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n")
        .await;
    assert!(answer.ends_with("\r\n\r\none two"), "{answer}");
    assert!(!answer.contains("chunked"), "{answer}");
}

#[tokio::test]
async fn answers_to_head_and_204_and_304_have_no_body_whatever_the_dyno_says() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let dyno = dyno("web.1", move |_| async move {
            let response = Response::builder()
                .status(status)
                .header("content-length", "5");
            Ok(response.body(full("hello")).unwrap())
        });
        let (edge, _) = Edge::demo(active([dyno]));
        let mut client = edge.connect().await;
        // A second request on the same connection shows that no byte of a body came between.
        for _ in 0..2 {
            client
                .send(format!(
                    "{method} / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n"
                ))
                .await;
            let head = client.until("\r\n\r\n").await;
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status} ")),
                "{method} {status}: {head}"
            );
            assert_eq!(
                head.contains("content-length: 5"),
                method == "HEAD",
                "{method} {status}: {head}"
            );
        }
        let records = edge.records.wait_for(2).await;
        assert!(
            records.iter().all(|record| record.code.is_none()),
            "{records:?}"
        );
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_when_the_app_reads() {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: demo.localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(
        client.until("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send("hello").await;
    let answer = client.rest().await;
    assert!(
        answer.ends_with("body: hello\n") && !answer.contains("expect:"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_chunked_upload_arrives_whole() {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let answer = edge
        .exchange("POST / HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
        .await;
    assert!(answer.ends_with("body: abcdefg\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_before_the_upload_ends_is_passed_on() {
    let (edge, _) = Edge::demo(active([says("web.1", "no need")]));
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 1000000\r\n\r\nfew")
        .await;
    client.until("no need").await;
    assert!(edge.only_line().await.starts_with("at=info "));
}

async fn http2(edge: &Edge) -> hyper::client::conn::http2::SendRequest<Full<bytes::Bytes>> {
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_served_on_the_same_port() {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let mut client = http2(&edge).await;
    for number in 0..3 {
        let request = Request::post(format!("http://demo.localhost/{number}"))
            .body(Full::new(format!("body {number}").into()))
            .unwrap();
        let response = soon("an answer", client.send_request(request))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = soon("its body", response.into_body().collect())
            .await
            .unwrap()
            .to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.starts_with(&format!("POST /{number}\n")), "{body}");
        assert!(
            body.contains("host: demo.localhost\n") && body.contains("via: 2.0 dyno-router\n"),
            "{body}"
        );
        assert!(body.ends_with(&format!("body: body {number}\n")), "{body}");
    }
    assert_eq!(edge.records.wait_for(3).await.len(), 3);
}

#[tokio::test]
async fn an_http_2_request_whose_host_is_not_its_authority_is_refused() {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let mut client = http2(&edge).await;
    let request = Request::get("http://demo.localhost/").header("host", "other.localhost");
    let request = request.body(Full::default()).unwrap();
    let response = soon("an answer", client.send_request(request))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_broken_http_2_answer_is_a_reset_and_not_an_end() {
    let (feed, dyno) = fed("web.1", Response::builder());
    let (edge, _) = Edge::demo(active([dyno]));
    let mut client = http2(&edge).await;
    let request = Request::get("http://demo.localhost/")
        .body(Full::default())
        .unwrap();
    let response = soon("an answer", client.send_request(request))
        .await
        .unwrap();
    feed.send(Piece::Data("begun")).await.unwrap();
    feed.send(Piece::Break).await.unwrap();
    assert!(
        soon("a reset", response.into_body().collect())
            .await
            .is_err()
    );
    assert!(edge.only_line().await.contains("code=H18"));
}

#[tokio::test]
async fn trailers_of_the_dyno_reach_an_http_2_client() {
    let dyno = dyno("web.1", |_| async {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-checksum", "abc".parse().unwrap());
        let body = full("data").with_trailers(async { Some(Ok(trailers)) });
        Ok(Response::new(body.boxed_unsync()))
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let mut client = http2(&edge).await;
    let request = Request::get("http://demo.localhost/")
        .body(Full::default())
        .unwrap();
    let response = soon("an answer", client.send_request(request))
        .await
        .unwrap();
    let body = soon("its body", response.into_body().collect())
        .await
        .unwrap();
    assert_eq!(body.trailers().unwrap()["x-checksum"], "abc");
    assert!(edge.only_line().await.starts_with("at=info "));
}
