//! The accept loop: takes connections within the limits, and drains them in the end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::connection::ConnectionContext;
use crate::drive::{self, Lifecycle};
use crate::limits::ACCEPT_PAUSE;
use crate::listener::Listener;
use crate::router::{DrainReport, Edge};

/// Time for the connections to notice that they are cut.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn serve(
    edge: &Arc<Edge>,
    listener: Listener,
    shutdown: impl Future<Output = ()> + Send,
) -> DrainReport {
    let connections = TaskTracker::new();
    let lifecycle = Arc::new(Lifecycle::default());
    let cut = Arc::new(AtomicUsize::new(0));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, client) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(edge, &listener) => accepted,
        };
        let Some(address) = AddressPlace::take(edge, client.stream.ip()) else {
            // Closed at once: one address must not take everybody's places.
            drop(stream);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let context = ConnectionContext::new(Arc::clone(edge), client.stream, client.local);
        let places = Places {
            _of_address: address,
            _of_all: client.place,
        };
        let (lifecycle, cut) = (Arc::clone(&lifecycle), Arc::clone(&cut));
        connections.spawn(async move {
            if drive::serve(context, stream, places, &lifecycle).await {
                cut.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    drop(listener);
    connections.close();
    lifecycle.drain();
    if tokio::time::timeout(edge.options.timeouts.drain, connections.wait())
        .await
        .is_err()
    {
        lifecycle.cut();
        // Only a backend that blocks its thread can outlast this; it must not hold the stop up.
        let _ = tokio::time::timeout(CUT_PATIENCE, connections.wait()).await;
    }
    DrainReport {
        connections_cut: cut.load(Ordering::Relaxed),
    }
}

/// What a connection takes up until its socket is closed, whoever has the socket in the end.
pub(crate) struct Places {
    _of_address: AddressPlace,
    _of_all: tokio::sync::OwnedSemaphorePermit,
}

struct Client {
    stream: SocketAddr,
    local: SocketAddr,
    place: tokio::sync::OwnedSemaphorePermit,
}

/// Waits for a free place first: what is not accepted stays in the kernel's backlog.
async fn accept(edge: &Arc<Edge>, listener: &Listener) -> (TcpStream, Client) {
    loop {
        let Ok(place) = Arc::clone(&edge.connection_places).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        match listener
            .inner()
            .accept()
            .await
            .and_then(|(stream, client)| Ok((stream.local_addr()?, stream, client)))
        {
            Ok((local, stream, client)) => {
                return (
                    stream,
                    Client {
                        stream: client,
                        local,
                        place,
                    },
                );
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: it will not be better in a microsecond, and a busy
                // loop would take the CPU from the connections that could end.
                tracing::warn!(%error, "cannot accept connections, pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client was gone before we took it.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::Interrupted
    )
}

/// Connections per client address.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place among those of its address.
struct AddressPlace {
    edge: Arc<Edge>,
    address: IpAddr,
}

impl AddressPlace {
    fn take(edge: &Arc<Edge>, address: IpAddr) -> Option<Self> {
        let address = address.to_canonical();
        let mut counts = edge
            .addresses
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= edge.options.limits.connections_per_address {
            return None;
        }
        *count += 1;
        Some(Self {
            edge: Arc::clone(edge),
            address,
        })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut counts = self
            .edge
            .addresses
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = counts.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
