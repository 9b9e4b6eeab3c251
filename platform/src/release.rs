//! Releases: each deploy, config change and rollback becomes vN in one transaction, or nothing happens.

mod apps;
mod error;
mod phase;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use apps::{AppChange, Apps};
pub(crate) use error::{AppError, ReleaseError};
pub(crate) use phase::{PhaseOutcome, ReleasePhase};
pub(crate) use writer::{Change, Deploy, Releases, SlugSource};
