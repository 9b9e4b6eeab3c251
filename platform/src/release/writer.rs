//! Making a release: read the app, decide, and write everything in one compare-and-set.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::build::BuildCache;
use crate::limits::STORE_CONFLICT_RETRIES_MAX;
use crate::model::{
    App, AppId, Build, ConfigPatch, ConfigVars, Formation, Release, ReleaseStatus, ReleaseVersion,
    Slug, SlugId, Timestamp,
};
use crate::secret::Sealer;
use crate::store::{Check, Store, Stored, Transaction, Write, encode, get, keys, list_all};

use super::ReleaseError;

/// The process type whose command runs before a release serves.
const RELEASE_TYPE: &str = "release";

/// Makes and reads releases.
#[derive(Clone, Debug)]
pub(crate) struct Releases {
    store: Arc<dyn Store>,
    sealer: Sealer,
}

/// What the new release changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Sets and removes config vars.
    ConfigVars(ConfigPatch),
    /// Runs a new slug.
    Deploy(Box<Deploy>),
    /// Runs the slug and the config vars of an earlier release.
    Rollback(ReleaseVersion),
}

/// A slug to run.
#[derive(Clone, Debug)]
pub(crate) struct Deploy {
    pub slug: SlugSource,
    /// `Deploy 1a2b3c4d`
    pub description: String,
    /// Set on the first deploy only, and only where the user set nothing.
    pub default_config_vars: BTreeMap<String, String>,
    /// The build that made the slug; it is marked as succeeded with the release.
    pub build: Option<Build>,
    /// What the slug was made of, for the next build of the same source.
    pub cache: Option<BuildCache>,
    /// What the buildpack calls itself.
    pub buildpack: Option<String>,
}

/// Where the slug's row is.
#[derive(Clone, Debug)]
pub(crate) enum SlugSource {
    /// A slug that was just imported: its row is written with the release.
    New(Slug),
    /// A slug that is known.
    Known(SlugId),
}

/// A release in the making, before it is written.
struct Draft {
    slug: Option<Slug>,
    config: Option<ReleaseVersion>,
    config_changed: Option<ConfigVars>,
    description: String,
}

