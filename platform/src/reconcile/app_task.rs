//! One app's reconciler: owns its dynos and its route, converges them on what is wanted, and rests when they are.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use dyno_router::Backend;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::app_shared::AppShared;
use super::desired::{self, Desired, DesiredRelease};
use super::engine::{
    BOOT, Beginning, DynoStart, DynoState, FormationPlace, LoadFailure, LoadedProcess, Observer,
    ProcessRequest, Run, log_as,
};
use super::fleet::{FleetParts, Inner, Nudge};
use super::members::{Member, NewMember, Role, WEB};
use super::route::{Route, Wanted};
use super::status::{BoardEntry, DynoStatus};
use crate::limits::{RECONCILE_PERIOD, RECONCILE_RETRY_MAX, RECONCILE_RETRY_MIN, STOP_GRACE};
use crate::log::{AppLog, LogSource};
use crate::model::{App, AppId, DynoSizeName, FormationEntry, ReleaseVersion, Timestamp};

/// One app's reconciler.
pub(super) struct AppTask {
    pub id: AppId,
    pub parts: Arc<FleetParts>,
    pub log: Arc<AppLog>,
    pub shared: Arc<AppShared>,
    pub nudge: Nudge,
    pub route: Route,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
    /// How dynos begin that were up before the host went down.
    pub beginning: Beginning,
    /// Held while the app comes up, so that not all of them do at the same time.
    pub turn: Option<OwnedSemaphorePermit>,
    members: Vec<Member>,
    loads: Vec<Load>,
    /// The release whose web dynos are in the route.
    published: Option<ReleaseVersion>,
}

pub(super) type LoadResult = Result<Arc<dyn LoadedProcess>, LoadFailure>;

/// A process type of a release.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct LoadKey {
    version: ReleaseVersion,
    process_type: String,
}

/// How far the code of a process type is.
struct Load {
    key: LoadKey,
    progress: Progress,
}

enum Progress {
    Running { failures: u32 },
    Ready(Arc<dyn LoadedProcess>),
    Failed { failures: u32, retry_at: Instant },
}

/// The end of something that was begun in a pass.
pub(super) enum Ended {
    Load {
        key: LoadKey,
        result: LoadResult,
    },
    /// A member, by its id.
    Stop(Uuid),
}

/// What an app's reconciler is made of.
pub(super) struct NewTask<'a> {
    pub app: &'a App,
    pub parts: Arc<FleetParts>,
    pub shared: Arc<AppShared>,
    pub nudge: Nudge,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
    pub beginning: Beginning,
}

impl AppTask {
    /// A reconciler at rest, and the app's route as far as its row tells: until the first pass, requests wait.
    pub fn new(new: NewTask<'_>) -> Self {
        let app = new.app;
        let mut route = Route::new(new.parts.router.clone(), app.id.to_string().into());
        let wanted = match app.release_current {
            _ if app.maintenance => Wanted::Maintenance,
            Some(_) => Wanted::Starting(1),
            None => Wanted::Blank,
        };
        route.publish(&app.name, wanted);
        Self {
            log: new.parts.logs.app(app.id, app.name.as_str()),
            route,
            shared: new.shared,
            id: app.id,
            parts: new.parts,
            nudge: new.nudge,
            tasks: new.tasks,
            shutdown: new.shutdown,
            beginning: new.beginning,
            turn: None,
            members: Vec::new(),
            loads: Vec::new(),
            published: None,
        }
    }

