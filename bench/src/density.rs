//! Many idle apps on one `dyno serve`: what each holds, and how soon any of them answers.

use anyhow::{Context, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::Api;
use crate::limits::SETTLE_TIMEOUT;
use crate::load::{Target, ask_once};
use crate::peers;
use crate::place::Place;
use crate::report::{line, millis_at};
use crate::scenario::{Section, Setting};
use crate::server::{Footprint, Recipe, Server};

/// Apps, unless said otherwise.
const APPS: usize = 10_000;
/// Requests from which a latency is told.
const SAMPLES: usize = 100;
/// Apps that are asked without a pause while the idle ones are asked once.
const BUSY: usize = 100;
/// What a busy app's client waits between two requests.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug)]
struct Density {
    apps: usize,
    deployed_in: Duration,
    /// A server with one app, and with all of them after a restart.
    one: Footprint,
    all: Footprint,
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

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let apps = setting.arguments.apps.unwrap_or(APPS);
    let hello = peers::hello(&setting.programs.dyno, &setting.work_dir)?;
    let density = measure(&hello, apps, &setting.work_dir).await?;
    Ok(Section {
        title: format!("{apps} idle apps"),
        about: "One `dyno serve`, one hello app deployed again and again, scaled to zero."
            .to_owned(),
        body: density.markdown(),
        failure: None,
    })
}

/// Deploys `apps` apps of `hello` (a recipe that is deployed) into a data directory of their own, and measures.
async fn measure(hello: &Recipe, apps: usize, work_dir: &Path) -> anyhow::Result<Density> {
    let empty = Place::new(hello, &work_dir.join("density-empty"))?;
    let full = Place::new(hello, &work_dir.join("density"))?;
    let one = {
        // One app, asked once: what the first of its kind costs the process is no cost of the others.
        Server::deploy(&empty.recipe, work_dir).await?;
        let (server, _) = Server::start(&empty.recipe, work_dir).await?;
        let footprint = server.footprint()?;
        server.stop()?;
        footprint
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
    let all = server.footprint()?;

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
        one,
        all,
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
    Target::app(address, &name(app))
}

/// The numbers below `count` in an order that looks random and is the same each time.
pub fn shuffled(count: usize) -> Vec<usize> {
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
    fn markdown(&self) -> String {
        let (one, all) = (&self.one, &self.all);
        let mut text = String::from("| what | figure |\n|---|---:|\n");
        for (what, figure) in [
            (
                "anonymous memory of an idle app, over a server with one",
                format!("{:.1} KiB", self.bytes_per_app() / 1024.0),
            ),
            (
                "anonymous memory of the server with one app, with all",
                format!("{} MiB, {} MiB", one.anonymous >> 20, all.anonymous >> 20),
            ),
            (
                "threads with one app, with all",
                format!("{}, {}", one.threads, all.threads),
            ),
            (
                "mappings with one app, with all",
                format!("{}, {}", one.mappings, all.mappings),
            ),
            (
                "deploying all, one after the other, through the API",
                format!("{:.0} s", self.deployed_in.as_secs_f64()),
            ),
            (
                "restart: ready to accept",
                format!("{:.2} s", self.ready.as_secs_f64()),
            ),
            (
                "restart: the API has said of every app that it would answer",
                format!("{:.2} s", self.all_ready.as_secs_f64()),
            ),
            ("first request of an idle app", spread(&self.first)),
            (
                &*format!("the same while {BUSY} others are busy"),
                spread(&self.first_while_busy),
            ),
            ("the request after it", spread(&self.again)),
            ("`GET /apps/{app}`", spread(&self.api)),
            (
                "a change of an app until its route obeys",
                spread(&self.change),
            ),
        ] {
            line(&mut text, &format!("| {what} | {figure} |"));
        }
        text
    }

    #[allow(clippy::cast_precision_loss)] // bytes far below 2^52
    fn bytes_per_app(&self) -> f64 {
        self.all.anonymous.saturating_sub(self.one.anonymous) as f64 / self.apps.max(1) as f64
    }
}

/// Median, 99th percentile and longest, in milliseconds.
fn spread(latencies: &[Duration]) -> String {
    format!(
        "p50 {}, p99 {}, max {} ms",
        millis_at(latencies, 0.5),
        millis_at(latencies, 0.99),
        millis_at(latencies, 1.0)
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
