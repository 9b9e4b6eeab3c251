//! The router itself: a cheap handle that serves listeners.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::accept::Addresses;
use crate::drive::Protocols;
use crate::listener::Listener;
use crate::options::RouterOptions;
use crate::route_table::RouteTable;
use crate::tls::Tls;

/// The edge. Clones share the routes, the limits and the log; each may serve listeners on a runtime of its own.
#[derive(Debug, Clone)]
pub struct Router {
    edge: Arc<Edge>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) options: RouterOptions,
    pub(crate) routes: RouteTable,
    pub(crate) protocols: Protocols,
    /// One for each client connection there may be.
    pub(crate) connection_places: Arc<Semaphore>,
    pub(crate) addresses: Addresses,
    pub(crate) tls: Option<Tls>,
    /// One for each TLS handshake that may be under way.
    pub(crate) handshake_places: Semaphore,
}

/// How a listener's connections ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Connections that were still busy when the drain time was over and were cut (H24).
    pub connections_cut: usize,
}

impl Router {
    /// A router without routes, for plaintext: connections that begin with TLS are closed.
    #[must_use]
    pub fn new(options: RouterOptions) -> Self {
        Self::make(options, None)
    }

    /// A router without routes that takes plaintext and TLS, each connection as it begins, on the same port.
    #[must_use]
    pub fn with_tls(options: RouterOptions, tls: Tls) -> Self {
        Self::make(options, Some(tls))
    }

    fn make(options: RouterOptions, tls: Option<Tls>) -> Self {
        let places = |count: usize| Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            edge: Arc::new(Edge {
                protocols: Protocols::new(&options.limits),
                connection_places: Arc::new(places(options.limits.connections)),
                addresses: Addresses::default(),
                tls,
                handshake_places: places(options.limits.tls_handshakes),
                options,
                routes: RouteTable::default(),
            }),
        }
    }

    /// The routes: publish and remove apps here, at any time, from any thread.
    #[must_use]
    pub fn routes(&self) -> &RouteTable {
        &self.edge.routes
    }

    /// Serves connections until `shutdown` resolves, then drains: stops accepting, lets requests in
    /// flight finish for [`crate::Timeouts::drain`], cuts the rest.
    pub async fn serve(
        &self,
        listener: Listener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> DrainReport {
        crate::accept::serve(&self.edge, listener, shutdown).await
    }
}
