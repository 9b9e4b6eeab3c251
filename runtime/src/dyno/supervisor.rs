//! The task that owns a dyno's states: start, watch, restart with back-off, stop.

use super::life::{Crash, Life, instance_spec};
use super::port::{self, Port};
use super::{ExitStatus, Shared, quota};
use crate::backoff::Backoff;
use crate::files::DynoFiles;
use crate::limits::{GUEST_PORT, IDLE_CHECK, TRAP_LINES_MAX};
use crate::process::BootProgress;
use crate::state::DynoState;
use crate::static_site::StaticSite;
use dyno_sandbox::{Finished, Guest, Handler, Loopback};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Runs a dyno until it is stopped or, for a one-off, until its command has ended.
pub(super) async fn supervise(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    let end = loop {
        let started = Instant::now();
        let end = tokio::select! {
            end = live(&shared) => end,
            () = stop_asked(&shared) => End::Stopped,
        };
        match end {
            End::Stopped => break ExitStatus::Stopped,
            End::Over(status) if shared.options.command.is_some() => {
                tell_end(&shared, &status);
                break status;
            }
            End::Over(status) => {
                crashed(&shared, &status);
                let wait = backoff.after_crash(started.elapsed());
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop_asked(&shared) => break ExitStatus::Stopped,
                }
                shared.enter(DynoState::Starting);
            }
        }
    };
    wind_down(&shared).await;
    shared.enter(DynoState::Down);
    shared.exit.send_replace(Some(end));
}

/// Why a life is over.
enum End {
    Stopped,
    Over(ExitStatus),
}

