//! `wasi:sockets/tcp` 0.2 for guests: each call goes to the side on which its socket is.

use super::socket::{Inside, Operation, Outside, Side, Socket};
use crate::host::Host;
use std::net::SocketAddr;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{
    ErrorCode, Host as NetworkHost, HostNetwork, IpAddressFamily, IpSocketAddress, Network,
};
use wasmtime_wasi::p2::bindings::sockets::tcp::{Host as TcpHost, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as CreateHost;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, SocketError, SocketResult, TcpSocket, subscribe,
};
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView};

/// What a socket inside says of options that have no meaning there.
const HOP_LIMIT: u8 = 64;
const KEEP_ALIVE_SECONDS: u64 = 7_200;
const NANOSECONDS: u64 = 1_000_000_000;
const BUFFER_BYTES: u64 = crate::limits::PIPE_BYTES_MAX as u64;

/// The guest's handle is typed as wasmtime-wasi's socket; what it stands for in the table is ours.
fn own(handle: &Resource<TcpSocket>) -> Resource<Socket> {
    Resource::new_borrow(handle.rep())
}

impl Host {
    fn side(&mut self, handle: &Resource<TcpSocket>) -> SocketResult<&mut Side> {
        Ok(&mut self.table.get_mut(&own(handle))?.side)
    }

    /// Room for one socket more.
    fn place(&self) -> SocketResult<OwnedSemaphorePermit> {
        let place = self.spec.sockets.clone().try_acquire_owned();
        Ok(place.map_err(|_| ErrorCode::NewSocketLimit)?)
    }

    fn add_socket(
        &mut self,
        side: Side,
        place: OwnedSemaphorePermit,
    ) -> SocketResult<Resource<TcpSocket>> {
        let socket = self.table.push(Socket::new(side, place))?;
        Ok(Resource::new_own(socket.rep()))
    }

    fn add_streams(
        &mut self,
        handle: &Resource<TcpSocket>,
        (input, output): super::socket::Streams,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let input = self.table.push_child(input, &own(handle))?;
        let output = self.table.push_child(output, &own(handle))?;
        Ok((input, output))
    }

    /// An option of a socket outside; `inside` is the answer for one inside, where options mean nothing.
    fn option<R>(
        &mut self,
        handle: &Resource<TcpSocket>,
        inside: R,
        outside: impl FnOnce(WasiSocketsCtxView<'_>, Resource<TcpSocket>) -> SocketResult<R>,
    ) -> SocketResult<R> {
        match self.side(handle)? {
            Side::Outside(socket) => {
                let (view, socket) = socket.parts();
                outside(view, socket)
            }
            Side::Inside(_) => Ok(inside),
        }
    }
}

impl CreateHost for Host {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let place = self.place()?;
        let context = WasiSocketsView::sockets(self).ctx.clone();
        let socket = Outside::new(context, family)?;
        self.add_socket(Side::Outside(socket), place)
    }
}

impl TcpHost for Host {}

