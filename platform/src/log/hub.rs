//! The rings: the last lines of each app, and who is told when one is added.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::watch;

use super::console::{Console, ConsoleReader};
use super::line::{ConsoleLine, LogLine, LogSource, split};
use super::tail::LogTail;
use crate::limits::{LOG_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use crate::model::AppId;

/// All apps' logs.
#[derive(Debug)]
pub(crate) struct LogHub {
    apps: RwLock<HashMap<AppId, Arc<AppLog>>>,
    console: Arc<Console>,
}

/// One app's log: writing never waits for a reader.
pub(crate) struct AppLog {
    app_name: RwLock<Arc<str>>,
    ring: Mutex<Ring>,
    /// The id of the newest line, made for the first follower: most apps never have one.
    newest: OnceLock<watch::Sender<u64>>,
    console: Arc<Console>,
}

struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    next_id: u64,
    last_micros: i64,
}

impl LogHub {
    pub fn new() -> Self {
        Self {
            apps: RwLock::default(),
            console: Arc::default(),
        }
    }

    /// The log of an app, made when it is first asked for. `name` is what the console shows from now on.
    pub fn app(&self, id: AppId, name: &str) -> Arc<AppLog> {
        if let Some(log) = self.find(id) {
            log.rename(name);
            return log;
        }
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            apps.entry(id)
                .or_insert_with(|| Arc::new(AppLog::new(name, Arc::clone(&self.console)))),
        )
    }

    /// The log of an app that has one.
    pub fn find(&self, id: AppId) -> Option<Arc<AppLog>> {
        self.apps
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// Forgets an app; its readers see the end.
    pub fn remove(&self, id: AppId) {
        self.apps
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    /// Every app's lines as they come. A reader that is too slow is told how many it missed.
    pub fn console(&self) -> ConsoleReader {
        self.console.reader()
    }
}

impl AppLog {
    fn new(name: &str, console: Arc<Console>) -> Self {
        // Ids start at the clock, so that a reader which resumes after a restart asks for newer ones only.
        let start = now_micros();
        let next_id = u64::try_from(start).unwrap_or(1);
        let ring = Ring {
            lines: VecDeque::new(),
            bytes: 0,
            next_id,
            last_micros: start,
        };
        Self {
            app_name: RwLock::new(name.into()),
            ring: Mutex::new(ring),
            newest: OnceLock::new(),
            console,
        }
    }

    fn rename(&self, name: &str) {
        if **self.app_name.read().unwrap_or_else(PoisonError::into_inner) != *name {
            *self
                .app_name
                .write()
                .unwrap_or_else(PoisonError::into_inner) = name.into();
        }
    }

    /// Adds a text of one or more lines.
    pub fn write(&self, source: LogSource, process: &str, text: &str) {
        let process: Arc<str> = process.into();
        for text in split(text) {
            self.push(source, Arc::clone(&process), text);
        }
    }

    /// Adds one line that is known to be one: no line breaks, nothing a terminal would obey.
    pub fn write_line(&self, source: LogSource, process: &str, text: String) {
        if text.len() > LOG_LINE_BYTES_MAX {
            return self.write(source, process, &text);
        }
        self.push(source, process.into(), text);
    }

    /// A line about what a user did: `app[api]`.
    pub fn api(&self, text: &str) {
        self.write(LogSource::App, "api", text);
    }

    fn push(&self, source: LogSource, process: Arc<str>, text: String) {
        let (line, id) = {
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            // The wall clock may step back; within one log time never does.
            let at_micros = now_micros().max(ring.last_micros);
            ring.last_micros = at_micros;
            let id = ring.next_id;
            ring.next_id += 1;
            let line = Arc::new(LogLine {
                id,
                at_micros,
                source,
                process,
                text,
            });
            ring.bytes += line.cost();
            ring.lines.push_back(Arc::clone(&line));
            while ring.lines.len() > LOG_LINES_MAX || ring.bytes > LOG_BYTES_MAX {
                let Some(oldest) = ring.lines.pop_front() else {
                    break;
                };
                ring.bytes -= oldest.cost();
            }
            (line, id)
        };
        if let Some(newest) = self.newest.get() {
            newest.send_if_modified(|newest| {
                let grown = id > *newest;
                *newest = id.max(*newest);
                grown
            });
        }
        self.console.write(|| ConsoleLine {
            app: Arc::clone(&self.app_name.read().unwrap_or_else(PoisonError::into_inner)),
            line: Arc::clone(&line),
        });
    }

    /// Up to `lines_max` of the newest lines that `admits`, oldest first.
    pub fn last(&self, lines_max: usize, admits: impl Fn(&LogLine) -> bool) -> Vec<Arc<LogLine>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = ring
            .lines
            .iter()
            .rev()
            .filter(|line| admits(line))
            .take(lines_max)
            .cloned()
            .collect();
        found.reverse();
        found
    }

    /// Lines after `id`, oldest first, at most `lines_max`, and how many of them are gone for ever.
    pub(super) fn after(&self, id: u64, lines_max: usize) -> (Vec<Arc<LogLine>>, u64) {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.lines.front().map_or(ring.next_id, |line| line.id);
        let missed = oldest.saturating_sub(id.saturating_add(1));
        let skip = usize::try_from((id + 1).saturating_sub(oldest)).unwrap_or(usize::MAX);
        (
            ring.lines
                .iter()
                .skip(skip)
                .take(lines_max)
                .cloned()
                .collect(),
            missed,
        )
    }

    /// The id of the newest line.
    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        // Under the ring's lock, so that no line falls between the look and the first notice.
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = || watch::Sender::new(ring.newest_id());
        self.newest.get_or_init(newest).subscribe()
    }

    /// Follows the log after the line `id`.
    pub fn tail(self: &Arc<Self>, after: u64) -> LogTail {
        LogTail::new(self, after)
    }

    /// The id of the newest line now.
    pub fn newest_id(&self) -> u64 {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.newest_id()
    }

    /// Readers that follow this log.
    pub fn tails(&self) -> usize {
        self.newest.get().map_or(0, watch::Sender::receiver_count)
    }
}

