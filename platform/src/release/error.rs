//! Why an app or release was not made or changed.

use crate::limits::APPS_MAX;
use crate::model::{AppName, ConfigVarsError, FormationError, ReleaseVersion};
use crate::secret::SecretError;
use crate::store::StoreError;

/// Why a release was not made; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error("Couldn't find that app.")]
    NoSuchApp,
    #[error("Couldn't find that slug.")]
    NoSuchSlug,
    #[error("Couldn't find that release.")]
    NoSuchRelease,
    #[error("Cannot roll back to {0}: it has no slug or was not successful.")]
    NotEligible(ReleaseVersion),
    #[error("{0} is the current release already.")]
    AlreadyCurrent(ReleaseVersion),
    #[error(transparent)]
    ConfigVars(#[from] ConfigVarsError),
    #[error("Too many changes of this app at the same time; try again.")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Why an app was not made or changed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    #[error("Couldn't find that app.")]
    NotFound,
    #[error("Name {0} is already taken")]
    NameTaken(AppName),
    #[error("This installation has {APPS_MAX} apps, and no room for another.")]
    TooMany,
    #[error(transparent)]
    Formation(#[from] FormationError),
    #[error("Too many changes of this app at the same time; try again.")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}
