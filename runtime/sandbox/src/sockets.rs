//! A guest's sockets: outside through wasmtime-wasi and the egress policy, and a loopback of its own.
//!
//! wasmtime-wasi's sockets are the kernel's. A guest that listened on one would be reachable by every other guest
//! and every user of the machine, and a request would cost two passes through the kernel. So `wasi:sockets/tcp`
//! is answered here: a socket that binds the dyno's port, or connects to it, is [`socket::Inside`], a pair of pipes
//! in memory, and all others stay what they were, [`socket::Outside`].
//!
//! What a guest can use up is bounded in [`crate::limits`]: sockets and connections of a dyno, connections that wait to be
//! accepted, bytes in a pipe.

mod connection;
mod loopback;
mod pipe;
mod socket;
mod tcp;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use connection::{Connection, GuestReading};
pub use loopback::{ConnectError, Loopback};

use crate::host::Host;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::sockets as bindings;

/// Puts these sockets in the place of wasmtime-wasi's, which the linker has already.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    bindings::tcp::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    bindings::tcp_create_socket::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    linker.allow_shadowing(false);
    Ok(())
}
