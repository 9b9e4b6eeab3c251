//! A component linked against the host: what can be instantiated in microseconds.

use crate::call::Finished;
use crate::engine::{EngineKind, Engines};
use crate::host::Host;
use crate::instance::{Instance, InstanceSpec};
use crate::names;
use crate::preview1::Preview1;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

/// What a component is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handler {
    /// `wasi:http/incoming-handler@0.2`.
    Http,
    /// `wasi:http/handler@0.3`.
    HttpConcurrent,
    /// `wasi:cli/run`.
    Command,
}

/// A component that cannot be run here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestError {
    /// It needs something that the host does not offer.
    #[error(
        "the component imports something that dyno does not provide (it provides WASI 0.2 and 0.3, wasi:config and wasi:keyvalue)"
    )]
    Link(#[source] wasmtime::Error),
    /// A module could not be compiled.
    #[error("the module could not be compiled")]
    Module(#[source] wasmtime::Error),
    /// It does not export what it is to be called for.
    #[error("the component does not export {0}")]
    Export(&'static str, #[source] wasmtime::Error),
}

/// A compiled and linked component.
#[derive(Clone)]
pub struct Guest {
    inner: Arc<Inner>,
}

struct Inner {
    id: u64,
    engine: Engine,
    pre: Pre,
}

enum Pre {
    Http(ProxyPre<Host>),
    HttpConcurrent(ServicePre<Host>),
    Command(CommandPre<Host>),
    CommandConcurrent(wasmtime_wasi::p3::bindings::CommandPre<Host>),
    Preview1(Preview1),
}

impl Guest {
    /// Links a component. Costs microseconds for a small one, about a millisecond for an interpreter.
    ///
    /// # Errors
    /// [`GuestError`] when an import or the wanted export is missing.
    pub fn link(
        engines: &Engines,
        kind: EngineKind,
        component: Component,
        handler: Handler,
    ) -> Result<Self, GuestError> {
        let engine = engines.get(kind).clone();
        let pre = engines
            .linker(kind)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(GuestError::Link)?;
        Ok(Self::new(engine, exports(pre, kind, handler)?))
    }

    /// Compiles and links a command module of preview 1, to be run without the adapter. Blocks.
    ///
    /// # Errors
    /// [`GuestError`] when it cannot be compiled, or an import or `_start` is missing.
    pub fn of_module(engines: &Engines, module: &[u8]) -> Result<Self, GuestError> {
        let engine = engines.get(EngineKind::Sequential).clone();
        let linked = Preview1::link(engines, module)?;
        Ok(Self::new(engine, Pre::Preview1(linked)))
    }

    fn new(engine: Engine, pre: Pre) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            inner: Arc::new(Inner { id, engine, pre }),
        }
    }

    /// A number that no other guest of this process has.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Makes an instance of a 0.2 handler.
    ///
    /// # Errors
    /// [`Finished::Exited`] when its start ended the process, [`Finished::NotStarted`] otherwise.
    pub fn instantiate(
        &self,
        spec: Arc<InstanceSpec>,
    ) -> Pin<Box<dyn Future<Output = Result<Instance, Finished>> + Send>> {
        let guest = self.clone();
        Box::pin(async move {
            Instance::new(&guest, &spec)
                .await
                .map_err(|error| Finished::without_instance(&error))
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn proxy(&self) -> wasmtime::Result<&ProxyPre<Host>> {
        match &self.inner.pre {
            Pre::Http(pre) => Ok(pre),
            _ => Err(wasmtime::format_err!(
                "the guest is not a wasi:http 0.2 handler"
            )),
        }
    }

    pub(crate) fn service(&self) -> wasmtime::Result<&ServicePre<Host>> {
        match &self.inner.pre {
            Pre::HttpConcurrent(pre) => Ok(pre),
            _ => Err(wasmtime::format_err!(
                "the guest is not a wasi:http 0.3 handler"
            )),
        }
    }

    pub(crate) fn command(&self) -> Option<&CommandPre<Host>> {
        match &self.inner.pre {
            Pre::Command(pre) => Some(pre),
            _ => None,
        }
    }

    pub(crate) fn preview1(&self) -> Option<&Preview1> {
        match &self.inner.pre {
            Pre::Preview1(module) => Some(module),
            _ => None,
        }
    }

    pub(crate) fn command_concurrent(
        &self,
    ) -> Option<&wasmtime_wasi::p3::bindings::CommandPre<Host>> {
        match &self.inner.pre {
            Pre::CommandConcurrent(pre) => Some(pre),
            _ => None,
        }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Guest")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

fn exports(pre: InstancePre<Host>, kind: EngineKind, handler: Handler) -> Result<Pre, GuestError> {
    match (handler, kind) {
        (Handler::Http, _) => ProxyPre::new(pre)
            .map(Pre::Http)
            .map_err(|error| GuestError::Export("wasi:http/incoming-handler@0.2", error)),
        (Handler::HttpConcurrent, _) => ServicePre::new(pre)
            .map(Pre::HttpConcurrent)
            .map_err(|error| GuestError::Export("wasi:http/handler@0.3", error)),
        (Handler::Command, EngineKind::Sequential) => CommandPre::new(pre)
            .map(Pre::Command)
            .map_err(|error| GuestError::Export("wasi:cli/run@0.2", error)),
        (Handler::Command, EngineKind::Concurrent) => {
            wasmtime_wasi::p3::bindings::CommandPre::new(pre)
                .map(Pre::CommandConcurrent)
                .map_err(|error| GuestError::Export("wasi:cli/run@0.3", error))
        }
    }
}

/// All of `wasi:cli` and `wasi:http`, 0.2 on both engines and 0.3 where the engine can; and the host's interfaces.
pub(crate) fn linker(engines: &Engines, kind: EngineKind) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engines.get(kind));
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    names::add_to_linker_02(&mut linker)?;
    crate::sockets::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if kind == EngineKind::Concurrent {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        names::add_to_linker_03(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    crate::files::add_to_linker(&mut linker, kind)?;
    engines.interfaces().link(&mut linker)?;
    Ok(linker)
}
