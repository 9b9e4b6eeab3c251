//! Waits for Ctrl-C or a request to end.

use tokio::signal::unix::{SignalKind, signal};

/// Returns at the first SIGINT or SIGTERM. A second one while things are being stopped ends the process at once.
pub async fn stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // 128 + SIGINT, as shells count.
        std::process::exit(130);
    });
}
