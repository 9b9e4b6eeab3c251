//! Each error code, forced: its page, its status, its one line.

use std::time::Duration;

use dyno_router::{BackendErrorKind, RouteState};
use http::Response;

use crate::edge::{Edge, Piece, active, fails, fed, get, hangs, says, soon, unavailable};

/// The answer and the line of one GET.
async fn one(edge: &Edge) -> (String, String) {
    let answer = edge.get("/p?q=1").await;
    (answer, edge.only_line().await)
}

#[track_caller]
fn assert_page(answer: &str, status: u16, title: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains(&format!("<h1>{title}</h1>")), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
}

/// The line up to the request id, and without the times.
#[track_caller]
fn assert_line(line: &str, start: &str, end: &str) {
    let start = format!("{start} method=GET path=\"/p?q=1\" host=demo.localhost request_id=");
    assert!(line.starts_with(&start), "{line}\nstarts not with {start}");
    assert!(line.ends_with(end), "{line}\nends not with {end}");
    assert!(line.contains(" fwd=\"127.0.0.1\" "), "{line}");
}

#[tokio::test]
async fn the_states_of_an_app_without_dynos_have_their_codes() {
    for (state, at, status, title) in [
        (
            RouteState::Crashed,
            "at=error code=H10 desc=\"App crashed\"",
            503,
            "Application error",
        ),
        (
            RouteState::NoWebProcesses,
            "at=error code=H14 desc=\"No web processes running\"",
            503,
            "Application error",
        ),
        (
            RouteState::Maintenance,
            "at=info code=H80 desc=\"Maintenance mode\"",
            503,
            "Offline for maintenance",
        ),
        (
            RouteState::Blank,
            "at=info code=H81 desc=\"Blank app\"",
            502,
            "Nothing here yet",
        ),
    ] {
        let (edge, _) = Edge::demo(state);
        let (answer, line) = one(&edge).await;
        assert_page(&answer, status, title);
        assert_line(&line, at, " protocol=http");
        assert!(
            line.contains(&format!(" dyno= connect= service= status={status} bytes=")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_failing_dyno_has_the_code_of_its_failure() {
    for (kind, code, desc) in [
        (BackendErrorKind::Crashed, "H10", "App crashed"),
        (BackendErrorKind::QueueFull, "H11", "Backlog too deep"),
        (
            BackendErrorKind::NoResponse,
            "H13",
            "Connection closed without response",
        ),
        (BackendErrorKind::BootTimeout, "H20", "App boot timeout"),
        (BackendErrorKind::Platform, "H99", "Platform error"),
    ] {
        let (edge, _) = Edge::demo(active([fails("web.1", kind)]));
        let (answer, line) = one(&edge).await;
        let title = if code == "H99" {
            "Platform error"
        } else {
            "Application error"
        };
        assert_page(&answer, 503, title);
        assert_line(
            &line,
            &format!("at=error code={code} desc=\"{desc}\""),
            " protocol=http",
        );
        assert!(line.contains(" dyno=web.1 connect="), "{line}");
        assert!(line.contains(" status=503 "), "{line}");
    }
}

#[tokio::test]
async fn a_dyno_that_dies_before_the_head_is_h18_with_its_socket() {
    let (edge, _) = Edge::demo(active([fails("web.1", BackendErrorKind::Interrupted)]));
    let (answer, line) = one(&edge).await;
    assert_page(&answer, 503, "Application error");
    assert_line(
        &line,
        "sock=backend at=error code=H18 desc=\"Server Request Interrupted\"",
        " protocol=http",
    );
}

#[tokio::test]
async fn h12_fires_when_no_byte_comes_in_time() {
    let (edge, _) = Edge::with(|options| options.timeouts.first_byte = Duration::from_millis(100))
        .and_demo(active([hangs("web.1")]));
    let (answer, line) = one(&edge).await;
    assert_page(&answer, 503, "Application error");
    assert_line(
        &line,
        "at=error code=H12 desc=\"Request timeout\"",
        " protocol=http",
    );
    let service = line
        .split(" service=")
        .nth(1)
        .unwrap()
        .split("ms")
        .next()
        .unwrap();
    assert!(service.parse::<u64>().unwrap() >= 100, "{line}");
}

#[tokio::test]
async fn h15_breaks_a_response_off_that_stalls() {
    let (feed, dyno) = fed("web.1", Response::builder());
    let (edge, _) = Edge::with(|options| options.timeouts.idle = Duration::from_millis(150))
        .and_demo(active([dyno]));
    feed.send(Piece::Data("begun")).await.unwrap();
    let (answer, line) = one(&edge).await;
    assert!(
        answer.contains("5\r\nbegun\r\n") && !answer.contains("0\r\n\r\n"),
        "{answer}"
    );
    assert_line(
        &line,
        "at=error code=H15 desc=\"Idle connection\"",
        " protocol=http",
    );
    drop(feed);
}

#[tokio::test]
async fn a_dyno_that_dies_in_mid_response_is_h18_and_the_client_sees_a_cut_message() {
    let (feed, dyno) = fed("web.1", Response::builder());
    let (edge, _) = Edge::demo(active([dyno]));
    feed.send(Piece::Data("begun")).await.unwrap();
    feed.send(Piece::Break).await.unwrap();
    let (answer, line) = one(&edge).await;
    assert!(!answer.contains("0\r\n\r\n"), "a well-formed end: {answer}");
    assert!(
        !answer.contains("<h1>"),
        "a page inside a response: {answer}"
    );
    assert_line(
        &line,
        "sock=backend at=error code=H18 desc=\"Server Request Interrupted\"",
        " protocol=http",
    );
    assert!(line.contains(" status=503 "), "{line}");
}

#[tokio::test]
async fn a_dyno_that_sends_less_than_its_length_is_h18() {
    let (feed, dyno) = fed("web.1", Response::builder().header("content-length", "10"));
    let (edge, _) = Edge::demo(active([dyno]));
    feed.send(Piece::Data("short")).await.unwrap();
    drop(feed);
    let (answer, line) = one(&edge).await;
    // The head may be lost with the connection; a whole message it must not become.
    assert!(
        answer.is_empty() || answer.contains("content-length: 10\r\n"),
        "{answer}"
    );
    assert!(line.contains("code=H18"), "{line}");
}

#[tokio::test]
async fn a_dyno_that_sends_more_than_its_length_is_cut_at_it() {
    let (feed, dyno) = fed("web.1", Response::builder().header("content-length", "4"));
    let (edge, _) = Edge::demo(active([dyno]));
    feed.send(Piece::Data("four+more")).await.unwrap();
    drop(feed);
    let (answer, line) = one(&edge).await;
    assert!(answer.ends_with("\r\n\r\nfour"), "{answer}");
    assert!(line.contains("code=H18"), "{line}");
}

#[tokio::test]
async fn a_start_that_takes_too_long_is_h20() {
    let (edge, route) =
        Edge::with(|options| options.timeouts.boot_wait = Duration::from_millis(100))
            .and_demo(RouteState::Starting { dynos: 1 });
    let (answer, line) = one(&edge).await;
    assert_page(&answer, 503, "Application error");
    assert_line(
        &line,
        "at=error code=H20 desc=\"App boot timeout\"",
        " protocol=http",
    );
    assert_eq!(route.waiting(), 0);
}

#[tokio::test]
async fn a_request_that_ten_dynos_hand_back_is_h21() {
    let names: Vec<_> = (1..=12).map(|number| format!("web.{number}")).collect();
    let (edge, _) = Edge::demo(active(names.iter().map(|name| unavailable(name))));
    let (answer, line) = one(&edge).await;
    assert_page(&answer, 503, "Application error");
    assert_line(
        &line,
        "at=error code=H21 desc=\"Backend connection refused\"",
        " protocol=http",
    );
}

#[tokio::test]
async fn a_queue_that_is_full_is_h11_and_no_other_apps_business() {
    let (edge, route) = Edge::demo(RouteState::Starting { dynos: 1 });
    let mut queued = Vec::new();
    for _ in 0..50 {
        let mut client = edge.connect().await;
        client.send(get("/")).await;
        queued.push(client);
    }
    soon("a full queue", async {
        while route.waiting() < 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let (answer, line) = one(&edge).await;
    assert_page(&answer, 503, "Application error");
    assert_line(
        &line,
        "at=error code=H11 desc=\"Backlog too deep\"",
        " protocol=http",
    );
    let other = dyno_router::AppRoute::new("other", active([says("web.1", "served")]));
    edge.router
        .routes()
        .publish(dyno_router::RouteKey::App("other".to_owned()), other);
    let ask = "GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n";
    assert!(edge.exchange(ask).await.ends_with("served"));
    // Those who leave free their places.
    drop(queued);
    soon("an empty queue", async {
        while route.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_is_h27() {
    let dyno = hangs("web.1");
    let (edge, _) = Edge::demo(active([dyno.clone()]));
    let mut client = edge.connect().await;
    client.send(get("/p?q=1")).await;
    soon("a request in flight", async {
        while dyno.in_flight() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(client);
    let line = edge.only_line().await;
    assert_line(
        &line,
        "sock=client at=warning code=H27 desc=\"Client Request Interrupted\"",
        " protocol=http",
    );
    assert!(
        line.contains(" dyno=web.1 ") && line.contains(" status=499 "),
        "{line}"
    );
    soon("the dyno's idleness", dyno.idle()).await;
}

#[tokio::test]
async fn a_client_that_leaves_in_its_upload_is_h27() {
    let (edge, _) = Edge::demo(active([crate::edge::echoes("web.1")]));
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    drop(client);
    let line = edge.only_line().await;
    assert!(
        line.starts_with("sock=client at=warning code=H27 "),
        "{line}"
    );
}

#[tokio::test]
async fn a_client_that_stalls_in_its_upload_is_h28() {
    let (edge, _) = Edge::with(|options| options.timeouts.idle = Duration::from_millis(150))
        .and_demo(active([crate::edge::echoes("web.1")]));
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    assert_eq!(client.rest().await, "");
    let line = edge.only_line().await;
    assert!(
        line.starts_with("at=warning code=H28 desc=\"Client Connection Idle\" "),
        "{line}"
    );
}

#[tokio::test]
async fn an_oversized_cookie_is_h25() {
    let cookie = format!("a={}", "c".repeat(8191));
    let (feed, dyno) = fed("web.1", Response::builder().header("set-cookie", cookie));
    let (edge, _) = Edge::demo(active([dyno]));
    drop(feed);
    let (answer, line) = one(&edge).await;
    assert_page(&answer, 502, "Application error");
    assert_line(
        &line,
        "at=error code=H25 desc=\"HTTP restriction: oversized cookie\"",
        " protocol=http",
    );
}

#[tokio::test]
async fn a_panic_in_a_backend_ends_its_request_only() {
    let dyno = crate::edge::dyno("web.1", |request| async move {
        assert_ne!(request.uri().path(), "/p", "a bug in the backend");
        Ok(Response::new(crate::edge::full("fine")))
    });
    let (edge, _) = Edge::demo(active([dyno.clone()]));
    let (_, line) = one(&edge).await;
    assert!(line.contains("code=H99"), "{line}");
    assert!(edge.get("/").await.ends_with("fine"));
    assert_eq!(dyno.in_flight(), 0);
}
