//! A dyno's own loopback: one port, on which the guest listens and to which only this host and the guest connect.
//!
//! Nothing of it exists outside this process. A neighbour has nothing to connect to, no port is allocated, and
//! "the guest listens" is an event.

use super::connection::{Connection, End, pair};
use crate::limits::{BACKLOG_MAX, CONNECTIONS_MAX};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// The network interface that a guest has to itself. One per dyno.
pub struct Loopback {
    port: u16,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    arrived: Notify,
    listening: watch::Sender<bool>,
    refused_bind: watch::Sender<Option<SocketAddr>>,
}

#[derive(Default)]
struct State {
    /// The address families on which the port is taken, by [`Family::index`].
    bound: [bool; 2],
    listeners: usize,
    shut: bool,
    /// Connections that no listener has accepted yet, with the port of their other end.
    backlog: VecDeque<(End, u16)>,
    connections: u16,
}

/// The end of a connection that connected.
pub(super) struct Dialled {
    pub(super) end: End,
    pub(super) place: OwnedSemaphorePermit,
    /// The port it connected from.
    pub(super) port: u16,
}

/// Why a connection to the guest was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens.
    #[error("the process does not listen on its port")]
    NotListening,
    /// Too many connections wait to be accepted, or are open.
    #[error("the process has too many connections")]
    TooMany,
}

impl Loopback {
    /// A loopback on which the guest may listen on `port`.
    pub fn new(port: u16) -> Arc<Self> {
        Arc::new(Self {
            port,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            state: Mutex::default(),
            arrived: Notify::new(),
            listening: watch::Sender::new(false),
            refused_bind: watch::Sender::new(None),
        })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resolves once the guest listens.
    pub async fn listening(&self) {
        // The sender is `self`, so the wait ends only with the event.
        let mut listening = self.listening.subscribe();
        let _listens = listening.wait_for(|listens| *listens).await;
    }

    /// Resolves with the address of the first bind that was refused.
    pub async fn refused_bind(&self) -> SocketAddr {
        let mut refused = self.refused_bind.subscribe();
        match refused
            .wait_for(Option::is_some)
            .await
            .map(|address| *address)
        {
            Ok(Some(address)) => address,
            _ => std::future::pending().await,
        }
    }

    /// Connects to the guest. The connection is there at once; the guest accepts it when it comes to it.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(&self) -> Result<Connection, ConnectError> {
        let dialled = self.dial()?;
        Ok(Connection::new(dialled.end, dialled.place))
    }

    /// Whether a connection waits to be accepted.
    pub fn is_anyone_waiting(&self) -> bool {
        !self.lock().backlog.is_empty()
    }

    /// Refuses every connection from now on.
    pub fn shut(&self) {
        self.lock().shut = true;
    }

    pub(super) fn dial(&self) -> Result<Dialled, ConnectError> {
        let mut state = self.lock();
        if state.listeners == 0 || state.shut {
            return Err(ConnectError::NotListening);
        }
        if state.backlog.len() >= BACKLOG_MAX {
            state.backlog.retain(|(end, _)| !end.is_abandoned());
            if state.backlog.len() >= BACKLOG_MAX {
                return Err(ConnectError::TooMany);
            }
        }
        let place = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| ConnectError::TooMany)?;
        let (near, far) = pair();
        state.connections = state.connections.wrapping_add(1);
        let port = FIRST_EPHEMERAL_PORT | (state.connections & !FIRST_EPHEMERAL_PORT);
        state.backlog.push_back((far, port));
        drop(state);
        self.arrived.notify_waiters();
        Ok(Dialled {
            end: near,
            place,
            port,
        })
    }

    /// Whether an address is this loopback's port, in any of the ways to write it.
    pub(super) fn is_own(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        address.port() == self.port && (ip.is_loopback() || ip.is_unspecified())
    }

    /// Takes the port for one address family; `None` when it is taken.
    pub(super) fn bind(self: &Arc<Self>, address: SocketAddr) -> Option<Binding> {
        let family = Family::of(address.ip());
        let mut state = self.lock();
        if std::mem::replace(&mut state.bound[family.index()], true) {
            return None;
        }
        drop(state);
        Some(Binding {
            loopback: self.clone(),
            address,
            listens: false,
        })
    }

    pub(super) fn refuse_bind(&self, address: SocketAddr) {
        self.refused_bind.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(address);
            is_first
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Source: RFC 6335, 6: dynamic ports.
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

impl fmt::Debug for Loopback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Loopback")
            .field("port", &self.port)
            .field("listening", &*self.listening.borrow())
            .finish_non_exhaustive()
    }
}

/// The family of a socket: both may be bound to the port at once, as IPv6 sockets of WASI are IPv6 only.
#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The hold of one socket on the port; given back when it is dropped.
pub(super) struct Binding {
    loopback: Arc<Loopback>,
    pub(super) address: SocketAddr,
    listens: bool,
}

impl Binding {
    pub(super) fn listen(&mut self) {
        self.listens = true;
        self.loopback.lock().listeners += 1;
        self.loopback.listening.send_replace(true);
    }

    pub(super) fn listens(&self) -> bool {
        self.listens
    }

    /// The next connection, if one waits, with the address of its other end.
    pub(super) fn accept(&self) -> Option<(End, SocketAddr)> {
        let (end, port) = self.loopback.lock().backlog.pop_front()?;
        Some((end, SocketAddr::new(loopback_of(self.address.ip()), port)))
    }

    /// Resolves when a connection waits.
    pub(super) async fn arrival(&self) {
        loop {
            let mut arrived = std::pin::pin!(self.loopback.arrived.notified());
            arrived.as_mut().enable();
            if self.loopback.is_anyone_waiting() {
                return;
            }
            arrived.await;
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let mut state = self.loopback.lock();
        state.bound[Family::of(self.address.ip()).index()] = false;
        if self.listens {
            state.listeners -= 1;
        }
        if state.listeners == 0 {
            // Whoever waits sees the connection end.
            let refused = std::mem::take(&mut state.backlog);
            drop(state);
            drop(refused);
        }
    }
}

/// The loopback address of an address's family.
pub(super) fn loopback_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    }
}
