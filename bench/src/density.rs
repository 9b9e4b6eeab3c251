//! Many idle apps on one `dyno serve`: what each holds, and how soon any of them answers.

use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::HELLO;
use crate::api::Api;
use crate::limits::SETTLE_TIMEOUT;
use crate::load::{Target, ask_once};
use crate::place::Place;
use crate::server::{Recipe, Server};
use crate::statistics::percentile;

/// Requests from which a latency is told.
const SAMPLES: usize = 100;
/// Apps that are asked without a pause while the idle ones are asked once.
const BUSY: usize = 100;
/// What a busy app's client waits between two requests.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug)]
pub struct Density {
    apps: usize,
    deployed_in: Duration,
    /// Anonymous bytes of a server without apps, and of one with them, after a restart.
    anonymous: (u64, u64),
    threads: (u64, u64),
    maps: (usize, usize),
    /// From the start of the process to its word that it serves, and to the last app's being ready.
    ready: Duration,
    all_ready: Duration,
    first: Vec<Duration>,
    first_while_busy: Vec<Duration>,
    again: Vec<Duration>,
    api: Vec<Duration>,
    /// From the start of a change in the API to the route's doing as it says.
    change: Vec<Duration>,
}

/// Deploys `apps` apps of `hello` (a recipe that is deployed) into a data directory of their own, and measures.
pub async fn measure(hello: &Recipe, apps: usize, work_dir: &Path) -> anyhow::Result<Density> {
    let empty = Place::new(hello, &work_dir.join("density-empty"))?;
    let full = Place::new(hello, &work_dir.join("density"))?;
    let anonymous_empty = {
        // One app, asked once: what the first of its kind costs the process is no cost of the others.
        Server::deploy(&empty.recipe, work_dir).await?;
        let (server, _) = Server::start(&empty.recipe, work_dir).await?;
        let figures = figures(&server)?;
        server.stop()?;
        figures
    };
    Server::deploy(&full.recipe, work_dir).await?;
    let (server, _) = Server::start(&full.recipe, work_dir).await?;
    let deployed = Instant::now();
    deploy(&full.api(&server)?, apps).await?;
    let deployed_in = deployed.elapsed();
    server.stop()?;

    let began = Instant::now();
    let (server, start) = Server::start(&full.recipe, work_dir).await?;
    let api = full.api(&server)?;
    let mut order = shuffled(apps);
    settled(&api, &order).await?;
    let all_ready = began.elapsed();
    let full_figures = figures(&server)?;

    let mut rest = order.split_off(SAMPLES.min(apps));
    let first = ask_each(&server, &order).await?;
    let again = ask_each(&server, &order).await?;
    let busy: Vec<_> = rest.split_off(rest.len().saturating_sub(BUSY));
    rest.truncate(SAMPLES);
    let mut noise = keep_busy(&server, &busy);
    let first_while_busy = ask_each(&server, &rest).await?;
    noise.shutdown().await;
    let mut api_latencies = Vec::new();
    for app in &order {
        api_latencies.push(api.get(&format!("/apps/{}", name(*app))).await?.0);
    }
    let mut change = Vec::new();
    for app in order.iter().take(10) {
        change.push(maintenance(&api, &server, *app).await?);
    }
    server.stop()?;
    Ok(Density {
        apps,
        deployed_in,
        anonymous: (anonymous_empty.0, full_figures.0),
        threads: (anonymous_empty.1, full_figures.1),
        maps: (anonymous_empty.2, full_figures.2),
        ready: start.ready,
        all_ready,
        first,
        first_while_busy,
        again,
        api: api_latencies,
        change,
    })
}

fn name(number: usize) -> String {
    format!("density-{number}")
}

async fn deploy(api: &Api, apps: usize) -> anyhow::Result<()> {
    let slug = api.first_slug("hello").await?;
    for number in 0..apps {
        api.deploy(&name(number), &slug).await?;
        if number % 100 == 0 {
            eprint!("\rdeploying: {number} of {apps} ");
        }
    }
    eprintln!();
    Ok(())
}

/// Waits until the API says of every app that it would answer.
async fn settled(api: &Api, order: &[usize]) -> anyhow::Result<()> {
    let began = Instant::now();
    for app in order {
        api.wait_up(&name(*app), began).await?;
    }
    Ok(())
}

async fn ask_each(server: &Server, apps: &[usize]) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(apps.len());
    for app in apps {
        let latency = ask_once(&target(server.target().address, *app)).await;
        latencies.push(latency.with_context(|| format!("asking {}", name(*app)))?);
    }
    Ok(latencies)
}

