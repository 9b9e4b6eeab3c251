//! Sockets as a guest uses them, without the guest: the host functions called in its place.

use super::{ConnectError, Connection, Loopback};
use crate::egress::EgressPolicy;
use crate::host::Host;
use crate::instance::InstanceSpec;
use crate::limits::{BACKLOG_MAX, CONNECTIONS_MAX, PIPE_BYTES_MAX, SOCKETS_MAX};
use crate::memory::MemoryAccount;
use crate::outbound::{Outbound, TrustedRoots};
use crate::stdio::Stdio;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, Pollable, SocketError, StreamError, TcpSocket,
};

const PORT: u16 = 5000;

type Handle = Resource<TcpSocket>;

/// A guest with a loopback.
struct Guest {
    host: Host,
    loopback: Arc<Loopback>,
}

impl Guest {
    fn new() -> Self {
        Self::with(EgressPolicy::default(), PORT, |_| ())
    }

    fn with(egress: EgressPolicy, port: u16, change: impl FnOnce(&mut InstanceSpec)) -> Self {
        let loopback = Loopback::new(port);
        let outbound = Outbound::new(egress, TrustedRoots::default());
        let mut spec = InstanceSpec::new(Stdio::Inherit, MemoryAccount::new(1 << 20), outbound);
        spec.loopback = Some(loopback.clone());
        change(&mut spec);
        Self {
            host: Host::new(&Arc::new(spec)).unwrap(),
            loopback,
        }
    }

    fn socket(&mut self) -> Result<Handle, ErrorCode> {
        code(self.host.create_tcp_socket(IpAddressFamily::Ipv4))
    }

    async fn bind(&mut self, socket: &Handle, address: &str) -> Result<(), ErrorCode> {
        let address: SocketAddr = address.parse().unwrap();
        let network = Resource::new_borrow(0);
        code(
            self.host
                .start_bind(again(socket), network, address.into())
                .await,
        )?;
        code(self.host.finish_bind(again(socket)))
    }

    async fn listen(&mut self, socket: &Handle) -> Result<(), ErrorCode> {
        code(self.host.start_listen(again(socket)).await)?;
        code(self.host.finish_listen(again(socket)))
    }

    /// A socket that listens on the port.
    async fn listener(&mut self) -> Handle {
        let socket = self.socket().unwrap();
        self.bind(&socket, "0.0.0.0:5000").await.unwrap();
        self.listen(&socket).await.unwrap();
        socket
    }

    fn accept(&mut self, listener: &Handle) -> Result<Accepted, ErrorCode> {
        let (socket, input, output) = code(self.host.accept(again(listener)))?;
        Ok(Accepted {
            socket,
            input,
            output,
        })
    }

    async fn connect(&mut self, socket: &Handle, address: &str) -> Result<Accepted, ErrorCode> {
        let address: SocketAddr = address.parse().unwrap();
        let network = Resource::new_borrow(0);
        code(
            self.host
                .start_connect(again(socket), network, address.into()),
        )?;
        self.ready(socket).await;
        let (input, output) = code(self.host.finish_connect(again(socket)))?;
        Ok(Accepted {
            socket: again(socket),
            input,
            output,
        })
    }

    /// Waits as a guest does that blocks on the socket's pollable.
    async fn ready(&mut self, socket: &Handle) {
        let socket = Resource::<super::socket::Socket>::new_borrow(socket.rep());
        self.host.table.get_mut(&socket).unwrap().ready().await;
    }

    fn input(&mut self, ends: &Accepted) -> &mut DynInputStream {
        self.host.table.get_mut(&ends.input).unwrap()
    }

    fn output(&mut self, ends: &Accepted) -> &mut DynOutputStream {
        self.host.table.get_mut(&ends.output).unwrap()
    }

    /// Gives up a connection, in the order that the host asks for.
    fn close(&mut self, ends: Accepted) {
        self.host.table.delete(ends.input).unwrap();
        self.host.table.delete(ends.output).unwrap();
        self.drop_socket(ends.socket);
    }

    fn drop_socket(&mut self, socket: Handle) {
        HostTcpSocket::drop(&mut self.host, socket).unwrap();
    }
}

/// A guest's end of a connection.
#[derive(Debug)]
struct Accepted {
    socket: Handle,
    input: Resource<DynInputStream>,
    output: Resource<DynOutputStream>,
}

fn again(handle: &Handle) -> Handle {
    Resource::new_borrow(handle.rep())
}

fn code<T>(result: Result<T, SocketError>) -> Result<T, ErrorCode> {
    result.map_err(|error| error.downcast().unwrap())
}

