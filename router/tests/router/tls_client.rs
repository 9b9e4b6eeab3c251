//! A certificate made for a test, and TLS clients that trust it.

use std::io;
use std::sync::Arc;

use dyno_router::{Identity, Tls};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::edge::{Client, Edge, soon};

pub type TlsClient = Client<TlsStream<TcpStream>>;

pub struct Certificate {
    chain: String,
    key: String,
    root: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        let names = ["demo.localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self {
            chain: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            root: made.cert.der().clone(),
        }
    }

    pub fn identity(&self) -> Identity {
        Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }

    pub fn tls(&self) -> Tls {
        Tls::new(self.identity())
    }

    /// Trusts this certificate and no other, and offers `alpn`.
    pub fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        trusting([self], alpn)
    }

    /// A connection that has shaken hands, without ALPN.
    pub async fn connect(&self, edge: &Edge) -> TlsClient {
        connect(edge, self.client(&[])).await.unwrap()
    }
}

pub fn trusting<'a>(
    certificates: impl IntoIterator<Item = &'a Certificate>,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.root.clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

pub fn name() -> ServerName<'static> {
    ServerName::try_from("demo.localhost").unwrap()
}

pub async fn connect(edge: &Edge, config: Arc<ClientConfig>) -> io::Result<TlsClient> {
    let stream = edge.connect().await.stream;
    let handshake = TlsConnector::from(config).connect(name(), stream);
    let stream = soon("a handshake", handshake).await?;
    Ok(Client { stream })
}
