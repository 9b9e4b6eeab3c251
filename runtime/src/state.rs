//! The states of a dyno.

use std::fmt;

/// What a dyno is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DynoState {
    /// Its files are being prepared and its first instance made. No request is let in.
    Starting,
    /// It takes requests (web) or runs (other process types).
    Up,
    /// At rest: all that it held was dropped for want of requests, and the next request starts it.
    Idle,
    /// Its guest ended or trapped; it waits to be restarted. No request is let in.
    Crashed,
    /// It was stopped, or its one-off command has ended. It does not come back.
    Down,
}

impl DynoState {
    /// Whether it takes requests.
    pub fn takes_requests(self) -> bool {
        matches!(self, Self::Up | Self::Idle)
    }

    /// Its name in the Platform API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Idle => "idle",
            Self::Crashed => "crashed",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for DynoState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
