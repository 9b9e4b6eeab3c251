//! Runs one script of a buildpack in a process group of its own, bounded in time and output.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use crate::limits;

/// Stops a build from another thread.
///
/// Clones share one state. Cancelling twice, or after the build has ended, does nothing.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<CancellationState>);

#[derive(Debug, Default)]
struct CancellationState {
    is_cancelled: AtomicBool,
    /// Wakes the script that runs now.
    wake: Mutex<Option<SyncSender<Event>>>,
}

impl Cancellation {
    /// A build's stop signal, not given yet.
    pub fn new() -> Cancellation {
        Cancellation::default()
    }

    /// Stops the build: its processes are killed and it ends with an error.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::SeqCst);
        if let Some(wake) = &*self.0.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            // Full means that the script's loop is about to look anyway.
            let _ = wake.try_send(Event::Wake);
        }
    }

    /// Whether the signal was given.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::SeqCst)
    }

    fn set_wake(&self, wake: Option<SyncSender<Event>>) {
        *self.0.wake.lock().unwrap_or_else(PoisonError::into_inner) = wake;
    }
}

/// What is run, and within which bounds.
pub(crate) struct Script<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [&'a OsStr],
    /// The whole environment; nothing else is passed on.
    pub(crate) environment: &'a BTreeMap<OsString, OsString>,
    pub(crate) directory: &'a Path,
    /// Scripts that earlier buildpacks left for later ones, sourced in order.
    pub(crate) exports: &'a [PathBuf],
    pub(crate) timeout: Duration,
    pub(crate) errors: Errors,
}

/// Where a script's standard error goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Among the lines of its standard output, in the order written.
    Merged,
    /// Nowhere: only the answer on standard output counts.
    Discarded,
}

/// How a script ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Exited(ExitStatus),
    TimedOut,
    Cancelled,
}

#[derive(Debug)]
enum Event {
    Line { bytes: Vec<u8>, is_cut: bool },
    OutputEnded,
    Exited,
    Wake,
}

/// Marks the processes of one script, so that those that left the process group are found as well.
const MARK: &str = "DYNO_BUILD_PROCESS";

/// Prepares the limits of a build process, sources `$1` scripts, and becomes what follows. A build
/// yields the processor to dynos that serve.
const PREPARE: &str = r#"
umask 022
ulimit -c 0
ulimit -f "$1"
exports=$2
shift 2
while ((exports-- > 0)); do . "$1"; shift; done
exec nice -n 10 "$@"
"#;

/// Runs the script to its end; `output` gets each line, without its line end.
///
/// Whatever the script started is killed when it ends, however it ends.
pub(crate) fn run(
    script: &Script<'_>,
    cancellation: &Cancellation,
    output: &mut dyn FnMut(&str),
) -> io::Result<Outcome> {
    let (events, queue) = sync_channel(limits::OUTPUT_LINES_QUEUED);
    cancellation.set_wake(Some(events.clone()));
    let result = run_with_events(script, cancellation, output, events, &queue);
    cancellation.set_wake(None);
    result
}

fn run_with_events(
    script: &Script<'_>,
    cancellation: &Cancellation,
    output: &mut dyn FnMut(&str),
    events: SyncSender<Event>,
    queue: &Receiver<Event>,
) -> io::Result<Outcome> {
    let deadline = Instant::now() + script.timeout;
    let mark = mark();
    let (child, reader) = start(script, &mark)?;
    let mut child = Running {
        child,
        mark,
        is_reaped: false,
    };
    let pid = child.pid()?;
    let exits = events.clone();
    thread::Builder::new()
        .name("build-output".to_owned())
        .spawn(move || forward(reader, &events))?;
    thread::Builder::new()
        .name("build-exit".to_owned())
        .spawn(move || {
            // Does not reap: the process id must stay ours until the whole group is killed.
            while matches!(
                waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT
                ),
                Err(rustix::io::Errno::INTR)
            ) {}
            let _ = exits.send(Event::Exited);
        })?;

    let mut emitter = Emitter { output, bytes: 0 };
    let mut output_ended = false;
    let mut stopped = None;
    loop {
        if cancellation.is_cancelled() {
            stopped = Some(Outcome::Cancelled);
            break;
        }
        match queue.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Line { bytes, is_cut }) => emitter.line(&bytes, is_cut),
            Ok(Event::OutputEnded) => output_ended = true,
            Ok(Event::Exited) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Event::Wake) => {}
            Err(RecvTimeoutError::Timeout) => {
                stopped = Some(Outcome::TimedOut);
                break;
            }
        }
        // Lines that come without a pause must not outlast the deadline.
        if Instant::now() >= deadline {
            stopped = Some(Outcome::TimedOut);
            break;
        }
    }
    let status = child.kill_and_reap()?;
    let drain_deadline = Instant::now() + limits::OUTPUT_DRAIN_TIMEOUT;
    while !output_ended {
        match queue.recv_timeout(drain_deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Line { bytes, is_cut }) => emitter.line(&bytes, is_cut),
            Ok(Event::OutputEnded) | Err(_) => output_ended = true,
            Ok(Event::Exited | Event::Wake) => {}
        }
    }
    Ok(stopped.unwrap_or(Outcome::Exited(status)))
}

