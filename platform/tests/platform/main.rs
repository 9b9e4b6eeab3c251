//! A whole platform in a temporary directory, used over HTTP as its clients use it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod attach;
mod attached_client;
mod builds;
mod client;
mod durability;
mod http_rules;
mod releases;
mod rig;
mod switching;
