//! Requests that no dyno sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;

use crate::edge::{Edge, active, dyno, full};

/// A router with the app `demo`, and how many requests reached it.
fn edge() -> (Edge, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let dyno = dyno("web.1", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(full("served"))) }
    });
    (Edge::demo(active([dyno])).0, calls)
}

/// The connection must answer `status` to the first request and never look at a second one.
async fn refused(request: &str, status: u16) {
    let (edge, calls) = edge();
    let answer = edge
        .exchange(format!(
            "{request}GET /smuggled HTTP/1.1\r\nHost: demo.localhost\r\n\r\n"
        ))
        .await;
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{request:?} got {answer}"
    );
    assert_eq!(
        answer.matches("HTTP/1.").count(),
        1,
        "{request:?} got {answer}"
    );
    assert_eq!(
        calls.load(Ordering::SeqCst),
        0,
        "{request:?} reached the app"
    );
}

#[tokio::test]
async fn a_request_needs_exactly_one_host() {
    refused("GET / HTTP/1.1\r\n\r\n", 400).await;
    refused("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400).await;
    refused(
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nHost: demo.localhost\r\n\r\n",
        400,
    )
    .await;
    refused("GET / HTTP/1.1\r\nHost: demo.localhost/evil\r\n\r\n", 400).await;
}

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let head = "POST / HTTP/1.1\r\nHost: demo.localhost\r\n";
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        refused(&format!("{head}{fields}\r\n"), 400).await;
    }
}

/// hyper drops the length before the router can see it; what matters is that nobody reads the body by it.
#[tokio::test]
async fn of_two_framings_chunked_wins_and_the_app_sees_one() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    ] {
        let (edge, _) = Edge::demo(active([crate::edge::echoes("web.1")]));
        let answer = edge
            .exchange(format!(
                "POST / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n"
            ))
            .await;
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        assert!(seen.ends_with("body: hello\n"), "{answer}");
        assert!(
            !seen.contains("content-length") && !seen.contains("transfer-encoding"),
            "{answer}"
        );
        assert_eq!(edge.records.wait_for(1).await.len(), 1);
    }
}

#[tokio::test]
async fn broken_heads_are_refused() {
    let head = "GET / HTTP/1.1\r\nHost: demo.localhost\r\n";
    for fields in [
        "Bad : space\r\n",
        ": no name\r\n",
        "X: a\0b\r\n",
        "X: a\r\n folded\r\n",
        "X: a\rb\r\n",
    ] {
        refused(&format!("{head}{fields}\r\n"), 400).await;
    }
}

#[tokio::test]
async fn an_unknown_expectation_is_417() {
    refused(
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nExpect: the-unexpected\r\n\r\n",
        417,
    )
    .await;
}

#[tokio::test]
async fn connect_is_refused() {
    refused(
        "CONNECT demo.localhost:80 HTTP/1.1\r\nHost: demo.localhost:80\r\n\r\n",
        405,
    )
    .await;
}

#[tokio::test]
async fn an_upgrade_that_names_no_protocol_is_refused() {
    refused(
        "GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: upgrade\r\n\r\n",
        400,
    )
    .await;
}

#[tokio::test]
async fn a_target_at_the_limit_passes_and_one_byte_more_is_414() {
    let (edge, _) = edge();
    let path = format!("/{}", "a".repeat(8191));
    assert!(edge.get(&path).await.ends_with("served"));
    refused(
        &format!("GET {path}a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n"),
        414,
    )
    .await;
}

#[tokio::test]
async fn heads_over_their_limits_are_431() {
    let head = "GET / HTTP/1.1\r\nHost: demo.localhost\r\n";
    let long_value = format!("X: {}\r\n", "v".repeat(8192));
    let long_name = format!("{}: v\r\n", "n".repeat(1001));
    let many = "X: v\r\n".repeat(101);
    let large = format!("X: {}\r\n", "v".repeat(8000)).repeat(5);
    for fields in [long_value, long_name, many, large] {
        refused(&format!("{head}{fields}\r\n"), 431).await;
    }
}

#[tokio::test]
async fn a_refusal_is_logged_with_its_cause() {
    let (edge, _) = edge();
    edge.exchange("GET / HTTP/1.1\r\nHost: demo.localhost\r\nExpect: nothing\r\n\r\n")
        .await;
    let line = edge.only_line().await;
    let start = "at=error code=H26 desc=\"Request Error\" cause=\"unsupported expect header value\" method=GET ";
    assert!(
        line.starts_with(start) && line.contains(" status=417 "),
        "{line}"
    );
}

#[tokio::test]
async fn the_target_decides_over_the_host_and_the_app_reads_what_decided() {
    let (edge, _) = Edge::demo(active([crate::edge::echoes("web.1")]));
    let answer = edge
        .exchange("GET http://demo.localhost/x HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("GET /x\n") && answer.contains("host: demo.localhost\n"),
        "{answer}"
    );
    assert!(!answer.contains("other.localhost"), "{answer}");
}

#[tokio::test]
async fn the_start_of_a_tls_handshake_is_closed_without_a_guess() {
    let (edge, _) = edge();
    assert_eq!(edge.exchange(b"\x16\x03\x01\x00\x05hello").await, "");
}
