//! Many requests over many apps while they are deployed, scaled, configured, crashed and removed: what is left behind.

use anyhow::Context;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::answer::Wrong;
use crate::api::Api;
use crate::examples::{self, Slug};
use crate::limits::{SOAK_PART_MAX, WRONG_ANSWERS_SHOWN};
use crate::load::{Connection, HELLO_PAGE, Page, Target, ask_once};
use crate::peers;
use crate::place::Place;
use crate::report::line;
use crate::scenario::{Section, Setting};
use crate::server::{Footprint, Server};

/// Apps, unless said otherwise.
const APPS: usize = 500;
/// Requests, unless said otherwise.
const REQUESTS: usize = 100_000;
/// The run's parts, after each of which the footprint is taken with everything at rest; the first warms up.
const PARTS: usize = 5;
/// Clients at once.
const CLIENTS: usize = 16;
/// Between two requests of a client: the run is to be full of changes and rests, not of requests.
const REQUEST_PERIOD: Duration = Duration::from_millis(32);
/// Between two changes of apps.
const CHANGE_PERIOD: Duration = Duration::from_millis(50);
/// One request in so many to an app that may crash makes its guest trap. No divisor of what chooses the app: all would be one's.
const TRAP_EVERY: usize = 7;
/// One app in so many may crash. A dyno that crashes again is not restarted at once, and its app is refused meanwhile: no answer
/// of these apps but the hello and an error is wrong, and no answer of the others but the hello is right.
const CRASHING_EVERY: usize = 10;
/// Dynos rest soon, so that the run is full of rests and starts, and the footprint can be taken.
const SETTINGS: &str = "[runtime]\nidle_after_seconds = 2\n";
/// Threads of a pool that have nothing to do end after ten seconds; a footprint is one without them.
const POOLS_REST: Duration = Duration::from_secs(15);
/// The app that the server is asked for when it starts.
const FIRST: &str = "soak-0";

/// What the clients and the changes share; one thread has them all.
#[derive(Debug, Default)]
struct Tally {
    requests: usize,
    /// Requests that make their guest trap, if one is there.
    traps: usize,
    /// Requests beside them that met a crashed app.
    refused: usize,
    wrong: usize,
    shown: Vec<String>,
    changes: [usize; CHANGES.len()],
}

const CHANGES: [&str; 4] = [
    "releases of another slug",
    "changes of the formation",
    "changes of config vars",
    "apps made, asked and removed",
];

/// The state after a part.
#[derive(Debug)]
struct Part {
    requests: usize,
    took: Duration,
    footprint: Footprint,
}

struct Soak {
    address: SocketAddr,
    api: Api,
    apps: usize,
    /// Ids of the two slugs that releases change between.
    slugs: [String; 2],
    tally: RefCell<Tally>,
    /// Whether apps are to be changed.
    changing: Cell<bool>,
}

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let apps = setting.arguments.apps.unwrap_or(APPS).max(1);
    let requests = setting.arguments.requests.unwrap_or(REQUESTS);
    let slugs = [slug(setting, "soak-a", 5)?, slug(setting, "soak-b", 6)?];
    let data_dir = setting.work_dir.join("soak");
    let place = Place::platform(&setting.programs.dyno, &data_dir, FIRST, SETTINGS)?;
    let (server, _) = Server::launch(&place.recipe, &setting.work_dir).await?;
    let soak = Rc::new(Soak {
        address: server.target().address,
        slugs: prepare(&place.api(&server)?, apps, &slugs).await?,
        api: place.api(&server)?,
        apps,
        tally: RefCell::default(),
        changing: Cell::new(true),
    });
    let local = LocalSet::new();
    let mut parts = Vec::new();
    for part in 0..PARTS {
        let began = Instant::now();
        local
            .run_until(soak.clone().part(part, requests / PARTS))
            .await?;
        let took = began.elapsed();
        soak.all_at_rest().await?;
        sleep(POOLS_REST).await;
        server.wait_quiet().await?;
        parts.push(Part {
            requests: soak.tally.borrow().requests,
            took,
            footprint: server.footprint()?,
        });
        eprintln!("part {} of {PARTS}: {:?}", part + 1, parts[part]);
    }
    server.stop()?;
    let tally = soak.tally.borrow();
    Ok(Section {
        title: "Soak".to_owned(),
        about: format!(
            "One `dyno serve` with {apps} apps, {CLIENTS} clients that ask one app after the other, each every {} ms; meanwhile, every {} ms, an app is \
             changed. One app in {CRASHING_EVERY} crashes again and again. Dynos rest after two seconds. Each footprint is taken with \
             everything at rest; the first part warms up.",
            REQUEST_PERIOD.as_millis(),
            CHANGE_PERIOD.as_millis()
        ),
        body: markdown(&tally, &parts),
        failure: (tally.wrong > 0).then(|| format!("{} answers were wrong", tally.wrong)),
    })
}

