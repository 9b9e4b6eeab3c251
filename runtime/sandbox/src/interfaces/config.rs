//! `wasi:config/store@0.2.0-rc.1`: an app's environment, config vars included.

use crate::host::Host;
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
    store.func_wrap(
        "get",
        |guest, (key,): (String,)| -> Answer<Option<String>> {
            let mut variables = guest.data().environment().iter();
            let found = variables.find(|(name, _)| *name == key);
            Ok((Ok(found.map(|(_, value)| value.clone())),))
        },
    )?;
    store.func_wrap(
        "get-all",
        |guest, (): ()| -> Answer<Vec<(String, String)>> {
            Ok((Ok(guest.data().environment().to_vec()),))
        },
    )
}
