//! Guests' outgoing HTTP: one pooled client per app, every dialled address checked against its policy.

mod body;
mod connection;
mod dial;
mod errors;
mod pool;
mod refusals;
mod roots;

use crate::egress::EgressPolicy;
use crate::limits::{
    OUTBOUND_BETWEEN_BYTES_TIMEOUT, OUTBOUND_CONNECT_TIMEOUT, OUTBOUND_FIRST_BYTE_TIMEOUT,
    OUTBOUND_REQUESTS_MAX,
};
use crate::resolver::Resolver;
use crate::stdio::LineSink;
use body::AnswerBody;
use connection::Sent;
use dial::Dialer;
use http::header::HOST;
use http::{HeaderValue, Method, Uri, Version};
use http_body_util::BodyExt;
use pool::Pool;
use refusals::Refusals;
pub use roots::{TrustedRoots, TrustedRootsError};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// The way out of one app: its policy, its name cache, and the connections that are kept open under them.
///
/// Clones share everything but the log. Connections, TLS sessions and names are never shared between apps, so one
/// app's policy cannot ride on another's connection, nor can one learn whom another talks to.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    refusals: Option<Arc<Refusals>>,
}

struct Shared {
    policy: EgressPolicy,
    roots: TrustedRoots,
    /// Made at the first use: most apps that lie idle never go out.
    opened: OnceLock<Box<Opened>>,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// It is no name.
    Invalid,
    /// Nobody knows it.
    Unknown,
    /// There is no way out at all.
    Closed,
}

struct Opened {
    resolver: Arc<Resolver>,
    pool: Arc<Pool>,
    requests: Arc<Semaphore>,
}

impl Outbound {
    /// A way out under a policy. Nothing is opened yet, and no refusal is logged.
    pub fn new(policy: EgressPolicy, roots: TrustedRoots) -> Self {
        Self {
            shared: Arc::new(Shared {
                policy,
                roots,
                opened: OnceLock::new(),
            }),
            refusals: None,
        }
    }

    /// No way out.
    pub fn closed() -> Self {
        Self::new(EgressPolicy::closed(), TrustedRoots::default())
    }

    /// The same way out, with a line in a log for connections that the policy refuses.
    #[must_use]
    pub fn logging_to(mut self, log: Arc<dyn LineSink>) -> Self {
        self.refusals = Some(Arc::new(Refusals::new(log)));
        self
    }

    /// Its policy.
    pub fn policy(&self) -> &EgressPolicy {
        &self.shared.policy
    }

    fn opened(&self) -> &Opened {
        self.shared.opened.get_or_init(|| {
            let resolver = Arc::new(Resolver::default());
            let (policy, roots) = (self.shared.policy.clone(), self.shared.roots.clone());
            Box::new(Opened {
                resolver: resolver.clone(),
                pool: Pool::new(Dialer::new(policy, resolver, roots)),
                requests: Arc::new(Semaphore::new(OUTBOUND_REQUESTS_MAX)),
            })
        })
    }

    fn refused(&self, destination: &str) {
        if let Some(refusals) = &self.refusals {
            refusals.note(destination);
        }
    }

    /// Whether a socket may connect to an address; a refusal is logged.
    pub(crate) async fn permits(&self, address: SocketAddr) -> bool {
        let policy = &self.shared.policy;
        if policy.permits(address) {
            return true;
        }
        let resolver = &self.opened().resolver;
        let permitted = policy.permits_resolved(address, resolver).await;
        if !permitted && !policy.is_closed() {
            self.refused(&address.to_string());
        }
        permitted
    }

