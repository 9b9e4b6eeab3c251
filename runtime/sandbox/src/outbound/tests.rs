//! The way out against real servers on the loopback.

use super::*;
use crate::egress::Destination;
use crate::limits::{OUTBOUND_CONNECTIONS_MAX, OUTBOUND_IDLE_MAX};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::HandshakeKind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, rustls};

// === servers ===

/// What a server has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<http::request::Parts>>,
    resumed: AtomicUsize,
}

impl Seen {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

async fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Answers every request with its path; `/moved` with a redirect, `/close` and closes.
async fn http_server(tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<Seen>) {
    let (listener, address) = loopback().await;
    let seen = Arc::new(Seen::default());
    let watching = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            watching.connections.fetch_add(1, Ordering::SeqCst);
            let (seen, tls) = (watching.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, seen).await,
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else {
                            return;
                        };
                        if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                            seen.resumed.fetch_add(1, Ordering::SeqCst);
                        }
                        serve(stream, seen).await;
                    }
                }
            });
        }
    });
    (address, seen)
}

async fn serve<S>(stream: S, seen: Arc<Seen>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (parts, _body) = request.into_parts();
        let mut answer = http::Response::builder();
        if parts.uri.path() == "/moved" {
            answer = answer.status(302).header("location", "http://elsewhere/");
        }
        if parts.uri.path() == "/close" {
            answer = answer.header("connection", "close");
        }
        let body = Full::new(Bytes::from(parts.uri.path().to_owned()));
        seen.requests.lock().unwrap().push(parts);
        std::future::ready(answer.body(body))
    });
    let _client_left = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Does as it is told with each connection.
async fn raw_server<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Arc<Seen>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = loopback().await;
    let seen = Arc::new(Seen::default());
    let watching = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            watching.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(handle(stream));
        }
    });
    (address, seen)
}

/// Reads until the blank line after a request's headers.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            break;
        };
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// An authority of our own, and a server's certificate for `localhost` by it.
struct Certificates {
    roots: TrustedRoots,
    acceptor: TlsAcceptor,
}

fn certificates(protocols: &[&str]) -> Certificates {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(directory.join("localhost.pem")).unwrap()],
            PrivateKeyDer::from_pem_file(directory.join("localhost.key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Certificates {
        roots: TrustedRoots::with_file(&directory.join("authority.pem")).unwrap(),
        acceptor: TlsAcceptor::from(Arc::new(config)),
    }
}

// === guests' side ===

fn to_host() -> Outbound {
    Outbound::new(EgressPolicy::host(), TrustedRoots::default())
}

fn get(url: &str) -> http::Request<WasiBody> {
    with_body(http::Request::get(url), "")
}

fn with_body(request: http::request::Builder, body: &'static str) -> http::Request<WasiBody> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    request.body(body.boxed_unsync()).unwrap()
}

