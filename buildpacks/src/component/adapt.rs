//! Turns a core module into a component: embeds its world where missing, and adds the preview-1 adapter.

use wasi_preview1_component_adapter_provider as adapters;
use wit_component::{ComponentEncoder, StringEncoding};

use super::exit_status;
use super::inspect::{InspectError, Outline};
use super::worlds::{self, GuestWorld, WASI_02_PATCH};

const PREVIEW_1: &str = adapters::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;

/// How [`adapt`] makes a component.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AdaptOptions {
    /// The world to fit the module to. `None`: by what it exports. Not looked at when the module
    /// carries its own component type (as `wit-bindgen` writes it).
    pub world: Option<GuestWorld>,
    /// Lets the adapter take its memory by `memory.grow` instead of the module's allocator: for
    /// runtimes that must not be called before they are initialised (Go, Ruby, PHP).
    pub realloc_via_memory_grow: bool,
}

/// Why a core module could not become a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdaptError {
    /// The file could not be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The file is a component already.
    #[error("the file is a component already")]
    AlreadyComponent,
    /// The module imports what neither WASI preview 1 nor dyno has.
    #[error("the module imports {} which dyno does not provide", .0.join(", "))]
    UnmetImports(Vec<String>),
    /// The module exports neither `_start` nor an interface that dyno calls.
    #[error(
        "the module exports neither _start nor wasi:http/incoming-handler: nothing to run\n  hint: build it as a command (with a main function), or against wasi:http 0.2"
    )]
    NothingToRun,
    /// The module does not fit the world or the adapter.
    #[error("the module does not fit the world \"{world}\"")]
    DoesNotFit {
        /// The world's name, or `its own`.
        world: String,
        /// What the encoder says.
        #[source]
        source: anyhow::Error,
    },
}

/// Makes a component of a core module.
///
/// A `_start` becomes `wasi:cli/run`; an exported handler becomes `wasi:http/incoming-handler`.
/// Equal input gives equal bytes.
pub fn adapt(core_module: &[u8], options: &AdaptOptions) -> Result<Vec<u8>, AdaptError> {
    let outline = Outline::read(core_module)?;
    if !outline.is_core {
        return Err(AdaptError::AlreadyComponent);
    }
    let is_command = outline.exports.iter().any(|name| name == "_start");
    let adapter = if is_command {
        adapters::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapters::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    if outline.has_component_type {
        return encode(core_module, adapter, options, "its own");
    }
    let unmet = unmet_imports(&outline);
    if !unmet.is_empty() {
        return Err(AdaptError::UnmetImports(unmet));
    }
    let (world, patch) = choose_world(&outline, is_command, options.world)?;
    let mut module = core_module.to_vec();
    worlds::resolve_02(world, patch)
        .and_then(|(resolve, id)| {
            wit_component::embed_component_metadata(&mut module, &resolve, id, StringEncoding::UTF8)
        })
        .map_err(|source| AdaptError::DoesNotFit {
            world: world.to_string(),
            source,
        })?;
    encode(&module, adapter, options, world.name())
}

fn encode(
    module: &[u8],
    adapter: &[u8],
    options: &AdaptOptions,
    world: &str,
) -> Result<Vec<u8>, AdaptError> {
    exit_status::pass_on(module)
        .and_then(|module| {
            ComponentEncoder::default()
                .validate(true)
                .realloc_via_memory_grow(options.realloc_via_memory_grow)
                .module(&module)
        })
        .and_then(|encoder| encoder.adapter(PREVIEW_1, adapter))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|source| AdaptError::DoesNotFit {
            world: world.to_owned(),
            source,
        })
}

/// The world that fits a module's exports, and the patch version of WASI 0.2 it was made for.
fn choose_world(
    outline: &Outline,
    is_command: bool,
    asked: Option<GuestWorld>,
) -> Result<(GuestWorld, u64), AdaptError> {
    let boots = outline.exports.iter().any(|name| name == "boot");
    let patch = outline
        .exports
        .iter()
        .find_map(|name| handler_patch(name, "wasi:http/incoming-handler@0.2."));
    let runs = outline
        .exports
        .iter()
        .find_map(|name| handler_patch(name, "wasi:cli/run@0.2."));
    let patch_or_ours = patch.or(runs).unwrap_or(WASI_02_PATCH);
    let found = if patch.is_some() {
        if boots {
            GuestWorld::WebBoot
        } else {
            GuestWorld::Web
        }
    } else if runs.is_some() {
        if boots {
            GuestWorld::WorkerBoot
        } else {
            GuestWorld::Worker
        }
    } else if is_command {
        GuestWorld::Imports
    } else {
        match asked {
            Some(world) => world,
            None => return Err(AdaptError::NothingToRun),
        }
    };
    // A `_start` asked to be a worker already is one: the adapter exports `run` for it.
    let world = match asked {
        Some(GuestWorld::Worker) if found == GuestWorld::Imports => GuestWorld::Imports,
        Some(asked) => asked,
        None => found,
    };
    Ok((world, patch_or_ours.min(WASI_02_PATCH)))
}

/// The patch version in an exported name like `wasi:http/incoming-handler@0.2.3#handle`.
fn handler_patch(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.split('#').next()?.parse().ok()
}

/// The imports of a module without component metadata that nothing can meet.
fn unmet_imports(outline: &Outline) -> Vec<String> {
    let canonical = ["wasi:", "[export]", "[", "$root", "cm32p2"];
    outline
        .imports
        .iter()
        .map(|import| &import.name)
        .filter(|name| {
            !name.starts_with(&format!("{PREVIEW_1}."))
                && !canonical.iter().any(|prefix| name.starts_with(prefix))
        })
        .cloned()
        .collect()
}