    /// Converges until nothing is left to be done; then the fleet parks it, until the next nudge. Ends for good when
    /// the app is gone and stopped, or after a shutdown when everything is stopped.
    pub async fn run(mut self: Box<Self>, fleet: Weak<Inner>) {
        let mut wanted: Option<Option<Arc<Desired>>> = None;
        loop {
            let mut read = None;
            let ending = self.shutdown.is_cancelled() || fleet.strong_count() == 0;
            if ending {
                wanted = Some(None);
            } else if self.shared.outdated.swap(false, Ordering::AcqRel) || wanted.is_none() {
                read = Some(self.shared.reads.fetch_add(1, Ordering::AcqRel) + 1);
                // A failure keeps what was known; what runs, runs on.
                wanted = self.read().await.or(wanted);
            }
            self.collect();
            match &wanted {
                Some(Some(desired)) => self.converge(desired),
                // At a shutdown the route stays: requests in flight end, and the router is closing anyway.
                Some(None) => self.leave(ending),
                None => {}
            }
            if let Some(read) = read {
                self.shared.follow(read);
            }
            let wait = match wanted {
                None => Some(RECONCILE_RETRY_MIN),
                Some(_) => self.next_look(),
            };
            let Some(wait) = wait else {
                (self.turn, self.beginning) = (None, Beginning::Started);
                let gone = matches!(wanted, Some(None)) && self.members.is_empty();
                match Inner::rest(&fleet, self, gone) {
                    Some(nudged) => {
                        self = nudged;
                        continue;
                    }
                    None => return,
                }
            };
            let shutdown = self.shutdown.clone();
            tokio::select! {
                () = self.shared.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled(), if !ending => {}
            }
        }
    }

    async fn read(&self) -> Option<Option<Arc<Desired>>> {
        match desired::read(&self.parts.apps, &self.parts.releases, self.id).await {
            Ok(desired) => Some(desired),
            Err(error) => {
                // One app's damaged row must not stop the others.
                tracing::error!(app = %self.id, %error, "what should run of an app could not be read");
                self.shared.outdated.store(true, Ordering::Release);
                None
            }
        }
    }

