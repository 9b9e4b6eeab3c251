//! What is added to a request and a response on their way, and what is taken away.

use std::time::SystemTime;

use http::Response;

use crate::edge::{Edge, active, dyno, echoes, full};

async fn seen_by_the_app(fields: &str) -> (String, Edge) {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let answer = edge
        .exchange(format!(
            "GET /x HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n{fields}\r\n"
        ))
        .await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (body.to_owned(), edge)
}

fn value<'a>(seen: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    let mut values = seen.lines().filter_map(|line| line.strip_prefix(&prefix));
    let value = values
        .next()
        .unwrap_or_else(|| panic!("no {name} in {seen}"));
    assert_eq!(values.next(), None, "{name} twice in {seen}");
    value
}

#[tokio::test]
async fn the_app_is_told_who_asked_how_and_when() {
    let (seen, edge) = seen_by_the_app("").await;
    assert_eq!(value(&seen, "x-forwarded-for"), "127.0.0.1");
    assert_eq!(value(&seen, "x-forwarded-proto"), "http");
    assert_eq!(
        value(&seen, "x-forwarded-port"),
        edge.address.port().to_string()
    );
    assert_eq!(value(&seen, "via"), "1.1 dyno-router");
    assert_eq!(value(&seen, "host"), "demo.localhost");
    let start: u128 = value(&seen, "x-request-start").parse().unwrap();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    assert!(
        start <= now && now - start < 60_000,
        "{start} is not about {now}"
    );
    let id = value(&seen, "x-request-id");
    assert_eq!(id.len(), 36, "{id}");
    assert!(
        edge.only_line()
            .await
            .contains(&format!(" request_id={id} "))
    );
}

#[tokio::test]
async fn the_clients_address_is_appended_and_the_rest_replaced() {
    let (seen, edge) = seen_by_the_app(
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Request-Start: 1\r\nVia: 1.0 client\r\n",
    )
    .await;
    assert_eq!(
        value(&seen, "x-forwarded-for"),
        "1.2.3.4, 5.6.7.8, 127.0.0.1"
    );
    assert_eq!(value(&seen, "x-forwarded-proto"), "http");
    assert_ne!(value(&seen, "x-forwarded-port"), "443");
    assert_ne!(value(&seen, "x-request-start"), "1");
    assert!(
        seen.contains("via: 1.0 client\nvia: 1.1 dyno-router\n"),
        "{seen}"
    );
    assert!(
        edge.only_line()
            .await
            .contains(" fwd=\"1.2.3.4, 5.6.7.8, 127.0.0.1\" ")
    );
}

#[tokio::test]
async fn a_well_formed_request_id_is_kept_and_any_other_replaced() {
    let good = "0123456789abcdefABCD-0123";
    let (seen, _) = seen_by_the_app(&format!("X-Request-Id: {good}\r\n")).await;
    assert_eq!(value(&seen, "x-request-id"), good);
    let long = "a".repeat(201);
    for bad in ["short", "has spaces in it, and a comma", &long] {
        let (seen, _) = seen_by_the_app(&format!("X-Request-Id: {bad}\r\n")).await;
        assert_ne!(value(&seen, "x-request-id"), bad);
    }
}

#[tokio::test]
async fn hop_by_hop_fields_do_not_reach_the_app() {
    let (seen, _) = seen_by_the_app(
        "Connection: x-private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\nProxy-Connection: close\r\nProxy-Authorization: secret\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
    )
    .await;
    for gone in [
        "connection:",
        "x-private:",
        "keep-alive:",
        "proxy-",
        "upgrade:",
        "http2-settings:",
        "gzip",
    ] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    assert_eq!(value(&seen, "te"), "trailers");
}

#[tokio::test]
async fn fields_that_pose_as_the_routers_own_are_dropped() {
    let (seen, _) = seen_by_the_app(
        "X_Forwarded_For: 6.6.6.6\r\nX-Thing: real\r\nX_Thing: posing\r\nx_alone: kept\r\n",
    )
    .await;
    assert!(
        !seen.contains("6.6.6.6") && !seen.contains("posing"),
        "{seen}"
    );
    assert_eq!(value(&seen, "x_alone"), "kept");
}

#[tokio::test]
async fn repeated_fields_arrive_in_their_order() {
    let (seen, _) = seen_by_the_app("X-Many: 1\r\nCookie: a=1\r\nX-Many: 2\r\n").await;
    assert!(seen.contains("x-many: 1\nx-many: 2\n"), "{seen}");
}

#[tokio::test]
async fn a_response_loses_its_hop_by_hop_fields_and_gains_via() {
    let dyno = dyno("web.1", |_| async {
        let response = Response::builder()
            .status(418)
            .header("connection", "x-private")
            .header("x-private", "1")
            .header("keep-alive", "timeout=5")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .header("server", "the app's")
            .header("via", "1.1 inner");
        Ok(response.body(full("teapot")).unwrap())
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let answer = edge.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    assert!(
        !answer.contains("private") && !answer.contains("keep-alive"),
        "{answer}"
    );
    assert!(
        answer.contains("set-cookie: a=1\r\nset-cookie: b=2\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("via: 1.1 inner\r\nvia: 1.1 dyno-router\r\n"),
        "{answer}"
    );
    assert!(answer.contains("server: the app's\r\n"), "{answer}");
    assert_eq!(answer.matches("date: ").count(), 1, "{answer}");
}

#[tokio::test]
async fn the_log_line_is_herokus() {
    let dyno = dyno("web.1", |_| async {
        Ok(Response::builder()
            .header("a", "b")
            .body(full("hello"))
            .unwrap())
    });
    let (edge, _) = Edge::demo(active([dyno]));
    edge.get("/p?q=1").await;
    let line = edge.only_line().await;
    let keys: Vec<_> = line
        .split(' ')
        .map(|pair| pair.split('=').next().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "at",
            "method",
            "path",
            "host",
            "request_id",
            "fwd",
            "dyno",
            "connect",
            "service",
            "status",
            "bytes",
            "protocol"
        ],
        "{line}"
    );
    assert!(
        line.starts_with("at=info method=GET path=\"/p?q=1\" host=demo.localhost "),
        "{line}"
    );
    // Status line, `a: b`, `via: 1.1 dyno-router`, the empty line, the body.
    let bytes = "HTTP/1.1 200 OK\r\na: b\r\nvia: 1.1 dyno-router\r\n\r\nhello".len();
    assert!(
        line.ends_with(&format!(" status=200 bytes={bytes} protocol=http")),
        "{line}"
    );
}

#[tokio::test]
async fn a_line_cannot_be_forged_from_a_request() {
    let (edge, _) = Edge::demo(active([echoes("web.1")]));
    let path = "/\"%20status=200%0aat=info\"x=y";
    edge.exchange(format!(
        "GET {path} HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\nX-Forwarded-For: 1\" dyno=web.9 \"\r\n\r\n"
    ))
    .await;
    let line = edge.only_line().await;
    assert!(
        line.contains("path=\"/\\\"%20status=200%0aat=info\\\"x=y\" "),
        "{line}"
    );
    assert!(
        line.contains("fwd=\"1\\\" dyno=web.9 \\\", 127.0.0.1\" "),
        "{line}"
    );
    assert!(!line.contains('\n'), "{line}");
}
