//! The task that owns a dyno's states: start, watch, restart with back-off, rest, stop.

use super::life::{Crash, Life, instance_spec};
use super::port::{self, Port};
use super::{ExitStatus, RestPolicy, Shared, lock, quota};
use crate::backoff::Backoff;
use crate::error::LoadError;
use crate::files::DynoFiles;
use crate::limits::{GUEST_PORT, TRAP_LINES_MAX};
use crate::process::Process;
use crate::runtime::Runtime;
use crate::state::DynoState;
use crate::warm::Rest;
use dyno_sandbox::{Finished, Guest, Handler, Instance, InstanceSpec, Loopback};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Whether a supervisor runs.
#[derive(Debug, Default)]
pub(super) enum Supervision {
    /// None does: the dyno has just been made, or it rests.
    #[default]
    Asleep,
    /// One does.
    Awake,
    /// One does, and must not fall asleep: a request came.
    Woken,
    /// None does, and none will: the dyno is down.
    Over,
}

impl Supervision {
    /// True when the caller has to start the supervisor.
    pub(super) fn begin(&mut self) -> bool {
        let asleep = matches!(self, Self::Asleep);
        if !matches!(self, Self::Over) {
            *self = if asleep { Self::Awake } else { Self::Woken };
        }
        asleep
    }

    /// True when the supervisor may end.
    fn fall_asleep(&mut self) -> bool {
        let quiet = matches!(self, Self::Awake);
        *self = if quiet { Self::Asleep } else { Self::Awake };
        quiet
    }

    /// True when nothing runs, and from now on nothing will.
    pub(super) fn end_if_asleep(&mut self) -> bool {
        let asleep = matches!(self, Self::Asleep);
        if asleep {
            *self = Self::Over;
        }
        asleep
    }
}

/// Runs a dyno until it rests, is stopped or, for a one-off, until its command has ended.
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
            End::Rested => {
                if lock(&shared.supervision).fall_asleep() {
                    return;
                }
            }
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
    if let Some(streams) = &shared.options.streams {
        streams.end();
    }
    *lock(&shared.supervision) = Supervision::Over;
    *lock(&shared.exit) = Some(end);
    shared.enter(DynoState::Down);
}

/// Why a life is over.
enum End {
    Stopped,
    /// Nothing was asked of it: it drops everything until the next request.
    Rested,
    Over(ExitStatus),
}

async fn stop_asked(shared: &Shared) {
    loop {
        let mut notified = std::pin::pin!(shared.stop_asked.notified());
        // Before the look, or a stop between the two would be missed.
        notified.as_mut().enable();
        if lock(&shared.stopping).is_some() {
            return;
        }
        notified.await;
    }
}

/// Lets no request in, waits for those inside, then drops what still runs.
async fn wind_down(shared: &Shared) {
    let Some(life) = shared.life.swap(None) else {
        return;
    };
    life.close();
    let grace = lock(&shared.stopping).unwrap_or(Duration::ZERO);
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
    if shared.options.command.is_some() {
        return End::Over(run_command_of(shared, Process::command_guest).await);
    }
    match shared.process.handler() {
        Some(Handler::Command) if !Port::serves(&shared.process) => {
            End::Over(run_command_of(shared, Process::guest).await)
        }
        handler => serve(shared, handler).await,
    }
}

/// Which of a process's guests is wanted.
type GuestOf = fn(&Process, &Runtime) -> Result<Arc<Guest>, LoadError>;

/// Copies the files and maps the code, off the async threads: each takes from microseconds to a few milliseconds.
async fn prepare(
    shared: &Shared,
    guest_of: GuestOf,
) -> Result<(DynoFiles, Arc<Guest>), ExitStatus> {
    if !shared.runtime.has_room().await {
        let reason = "the host has no memory left".to_owned();
        return Err(ExitStatus::NotStarted(reason));
    }
    let (runtime, process) = (shared.runtime.clone(), shared.process.clone());
    let prepare = move || {
        let guest = guest_of(&process, &runtime).map_err(|error| error.to_string())?;
        let files = DynoFiles::prepare(runtime.scratch(), &process)
            .map_err(|error| format!("its files could not be prepared: {error}"))?;
        Ok((files, guest))
    };
    let prepared = shared.runtime.threads().spawn_blocking(prepare).await;
    prepared
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(ExitStatus::NotStarted)
}

