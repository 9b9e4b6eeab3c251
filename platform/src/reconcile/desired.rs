//! What should run of one app, read from the store in one piece.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::metadata;
use crate::model::{App, AppId, ConfigVars, Formation, RUNTIME_DYNO_METADATA, Release, Slug};
use crate::release::{AppError, Apps, ReleaseError, Releases};

/// What should run.
#[derive(Debug)]
pub(super) struct Desired {
    pub app: App,
    pub formation: Formation,
    /// `None` before the first release with a slug.
    pub release: Option<DesiredRelease>,
}

/// The release that should run.
#[derive(Debug)]
pub(super) struct DesiredRelease {
    pub release: Release,
    pub slug: Slug,
    pub config_vars: ConfigVars,
    /// What its dynos are told of themselves; nothing unless the app has the feature.
    pub metadata: BTreeMap<String, String>,
}

impl Desired {
    /// Dynos wanted of a process type; a type the slug does not have is not wanted.
    pub fn quantity(&self, process_type: &str) -> u32 {
        let known = self
            .release
            .as_ref()
            .is_some_and(|desired| desired.slug.process_types.contains_key(process_type));
        if known {
            self.formation
                .0
                .get(process_type)
                .map_or(0, |entry| entry.quantity)
        } else {
            0
        }
    }
}

impl DesiredRelease {
    /// How many dynos of a process type keep their instances though nothing is asked of them: the config var
    /// `DYNO_ALWAYS_ON`, such as `web=1 admin=2`. What is not of that form counts for nothing.
    pub fn always_on(&self, process_type: &str) -> u32 {
        let vars = self.config_vars.as_map();
        let wanted = vars.get(ALWAYS_ON).map_or("", String::as_str);
        wanted
            .split_whitespace()
            .filter_map(|item| item.split_once('='))
            .find(|(name, _)| *name == process_type)
            .and_then(|(_, number)| number.parse().ok())
            .unwrap_or(0)
    }
}

/// The config var that names dynos which are always on.
const ALWAYS_ON: &str = "DYNO_ALWAYS_ON";

/// Reads what should run of an app; `None` when the app is gone.
pub(super) async fn read(
    apps: &Apps,
    releases: &Releases,
    id: AppId,
) -> Result<Option<Arc<Desired>>, ReleaseError> {
    let store_error = |error| match error {
        AppError::Store(error) => ReleaseError::Store(error),
        _ => ReleaseError::NoSuchApp,
    };
    let app = match apps.read(id).await {
        Err(AppError::NotFound) => return Ok(None),
        result => result.map_err(store_error)?.value,
    };
    // The three reads may show different moments; whatever changes in between is a new nudge.
    let formation = apps.formation(id).await.map_err(store_error)?;
    let release = match app.release_current {
        Some(version) => releases.read(id, version).await?,
        None => None,
    };
    let release = match release {
        Some(release) => release_of(releases, &app, release).await?,
        None => None,
    };
    Ok(Some(Arc::new(Desired {
        app,
        formation,
        release,
    })))
}

async fn release_of(
    releases: &Releases,
    app: &App,
    release: Release,
) -> Result<Option<DesiredRelease>, ReleaseError> {
    let Some(slug) = release.slug else {
        return Ok(None);
    };
    let slug = releases.slug(slug).await?.ok_or(ReleaseError::NoSuchSlug)?;
    let config_vars = releases.config_vars(release.app, release.config).await?;
    let metadata = if app.features.contains(RUNTIME_DYNO_METADATA) {
        metadata::of(app, &release, &slug)
    } else {
        BTreeMap::new()
    };
    Ok(Some(DesiredRelease {
        release,
        slug,
        config_vars,
        metadata,
    }))
}
