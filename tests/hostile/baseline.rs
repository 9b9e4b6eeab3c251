//! What this process holds: memory, file descriptors, threads.

use crate::place::until;
use std::fmt;
use std::fs;

/// What an allocator and a pool of instances may keep of memory that was given back, and what a first backtrace loads of
/// this program's own symbols.
const MEMORY_SLACK_BYTES: u64 = 96 << 20;

/// Code that ran lately stays mapped for a while, and wasmtime keeps the file of a mapping open. A test has two guests at most.
const MAPPED_FILES: usize = 2;

#[derive(Clone, Copy)]
pub struct Baseline {
    memory_bytes: u64,
    descriptors: usize,
    threads: usize,
}

impl Baseline {
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let kilobytes = |key: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            memory_bytes: kilobytes("RssAnon:") << 10,
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }

    /// Waits until the process holds no more than it did.
    pub async fn comes_back(&self) {
        until(
            &format!("the host is as before: {self}"),
            Self::now,
            |now| {
                now.memory_bytes <= self.memory_bytes + MEMORY_SLACK_BYTES
                    && now.descriptors <= self.descriptors + MAPPED_FILES
                    && now.threads <= self.threads
            },
        )
        .await;
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} MB, {} descriptors, {} threads",
            self.memory_bytes >> 20,
            self.descriptors,
            self.threads
        )
    }
}
