//! A server under test: a process that listens on a free loopback port and answers the hello.

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

use crate::examples::last_lines;
use crate::limits::{POLL_INTERVAL, QUIET_SURE, SETTLE_TIMEOUT, START_TIMEOUT, STOP_TIMEOUT};
use crate::load::{Page, Target, ask_patiently};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name in tables.
    pub name: &'static str,
    /// What it is, in a sentence for the results file.
    pub about: &'static str,
    /// The program to run.
    pub program: PathBuf,
    /// Arguments with which the program deploys what is served, once; it says the host's name when that is done.
    pub deploy: Option<Vec<String>>,
    /// Arguments with which it serves; `{address}` stands for the address to listen on.
    pub arguments: Vec<String>,
    /// The `Host` header it is asked with; none stands for the address.
    pub host: Option<String>,
    /// What it is asked for.
    pub page: Page,
    /// What its output holds once it serves.
    pub ready: String,
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    target: Target,
    name: &'static str,
}

/// What a server holds at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Bytes of it that are in memory, files' pages included.
    pub resident: u64,
    /// Bytes that are its own and no file's.
    pub anonymous: u64,
    /// Threads.
    pub threads: u64,
    /// The kernel's memory maps.
    pub mappings: usize,
    /// Open file descriptors.
    pub files: usize,
}

/// How a server came up.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// From the start of the process to its word that it serves.
    pub ready: Duration,
    /// From there to the first answer.
    pub first_answer: Duration,
}

impl Server {
    /// Deploys what the server serves, if it needs that.
    pub async fn deploy(recipe: &Recipe, work_dir: &Path) -> anyhow::Result<()> {
        let (Some(arguments), Some(host)) = (&recipe.deploy, &recipe.host) else {
            return Ok(());
        };
        let deploying = Recipe {
            arguments: arguments.clone(),
            // The server's word is the host's name.
            ready: host.clone(),
            ..recipe.clone()
        };
        Self::start(&deploying, work_dir).await?.0.stop()
    }

    /// Starts a server, and waits until it has answered once.
    pub async fn start(recipe: &Recipe, work_dir: &Path) -> anyhow::Result<(Self, Start)> {
        let (mut server, ready) = Self::launch(recipe, work_dir).await?;
        let began = Instant::now();
        server.wait_for(&server.target.clone()).await?;
        let first_answer = began.elapsed();
        Ok((
            server,
            Start {
                ready,
                first_answer,
            },
        ))
    }

    /// Starts a server, and waits for its word that it serves.
    pub async fn launch(recipe: &Recipe, work_dir: &Path) -> anyhow::Result<(Self, Duration)> {
        let address = free_address()?;
        let log = work_dir.join(format!("{}.log", recipe.name.replace([' ', '`', '/'], "-")));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let arguments = recipe
            .arguments
            .iter()
            .map(|argument| argument.replace("{address}", &address.to_string()));
        let began = Instant::now();
        let child = Command::new(&recipe.program)
            .args(arguments)
            .current_dir(work_dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", recipe.program.display()))?;
        let target = Target {
            address,
            host: recipe.host.clone().unwrap_or_else(|| address.to_string()),
            page: recipe.page.clone(),
        };
        let mut server = Self {
            child,
            log,
            target,
            name: recipe.name,
        };
        server.wait_for_word(&recipe.ready, began).await?;
        Ok((server, began.elapsed()))
    }

    /// Waits until the target, which it serves, answers as expected.
    pub async fn wait_for(&mut self, target: &Target) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let Err(error) = ask_patiently(target).await else {
                return Ok(());
            };
            self.check_alive(began, &format!("did not answer as expected ({error:#})"))?;
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Whom to ask.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// User and system time that the process has taken so far.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        Ok(self.cpu_times()?.0)
    }

    /// The same, and that of its children that have ended: of a platform, what builds have taken.
    pub fn cpu_times(&self) -> anyhow::Result<(Duration, Duration)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (own, children) = ticks(&stat).context("/proc/<pid>/stat was not understood")?;
        let per_second = rustix::param::clock_ticks_per_second();
        let time = |ticks| Duration::from_millis(ticks * 1000 / per_second);
        Ok((time(own), time(children)))
    }

    /// Waits until it computes no more: what it began in the background has ended.
    pub async fn wait_quiet(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let before = self.cpu_time()?;
            sleep(QUIET_SURE).await;
            if self.cpu_time()?.saturating_sub(before) < QUIET_SURE / 20 {
                return Ok(());
            }
            if began.elapsed() > SETTLE_TIMEOUT {
                bail!("{} goes on computing", self.name);
            }
        }
    }

    /// What it has had the kernel read from disks so far.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub fn mebibytes_read(&self) -> anyhow::Result<f64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let read = io
            .lines()
            .find_map(|line| line.strip_prefix("read_bytes: "));
        let bytes: u64 = read.context("no read_bytes in /proc/<pid>/io")?.parse()?;
        Ok(bytes as f64 / f64::from(1 << 20))
    }

    /// What it holds now.
    pub fn footprint(&self) -> anyhow::Result<Footprint> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let field = |file: &str, name: &str| -> anyhow::Result<u64> {
            let text = fs::read_to_string(process.join(file))?;
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.with_context(|| format!("no {name} in {file}"))
        };
        Ok(Footprint {
            resident: field("status", "VmRSS:")? * 1024,
            anonymous: field("smaps_rollup", "Anonymous:")? * 1024,
            threads: field("status", "Threads:")?,
            mappings: fs::read_to_string(process.join("maps"))?.lines().count(),
            files: fs::read_dir(process.join("fd"))?.count(),
        })
    }

    /// Asks the server to end, as Ctrl-C does, and waits for it.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end().map(drop)
    }

    async fn wait_for_word(&mut self, word: &str, began: Instant) -> anyhow::Result<()> {
        while !fs::read_to_string(&self.log)?.contains(word) {
            self.check_alive(began, "did not say that it serves")?;
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn check_alive(&mut self, began: Instant, otherwise: &str) -> anyhow::Result<()> {
        let what = match self.child.try_wait()? {
            Some(status) => format!("ended with {status}"),
            None if began.elapsed() > START_TIMEOUT => otherwise.to_owned(),
            None => return Ok(()),
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        bail!("{} {what}\n{}", self.name, last_lines(&log))
    }

    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process")?, Signal::INT)?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.end().is_err() {
            let _ = self.child.kill();
        }
    }
}

/// Free now; nobody else on the machine is likely to take it before the server does.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// User and system time in a line of `/proc/<pid>/stat`: the process's, and its ended children's. The program's name,
/// in parentheses, may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let times: Vec<u64> = fields.take(4).map_while(|text| text.parse().ok()).collect();
    match times[..] {
        [user, system, children_user, children_system] => {
            Some((user + system, children_user + children_system))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn times_are_found_behind_a_name_with_parentheses() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 17 5 30 1 20 0 4 0 100 200 300";
        assert_eq!(ticks(stat), Some((22, 31)));
    }

    #[test]
    fn a_broken_line_has_no_times() {
        assert_eq!(ticks("42 (a) S 1"), None);
    }
}
