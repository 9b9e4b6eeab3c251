//! A dyno's memory against its quota: told of while it is over (R14), ended when it is far over (R15).

use super::Shared;
use crate::limits::QUOTA_REPEAT;
use dyno_sandbox::{MemoryAccount, MemoryPressure};
use std::time::Duration;
use tokio::time::Instant;

/// Resolves when the dyno must end; says so, and what comes before it.
pub(super) async fn exceeded(shared: &Shared, memory: &MemoryAccount) {
    let mut pressure = memory.watch();
    let mut said: Option<Instant> = None;
    loop {
        let now = *pressure.borrow_and_update();
        match now {
            MemoryPressure::Within => {
                if pressure.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            MemoryPressure::Over => {
                let wait = said.map_or(Duration::ZERO, |said| {
                    QUOTA_REPEAT.saturating_sub(said.elapsed())
                });
                if wait.is_zero() {
                    say_usage(shared, memory.used(), memory.quota());
                    shared.say("Error R14 (Memory quota exceeded)".into());
                    said = Some(Instant::now());
                } else {
                    tokio::select! {
                        changed = pressure.changed() => if changed.is_err() {
                            std::future::pending::<()>().await;
                        },
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
            MemoryPressure::Exceeded => {
                // What was used then: some of it is gone with the guest by now.
                say_usage(shared, memory.exceeded_at(), memory.quota());
                shared.say("Error R15 (Memory quota vastly exceeded)".into());
                shared.say("Stopping process with SIGKILL".into());
                return;
            }
        }
    }
}

/// As Heroku says it: `Process running mem=870M(170.1%)`.
fn say_usage(shared: &Shared, used: u64, quota: u64) {
    let thousandths = u128::from(used) * 1000 / u128::from(quota.max(1));
    shared.say(format!(
        "Process running mem={}M({}.{}%)",
        used >> 20,
        thousandths / 10,
        thousandths % 10
    ));
}