fn slug(setting: &Setting, name: &str, number: u32) -> anyhow::Result<Slug> {
    let source = peers::trapping_hello(&setting.work_dir, name, number)?;
    examples::slug(setting, &source, name, &[])
}

/// Deploys all apps; answers the ids of the two slugs.
async fn prepare(api: &Api, apps: usize, slugs: &[Slug; 2]) -> anyhow::Result<[String; 2]> {
    api.install(&name(0), &slugs[0].path).await?;
    let other = api.upload(&name(0), &slugs[1].path).await?;
    let ids = [api.first_slug(&name(0)).await?, other];
    for number in 1..apps {
        api.deploy(&name(number), &ids[0]).await?;
    }
    let began = Instant::now();
    for number in 0..apps {
        api.wait_up(&name(number), began).await?;
    }
    Ok(ids)
}

fn name(number: usize) -> String {
    format!("soak-{number}")
}

impl Soak {
    /// So many more requests, and changes until they are answered or the part's time is over.
    async fn part(self: Rc<Self>, part: usize, requests: usize) -> anyhow::Result<()> {
        let until = Instant::now() + SOAK_PART_MAX;
        let end = self.tally.borrow().requests + requests;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let soak = self.clone();
                tokio::task::spawn_local(async move { soak.client(client, end, until).await })
            })
            .collect();
        self.changing.set(true);
        let soak = self.clone();
        let changes = tokio::task::spawn_local(async move { soak.change(part).await });
        for client in clients {
            client.await.context("a client's task")?;
        }
        self.changing.set(false);
        changes.await.context("the changes' task")?
    }

    async fn client(&self, client: usize, end: usize, until: Instant) {
        let mut connection = None;
        loop {
            let number = self.tally.borrow().requests;
            if number >= end || Instant::now() >= until {
                return;
            }
            self.tally.borrow_mut().requests += 1;
            // A prime step: the clients meet each other at ever new apps.
            let app = (number * 7919 + client) % self.apps;
            let may_crash = may_crash(app);
            let traps = may_crash && number.is_multiple_of(TRAP_EVERY);
            let mut target = Target::app(self.address, &name(app));
            if traps {
                target.page = TRAP_PAGE;
            }
            let answer = ask(&mut connection, &target).await;
            if answer.is_err() {
                // What is left of the answer is on it.
                connection = None;
            }
            self.tally
                .borrow_mut()
                .count(&answer, (may_crash, traps), &target.host);
            sleep(REQUEST_PERIOD).await;
        }
    }

    /// Changes apps, one kind of change after the other, until told to stop.
    async fn change(&self, part: usize) -> anyhow::Result<()> {
        for turn in 0.. {
            if !self.changing.get() {
                break;
            }
            sleep(CHANGE_PERIOD).await;
            let kind = turn % CHANGES.len();
            let app = name((turn * 104_729 + part) % self.apps);
            match kind {
                0 => self.api.release(&app, &self.slugs[(turn / 4) % 2]).await,
                1 => self.scale(&app, 1 + (turn / 4) % 3).await,
                2 => self.configure(&app, turn).await,
                _ => self.make_and_remove(part, turn).await,
            }
            .with_context(|| format!("{}: {app}", CHANGES[kind]))?;
            self.tally.borrow_mut().changes[kind] += 1;
        }
        Ok(())
    }

    async fn scale(&self, app: &str, quantity: usize) -> anyhow::Result<()> {
        let body = format!("{{\"quantity\":{quantity}}}");
        let path = format!("/apps/{app}/formation/web");
        self.api.patch(&path, &body).await.map(drop)
    }

    async fn configure(&self, app: &str, value: usize) -> anyhow::Result<()> {
        let body = format!("{{\"SOAK\":\"{value}\"}}");
        let path = format!("/apps/{app}/config-vars");
        self.api.patch(&path, &body).await.map(drop)
    }

    async fn make_and_remove(&self, part: usize, turn: usize) -> anyhow::Result<()> {
        let app = format!("passing-{part}-{turn}");
        self.api.deploy(&app, &self.slugs[0]).await?;
        self.api.wait_up(&app, Instant::now()).await?;
        ask_once(&Target::app(self.address, &app)).await?;
        self.api.delete(&format!("/apps/{app}")).await.map(drop)
    }

    async fn all_at_rest(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        for number in 0..self.apps {
            let states: &[&str] = if may_crash(number) {
                &["idle", "crashed"]
            } else {
                &["idle"]
            };
            self.api.wait_states(&name(number), states, began).await?;
        }
        Ok(())
    }
}

