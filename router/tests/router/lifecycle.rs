//! Connections over time: clocks, limits, the drain.

use std::time::Duration;

use dyno_router::{RouteKey, RouteState};
use tokio::net::TcpStream;

use crate::edge::{Edge, Piece, active, fed, get, hangs, says, soon};

pub async fn in_flight(dyno: &dyno_router::Backend) {
    soon("a request in flight", async {
        while dyno.in_flight() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_head_that_does_not_end_closes_the_connection() {
    let edge = Edge::with(|options| options.timeouts.request_head = Duration::from_millis(150));
    let mut first = edge.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: demo").await;
    first.rest().await;
    // A later request of a connection has no more time than the first.
    let (edge, _) = edge.and_demo(active([says("web.1", "hello")]));
    let mut client = edge.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        .await;
    client.until("hello").await;
    client.send("GET / HT").await;
    client.rest().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let edge = Edge::with(|options| options.timeouts.request_head = Duration::from_millis(100));
    assert_eq!(edge.connect().await.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    let (edge, _) = Edge::with(|options| options.timeouts.keep_alive = Duration::from_millis(150))
        .and_demo(active([says("web.1", "hello")]));
    let mut client = edge.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        .await;
    client.until("hello").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(edge.records.wait_for(1).await.len(), 1);
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_not_one_more() {
    let (edge, _) = Edge::with(|options| options.limits.connections_per_address = 2)
        .and_demo(active([says("web.1", "hello")]));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = edge.connect().await;
        client
            .send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
            .await;
        client.until("hello").await;
        held.push(client);
    }
    assert_eq!(
        edge.connect().await.rest().await,
        "",
        "a third one was served"
    );
    held.pop();
    soon("a free place", async {
        while !edge.get("/").await.ends_with("hello") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn beyond_the_connection_limit_a_client_waits_for_a_place() {
    let (edge, _) = Edge::with(|options| options.limits.connections = 1)
        .and_demo(active([says("web.1", "hello")]));
    let mut first = edge.connect().await;
    first
        .send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        .await;
    first.until("hello").await;
    let mut second = edge.connect().await;
    second.send(get("/")).await;
    let answer = second.rest();
    tokio::pin!(answer);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(early.is_err(), "served beyond the limit: {early:?}");
    drop(first);
    assert!(answer.await.ends_with("hello"));
}

#[tokio::test]
async fn a_stopping_router_finishes_what_it_began() {
    let (feed, dyno) = fed("web.1", http::Response::builder());
    let (mut edge, _) = Edge::demo(active([dyno.clone()]));
    let mut idle = edge.connect().await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        .await;
    idle.until("</html>\n").await;
    let mut busy = edge.connect().await;
    busy.send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        .await;
    in_flight(&dyno).await;
    feed.send(Piece::Data("begun")).await.unwrap();
    busy.until("begun\r\n").await;

    edge.stop();
    assert_eq!(
        idle.rest().await,
        "",
        "an idle connection is closed at once"
    );
    soon("a refused connection", async {
        while TcpStream::connect(edge.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    feed.send(Piece::Data("done")).await.unwrap();
    drop(feed);
    assert_eq!(busy.rest().await, "4\r\ndone\r\n0\r\n\r\n");
    assert_eq!(edge.stopped().await.connections_cut, 0);
}

#[tokio::test]
async fn an_answer_given_while_stopping_says_close() {
    let (mut edge, route) = Edge::demo(RouteState::Starting { dynos: 1 });
    let mut client = edge.connect().await;
    client
        .send("GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
        .await;
    soon("the request in the queue", async {
        while route.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    edge.stop();
    soon("a refused connection", async {
        while TcpStream::connect(edge.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    route.set_state(active([says("web.1", "last")]));
    let answer = client.rest().await;
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("last"),
        "{answer}"
    );
    assert_eq!(edge.stopped().await.connections_cut, 0);
}

#[tokio::test]
async fn what_does_not_end_in_the_drain_time_is_cut_and_logged_as_h24() {
    let dyno = hangs("web.1");
    let (mut edge, _) = Edge::with(|options| options.timeouts.drain = Duration::from_millis(150))
        .and_demo(active([dyno.clone()]));
    let mut client = edge.connect().await;
    client.send(get("/")).await;
    in_flight(&dyno).await;
    edge.stop();
    assert_eq!(client.rest().await, "");
    let line = edge.only_line().await;
    assert!(
        line.starts_with("at=error code=H24 desc=\"Forced close\" "),
        "{line}"
    );
    assert_eq!(edge.stopped().await.connections_cut, 1);
}

#[tokio::test]
async fn a_removed_app_is_unknown_at_once_and_its_requests_go_on() {
    let (feed, dyno) = fed("web.1", http::Response::builder());
    let (edge, _) = Edge::demo(active([dyno.clone()]));
    let mut client = edge.connect().await;
    client.send(get("/")).await;
    in_flight(&dyno).await;
    edge.router
        .routes()
        .remove(&RouteKey::App("demo".to_owned()));
    assert!(edge.get("/").await.starts_with("HTTP/1.1 404 "));
    feed.send(Piece::Data("still here")).await.unwrap();
    drop(feed);
    assert!(client.rest().await.contains("still here"));
    soon("the dyno's idleness", dyno.idle()).await;
}