    /// Takes in what ended since the last pass.
    fn collect(&mut self) {
        let ended = std::mem::take(&mut *lock(&self.shared.ended));
        for ended in ended {
            match ended {
                Ended::Load { key, result } => self.finish_load(&key, result),
                Ended::Stop(id) => {
                    for member in self.members.iter_mut().filter(|member| member.id == id) {
                        member.role = Role::Gone;
                    }
                }
            }
        }
        self.members.retain(|member| member.role != Role::Gone);
        let restarts = std::mem::take(&mut *lock(&self.shared.restarts));
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

    fn finish_load(&mut self, key: &LoadKey, result: LoadResult) {
        self.turn = None;
        let Some(load) = self.loads.iter_mut().find(|load| load.key == *key) else {
            return; // Nobody wants that release any more.
        };
        match result {
            Ok(process) => load.progress = Progress::Ready(process),
            Err(error) => {
                let failures = match load.progress {
                    Progress::Running { failures } | Progress::Failed { failures, .. } => {
                        failures + 1
                    }
                    Progress::Ready(_) => 1,
                };
                let wait = RECONCILE_RETRY_MIN
                    .saturating_mul(1 << failures.min(10))
                    .min(RECONCILE_RETRY_MAX);
                load.progress = Progress::Failed {
                    failures,
                    retry_at: Instant::now() + wait,
                };
                let process = format!("{}.1", key.process_type);
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
            .retain(|load| load.key.version == release.release.version);
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
        lock(&self.shared.board).clear();
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
        let always_on = number <= release.always_on(process_type);
        let place = FormationPlace {
            observer: self.observer(),
            beginning: if always_on || process_type != WEB {
                Beginning::Started
            } else {
                self.beginning
            },
            always_on,
        };
        self.start(release, &process, name, process_type, entry, place);
    }

    /// Nudges this app when a dyno begins or ceases to serve. That it rests or wakes is no change here: it stays in the
    /// route, and ten thousand of them may.
    fn observer(&self) -> Observer {
        let (nudge, served) = (self.nudge.clone(), AtomicBool::new(false));
        Arc::new(move |state| {
            let before = served.swap(state.serves(), Ordering::AcqRel);
            if !(before && state.serves()) {
                nudge.now();
            }
        })
    }

    fn start(
        &mut self,
        release: &DesiredRelease,
        process: &Arc<dyn LoadedProcess>,
        name: String,
        process_type: &str,
        entry: &FormationEntry,
        place: FormationPlace,
    ) {
        let dyno = process.start(DynoStart {
            name: name.clone(),
            size: entry.size,
            log: log_as(Arc::clone(&self.log), name.clone()),
            run: Run::Always,
            environment: release.metadata.clone(),
            streams: None,
            place: Some(place),
        });
        let new = NewMember {
            name,
            process_type: process_type.to_owned(),
            command: entry.command.clone(),
            release: &release.release,
            size: entry.size,
            dyno,
        };
        self.members.push(Member::new(new));
    }

    /// The loaded process type, or `None` after making sure that it is being loaded.
    fn process(
        &mut self,
        desired: &Desired,
        release: &DesiredRelease,
        process_type: &str,
    ) -> Option<Arc<dyn LoadedProcess>> {
        let key = LoadKey {
            version: release.release.version,
            process_type: process_type.to_owned(),
        };
        let known = self.loads.iter().position(|load| load.key == key);
        let failures = match known.map(|place| &self.loads[place].progress) {
            Some(Progress::Ready(process)) => return Some(Arc::clone(process)),
            Some(Progress::Running { .. }) => return None,
            Some(Progress::Failed { retry_at, .. }) if *retry_at > Instant::now() => return None,
            Some(Progress::Failed { failures, .. }) => *failures,
            None => 0,
        };
        let loading = self.parts.engine.load(ProcessRequest {
            app: desired.app.name.to_string(),
            release: release.release.version.to_string(),
            slug: release.slug.digest.clone(),
            process_type: process_type.to_owned(),
            config_vars: release.config_vars.clone(),
            log: log_as(Arc::clone(&self.log), BOOT.to_owned()),
        });
        let load = Load {
            key: key.clone(),
            progress: Progress::Running { failures },
        };
        match known {
            Some(place) => self.loads[place] = load,
            None => self.loads.push(load),
        }
        let (shared, nudge) = (Arc::clone(&self.shared), self.nudge.clone());
        self.tasks.spawn(async move {
            let result = loading.await;
            lock(&shared.ended).push(Ended::Load { key, result });
            nudge.now();
        });
        None
    }

    fn progress(&self, version: ReleaseVersion, process_type: &str) -> Option<&Progress> {
        let found = self
            .loads
            .iter()
            .find(|load| load.key.version == version && load.key.process_type == process_type);
        found.map(|load| &load.progress)
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
            self.progress(version, WEB),
            None | Some(Progress::Running { failures: 0 })
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
            let (shared, nudge) = (Arc::clone(&self.shared), self.nudge.clone());
            self.tasks.spawn(async move {
                if let Some(backend) = backend {
                    // Requests that outlive the grace are cut by the stop.
                    drop(tokio::time::timeout(STOP_GRACE, backend.idle()).await);
                }
                dyno.stop(STOP_GRACE).await;
                lock(&shared.ended).push(Ended::Stop(id));
                nudge.now();
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
        lock(&self.shared.board).clear();
    }

    /// When the next pass is due though nothing happens; `None` when only a nudge can change anything.
    fn next_look(&self) -> Option<Duration> {
        let now = Instant::now();
        let loads = self.loads.iter().filter_map(|load| match load.progress {
            Progress::Failed { retry_at, .. } => Some(retry_at.saturating_duration_since(now)),
            Progress::Running { .. } => Some(RECONCILE_PERIOD),
            Progress::Ready(_) => None,
        });
        let members = self.members.iter().filter_map(|member| match member.role {
            Role::Active => member.settles_within(),
            Role::Leaving | Role::Gone => Some(RECONCILE_PERIOD),
        });
        let restarts = (!lock(&self.shared.restarts).is_empty()).then_some(Duration::ZERO);
        let next = loads.chain(members).chain(restarts).min();
        next.map(|wait| wait.max(Duration::from_millis(10)))
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
        *lock(&self.shared.board) = board;
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
            self.progress(release.release.version, process_type),
            Some(Progress::Failed { .. } | Progress::Running { failures: 1.. })
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
