//! The listening socket.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::limits::LISTEN_BACKLOG;

/// A bound and listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
}

impl Listener {
    /// Binds and listens; must be called inside a tokio runtime. Port 0 takes a free one.
    ///
    /// The address is this socket's alone; [`crate::EdgeSockets`] share one.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Without it a restart within a minute fails on connections in TIME_WAIT.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            inner: socket.listen(LISTEN_BACKLOG)?,
        })
    }

    /// Takes over a socket that listens already (handed over by a service manager or an old process).
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            inner: TcpListener::from_std(listener)?,
        })
    }

    /// The address it listens on.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    pub(crate) fn inner(&self) -> &TcpListener {
        &self.inner
    }
}
