//! `wasi:config/store@0.2.0-rc.1`: an app's environment, config vars included.

use crate::host::Host;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower};

/// The interface's error. Nothing can fail here: the variables are in memory.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[allow(dead_code, reason = "the guest's type has these cases")]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut store = linker.instance("wasi:config/store@0.2.0-rc.1")?;
    store.func_wrap("get", get)?;
    store.func_wrap("get-all", get_all)
}

fn get(store: StoreContextMut<'_, Host>, (key,): (String,)) -> Answer<Option<String>> {
    let variables = &store.data().spec.environment;
    let found = variables.iter().find(|(name, _)| *name == key);
    Ok((Ok(found.map(|(_, value)| value.clone())),))
}

fn get_all(store: StoreContextMut<'_, Host>, (): ()) -> Answer<Vec<(String, String)>> {
    Ok((Ok(store.data().spec.environment.clone()),))
}
