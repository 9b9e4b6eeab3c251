//! A request's wait for a dyno: admitted at once, queued until one is up, or turned away.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Backend, InFlight};
use crate::error_code::ErrorCode;
use crate::limits::{RETRY_PAUSE_MAX, RETRY_PAUSE_MIN};
use crate::route::{AppRoute, Choice};

/// The dynos that turned a request down.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// Since the last pause; they are not asked again before the next one.
    backends: Vec<Arc<Backend>>,
    count: usize,
    pauses: u32,
}

impl Tried {
    pub(crate) fn add(&mut self, backend: Arc<Backend>) {
        self.backends.push(backend);
        self.count += 1;
    }

    /// How often the request was turned down in all.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The pause before those who said no are asked again; nothing when nobody did.
    fn next_pause(&self) -> Option<Duration> {
        if self.backends.is_empty() {
            return None;
        }
        let factor = 1_u32.checked_shl(self.pauses).unwrap_or(u32::MAX);
        Some(RETRY_PAUSE_MIN.saturating_mul(factor).min(RETRY_PAUSE_MAX))
    }

    fn paused(&mut self) {
        self.backends.clear();
        self.pauses = self.pauses.saturating_add(1);
    }
}

/// Finds a dyno for a request, waiting in the app's bounded queue while none can take it.
///
/// # Cancel safety
/// Dropped with the request when the client leaves; its place in the queue is free at once.
pub(crate) async fn admit(
    route: &Arc<AppRoute>,
    tried: &mut Tried,
    deadline: Instant,
) -> Result<InFlight, ErrorCode> {
    // The common case takes part in no wake-up list.
    let dynos = match route.choose(&tried.backends) {
        Choice::Backend(in_flight) => return Ok(in_flight),
        Choice::Refuse(code) => return Err(code),
        Choice::Wait { dynos } => dynos,
    };
    let _place = route.enqueue(dynos).ok_or(ErrorCode::H11)?;
    loop {
        let mut changed = pin!(route.changed());
        // Before the look at the state, or a change between the two would be slept through.
        changed.as_mut().enable();
        match route.choose(&tried.backends) {
            Choice::Backend(in_flight) => return Ok(in_flight),
            Choice::Refuse(code) => return Err(code),
            Choice::Wait { .. } => {}
        }
        let wake = tried
            .next_pause()
            .map_or(deadline, |pause| deadline.min(Instant::now() + pause));
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(wake) => {
                if wake >= deadline {
                    return Err(ErrorCode::H20);
                }
                tried.paused();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Tried, admit};
    use crate::error_code::ErrorCode;
    use crate::limits::QUEUE_PER_DYNO;
    use crate::route::{AppRoute, RouteState};

    #[tokio::test(start_paused = true)]
    async fn the_queue_holds_50_requests_per_dyno_and_not_one_more() {
        let route = AppRoute::new("demo", RouteState::Starting { dynos: 2 });
        let deadline = Instant::now() + Duration::from_secs(75);
        let mut waiters = Vec::new();
        for _ in 0..2 * QUEUE_PER_DYNO {
            let route = route.clone();
            waiters.push(tokio::spawn(async move {
                admit(&route, &mut Tried::default(), deadline)
                    .await
                    .map(drop)
            }));
        }
        while route.waiting() < 2 * QUEUE_PER_DYNO {
            tokio::task::yield_now().await;
        }
        let one_more = admit(&route, &mut Tried::default(), deadline).await;
        assert_eq!(one_more.unwrap_err(), ErrorCode::H11);
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().unwrap_err(), ErrorCode::H20);
        }
        assert_eq!(route.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_request_that_is_dropped_frees_its_place() {
        let route = AppRoute::new("demo", RouteState::Starting { dynos: 1 });
        let mut tried = Tried::default();
        let deadline = Instant::now() + Duration::from_secs(75);
        let wait = admit(&route, &mut tried, deadline);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), wait)
                .await
                .is_err()
        );
        assert_eq!(route.waiting(), 0);
    }
}
