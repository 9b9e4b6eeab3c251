//! Waits for Ctrl-C or a request to end.

use tokio::signal::unix::{SignalKind, signal};

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub enum StopSignal {
    Interrupt,
    Terminate,
}

impl StopSignal {
    /// The exit status of a process that ended by it, as shells count: 128 and the signal's number.
    pub fn status(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// Returns at the first SIGINT or SIGTERM. A second one while things are being stopped ends the process at once.
pub async fn stop() {
    stop_signal().await;
}

/// As [`stop`], and tells which it was.
pub async fn stop_signal() -> StopSignal {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    let first = tokio::select! {
        _ = interrupt.recv() => StopSignal::Interrupt,
        _ = terminate.recv() => StopSignal::Terminate,
    };
    tokio::spawn(async move {
        let second = tokio::select! {
            _ = interrupt.recv() => StopSignal::Interrupt,
            _ = terminate.recv() => StopSignal::Terminate,
        };
        std::process::exit(i32::from(second.status()));
    });
    first
}
