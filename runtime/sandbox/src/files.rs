//! Files of a dyno, with bounds: wasmtime's file system behind host functions that count.
//!
//! A guest writes straight to the host's disk, so every call that can make a file or a directory larger asks the
//! dyno's [`FileAccount`] *before* it happens: no moment lies between a write and its measure. Measuring the
//! directory from time to time instead would let a guest fill the disk in between; a file system of the kernel's
//! with a quota (a project quota, a loop device, a tmpfs) needs rights that dyno does not ask for.

mod account;
mod calls;
mod host_p2;
mod host_p3;
mod output;
mod shared_tree;

pub(crate) use account::FileShare;
pub use account::{FileAccount, FileBound, FileLimits};
pub use shared_tree::{SharedTree, copy_tree};

use crate::engine::EngineKind;
use crate::host::Host;
use crate::limits::DIRECTORY_LISTINGS_MAX;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::filesystem::{WasiFilesystemCtxView, WasiFilesystemView};

/// The host functions of `wasi:filesystem/types` that count.
pub(crate) struct CountedFiles;

impl HasData for CountedFiles {
    type Data<'a> = CountedView<'a>;
}

/// wasmtime's file system of one instance, its dyno's account, and the tree that its dyno shares with others.
pub(crate) struct CountedView<'a> {
    files: WasiFilesystemCtxView<'a>,
    account: Arc<FileAccount>,
    tree: Option<Arc<SharedTree>>,
    listings: Listings,
}

/// Directories that one instance is listing: each holds all names of its directory at once.
#[derive(Clone, Default)]
pub(crate) struct Listings(Arc<AtomicUsize>);

impl Listings {
    fn begin(&self) -> bool {
        let begun = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < DIRECTORY_LISTINGS_MAX).then_some(open + 1)
            });
        begun.is_ok()
    }

    fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn view(host: &mut Host) -> CountedView<'_> {
    let (account, listings) = (host.files.account().clone(), host.listings.clone());
    let tree = host.spec.shared_tree().cloned();
    CountedView {
        files: host.filesystem(),
        account,
        tree,
        listings,
    }
}

/// Puts the counting functions in the place of wasmtime's, which must be in the linker already.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>, kind: EngineKind) -> wasmtime::Result<()> {
    use wasmtime_wasi::{p2, p3};
    linker.allow_shadowing(true);
    p2::bindings::filesystem::types::add_to_linker::<Host, CountedFiles>(linker, view)?;
    if kind == EngineKind::Concurrent {
        p3::bindings::filesystem::types::add_to_linker::<Host, CountedFiles>(linker, view)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}
