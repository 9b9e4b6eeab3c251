//! A one-off dyno with a client: it waits for the client, runs while the client is there, and tells it how it ended.

use std::pin::pin;
use std::sync::Arc;

use dyno_runtime::{ClientStreams, attach};

use super::engine::{DynoLog, RunningDyno};
use super::one_off::Ready;
use crate::attach::{Attached, AwaitedClient, Session, SessionEnd};
use crate::limits::{ATTACHED_BUFFER_BYTES, STOP_GRACE};
use crate::log::LogSource;

/// What a shell shows for a process that SIGHUP ended.
const HUNG_UP: i32 = 128 + 1;
/// What a shell shows for a process that `^C` ended.
const INTERRUPTED: i32 = 128 + 2;

/// A client that has been promised this dyno.
pub(super) struct Awaited {
    pub client: AwaitedClient,
    pub attached: Attached,
}

/// Runs the dyno for its client, from the wait to the end.
pub(super) async fn serve(
    mut ready: Ready,
    awaited: Awaited,
    started: impl Fn(&Arc<dyn RunningDyno>),
) {
    let log = Arc::clone(&ready.log);
    let say = |text: &str| log(LogSource::Heroku, text);
    say("Awaiting client");
    let arrived = tokio::select! {
        arrived = awaited.client.arrives() => arrived,
        // It was stopped first.
        () = ready.stop.cancelled() => {
            say("State changed from starting to complete");
            return;
        }
    };
    let session = match arrived {
        Some(stream) => Session::begin(stream, awaited.attached).await.ok(),
        None => None,
    };
    let Some(session) = session else {
        say("Error R13 (Attach error) -> Failed to attach to process");
        say("State changed from starting to complete");
        return;
    };
    let (guest, client) = attach(awaited.attached.client, ATTACHED_BUFFER_BYTES);
    // What is said of a guest in its own name, a trap for example, is for the client as well.
    let also = guest.clone();
    let both: DynoLog = Arc::new(move |source, text| {
        if source == LogSource::App {
            also.say(&format!("{text}\n"));
        }
        log(source, text);
    });
    let dyno = ready.start(Some(guest), both);
    started(&dyno);
    accompany(&ready, &dyno, session, client).await;
}

async fn accompany(
    ready: &Ready,
    dyno: &Arc<dyn RunningDyno>,
    mut session: Session,
    client: ClientStreams,
) {
    let mut status = None;
    let mut ended = pin!(ready.end(dyno));
    let end = {
        let mut running = pin!(session.run(&client));
        loop {
            tokio::select! {
                end = &mut running => break end,
                // Its last output is still on the way.
                code = &mut ended, if status.is_none() => status = Some(code),
            }
        }
    };
    let say = |text: &str| (ready.log)(LogSource::Heroku, text);
    let status = match end {
        SessionEnd::Over => match status {
            Some(status) => status,
            None => ended.await,
        },
        // Guests have no signals to handle: what would be one ends them. So there is no R16, which is for a process
        // that ignores SIGHUP.
        SessionEnd::HungUp => {
            say("Client connection closed. Sending SIGHUP to all processes");
            stop(dyno, HUNG_UP, say).await
        }
        SessionEnd::Interrupted => {
            let status = stop(dyno, INTERRUPTED, say).await;
            session.finish_output(&client).await;
            status
        }
    };
    session.end(status).await;
}

async fn stop(dyno: &Arc<dyn RunningDyno>, status: i32, say: impl Fn(&str)) -> i32 {
    say(&format!("Process exited with status {status}"));
    dyno.stop(STOP_GRACE).await;
    status
}