fn start(script: &Script<'_>, mark: &str) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-c", PREPARE, "buildpack"])
        .arg(limits::BUILD_FILE_KIB_MAX.to_string())
        .arg(script.exports.len().to_string())
        .args(script.exports)
        .arg(script.program)
        .args(script.arguments)
        .env_clear()
        .envs(script.environment)
        .env(MARK, mark)
        .current_dir(script.directory)
        .stdin(Stdio::null())
        .stderr(match script.errors {
            Errors::Merged => Stdio::from(writer.try_clone()?),
            Errors::Discarded => Stdio::null(),
        })
        .stdout(writer)
        .process_group(0);
    // Dropping the command closes our own ends of the pipe, so that it ends when the writers do.
    let child = command.spawn()?;
    Ok((child, reader))
}

fn mark() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A started script. Dropping it kills all of it.
struct Running {
    child: Child,
    mark: String,
    is_reaped: bool,
}

impl Running {
    fn pid(&self) -> io::Result<Pid> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.ok_or_else(|| io::Error::other("the process has no id"))
    }

    fn kill_and_reap(&mut self) -> io::Result<ExitStatus> {
        if let Ok(pid) = self.pid() {
            // An error means that nobody is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
        kill_marked(&self.mark);
        self.is_reaped = true;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_reaped {
            let _ = self.kill_and_reap();
        }
    }
}

