//! The accept loop.

use std::future::Future;
use std::sync::Arc;

use crate::listener::Listener;
use crate::router::{DrainReport, Edge};

pub(crate) async fn serve(
    edge: &Arc<Edge>,
    listener: Listener,
    shutdown: impl Future<Output = ()> + Send,
) -> DrainReport {
    let _ = (edge, listener.inner());
    shutdown.await;
    DrainReport::default()
}
