//! A client that attaches to a one-off dyno as the Heroku CLI does: TLS, a token, a greeting, and bytes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::rig::PATIENCE;

/// What the server says first.
pub const GREETING: &str = "rendezvous\r\n";

/// A connection that has shaken hands.
pub struct AttachedClient {
    stream: TlsStream<TcpStream>,
    said: String,
}

impl AttachedClient {
    /// Connects by TLS as to `name`, trusting only the authority of the data directory.
    pub async fn connect(
        data_dir: &Path,
        address: std::net::SocketAddr,
        name: &'static str,
    ) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(data_dir.join("ca.pem")).unwrap();
        roots.add(authority).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Ok(Self {
            stream: timeout(PATIENCE, stream).await.expect("a handshake")?,
            said: String::new(),
        })
    }

    /// Connects and names the token of an address `rendezvous://HOST:PORT/TOKEN`.
    pub async fn attach(data_dir: &Path, url: &str) -> Self {
        let rest = url.strip_prefix("rendezvous://").unwrap();
        let (address, token) = rest.split_once('/').unwrap();
        let address = address.parse().unwrap();
        let mut client = Self::connect(data_dir, address, "127.0.0.1").await.unwrap();
        client.send(format!("{token}\r\n").as_bytes()).await;
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads until these words were said; everything said so far.
    pub async fn until(&mut self, words: &str) -> &str {
        while !self.said.contains(words) {
            let read = self.read().await;
            assert!(read, "it ended without {words:?}: {:?}", self.said);
        }
        &self.said
    }

    /// Reads to the end; everything that was said.
    pub async fn end(mut self) -> String {
        while self.read().await {}
        self.said
    }

    /// Reads a chunk; false at the end.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        match read.expect("something to read") {
            Ok(length @ 1..) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                self.said.push_str(&text);
                true
            }
            _ => false,
        }
    }
}
