//! The unmodified Heroku CLI against the real binary: what its users type, and what it prints.
//!
//! The CLI is a pinned package from npm, installed once beside the toolchains. Each test has a platform, a home
//! directory and one or two apps of its own.
#![allow(clippy::unwrap_used)]

// The harness of the other journeys; not all of it is used here.
#[allow(dead_code)]
#[path = "../e2e/app.rs"]
mod app;
#[allow(dead_code)]
#[path = "../e2e/binary.rs"]
mod binary;
#[allow(dead_code)]
#[path = "../e2e/limits.rs"]
mod limits;
#[allow(dead_code)]
#[path = "../e2e/place.rs"]
mod place;
#[allow(dead_code)]
#[path = "../e2e/process.rs"]
mod process;
#[allow(dead_code)]
#[path = "../e2e/sources.rs"]
mod sources;
#[path = "../e2e/wait.rs"]
mod wait;

mod account;
mod apps;
mod buildpacks;
mod formation;
mod heroku;
mod installation;
mod logs;
mod releases;
mod run;
mod setup;
mod terminal;
