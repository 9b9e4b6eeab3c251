//! A running `dyno`: its output by line, its signals, its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::limits::{LINES_SHOWN, LOOK_EVERY, STOP_MAX};
use crate::wait;

/// Both streams, in the order they were read.
type Lines = Arc<Mutex<Vec<Line>>>;

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
}

struct Line {
    stream: Stream,
    text: String,
}

/// A process that is ended with the test.
pub struct Process {
    child: Child,
    words: String,
    lines: Lines,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    words: String,
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let words = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{words} could not be started: {error}"));
        let lines = Lines::default();
        collect(child.stdout.take().unwrap(), Stream::Output, &lines);
        collect(child.stderr.take().unwrap(), Stream::Error, &lines);
        Self {
            child,
            words,
            lines,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line that `matches`; panics when the process ends or the time is over without one.
    pub async fn line(
        &mut self,
        what: &str,
        limit: Duration,
        matches: impl Fn(Stream, &str) -> bool,
    ) -> String {
        wait::until(what, limit, async || {
            // Looked at first: what it said last counts even when it has ended since.
            let ended = self.child.try_wait().unwrap();
            let found = self.find(&matches);
            match (found, ended) {
                (Some(line), _) => Ok(line),
                (None, Some(status)) if self.is_read_to_the_end() => {
                    panic!("{} ended ({status}) before {what}", self.words)
                }
                _ => Err(format!("{} lines without it", self.locked().len())),
            }
        })
        .await
    }

    /// Waits for its end.
    pub async fn end(mut self, limit: Duration) -> Finished {
        let status = wait::until(&format!("the end of {}", self.words), limit, async || {
            let ended = self.child.try_wait().unwrap();
            ended
                .filter(|_| self.is_read_to_the_end())
                .ok_or_else(|| self.tail())
        })
        .await;
        Finished {
            words: self.words.clone(),
            code: status.code(),
            output: self.text(Stream::Output),
            errors: self.text(Stream::Error),
        }
    }

    /// Ctrl-C, and its end.
    pub async fn interrupt(self) -> Finished {
        self.signal(Signal::INT);
        self.end(STOP_MAX).await
    }

    /// What a service manager does, and its end.
    pub async fn terminate(self) -> Finished {
        self.signal(Signal::TERM);
        self.end(STOP_MAX).await
    }

    /// `kill -9`: nothing can be saved on the way out.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Everything said so far.
    pub fn all(&self) -> String {
        let lines = self.locked();
        lines
            .iter()
            .map(|line| line.text.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended on its own.
            let _ = kill_process(pid, signal);
        }
    }

    fn find(&self, matches: &impl Fn(Stream, &str) -> bool) -> Option<String> {
        let lines = self.locked();
        let found = lines.iter().find(|line| matches(line.stream, &line.text));
        found.map(|line| line.text.clone())
    }

    fn text(&self, stream: Stream) -> String {
        let lines = self.locked();
        let texts = lines
            .iter()
            .filter(|line| line.stream == stream)
            .map(|line| line.text.as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    fn tail(&self) -> String {
        let lines = self.locked();
        let from = lines.len().saturating_sub(LINES_SHOWN);
        let texts = lines[from..]
            .iter()
            .map(|line| format!("    {}", line.text));
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Each reader holds the lines as long as its pipe is open.
    fn is_read_to_the_end(&self) -> bool {
        Arc::strong_count(&self.lines) == 1
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}\n---", self.words, self.tail());
        }
        // Asked first, so that a build under way takes its compilers with it.
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static, kind: Stream, lines: &Lines) {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for bytes in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&bytes)
                .trim_end_matches('\r')
                .to_owned();
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(Line { stream: kind, text });
        }
    });
}

impl Finished {
    /// Panics unless it ended with 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.ended_with(0, &[])
    }

    /// Panics unless it ended with `code` and said each of `phrases`, on whichever stream.
    #[track_caller]
    pub fn ended_with(self, code: i32, phrases: &[&str]) -> Self {
        let said = format!("{}\n{}", self.output, self.errors);
        assert_eq!(
            self.code,
            Some(code),
            "exit code of {}, which said:\n{said}",
            self.words
        );
        for phrase in phrases {
            assert!(
                said.contains(phrase),
                "{} did not say {phrase:?}, but:\n{said}",
                self.words
            );
        }
        self
    }
}
