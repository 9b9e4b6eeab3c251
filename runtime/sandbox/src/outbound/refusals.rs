//! Tells an app's log which connections its policy refused: one line, then silence for a while.

use crate::limits::REFUSAL_LINE_INTERVAL;
use crate::stdio::LineSink;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

pub(super) struct Refusals {
    log: Arc<dyn LineSink>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Refusals {
    pub(super) fn new(log: Arc<dyn LineSink>) -> Self {
        Self {
            log,
            state: Mutex::default(),
        }
    }

    /// A connection to `destination` was refused.
    pub(super) fn note(&self, destination: &str) {
        let Some(unsaid) = self.turn() else { return };
        let before = match unsaid {
            0 => String::new(),
            count => format!(" ({count} more were refused since the last such line)"),
        };
        self.log.line(format!(
            "Outbound connection to {destination} refused: dynos reach public addresses and what [egress] in dyno.toml \
             allows, for example allow = [\"{destination}\"]{before}"
        ));
    }

    /// As if the last line had been written long ago.
    #[cfg(test)]
    fn wait(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = state
            .last
            .and_then(|last| last.checked_sub(REFUSAL_LINE_INTERVAL));
    }

    /// The number of lines left out before this one, unless it is to be left out itself.
    fn turn(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = |last: Instant| last.elapsed() < REFUSAL_LINE_INTERVAL;
        if state.last.is_some_and(is_soon) {
            state.unsaid += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl LineSink for Lines {
        fn line(&self, text: String) {
            self.0.lock().unwrap().push(text);
        }
    }

    #[test]
    fn the_next_line_says_how_many_were_left_out() {
        let lines = Arc::new(Lines::default());
        let refusals = Refusals::new(lines.clone());
        for _ in 0..6 {
            refusals.note("10.0.0.5:5432");
        }
        assert_eq!(lines.0.lock().unwrap().len(), 1);
        refusals.wait();
        refusals.note("10.0.0.6:5432");
        let said = lines.0.lock().unwrap();
        assert_eq!(said.len(), 2);
        assert!(said[1].contains("10.0.0.6:5432"), "{said:?}");
        assert!(
            said[1].ends_with("(5 more were refused since the last such line)"),
            "{said:?}"
        );
    }
}
