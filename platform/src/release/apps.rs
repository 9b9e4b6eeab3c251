//! Apps and their formations: create, find, change, destroy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OnceCell;

use crate::limits::{APPS_MAX, STORE_CONFLICT_RETRIES_MAX, STORE_LIST_ENTRIES_MAX};
use crate::log::LogHub;
use crate::model::{App, AppId, AppName, Formation, Timestamp, generate_app_name};
use crate::store::{
    Check, Store, StoreError, Stored, Transaction, Write, encode, get, keys, list_all,
};

use super::AppError;

/// Deletes of one transaction; the rest of the room is for checks.
const PURGE_BATCH: usize = 60;

/// The apps of this installation.
#[derive(Clone, Debug)]
pub(crate) struct Apps {
    store: Arc<dyn Store>,
    logs: Arc<LogHub>,
    /// How many there are: counted once, and kept up since. Counting ten thousand for every new one is slow.
    count: Arc<OnceCell<AtomicUsize>>,
}

/// A change of an app's own fields; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct AppChange {
    pub name: Option<AppName>,
    pub maintenance: Option<bool>,
    pub buildpacks: Option<Vec<String>>,
    /// A feature that is switched on, or off.
    pub feature: Option<(String, bool)>,
}

impl Apps {
    pub fn new(store: Arc<dyn Store>, logs: Arc<LogHub>) -> Self {
        Self {
            store,
            logs,
            count: Arc::default(),
        }
    }

