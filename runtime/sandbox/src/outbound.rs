//! Guests' outgoing HTTP: one pooled client per app, every dialled address checked against its policy.

use crate::egress::EgressPolicy;
use crate::limits::{OUTBOUND_CONNECT_TIMEOUT, OUTBOUND_FIRST_BYTE_TIMEOUT};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// The way out of one app: its policy, and the connections that are kept open under it.
///
/// Connections are never shared between apps, so one app's policy cannot ride on another's connection.
#[derive(Debug)]
pub(crate) struct Outbound {
    policy: Arc<EgressPolicy>,
    client: OnceLock<HttpClient>,
}

type HttpClient = Client<HttpsConnector<Dialer>, WasiBody>;

impl Outbound {
    pub(crate) fn new(policy: EgressPolicy) -> Self {
        Self {
            policy: Arc::new(policy),
            client: OnceLock::new(),
        }
    }

    pub(crate) fn policy(&self) -> &Arc<EgressPolicy> {
        &self.policy
    }

    fn client(&self) -> &HttpClient {
        self.client.get_or_init(|| {
            let connector = HttpsConnectorBuilder::new()
                .with_webpki_roots()
                .https_or_http()
                .enable_http1()
                .wrap_connector(Dialer {
                    policy: self.policy.clone(),
                });
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(30))
                .pool_max_idle_per_host(16)
                .build(connector)
        })
    }

    /// Sends a request; the answer's body streams.
    pub(crate) async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<http::Response<WasiBody>, Error> {
        if self.policy.closed {
            return Err(Error::HttpRequestDenied);
        }
        let limit = options
            .and_then(|options| options.first_byte_timeout)
            .unwrap_or(OUTBOUND_FIRST_BYTE_TIMEOUT);
        let answer = tokio::time::timeout(limit, self.client().request(request))
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| classify(&error))?;
        Ok(answer.map(|body| body.map_err(Error::from).boxed_unsync()))
    }
}

/// Finds what the client met in its chain of causes.
fn classify(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if current.is::<Refused>() {
            return Error::DestinationIpProhibited;
        }
        if let Some(io) = current.downcast_ref::<io::Error>() {
            if io
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Refused>)
            {
                return Error::DestinationIpProhibited;
            }
            return match io.kind() {
                io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                io::ErrorKind::NotFound => Error::DnsError {
                    rcode: None,
                    info_code: None,
                },
                io::ErrorKind::InvalidData => Error::TlsCertificateError,
                _ => Error::Connect(io::Error::new(io.kind(), io.to_string())),
            };
        }
        cause = current.source();
    }
    Error::HttpProtocolError
}

/// An address that the policy does not permit.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "outbound connection to {} refused by policy",
            self.0
        )
    }
}

impl StdError for Refused {}

/// Resolves a name once, checks every answer, and dials only a checked address.
#[derive(Clone, Debug)]
struct Dialer {
    policy: Arc<EgressPolicy>,
}

impl tower_service::Service<http::Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let policy = self.policy.clone();
        Box::pin(async move {
            let stream = tokio::time::timeout(OUTBOUND_CONNECT_TIMEOUT, dial(&policy, &uri))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

async fn dial(policy: &EgressPolicy, uri: &http::Uri) -> io::Result<TcpStream> {
    let host = uri
        .host()
        .ok_or(io::ErrorKind::InvalidInput)?
        .trim_start_matches('[')
        .trim_end_matches(']');
    let default_port = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) {
        443
    } else {
        80
    };
    let port = uri.port_u16().unwrap_or(default_port);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let addresses: Vec<_> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?
        .collect();
    if let Some(refused) = addresses.iter().find(|address| !policy.permits(**address)) {
        return Err(io::Error::other(Refused(refused.to_string())));
    }
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
