//! The dynos that one app's task owns, and what each may do next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dyno_router::Backend;
use uuid::Uuid;

use super::engine::{DynoState, RunningDyno};
use crate::limits::BOOT_WAIT;
use crate::model::{DynoSizeName, Release, ReleaseVersion, Timestamp};

/// Where a member is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Should run, unless it is stale.
    Active,
    /// Is out of the route and is being stopped; only waited for.
    Leaving,
    /// Has stopped; removed at the next pass.
    Gone,
}

/// One dyno of an app.
pub(super) struct Member {
    pub id: Uuid,
    pub name: String,
    pub process_type: String,
    pub command: String,
    pub release: ReleaseVersion,
    pub release_id: Uuid,
    pub size: DynoSizeName,
    pub role: Role,
    /// Its stop is under way.
    pub stopping: bool,
    /// A restart was asked for: to be replaced.
    pub stale: bool,
    pub created_at: Timestamp,
    pub dyno: Arc<dyn RunningDyno>,
    pub backend: Option<Arc<Backend>>,
    started: Instant,
}

/// What a new member is made of.
pub(super) struct NewMember<'a> {
    pub name: String,
    pub process_type: String,
    pub command: String,
    pub release: &'a Release,
    pub size: DynoSizeName,
    pub dyno: Arc<dyn RunningDyno>,
}

impl Member {
    /// Takes a started dyno.
    pub fn new(new: NewMember<'_>) -> Self {
        let backend = (new.process_type == WEB).then(|| new.dyno.backend());
        Self {
            id: Uuid::new_v4(),
            name: new.name,
            process_type: new.process_type,
            command: new.command,
            release: new.release.version,
            release_id: new.release.id,
            size: new.size,
            role: Role::Active,
            stopping: false,
            stale: false,
            created_at: Timestamp::now(),
            dyno: new.dyno,
            backend,
            started: Instant::now(),
        }
    }

    pub fn is_web(&self) -> bool {
        self.backend.is_some()
    }

    /// Is what is wanted under its name.
    pub fn is_fresh(&self, release: ReleaseVersion, size: DynoSizeName) -> bool {
        self.role == Role::Active && !self.stale && self.release == release && self.size == size
    }

    /// Need not be waited for: it serves, or it has shown that it does not.
    pub fn is_settled(&self) -> bool {
        match self.dyno.state() {
            DynoState::Up | DynoState::Idle | DynoState::Crashed | DynoState::Down => true,
            DynoState::Starting => self.started.elapsed() > BOOT_WAIT,
        }
    }

    /// How long it may still be waited for; `None` once it is settled.
    pub fn settles_within(&self) -> Option<Duration> {
        (!self.is_settled()).then(|| BOOT_WAIT.saturating_sub(self.started.elapsed()))
    }
}

/// The process type that gets requests.
pub(super) const WEB: &str = "web";
