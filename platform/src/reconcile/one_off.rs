//! One-off dynos: a command run once with the current release's slug and config vars.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::desired::{self, DesiredRelease};
use super::engine::{BOOT, DynoStart, LoadFailure, ProcessRequest, Run, RunningDyno, log_as};
use super::fleet::{Fleet, Selection};
use super::members::WEB;
use super::status::{BoardEntry, DynoStatus};
use crate::limits::{ONE_OFF_DYNOS_MAX, STOP_GRACE};
use crate::model::{App, AppId, DynoSizeName, Timestamp};
use crate::release::ReleaseError;

/// A command to run once.
#[derive(Clone, Debug)]
pub(crate) struct OneOff {
    /// The command line, or a process type followed by more arguments.
    pub command: String,
    pub environment: BTreeMap<String, String>,
    pub size: DynoSizeName,
    /// `run` unless the client names another.
    pub process_type: String,
}

/// Why a one-off did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OneOffError {
    #[error("The app has no release to run; deploy it first.")]
    NoRelease,
    #[error("{ONE_OFF_DYNOS_MAX} one-off dynos of this app run already.")]
    TooMany,
    #[error("The command line has an open quote.")]
    Quoting,
    #[error(
        "The type of a one-off dyno has letters, digits, - and _ only, and is no process type of the app."
    )]
    ProcessType,
    #[error("The process could not be loaded: {0}")]
    Load(#[from] LoadFailure),
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

/// The one-offs that run now.
#[derive(Default)]
pub(super) struct OneOffs(Mutex<HashMap<AppId, Vec<BoardEntry>>>);

impl OneOffs {
    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Vec<BoardEntry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn board(&self, app: AppId) -> Vec<BoardEntry> {
        self.lock().get(&app).cloned().unwrap_or_default()
    }

    /// Asks the selected ones to stop.
    pub fn stop(&self, app: AppId, selection: &Selection) {
        for entry in self.board(app) {
            // Restarting "all" restarts the formation; a one-off is stopped only when it is meant.
            let meant = *selection != Selection::All
                && selection.includes(&entry.status.name, &entry.status.process_type);
            if let Some(dyno) = entry.dyno.filter(|_| meant) {
                tokio::spawn(dyno.stop(STOP_GRACE));
            }
        }
    }

    /// Asks all of them to stop.
    pub fn stop_all(&self) {
        let all: Vec<BoardEntry> = self.lock().values().flatten().cloned().collect();
        for dyno in all.into_iter().filter_map(|entry| entry.dyno) {
            tokio::spawn(dyno.stop(STOP_GRACE));
        }
    }

    fn remove(&self, app: AppId, id: Uuid) {
        let mut all = self.lock();
        if let Some(entries) = all.get_mut(&app) {
            entries.retain(|entry| entry.status.id != id);
            if entries.is_empty() {
                all.remove(&app);
            }
        }
    }
}

/// `run.1234`
pub(crate) fn one_off_name(process_type: &str) -> String {
    format!("{process_type}.{}", rand::random_range(1_000..10_000_u32))
}

impl Fleet {
    /// Starts a one-off and returns once it is starting.
    pub async fn run_one_off(&self, app: &App, one_off: OneOff) -> Result<DynoStatus, OneOffError> {
        let parts = &self.inner.parts;
        let desired = desired::read(&parts.apps, &parts.releases, app.id)
            .await?
            .ok_or(ReleaseError::NoSuchApp)?;
        let release = desired.release.as_ref().ok_or(OneOffError::NoRelease)?;
        let valid = one_off.process_type.len() <= 30
            && !one_off.process_type.is_empty()
            && one_off
                .process_type
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !release
                .slug
                .process_types
                .contains_key(&one_off.process_type);
        if !valid {
            return Err(OneOffError::ProcessType);
        }
        let log = parts.logs.app(app.id, app.name.as_str());
        let (process_type, run) = resolve(release, &one_off.command)?;
        let loading = parts.engine.load(ProcessRequest {
            app: app.name.to_string(),
            release: release.release.version.to_string(),
            slug: release.slug.digest.clone(),
            process_type,
            config_vars: release.config_vars.clone(),
            log: log_as(Arc::clone(&log), BOOT.to_owned()),
        });
        let process = loading.await?;
        let mut all = self.inner.one_offs.lock();
        let entries = all.entry(app.id).or_default();
        if entries.len() >= ONE_OFF_DYNOS_MAX {
            return Err(OneOffError::TooMany);
        }
        let mut name = one_off_name(&one_off.process_type);
        while entries.iter().any(|entry| entry.status.name == name) {
            name = one_off_name(&one_off.process_type);
        }
        let dyno = process.start(DynoStart {
            name: name.clone(),
            size: one_off.size,
            log: log_as(log, name.clone()),
            run,
            environment: one_off.environment,
            place: None,
        });
        let now = Timestamp::now();
        let status = DynoStatus {
            id: Uuid::new_v4(),
            name,
            process_type: one_off.process_type,
            command: one_off.command,
            size: one_off.size,
            state: dyno.state().as_str(),
            release_id: release.release.id,
            release_version: release.release.version,
            created_at: now,
            updated_at: now,
        };
        entries.push(BoardEntry {
            status: status.clone(),
            dyno: Some(Arc::clone(&dyno)),
        });
        drop(all);
        self.watch_end(app.id, status.id, dyno);
        Ok(status)
    }

    /// Takes a one-off off the board when it ends.
    fn watch_end(&self, app: AppId, id: Uuid, dyno: Arc<dyn RunningDyno>) {
        let fleet = self.clone();
        self.inner.tasks.spawn(async move {
            dyno.exit().await;
            fleet.inner.one_offs.remove(app, id);
        });
    }
}

/// Which process type's code runs a command line, and with which arguments.
fn resolve(release: &DesiredRelease, command: &str) -> Result<(String, Run), OneOffError> {
    let mut words = shell_words::split(command).map_err(|_| OneOffError::Quoting)?;
    let types = &release.slug.process_types;
    if let Some(first) = words.first()
        && let Some((process_type, _)) = types.get_key_value(first)
    {
        // `rake db:migrate`: the type's own arguments, then what follows.
        let more = words.split_off(1);
        return Ok((process_type.clone(), Run::OnceWith(more)));
    }
    // The language's interpreter is in every process type of an app; a type made for consoles comes first.
    let preferred = ["console", "run", WEB]
        .into_iter()
        .find(|name| types.contains_key(*name));
    let process_type = preferred
        .map(str::to_owned)
        .or_else(|| types.keys().next().cloned());
    Ok((
        process_type.ok_or(OneOffError::NoRelease)?,
        Run::OnceInstead(words),
    ))
}
