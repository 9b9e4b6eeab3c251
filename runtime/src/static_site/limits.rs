//! Limits of a static site: what each is for, and what happens at it.

/// The longest path of a request, as sent. A longer one is refused (414): patterns are matched against it.
pub(super) const PATH_BYTES_MAX: usize = 4096;

/// The most routes, redirects or header rules, each; a site with more is not opened.
pub(super) const RULES_MAX: usize = 1000;

/// The longest pattern; a site with a longer one is not opened.
pub(super) const PATTERN_BYTES_MAX: usize = 512;

/// The most stars of one pattern, which bounds the work of matching it; a site with more is not opened.
pub(super) const PATTERN_STARS_MAX: usize = 8;

/// The most header fields of one rule; a site with more is not opened.
pub(super) const HEADERS_PER_RULE_MAX: usize = 64;

/// Pages that a site remembers; at the limit it forgets all of them and begins anew.
pub(super) const PAGES_KEPT_MAX: usize = 4096;

/// Files up to this size are answered from memory.
pub(super) const FILE_BYTES_KEPT_MAX: u64 = 128 * 1024;

/// Bytes of files that a site keeps in memory; at the limit it forgets all of them and begins anew.
pub(super) const BYTES_KEPT_MAX: u64 = 8 * 1024 * 1024;

/// Files up to this size are told apart by a digest of their contents; larger ones, which would keep the first
/// request waiting, by the layer they lie in, their path and their size.
pub(super) const DIGESTED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How much of a file is read at once while it is sent.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

const _: () = assert!(
    FILE_BYTES_KEPT_MAX < BYTES_KEPT_MAX,
    "a kept file fits the memory"
);
const _: () = assert!(
    FILE_BYTES_KEPT_MAX < DIGESTED_BYTES_MAX,
    "a kept file is read whole anyway"
);
