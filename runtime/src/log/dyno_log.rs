//! The log of one dyno: what its guest prints, within a rate, and what the platform says of it.

use super::{LogLine, LogSink, LogSource};
use crate::limits::{
    BOUND_REPEAT, LOG_BURST_BYTES, LOG_BYTES_PER_SECOND, LOG_LINE_COST_BYTES, LOG_REPORT_EVERY,
};
use dyno_sandbox::{FileBound, FileLimits, LineSink};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Passes on a guest's lines under its dyno's name, drops those that come too fast, and tells how many.
pub(crate) struct DynoLog {
    this: Weak<Self>,
    sink: Arc<dyn LogSink>,
    dyno: String,
    meter: Mutex<Meter>,
    bounds: Mutex<HashMap<FileBound, Instant>>,
}

impl DynoLog {
    pub(crate) fn new(sink: Arc<dyn LogSink>, dyno: String) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            sink,
            dyno,
            meter: Mutex::new(Meter::new(Instant::now())),
            bounds: Mutex::default(),
        })
    }

    /// Says that the guest has met a bound of its files, unless that was said a moment ago.
    pub(crate) fn met(&self, bound: FileBound, limits: &FileLimits) {
        let now = Instant::now();
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let said = bounds.get(&bound);
        if said.is_some_and(|said| now.duration_since(*said) < BOUND_REPEAT) {
            return;
        }
        bounds.insert(bound, now);
        drop(bounds);
        self.say(match bound {
            FileBound::Bytes => format!(
                "Disk quota exceeded: its files have grown by the {} MB they may; writing more fails",
                limits.bytes_max >> 20
            ),
            FileBound::Entries => format!(
                "Disk quota exceeded: it has added the {} files and directories it may; making more fails",
                limits.entries_max
            ),
            _ => format!(
                "Too many open files: it holds the {} it may; opening more fails",
                limits.open_max
            ),
        });
    }

    fn say(&self, text: String) {
        self.sink.write(LogLine {
            source: LogSource::Platform,
            dyno: self.dyno.clone(),
            text,
        });
    }

    /// Tells of what was dropped, once some time has passed: a flood that ends says nothing more itself.
    fn report_later(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.report();
        };
        let this = self.this.clone();
        runtime.spawn(async move {
            tokio::time::sleep(LOG_REPORT_EVERY).await;
            if let Some(log) = this.upgrade() {
                log.report();
            }
        });
    }

    fn report(&self) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, since)) = meter.dropped.take() {
            drop(meter);
            self.say(format!(
                "Error L12 (local buffer overflow): {count} messages dropped since {}.",
                since.strftime("%Y-%m-%dT%H:%M:%S+00:00")
            ));
        }
    }
}

impl LineSink for DynoLog {
    fn line(&self, text: String) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = meter.take(text.len() as u64, Instant::now());
        drop(meter);
        match taken {
            Taken::Passed => self.sink.write(LogLine {
                source: LogSource::App,
                dyno: self.dyno.clone(),
                text,
            }),
            Taken::DroppedFirst => self.report_later(),
            Taken::Dropped => {}
        }
    }
}

/// What the platform says of a dyno, line by line.
pub(crate) struct Notices(pub(crate) Arc<DynoLog>);

impl LineSink for Notices {
    fn line(&self, text: String) {
        self.0.say(text);
    }
}

impl Drop for DynoLog {
    fn drop(&mut self) {
        self.report();
    }
}

/// A bucket of bytes that fills at a rate.
struct Meter {
    allowance: u64,
    filled: Instant,
    /// How many lines since when, not told yet.
    dropped: Option<(u64, jiff::Timestamp)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Passed,
    /// The first that was dropped since the last report.
    DroppedFirst,
    Dropped,
}

impl Meter {
    fn new(now: Instant) -> Self {
        Self {
            allowance: LOG_BURST_BYTES,
            filled: now,
            dropped: None,
        }
    }

    fn take(&mut self, bytes: u64, now: Instant) -> Taken {
        self.fill(now);
        let cost = bytes + LOG_LINE_COST_BYTES;
        if let Some(left) = self.allowance.checked_sub(cost) {
            self.allowance = left;
            return Taken::Passed;
        }
        match &mut self.dropped {
            Some((count, _)) => {
                *count += 1;
                Taken::Dropped
            }
            None => {
                self.dropped = Some((1, jiff::Timestamp::now()));
                Taken::DroppedFirst
            }
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        let bytes = passed.as_micros() * u128::from(LOG_BYTES_PER_SECOND) / 1_000_000;
        if bytes == 0 {
            // Not worth losing the fraction for.
            return;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.allowance = self.allowance.saturating_add(bytes).min(LOG_BURST_BYTES);
        self.filled +=
            Duration::from_micros(bytes.saturating_mul(1_000_000) / LOG_BYTES_PER_SECOND)
                .min(passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: u64 = 10_000 - LOG_LINE_COST_BYTES;

    #[test]
    fn a_burst_passes_and_then_the_rate_does() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let mut passed = 0;
        while meter.take(LINE, start) == Taken::Passed {
            passed += 1;
        }
        assert_eq!(passed, LOG_BURST_BYTES / 10_000);
        assert_eq!(meter.take(LINE, start), Taken::Dropped);
        let later = start + Duration::from_secs(1);
        let mut passed = 0;
        while meter.take(LINE, later) == Taken::Passed {
            passed += 1;
        }
        assert!(passed >= LOG_BYTES_PER_SECOND / 10_000, "{passed}");
        assert!(passed <= LOG_BYTES_PER_SECOND / 10_000 + 1, "{passed}");
    }

    #[test]
    fn lines_of_no_length_are_bounded_too() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let passed = (0..1_000_000)
            .take_while(|_| meter.take(0, start) == Taken::Passed)
            .count();
        assert_eq!(passed as u64, LOG_BURST_BYTES / LOG_LINE_COST_BYTES);
    }
}
