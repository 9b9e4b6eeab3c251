//! Limits of the slug compiler: what each is for, and what happens at it.

/// The largest wasm file that is read. The biggest real one (a JVM with its class library) is
/// about 60 MB; a larger file is refused.
pub const COMPONENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The most outermost types, imports and exports of one wasm file together. A Go program imports
/// and exports some hundred names; a file with more than this is refused.
pub const COMPONENT_NAMES_MAX: usize = 100_000;
