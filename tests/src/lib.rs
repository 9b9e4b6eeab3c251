//! End-to-end tests: the real binary, real toolchains, real clients.