    /// Makes an app; without a name it gets a generated one.
    pub async fn create(&self, name: Option<AppName>) -> Result<App, AppError> {
        let count = self
            .count
            .get_or_try_init(async || self.count_all().await.map(AtomicUsize::new))
            .await?;
        if count.load(Ordering::Relaxed) >= APPS_MAX {
            return Err(AppError::TooMany);
        }
        for _ in 0..STORE_CONFLICT_RETRIES_MAX {
            let app = App::new(name.clone().unwrap_or_else(generate_app_name));
            let transaction = Transaction::default()
                .check(Check::Absent(keys::app_name(&app.name)))
                .check(Check::Absent(keys::app(app.id)))
                .write(Write::Put(keys::app_name(&app.name), encode(&app.id)?))
                .write(Write::Put(keys::app(app.id), encode(&app)?));
            match self.store.commit(transaction).await {
                Ok(_) => {
                    count.fetch_add(1, Ordering::Relaxed);
                    return Ok(app);
                }
                Err(error) if error.is_conflict() => {
                    // A generated name that exists: draw another.
                    if let Some(name) = &name {
                        return Err(AppError::NameTaken(name.clone()));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::TooMany)
    }

    async fn count_all(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        let mut after: Option<String> = None;
        loop {
            let page = self
                .store
                .list(keys::APPS, after.as_deref(), STORE_LIST_ENTRIES_MAX)
                .await?;
            count += page.entries.len();
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
            if !page.more {
                return Ok(count);
            }
        }
    }

    /// Finds an app by its uuid or name.
    pub async fn find(&self, identity: &str) -> Result<Stored<App>, AppError> {
        let id = match AppId::parse(identity) {
            Some(id) => Some(id),
            None => match AppName::new(identity) {
                Ok(name) => get::<AppId>(&*self.store, &keys::app_name(&name))
                    .await?
                    .map(|stored| stored.value),
                Err(_) => None,
            },
        };
        self.read(id.ok_or(AppError::NotFound)?).await
    }

    /// Reads an app by its uuid.
    pub async fn read(&self, id: AppId) -> Result<Stored<App>, AppError> {
        get(&*self.store, &keys::app(id))
            .await?
            .ok_or(AppError::NotFound)
    }

    /// All apps, by name.
    pub async fn list(&self) -> Result<Vec<App>, AppError> {
        let mut apps: Vec<App> = list_all(&*self.store, keys::APPS)
            .await?
            .into_iter()
            .map(|stored| stored.value)
            .collect();
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(apps)
    }

    /// Changes an app's own fields.
    pub async fn change(&self, id: AppId, change: &AppChange) -> Result<App, AppError> {
        for _ in 0..STORE_CONFLICT_RETRIES_MAX {
            let stored = self.read(id).await?;
            let mut app = stored.value.clone();
            let mut transaction = Transaction::default().check(stored.unchanged());
            if let Some(name) = change.name.as_ref().filter(|name| **name != app.name) {
                let new_key = keys::app_name(name);
                if self.store.get(&new_key).await?.is_some() {
                    return Err(AppError::NameTaken(name.clone()));
                }
                transaction = transaction
                    .check(Check::Absent(new_key.clone()))
                    .write(Write::Put(new_key, encode(&id)?))
                    .write(Write::Delete(keys::app_name(&app.name)));
                app.name = name.clone();
            }
            app.maintenance = change.maintenance.unwrap_or(app.maintenance);
            if let Some(buildpacks) = &change.buildpacks {
                app.buildpacks.clone_from(buildpacks);
            }
            match &change.feature {
                Some((name, true)) => {
                    app.features.insert(name.clone());
                }
                Some((name, false)) => {
                    app.features.remove(name);
                }
                None => {}
            }
            if app == stored.value {
                return Ok(app);
            }
            app.updated_at = Timestamp::now();
            match self
                .store
                .commit(transaction.write(Write::Put(keys::app(id), encode(&app)?)))
                .await
            {
                Ok(_) => return Ok(app),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::Busy)
    }

    /// The app's formation; empty before the first deploy.
    pub async fn formation(&self, id: AppId) -> Result<Formation, AppError> {
        let stored = get(&*self.store, &keys::formation(id)).await?;
        Ok(stored.map(|stored| stored.value).unwrap_or_default())
    }

    /// Changes a formation by `update`, all or nothing. Answers it as it was and as it is.
    pub async fn scale(
        &self,
        id: AppId,
        update: impl Fn(&mut Formation) -> Result<(), crate::model::FormationError>,
    ) -> Result<(Formation, Formation), AppError> {
        for _ in 0..STORE_CONFLICT_RETRIES_MAX {
            let stored = get::<Formation>(&*self.store, &keys::formation(id)).await?;
            let before = stored
                .as_ref()
                .map(|stored| stored.value.clone())
                .unwrap_or_default();
            let mut after = before.clone();
            update(&mut after)?;
            let Some(stored) = stored else {
                // No formation and nothing refused: there was nothing to change.
                return Ok((before, after));
            };
            let transaction = Transaction::default()
                .check(stored.unchanged())
                .write(Write::Put(stored.key.clone(), encode(&after)?));
            match self.store.commit(transaction).await {
                Ok(_) => return Ok((before, after)),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::Busy)
    }

    /// Destroys an app. It is gone once this returns; what it left is removed now or at the next start.
    pub async fn destroy(&self, id: AppId) -> Result<App, AppError> {
        for _ in 0..STORE_CONFLICT_RETRIES_MAX {
            let stored = self.read(id).await?;
            let app = stored.value.clone();
            let transaction = Transaction::default()
                .check(stored.unchanged())
                .write(Write::Put(tombstone(id), encode(&Timestamp::now())?))
                .write(Write::Delete(keys::app_name(&app.name)))
                .write(Write::Delete(keys::app(id)));
            match self.store.commit(transaction).await {
                Ok(_) => {
                    self.logs.remove(id);
                    if let Some(count) = self.count.get() {
                        count.fetch_sub(1, Ordering::Relaxed);
                    }
                    if let Err(error) = self.purge(id).await {
                        tracing::warn!(app = %app.name, %error, "a destroyed app's data is left for the next start");
                    }
                    return Ok(app);
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AppError::Busy)
    }

    /// Removes what destroyed apps left when the process ended in between.
    pub async fn purge_leftovers(&self) -> Result<(), StoreError> {
        for stored in list_all::<Timestamp>(&*self.store, &tombstones()).await? {
            if let Some(id) = stored
                .key
                .strip_prefix(&tombstones())
                .and_then(AppId::parse)
            {
                self.purge(id).await?;
            }
        }
        Ok(())
    }

    async fn purge(&self, id: AppId) -> Result<(), StoreError> {
        for prefix in [
            keys::releases(id),
            keys::release_ids(id),
            keys::configs(id),
            keys::builds(id),
        ] {
            loop {
                let page = self
                    .store
                    .list(&prefix, None, PURGE_BATCH.min(STORE_LIST_ENTRIES_MAX))
                    .await?;
                if page.entries.is_empty() {
                    break;
                }
                let writes = page
                    .entries
                    .into_iter()
                    .map(|entry| Write::Delete(entry.key))
                    .collect();
                self.store
                    .commit(Transaction {
                        checks: Vec::new(),
                        writes,
                    })
                    .await?;
            }
        }
        let rest = [keys::formation(id), keys::build_cache(id), tombstone(id)];
        let writes = rest.into_iter().map(Write::Delete).collect();
        self.store
            .commit(Transaction {
                checks: Vec::new(),
                writes,
            })
            .await?;
        Ok(())
    }
}

fn tombstones() -> String {
    format!("{}destroyed/", keys::ROOT)
}

fn tombstone(id: AppId) -> String {
    format!("{}{id}", tombstones())
}
