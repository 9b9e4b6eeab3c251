//! Who gets a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dyno_router::{AppRoute, RequestTarget, RouteKey, RouteState};
use http::Response;
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::edge::{
    Edge, active, dyno, echoes, fallback, full, get, hangs, says, soon, unavailable,
};

#[tokio::test]
async fn an_app_is_found_by_its_name_in_any_case_and_with_a_port() {
    let (edge, _) = Edge::demo(active([says("web.1", "hello")]));
    for host in ["demo.localhost", "DEMO.localhost:8080", "demo.localhost."] {
        let answer = edge
            .exchange(format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello"),
            "{host}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_custom_domain_is_found_by_its_exact_name() {
    let edge = Edge::start();
    let route = AppRoute::new("shop", active([says("web.1", "the shop")]));
    edge.router
        .routes()
        .publish(RouteKey::Host("Shop.Example".to_owned()), route);
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(
        edge.exchange(ask("shop.example"))
            .await
            .ends_with("the shop")
    );
    assert!(
        edge.exchange(ask("www.shop.example"))
            .await
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test]
async fn an_unknown_host_gets_the_no_such_app_page_and_no_app_a_line() {
    let edge = Edge::with(|options| options.fallback = Some(fallback("the api")));
    let answer = edge
        .exchange("GET / HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(answer.contains("<h1>No such app</h1>"), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    let records = edge.records.wait_for(1).await;
    assert_eq!(
        (records[0].target, records[0].app.clone()),
        (RequestTarget::Unknown, None)
    );
    assert!(
        records[0].to_string().contains(" status=404 "),
        "{}",
        records[0]
    );
}

#[tokio::test]
async fn who_asks_for_json_gets_the_page_as_json() {
    let edge = Edge::start();
    let answer = edge
        .exchange("GET / HTTP/1.1\r\nHost: nobody.localhost\r\nAccept: application/vnd.heroku+json; version=3\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("content-type: application/json\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("{\"id\":\"no_such_app\",\"message\":\"No such app\"}\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_bare_address_and_localhost_reach_the_fallback() {
    let edge = Edge::with(|options| options.fallback = Some(fallback("the api")));
    for host in [
        "127.0.0.1",
        "127.0.0.1:8080",
        "localhost",
        "localhost:8080",
        "[::1]:8080",
    ] {
        let answer = edge
            .exchange(format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.ends_with("\r\n\r\nthe api"), "{host}: {answer}");
    }
    let records = edge.records.wait_for(5).await;
    assert!(
        records
            .iter()
            .all(|record| record.target == RequestTarget::Fallback),
        "{records:?}"
    );
}

#[tokio::test]
async fn a_request_goes_to_the_dyno_with_the_fewest_in_flight() {
    let busy = hangs("web.1");
    let (edge, _) = Edge::demo(active([Arc::clone(&busy)]));
    let mut waiting = edge.connect().await;
    waiting.send(get("/")).await;
    soon("a request in flight", async {
        while busy.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let route = AppRoute::new("demo", active([Arc::clone(&busy), says("web.2", "free")]));
    edge.router
        .routes()
        .publish(RouteKey::App("demo".to_owned()), route);
    for _ in 0..20 {
        assert!(edge.get("/").await.ends_with("free"));
    }
    assert_eq!(busy.in_flight(), 1);
}

#[tokio::test]
async fn equally_free_dynos_share_the_requests() {
    let (edge, _) = Edge::demo(active([
        says("web.1", "1"),
        says("web.2", "2"),
        says("web.3", "3"),
    ]));
    for _ in 0..100 {
        edge.get("/").await;
    }
    let records = edge.records.wait_for(100).await;
    for name in ["web.1", "web.2", "web.3"] {
        let count = records
            .iter()
            .filter(|record| record.dyno.as_deref() == Some(name))
            .count();
        // Each gets a third on average; none at all would be the work of (2/3)^100.
        assert!(count > 0, "{name} got nothing");
    }
}

#[tokio::test]
async fn a_request_that_a_dyno_hands_back_goes_to_another_one_untouched() {
    let (edge, _) = Edge::demo(active([unavailable("web.1"), echoes("web.2")]));
    for _ in 0..10 {
        let answer = edge
            .exchange("POST /p HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .await;
        assert!(
            answer.contains("POST /p\n") && answer.ends_with("body: hello\n"),
            "{answer}"
        );
    }
    let records = edge.records.wait_for(10).await;
    assert_eq!(records.len(), 10);
    assert!(
        records
            .iter()
            .all(|record| record.dyno.as_deref() == Some("web.2")),
        "{records:?}"
    );
}

#[tokio::test]
async fn a_dyno_that_was_full_is_asked_again_after_a_pause() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let dyno = dyno("web.1", move |request| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if call < 3 {
                return Err(dyno_router::BackendError::unavailable(request));
            }
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok(Response::new(full(body)))
        }
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let answer = edge
        .exchange("POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
        .await;
    assert!(answer.ends_with("\r\n\r\nbody"), "{answer}");
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_request_waits_for_an_app_that_is_starting() {
    let (edge, route) = Edge::demo(RouteState::Starting { dynos: 1 });
    let mut client = edge.connect().await;
    client.send(get("/")).await;
    soon("the request in the queue", async {
        while route.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    route.set_state(active([says("web.1", "up now")]));
    assert!(client.rest().await.ends_with("up now"));
    assert_eq!(route.waiting(), 0);
}

#[tokio::test]
async fn dynos_are_switched_under_load_without_a_failed_request() {
    let (edge, route) = Edge::demo(active([says("web.1", "v0")]));
    let edge = Arc::new(edge);
    let done = Arc::new(Notify::new());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move {
                for _ in 0..50 {
                    let answer = edge.get("/").await;
                    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                }
            })
        })
        .collect();
    let switching = {
        let (route, done) = (Arc::clone(&route), Arc::clone(&done));
        tokio::spawn(async move {
            let mut stopped = std::pin::pin!(done.notified());
            loop {
                // The old dyno is stopping and hands back what still comes to it.
                route.set_state(active([unavailable("web.1"), says("web.1", "v1")]));
                route.set_state(RouteState::Starting { dynos: 1 });
                route.set_state(active([says("web.1", "v1")]));
                tokio::select! {
                    () = stopped.as_mut() => return,
                    () = tokio::task::yield_now() => {}
                }
            }
        })
    };
    for client in clients {
        soon("a client", client).await.unwrap();
    }
    done.notify_one();
    soon("the switching", switching).await.unwrap();
    assert_eq!(edge.records.wait_for(200).await.len(), 200);
}