async fn text(outbound: &Outbound, url: &str) -> Result<String, Error> {
    let answer = outbound.send(get(url), None).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn options(change: impl FnOnce(&mut RequestOptions)) -> RequestOptions {
    let mut options = RequestOptions::default();
    change(&mut options);
    options
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LineSink for Lines {
    fn line(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

// === connections ===

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let (address, seen) = http_server(None).await;
    let outbound = to_host();
    for number in 0..20 {
        let path = format!("/{number}");
        let answer = text(&outbound, &format!("http://{address}{path}")).await;
        assert_eq!(answer.unwrap(), path);
    }
    assert_eq!((seen.connections(), seen.requests()), (1, 20));
}

#[tokio::test]
async fn a_server_that_speaks_http2_gets_one_connection_for_many_requests() {
    let certificates = certificates(&["h2", "http/1.1"]);
    let (address, seen) = http_server(Some(certificates.acceptor)).await;
    let outbound = Outbound::new(EgressPolicy::host(), certificates.roots);
    let url = format!("https://localhost:{}/", address.port());
    assert_eq!(text(&outbound, &url).await.unwrap(), "/");
    let all = (0..20).map(|_| text(&outbound, &url));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.unwrap(), "/");
    }
    assert_eq!((seen.connections(), seen.requests()), (1, 21));
    let requests = seen.requests.lock().unwrap();
    assert!(requests.iter().all(|one| one.version == Version::HTTP_2));
    assert_eq!(
        requests[0].uri.authority().unwrap().as_str(),
        url[8..].trim_end_matches('/')
    );
}

#[tokio::test]
async fn a_second_connection_resumes_the_tls_session() {
    let certificates = certificates(&["http/1.1"]);
    let (address, seen) = http_server(Some(certificates.acceptor)).await;
    let outbound = Outbound::new(EgressPolicy::host(), certificates.roots);
    let url = format!("https://localhost:{}/close", address.port());
    for _ in 0..3 {
        assert_eq!(text(&outbound, &url).await.unwrap(), "/close");
    }
    assert_eq!(seen.connections(), 3);
    assert_eq!(seen.resumed.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_certificate_by_an_authority_that_is_not_trusted_is_refused() {
    let certificates = certificates(&["http/1.1"]);
    let (address, seen) = http_server(Some(certificates.acceptor)).await;
    let url = format!("https://localhost:{}/", address.port());
    let error = text(&to_host(), &url).await.unwrap_err();
    assert!(matches!(error, Error::TlsCertificateError), "{error:?}");
    assert_eq!(seen.requests(), 0);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_not_noticed() {
    let (address, seen) = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let outbound = to_host();
    for number in 1..=5 {
        let request = with_body(http::Request::post(format!("http://{address}/")), "body");
        let answer = outbound.send(request, None).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        assert_eq!(seen.connections(), number);
    }
}

#[tokio::test]
async fn a_request_that_went_out_is_not_sent_again() {
    let (address, seen) = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let error = text(&to_host(), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ConnectionTerminated), "{error:?}");
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_bound() {
    let outbound = to_host();
    let mut servers = Vec::new();
    for _ in 0..OUTBOUND_IDLE_MAX + 8 {
        let (address, seen) = http_server(None).await;
        text(&outbound, &format!("http://{address}/"))
            .await
            .unwrap();
        servers.push((address, seen));
    }
    let places = || outbound.opened().pool.places_taken();
    until("idle connections to be closed", || {
        places() <= OUTBOUND_IDLE_MAX
    })
    .await;
    // The newest is still open, the oldest is not.
    for (index, connections) in [(servers.len() - 1, 1), (0, 2)] {
        let (address, seen) = &servers[index];
        text(&outbound, &format!("http://{address}/"))
            .await
            .unwrap();
        assert_eq!(seen.connections(), connections, "server {index}");
    }
}

#[tokio::test]
async fn a_request_over_the_bound_of_connections_waits_and_fails() {
    let (silent, seen) = raw_server(|mut stream| async move {
        let mut rest = Vec::new();
        let _client_left = stream.read_to_end(&mut rest).await;
    })
    .await;
    let (address, _) = http_server(None).await;
    let outbound = to_host();
    let held: Vec<_> = (0..OUTBOUND_CONNECTIONS_MAX)
        .map(|_| {
            let (outbound, url) = (outbound.clone(), format!("http://{silent}/"));
            tokio::spawn(async move { text(&outbound, &url).await })
        })
        .collect();
    until("every place to be taken", || {
        seen.connections() == held.len()
    })
    .await;
    let request = get(&format!("http://{address}/"));
    let hurry = options(|options| options.connect_timeout = Some(Duration::from_millis(50)));
    let error = outbound.send(request, Some(hurry)).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLimitReached), "{error:?}");
    let url = format!("http://{address}/free");
    let waits = text(&outbound, &url);
    held[0].abort();
    assert_eq!(waits.await.unwrap(), "/free");
    for one in held {
        one.abort();
    }
}

#[tokio::test]
async fn connections_end_with_the_way_out() {
    let (address, _) = http_server(None).await;
    let outbound = to_host();
    text(&outbound, &format!("http://{address}/"))
        .await
        .unwrap();
    let places = outbound.opened().pool.places();
    assert_eq!(places.available_permits(), OUTBOUND_CONNECTIONS_MAX - 1);
    drop(outbound);
    until("the connection to end", || {
        places.available_permits() == OUTBOUND_CONNECTIONS_MAX
    })
    .await;
}

// === requests ===

#[tokio::test]
async fn the_host_header_is_the_urls_whatever_the_guest_says() {
    let (address, seen) = http_server(None).await;
    let request = http::Request::get(format!("http://somebody@{address}/path?query"));
    let request = with_body(request.header("host", "bank.example"), "");
    to_host().send(request, None).await.unwrap();
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests[0].headers["host"], address.to_string());
    assert_eq!(requests[0].headers.get_all("host").iter().count(), 1);
    assert_eq!(requests[0].uri, "/path?query");
}

#[tokio::test]
async fn a_redirect_is_the_guests_business() {
    let (address, seen) = http_server(None).await;
    let request = get(&format!("http://{address}/moved"));
    let answer = to_host().send(request, None).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "http://elsewhere/");
    assert_eq!(seen.requests(), 1);
}

