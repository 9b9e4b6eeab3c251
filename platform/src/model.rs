//! The nouns of the control plane, each validated when it is made.

mod app;
mod app_name;
mod build;
mod config_vars;
mod formation;
mod release;
mod size;
mod slug;
mod time;

pub use app::{App, AppId, RUNTIME_DYNO_METADATA};
pub use app_name::{AppName, AppNameError, generate as generate_app_name};
pub use build::{Build, BuildId, BuildStatus};
pub use config_vars::{ConfigPatch, ConfigVars, ConfigVarsError};
pub use formation::{Formation, FormationEntry, FormationError, Quantity};
pub use release::{Release, ReleaseStatus, ReleaseVersion};
pub use size::DynoSizeName;
pub use slug::{Slug, SlugId};
pub use time::Timestamp;
