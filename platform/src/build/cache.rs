//! What an app's last slug was made of, so that an unchanged source is neither uploaded nor built again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::queue::Builds;
use super::run::{Made, RunError};
use super::unpack::Unpacked;
use crate::control::Control;
use crate::model::{App, ConfigVars, Slug, SlugId};
use crate::release::SlugSource;
use crate::store::{Stored, get, keys};

/// An app's row under [`keys::build_cache`], written with the release of the slug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildCache {
    /// `SHA256:…` of the uploaded bytes: what a client can know without asking.
    pub archive: String,
    /// Digest of the tree in them, in hexadecimal: the same for every way to pack it.
    pub tree: String,
    /// Everything that decides what a build makes, but for the config vars.
    #[serde(default)]
    pub source_key: String,
    /// Everything that decides what a build makes.
    pub key: String,
    pub slug: SlugId,
}

/// A source, and what decides the slug that is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheKey {
    pub archive: String,
    pub tree: String,
    pub source_key: String,
    pub key: String,
}

impl CacheKey {
    /// The key of a source for an app as it is now.
    pub fn new(
        control: &Control,
        source: &Unpacked,
        buildpacks: &[String],
        vars: &ConfigVars,
    ) -> Self {
        let source_key = source_key(control, &source.tree, buildpacks);
        Self {
            archive: source.archive.clone(),
            tree: source.tree.clone(),
            key: key(control, &source_key, vars),
            source_key,
        }
    }

    /// The row that remembers `slug`.
    pub fn row(&self, slug: SlugId) -> BuildCache {
        BuildCache {
            archive: self.archive.clone(),
            tree: self.tree.clone(),
            source_key: self.source_key.clone(),
            key: self.key.clone(),
            slug,
        }
    }
}

/// Source, buildpacks, and our own version.
fn source_key(control: &Control, tree: &str, buildpacks: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(tree);
    for buildpack in buildpacks {
        hash.update(buildpack);
        hash.update([0]);
    }
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(control.builds.compiler().packs_digest());
    hex::encode(hash.finalize())
}

/// The same with the config vars, which a buildpack may read.
fn key(control: &Control, source_key: &str, vars: &ConfigVars) -> String {
    let mut hash = Sha256::new();
    hash.update(source_key);
    if let Ok(vars) = serde_json::to_vec(vars) {
        // The key is stored in the open, so it must not tell what the config vars are.
        hash.update(control.sealer.fingerprint(&vars));
    }
    hex::encode(hash.finalize())
}

/// The slug that was made of this source last time, if it would be made again just so.
pub(super) async fn find(
    builds: &Builds,
    control: &Control,
    app: &App,
    key: &CacheKey,
) -> Result<Option<Made>, RunError> {
    match read(builds, app).await? {
        Some(cached) if cached.key == key.key => {
            made(builds, control, cached.slug, key.clone()).await
        }
        _ => Ok(None),
    }
}

/// Like [`find`], for a client that names its source by its archive's checksum alone.
///
/// A source that the app runs already is not built again for a change of its config vars, which made a release of the
/// same slug: as on Heroku, where such a push finds everything up to date.
pub(super) async fn find_archive(
    builds: &Builds,
    control: &Control,
    app: &App,
    checksum: &str,
    buildpacks: &[String],
) -> Result<Option<Made>, RunError> {
    let Some(cached) = read(builds, app).await? else {
        return Ok(None);
    };
    if !cached.archive.eq_ignore_ascii_case(checksum) {
        return Ok(None);
    }
    let source_key = source_key(control, &cached.tree, buildpacks);
    if source_key != cached.source_key {
        return Ok(None);
    }
    let vars = control.releases.current_config_vars(app).await?;
    let same_vars = key(control, &source_key, &vars) == cached.key;
    if !same_vars && !is_running(control, app, cached.slug).await? {
        return Ok(None);
    }
    let key = CacheKey {
        archive: cached.archive,
        tree: cached.tree,
        source_key,
        key: cached.key,
    };
    made(builds, control, cached.slug, key).await
}

async fn is_running(control: &Control, app: &App, slug: SlugId) -> Result<bool, RunError> {
    let Some(current) = app.release_current else {
        return Ok(false);
    };
    let current = control.releases.read(app.id, current).await?;
    Ok(current.is_some_and(|release| release.slug == Some(slug)))
}

async fn read(builds: &Builds, app: &App) -> Result<Option<BuildCache>, RunError> {
    let stored = get::<BuildCache>(&*builds.inner.store, &keys::build_cache(app.id)).await?;
    Ok(stored.map(|stored: Stored<BuildCache>| stored.value))
}

async fn made(
    builds: &Builds,
    control: &Control,
    slug: SlugId,
    key: CacheKey,
) -> Result<Option<Made>, RunError> {
    let Some(slug) = control.releases.slug(slug).await? else {
        return Ok(None);
    };
    // The row is no proof that the bytes are still there and whole: what cannot be opened is built again.
    if !is_stored(builds, &slug).await? {
        return Ok(None);
    }
    Ok(Some(Made {
        source: SlugSource::Known(slug.id),
        default_config_vars: BTreeMap::new(),
        buildpack: slug.buildpack_description.clone(),
        slug,
        key,
    }))
}

async fn is_stored(builds: &Builds, slug: &Slug) -> Result<bool, RunError> {
    let (slugs, digest) = (builds.inner.slugs.clone(), slug.digest.clone());
    let stored = tokio::task::spawn_blocking(move || {
        digest
            .parse()
            .is_ok_and(|digest| slugs.get(&digest).is_ok())
    });
    Ok(stored.await?)
}