impl Ring {
    fn newest_id(&self) -> u64 {
        self.next_id.saturating_sub(1)
    }
}

impl LogLine {
    fn cost(&self) -> usize {
        // The text and about what a line costs beside it.
        self.text.len() + 96
    }
}

impl fmt::Debug for AppLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppLog")
            .field("newest", &self.newest_id())
            .finish_non_exhaustive()
    }
}

fn now_micros() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::{LogHub, LogSource};
    use crate::limits::{CONSOLE_LINES_MAX, LOG_BYTES_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
    use crate::model::AppId;

    #[test]
    fn the_last_1500_lines_are_kept_and_no_more() {
        let log = LogHub::new().app(AppId::generate(), "demo");
        for number in 0..=LOG_LINES_MAX {
            log.write(LogSource::App, "web.1", &number.to_string());
        }
        let lines = log.last(usize::MAX, |_| true);
        assert_eq!(lines.len(), LOG_LINES_MAX);
        assert_eq!(lines[0].text, "1");
        assert_eq!(lines[LOG_LINES_MAX - 1].text, LOG_LINES_MAX.to_string());
    }

    #[test]
    fn giant_lines_push_old_ones_out_sooner() {
        let log = LogHub::new().app(AppId::generate(), "demo");
        for _ in 0..LOG_LINES_MAX {
            log.write(LogSource::App, "web.1", &"x".repeat(LOG_LINE_BYTES_MAX));
        }
        let bytes: usize = log
            .last(usize::MAX, |_| true)
            .iter()
            .map(|line| line.text.len())
            .sum();
        assert!(
            bytes <= LOG_BYTES_MAX && bytes > LOG_BYTES_MAX / 2,
            "{bytes}"
        );
    }

    #[test]
    fn ids_and_times_never_go_back() {
        let log = LogHub::new().app(AppId::generate(), "demo");
        log.write(LogSource::Heroku, "web.1", "one\ntwo\nthree");
        let lines = log.last(10, |_| true);
        assert!(lines.windows(2).all(|pair| pair[0].id + 1 == pair[1].id));
        assert!(
            lines
                .windows(2)
                .all(|pair| pair[0].at_micros <= pair[1].at_micros)
        );
    }

    #[tokio::test]
    async fn the_console_sees_every_apps_lines_with_its_name() {
        let hub = LogHub::new();
        let mut console = hub.console();
        hub.app(AppId::generate(), "one").api("hello");
        hub.app(AppId::generate(), "two").api("there");
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(console.next().await.lines);
        }
        let words: Vec<_> = seen
            .iter()
            .map(|line| (&*line.app, line.line.text.as_str()))
            .collect();
        assert_eq!(words, [("one", "hello"), ("two", "there")]);
    }

    #[tokio::test]
    async fn a_slow_console_is_told_what_it_missed() {
        let hub = LogHub::new();
        let mut console = hub.console();
        let log = hub.app(AppId::generate(), "one");
        for _ in 0..CONSOLE_LINES_MAX + 3 {
            log.api("hello");
        }
        let batch = console.next().await;
        assert_eq!((batch.lines.len(), batch.missed), (CONSOLE_LINES_MAX, 3));
        log.api("again");
        let batch = console.next().await;
        assert_eq!((batch.lines.len(), batch.missed), (1, 0));
    }
}