async fn read(connection: &mut Connection, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn what_host_and_guest_say_reaches_the_other() {
    let mut guest = Guest::new();
    let listener = guest.listener().await;
    guest.loopback.listening().await;
    assert_eq!(guest.accept(&listener).unwrap_err(), ErrorCode::WouldBlock);

    let mut connection = guest.loopback.connect().unwrap();
    guest.ready(&listener).await;
    let ends = guest.accept(&listener).unwrap();
    connection.write_all(b"ping").await.unwrap();
    assert_eq!(guest.input(&ends).read(100).unwrap(), "ping");
    assert_eq!(connection.reading().bytes(), 4);
    guest.output(&ends).write(Bytes::from("pong")).unwrap();
    assert_eq!(read(&mut connection, 4).await, b"pong");

    let local = code(guest.host.local_address(again(&ends.socket))).unwrap();
    assert_eq!(SocketAddr::from(local).to_string(), "127.0.0.1:5000");
    let remote = code(guest.host.remote_address(again(&ends.socket))).unwrap();
    assert!(SocketAddr::from(remote).ip().is_loopback());

    guest.close(ends);
    assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 0);
    // What the guest does not want any more is dropped, and does not stop anybody.
    connection
        .write_all(&vec![0; 3 * PIPE_BYTES_MAX])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_guest_that_does_not_read_stops_its_writer_at_the_bound_of_a_pipe() {
    let mut guest = Guest::new();
    let listener = guest.listener().await;
    let mut connection = guest.loopback.connect().unwrap();
    let ends = guest.accept(&listener).unwrap();
    let bytes = vec![0; PIPE_BYTES_MAX + 1];
    let mut write = Box::pin(connection.write_all(&bytes));
    assert!(futures::poll!(&mut write).is_pending());
    assert_eq!(guest.input(&ends).read(1).unwrap().len(), 1);
    write.await.unwrap();
}

#[tokio::test]
async fn a_host_that_does_not_read_stops_the_guest_at_the_bound_of_a_pipe() {
    let mut guest = Guest::new();
    let listener = guest.listener().await;
    let mut connection = guest.loopback.connect().unwrap();
    let ends = guest.accept(&listener).unwrap();
    let output = guest.output(&ends);
    assert_eq!(output.check_write().unwrap(), PIPE_BYTES_MAX);
    output.write(Bytes::from(vec![0; PIPE_BYTES_MAX])).unwrap();
    assert_eq!(output.check_write().unwrap(), 0);
    let more = output.write(Bytes::from("x"));
    assert!(matches!(more, Err(StreamError::Trap(_))), "{more:?}");
    read(&mut connection, 10).await;
    assert_eq!(guest.output(&ends).check_write().unwrap(), 10);
    drop(connection);
    let closed = guest.output(&ends).check_write();
    assert!(matches!(closed, Err(StreamError::Closed)), "{closed:?}");
}

#[tokio::test]
async fn a_bind_elsewhere_is_refused_and_told_once() {
    let mut guest = Guest::new();
    let socket = guest.socket().unwrap();
    for address in ["127.0.0.1:8080", "10.0.0.1:5000", "0.0.0.0:5001"] {
        let refused = guest.bind(&socket, address).await;
        assert_eq!(refused, Err(ErrorCode::AccessDenied), "{address}");
    }
    let first = guest.loopback.refused_bind().await;
    assert_eq!(first.to_string(), "127.0.0.1:8080");
}

#[tokio::test]
async fn nobody_listens_on_a_port_that_the_system_chose() {
    let mut guest = Guest::new();
    let socket = guest.socket().unwrap();
    guest.bind(&socket, "0.0.0.0:0").await.unwrap();
    let refused = guest.listen(&socket).await;
    assert_eq!(refused, Err(ErrorCode::AccessDenied));
    guest.loopback.refused_bind().await;
}

#[tokio::test]
async fn without_a_loopback_no_port_is_to_be_had() {
    let mut guest = Guest::with(EgressPolicy::default(), PORT, |spec| spec.loopback = None);
    let socket = guest.socket().unwrap();
    let refused = guest.bind(&socket, "0.0.0.0:5000").await;
    assert_eq!(refused, Err(ErrorCode::AccessDenied));
}

#[tokio::test]
async fn with_the_hosts_network_a_guest_listens_on_the_host() {
    let mut guest = Guest::with(EgressPolicy::host(), PORT, |spec| spec.loopback = None);
    let listener = guest.socket().unwrap();
    guest.bind(&listener, "127.0.0.1:0").await.unwrap();
    guest.listen(&listener).await.unwrap();
    assert!(guest.host.is_listening(again(&listener)).unwrap());
    let address = code(guest.host.local_address(again(&listener))).unwrap();
    let address = SocketAddr::from(address);
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    guest.ready(&listener).await;
    let ends = guest.accept(&listener).unwrap();
    client.write_all(b"in").await.unwrap();
    guest.input(&ends).ready().await;
    assert_eq!(guest.input(&ends).read(100).unwrap(), "in");
    guest.close(ends);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_port_is_taken_until_its_socket_is_dropped() {
    let mut guest = Guest::new();
    let listener = guest.listener().await;
    let second = guest.socket().unwrap();
    let taken = guest.bind(&second, "127.0.0.1:5000").await;
    assert_eq!(taken, Err(ErrorCode::AddressInUse));
    let mut waiting = guest.loopback.connect().unwrap();
    guest.drop_socket(listener);
    assert_eq!(
        guest.loopback.connect().unwrap_err(),
        ConnectError::NotListening
    );
    assert_eq!(waiting.read(&mut [0; 8]).await.unwrap(), 0);
    guest.bind(&second, "127.0.0.1:5000").await.unwrap();
}

#[tokio::test]
async fn a_guest_reaches_its_own_port_and_never_the_hosts() {
    // What the operator has allowed does not open the guest's own port number on the host.
    let hosts = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hosts.local_addr().unwrap();
    let policy = EgressPolicy {
        allowed: vec![address.to_string().parse().unwrap()],
        ..EgressPolicy::default()
    };
    let mut guest = Guest::with(policy, address.port(), |_| ());
    let socket = guest.socket().unwrap();
    let refused = guest.connect(&socket, &address.to_string()).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::ConnectionRefused);

    let mut guest = Guest::new();
    let listener = guest.listener().await;
    let socket = guest.socket().unwrap();
    let near = guest.connect(&socket, "127.0.0.1:5000").await.unwrap();
    let far = guest.accept(&listener).unwrap();
    guest.output(&near).write(Bytes::from("to myself")).unwrap();
    assert_eq!(guest.input(&far).read(100).unwrap(), "to myself");
}

#[tokio::test]
async fn connections_outside_go_through_the_system_and_the_policy() {
    let hosts = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = hosts.local_addr().unwrap();
    let mut shut = Guest::new();
    let socket = shut.socket().unwrap();
    let refused = shut.connect(&socket, &address.to_string()).await;
    assert_eq!(refused.unwrap_err(), ErrorCode::AccessDenied);

    let policy = EgressPolicy {
        allowed: vec![address.to_string().parse().unwrap()],
        ..EgressPolicy::default()
    };
    let mut guest = Guest::with(policy, PORT, |_| ());
    let socket = guest.socket().unwrap();
    let ends = guest.connect(&socket, &address.to_string()).await.unwrap();
    let (mut accepted, _) = hosts.accept().await.unwrap();
    assert_eq!(guest.host.hop_limit(again(&socket)).unwrap(), 64);
    guest.output(&ends).check_write().unwrap();
    guest.output(&ends).write(Bytes::from("out")).unwrap();
    let mut bytes = [0; 3];
    accepted.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"out");
    accepted.write_all(b"in").await.unwrap();
    guest.input(&ends).ready().await;
    assert_eq!(guest.input(&ends).read(100).unwrap(), "in");
    guest.close(ends);
    assert_eq!(accepted.read(&mut bytes).await.unwrap(), 0);
}