#[tokio::test]
async fn a_tunnel_is_denied() {
    let (address, seen) = http_server(None).await;
    let request = http::Request::connect(format!("http://{address}/"));
    let error = to_host().send(with_body(request, ""), None).await;
    assert!(matches!(error, Err(Error::HttpRequestDenied)));
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let (address, _) = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let error = text(&to_host(), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HttpResponseIncomplete), "{error:?}");
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_error() {
    let (address, _) = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"SSH-2.0-server\r\n\r\n").await.unwrap();
    })
    .await;
    let error = text(&to_host(), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HttpProtocolError), "{error:?}");
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let (address, _) = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let _client_left = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: and more\r\n").await.is_ok() {}
    })
    .await;
    let error = text(&to_host(), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::HttpResponseHeaderSectionSize(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_connection_refused_and_no_such_name_a_dns_error() {
    let (listener, address) = loopback().await;
    drop(listener);
    let error = text(&to_host(), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ConnectionRefused), "{error:?}");
    let error = text(&to_host(), "http://nowhere.invalid/")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::DnsError { .. }), "{error:?}");
}

// === time ===

#[tokio::test]
async fn each_time_out_of_a_guest_is_kept() {
    let short = Some(Duration::from_millis(50));
    let (silent, _) = raw_server(|mut stream| async move {
        let mut rest = Vec::new();
        let _client_left = stream.read_to_end(&mut rest).await;
    })
    .await;
    let outbound = to_host();
    let connect = options(|options| options.connect_timeout = short);
    let request = get(&format!("https://{silent}/"));
    let error = outbound.send(request, Some(connect)).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionTimeout), "{error:?}");

    let first_byte = options(|options| options.first_byte_timeout = short);
    let request = get(&format!("http://{silent}/"));
    let error = outbound.send(request, Some(first_byte)).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionReadTimeout), "{error:?}");

    let (stalls, _) = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin";
        stream.write_all(answer).await.unwrap();
        let mut rest = Vec::new();
        let _client_left = stream.read_to_end(&mut rest).await;
    })
    .await;
    let between = options(|options| options.between_bytes_timeout = short);
    let request = get(&format!("http://{stalls}/"));
    let answer = outbound.send(request, Some(between)).await.unwrap();
    let error = answer.into_body().collect().await.unwrap_err();
    assert!(matches!(error, Error::ConnectionReadTimeout), "{error:?}");
}

#[test]
fn a_guest_may_wait_for_less_time_than_ours_but_not_for_more() {
    let long = Some(Duration::from_secs(3600));
    let timeouts = Timeouts::of(Some(options(|options| {
        options.connect_timeout = long;
        options.first_byte_timeout = Some(Duration::from_secs(1));
    })));
    assert_eq!(timeouts.connect, OUTBOUND_CONNECT_TIMEOUT);
    assert_eq!(timeouts.first_byte, Duration::from_secs(1));
    assert_eq!(timeouts.between_bytes, OUTBOUND_BETWEEN_BYTES_TIMEOUT);
}

// === policy ===

#[tokio::test]
async fn a_private_address_is_refused_and_said_once() {
    let (address, seen) = http_server(None).await;
    let lines = Arc::new(Lines::default());
    let outbound = Outbound::new(EgressPolicy::default(), TrustedRoots::default());
    let outbound = outbound.logging_to(lines.clone());
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0.0.0.0",
    ] {
        let url = format!("http://{host}:{}/", address.port());
        let error = text(&outbound, &url).await.unwrap_err();
        assert!(
            matches!(error, Error::DestinationIpProhibited),
            "{host}: {error:?}"
        );
    }
    assert!(!outbound.permits(address).await);
    assert_eq!(seen.connections(), 0);
    let said = lines.0.lock().unwrap().clone();
    assert_eq!(
        said,
        [format!(
            "Outbound connection to {address} refused: dynos reach public addresses and what [egress] in dyno.toml \
             allows, for example allow = [\"{address}\"]"
        )]
    );
}

#[tokio::test]
async fn what_is_allowed_by_address_or_by_name_is_reached() {
    let (address, _) = http_server(None).await;
    let by_name: Destination = format!("localhost:{}", address.port()).parse().unwrap();
    for allowed in [Destination::from(address), by_name] {
        let policy = EgressPolicy::default().with(std::slice::from_ref(&allowed));
        let outbound = Outbound::new(policy, TrustedRoots::default());
        for host in ["127.0.0.1", "localhost"] {
            let url = format!("http://{host}:{}/", address.port());
            assert_eq!(
                text(&outbound, &url).await.unwrap(),
                "/",
                "{allowed} {host}"
            );
        }
        assert!(outbound.permits(address).await);
        let other = SocketAddr::new(address.ip(), address.port() ^ 1);
        assert!(!outbound.permits(other).await);
    }
}

#[tokio::test]
async fn a_closed_way_out_denies_everything() {
    let (address, seen) = http_server(None).await;
    let error = text(&Outbound::closed(), &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HttpRequestDenied), "{error:?}");
    assert_eq!(seen.connections(), 0);
}
