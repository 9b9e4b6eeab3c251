//! The router between a client's raw bytes and scripted backends; each test owns both ends.
#![allow(clippy::unwrap_used)]

mod edge;
mod edge_threads;
mod failures;
mod headers;
mod lifecycle;
mod messages;
mod refusals;
mod rendezvous;
mod routing;
mod streaming;
mod tls;
mod tls_client;
mod tunnels;
