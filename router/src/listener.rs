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

/// May other sockets listen on the same address?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortSharing {
    /// No: a second router on the address fails with "address in use".
    #[default]
    Exclusive,
    /// Yes (`SO_REUSEPORT`): one listener per CPU, the kernel spreads the connections.
    PerCpu,
}

impl Listener {
    /// Binds and listens; must be called inside a tokio runtime. Port 0 takes a free one.
    pub fn bind(address: SocketAddr, sharing: PortSharing) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Without it a restart within a minute fails on connections in TIME_WAIT.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        #[cfg(unix)]
        if sharing == PortSharing::PerCpu {
            socket.set_reuseport(true)?;
        }
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
