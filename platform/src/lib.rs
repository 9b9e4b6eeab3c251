//! The control plane: model, store, Platform API, builds, releases, reconciler, logs.
//!
//! [`Platform::start`] runs a whole platform in this process: it keeps apps in a data directory, builds and releases
//! them, runs their dynos, routes requests to them and serves the Platform API, all on one port. Everything else is
//! done over that API, by any client that speaks it.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use dyno_platform::{Platform, PlatformOptions};
//!
//! # async fn example() -> Result<(), dyno_platform::StartError> {
//! let platform = Platform::start(PlatformOptions::new("/var/lib/dyno")).await?;
//! println!("the API is at {}", platform.api_url());
//! platform.shutdown(Duration::from_secs(30)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # A change's journey
//! A handler in `api` writes what is wanted into the [`store`] and answers once that is on disk. The reconciler
//! watches the store, starts and stops dynos until what runs is what is wanted, and publishes each app's route. The
//! store is never read on the way of an app's request: the router keeps its last table when the store is away.

#![warn(missing_docs)]

mod account;
mod api;
mod api_service;
mod attach;
mod build;
mod capability;
mod certificate_authority;
mod control;
mod data_dir;
pub mod limits;
mod log;
mod model;
mod platform;
mod reconcile;
mod release;
mod router_log;
mod secret;
mod settings;
pub mod store;
mod wasm_engine;

pub use certificate_authority::CertificateError;
pub use data_dir::DataDirError;
pub use log::{ConsoleBatch, ConsoleLine, ConsoleReader, LogLine, LogSource};
pub use platform::{Platform, PlatformOptions, StartError};
pub use secret::{ApiKey, SecretError};
pub use settings::{
    AccountSettings, AppEgressSettings, BuildSettings, EgressSettings, RouterSettings,
    RuntimeSettings, Settings, SettingsError, SizesSettings,
};
