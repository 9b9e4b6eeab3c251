//! Every app's lines for an operator's console, handed over in batches: a line written wakes nobody by itself.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::line::ConsoleLine;
use crate::limits::{CONSOLE_LINES_MAX, CONSOLE_PERIOD};

/// The writers' end.
#[derive(Debug, Default)]
pub(super) struct Console {
    readers: RwLock<Vec<Arc<Queue>>>,
}

/// What waits for one reader.
#[derive(Debug, Default)]
struct Queue {
    batch: Mutex<Batch>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Batch {
    lines: Vec<ConsoleLine>,
    missed: u64,
    /// The reader sleeps until something comes. While it only paces itself it needs no call.
    waiting: bool,
}

/// Reads every app's lines as they come.
#[derive(Debug)]
pub struct ConsoleReader {
    queue: Arc<Queue>,
    console: Arc<Console>,
    not_before: Instant,
}

/// Lines of all apps, in the order in which they were written.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ConsoleBatch {
    /// Lines that were dropped before these because the reader was too slow.
    pub missed: u64,
    /// The lines.
    pub lines: Vec<ConsoleLine>,
}

impl Console {
    pub fn reader(self: &Arc<Self>) -> ConsoleReader {
        let queue = Arc::new(Queue::default());
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        readers.push(Arc::clone(&queue));
        drop(readers);
        ConsoleReader {
            queue,
            console: Arc::clone(self),
            not_before: Instant::now(),
        }
    }

    /// Hands a line to every reader; it is made only if there is one.
    pub fn write(&self, line: impl Fn() -> ConsoleLine) {
        for queue in &*self.readers.read().unwrap_or_else(PoisonError::into_inner) {
            queue.push(line());
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: ConsoleLine) {
        let mut batch = self.lock();
        if batch.lines.len() < CONSOLE_LINES_MAX {
            batch.lines.push(line);
        } else {
            batch.missed += 1;
        }
        let wake = mem::take(&mut batch.waiting);
        drop(batch);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// What has come; when that is nothing, the next line calls.
    fn take(&self) -> Option<ConsoleBatch> {
        let mut batch = self.lock();
        batch.waiting = batch.lines.is_empty();
        (!batch.waiting).then(|| ConsoleBatch {
            missed: mem::take(&mut batch.missed),
            lines: mem::take(&mut batch.lines),
        })
    }
}

impl ConsoleReader {
    /// The next lines, never none. Batches come a moment apart, so that many lines cost little more than one.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> ConsoleBatch {
        sleep_until(self.not_before).await;
        loop {
            if let Some(batch) = self.queue.take() {
                self.not_before = Instant::now() + CONSOLE_PERIOD;
                return batch;
            }
            self.queue.arrived.notified().await;
        }
    }
}

impl Drop for ConsoleReader {
    fn drop(&mut self) {
        let readers = &self.console.readers;
        let mut readers = readers.write().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
    }
}
