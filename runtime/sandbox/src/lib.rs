//! The one crate that instantiates wasmtime's generics: engines, stores, host functions, calls.