    /// The addresses of a name, for sockets. Names are no secret, so what they resolve to is not looked at here:
    /// [`Outbound::permits`] looks at what is connected to.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, NameError> {
        if self.shared.policy.is_closed() {
            return Err(NameError::Closed);
        }
        let name = match url::Host::parse(name) {
            Ok(url::Host::Domain(domain)) => domain,
            Ok(url::Host::Ipv4(ip)) => return Ok(Arc::from([IpAddr::V4(ip)])),
            Ok(url::Host::Ipv6(ip)) => return Ok(Arc::from([IpAddr::V6(ip)])),
            // Without brackets it is no host of a URL.
            Err(_) => {
                let ip = name.parse().map_err(|_| NameError::Invalid)?;
                return Ok(Arc::from([ip]));
            }
        };
        let found = self.opened().resolver.resolve(&name).await;
        let found = found.map_err(|_| NameError::Unknown)?;
        Ok(found.iter().map(IpAddr::to_canonical).collect())
    }

    /// Sends a request; the answer's body streams. A redirect is an answer like any other.
    pub(crate) async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<http::Response<WasiBody>, Error> {
        if self.shared.policy.is_closed() {
            return Err(Error::HttpRequestDenied);
        }
        // A tunnel would carry what no policy sees.
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestDenied);
        }
        let origin = Origin::of(request.uri())?;
        let timeouts = Timeouts::of(options);
        let connected_by = tokio::time::Instant::now() + timeouts.connect;
        let Opened { pool, requests, .. } = self.opened();
        let turn = timeout_at(connected_by, requests.clone().acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(Error::ConnectionLimitReached)?;
        let mut request = addressed(request, &origin)?;
        let (answer, connection) = loop {
            let mut connection = match timeout_at(connected_by, pool.connection(&origin)).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => {
                    if matches!(error, Error::DestinationIpProhibited) {
                        self.refused(&origin.to_string());
                    }
                    return Err(error);
                }
                Err(_) => return Err(pool.why_no_connection()),
            };
            match timeout(timeouts.first_byte, connection.send(request)).await {
                Ok(Sent::Answer(answer)) => break (answer, connection),
                // The server closed a kept connection just now. Nothing was sent, so another may be tried; each of
                // these leaves the pool, so this ends.
                Ok(Sent::Unsent(unsent)) if connection.is_reused() => request = *unsent,
                Ok(Sent::Unsent(_)) => return Err(Error::ConnectionTerminated),
                Ok(Sent::Failed(error)) => return Err(errors::of_hyper(error)),
                Err(_) => return Err(Error::ConnectionReadTimeout),
            }
        };
        pool.give_back(&origin, connection);
        Ok(answer.map(|body| AnswerBody::new(body, timeouts.between_bytes, turn).boxed_unsync()))
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Outbound")
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}

/// Whom a connection is to: what one kept open may be used for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    is_secure: bool,
    /// A name in lower case, or an address without brackets.
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::HttpProtocolError),
        };
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        let port = match uri.port() {
            Some(port) => port.as_u16(),
            None if is_secure => 443,
            None => 80,
        };
        Ok(Self {
            is_secure,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// As a `Host` header has it: without the port that the scheme implies.
    fn authority(&self) -> String {
        if self.port == if self.is_secure { 443 } else { 80 } {
            self.bracketed()
        } else {
            self.to_string()
        }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.bracketed(), self.port)
    }
}

/// The request with the address it really goes to, and no other: the guest's idea of `Host`, and a user name in the
/// URL, would let it speak to one server in the name of another.
fn addressed(
    mut request: http::Request<WasiBody>,
    origin: &Origin,
) -> Result<http::Request<WasiBody>, Error> {
    let authority = origin.authority();
    let host = HeaderValue::from_str(&authority).map_err(|_| Error::HttpRequestUriInvalid)?;
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    *request.uri_mut() = Uri::builder()
        .scheme(if origin.is_secure { "https" } else { "http" })
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(HOST, host);
    *request.version_mut() = Version::HTTP_11;
    Ok(request)
}

/// The guest's time-outs where it set some, ours where it did not; ours are the longest.
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Timeouts {
    fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let at_most = |wanted: Option<Duration>, ours: Duration| wanted.unwrap_or(ours).min(ours);
        Self {
            connect: at_most(options.connect_timeout, OUTBOUND_CONNECT_TIMEOUT),
            first_byte: at_most(options.first_byte_timeout, OUTBOUND_FIRST_BYTE_TIMEOUT),
            between_bytes: at_most(
                options.between_bytes_timeout,
                OUTBOUND_BETWEEN_BYTES_TIMEOUT,
            ),
        }
    }
}

#[cfg(test)]
mod tests;
