//! One app's reconciler: owns its dynos and its route, and converges them on what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dyno_router::Backend;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::desired::{Desired, DesiredRelease};
use super::engine::{
    BOOT, DynoStart, DynoState, Engine, LoadFailure, LoadedProcess, ProcessRequest, Run, log_as,
};
use super::fleet::Selection;
use super::members::{Member, NewMember, Role, WEB};
use super::route::{Route, Wanted};
use super::status::{BoardEntry, DynoStatus};
use crate::limits::{RECONCILE_RETRY_MAX, RECONCILE_RETRY_MIN, STOP_GRACE};
use crate::log::{AppLog, LogSource};
use crate::model::{AppId, DynoSizeName, FormationEntry, ReleaseVersion, Timestamp};

/// What an app's task shares with the API.
#[derive(Default)]
pub(super) struct AppShared {
    /// Wakes the task: a dyno changed state, a load or a stop ended, a restart was asked for.
    pub changed: Arc<Notify>,
    /// Restarts that were asked for and not yet seen. A crash forgets them, and restarts everything.
    pub restarts: Mutex<Vec<Selection>>,
    /// What the API shows.
    pub board: Mutex<Vec<BoardEntry>>,
}

/// Everything an app's task works with.
pub(super) struct AppTask {
    pub id: AppId,
    pub engine: Arc<dyn Engine>,
    pub log: Arc<AppLog>,
    pub shared: Arc<AppShared>,
    pub route: Route,
    pub tasks: TaskTracker,
    members: Vec<Member>,
    loads: BTreeMap<(ReleaseVersion, String), Load>,
    finished_loads: (mpsc::Sender<FinishedLoad>, mpsc::Receiver<FinishedLoad>),
    finished_stops: (mpsc::UnboundedSender<Uuid>, mpsc::UnboundedReceiver<Uuid>),
    /// The release whose web dynos are in the route.
    published: Option<ReleaseVersion>,
}

type LoadResult = Result<Arc<dyn LoadedProcess>, LoadFailure>;

struct FinishedLoad {
    key: (ReleaseVersion, String),
    result: LoadResult,
}

/// How far the code of a process type is.
enum Load {
    Running { failures: u32 },
    Ready(Arc<dyn LoadedProcess>),
    Failed { failures: u32, retry_at: Instant },
}

