//! The slug: an app's components, files and manifest as one content-addressed OCI image layout.
//!
//! A build makes a `.slug` file with [`SlugBuilder`]; [`SlugFile`] looks into one without unpacking
//! it; [`SlugStore`] keeps many of them unpacked on disk, shared parts once, for a runtime to use.
//!
//! ```
//! use dyno_slug::{FileSource, ProcessSource, SlugBuilder, SlugStore, World};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let scratch = scratch.path();
//! # std::fs::create_dir(scratch.join("app"))?;
//! # std::fs::write(scratch.join("app/index.html"), "hello")?;
//! let slug = scratch.join("site.slug");
//! let digest = SlugBuilder::new(FileSource::new(scratch.join("app")))
//!     .process("web".parse()?, ProcessSource::new("static", World::Static))
//!     .write(&slug)?;
//!
//! let store = SlugStore::open(scratch.join("slugs"))?;
//! let stored = store.import(&slug)?;
//! assert_eq!(stored.digest(), &digest);
//! let app = stored.layer_tree(&stored.manifest().layers[0]);
//! assert_eq!(std::fs::read_to_string(app.join("index.html"))?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! The format is described in this crate's README. Its two promises: the same input gives the same
//! bytes, and reading is safe whatever the bytes are. A reader works through directory handles
//! that cannot leave their directory, refuses every path, link or entry that could not come from
//! [`SlugBuilder`], checks each size and digest against what was read, and stays within [`Limits`].
//!
//! Everything here blocks; call it from a thread that may.

mod archive;
mod builder;
mod digest;
mod error;
mod file;
mod image;
mod layer_cache;
mod layer_reader;
mod layer_writer;
mod limits;
mod manifest;
mod mount;
mod path;
mod process_type;
mod process_types;
mod source;
mod store;

pub use builder::{ProcessSource, SlugBuilder};
pub use digest::{Digest, DigestHasher, ParseDigestError, SlugDigest};
pub use error::{Problem, ReadError, WriteError};
pub use file::SlugFile;
pub use image::{
    BlobInfo, MEDIA_TYPE_COMPONENT, MEDIA_TYPE_FILES, MEDIA_TYPE_SLUG, MOUNT_ANNOTATION,
};
pub use limits::{FORMAT_VERSION, Limits, PROCESS_TYPE_NAME_BYTES_MAX, STACK};
pub use manifest::{BuildpackInfo, ComponentBlob, FileLayer, ManifestError, SlugManifest};
pub use mount::{MountPath, ParseMountPathError};
pub use process_type::{
    Boot, ParseProcessTypeNameError, ProcessType, ProcessTypeName, Reuse, World,
};
pub use process_types::{
    LayerEntry, ProcessEntry, ProcessTypesError, ProcessTypesFile, ResolvedProcessTypes,
    SourceRoots,
};
pub use source::{EntryKind, FileSource, SourceEntry};
pub use store::{SlugStore, StoredSlug};
