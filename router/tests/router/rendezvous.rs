//! Rendezvous sessions: a token in place of a request, then bare bytes both ways.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use dyno_router::limits::RENDEZVOUS_TOKEN_BYTES_MAX;
use dyno_router::{
    EdgeSockets, Edges, Rendezvous, RendezvousStream, RendezvousToken, Router, RouterOptions,
    UnknownToken,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::edge::{Client, Edge, active, get, says, soon};
use crate::tls_client::{Certificate, TlsClient, name};

const TOKEN: &str = "HRKU-0f3a/run.1234?x=1";

/// Knows [`TOKEN`] and the longest token there may be; the test has the sessions.
struct Sessions(mpsc::UnboundedSender<RendezvousStream>);

impl Rendezvous for Sessions {
    fn join(&self, token: RendezvousToken, stream: RendezvousStream) -> Result<(), UnknownToken> {
        if token.as_str() != TOKEN && token.as_str() != longest() {
            return Err(UnknownToken(stream));
        }
        self.0.send(stream).unwrap();
        Ok(())
    }
}

fn longest() -> String {
    "t".repeat(RENDEZVOUS_TOKEN_BYTES_MAX)
}

struct Meeting {
    edge: Edge,
    certificate: Certificate,
    joined: mpsc::UnboundedReceiver<RendezvousStream>,
}

impl Meeting {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut RouterOptions)) -> Self {
        let certificate = Certificate::new();
        let (sender, joined) = mpsc::unbounded_channel();
        let tls = certificate
            .tls()
            .with_rendezvous(Arc::new(Sessions(sender)));
        let (edge, _) = Edge::with_tls(&tls, change).and_demo(active([says("web.1", "hello")]));
        Self {
            edge,
            certificate,
            joined,
        }
    }

    async fn client(&self, first: impl AsRef<[u8]>) -> TlsClient {
        let mut client = self.certificate.connect(&self.edge).await;
        client.send(first).await;
        client
    }

    async fn joined(&mut self) -> RendezvousStream {
        soon("a session", self.joined.recv()).await.unwrap()
    }

    async fn session(&mut self) -> (TlsClient, RendezvousStream) {
        let mut client = self.client(format!("{TOKEN}\r\n")).await;
        let mut stream = self.joined().await;
        stream.greet().await.unwrap();
        client.until("rendezvous\r\n").await;
        (client, stream)
    }

    fn nobody_joined(&mut self) {
        assert!(self.joined.try_recv().is_err(), "a session was joined");
    }
}

