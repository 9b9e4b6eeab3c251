//! Components: what kind a wasm file is, what it imports, and how a core module becomes a component.
//!
//! A slug holds components only. Toolchains that still make core modules (preview 1) go through
//! [`adapt`]; files that a user brings ready-made are looked at by [`kind`] and [`unmet_imports`]
//! before they are let into a slug. Nothing here runs or compiles a guest.

mod adapt;
mod exit_status;
mod inspect;
mod providers;
mod worlds;

pub use adapt::{AdaptError, AdaptOptions, adapt};
pub use inspect::{
    ComponentImport, ComponentKind, InspectError, exports, imports, is_preview1, kind,
    unmet_imports,
};
pub use providers::{provider_of, with_provider};
pub use worlds::GuestWorld;
