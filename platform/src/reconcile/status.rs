//! What the API shows of dynos: a board that each app's task keeps, read live.

use std::sync::Arc;

use uuid::Uuid;

use super::engine::{DynoState, RunningDyno};
use crate::model::{DynoSizeName, ReleaseVersion, Timestamp};

/// A dyno as the API shows it.
#[derive(Clone, Debug)]
pub(crate) struct DynoStatus {
    pub id: Uuid,
    pub name: String,
    pub process_type: String,
    pub command: String,
    pub size: DynoSizeName,
    pub state: &'static str,
    pub release_id: Uuid,
    pub release_version: ReleaseVersion,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A line of the board: fixed words, and the dyno whose state is read when somebody looks.
#[derive(Clone)]
pub(super) struct BoardEntry {
    pub status: DynoStatus,
    /// `None` while the process is being loaded, or could not be.
    pub dyno: Option<Arc<dyn RunningDyno>>,
}

impl BoardEntry {
    pub fn now(&self) -> DynoStatus {
        let mut status = self.status.clone();
        if let Some(dyno) = &self.dyno {
            status.state = dyno.state().as_str();
            status.updated_at = Timestamp::from(dyno.since());
        }
        status
    }

    /// The board's order: by type, then by number.
    pub fn order(&self) -> (String, u32) {
        let number = self
            .status
            .name
            .rsplit_once('.')
            .and_then(|(_, number)| number.parse().ok());
        (self.status.process_type.clone(), number.unwrap_or(0))
    }
}

impl std::fmt::Debug for BoardEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self
            .dyno
            .as_ref()
            .map_or(DynoState::Starting, |dyno| dyno.state());
        write!(f, "{} {}", self.status.name, state.as_str())
    }
}
