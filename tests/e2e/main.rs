//! Journeys with the real binary: source in, requests answered, faults survived.
//!
//! The binary is not built here: `cargo xtask test` does that, or `DYNO_BIN` names one.
#![allow(clippy::unwrap_used)]

mod app;
mod bad_input;
mod binary;
mod crash;
mod detect;
mod disk_full;
mod durability;
mod examples;
mod exec;
mod limits;
mod place;
mod port;
mod process;
mod routes;
mod sources;
mod static_site;
mod wait;