fn may_crash(app: usize) -> bool {
    app % CRASHING_EVERY == CRASHING_EVERY - 1
}

const TRAP_PAGE: Page = Page {
    path: Cow::Borrowed("/trap"),
    ..HELLO_PAGE
};

async fn ask(connection: &mut Option<Connection>, target: &Target) -> anyhow::Result<()> {
    let connection = match connection {
        Some(connection) => {
            connection.turn_to(target);
            connection
        }
        None => connection.insert(Connection::open(target).await?),
    };
    connection.exchange().await
}

impl Tally {
    /// Counts an answer of an app that may crash or not, to a request that makes its guest trap or not.
    fn count(&mut self, answer: &anyhow::Result<()>, kind: (bool, bool), host: &str) {
        let is_refusal = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(Wrong::Status(status)) if status.starts_with("50"));
        let (may_crash, traps) = kind;
        let right = match answer {
            Ok(()) => !traps,
            Err(error) => may_crash && is_refusal(error),
        };
        self.traps += usize::from(traps);
        self.refused += usize::from(right && !traps && answer.is_err());
        if right {
            return;
        }
        self.wrong += 1;
        if self.shown.len() < WRONG_ANSWERS_SHOWN {
            let what = match answer {
                Ok(()) => "a guest that was to trap answered".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            self.shown.push(format!("{host}: {what}"));
        }
    }
}

fn markdown(tally: &Tally, parts: &[Part]) -> String {
    let mut text = String::from(
        "| requests | in s | RSS MiB | anonymous MiB | file descriptors | threads | mappings |\n|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for part in parts {
        let held = &part.footprint;
        line(
            &mut text,
            &format!(
                "| {} | {:.0} | {} | {} | {} | {} | {} |",
                part.requests,
                part.took.as_secs_f64(),
                held.resident >> 20,
                held.anonymous >> 20,
                held.files,
                held.threads,
                held.mappings,
            ),
        );
    }
    line(
        &mut text,
        &format!(
            "\n- wrong answers: **{}** of {}",
            tally.wrong, tally.requests
        ),
    );
    for shown in &tally.shown {
        line(&mut text, &format!("  - {shown}"));
    }
    line(
        &mut text,
        &format!(
            "- requests that make their guest trap: {}; others that met a crashed app: {}",
            tally.traps, tally.refused
        ),
    );
    for (name, count) in CHANGES.iter().zip(tally.changes) {
        line(&mut text, &format!("- {name}: {count}"));
    }
    text
}
