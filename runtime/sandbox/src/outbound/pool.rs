//! The connections of one app that are kept open between requests.

use super::Origin;
use super::connection::{Connection, Sender, Shared};
use super::dial::Dialer;
use crate::limits::{OUTBOUND_CONNECTIONS_MAX, OUTBOUND_IDLE_MAX, OUTBOUND_IDLE_TIMEOUT};
use hyper::client::conn::http1;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::{Error, WasiBody};

pub(super) struct Pool {
    dialer: Dialer,
    kept: Mutex<Kept>,
    /// A permit per open connection, kept ones included.
    places: Arc<Semaphore>,
    /// How many dials wait for a place.
    waiting: AtomicUsize,
}

/// Open connections. Dropping one closes it once its requests are done.
#[derive(Default)]
struct Kept {
    idle: HashMap<Origin, Vec<Idle>>,
    shared: HashMap<Origin, (Shared, Instant)>,
    /// Closes what has been idle for too long; there is none while nothing is kept.
    sweeper: Option<JoinHandle<()>>,
}

struct Idle {
    sender: http1::SendRequest<WasiBody>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(dialer: Dialer) -> Arc<Self> {
        Arc::new(Self {
            dialer,
            kept: Mutex::default(),
            places: Arc::new(Semaphore::new(OUTBOUND_CONNECTIONS_MAX)),
            waiting: AtomicUsize::new(0),
        })
    }

    /// A connection to an origin: one that is kept, or a new one.
    ///
    /// At the bound of connections the one that has been idle the longest makes room; with none idle, this waits.
    pub(super) async fn connection(self: &Arc<Self>, origin: &Origin) -> Result<Connection, Error> {
        if let Some(sender) = lock(&self.kept).take(origin) {
            return Ok(Connection::reused(sender));
        }
        let place = self.place().await?;
        let sender = self.dialer.connect(origin, place).await?;
        let Sender::Many(new) = sender else {
            return Ok(Connection::new(sender));
        };
        // Of two that were dialled at once one is enough.
        let mut kept = lock(&self.kept);
        if let Some(sender) = kept.take(origin) {
            return Ok(Connection::reused(sender));
        }
        let entry = (new.clone(), Instant::now());
        kept.shared.insert(origin.clone(), entry);
        self.sweep(&mut kept);
        Ok(Connection::new(Sender::Many(new)))
    }

    /// Why no connection was had in time.
    pub(super) fn why_no_connection(&self) -> Error {
        if self.places.available_permits() == 0 {
            Error::ConnectionLimitReached
        } else {
            Error::ConnectionTimeout
        }
    }

    /// Keeps a connection for the next request, once its own is done.
    pub(super) fn give_back(self: &Arc<Self>, origin: &Origin, connection: Connection) {
        let Sender::One(mut sender) = connection.sender else {
            return;
        };
        if sender.is_ready() {
            return self.keep(origin.clone(), sender);
        }
        let pool = Arc::downgrade(self);
        let origin = origin.clone();
        tokio::spawn(async move {
            if sender.ready().await.is_ok()
                && let Some(pool) = pool.upgrade()
            {
                pool.keep(origin, sender);
            }
        });
    }

    fn keep(self: &Arc<Self>, origin: Origin, sender: http1::SendRequest<WasiBody>) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            // Its place is wanted.
            return;
        }
        let mut kept = lock(&self.kept);
        kept.keep(origin, sender);
        self.sweep(&mut kept);
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> Arc<Semaphore> {
        self.places.clone()
    }

    #[cfg(test)]
    pub(super) fn places_taken(&self) -> usize {
        OUTBOUND_CONNECTIONS_MAX - self.places.available_permits()
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        lock(&self.kept).drop_oldest();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        let place = self.places.clone().acquire_owned().await;
        place.map_err(|_| Error::InternalError(None))
    }

    /// Sees to it that what is kept is closed after its time.
    fn sweep(self: &Arc<Self>, kept: &mut Kept) {
        if kept
            .sweeper
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let pool = Arc::downgrade(self);
        kept.sweeper = Some(tokio::spawn(async move {
            loop {
                sleep(OUTBOUND_IDLE_TIMEOUT / 2).await;
                let Some(pool) = pool.upgrade() else { return };
                let mut kept = lock(&pool.kept);
                kept.drop_expired();
                if kept.is_empty() {
                    kept.sweeper = None;
                    return;
                }
            }
        }));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(sweeper) = lock(&self.kept).sweeper.take() {
            sweeper.abort();
        }
    }
}

impl Kept {
    fn take(&mut self, origin: &Origin) -> Option<Sender> {
        if let Some((shared, last)) = self.shared.get_mut(origin) {
            if !shared.sender.is_closed() {
                *last = Instant::now();
                return Some(Sender::Many(shared.clone()));
            }
            self.shared.remove(origin);
        }
        let idle = self.idle.get_mut(origin)?;
        let mut found = None;
        // The newest is the least likely to have been closed by the server meanwhile.
        while found.is_none() {
            let Some(last) = idle.pop() else { break };
            found = last.sender.is_ready().then_some(last.sender);
        }
        if idle.is_empty() {
            self.idle.remove(origin);
        }
        found.map(Sender::One)
    }

    fn keep(&mut self, origin: Origin, sender: http1::SendRequest<WasiBody>) {
        let since = Instant::now();
        self.idle
            .entry(origin)
            .or_default()
            .push(Idle { sender, since });
        if self.count() > OUTBOUND_IDLE_MAX {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self
            .idle
            .iter()
            .filter_map(|(origin, idle)| Some((idle.first()?.since, origin)))
            .min_by_key(|(since, _)| *since)
            .map(|(since, origin)| (since, origin.clone()));
        let unused = self
            .shared
            .iter()
            .filter(|(_, (shared, _))| shared.is_unused())
            .min_by_key(|(_, (_, since))| *since)
            .map(|(origin, (_, since))| (*since, origin.clone()));
        match (oldest, unused) {
            (Some((since, origin)), unused) if unused.as_ref().is_none_or(|one| since <= one.0) => {
                if let Some(idle) = self.idle.get_mut(&origin) {
                    idle.remove(0);
                    if idle.is_empty() {
                        self.idle.remove(&origin);
                    }
                }
            }
            (_, Some((_, origin))) => {
                self.shared.remove(&origin);
            }
            _ => {}
        }
    }

    fn drop_expired(&mut self) {
        let is_fresh = |since: &Instant| since.elapsed() < OUTBOUND_IDLE_TIMEOUT;
        self.idle.retain(|_, idle| {
            idle.retain(|one| is_fresh(&one.since) && !one.sender.is_closed());
            !idle.is_empty()
        });
        self.shared.retain(|_, (shared, since)| {
            !shared.sender.is_closed() && (!shared.is_unused() || is_fresh(since))
        });
    }

    fn count(&self) -> usize {
        self.idle.values().map(Vec::len).sum::<usize>() + self.shared.len()
    }

    fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.shared.is_empty()
    }
}

impl Shared {
    /// Whether no request is on it: the pool's own handle is the last.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }
}

/// Counts a dial that waits for a place.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