async fn run_command_of(shared: &Arc<Shared>, guest_of: GuestOf) -> ExitStatus {
    let (files, guest) = match prepare(shared, guest_of).await {
        Ok(prepared) => prepared,
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

/// Serves requests until the guest brings the dyno down, or until none came for long.
async fn serve(shared: &Arc<Shared>, handler: Option<Handler>) -> End {
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
        return End::Over(ExitStatus::Killed);
    };
    let (life, mut crashed) = match made {
        Ok(made) => made,
        Err(status) => return End::Over(status),
    };
    let life = Arc::new(life);
    let rest: Arc<dyn Rest> = shared.clone();
    let _warm = shared.runtime.warm().enter(Arc::downgrade(&rest));
    drop(rest);
    shared.life.store(Some(life.clone()));
    shared.enter(DynoState::Up);
    // Whoever asked it to wake finds the life.
    *lock(&shared.supervision) = Supervision::Awake;
    let memory = life.memory();
    let exceeded = async {
        match &memory {
            Some(memory) => quota::exceeded(shared, memory).await,
            None => std::future::pending().await,
        }
    };
    let mut exceeded = std::pin::pin!(exceeded);
    let crash = tokio::select! {
        biased;
        () = &mut exceeded => None,
        crash = &mut crashed => match crash {
            Ok(crash) => Some(crash),
            // No part of this life can crash: wait for the stop.
            Err(_) => std::future::pending().await,
        },
        () = rest_asked(shared, &life) => {
            // In this order a request that is turned away finds the dyno idle, and wakes it.
            shared.enter(DynoState::Idle);
            shared.life.store(None);
            life.end_at_rest();
            let (runtime, process) = (shared.runtime.clone(), shared.process.clone());
            shared.runtime.threads().spawn_blocking(move || {
                // While its instances are still there.
                process.record_pages(&runtime);
                drop(life);
            });
            return End::Rested;
        }
    };
    shared.life.store(None);
    life.places.close();
    // The trap of the guest that went too far may be told before the account is looked at.
    if crash.is_some() && memory.as_ref().is_some_and(|memory| memory.is_exceeded()) {
        exceeded.await;
        life.kill();
        return End::Over(ExitStatus::Killed);
    }
    End::Over(match crash {
        Some(crash) => crash.into(),
        None => {
            life.kill();
            ExitStatus::Killed
        }
    })
}

/// Resolves when the life is to end and nobody is inside.
async fn rest_asked(shared: &Shared, life: &Life) {
    loop {
        life.rest_asked().await;
        if shared.in_flight.load(Ordering::Acquire) == 0 {
            return;
        }
    }
}

impl Rest for Shared {
    fn quiet_for(&self) -> Option<Duration> {
        let life = self.life.load_full()?;
        if self.in_flight.load(Ordering::Acquire) > 0 {
            // A long answer counts until its end.
            life.touch();
            return None;
        }
        Some(life.quiet_for())
    }

    fn may_rest(&self) -> bool {
        // A process of its own may be at work while nobody asks.
        self.options.rest == RestPolicy::WhenQuiet && !Port::serves(&self.process)
    }

    fn rest(&self) {
        if let Some(life) = self.life.load_full() {
            life.ask_rest();
        }
    }
}

type Made = (Life, oneshot::Receiver<Crash>);

async fn begin_life(shared: &Arc<Shared>, handler: Option<Handler>) -> Result<Made, ExitStatus> {
    let Some(handler) = handler else {
        return begin_site(shared).await;
    };
    // Who wakes a dyno has waited long enough: without the image it loads at this request.
    if shared.status.now() == DynoState::Starting {
        shared.process.booted().await;
    }
    let (files, guest) = prepare(shared, Process::guest).await?;
    let spec = instance_spec(shared, &files);
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
    let first = match instantiate(shared, &guest, &spec).await {
        // Perhaps for want of room: what nobody uses makes some.
        Err(Finished::NotStarted(_)) if shared.runtime.mapped().evict_unused() > 0 => {
            instantiate(shared, &guest, &spec).await
        }
        result => result,
    };
    let first = first.map_err(|end| match end {
        Finished::Exited(status) => ExitStatus::Exited(status),
        Finished::NotStarted(reason) | Finished::Trapped(reason) => ExitStatus::NotStarted(reason),
        Finished::Returned | Finished::CutOff => ExitStatus::Stopped,
    })?;
    Ok(Life::of_instances(shared, spec, guest, first, files))
}

/// Makes an instance under the dyno's share: its start may compute for ever.
async fn instantiate(
    shared: &Shared,
    guest: &Guest,
    spec: &Arc<InstanceSpec>,
) -> Result<Instance, Finished> {
    let threads = shared.runtime.threads();
    let instance = threads.run(&shared.cpu, guest.instantiate(spec.clone()));
    instance.await.unwrap_or(Err(Finished::CutOff))
}

async fn begin_site(shared: &Arc<Shared>) -> Result<Made, ExitStatus> {
    let process = shared.process.clone();
    let opened = shared
        .runtime
        .threads()
        .spawn_blocking(move || process.site())
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