/// Kills processes that left the group (a daemon's way) but still carry our mark.
fn kill_marked(mark: &str) {
    let wanted = format!("{MARK}={mark}");
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let pid = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        let Ok(environment) = fs::read(process.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Splits a script's output into lines; ends when nobody can write any more.
fn forward(mut reader: PipeReader, events: &SyncSender<Event>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut line = Vec::new();
    let mut is_cut = false;
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for part in buffer[..length].split_inclusive(|byte| *byte == b'\n') {
            let (text, is_end) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            let room = limits::OUTPUT_LINE_BYTES_MAX.saturating_sub(line.len());
            is_cut |= text.len() > room;
            line.extend_from_slice(&text[..text.len().min(room)]);
            if is_end {
                let bytes = std::mem::take(&mut line);
                let event = Event::Line {
                    bytes,
                    is_cut: std::mem::take(&mut is_cut),
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        }
    }
    if !line.is_empty() {
        let _ = events.send(Event::Line {
            bytes: line,
            is_cut,
        });
    }
    let _ = events.send(Event::OutputEnded);
}

/// Passes lines on until there were too many.
struct Emitter<'a> {
    output: &'a mut dyn FnMut(&str),
    bytes: usize,
}

impl Emitter<'_> {
    fn line(&mut self, bytes: &[u8], is_cut: bool) {
        if self.bytes > limits::OUTPUT_BYTES_MAX {
            return;
        }
        self.bytes += bytes.len() + 1;
        if self.bytes > limits::OUTPUT_BYTES_MAX {
            let maximum = limits::OUTPUT_BYTES_MAX / (1024 * 1024);
            (self.output)(&format!(
                " !     more than {maximum} MB of build output: the rest is not shown"
            ));
            return;
        }
        let mut text = printable(&String::from_utf8_lossy(bytes));
        if is_cut {
            text.push_str(" … (cut)");
        }
        (self.output)(&text);
    }
}

/// A line as a terminal would show it in the end: what was overwritten after a carriage return is
/// gone, colours stay, and every other control sequence is removed, because the output of a build
/// is shown to people who did not write it.
fn printable(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        if character == '\u{1b}' {
            let (length, is_colour) = escape_sequence(rest);
            if is_colour {
                text.push_str(&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        if character == '\t' || !character.is_control() {
            text.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    text
}

/// The length of the escape sequence at the start of `text`, and whether it only sets colours.
fn escape_sequence(text: &str) -> (usize, bool) {
    let bytes = text.as_bytes();
    if bytes.get(1) != Some(&b'[') {
        return (1, false);
    }
    let parameters = bytes[2..]
        .iter()
        .take_while(|byte| matches!(byte, b'0'..=b'?'))
        .count();
    match bytes.get(2 + parameters) {
        Some(b'm') => (3 + parameters, true),
        Some(b' '..=b'~') => (3 + parameters, false),
        _ => (2 + parameters, false),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bash(text: &str, timeout: Duration, cancellation: &Cancellation) -> (Outcome, Vec<String>) {
        let environment = BTreeMap::from([("PATH".into(), std::env::var_os("PATH").unwrap())]);
        let script = Script {
            program: Path::new("bash"),
            arguments: &[OsStr::new("-c"), OsStr::new(text)],
            environment: &environment,
            directory: Path::new("/"),
            exports: &[],
            timeout,
            errors: Errors::Merged,
        };
        let mut lines = Vec::new();
        let outcome = run(&script, cancellation, &mut |line| {
            lines.push(line.to_owned());
        })
        .unwrap();
        (outcome, lines)
    }

    fn simply(text: &str) -> (Outcome, Vec<String>) {
        bash(text, Duration::from_secs(60), &Cancellation::new())
    }

    #[test]
    fn both_outputs_come_in_the_order_written_with_the_exit_status() {
        let (outcome, lines) = simply("echo a; echo b >&2; echo c; printf d; exit 3");
        assert_eq!(lines, ["a", "b", "c", "d"]);
        assert!(
            matches!(outcome, Outcome::Exited(status) if status.code() == Some(3)),
            "{outcome:?}"
        );
    }

    #[test]
    fn nothing_of_our_environment_reaches_a_script() {
        let (_, lines) = simply("env | cut -d= -f1 | sort | tr '\\n' ' '");
        // bash itself adds the last four.
        let allowed = ["DYNO_BUILD_PROCESS", "PATH", "PWD", "SHLVL", "_", "OLDPWD"];
        for name in lines.concat().split_whitespace() {
            assert!(allowed.contains(&name), "{name} reached the script");
        }
    }

    #[test]
    fn a_time_limit_kills_grandchildren_even_in_another_session() {
        let marker = format!("sleep {}.25", 5000 + std::process::id());
        let script = format!("{marker} & setsid {marker} & echo started; wait");
        let started = Instant::now();
        let (outcome, lines) = bash(&script, Duration::from_secs(1), &Cancellation::new());
        assert_eq!(outcome, Outcome::TimedOut);
        assert_eq!(lines, ["started"]);
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it took {:?}",
            started.elapsed()
        );
        let wanted = marker.replace(' ', "\0");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left = fs::read_dir("/proc").unwrap().flatten().any(|process| {
                let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
                command.strip_suffix(b"\0").unwrap_or(&command) == wanted.as_bytes()
            });
            if !left {
                break;
            }
            assert!(Instant::now() < deadline, "a grandchild is still there");
            thread::yield_now();
        }
    }

    #[test]
    fn a_background_process_does_not_keep_a_finished_script_open() {
        let started = Instant::now();
        let (outcome, lines) = simply("sleep 3000 & echo done");
        assert!(matches!(outcome, Outcome::Exited(status) if status.success()));
        assert_eq!(lines, ["done"]);
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it took {:?}",
            started.elapsed()
        );
    }

    #[test]
    fn a_flood_of_output_is_bounded_and_the_script_still_ends() {
        let bytes = limits::OUTPUT_BYTES_MAX * 2;
        let (outcome, lines) = simply(&format!("yes hello | head -c {bytes}; exit 5"));
        assert!(
            matches!(outcome, Outcome::Exited(status) if status.code() == Some(5)),
            "{outcome:?}"
        );
        let total: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!(total <= limits::OUTPUT_BYTES_MAX + 100, "{total}");
        assert_eq!(
            lines.last().unwrap(),
            " !     more than 8 MB of build output: the rest is not shown"
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let bytes = limits::OUTPUT_LINE_BYTES_MAX + 1;
        let (_, lines) = simply(&format!(
            "head -c {bytes} /dev/zero | tr '\\0' x; echo; echo next"
        ));
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            format!("{} … (cut)", "x".repeat(limits::OUTPUT_LINE_BYTES_MAX))
        );
        let (_, lines) = simply(&format!("head -c {} /dev/zero | tr '\\0' x", bytes - 1));
        assert_eq!(lines, ["x".repeat(limits::OUTPUT_LINE_BYTES_MAX)]);
    }

    #[test]
    fn cancelling_from_another_thread_stops_a_silent_script() {
        let cancellation = Cancellation::new();
        let other = cancellation.clone();
        let (ready, started) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            started.recv().unwrap();
            other.cancel();
        });
        let environment = BTreeMap::from([("PATH".into(), std::env::var_os("PATH").unwrap())]);
        let script = Script {
            program: Path::new("bash"),
            arguments: &[OsStr::new("-c"), OsStr::new("echo started; sleep 3000")],
            environment: &environment,
            directory: Path::new("/"),
            exports: &[],
            timeout: Duration::from_secs(60),
            errors: Errors::Merged,
        };
        let outcome = run(&script, &cancellation, &mut |_| ready.send(()).unwrap()).unwrap();
        assert_eq!(outcome, Outcome::Cancelled);
        thread.join().unwrap();
    }

    #[test]
    fn control_sequences_other_than_colours_do_not_reach_a_terminal() {
        assert_eq!(
            printable("\u{1b}[32mok\u{1b}[0m\tx"),
            "\u{1b}[32mok\u{1b}[0m\tx"
        );
        assert_eq!(printable("10%\r20%\rdone\r"), "done");
        assert_eq!(
            printable("a\u{1b}[2Jb\u{1b}]0;title\u{7}c\u{8}\u{9b}d"),
            "ab]0;titlecd"
        );
        assert_eq!(printable("end\u{1b}"), "end");
        assert_eq!(printable("end\u{1b}["), "end");
    }
}