impl AppTask {
    pub fn new(
        id: AppId,
        engine: Arc<dyn Engine>,
        log: Arc<AppLog>,
        shared: Arc<AppShared>,
        route: Route,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            id,
            engine,
            log,
            shared,
            route,
            tasks,
            members: Vec::new(),
            loads: BTreeMap::new(),
            // A load ends at most once per process type, so the room is never short.
            finished_loads: mpsc::channel(crate::limits::PROCESS_TYPES_MAX * 2),
            // Bounded by the number of members, each of which stops once.
            finished_stops: mpsc::unbounded_channel(),
            published: None,
        }
    }

    /// Runs until the app is gone and stopped, or until `shutdown` and everything is stopped.
    pub async fn run(
        mut self,
        mut desired: watch::Receiver<Option<Arc<Desired>>>,
        shutdown: CancellationToken,
    ) {
        let mut fleet_gone = false;
        loop {
            let ending = fleet_gone || shutdown.is_cancelled();
            let wanted = if ending {
                None
            } else {
                desired.borrow_and_update().clone()
            };
            self.collect();
            match &wanted {
                Some(desired) => self.converge(desired),
                // At a shutdown the route stays: requests in flight end, and the router is closing anyway.
                None => self.leave(ending),
            }
            if wanted.is_none() && self.members.is_empty() {
                return;
            }
            let retry = self.next_retry();
            tokio::select! {
                () = self.shared.changed.notified() => {}
                // An error means that the fleet has gone: the same as a shutdown.
                result = desired.changed(), if !fleet_gone => fleet_gone = result.is_err(),
                () = tokio::time::sleep(retry) => {}
                () = shutdown.cancelled(), if !ending => {}
            }
        }
    }

    /// Takes in what ended since the last pass.
    fn collect(&mut self) {
        while let Ok(finished) = self.finished_loads.1.try_recv() {
            self.finish_load(finished);
        }
        while let Ok(id) = self.finished_stops.1.try_recv() {
            for member in self.members.iter_mut().filter(|member| member.id == id) {
                member.role = Role::Gone;
            }
        }
        self.members.retain(|member| member.role != Role::Gone);
        let restarts = std::mem::take(
            &mut *self
                .shared
                .restarts
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for selection in restarts {
            for member in self
                .members
                .iter_mut()
                .filter(|member| member.role == Role::Active)
            {
                if selection.includes(&member.name, &member.process_type) && !member.stale {
                    member.stale = true;
                    self.log
                        .write(LogSource::Heroku, &member.name, "Restarting");
                }
            }
        }
    }

    fn finish_load(&mut self, finished: FinishedLoad) {
        let Some(load) = self.loads.get_mut(&finished.key) else {
            return; // Nobody wants that release any more.
        };
        match finished.result {
            Ok(process) => *load = Load::Ready(process),
            Err(error) => {
                let failures = match load {
                    Load::Running { failures } | Load::Failed { failures, .. } => *failures + 1,
                    Load::Ready(_) => 1,
                };
                let wait = RECONCILE_RETRY_MIN
                    .saturating_mul(1 << failures.min(10))
                    .min(RECONCILE_RETRY_MAX);
                *load = Load::Failed {
                    failures,
                    retry_at: Instant::now() + wait,
                };
                let process = format!("{}.1", finished.key.1);
                self.log.write(
                    LogSource::Heroku,
                    &process,
                    &format!("Process could not be loaded: {error}"),
                );
                self.log.write(
                    LogSource::Heroku,
                    &process,
                    "State changed from starting to crashed",
                );
            }
        }
    }

    /// One pass: every step that is possible now.
    fn converge(&mut self, desired: &Desired) {
        let Some(release) = &desired.release else {
            self.members.iter_mut().for_each(retire);
            self.publish_without_release(desired);
            return;
        };
        self.loads
            .retain(|(version, _), _| *version == release.release.version);
        for (process_type, entry) in &desired.formation.0 {
            for number in 1..=desired.quantity(process_type) {
                self.ensure(desired, release, process_type, entry, number);
            }
        }
        let all_settled = self.web_is_settled(desired, release);
        if all_settled {
            self.published = Some(release.release.version);
        }
        self.retire_unwanted(desired, release, all_settled);
        // The route changes before a dyno is stopped: from here on no new request reaches one that leaves.
        self.route.publish(
            &desired.app.name,
            self.wanted_route(desired, release, all_settled),
        );
        self.stop_leaving();
        self.show(desired, release);
    }

    fn publish_without_release(&mut self, desired: &Desired) {
        let wanted = if desired.app.maintenance {
            Wanted::Maintenance
        } else {
            Wanted::Blank
        };
        self.route.publish(&desired.app.name, wanted);
        self.published = None;
        self.stop_leaving();
        self.shared
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Starts `process_type.number` if nothing fresh runs under that name.
    fn ensure(
        &mut self,
        desired: &Desired,
        release: &DesiredRelease,
        process_type: &str,
        entry: &FormationEntry,
        number: u32,
    ) {
        let name = format!("{process_type}.{number}");
        let version = release.release.version;
        if self
            .members
            .iter()
            .any(|member| member.name == name && member.is_fresh(version, entry.size))
        {
            return;
        }
        let Some(process) = self.process(desired, release, process_type) else {
            return;
        };
        if process_type != WEB {
            // A worker and its successor never run at the same time: the old one goes first.
            let mut busy = false;
            for member in self.members.iter_mut().filter(|member| member.name == name) {
                retire(member);
                busy = true;
            }
            if busy {
                return;
            }
        }
        self.start(release, &process, name, process_type, entry);
    }

    fn start(
        &mut self,
        release: &DesiredRelease,
        process: &Arc<dyn LoadedProcess>,
        name: String,
        process_type: &str,
        entry: &FormationEntry,
    ) {
        let dyno = process.start(DynoStart {
            name: name.clone(),
            size: entry.size,
            log: log_as(Arc::clone(&self.log), name.clone()),
            run: Run::Always,
            environment: BTreeMap::new(),
        });
        let new = NewMember {
            name,
            process_type: process_type.to_owned(),
            command: entry.command.clone(),
            release: &release.release,
            size: entry.size,
            dyno,
        };
        self.members.push(Member::new(new, &self.shared.changed));
    }

    /// The loaded process type, or `None` after making sure that it is being loaded.
    fn process(
        &mut self,
        desired: &Desired,
        release: &DesiredRelease,
        process_type: &str,
    ) -> Option<Arc<dyn LoadedProcess>> {
        let key = (release.release.version, process_type.to_owned());
        let failures = match self.loads.get(&key) {
            Some(Load::Ready(process)) => return Some(Arc::clone(process)),
            Some(Load::Running { .. }) => return None,
            Some(Load::Failed { retry_at, .. }) if *retry_at > Instant::now() => return None,
            Some(Load::Failed { failures, .. }) => *failures,
            None => 0,
        };
        let loading = self.engine.load(ProcessRequest {
            app: desired.app.name.to_string(),
            release: release.release.version.to_string(),
            slug: release.slug.digest.clone(),
            process_type: process_type.to_owned(),
            config_vars: release.config_vars.clone(),
            log: log_as(Arc::clone(&self.log), BOOT.to_owned()),
        });
        let (finished, changed) = (
            self.finished_loads.0.clone(),
            Arc::clone(&self.shared.changed),
        );
        self.loads.insert(key.clone(), Load::Running { failures });
        self.tasks.spawn(async move {
            let result = loading.await;
            // An error means that the app's task has ended, and with it the need.
            drop(finished.send(FinishedLoad { key, result }).await);
            changed.notify_one();
        });
        None
    }

    /// Every wanted web dyno is there and either serves or has shown that it does not.
    ///
    /// A release whose dynos crash replaces the one before it (Heroku's rule: what is current runs, H10 says how). One
    /// whose code cannot even be loaded starts no dyno, so it never settles and the one before it keeps serving.
    fn web_is_settled(&self, desired: &Desired, release: &DesiredRelease) -> bool {
        let version = release.release.version;
        let Some(entry) = desired.formation.0.get(WEB) else {
            return true;
        };
        (1..=desired.quantity(WEB)).all(|number| {
            let name = format!("{WEB}.{number}");
            let mut fresh = self.members.iter().filter(|member| member.name == name);
            fresh.any(|member| member.is_fresh(version, entry.size) && member.is_settled())
        })
    }

    /// Marks what should not run: surplus numbers, vanished types, replaced dynos.
    fn retire_unwanted(&mut self, desired: &Desired, release: &DesiredRelease, all_settled: bool) {
        let version = release.release.version;
        let mut names = BTreeSet::new();
        for process_type in desired.formation.0.keys() {
            names.extend(
                (1..=desired.quantity(process_type))
                    .map(|number| format!("{process_type}.{number}")),
            );
        }
        for member in &mut self.members {
            if !names.contains(&member.name) {
                retire(member);
                continue;
            }
            let size = desired
                .formation
                .0
                .get(&member.process_type)
                .map(|entry| entry.size);
            let fresh = size.is_some_and(|size| member.is_fresh(version, size));
            // A web dyno serves until its successor does; other types were dealt with when theirs started.
            if !fresh && member.is_web() && all_settled {
                retire(member);
            }
        }
    }

    fn wanted_route(
        &self,
        desired: &Desired,
        release: &DesiredRelease,
        all_settled: bool,
    ) -> Wanted {
        let quantity = desired.quantity(WEB);
        if desired.app.maintenance {
            return Wanted::Maintenance;
        }
        if quantity == 0 {
            return Wanted::NoWebProcesses;
        }
        let version = release.release.version;
        let serving = |fits: &dyn Fn(&Member) -> bool| -> Vec<Arc<Backend>> {
            self.members
                .iter()
                .filter(|member| {
                    member.role == Role::Active && member.dyno.state().serves() && fits(member)
                })
                .filter_map(|member| member.backend.clone())
                .collect()
        };
        // Until all new ones are settled the published release serves alone, so that the switch is one step.
        let mut backends = if all_settled {
            serving(&|member| member.release == version && !member.stale)
        } else {
            serving(&|member| Some(member.release) == self.published)
        };
        if backends.is_empty() {
            backends = serving(&|_| true);
        }
        if !backends.is_empty() {
            return Wanted::Active(backends);
        }
        let loading = matches!(
            self.loads.get(&(version, WEB.to_owned())),
            None | Some(Load::Running { failures: 0 })
        );
        let starting = self.members.iter().any(|member| {
            member.role == Role::Active
                && member.is_web()
                && member.dyno.state() == DynoState::Starting
        });
        if loading || starting {
            Wanted::Starting(quantity as usize)
        } else {
            Wanted::Crashed
        }
    }

    /// Stops what was marked: its requests end first, then the dyno gets its grace.
    fn stop_leaving(&mut self) {
        let leaving = self
            .members
            .iter_mut()
            .filter(|member| member.role == Role::Leaving && !member.stopping);
        for member in leaving {
            member.stopping = true;
            let (id, dyno, backend) = (member.id, Arc::clone(&member.dyno), member.backend.clone());
            let (finished, changed) = (
                self.finished_stops.0.clone(),
                Arc::clone(&self.shared.changed),
            );
            self.tasks.spawn(async move {
                if let Some(backend) = backend {
                    // Requests that outlive the grace are cut by the stop.
                    drop(tokio::time::timeout(STOP_GRACE, backend.idle()).await);
                }
                dyno.stop(STOP_GRACE).await;
                // An error means that the app's task has ended, and nobody waits any more.
                let _ = finished.send(id);
                changed.notify_one();
            });
        }
    }

    /// The app is gone, or the platform stops: everything is stopped.
    fn leave(&mut self, keep_route: bool) {
        if !keep_route {
            self.route.remove();
        }
        self.members.iter_mut().for_each(retire);
        self.stop_leaving();
        self.shared
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// When the next pass is due though nothing happens.
    fn next_retry(&self) -> Duration {
        let now = Instant::now();
        let retries = self.loads.values().filter_map(|load| match load {
            Load::Failed { retry_at, .. } => Some(retry_at.saturating_duration_since(now)),
            _ => None,
        });
        retries
            .min()
            .unwrap_or(crate::limits::RECONCILE_PERIOD)
            .max(Duration::from_millis(10))
    }

    /// Updates what the API shows: one line per wanted name.
    fn show(&self, desired: &Desired, release: &DesiredRelease) {
        let version = release.release.version;
        let mut board = Vec::new();
        for (process_type, entry) in &desired.formation.0 {
            for number in 1..=desired.quantity(process_type) {
                let name = format!("{process_type}.{number}");
                let mut members: Vec<&Member> = self
                    .members
                    .iter()
                    .filter(|member| member.name == name && member.role == Role::Active)
                    .collect();
                // The one that is to stay is shown, even while its predecessor still serves.
                members.sort_by_key(|member| !member.is_fresh(version, entry.size));
                board.push(match members.first() {
                    Some(member) => shown(member),
                    None => {
                        self.placeholder(release, process_type, name, entry.size, &entry.command)
                    }
                });
            }
        }
        board.sort_by_key(BoardEntry::order);
        *self
            .shared
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = board;
    }

    /// A dyno that is wanted and has not been started yet.
    fn placeholder(
        &self,
        release: &DesiredRelease,
        process_type: &str,
        name: String,
        size: DynoSizeName,
        command: &str,
    ) -> BoardEntry {
        let failed = matches!(
            self.loads
                .get(&(release.release.version, process_type.to_owned())),
            Some(Load::Failed { .. } | Load::Running { failures: 1.. })
        );
        let state = if failed {
            DynoState::Crashed
        } else {
            DynoState::Starting
        };
        // Stable while it is shown, so that a client sees one dyno and not many.
        let id = Uuid::new_v5(
            &release.release.id,
            format!("{}/{name}", self.id).as_bytes(),
        );
        let status = DynoStatus {
            id,
            name,
            process_type: process_type.to_owned(),
            command: command.to_owned(),
            size,
            state: state.as_str(),
            release_id: release.release.id,
            release_version: release.release.version,
            created_at: release.release.created_at,
            updated_at: Timestamp::now(),
        };
        BoardEntry { status, dyno: None }
    }
}

fn retire(member: &mut Member) {
    if member.role == Role::Active {
        member.role = Role::Leaving;
    }
}

fn shown(member: &Member) -> BoardEntry {
    let status = DynoStatus {
        id: member.id,
        name: member.name.clone(),
        process_type: member.process_type.clone(),
        command: member.command.clone(),
        size: member.size,
        state: DynoState::Starting.as_str(),
        release_id: member.release_id,
        release_version: member.release,
        created_at: member.created_at,
        updated_at: member.created_at,
    };
    BoardEntry {
        status,
        dyno: Some(Arc::clone(&member.dyno)),
    }
}
