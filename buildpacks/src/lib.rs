//! The slug compiler and the buildpacks it carries.
//!
//! ```no_run
//! use dyno_buildpacks::{BuildEvent, Cancellation, CompileRequest, Compiler, CompilerFolders};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let compiler = Compiler::new(CompilerFolders {
//!     work: "data/work".into(),
//!     caches: "data/caches".into(),
//!     toolchains: "data/toolchains".into(),
//!     buildpacks: "data/buildpacks".into(),
//! })?;
//! let request = CompileRequest::new("examples/static-site", "site.slug");
//! let slug = compiler.compile(&request, &Cancellation::new(), &mut |event| {
//!     if let BuildEvent::Line(line) = event {
//!         println!("{line}");
//!     }
//! })?;
//! println!("{}", slug.digest);
//! # Ok(())
//! # }
//! ```
//!
//! The journey of a build: the source is copied without what `.slugignore` names → the first
//! buildpack whose `bin/detect` takes it, or the chosen ones → `bin/compile`, its output line by
//! line, in a process group that ends with it → the Procfile and `bin/release` → every component
//! looked at → the slug. The crate's README describes what a buildpack must do.
//!
//! A build runs the app's own build scripts and package managers with the rights of this process: it is bounded in
//! time and output, and keeps no process behind, but it is not sandboxed. Build what you trust.
//!
//! Everything here blocks; call it from a thread that may.

#![warn(missing_docs)]

mod compile;
pub mod component;
mod environment;
pub mod limits;
mod packs;
mod precompress;
mod procfile;
mod release_metadata;
mod script;
mod source;
mod static_json;

pub use compile::{
    BuildEvent, CompileError, CompileRequest, Compiled, Compiler, CompilerFolders, Detected, Step,
};
pub use packs::{Buildpack, DETECTION_ORDER, Packs, UnpackError};
pub use precompress::{PrecompressError, Precompressed, precompress};
pub use procfile::{DeclaredProcess, Procfile, ProcfileError};
pub use release_metadata::ReleaseMetadata;
pub use script::Cancellation;
pub use source::{LeftOut, SourceDigest, SourceError, SourceTree};
