//! One-off dynos: a command run once with the current release's slug and config vars.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dyno_runtime::GuestStreams;
use dyno_shell::ParseError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::attached::{self, Awaited};
use super::command_line;
use super::desired;
use super::engine::{
    BOOT, DynoLog, DynoStart, LoadFailure, LoadedProcess, ProcessRequest, Run, RunningDyno, log_as,
};
use super::fleet::{Fleet, Selection};
use super::status::{BoardEntry, DynoStatus};
use crate::attach::{Attached, AwaitedClient};
use crate::limits::{ONE_OFF_DYNOS_MAX, STOP_GRACE};
use crate::log::LogSource;
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
    /// After this it is stopped.
    pub time_to_live: Duration,
}

/// Why a one-off did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OneOffError {
    #[error("The app has no release to run; deploy it first.")]
    NoRelease,
    #[error("{ONE_OFF_DYNOS_MAX} one-off dynos of this app run already.")]
    TooMany,
    #[error("The command cannot be run: {0}")]
    Line(#[from] ParseError),
    #[error(
        "A one-off dyno runs one program of the app; several, and commands of the shell's own, are not run yet.\n  hint: run them one by one, or put them into a script of the app's language"
    )]
    NotOneProgram,
    #[error(
        "The type of a one-off dyno has letters, digits, - and _ only, and is no process type of the app."
    )]
    ProcessType,
    #[error("The process could not be loaded: {0}")]
    Load(#[from] LoadFailure),
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

/// The one-offs that run now, or wait for their clients.
#[derive(Default)]
pub(super) struct OneOffs(Mutex<HashMap<AppId, Vec<Entry>>>);

#[derive(Clone)]
struct Entry {
    board: BoardEntry,
    stop: CancellationToken,
}

impl OneOffs {
    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Vec<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn board(&self, app: AppId) -> Vec<BoardEntry> {
        let all = self.lock();
        let entries = all.get(&app).into_iter().flatten();
        entries.map(|entry| entry.board.clone()).collect()
    }

    /// Asks the selected ones to stop.
    pub fn stop(&self, app: AppId, selection: &Selection) {
        let all = self.lock();
        for Entry { board, stop } in all.get(&app).into_iter().flatten() {
            // Restarting "all" restarts the formation; a one-off is stopped only when it is meant.
            if *selection != Selection::All
                && selection.includes(&board.status.name, &board.status.process_type)
            {
                stop.cancel();
            }
        }
    }

    /// Asks all of an app to stop.
    pub fn stop_of(&self, app: AppId) {
        for entry in self.lock().get(&app).into_iter().flatten() {
            entry.stop.cancel();
        }
    }

    /// Asks all of them to stop.
    pub fn stop_all(&self) {
        for entry in self.lock().values().flatten() {
            entry.stop.cancel();
        }
    }

    /// Puts a one-off on the board, under a name that no other has.
    fn enter(&self, app: AppId, status: DynoStatus) -> Result<Entry, OneOffError> {
        let mut all = self.lock();
        let entries = all.entry(app).or_default();
        if entries.len() >= ONE_OFF_DYNOS_MAX {
            return Err(OneOffError::TooMany);
        }
        let mut status = status;
        while status.name.is_empty()
            || entries
                .iter()
                .any(|entry| entry.board.status.name == status.name)
        {
            status.name = one_off_name(&status.process_type);
        }
        let entry = Entry {
            board: BoardEntry { status, dyno: None },
            stop: CancellationToken::new(),
        };
        entries.push(entry.clone());
        Ok(entry)
    }

    /// Shows from now on what the dyno itself says of its state.
    pub fn started(&self, app: AppId, id: Uuid, dyno: &Arc<dyn RunningDyno>) {
        let mut all = self.lock();
        let entries = all.get_mut(&app).into_iter().flatten();
        for entry in entries.filter(|entry| entry.board.status.id == id) {
            entry.board.dyno = Some(Arc::clone(dyno));
        }
    }

    pub fn remove(&self, app: AppId, id: Uuid) {
        let mut all = self.lock();
        if let Some(entries) = all.get_mut(&app) {
            entries.retain(|entry| entry.board.status.id != id);
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

/// A one-off that can be started.
pub(super) struct Ready {
    process: Arc<dyn LoadedProcess>,
    pub name: String,
    size: DynoSizeName,
    pub log: DynoLog,
    run: Run,
    environment: BTreeMap<String, String>,
    time_to_live: Duration,
    pub stop: CancellationToken,
}

impl Ready {
    /// Starts it; with `streams` its output goes there instead of to the log.
    pub fn start(&mut self, streams: Option<GuestStreams>, log: DynoLog) -> Arc<dyn RunningDyno> {
        self.process.start(DynoStart {
            name: self.name.clone(),
            size: self.size,
            log,
            run: std::mem::replace(&mut self.run, Run::OnceWith(Vec::new())),
            environment: std::mem::take(&mut self.environment),
            streams,
            place: None,
        })
    }

    /// Waits for its end, which comes at the latest when it is asked to stop or its time is over.
    pub async fn end(&self, dyno: &Arc<dyn RunningDyno>) -> i32 {
        tokio::select! {
            status = dyno.exit() => return status,
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(self.time_to_live) => {}
        }
        let say = |text: &str| (self.log)(LogSource::Heroku, text);
        say("Stopping all processes with SIGTERM");
        dyno.stop(STOP_GRACE).await;
        let status = dyno.exit().await;
        say(&format!("Process exited with status {status}"));
        status
    }
}

impl Fleet {
    /// Starts a one-off, at once or when its client comes, and returns as soon as it is on the board.
    pub async fn run_one_off(
        &self,
        app: &App,
        one_off: OneOff,
        client: Option<(AwaitedClient, Attached)>,
    ) -> Result<DynoStatus, OneOffError> {
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
        let line = command_line::read(release, &one_off.environment, &one_off.command)?;
        let loading = parts.engine.load(ProcessRequest {
            app: app.name.to_string(),
            release: release.release.version.to_string(),
            slug: release.slug.digest.clone(),
            process_type: line.process_type,
            config_vars: release.config_vars.clone(),
            log: log_as(Arc::clone(&log), BOOT.to_owned()),
        });
        let process = loading.await?;
        let now = Timestamp::now();
        let entry = self.inner.one_offs.enter(
            app.id,
            DynoStatus {
                id: Uuid::new_v4(),
                name: String::new(),
                process_type: one_off.process_type,
                command: one_off.command,
                size: one_off.size,
                state: "starting",
                release_id: release.release.id,
                release_version: release.release.version,
                created_at: now,
                updated_at: now,
            },
        )?;
        let status = entry.board.status;
        let ready = Ready {
            process,
            name: status.name.clone(),
            size: one_off.size,
            log: log_as(log, status.name.clone()),
            run: line.run,
            // What the client says wins, and its command line most.
            environment: release
                .metadata
                .clone()
                .into_iter()
                .chain(one_off.environment)
                .chain(line.assignments)
                .collect(),
            time_to_live: one_off.time_to_live,
            stop: entry.stop,
        };
        let (fleet, app, id) = (self.clone(), app.id, status.id);
        self.inner.tasks.spawn(async move {
            match client {
                Some((client, attached)) => {
                    let awaited = Awaited { client, attached };
                    let started = |dyno: &_| fleet.inner.one_offs.started(app, id, dyno);
                    attached::serve(ready, awaited, started).await;
                }
                None => {
                    run_detached(ready, |dyno| fleet.inner.one_offs.started(app, id, dyno)).await;
                }
            }
            fleet.inner.one_offs.remove(app, id);
        });
        Ok(status)
    }

    /// Asks an app's one-offs to stop: the app is gone.
    pub fn stop_one_offs_of(&self, app: AppId) {
        self.inner.one_offs.stop_of(app);
    }

    /// Asks all one-offs to stop, and their clients to leave.
    pub fn stop_one_offs(&self) {
        self.inner.one_offs.stop_all();
    }
}

async fn run_detached(mut ready: Ready, started: impl Fn(&Arc<dyn RunningDyno>)) {
    let log = Arc::clone(&ready.log);
    let dyno = ready.start(None, log);
    started(&dyno);
    ready.end(&dyno).await;
}
