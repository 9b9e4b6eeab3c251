//! A program on a terminal of its own, and a person in front of it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::wait;

/// What a person waits for an answer.
const PATIENCE: Duration = Duration::from_mins(2);

/// A terminal, by util-linux's `script`: making one ourselves takes code that the compiler cannot check.
pub struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Arc<Mutex<String>>,
    /// How far the person has read.
    read: usize,
}

impl Terminal {
    /// Runs `command` on a terminal.
    pub fn start(command: Command) -> Self {
        let mut on_terminal = Command::new("script");
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        on_terminal
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(line.join(" "))
            .arg("/dev/null")
            .env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                on_terminal.env(name, value);
            }
        }
        if let Some(directory) = command.get_current_dir() {
            on_terminal.current_dir(directory);
        }
        let mut child = on_terminal
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("script (util-linux) could not be started: {error}"));
        let screen = Arc::new(Mutex::new(String::new()));
        watch(child.stdout.take().unwrap(), Arc::clone(&screen));
        Self {
            keyboard: child.stdin.take(),
            child,
            screen,
            read: 0,
        }
    }

    /// Waits until `text` is on the screen, after what was waited for before.
    pub async fn shows(&mut self, text: &str) {
        let (screen, from) = (Arc::clone(&self.screen), self.read);
        let end = wait::until(&format!("{text:?} on the screen"), PATIENCE, async || {
            let screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            let found = screen[from..].find(text).map(|at| from + at + text.len());
            found.ok_or_else(|| screen.clone())
        })
        .await;
        self.read = end;
    }

    /// Waits until `text` is on the screen, and answers the `length` characters behind it.
    pub async fn shows_before(&mut self, text: &str, length: usize) -> String {
        self.shows(text).await;
        let (screen, from) = (Arc::clone(&self.screen), self.read);
        wait::until("what is behind it", PATIENCE, async || {
            let screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            let behind = screen[from..].get(..length);
            behind.map(str::to_owned).ok_or_else(|| screen.clone())
        })
        .await
    }

    /// Presses keys.
    pub fn types(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Waits for the end of the program, and answers its exit code.
    pub async fn ends(mut self) -> Option<i32> {
        let screen = Arc::clone(&self.screen);
        let status = wait::until("the end of the program", PATIENCE, async || {
            let status = self.child.try_wait().unwrap();
            status.ok_or_else(|| {
                let screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
                screen.clone()
            })
        })
        .await;
        status.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(mut output: impl Read + Send + 'static, screen: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            screen.push_str(&text);
        }
    });
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
