//! Edge threads: a single-threaded runtime for each processor, each accepting on a socket of its own.
//!
//! A connection lives and dies on one thread, and so does nearly every request of it: nothing wakes another
//! processor, and what a thread keeps for itself needs no lock.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::burst;
use crate::limits::LISTEN_BACKLOG;
use crate::listener::Listener;
use crate::router::{DrainReport, Router};

/// Sockets that listen on one address, one for each edge thread; the kernel spreads connections over them.
#[derive(Debug)]
pub struct EdgeSockets {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl EdgeSockets {
    /// Binds and listens, once for each of `threads` (at least one). Port 0 takes a free one.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when anybody listens there, be it another router that would share the address.
    pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Self> {
        // Sockets that share an address let each other in silently. One that does not share finds them all.
        let alone = bind(address, false)?;
        let address = TcpListener::from(alone.try_clone()?).local_addr()?;
        drop(alone);
        let sockets = (0..threads.max(1))
            .map(|_| {
                let socket = bind(address, true)?;
                socket.listen(LISTEN_BACKLOG.try_into().unwrap_or(i32::MAX))?;
                Ok(socket.into())
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { address, sockets })
    }

    /// The address they listen on.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Without it a restart within a minute fails on connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Running edge threads. Dropping them cuts every connection.
#[derive(Debug)]
pub struct Edges {
    reports: Vec<oneshot::Receiver<DrainReport>>,
    drain: CancellationToken,
    /// Cancelled by the drop.
    cut: CancellationToken,
}

impl Edges {
    /// Starts a thread for each socket.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue; nothing is left running.
    pub fn start(router: &Router, sockets: EdgeSockets) -> io::Result<Self> {
        let mut edges = Self {
            reports: Vec::new(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        for (number, socket) in sockets.sockets.into_iter().enumerate() {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .on_thread_park(burst::turn_ended)
                .build()?;
            let (sender, report) = oneshot::channel();
            let router = router.clone();
            let (drain, cut) = (edges.drain.clone(), edges.cut.clone());
            thread::Builder::new()
                .name(format!("edge-{number}"))
                .spawn(move || {
                    let report = serve(&runtime, &router, socket, drain, cut);
                    // Not waiting for blocking work: whoever started it has gone.
                    runtime.shutdown_background();
                    // Nobody waits for the report of threads that were cut.
                    let _ = sender.send(report);
                })?;
            edges.reports.push(report);
        }
        Ok(edges)
    }

    /// Stops accepting, lets requests in flight finish for [`crate::Timeouts::drain`], cuts the rest.
    pub async fn drain(mut self) -> DrainReport {
        self.drain.cancel();
        let mut all = DrainReport::default();
        for report in &mut self.reports {
            // A thread that panicked had nothing left to report.
            all.connections_cut += report.await.unwrap_or_default().connections_cut;
        }
        all
    }
}

impl Drop for Edges {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

fn serve(
    runtime: &Runtime,
    router: &Router,
    socket: TcpListener,
    drain: CancellationToken,
    cut: CancellationToken,
) -> DrainReport {
    runtime.block_on(async {
        let listener = match Listener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "an edge thread cannot use its socket");
                return DrainReport::default();
            }
        };
        tokio::select! {
            biased;
            () = cut.cancelled() => DrainReport::default(),
            report = router.serve(listener, drain.cancelled_owned()) => report,
        }
    })
}
