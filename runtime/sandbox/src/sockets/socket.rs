//! A guest's TCP socket: one of wasmtime-wasi's that leads outside, or one on the dyno's own loopback.

use super::connection::End;
use super::loopback::{Binding, Dialled, Loopback, loopback_of};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, Pollable, SocketError, SocketResult, TcpSocket,
};
use wasmtime_wasi::sockets::{WasiSocketsCtx, WasiSocketsCtxView};

/// The input and output of a connection.
pub(super) type Streams = (DynInputStream, DynOutputStream);

/// What a guest's handle of a `tcp-socket` stands for.
pub(super) struct Socket {
    pub(super) side: Side,
    /// Counts it against the sockets of its dyno.
    _place: OwnedSemaphorePermit,
}

/// Where a socket leads. It begins outside and moves inside with its bind or connect.
pub(super) enum Side {
    Outside(Outside),
    Inside(Inside),
}

impl Socket {
    pub(super) fn new(side: Side, place: OwnedSemaphorePermit) -> Self {
        Self {
            side,
            _place: place,
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        match &mut self.side {
            Side::Outside(outside) => outside.ready().await,
            Side::Inside(inside) => inside.ready().await,
        }
    }
}

/// A socket of wasmtime-wasi, in a table of its own: so it can be dropped when its guest's socket moves inside,
/// whatever pollables the guest has made of that.
pub(super) struct Outside {
    context: WasiSocketsCtx,
    table: ResourceTable,
    network: Resource<Network>,
    socket: Resource<TcpSocket>,
}

impl Outside {
    pub(super) fn new(context: WasiSocketsCtx, family: IpAddressFamily) -> SocketResult<Self> {
        Self::with(context, |view| view.create_tcp_socket(family))
    }

    fn with(
        mut context: WasiSocketsCtx,
        socket: impl FnOnce(&mut WasiSocketsCtxView<'_>) -> SocketResult<Resource<TcpSocket>>,
    ) -> SocketResult<Self> {
        let mut table = ResourceTable::new();
        let mut view = WasiSocketsCtxView {
            ctx: &mut context,
            table: &mut table,
        };
        let network = view.instance_network().map_err(SocketError::trap)?;
        let socket = socket(&mut view)?;
        Ok(Self {
            context,
            table,
            network,
            socket,
        })
    }

    /// wasmtime-wasi's functions, and the socket to call them for.
    pub(super) fn parts(&mut self) -> (WasiSocketsCtxView<'_>, Resource<TcpSocket>) {
        let view = WasiSocketsCtxView {
            ctx: &mut self.context,
            table: &mut self.table,
        };
        (view, Resource::new_borrow(self.socket.rep()))
    }

    pub(super) fn network(&self) -> Resource<Network> {
        Resource::new_borrow(self.network.rep())
    }

    /// Ends a connect; its streams are for the guest's table.
    pub(super) fn finish_connect(&mut self) -> SocketResult<Streams> {
        let (mut view, socket) = self.parts();
        let (input, output) = view.finish_connect(socket)?;
        Ok((self.table.delete(input)?, self.table.delete(output)?))
    }

    /// The next connection of one that listens, in a table of its own too.
    pub(super) fn accept(&mut self) -> SocketResult<(Self, Streams)> {
        let (mut view, socket) = self.parts();
        let (accepted, input, output) = view.accept(socket)?;
        // Children go first.
        let streams = (self.table.delete(input)?, self.table.delete(output)?);
        let accepted = self.table.delete(accepted)?;
        let outside = Self::with(self.context.clone(), |view| {
            Ok(view.table.push(accepted)?)
        })?;
        Ok((outside, streams))
    }

    async fn ready(&mut self) {
        if let Ok(socket) = self.table.get_mut(&self.socket) {
            socket.ready().await;
        }
    }
}

/// A socket on the dyno's own loopback.
pub(super) struct Inside {
    state: State,
    pending: Option<Operation>,
}

/// What has been started and not finished.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Bind,
    Connect,
    Listen,
}

enum State {
    Bound(Binding),
    Connected {
        end: End,
        local: SocketAddr,
        remote: SocketAddr,
        _place: Option<OwnedSemaphorePermit>,
    },
}

impl Inside {
    /// Begins to bind the dyno's port.
    pub(super) fn bind(loopback: &Arc<Loopback>, address: SocketAddr) -> SocketResult<Self> {
        let binding = loopback.bind(address).ok_or(ErrorCode::AddressInUse)?;
        Ok(Self {
            state: State::Bound(binding),
            pending: Some(Operation::Bind),
        })
    }

