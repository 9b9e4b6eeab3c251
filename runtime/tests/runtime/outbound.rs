//! A guest that goes out: to what its host allows, over one connection, and nowhere else.

use crate::app::{Host, get, until};
use dyno_runtime::EgressPolicy;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

/// Answers 203 to whatever comes, on connections that it counts and keeps.
async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream));
        }
    });
    (address, connections)
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let answer = b"HTTP/1.1 203 Fine\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_guest_reaches_what_its_host_allows_over_one_connection() {
    let (address, connections) = server().await;
    let host = Host::with(|options| {
        options.egress = EgressPolicy::default().with(&[address.into()]);
    });
    let (dyno, _lines) = host.dyno("fetch").await;
    for _ in 0..5 {
        let response = dyno.clone().oneshot(get(&format!("/{address}"))).await;
        assert_eq!(response.unwrap().status(), 203);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_guest_that_reaches_for_a_private_address_is_told_and_so_is_its_author() {
    let (address, connections) = server().await;
    let host = Host::new();
    let (dyno, lines) = host.dyno("fetch").await;
    let response = dyno.clone().oneshot(get(&format!("/{address}"))).await;
    // The fifth case of error-code: destination-IP-prohibited.
    assert_eq!(response.unwrap().status(), 904);
    let refused = format!("Outbound connection to {address} refused: ");
    until("the line", || {
        lines
            .platform()
            .iter()
            .any(|line| line.starts_with(&refused))
    })
    .await;
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}
