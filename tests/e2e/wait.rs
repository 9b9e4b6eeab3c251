//! Waiting for a condition with a deadline and a reason.

use std::time::{Duration, Instant};

use crate::limits::LOOK_EVERY;

/// Looks until `look` answers something; panics with `what` and its last words when the time is over.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= deadline => {
                panic!(
                    "waited {} s in vain for {what}; last seen: {seen}",
                    limit.as_secs()
                )
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
