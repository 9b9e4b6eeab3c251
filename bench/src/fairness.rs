//! A hello beside neighbours that never end: what it notices of them, and what a longer call beside them takes.

use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::HELLO;
use crate::limits::{LOOP_SURE, SETTLE_TIMEOUT};
use crate::load::{Connection, Target};
use crate::peers::Neighbours;
use crate::place::Place;
use crate::server::Server;
use crate::statistics::percentile;

/// Endless calls beside the probe.
const LOOPS: [usize; 4] = [0, 2, 4, 16];
/// Between two requests of the probe.
const PROBE_PERIOD: Duration = Duration::from_millis(2);
/// Between two of the longer calls.
const WORK_PERIOD: Duration = Duration::from_millis(100);
/// After a cell: what was left alone by its client has been cut off by then.
const REST: Duration = Duration::from_secs(3);

/// What was found.
#[derive(Debug)]
pub struct Fairness {
    cells: Vec<Cell>,
}

/// One number of loops, in one dyno or each in its own.
#[derive(Debug)]
struct Cell {
    loops: usize,
    own_dynos: bool,
    hello: Vec<Duration>,
    work: Vec<Duration>,
}

/// Deploys the neighbours into a data directory of their own and measures, `rounds` times each cell of `seconds`.
pub async fn measure(
    neighbours: &Neighbours,
    rounds: usize,
    seconds: Duration,
    work_dir: &Path,
) -> anyhow::Result<Fairness> {
    let place = Place::new(&neighbours.hello, &work_dir.join("fairness"))?;
    for recipe in [&neighbours.hello, &neighbours.work, &neighbours.spin] {
        Server::deploy(&place.also(recipe), work_dir).await?;
    }
    let (server, _) = Server::start(&place.recipe, work_dir).await?;
    let api = place.api(&server)?;
    let spin = api.first_slug("spin").await?;
    let most = LOOPS.into_iter().max().unwrap_or(0);
    let began = Instant::now();
    for number in 0..most {
        api.deploy(&spinner(number), &spin).await?;
    }
    for number in 0..most {
        api.wait_up(&spinner(number), began).await?;
    }
    let mut cells = Vec::new();
    for own_dynos in [false, true] {
        for loops in LOOPS {
            cells.push(Cell {
                loops,
                own_dynos,
                hello: Vec::new(),
                work: Vec::new(),
            });
        }
    }
    for round in 0..rounds {
        eprint!("\rround {} of {rounds} ", round + 1);
        for cell in &mut cells {
            cell.measure(&server, seconds).await.with_context(|| {
                format!(
                    "{} loops, {}",
                    cell.loops,
                    if cell.own_dynos {
                        "each in its own dyno"
                    } else {
                        "in one dyno"
                    }
                )
            })?;
            sleep(REST).await;
        }
    }
    eprintln!();
    for cell in &mut cells {
        cell.hello.sort_unstable();
        cell.work.sort_unstable();
    }
    server.stop()?;
    Ok(Fairness { cells })
}

fn spinner(number: usize) -> String {
    format!("spin-{number}")
}

fn target(server: &Server, app: &str) -> Target {
    Target {
        address: server.target().address,
        host: format!("{app}.localhost"),
        expected: HELLO,
    }
}

impl Cell {
    async fn measure(&mut self, server: &Server, seconds: Duration) -> anyhow::Result<()> {
        let mut loops = JoinSet::new();
        let mut clocks = Vec::new();
        for number in 0..self.loops {
            let app = if self.own_dynos {
                spinner(number)
            } else {
                "spin".to_owned()
            };
            let clock = Arc::new(AtomicU64::new(0));
            clocks.push(clock.clone());
            loops.spawn(keep_asking(target(server, &app), clock));
        }
        wait_until_stuck(&clocks).await?;
        let until = Instant::now() + seconds;
        let (hello, work) = (target(server, "hello"), target(server, "work"));
        let (hello, work) = tokio::join!(
            probe(&hello, PROBE_PERIOD, until),
            probe(&work, WORK_PERIOD, until)
        );
        self.hello.extend(hello.context("the hello")?);
        self.work.extend(work.context("the longer call")?);
        loops.shutdown().await;
        Ok(())
    }
}

/// Asks until an answer does not come: from then on the guest is in its loop. `answers` counts.
async fn keep_asking(target: Target, answers: Arc<AtomicU64>) {
    // A connection that breaks (a time-out of the router) begins again.
    loop {
        if let Ok(mut connection) = Connection::open(&target).await {
            while connection.exchange_unbounded().await.is_ok() {
                answers.fetch_add(1, Ordering::Relaxed);
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until no client has had an answer for a while.
async fn wait_until_stuck(answers: &[Arc<AtomicU64>]) -> anyhow::Result<()> {
    let began = Instant::now();
    let count = || -> Vec<u64> {
        answers
            .iter()
            .map(|answers| answers.load(Ordering::Relaxed))
            .collect()
    };
    loop {
        let before = count();
        sleep(LOOP_SURE).await;
        if count() == before {
            return Ok(());
        }
        if began.elapsed() > SETTLE_TIMEOUT {
            bail!("the loops do not begin");
        }
    }
}

/// One request after the other on one connection, one each `period` at most; a late one counts with all its lateness.
async fn probe(target: &Target, period: Duration, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut connection = Connection::open(target).await?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let sent = Instant::now();
        connection.exchange().await?;
        let latency = sent.elapsed();
        latencies.push(latency);
        sleep(period.saturating_sub(latency)).await;
    }
    Ok(latencies)
}

impl Fairness {
    /// The section's text.
    pub fn markdown(&self, head: &str) -> String {
        let mut text = format!("## Beside endless loops\n\n{head}\n");
        text += "| loops | hello p50 ms | p99 ms | longest ms | the longer call: p50 ms | longest ms |\n|---|---:|---:|---:|---:|---:|\n";
        for cell in &self.cells {
            let loops = match (cell.loops, cell.own_dynos) {
                (0, _) => "none".to_owned(),
                (loops, false) => format!("{loops} in one dyno"),
                (loops, true) => format!("{loops}, each in its own dyno"),
            };
            let millis = |values: &[Duration], at: f64| {
                percentile(values, at).map_or_else(
                    || "-".to_owned(),
                    |value| format!("{:.2}", value.as_secs_f64() * 1e3),
                )
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {loops} | {} | {} | {} | {} | {} |",
                millis(&cell.hello, 0.5),
                millis(&cell.hello, 0.99),
                millis(&cell.hello, 1.0),
                millis(&cell.work, 0.5),
                millis(&cell.work, 1.0),
            );
        }
        text
    }
}