    /// Begins to connect to whoever listens on the dyno's port.
    pub(super) fn connect(loopback: &Loopback, remote: SocketAddr) -> SocketResult<Self> {
        let Dialled { end, place, port } =
            loopback.dial().map_err(|_| ErrorCode::ConnectionRefused)?;
        Ok(Self {
            state: State::Connected {
                end,
                local: SocketAddr::new(loopback_of(remote.ip()), port),
                remote,
                _place: Some(place),
            },
            pending: Some(Operation::Connect),
        })
    }

    /// Refuses what may not be started while something else is.
    pub(super) fn check_idle(&self) -> SocketResult<()> {
        match self.pending {
            None => Ok(()),
            Some(_) => Err(ErrorCode::ConcurrencyConflict.into()),
        }
    }

    pub(super) fn finish(&mut self, operation: Operation) -> SocketResult<()> {
        if self.pending != Some(operation) {
            return Err(ErrorCode::NotInProgress.into());
        }
        self.pending = None;
        Ok(())
    }

    pub(super) fn listen(&mut self) -> SocketResult<()> {
        self.check_idle()?;
        match &mut self.state {
            State::Bound(binding) if !binding.listens() => {
                binding.listen();
                self.pending = Some(Operation::Listen);
                Ok(())
            }
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(&self.state, State::Bound(binding) if binding.listens())
    }

    /// A connection that waits.
    pub(super) fn accept(&self) -> SocketResult<Self> {
        let State::Bound(binding) = &self.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        if !binding.listens() || self.pending.is_some() {
            return Err(ErrorCode::InvalidState.into());
        }
        let (end, remote) = binding.accept().ok_or(ErrorCode::WouldBlock)?;
        let local = SocketAddr::new(loopback_of(binding.address.ip()), binding.address.port());
        Ok(Self {
            state: State::Connected {
                end,
                local,
                remote,
                _place: None,
            },
            pending: None,
        })
    }

    /// The streams of a connection.
    pub(super) fn streams(&self) -> SocketResult<Streams> {
        match &self.state {
            State::Connected { end, .. } => Ok(end.streams()),
            State::Bound(_) => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn shutdown(&self, how: ShutdownType) -> SocketResult<()> {
        let State::Connected { end, .. } = &self.state else {
            return Err(ErrorCode::InvalidState.into());
        };
        if matches!(how, ShutdownType::Receive | ShutdownType::Both) {
            end.close_incoming();
        }
        if matches!(how, ShutdownType::Send | ShutdownType::Both) {
            end.close_outgoing();
        }
        Ok(())
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        match &self.state {
            State::Bound(binding) => binding.address,
            State::Connected { local, .. } => *local,
        }
    }

    pub(super) fn remote_address(&self) -> SocketResult<SocketAddr> {
        match &self.state {
            State::Connected { remote, .. } => Ok(*remote),
            State::Bound(_) => Err(ErrorCode::InvalidState.into()),
        }
    }

    pub(super) fn family(&self) -> IpAddressFamily {
        if self.local_address().is_ipv4() {
            IpAddressFamily::Ipv4
        } else {
            IpAddressFamily::Ipv6
        }
    }

    async fn ready(&self) {
        if let State::Bound(binding) = &self.state
            && binding.listens()
            && self.pending.is_none()
        {
            binding.arrival().await;
        }
    }
}