async fn read(stream: &mut RendezvousStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    soon("bytes of the client", stream.read_exact(&mut bytes))
        .await
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads to the end, which must be one that the router says.
async fn clean_rest(client: &mut TlsClient) -> String {
    let mut text = String::new();
    soon("a clean end", client.stream.read_to_string(&mut text))
        .await
        .unwrap();
    text
}

#[tokio::test]
async fn a_session_carries_bytes_both_ways() {
    let mut meeting = Meeting::start();
    let mut client = meeting.client(format!("{TOKEN}\r\n")).await;
    let mut stream = meeting.joined().await;
    stream.greet().await.unwrap();
    // In one chunk and alone, because the client throws the first chunk away.
    let mut chunk = [0; 64];
    let length = soon("a greeting", client.stream.read(&mut chunk)).await;
    assert_eq!(&chunk[..length.unwrap()], b"rendezvous\r\n");
    for line in ["ls\n", "\x04\x03", "no end of line"] {
        client.send(line).await;
        assert_eq!(read(&mut stream, line.len()).await, line);
        let said = format!("> {line}");
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        client.until(&said).await;
    }
    // What the client still sends is no error in its end.
    client.send("\x04").await;
    stream.write_all(b"last words").await.unwrap();
    let closed = tokio::spawn(stream.close());
    assert_eq!(clean_rest(&mut client).await, "last words");
    drop(client);
    soon("the end of the session", closed).await.unwrap();
    assert!(meeting.edge.get("/").await.ends_with("hello"));
    let line = meeting.edge.only_line().await;
    assert!(
        line.contains("protocol=http"),
        "a session was logged: {line}"
    );
}

#[tokio::test]
async fn what_comes_with_the_token_is_not_lost() {
    let mut meeting = Meeting::start();
    let client = meeting.client(format!("{TOKEN}\r\nearly\r\n")).await;
    let mut stream = meeting.joined().await;
    assert_eq!(read(&mut stream, 7).await, "early\r\n");
    drop(client);
}

#[tokio::test]
async fn a_token_may_come_in_pieces_and_end_with_a_bare_line_feed() {
    let mut meeting = Meeting::start();
    let (begin, end) = TOKEN.split_at(5);
    let mut client = meeting.client(begin).await;
    client.send(format!("{end}\n")).await;
    client.send("x").await;
    let mut stream = meeting.joined().await;
    assert_eq!(read(&mut stream, 1).await, "x");
}

#[tokio::test]
async fn a_client_that_leaves_is_the_end_of_the_input() {
    let mut meeting = Meeting::start();
    let (mut client, mut stream) = meeting.session().await;
    client.send("bye").await;
    client.stream.shutdown().await.unwrap();
    let mut text = String::new();
    soon("the end", stream.read_to_string(&mut text))
        .await
        .unwrap();
    assert_eq!(text, "bye");
}

#[tokio::test]
async fn an_unknown_token_is_closed_without_a_word() {
    let mut meeting = Meeting::start();
    for first in ["stranger\r\n", "stranger\r\nand more\r\n", "GET\r\n"] {
        let mut client = meeting.client(first).await;
        assert_eq!(clean_rest(&mut client).await, "", "{first:?}");
    }
    meeting.nobody_joined();
}

#[tokio::test]
async fn a_token_has_so_many_bytes_and_not_one_more() {
    let mut meeting = Meeting::start();
    let _client = meeting.client(format!("{}\r\n", longest())).await;
    meeting.joined().await;
    for line in [format!("t{}\r\n", longest()), "t".repeat(100_000)] {
        let mut client = meeting.certificate.connect(&meeting.edge).await;
        // The router may have closed before it took all of it.
        let _ = client.stream.write_all(line.as_bytes()).await;
        assert_eq!(client.rest().await, "");
    }
    meeting.nobody_joined();
}

#[tokio::test]
async fn without_tls_a_token_is_a_bad_request() {
    let mut meeting = Meeting::start();
    let answer = meeting.edge.exchange(format!("{TOKEN}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    meeting.nobody_joined();
}

#[tokio::test]
async fn without_a_hook_a_token_is_a_bad_request() {
    let certificate = Certificate::new();
    let edge = Edge::with_tls(&certificate.tls(), |_| {});
    let mut client = certificate.connect(&edge).await;
    client.send(format!("{TOKEN}\r\n\r\n")).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn requests_are_served_beside_sessions() {
    let mut meeting = Meeting::start();
    let (mut client, mut stream) = meeting.session().await;
    let mut request = meeting.client(get("/")).await;
    assert!(clean_rest(&mut request).await.ends_with("hello"));
    client.send("x").await;
    assert_eq!(read(&mut stream, 1).await, "x");
}

#[tokio::test]
async fn a_token_that_does_not_end_in_time_is_closed() {
    let mut meeting = Meeting::with(|options| {
        options.timeouts.request_head = Duration::from_millis(150);
    });
    let mut client = meeting.client(TOKEN).await;
    assert_eq!(client.rest().await, "");
    meeting.nobody_joined();
}

#[tokio::test]
async fn silence_ends_requests_and_no_session() {
    let mut meeting = Meeting::with(|options| {
        options.timeouts.request_head = Duration::from_millis(100);
        options.timeouts.keep_alive = Duration::from_millis(100);
        options.timeouts.idle = Duration::from_millis(100);
    });
    let (mut client, mut stream) = meeting.session().await;
    // Twice as long as the router waits for anybody else.
    for _ in 0..2 {
        assert_eq!(meeting.client("GET / HT").await.rest().await, "");
    }
    client.send("still here").await;
    assert_eq!(read(&mut stream, 10).await, "still here");
}

#[tokio::test]
async fn a_session_is_a_connection_until_its_stream_is_dropped() {
    let mut meeting = Meeting::with(|options| options.limits.connections_per_address = 1);
    let (mut client, mut stream) = meeting.session().await;
    let second = meeting.edge.connect().await.rest().await;
    assert_eq!(second, "", "a second connection was let in");
    client.send("x").await;
    assert_eq!(read(&mut stream, 1).await, "x");
    drop(stream);
    client.rest().await;
    free_place(&meeting.edge).await;
}

async fn free_place(edge: &Edge) {
    soon("a free place", async {
        while !served(edge.address).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn served(address: std::net::SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return false;
    };
    let sent = stream.write_all(get("/").as_bytes()).await;
    sent.is_ok() && stream.read_u8().await.is_ok()
}

#[tokio::test]
async fn a_client_that_does_not_close_cannot_hold_the_end_up() {
    let mut meeting = Meeting::with(|options| options.limits.connections_per_address = 1);
    let (mut client, stream) = meeting.session().await;
    let closed = tokio::spawn(stream.close());
    // It reads the end, and neither closes nor stops to send.
    assert_eq!(clean_rest(&mut client).await, "");
    soon("a reset", async {
        while client.stream.write_all(b"more").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon("the end of the session", closed).await.unwrap();
    free_place(&meeting.edge).await;
}

#[tokio::test]
async fn a_stopping_router_lets_a_session_end() {
    let mut meeting = Meeting::start();
    let (mut client, mut stream) = meeting.session().await;
    let address = meeting.edge.address;
    meeting.edge.stop();
    soon("a refused connection", async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.send("x").await;
    assert_eq!(read(&mut stream, 1).await, "x");
    stream.write_all(b"done").await.unwrap();
    let closed = tokio::spawn(stream.close());
    assert_eq!(clean_rest(&mut client).await, "done");
    drop(client);
    soon("the end of the session", closed).await.unwrap();
    assert_eq!(meeting.edge.stopped().await.connections_cut, 0);
}

#[tokio::test]
async fn a_session_that_does_not_end_in_the_drain_time_is_cut() {
    let mut meeting = Meeting::with(|options| {
        options.timeouts.drain = Duration::from_millis(150);
    });
    let (mut client, stream) = meeting.session().await;
    let (mut from, mut to) = tokio::io::split(stream);
    let reading = tokio::spawn(async move { from.read_u8().await });
    // The client does not read, so the writer comes to wait as well.
    let writing = tokio::spawn(async move {
        loop {
            if let Err(error) = to.write_all(&[b'x'; 4096]).await {
                return error;
            }
        }
    });
    meeting.edge.stop();
    let error = soon("the reader's end", reading).await.unwrap();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    let error = soon("the writer's end", writing).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    client.rest().await;
    assert_eq!(meeting.edge.stopped().await.connections_cut, 1);
}

#[tokio::test]
async fn dropped_edges_cut_a_session() {
    let certificate = Certificate::new();
    let (sender, mut joined) = mpsc::unbounded_channel();
    let tls = certificate
        .tls()
        .with_rendezvous(Arc::new(Sessions(sender)));
    let router = Router::with_tls(RouterOptions::default(), tls);
    let sockets = EdgeSockets::bind(([127, 0, 0, 1], 0).into(), 1).unwrap();
    let address = sockets.local_address();
    let edges = Edges::start(&router, sockets).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(certificate.client(&[]));
    let stream = soon("a handshake", connector.connect(name(), stream)).await;
    let mut client = Client {
        stream: stream.unwrap(),
    };
    client.send(format!("{TOKEN}\r\n")).await;
    let mut stream = soon("a session", joined.recv()).await.unwrap();
    stream.greet().await.unwrap();
    drop(edges);
    assert!(soon("its end", stream.read_u8()).await.is_err());
    drop(stream);
    client.rest().await;
}
