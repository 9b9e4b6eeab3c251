//! Following a log: a reader keeps only its place, so a slow one costs nothing and misses lines knowingly.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::hub::AppLog;
use super::line::LogLine;

/// Lines taken from the ring at once.
const BATCH_MAX: usize = 128;

/// What a follower gets.
#[derive(Debug)]
pub(crate) enum TailItem {
    /// The next line.
    Line(Arc<LogLine>),
    /// So many lines were pushed out of the ring before they were read (Heroku's L11).
    Missed(u64),
}

/// A follower's place in a log.
#[derive(Debug)]
pub(crate) struct LogTail {
    /// Weak, so that a removed app's log ends for its followers.
    log: Weak<AppLog>,
    newest: watch::Receiver<u64>,
    seen: u64,
}

impl LogTail {
    pub(super) fn new(log: &Arc<AppLog>, after: u64) -> Self {
        let newest = log.newest();
        // A place from the future was not given out by this log: follow from now.
        let seen = after.min(*newest.borrow());
        Self {
            log: Arc::downgrade(log),
            newest,
            seen,
        }
    }

    /// The next lines, never empty; `None` when the app is gone.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Vec<TailItem>> {
        let seen = self.seen;
        self.newest.wait_for(|newest| *newest > seen).await.ok()?;
        let (lines, missed) = self.log.upgrade()?.after(seen, BATCH_MAX);
        let mut items = Vec::with_capacity(lines.len() + 1);
        if missed > 0 {
            items.push(TailItem::Missed(missed));
        }
        self.seen = lines.last().map_or(seen + missed, |line| line.id);
        items.extend(lines.into_iter().map(TailItem::Line));
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::TailItem;
    use crate::limits::LOG_LINES_MAX;
    use crate::log::{LogHub, LogSource};
    use crate::model::AppId;

    fn words(items: &[TailItem]) -> Vec<String> {
        items
            .iter()
            .map(|item| match item {
                TailItem::Line(line) => line.text.clone(),
                TailItem::Missed(count) => format!("missed {count}"),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_follower_sees_each_line_once_and_in_order() {
        let hub = LogHub::new();
        let log = hub.app(AppId::generate(), "demo");
        let mut tail = log.tail(log.newest_id());
        log.api("one");
        assert_eq!(words(&tail.next().await.expect("lines")), ["one"]);
        log.api("two");
        log.api("three");
        assert_eq!(words(&tail.next().await.expect("lines")), ["two", "three"]);
    }

    #[tokio::test]
    async fn a_slow_follower_is_told_what_it_missed() {
        let hub = LogHub::new();
        let log = hub.app(AppId::generate(), "demo");
        let mut tail = log.tail(log.newest_id());
        for number in 0..LOG_LINES_MAX + 7 {
            log.write(LogSource::App, "web.1", &number.to_string());
        }
        let items = words(&tail.next().await.expect("lines"));
        assert_eq!(items[..2], ["missed 7", "7"]);
    }

    #[tokio::test]
    async fn a_follower_of_a_removed_app_sees_the_end() {
        let hub = LogHub::new();
        let id = AppId::generate();
        let mut tail = {
            let log = hub.app(id, "demo");
            log.tail(log.newest_id())
        };
        hub.remove(id);
        assert!(tail.next().await.is_none());
    }
}
