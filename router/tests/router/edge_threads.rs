//! A router on edge threads: one address for all of them, drained and cut together.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use dyno_router::{AppRoute, EdgeSockets, Edges, RouteKey, Router, RouterOptions};
use http::Response;
use tokio::net::TcpStream;

use crate::edge::{Client, Piece, active, dyno, fed, full, get, soon};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn start(
    threads: usize,
    backends: impl IntoIterator<Item = Arc<dyno_router::Backend>>,
) -> (SocketAddr, Edges) {
    let router = Router::new(RouterOptions::default());
    router.routes().publish(
        RouteKey::App("demo".to_owned()),
        AppRoute::new("demo", active(backends)),
    );
    let sockets = EdgeSockets::bind(LOOPBACK, threads).unwrap();
    let address = sockets.local_address();
    (address, Edges::start(&router, sockets).unwrap())
}

async fn connect(address: SocketAddr) -> Client {
    let stream = soon("a connection", TcpStream::connect(address))
        .await
        .unwrap();
    Client { stream }
}

#[tokio::test]
async fn connections_are_spread_over_all_threads() {
    let seen: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
    let threads = Arc::clone(&seen);
    let backend = dyno("web.1", move |_| {
        threads.lock().unwrap().insert(thread::current().id());
        async { Ok(Response::new(full("hello"))) }
    });
    let (address, edges) = start(3, [backend]);
    soon("a request on each of three threads", async {
        while seen.lock().unwrap().len() < 3 {
            let mut client = connect(address).await;
            client.send(get("/")).await;
            assert!(client.rest().await.ends_with("hello"));
        }
    })
    .await;
    assert_eq!(soon("the drain", edges.drain()).await.connections_cut, 0);
}

#[tokio::test]
async fn an_address_that_another_router_shares_is_in_use() {
    let (address, edges) = start(2, []);
    let error = EdgeSockets::bind(address, 2).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(edges);
}

#[tokio::test]
async fn the_drain_waits_for_a_response_on_any_thread() {
    let (pieces, backend) = fed("web.1", Response::builder());
    let (address, edges) = start(2, [backend]);
    let mut client = connect(address).await;
    client.send(get("/")).await;
    pieces.send(Piece::Data("first")).await.unwrap();
    client.until("first\r\n").await;
    let drain = tokio::spawn(edges.drain());
    soon("a refused connection", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!drain.is_finished());
    pieces.send(Piece::Data("second")).await.unwrap();
    drop(pieces);
    assert!(client.rest().await.contains("second"));
    assert_eq!(soon("the drain", drain).await.unwrap().connections_cut, 0);
}

#[tokio::test]
async fn dropped_edges_cut_what_still_runs() {
    let (pieces, backend) = fed("web.1", Response::builder());
    let (address, edges) = start(2, [backend]);
    let mut client = connect(address).await;
    client.send(get("/")).await;
    pieces.send(Piece::Data("first")).await.unwrap();
    client.until("first\r\n").await;
    drop(edges);
    let rest = client.rest().await;
    assert!(!rest.contains("0\r\n\r\n"), "a well-formed end: {rest:?}");
}