impl HostTcpSocket for Host {
    async fn start_bind(
        &mut self,
        this: Resource<TcpSocket>,
        _network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        let local = SocketAddr::from(address);
        let loopback = self.spec.loopback.clone();
        let side = self.side(&this)?;
        let Side::Outside(outside) = side else {
            return Err(ErrorCode::InvalidState.into());
        };
        let network = outside.network();
        let (mut view, socket) = outside.parts();
        let loopback = match loopback {
            // What the system does before a connect, a guest may do itself.
            Some(loopback) if !(local.ip().is_unspecified() && local.port() == 0) => loopback,
            // Without a loopback the policy decides.
            _ => return view.start_bind(socket, network, address).await,
        };
        if !loopback.is_own(local) {
            loopback.refuse_bind(local);
            return Err(ErrorCode::AccessDenied.into());
        }
        let family = view.address_family(socket).map_err(SocketError::trap)?;
        if matches!(family, IpAddressFamily::Ipv4) != local.is_ipv4() {
            return Err(ErrorCode::InvalidArgument.into());
        }
        *side = Side::Inside(Inside::bind(&loopback, local)?);
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        match self.side(&this)? {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.finish_bind(socket)
            }
            Side::Inside(inside) => inside.finish(Operation::Bind),
        }
    }

    fn start_connect(
        &mut self,
        this: Resource<TcpSocket>,
        _network: Resource<Network>,
        address: IpSocketAddress,
    ) -> SocketResult<()> {
        let remote = SocketAddr::from(address);
        let loopback = self.spec.loopback.clone();
        let side = self.side(&this)?;
        let Side::Outside(outside) = side else {
            return Err(ErrorCode::InvalidState.into());
        };
        match loopback {
            // Never the host's loopback, even where the policy opens that port of it.
            Some(loopback) if loopback.is_own(remote) && !remote.ip().is_unspecified() => {
                *side = Side::Inside(Inside::connect(&loopback, remote)?);
                Ok(())
            }
            _ => {
                let network = outside.network();
                let (mut view, socket) = outside.parts();
                view.start_connect(socket, network, address)
            }
        }
    }

    fn finish_connect(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let streams = match self.side(&this)? {
            Side::Outside(outside) => outside.finish_connect()?,
            Side::Inside(inside) => {
                inside.finish(Operation::Connect)?;
                inside.streams()?
            }
        };
        self.add_streams(&this, streams)
    }

    async fn start_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        let loopback = self.spec.loopback.clone();
        match self.side(&this)? {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                let Some(loopback) = loopback else {
                    return view.start_listen(socket).await;
                };
                // Bound to a port that the system chose: nobody could reach it.
                let address = view.local_address(socket)?;
                loopback.refuse_bind(address.into());
                Err(ErrorCode::AccessDenied.into())
            }
            Side::Inside(inside) => inside.listen(),
        }
    }

    fn finish_listen(&mut self, this: Resource<TcpSocket>) -> SocketResult<()> {
        match self.side(&this)? {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.finish_listen(socket)
            }
            Side::Inside(inside) => inside.finish(Operation::Listen),
        }
    }

    fn accept(
        &mut self,
        this: Resource<TcpSocket>,
    ) -> SocketResult<(
        Resource<TcpSocket>,
        Resource<DynInputStream>,
        Resource<DynOutputStream>,
    )> {
        // Before the accept: without room the connection goes on waiting.
        let place = self.place()?;
        let (accepted, streams) = match self.side(&this)? {
            Side::Outside(outside) => {
                let (accepted, streams) = outside.accept()?;
                (Side::Outside(accepted), streams)
            }
            Side::Inside(inside) => {
                let accepted = inside.accept()?;
                let streams = accepted.streams()?;
                (Side::Inside(accepted), streams)
            }
        };
        let socket = self.add_socket(accepted, place)?;
        let (input, output) = self.add_streams(&socket, streams)?;
        Ok((socket, input, output))
    }

    fn local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        match self.side(&this)? {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.local_address(socket)
            }
            Side::Inside(inside) => Ok(inside.local_address().into()),
        }
    }

    fn remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        match self.side(&this)? {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.remote_address(socket)
            }
            Side::Inside(inside) => Ok(inside.remote_address()?.into()),
        }
    }

    fn is_listening(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        match &mut self.table.get_mut(&own(&this))?.side {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.is_listening(socket)
            }
            Side::Inside(inside) => Ok(inside.is_listening()),
        }
    }

    fn address_family(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        match &mut self.table.get_mut(&own(&this))?.side {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.address_family(socket)
            }
            Side::Inside(inside) => Ok(inside.family()),
        }
    }

    fn set_listen_backlog_size(
        &mut self,
        this: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_listen_backlog_size(socket, value)
        })
    }

    fn keep_alive_enabled(&mut self, this: Resource<TcpSocket>) -> SocketResult<bool> {
        self.option(&this, false, |mut view, socket| {
            view.keep_alive_enabled(socket)
        })
    }

    fn set_keep_alive_enabled(
        &mut self,
        this: Resource<TcpSocket>,
        value: bool,
    ) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_keep_alive_enabled(socket, value)
        })
    }

    fn keep_alive_idle_time(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        let inside = KEEP_ALIVE_SECONDS * NANOSECONDS;
        self.option(&this, inside, |mut view, socket| {
            view.keep_alive_idle_time(socket)
        })
    }

    fn set_keep_alive_idle_time(
        &mut self,
        this: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_keep_alive_idle_time(socket, value)
        })
    }

    fn keep_alive_interval(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        let inside = KEEP_ALIVE_SECONDS * NANOSECONDS;
        self.option(&this, inside, |mut view, socket| {
            view.keep_alive_interval(socket)
        })
    }

    fn set_keep_alive_interval(
        &mut self,
        this: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_keep_alive_interval(socket, value)
        })
    }

    fn keep_alive_count(&mut self, this: Resource<TcpSocket>) -> SocketResult<u32> {
        self.option(&this, 1, |mut view, socket| view.keep_alive_count(socket))
    }

    fn set_keep_alive_count(&mut self, this: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_keep_alive_count(socket, value)
        })
    }

    fn hop_limit(&mut self, this: Resource<TcpSocket>) -> SocketResult<u8> {
        self.option(&this, HOP_LIMIT, |mut view, socket| view.hop_limit(socket))
    }

    fn set_hop_limit(&mut self, this: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_hop_limit(socket, value)
        })
    }

    fn receive_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        self.option(&this, BUFFER_BYTES, |mut view, socket| {
            view.receive_buffer_size(socket)
        })
    }

    fn set_receive_buffer_size(
        &mut self,
        this: Resource<TcpSocket>,
        value: u64,
    ) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_receive_buffer_size(socket, value)
        })
    }

    fn send_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        self.option(&this, BUFFER_BYTES, |mut view, socket| {
            view.send_buffer_size(socket)
        })
    }

    fn set_send_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.option(&this, (), |mut view, socket| {
            view.set_send_buffer_size(socket, value)
        })
    }

    fn subscribe(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, own(&this))
    }

    fn shutdown(&mut self, this: Resource<TcpSocket>, how: ShutdownType) -> SocketResult<()> {
        match self.side(&this)? {
            Side::Outside(outside) => {
                let (mut view, socket) = outside.parts();
                view.shutdown(socket, how)
            }
            Side::Inside(inside) => inside.shutdown(how),
        }
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Socket>::new_own(this.rep()))?;
        Ok(())
    }
}

impl NetworkHost for Host {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets().network_error_code(error)
    }
}

impl HostNetwork for Host {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        HostNetwork::drop(&mut self.sockets(), network)
    }
}