async fn stop_asked(shared: &Shared) {
    let mut stopping = shared.stopping.subscribe();
    if stopping.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Lets no request in, waits for those inside, then drops what still runs.
async fn wind_down(shared: &Shared) {
    let Some(life) = shared.life.swap(None) else {
        return;
    };
    life.close();
    let grace = shared.stopping.borrow().unwrap_or(Duration::ZERO);
    if !grace.is_zero() {
        shared.say("Stopping all processes with SIGTERM".into());
        let drained = async {
            loop {
                let notified = shared.drained.notified();
                if shared.in_flight.load(Ordering::Acquire) == 0 {
                    break;
                }
                notified.await;
            }
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            shared.say(format!(
                "Error R12 (Exit timeout) -> At least one process failed to exit within {} of SIGTERM",
                seconds(grace)
            ));
            shared.say("Stopping remaining processes with SIGKILL".into());
        }
    }
    life.cut();
}

async fn live(shared: &Arc<Shared>) -> End {
    let command = match &shared.options.command {
        Some(arguments) => arguments.join(" "),
        None => shared.process.command().to_owned(),
    };
    shared.say(format!("Starting process with command `{command}`"));
    let status = if shared.options.command.is_some() {
        run_one_off(shared).await
    } else {
        match shared.process.handler() {
            Some(Handler::Command) if !Port::serves(&shared.process) => run_worker(shared).await,
            handler => serve(shared, handler).await,
        }
    };
    End::Over(status)
}

async fn prepare_files(shared: &Shared) -> Result<DynoFiles, ExitStatus> {
    let (scratch, process) = (shared.runtime.scratch().to_owned(), shared.process.clone());
    let prepared = shared
        .runtime
        .threads()
        .spawn_blocking(move || DynoFiles::prepare(&scratch, &process))
        .await;
    match prepared {
        Ok(Ok(files)) => Ok(files),
        Ok(Err(error)) => Err(ExitStatus::NotStarted(format!(
            "its files could not be prepared: {error}"
        ))),
        Err(error) => Err(ExitStatus::NotStarted(format!(
            "its files could not be prepared: {error}"
        ))),
    }
}

async fn run_one_off(shared: &Arc<Shared>) -> ExitStatus {
    match shared.process.command_guest(&shared.runtime).await {
        Ok(guest) => run_to_end(shared, guest).await,
        Err(error) => ExitStatus::NotStarted(error.to_string()),
    }
}

async fn run_worker(shared: &Arc<Shared>) -> ExitStatus {
    match shared.process.guest() {
        Some(guest) => run_to_end(shared, guest).await,
        None => ExitStatus::NotStarted("the process has no code".into()),
    }
}

async fn run_to_end(shared: &Arc<Shared>, guest: Arc<Guest>) -> ExitStatus {
    let files = match prepare_files(shared).await {
        Ok(files) => files,
        Err(status) => return status,
    };
    let spec = instance_spec(shared, &files);
    let memory = spec.memory.clone();
    shared.enter(DynoState::Up);
    let run = port::run(shared.clone(), guest, spec, Loopback::new(GUEST_PORT));
    let end = tokio::select! {
        biased;
        () = quota::exceeded(shared, &memory) => return ExitStatus::Killed,
        end = run => end,
    };
    if memory.is_exceeded() {
        quota::exceeded(shared, &memory).await;
        return ExitStatus::Killed;
    }
    drop(files);
    end.into()
}

/// Serves requests until the guest brings the dyno down.
async fn serve(shared: &Arc<Shared>, handler: Option<Handler>) -> ExitStatus {
    let timeout = shared.options.start_timeout;
    let Ok(made) = tokio::time::timeout(timeout, begin_life(shared, handler)).await else {
        let missed = match handler {
            Some(Handler::Command) => "bind to $PORT",
            _ => "start",
        };
        shared.say(format!(
            "Error R10 (Boot timeout) -> Web process failed to {missed} within {} of launch",
            seconds(timeout)
        ));
        shared.say("Stopping process with SIGKILL".into());
        return ExitStatus::Killed;
    };
    let (life, mut crashed) = match made {
        Ok(made) => made,
        Err(status) => return status,
    };
    let life = Arc::new(life);
    shared.life.store(Some(life.clone()));
    shared.enter(DynoState::Up);
    let mut check = tokio::time::interval(IDLE_CHECK);
    let memory = life.memory();
    let exceeded = async {
        match &memory {
            Some(memory) => quota::exceeded(shared, memory).await,
            None => std::future::pending().await,
        }
    };
    let mut exceeded = std::pin::pin!(exceeded);
    let crash = loop {
        tokio::select! {
            biased;
            () = &mut exceeded => break None,
            crash = &mut crashed => match crash {
                Ok(crash) => break Some(crash),
                // No part of this life can crash: wait for the stop.
                Err(_) => std::future::pending().await,
            },
            _ = check.tick() => if shared.in_flight.load(Ordering::Relaxed) == 0 && life.rest() {
                shared.enter(DynoState::Idle);
            },
        }
    };
    shared.life.store(None);
    life.admission.close();
    // The trap of the guest that went too far may be told before the account is looked at.
    if crash.is_some() && memory.as_ref().is_some_and(|memory| memory.is_exceeded()) {
        exceeded.await;
        life.kill();
        return ExitStatus::Killed;
    }
    match crash {
        Some(crash) => crash.into(),
        None => {
            life.kill();
            ExitStatus::Killed
        }
    }
}

type Made = (Life, oneshot::Receiver<Crash>);

async fn begin_life(shared: &Arc<Shared>, handler: Option<Handler>) -> Result<Made, ExitStatus> {
    let Some(handler) = handler else {
        return begin_site(shared).await;
    };
    let mut boot = shared.process.boot_progress();
    drop(
        boot.wait_for(|progress| *progress == BootProgress::Done)
            .await,
    );
    let files = prepare_files(shared).await?;
    let spec = instance_spec(shared, &files);
    let guest = shared
        .process
        .guest()
        .ok_or_else(|| ExitStatus::NotStarted("the process has no code".into()))?;
    if handler == Handler::Command {
        let memory = spec.memory.clone();
        let (port, ended) = Port::start(shared, guest, spec).await?;
        return Ok((Life::of_port(shared, port, memory, files), ended));
    }
    let spec = Arc::new(spec);
    if handler == Handler::HttpConcurrent {
        return Ok(Life::of_concurrent(
            shared,
            spec,
            Guest::clone(&guest),
            files,
        ));
    }
    let threads = shared.runtime.threads();
    let first = threads
        .run(&shared.cpu, guest.instantiate(spec.clone()))
        .await
        .unwrap_or(Err(Finished::CutOff))
        .map_err(|end| match end {
            Finished::Exited(status) => ExitStatus::Exited(status),
            Finished::NotStarted(reason) | Finished::Trapped(reason) => {
                ExitStatus::NotStarted(reason)
            }
            Finished::Returned | Finished::CutOff => ExitStatus::Stopped,
        })?;
    Ok(Life::of_instances(shared, spec, first, files))
}

async fn begin_site(shared: &Arc<Shared>) -> Result<Made, ExitStatus> {
    let tree = shared.process.slug().and_then(|slug| {
        let layer = slug
            .manifest()
            .layers
            .iter()
            .find(|layer| layer.mount.is_app())?;
        Some(slug.layer_tree(layer))
    });
    let Some(tree) = tree else {
        return Err(ExitStatus::NotStarted(
            "the slug has no files to serve".into(),
        ));
    };
    let settings = shared
        .process
        .manifest_entry()
        .static_site
        .clone()
        .unwrap_or_default();
    let opened = shared
        .runtime
        .threads()
        .spawn_blocking(move || StaticSite::open(tree, &settings))
        .await;
    match opened {
        Ok(Ok(site)) => Ok(Life::of_site(shared, site)),
        Ok(Err(error)) => Err(ExitStatus::NotStarted(error.to_string())),
        Err(error) => Err(ExitStatus::NotStarted(error.to_string())),
    }
}

/// A time as Heroku says it; fractions as far as they matter.
fn seconds(time: Duration) -> String {
    match time.as_millis() {
        1000 => "1 second".into(),
        millis if millis % 1000 == 0 => format!("{} seconds", millis / 1000),
        _ => format!("{} seconds", time.as_secs_f32()),
    }
}

fn crashed(shared: &Shared, status: &ExitStatus) {
    tell_end(shared, status);
    shared.enter(DynoState::Crashed);
}

/// What Heroku says of an end, after what the guest's end has to say itself.
fn tell_end(shared: &Shared, status: &ExitStatus) {
    match status {
        ExitStatus::Trapped(text) => {
            for line in text.lines().take(TRAP_LINES_MAX) {
                shared.say_as_app(line.to_owned());
            }
        }
        ExitStatus::NotStarted(reason) => {
            for line in reason.lines().take(TRAP_LINES_MAX) {
                shared.say_as_app(format!("error: {line}"));
            }
        }
        ExitStatus::Exited(_) | ExitStatus::Killed | ExitStatus::Stopped => {}
    }
    shared.say(format!("Process exited with status {}", status.code()));
}
