//! Guests that misbehave: each meets its bound, a neighbour still answers, and the host is as it was before.
//!
//! Their sources are `tests/guests/*.wat` (handlers of requests) and `tests/guests/commands/*.wat` (commands). They run
//! one after the other: what the host holds can only be compared while nothing else happens in the process.
#![allow(clippy::unwrap_used)]

mod baseline;
mod components;
mod files;
mod handlers;
mod log;
mod memory;
mod place;