impl Releases {
    pub fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        Self { store, sealer }
    }

    /// Makes the next release. When this returns, the release is on disk.
    ///
    /// `None` when `change` changes nothing. A release whose slug has a release command is pending until
    /// [`Releases::finish`].
    pub async fn make(&self, id: AppId, change: &Change) -> Result<Option<Release>, ReleaseError> {
        for _ in 0..STORE_CONFLICT_RETRIES_MAX {
            match self.try_make(id, change).await {
                Err(ReleaseError::Store(error)) if error.is_conflict() => {}
                result => return result,
            }
        }
        Err(ReleaseError::Busy)
    }

    async fn try_make(&self, id: AppId, change: &Change) -> Result<Option<Release>, ReleaseError> {
        let app = get::<App>(&*self.store, &keys::app(id))
            .await?
            .ok_or(ReleaseError::NoSuchApp)?;
        let version = app.value.release_next();
        let Some(draft) = self.draft(&app.value, change).await? else {
            return Ok(None);
        };
        let now = Timestamp::now();
        let has_command = draft
            .slug
            .as_ref()
            .is_some_and(|slug| slug.process_types.contains_key(RELEASE_TYPE));
        let release = Release {
            id: Uuid::new_v4(),
            app: id,
            version,
            slug: draft.slug.as_ref().map(|slug| slug.id),
            config: if draft.config_changed.is_some() {
                Some(version)
            } else {
                draft.config
            },
            description: draft.description.clone(),
            status: if has_command {
                ReleaseStatus::Pending
            } else {
                ReleaseStatus::Succeeded
            },
            has_command,
            created_at: now,
            updated_at: now,
        };
        let mut transaction = Transaction::default()
            .check(app.unchanged())
            .check(Check::Absent(keys::release(id, version)))
            .write(Write::Put(keys::release(id, version), encode(&release)?))
            .write(Write::Put(
                keys::release_id(id, release.id),
                encode(&version)?,
            ));
        if let Some(config) = &draft.config_changed {
            let key = keys::config(id, version);
            let sealed = self.sealer.seal(&key, &encode(config)?)?;
            transaction = transaction.write(Write::Put(key, Bytes::from(sealed)));
        }
        let mut new_app = app.value.clone();
        new_app.release_latest = Some(version);
        new_app.updated_at = now;
        if !has_command {
            make_current(&mut new_app, &release, draft.slug.as_ref());
            transaction = self
                .with_formation(transaction, id, draft.slug.as_ref())
                .await?;
        }
        if let Change::Deploy(deploy) = change {
            transaction = with_deploy(transaction, &mut new_app, deploy, &release)?;
        }
        self.store
            .commit(transaction.write(Write::Put(app.key.clone(), encode(&new_app)?)))
            .await?;
        Ok(Some(release))
    }

    async fn draft(&self, app: &App, change: &Change) -> Result<Option<Draft>, ReleaseError> {
        let latest = match app.release_latest {
            Some(version) => self.read(app.id, version).await?,
            None => None,
        };
        let latest_config = latest.as_ref().and_then(|release| release.config);
        let draft = match change {
            Change::ConfigVars(patch) => {
                let before = self.config_vars(app.id, latest_config).await?;
                let Some(description) = patch.description(&before) else {
                    return Ok(None);
                };
                let slug = self.slug_of(latest.as_ref()).await?;
                Draft {
                    slug,
                    config: None,
                    config_changed: Some(before.patched(patch)?),
                    description,
                }
            }
            Change::Deploy(deploy) => {
                let slug = match &deploy.slug {
                    SlugSource::New(slug) => slug.clone(),
                    SlugSource::Known(id) => {
                        self.slug(*id).await?.ok_or(ReleaseError::NoSuchSlug)?
                    }
                };
                let config_changed = self.with_defaults(app, latest_config, deploy).await?;
                Draft {
                    slug: Some(slug),
                    config: latest_config,
                    config_changed,
                    description: deploy.description.clone(),
                }
            }
            Change::Rollback(version) => {
                let target = self
                    .read(app.id, *version)
                    .await?
                    .ok_or(ReleaseError::NoSuchRelease)?;
                if target.slug.is_none() || target.status != ReleaseStatus::Succeeded {
                    return Err(ReleaseError::NotEligible(*version));
                }
                if app.release_current == Some(*version) && app.release_latest == Some(*version) {
                    return Err(ReleaseError::AlreadyCurrent(*version));
                }
                let slug = self.slug_of(Some(&target)).await?;
                let description = format!("Rollback to {version}");
                Draft {
                    slug,
                    config: target.config,
                    config_changed: None,
                    description,
                }
            }
        };
        Ok(Some(draft))
    }

    /// The config vars of a first deploy, when the buildpack brings some that the user has not set.
    async fn with_defaults(
        &self,
        app: &App,
        config: Option<ReleaseVersion>,
        deploy: &Deploy,
    ) -> Result<Option<ConfigVars>, ReleaseError> {
        let first_deploy = app.slug_size.is_none();
        if !first_deploy || deploy.default_config_vars.is_empty() {
            return Ok(None);
        }
        let before = self.config_vars(app.id, config).await?;
        let missing = deploy
            .default_config_vars
            .iter()
            .filter(|(name, _)| !before.as_map().contains_key(*name));
        let patch = ConfigPatch(
            missing
                .map(|(name, value)| (name.clone(), Some(value.clone())))
                .collect(),
        );
        if patch.0.is_empty() {
            Ok(None)
        } else {
            Ok(Some(before.patched(&patch)?))
        }
    }

    async fn with_formation(
        &self,
        transaction: Transaction,
        id: AppId,
        slug: Option<&Slug>,
    ) -> Result<Transaction, ReleaseError> {
        let Some(slug) = slug else {
            return Ok(transaction);
        };
        let key = keys::formation(id);
        let stored = get::<Formation>(&*self.store, &key).await?;
        let before = stored
            .as_ref()
            .map(|stored| stored.value.clone())
            .unwrap_or_default();
        let after = before.for_process_types(&slug.process_types);
        if after == before && stored.is_some() {
            return Ok(transaction);
        }
        let check = stored.map_or_else(|| Check::Absent(key.clone()), |stored| stored.unchanged());
        Ok(transaction
            .check(check)
            .write(Write::Put(key, encode(&after)?)))
    }

    /// Ends a pending release. A success becomes current unless a newer one is already.
    pub async fn finish(
        &self,
        id: AppId,
        version: ReleaseVersion,
        status: ReleaseStatus,
    ) -> Result<Release, ReleaseError> {
        for _ in 0..STORE_CONFLICT_RETRIES_MAX {
            let app = get::<App>(&*self.store, &keys::app(id))
                .await?
                .ok_or(ReleaseError::NoSuchApp)?;
            let stored = get::<Release>(&*self.store, &keys::release(id, version))
                .await?
                .ok_or(ReleaseError::NoSuchRelease)?;
            if stored.value.status != ReleaseStatus::Pending {
                return Ok(stored.value);
            }
            let mut release = stored.value.clone();
            release.status = status;
            release.updated_at = Timestamp::now();
            let mut transaction = Transaction::default()
                .check(app.unchanged())
                .check(stored.unchanged())
                .write(Write::Put(stored.key.clone(), encode(&release)?));
            if status == ReleaseStatus::Succeeded && app.value.release_current < Some(version) {
                let slug = self.slug_of(Some(&release)).await?;
                let mut new_app = app.value.clone();
                make_current(&mut new_app, &release, slug.as_ref());
                transaction = self
                    .with_formation(transaction, id, slug.as_ref())
                    .await?
                    .write(Write::Put(app.key.clone(), encode(&new_app)?));
            }
            match self.store.commit(transaction).await {
                Ok(_) => return Ok(release),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ReleaseError::Busy)
    }

    /// One release.
    pub async fn read(
        &self,
        id: AppId,
        version: ReleaseVersion,
    ) -> Result<Option<Release>, ReleaseError> {
        Ok(get(&*self.store, &keys::release(id, version))
            .await?
            .map(|stored: Stored<Release>| stored.value))
    }

    /// One release by its uuid or number.
    pub async fn find(&self, id: AppId, identity: &str) -> Result<Option<Release>, ReleaseError> {
        let version = match Uuid::try_parse(identity) {
            Ok(uuid) => get(&*self.store, &keys::release_id(id, uuid))
                .await?
                .map(|stored| stored.value),
            Err(_) => ReleaseVersion::parse(identity),
        };
        match version {
            Some(version) => self.read(id, version).await,
            None => Ok(None),
        }
    }

    /// All releases of an app, oldest first.
    pub async fn list(&self, id: AppId) -> Result<Vec<Release>, ReleaseError> {
        let stored = list_all(&*self.store, &keys::releases(id)).await?;
        Ok(stored.into_iter().map(|stored| stored.value).collect())
    }

    /// The config vars that a release stored.
    pub async fn config_vars(
        &self,
        id: AppId,
        stored_by: Option<ReleaseVersion>,
    ) -> Result<ConfigVars, ReleaseError> {
        let Some(version) = stored_by else {
            return Ok(ConfigVars::default());
        };
        let key = keys::config(id, version);
        let Some(entry) = self.store.get(&key).await? else {
            return Err(crate::store::StoreError::Damaged {
                key,
                source: "it is missing".into(),
            }
            .into());
        };
        let plain = self.sealer.open(&key, &entry.value)?;
        serde_json::from_slice(&plain).map_err(|error| {
            crate::store::StoreError::Damaged {
                key,
                source: error.into(),
            }
            .into()
        })
    }

    /// The app's config vars now: those of its newest release, even of one that failed.
    pub async fn current_config_vars(&self, app: &App) -> Result<ConfigVars, ReleaseError> {
        let latest = match app.release_latest {
            Some(version) => self.read(app.id, version).await?,
            None => None,
        };
        self.config_vars(app.id, latest.and_then(|release| release.config))
            .await
    }

    /// One slug's row.
    pub async fn slug(&self, id: SlugId) -> Result<Option<Slug>, ReleaseError> {
        Ok(get(&*self.store, &keys::slug(id))
            .await?
            .map(|stored: Stored<Slug>| stored.value))
    }

    /// Writes the row of a slug that is in the slug store already.
    pub async fn add_slug(&self, slug: &Slug) -> Result<(), ReleaseError> {
        let write = Write::Put(keys::slug(slug.id), encode(slug)?);
        self.store
            .commit(Transaction::default().write(write))
            .await?;
        Ok(())
    }

    async fn slug_of(&self, release: Option<&Release>) -> Result<Option<Slug>, ReleaseError> {
        match release.and_then(|release| release.slug) {
            Some(id) => Ok(Some(self.slug(id).await?.ok_or(ReleaseError::NoSuchSlug)?)),
            None => Ok(None),
        }
    }
}

fn make_current(app: &mut App, release: &Release, slug: Option<&Slug>) {
    app.release_current = Some(release.version);
    app.released_at = Some(Timestamp::now());
    app.slug_size = slug.map(|slug| slug.size);
}

/// Adds the rows that a deploy writes beside the release.
fn with_deploy(
    mut transaction: Transaction,
    app: &mut App,
    deploy: &Deploy,
    release: &Release,
) -> Result<Transaction, ReleaseError> {
    if let SlugSource::New(slug) = &deploy.slug {
        transaction = transaction.write(Write::Put(keys::slug(slug.id), encode(slug)?));
    }
    if let Some(buildpack) = &deploy.buildpack {
        app.buildpack_detected = Some(buildpack.clone());
    }
    if let Some(cache) = &deploy.cache {
        let write = Write::Put(keys::build_cache(app.id), encode(cache)?);
        transaction = transaction.write(write);
    }
    if let Some(build) = &deploy.build {
        let mut build = build.clone();
        build.slug = release.slug;
        build.release = Some(release.version);
        build.release_id = Some(release.id);
        build.updated_at = Timestamp::now();
        transaction = transaction.write(Write::Put(keys::build(app.id, build.id), encode(&build)?));
    }
    Ok(transaction)
}
