//! Bodies stream in both directions, and a slow end slows the other one down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::edge::{Edge, Piece, active, dyno, fed, full, get, soon};

/// What the kernel may hold of one loopback connection, generously; an unbounded buffer passes it at once.
const KERNEL_BYTES_MAX: u64 = 64 << 20;

#[tokio::test]
async fn a_piece_of_a_response_arrives_before_the_next_one_is_made() {
    let (feed, dyno) = fed("web.1", Response::builder());
    let (edge, _) = Edge::demo(active([dyno]));
    let mut client = edge.connect().await;
    client.send(get("/")).await;
    for piece in ["first", "second", "third"] {
        feed.send(Piece::Data(piece)).await.unwrap();
        client.until(&format!("{piece}\r\n")).await;
    }
    drop(feed);
    assert_eq!(client.rest().await, "0\r\n\r\n");
    assert!(edge.only_line().await.starts_with("at=info "));
}

#[tokio::test]
async fn a_piece_of_a_request_arrives_before_the_next_one_is_sent() {
    let (seen, mut pieces) = mpsc::channel(8);
    let dyno = dyno("web.1", move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                seen.send(frame.unwrap().into_data().unwrap())
                    .await
                    .unwrap();
            }
            Ok(Response::new(full("thanks")))
        }
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let mut client = edge.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n").await;
    for piece in ["first", "other"] {
        client.send(format!("5\r\n{piece}\r\n")).await;
        assert_eq!(soon("a piece", pieces.recv()).await.unwrap(), piece);
    }
    client.send("0\r\n\r\n").await;
    assert!(client.rest().await.ends_with("thanks"));
}

/// Waits until `count` stands still, and answers where.
async fn settled(count: &AtomicU64) -> u64 {
    soon("a standstill", async {
        let mut before = count.load(Ordering::SeqCst);
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = count.load(Ordering::SeqCst);
            if now == before && now > 0 {
                return now;
            }
            assert!(now < KERNEL_BYTES_MAX, "{now} bytes and no end");
            before = now;
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_dyno() {
    let made = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&made);
    let dyno = dyno("web.1", move |_| {
        let counted = Arc::clone(&counted);
        async move {
            let piece = Bytes::from(vec![b'x'; 16 << 10]);
            let endless = futures::stream::poll_fn(move |_| {
                counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
                Poll::Ready(Some(Ok(Frame::data(piece.clone()))))
            });
            Ok(Response::new(StreamBody::new(endless).boxed_unsync()))
        }
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let mut client = edge.connect().await;
    client.send(get("/")).await;
    let stalled = settled(&made).await;
    // Reading lets it go on.
    let mut sink = vec![0; 1 << 20];
    let mut read = 0;
    soon("more of the response", async {
        while made.load(Ordering::SeqCst) == stalled {
            read += client.stream.read(&mut sink).await.unwrap();
        }
    })
    .await;
    assert!(read > 0);
    drop(client);
    assert!(edge.only_line().await.contains("code=H27"));
}

#[tokio::test]
async fn a_dyno_that_does_not_read_stops_the_client() {
    let dyno = dyno("web.1", |request| async move {
        // Holds the body and never polls it.
        let _held = request;
        std::future::pending().await
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let client = edge.connect().await;
    let (_reading, mut writing) = client.stream.into_split();
    writing
        .write_all(
            b"POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 10000000000\r\n\r\n",
        )
        .await
        .unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        let piece = vec![b'x'; 64 << 10];
        while let Ok(count) = writing.write(&piece).await {
            counted.fetch_add(count as u64, Ordering::SeqCst);
        }
    });
    settled(&sent).await;
    sending.abort();
}

#[tokio::test]
async fn a_large_body_passes_both_ways_unchanged() {
    let dyno = dyno("web.1", |request| async move {
        Ok(Response::new(request.into_body()))
    });
    let (edge, _) = Edge::demo(active([dyno]));
    let body: Vec<u8> = (0..8 << 20)
        .map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let client = edge.connect().await;
    let (mut reading, mut writing) = client.stream.into_split();
    let sent = body.clone();
    let sending = tokio::spawn(async move {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            sent.len()
        );
        writing.write_all(head.as_bytes()).await.unwrap();
        writing.write_all(&sent).await.unwrap();
        writing
    });
    let mut answer = Vec::new();
    soon("the echo", reading.read_to_end(&mut answer))
        .await
        .unwrap();
    drop(sending.await.unwrap());
    let head = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert!(
        answer[head..] == body[..],
        "{} bytes came back",
        answer.len() - head
    );
}
