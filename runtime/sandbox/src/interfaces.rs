//! What guests may import beside WASI's own worlds: `wasi:config`, `wasi:keyvalue`, and what an embedder adds.

mod config;
mod keyvalue;

use crate::host::Host;
pub use keyvalue::KeyValue;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::Linker;

/// Interfaces of an embedder's own, for every guest of a host.
///
/// ```
/// use dyno_sandbox::HostInterfaces;
///
/// let mut interfaces = HostInterfaces::default();
/// interfaces.add(|linker| {
///     let mut greeter = linker.instance("acme:greeter/greet@1.0.0")?;
///     greeter.func_wrap("greet", |store, (name,): (String,)| {
///         Ok((format!("Hello, {name}, from {}", store.data().app()),))
///     })
/// });
/// ```
#[derive(Clone, Default)]
pub struct HostInterfaces {
    added: Vec<Arc<AddToLinker>>,
}

type AddToLinker = dyn Fn(&mut Linker<Host>) -> wasmtime::Result<()> + Send + Sync;

impl HostInterfaces {
    /// Adds what `add` defines. It is called whenever a component is linked, and must define the same each time.
    ///
    /// A host function that waits is defined with `func_wrap_async`: one that blocks would hold up other guests.
    pub fn add<F>(&mut self, add: F)
    where
        F: Fn(&mut Linker<Host>) -> wasmtime::Result<()> + Send + Sync + 'static,
    {
        self.added.push(Arc::new(add));
    }

    /// Ours, and all that were added.
    pub(crate) fn link(&self, linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        config::add_to_linker(linker)?;
        keyvalue::add_to_linker(linker)?;
        self.added.iter().try_for_each(|add| add(linker))
    }
}

impl fmt::Debug for HostInterfaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HostInterfaces")
            .field("added", &self.added.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
