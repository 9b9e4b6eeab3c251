//! `wasi:sockets/ip-name-lookup` through the app's own resolver.
//!
//! wasmtime-wasi asks the system's resolver at once for every call, and each call holds one of the process's threads for
//! as long as a name server is silent: a guest that looks up a thousand names would take them all.

use crate::host::Host;
use crate::outbound::{NameError, Outbound};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup as p3;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

type Found = Result<Arc<[IpAddr]>, NameError>;
type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

/// The addresses of one name, as 0.2 hands them out: one by one.
struct Addresses {
    asking: Option<AbortOnDropJoinHandle<Found>>,
    found: Option<Found>,
    next: usize,
}

/// Puts this interface in the place of wasmtime-wasi's, which the linker has already.
pub(crate) fn add_to_linker_02(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut lookup = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    lookup.resource(
        "resolve-address-stream",
        ResourceType::host::<Addresses>(),
        |mut guest, handle| {
            let addresses = Resource::<Addresses>::new_own(handle);
            guest.data_mut().table.delete(addresses)?;
            Ok(())
        },
    )?;
    lookup.func_wrap("resolve-addresses", resolve_addresses)?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        resolve_next_address,
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut guest: StoreContextMut<'_, Host>, (addresses,): (Resource<Addresses>,)| {
            let pollable: Resource<DynPollable> =
                subscribe(&mut guest.data_mut().table, addresses)?;
            Ok((pollable,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// As [`add_to_linker_02`], for 0.3.
pub(crate) fn add_to_linker_03(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p3::add_to_linker::<Host, Names>(linker, |host| host)?;
    linker.allow_shadowing(false);
    Ok(())
}

// === 0.2 ===

fn resolve_addresses(
    mut guest: StoreContextMut<'_, Host>,
    (network, name): (Resource<Network>, String),
) -> Answer<Resource<Addresses>> {
    let host = guest.data_mut();
    // The right to use the network at all.
    host.table.get(&network)?;
    let outbound = host.spec.outbound.clone();
    let addresses = Addresses {
        asking: Some(spawn(async move { outbound.resolve(&name).await })),
        found: None,
        next: 0,
    };
    Ok((Ok(host.table.push(addresses)?),))
}

fn resolve_next_address(
    mut guest: StoreContextMut<'_, Host>,
    (addresses,): (Resource<Addresses>,),
) -> Answer<Option<IpAddress>> {
    let addresses = guest.data_mut().table.get_mut(&addresses)?;
    let mut now = Context::from_waker(Waker::noop());
    if addresses.poll_found(&mut now).is_pending() {
        return Ok((Err(ErrorCode::WouldBlock),));
    }
    let answer = match &addresses.found {
        Some(Ok(found)) => {
            let address = found.get(addresses.next).copied();
            addresses.next += 1;
            Ok(address.map(IpAddress::from))
        }
        Some(Err(error)) => Err(match error {
            NameError::Invalid => ErrorCode::InvalidArgument,
            NameError::Unknown => ErrorCode::NameUnresolvable,
            NameError::Closed => ErrorCode::PermanentResolverFailure,
        }),
        None => Err(ErrorCode::WouldBlock),
    };
    Ok((answer,))
}

impl Addresses {
    fn poll_found(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(asking) = &mut self.asking {
            self.found = Some(std::task::ready!(Pin::new(asking).poll(context)));
            self.asking = None;
        }
        Poll::Ready(())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll_found(context)).await;
    }
}

// === 0.3 ===

struct Names;

impl HasData for Names {
    type Data<'a> = &'a mut Host;
}

impl<T> p3::HostWithStore<T> for Names {
    async fn resolve_addresses(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<
        Result<Vec<wasmtime_wasi::p3::bindings::sockets::types::IpAddress>, p3::ErrorCode>,
    > {
        let outbound: Outbound = store.with(|mut access| access.get().spec.outbound.clone());
        Ok(match outbound.resolve(&name).await {
            Ok(found) => Ok(found.iter().map(|ip| (*ip).into()).collect()),
            Err(NameError::Invalid) => Err(p3::ErrorCode::InvalidArgument),
            Err(NameError::Unknown) => Err(p3::ErrorCode::NameUnresolvable),
            Err(NameError::Closed) => Err(p3::ErrorCode::PermanentResolverFailure),
        })
    }
}

impl p3::Host for Host {}
