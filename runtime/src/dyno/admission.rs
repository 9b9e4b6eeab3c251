//! Lets a request into a dyno: wakes it when it rests, and makes the request wait for a free place, within bounds.

use super::life::Life;
use super::places::{NoPlace, Place};
use super::{Queued, Shared};
use crate::state::DynoState;
use std::sync::Arc;

/// Why a request was not let in. It was not touched.
pub(super) enum Refused {
    /// The dyno is starting, crashed or down.
    NotUp,
    /// Too many wait already.
    QueueFull,
    /// The dyno rests, and the host has no memory to wake it.
    HostFull,
}

/// Waits for a place in the dyno's life.
///
/// # Cancel safety
/// Dropping the future gives the place in the queue back. A dyno that was being woken wakes all the same.
pub(super) async fn admit(shared: &Arc<Shared>) -> Result<(Arc<Life>, Place), Refused> {
    loop {
        let life = match shared.life.load_full() {
            Some(life) => life,
            None => awake(shared).await?,
        };
        match life.places.try_take() {
            Ok(place) => {
                life.touch();
                return Ok((life, place));
            }
            Err(NoPlace::Taken) => {
                let queued = Queued::join(shared).ok_or(Refused::QueueFull)?;
                let place = life.places.wait().await;
                drop(queued);
                if let Ok(place) = place {
                    life.touch();
                    return Ok((life, place));
                }
            }
            Err(NoPlace::Closed) => {}
        }
        // After a rest the request wakes the dyno; after a crash or a stop it goes elsewhere.
        if !life.has_rested() {
            return Err(Refused::NotUp);
        }
    }
}

/// Wakes the dyno and waits for its life.
async fn awake(shared: &Arc<Shared>) -> Result<Arc<Life>, Refused> {
    let _queued = Queued::join(shared).ok_or(Refused::QueueFull)?;
    if !shared.runtime.has_room().await {
        return Err(Refused::HostFull);
    }
    let mut states = shared.status.watch();
    loop {
        if let Some(life) = shared.life.load_full() {
            return Ok(life);
        }
        if *states.borrow_and_update() != DynoState::Idle {
            return Err(Refused::NotUp);
        }
        shared.wake();
        if states.changed().await.is_err() {
            return Err(Refused::NotUp);
        }
    }
}
