//! From what should run to what runs: level-triggered, without input, nudged and periodic.
//!
//! [`Fleet`] watches the store and nudges the apps that changed; an app's reconciler ([`app_task`]) reads what is wanted,
//! compares that with the dynos it owns and takes whatever steps are possible now, again and again. It never acts on
//! *what* changed, so a restart of the process, a lost nudge and a change in the middle of another are all the same path.
//! When nothing is left to be done it is parked: an app at rest has no task and no timer.

mod app_shared;
mod app_task;
mod attached;
mod command_line;
mod desired;
mod engine;
mod fleet;
mod members;
mod metadata;
mod one_off;
mod route;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use command_line::take_status_report;
pub(crate) use engine::{
    BOOT, Beginning, DynoLog, DynoStart, DynoState, Engine, LoadFailure, LoadedProcess, Observer,
    ProcessRequest, Run, RunningDyno, log_as,
};
pub(crate) use fleet::{Fleet, FleetParts, Selection};
pub(crate) use one_off::{OneOff, OneOffError, one_off_name};
pub(crate) use status::DynoStatus;
