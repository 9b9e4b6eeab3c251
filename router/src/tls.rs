//! TLS on the port of plain HTTP: what it is served with, and the handshake.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::client_socket::ClientStream;
use crate::first_bytes::Peeked;
use crate::identity::Identity;
use crate::limits::TLS_SEND_BUFFER_BYTES;
use crate::rendezvous::Rendezvous;
use crate::router::Edge;

/// What TLS connections are served with. Clones are handles of the same: one stays with whoever renews certificates.
///
/// ```no_run
/// use dyno_router::{Identity, Router, RouterOptions, Tls};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::from_pem(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
/// let tls = Tls::new(identity);
/// let router = Router::with_tls(RouterOptions::default(), tls.clone());
/// // Later, on any thread, while the router serves:
/// let renewed = Identity::from_pem(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
/// tls.set_identity(renewed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
    rendezvous: Option<Arc<dyn Rendezvous>>,
}

impl Tls {
    /// Serves TLS as `identity`, whatever name the client asks for.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            config: Arc::new(ArcSwap::new(identity.into_config())),
            rendezvous: None,
        }
    }

    /// Hands connections that begin with a token to `rendezvous`; without it they are requests that are no good.
    #[must_use]
    pub fn with_rendezvous(mut self, rendezvous: Arc<dyn Rendezvous>) -> Self {
        self.rendezvous = Some(rendezvous);
        self
    }

    /// Changes who the router is from the next connection on; those that are there go on as they are.
    pub fn set_identity(&self, identity: Identity) {
        self.config.store(identity.into_config());
    }

    pub(crate) fn rendezvous(&self) -> Option<&dyn Rendezvous> {
        self.rendezvous.as_deref()
    }

    /// Makes the connection that `stream` begins. `None`: it was no handshake, or took too long; nothing of it stays.
    pub(crate) async fn handshake<S: ClientStream>(
        &self,
        edge: &Edge,
        stream: Peeked<S>,
    ) -> Option<TlsStream<Peeked<S>>> {
        let handshake = async {
            let Ok(_place) = edge.handshake_places.acquire().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            TlsAcceptor::from(self.config.load_full())
                .accept_with(stream, |connection| {
                    connection.set_buffer_limit(Some(TLS_SEND_BUFFER_BYTES));
                })
                .await
        };
        // The wait for a place is part of the time: a connection that has none is not there for ever.
        match tokio::time::timeout(edge.options.timeouts.tls_handshake, handshake).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake broke off");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                None
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<S: ClientStream> ClientStream for TlsStream<S> {
    const KEEPS_WRITES: bool = true;

    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}