#[tokio::test]
async fn the_backlog_has_a_bound_and_forgets_who_has_left() {
    let mut guest = Guest::new();
    let listener = guest.listener().await;
    let mut waiting: Vec<_> = (0..BACKLOG_MAX)
        .map(|_| guest.loopback.connect().unwrap())
        .collect();
    assert!(guest.loopback.is_anyone_waiting());
    assert_eq!(guest.loopback.connect().unwrap_err(), ConnectError::TooMany);
    let socket = guest.socket().unwrap();
    let refused = guest.connect(&socket, "127.0.0.1:5000").await;
    assert_eq!(refused.unwrap_err(), ErrorCode::ConnectionRefused);
    waiting.pop();
    waiting.push(guest.loopback.connect().unwrap());
    guest.accept(&listener).unwrap();
    guest.loopback.connect().unwrap();
}

#[tokio::test]
async fn open_connections_have_a_bound() {
    let mut guest = Guest::new();
    let listener = guest.listener().await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        open.push(guest.loopback.connect().unwrap());
        guest.accept(&listener).unwrap();
    }
    assert_eq!(guest.loopback.connect().unwrap_err(), ConnectError::TooMany);
    open.pop();
    guest.loopback.connect().unwrap();
}

#[tokio::test]
async fn the_sockets_of_a_dyno_have_a_bound_over_all_its_instances() {
    let mut sockets = None;
    let mut first = Guest::with(EgressPolicy::default(), PORT, |spec| {
        sockets = Some(spec.sockets.clone());
    });
    let mut second = Guest::with(EgressPolicy::default(), PORT, |spec| {
        spec.sockets = sockets.clone().unwrap();
    });
    let listener = first.listener().await;
    let held: Vec<_> = (1..SOCKETS_MAX).map(|_| second.socket().unwrap()).collect();
    assert_eq!(second.socket().unwrap_err(), ErrorCode::NewSocketLimit);
    // A connection that there is no room for goes on waiting.
    let _waiting = first.loopback.connect().unwrap();
    assert_eq!(
        first.accept(&listener).unwrap_err(),
        ErrorCode::NewSocketLimit
    );
    second.drop_socket(held.into_iter().next().unwrap());
    first.accept(&listener).unwrap();
    assert_eq!(second.socket().unwrap_err(), ErrorCode::NewSocketLimit);
}

#[tokio::test]
async fn a_loopback_that_is_shut_takes_nobody_in() {
    let mut guest = Guest::new();
    guest.listener().await;
    guest.loopback.shut();
    assert_eq!(
        guest.loopback.connect().unwrap_err(),
        ConnectError::NotListening
    );
}
