//! Runs slugs as dynos: sandboxed WebAssembly instances behind a tower service.
