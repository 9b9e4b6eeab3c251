//! Makes connections: resolves a name once, checks every address, and dials only a checked one.

use super::connection::{Sender, speak_http1, speak_http2};
use super::roots::TrustedRoots;
use super::{Origin, errors};
use crate::egress::EgressPolicy;
use crate::limits::OUTBOUND_ADDRESS_TIMEOUT;
use crate::resolver::Resolver;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, rustls};
use wasmtime_wasi_http::Error;

pub(super) struct Dialer {
    policy: EgressPolicy,
    resolver: Arc<Resolver>,
    roots: TrustedRoots,
    /// Made at the first use: most apps that lie idle never dial. It holds the TLS sessions.
    tls: OnceLock<Result<TlsConnector, rustls::Error>>,
}

impl Dialer {
    pub(super) fn new(policy: EgressPolicy, resolver: Arc<Resolver>, roots: TrustedRoots) -> Self {
        Self {
            policy,
            resolver,
            roots,
            tls: OnceLock::new(),
        }
    }

    /// A new connection to an origin.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        place: OwnedSemaphorePermit,
    ) -> Result<Sender, Error> {
        let stream = self.tcp(origin).await?;
        stream.set_nodelay(true).map_err(errors::of_connect)?;
        if !origin.is_secure {
            return speak_http1(stream, place).await.map_err(errors::of_hyper);
        }
        let name =
            ServerName::try_from(origin.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let stream = self
            .tls()?
            .connect(name, stream)
            .await
            .map_err(errors::of_tls)?;
        let sender = if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            speak_http2(stream, place).await
        } else {
            speak_http1(stream, place).await
        };
        sender.map_err(errors::of_hyper)
    }

    async fn tcp(&self, origin: &Origin) -> Result<TcpStream, Error> {
        let found = self
            .resolver
            .resolve(&origin.host)
            .await
            .map_err(|_| errors::of_name())?;
        let mut permitted = Vec::with_capacity(found.len());
        for ip in found.iter() {
            let address = SocketAddr::new(*ip, origin.port);
            if self.policy.permits_named(&origin.host, address)
                || self.policy.permits_resolved(address, &self.resolver).await
            {
                permitted.push(address);
            }
        }
        let mut last = Error::DestinationIpProhibited;
        for address in permitted {
            match timeout(OUTBOUND_ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = errors::of_connect(error),
                Err(_) => last = errors::of_connect(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(last)
    }

    fn tls(&self) -> Result<&TlsConnector, Error> {
        let connector = self.tls.get_or_init(|| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(self.roots.store())
                .with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        });
        connector
            .as_ref()
            .map_err(|error| Error::InternalError(Some(error.to_string())))
    }
}
