//! Limits of the slug compiler: what each is for, and what happens at it.

use std::time::Duration;

/// The largest wasm file that is read. The biggest real one (a JVM with its class library) is
/// about 60 MB; a larger file is refused.
pub const COMPONENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The most outermost types, imports and exports of one wasm file together. A Go program imports
/// and exports some hundred names; a file with more than this is refused.
pub const COMPONENT_NAMES_MAX: usize = 100_000;

/// The most files, directories and links of an app's source; a slug's layer holds as many.
pub const SOURCE_ENTRIES_MAX: usize = 200_000;

/// The most bytes of an app's source together; a slug's layers hold as many unpacked.
pub const SOURCE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// The deepest path of an app's source. Bounds the recursion over it.
pub const SOURCE_DEPTH_MAX: usize = 64;

/// The largest `.slugignore`, `Procfile`, `.buildpacks` or `static.json`; a larger one is refused.
pub const TEXT_FILE_BYTES_MAX: u64 = 256 * 1024;

/// The most lines of a Procfile that declare a process type.
pub const PROCESS_TYPES_MAX: usize = 64;

/// The most buildpacks of one build.
pub const BUILDPACKS_MAX: usize = 16;

/// How long `bin/detect` may take. It only looks at file names; after this the build fails.
pub const DETECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long `bin/release` may take; after this the build fails.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `bin/compile` may take unless the caller says otherwise. Heroku gives 15 minutes; a
/// first build also fetches its toolchain and may build a standard library with it.
pub const COMPILE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The longest line of build output that is passed on; the rest of the line is cut.
pub const OUTPUT_LINE_BYTES_MAX: usize = 10_000;

/// The most build output that is passed on; what follows is read and dropped, so that a chatty
/// build still ends.
pub const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Lines that wait for the caller's output; when full, the build waits.
pub const OUTPUT_LINES_QUEUED: usize = 256;

/// The most output of `bin/detect` or `bin/release` that is kept; more is refused.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long output may still come after a script and everything it started was killed. Nothing is
/// left to write by then, unless a process has hidden from us.
pub const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest file that a build may write, in KiB (bash's unit for `ulimit -f`): 8 GiB.
pub const BUILD_FILE_KIB_MAX: u64 = 8 * 1024 * 1024;

/// The most slugs that the build cache keeps; the least recently used goes first.
pub const SLUG_CACHE_ENTRIES_MAX: usize = 32;

/// Files smaller than this are not compressed in advance: what is saved is less than the header fields take.
pub const PRECOMPRESS_BYTES_MIN: u64 = 512;

/// Files larger than this are not compressed in advance: it takes longer than it saves.
pub const PRECOMPRESS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most routes, redirects or header rules of a `static.json`, each.
pub const STATIC_RULES_MAX: usize = 1000;

const _: () = assert!(
    OUTPUT_LINE_BYTES_MAX < OUTPUT_BYTES_MAX,
    "a line fits the output"
);
const _: () = assert!(
    PRECOMPRESS_BYTES_MIN < PRECOMPRESS_BYTES_MAX,
    "some files are compressed"
);
