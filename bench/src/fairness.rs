//! A hello beside neighbours that never end: what it notices of them, and what a longer call beside them takes.

use anyhow::{Context, bail};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::limits::{LOOP_SURE, SETTLE_TIMEOUT};
use crate::load::{Connection, Target};
use crate::peers::{self, Neighbours};
use crate::place::Place;
use crate::report::{line, millis_at};
use crate::scenario::{Section, Setting};
use crate::server::Server;

/// Endless calls beside the probe.
const LOOPS: [usize; 4] = [0, 2, 4, 16];
/// Between two requests of the probe.
const PROBE_PERIOD: Duration = Duration::from_millis(2);
/// Between two of the longer calls.
const WORK_PERIOD: Duration = Duration::from_millis(100);
/// After a cell: what was left alone by its client has been cut off by then.
const REST: Duration = Duration::from_secs(3);

/// One number of loops, in one dyno or each in its own.
#[derive(Debug)]
struct Cell {
    loops: usize,
    own_dynos: bool,
    hello: Vec<Duration>,
    work: Vec<Duration>,
}

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let (arguments, work_dir) = (&setting.arguments, &setting.work_dir);
    let neighbours = peers::neighbours(&setting.programs.dyno, work_dir)?;
    let cells = measure(&neighbours, arguments.rounds(), arguments.cell(), work_dir).await?;
    let about = "A hello asked every 2 ms on one connection, and every 100 ms a call that computes for some 20 ms, beside calls \
        that never end. All dynos are of the same size, which runs four calls at once: of sixteen in one dyno, twelve wait.";
    Ok(Section {
        title: "Beside endless loops".to_owned(),
        about: about.to_owned(),
        body: markdown(&cells),
        failure: None,
    })
}

/// Deploys the neighbours into a data directory of their own and measures, `rounds` times each cell of `seconds`.
async fn measure(
    neighbours: &Neighbours,
    rounds: usize,
    seconds: Duration,
    work_dir: &Path,
) -> anyhow::Result<Vec<Cell>> {
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
    server.stop()?;
    Ok(cells)
}

fn spinner(number: usize) -> String {
    format!("spin-{number}")
}

fn target(server: &Server, app: &str) -> Target {
    Target::app(server.target().address, app)
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

fn markdown(cells: &[Cell]) -> String {
    let mut text = String::new();
    line(
        &mut text,
        "| loops | hello p50 ms | p99 ms | longest ms | the longer call: p50 ms | longest ms |\n|---|---:|---:|---:|---:|---:|",
    );
    for cell in cells {
        let loops = match (cell.loops, cell.own_dynos) {
            (0, _) => "none".to_owned(),
            (loops, false) => format!("{loops} in one dyno"),
            (loops, true) => format!("{loops}, each in its own dyno"),
        };
        line(
            &mut text,
            &format!(
                "| {loops} | {} | {} | {} | {} | {} |",
                millis_at(&cell.hello, 0.5),
                millis_at(&cell.hello, 0.99),
                millis_at(&cell.hello, 1.0),
                millis_at(&cell.work, 0.5),
                millis_at(&cell.work, 1.0),
            ),
        );
    }
    text
}