/// Clients that go on asking the apps until they are shut down.
fn keep_busy(server: &Server, apps: &[usize]) -> JoinSet<()> {
    let address = server.target().address;
    let mut clients = JoinSet::new();
    for app in apps {
        let target = target(address, *app);
        clients.spawn(async move {
            loop {
                // Wrong answers are found by the requests that are measured.
                drop(ask_once(&target).await);
                sleep(BUSY_PAUSE).await;
            }
        });
    }
    clients
}

/// Switches an app's maintenance on, and asks it until it says so.
async fn maintenance(api: &Api, server: &Server, app: usize) -> anyhow::Result<Duration> {
    let began = Instant::now();
    api.patch(&format!("/apps/{}", name(app)), "{\"maintenance\":true}")
        .await?;
    let target = target(server.target().address, app);
    while ask_once(&target).await.is_ok() {
        if began.elapsed() > SETTLE_TIMEOUT {
            bail!("{} does not go into maintenance", name(app));
        }
    }
    Ok(began.elapsed())
}

fn target(address: SocketAddr, app: usize) -> Target {
    Target {
        address,
        host: format!("{}.localhost", name(app)),
        expected: HELLO,
    }
}

/// Anonymous bytes, threads and mappings of a server.
fn figures(server: &Server) -> anyhow::Result<(u64, u64, usize)> {
    let process = PathBuf::from(format!("/proc/{}", server.process_id()));
    let field = |file: &str, name: &str| -> anyhow::Result<u64> {
        let text = fs::read_to_string(process.join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("no {name} in {file}"))
    };
    let anonymous = field("smaps_rollup", "Anonymous:")? * 1024;
    let threads = field("status", "Threads:")?;
    let maps = fs::read_to_string(process.join("maps"))?.lines().count();
    Ok((anonymous, threads, maps))
}

/// The numbers below `count` in an order that looks random and is the same each time.
fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for place in (1..count).rev() {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (place as u64 + 1)).unwrap_or(0);
        numbers.swap(place, other);
    }
    numbers
}

// === the section of the results ===

impl Density {
    /// The section's text.
    pub fn markdown(&self, head: &str) -> String {
        let mut text = format!("## {} idle apps\n\n{head}\n", self.apps);
        let mut line = |what: &str, figure: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {what} | {figure} |");
        };
        line("what", "figure".to_owned());
        line("---", "---:".to_owned());
        line(
            "anonymous memory of an idle app, over a server with one",
            format!("{:.1} KiB", self.bytes_per_app() / 1024.0),
        );
        line(
            "anonymous memory of the server with one app, with all",
            format!(
                "{} MiB, {} MiB",
                self.anonymous.0 >> 20,
                self.anonymous.1 >> 20
            ),
        );
        line(
            "threads with one app, with all",
            format!("{}, {}", self.threads.0, self.threads.1),
        );
        line(
            "mappings with one app, with all",
            format!("{}, {}", self.maps.0, self.maps.1),
        );
        line(
            "deploying all, one after the other, through the API",
            format!("{:.0} s", self.deployed_in.as_secs_f64()),
        );
        line(
            "restart: ready to accept",
            format!("{:.2} s", self.ready.as_secs_f64()),
        );
        line(
            "restart: the API has said of every app that it would answer",
            format!("{:.2} s", self.all_ready.as_secs_f64()),
        );
        line("first request of an idle app", spread(&self.first));
        line(
            &format!("the same while {BUSY} others are busy"),
            spread(&self.first_while_busy),
        );
        line("the request after it", spread(&self.again));
        line("`GET /apps/{app}`", spread(&self.api));
        line(
            "a change of an app until its route obeys",
            spread(&self.change),
        );
        text
    }

    #[allow(clippy::cast_precision_loss)] // bytes far below 2^52
    fn bytes_per_app(&self) -> f64 {
        self.anonymous.1.saturating_sub(self.anonymous.0) as f64 / self.apps.max(1) as f64
    }
}

/// Median, 99th percentile and longest, in milliseconds.
fn spread(latencies: &[Duration]) -> String {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let millis = |latency: Option<Duration>| latency.unwrap_or_default().as_secs_f64() * 1e3;
    format!(
        "p50 {:.2}, p99 {:.2}, max {:.2} ms",
        millis(percentile(&sorted, 0.5)),
        millis(percentile(&sorted, 0.99)),
        millis(sorted.last().copied())
    )
}

#[cfg(test)]
mod tests {
    use super::shuffled;

    #[test]
    fn a_shuffle_has_every_number_once() {
        let mut numbers = shuffled(1000);
        assert_ne!(numbers, (0..1000).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}
