//! Every bound the slug format enforces, in one place.

/// The format version this crate writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// The stack every slug is made for: the WASI worlds and the guest's file system layout.
pub const STACK: &str = "wasi-1";

/// zstd level of file layers. Part of the format: another level gives other bytes, so other digests.
pub(crate) const COMPRESSION_LEVEL: i32 = 9;

/// Largest zstd window a reader accepts, as a power of two: 8 MiB, which RFC 8878 asks every
/// decoder to support and which no level below 20 exceeds. Bounds a decoder's memory.
pub(crate) const COMPRESSION_WINDOW_LOG_MAX: u32 = 23;

/// Compressed layers kept in a layer cache; the least recently used go first.
pub(crate) const LAYER_CACHE_ENTRIES_MAX: usize = 64;

/// Zero bytes allowed after an archive's end marker (tar pads to blocks of 10 KiB, some tools more).
pub(crate) const ARCHIVE_PADDING_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of one I/O buffer.
pub(crate) const BUFFER_BYTES: usize = 128 * 1024;

/// Longest process type name, as the Procfile format has it.
pub const PROCESS_TYPE_NAME_BYTES_MAX: usize = 30;

/// What a reader accepts and a writer may make. The defaults are what the platform runs with; a
/// host that wants less lowers them, and tests do.
///
/// A slug over a limit is refused with an error that names the limit, the entry and both numbers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Whole `.slug` file. Heroku's limit for a (compressed) slug: 500 MiB.
    pub slug_bytes_max: u64,
    /// One component. A bundled language engine with its standard library is 10–60 MB.
    pub component_bytes_max: u64,
    /// One file inside a layer.
    pub file_bytes_max: u64,
    /// All files of all layers, unpacked. Every dyno gets a copy of `/app`, so this bounds a host's disk.
    pub unpacked_bytes_max: u64,
    /// Entries (files, directories, links) of one layer. A large `node_modules` has about 60,000.
    pub entries_max: u64,
    /// Bytes of one path inside a layer.
    pub path_bytes_max: usize,
    /// Bytes of one name in a path: what ext4 and most other file systems can store.
    pub name_bytes_max: usize,
    /// Names in one path. Bounds recursion wherever a tree is walked.
    pub path_depth_max: usize,
    /// Payload of one long-name (GNU) or extended (PAX) header.
    pub extension_bytes_max: u64,
    /// Unpacked bytes per packed byte of a layer, counted beyond [`Limits::compression_floor_bytes`].
    pub compression_ratio_max: u64,
    /// Unpacked bytes a layer may always have whatever its ratio: small files of zeros are no bomb.
    pub compression_floor_bytes: u64,
    /// One JSON document: the slug manifest, the OCI manifest or the index.
    pub manifest_bytes_max: u64,
    /// `.dyno/process-types.toml`.
    pub process_types_bytes_max: u64,
    /// File layers, the app's own among them.
    pub layers_max: usize,
    /// Components.
    pub components_max: usize,
    /// Process types.
    pub process_types_max: usize,
    /// Buildpacks that took part.
    pub buildpacks_max: usize,
    /// Arguments of one process type.
    pub arguments_max: usize,
    /// Variables of one environment (a process type's, or the default config vars).
    pub variables_max: usize,
    /// One argument, variable or command line. Linux's own bound for one string is 128 KiB.
    pub string_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slug_bytes_max: 500 << 20,
            component_bytes_max: 256 << 20,
            file_bytes_max: 512 << 20,
            unpacked_bytes_max: 2 << 30,
            entries_max: 200_000,
            path_bytes_max: 1024,
            name_bytes_max: 255,
            path_depth_max: 64,
            extension_bytes_max: 16 << 10,
            compression_ratio_max: 1_000,
            compression_floor_bytes: 16 << 20,
            manifest_bytes_max: 1 << 20,
            process_types_bytes_max: 256 << 10,
            layers_max: 32,
            components_max: 64,
            process_types_max: 64,
            buildpacks_max: 16,
            arguments_max: 256,
            variables_max: 512,
            string_bytes_max: 32 << 10,
        }
    }
}

impl Limits {
    /// Blobs one slug can have: its components and layers, the slug manifest and the OCI manifest.
    pub(crate) fn blobs_max(&self) -> usize {
        self.components_max + self.layers_max + 2
    }

    /// Bytes of tar headers and padding around one layer's files, at most.
    pub(crate) fn archive_overhead_bytes_max(&self) -> u64 {
        // A header, a padded body's remainder and one extension (header and payload) per entry.
        let per_entry = 512 + 512 + 512 + 512 + self.path_bytes_max as u64;
        self.entries_max
            .saturating_mul(per_entry)
            .saturating_add(ARCHIVE_PADDING_BYTES_MAX)
    }
}

const _: () = assert!(
    COMPRESSION_WINDOW_LOG_MAX <= 27,
    "a decoder's memory stays below 128 MiB"
);
const _: () = assert!(BUFFER_BYTES >= 4096, "a buffer holds at least a page");
