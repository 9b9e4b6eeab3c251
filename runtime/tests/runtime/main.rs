//! The runtime as its users see it: slugs of small components, run as dynos.
#![allow(clippy::unwrap_used)]

mod app;
mod clients;
mod dynos;
mod examples;
mod formations;
mod idle;
mod outbound;
mod ports;
