//! Outbound HTTP calls of a guest to a local server: how many a second, and on how many connections.

use anyhow::Context;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::borrow::Cow;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::HELLO;
use crate::examples::{self, Slug};
use crate::load::{Connection, Page, Target};
use crate::peers::{self, DYNO, SERVE, SERVE_REUSE};
use crate::place::Place;
use crate::report::{self, line};
use crate::scenario::{Section, Setting};
use crate::server::{Recipe, Server};
use crate::statistics::{Summary, summary};

/// Answers a request for `/AUTHORITY` with the status that `http://AUTHORITY/` answered.
const FETCH: &str = include_str!("../../tests/guests/fetch.wat");
/// Calls of a cell, unless said otherwise.
const CALLS: usize = 1_000;
/// Connections of the clients, and so calls at once.
const AT_ONCE: [usize; 2] = [1, 16];
const APP: &str = "fetch";

/// What one server did in one cell.
#[derive(Clone, Copy, Debug)]
struct Cell {
    calls_per_second: f64,
    /// Connections that were opened to the upstream.
    opened: usize,
}

/// The server that guests call; it ends with this.
struct Upstream {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let upstream = Upstream::start().await?;
    let recipes = recipes(setting, upstream.address).await?;
    let mut servers = Vec::new();
    for recipe in &recipes {
        let (server, _) = Server::launch(recipe, &setting.work_dir).await?;
        servers.push((recipe.name, server));
    }
    let calls = setting.arguments.requests.unwrap_or(CALLS);
    let rounds = setting.arguments.rounds();
    let mut body = report::servers(&recipes);
    for at_once in AT_ONCE {
        let mut cells = vec![Vec::new(); servers.len()];
        for (_, server) in &servers {
            // Instances and connections of a server that has run for long.
            measure(server, &upstream, calls / 10 + 1, at_once).await?;
        }
        for round in 0..rounds {
            eprint!("\r{at_once} at once: round {} of {rounds} ", round + 1);
            for turn in 0..servers.len() {
                let at = (round + turn) % servers.len();
                let (name, server) = &servers[at];
                let cell = measure(server, &upstream, calls, at_once).await;
                cells[at].push(cell.with_context(|| (*name).to_owned())?);
            }
        }
        eprintln!();
        body += &table(&servers, &cells, at_once);
    }
    for (_, server) in servers {
        server.stop()?;
    }
    Ok(Section {
        title: "Outbound calls".to_owned(),
        about: format!(
            "A guest that makes one HTTP call for each request, {calls} requests a cell, {rounds} rounds in turn. The upstream is hyper \
             in the process of the clients; it counts the connections that are opened to it. Medians, quartiles in brackets."
        ),
        body,
        failure: None,
    })
}

async fn recipes(setting: &Setting, upstream: SocketAddr) -> anyhow::Result<Vec<Recipe>> {
    let source = peers::app(&setting.work_dir, "fetch", FETCH, "")?;
    let slug = examples::slug(setting, &source, "fetch", &[])?;
    let page = Page {
        path: Cow::Owned(format!("/{upstream}")),
        body: b"",
    };
    let mut recipes = Vec::new();
    if let Some(wasmtime) = &setting.programs.wasmtime {
        let component = peers::component_of(&source);
        let about =
            "as it comes: a fresh instance for each request, and a connection for each call";
        recipes.push(peers::serve(wasmtime, SERVE, about, &[], &component));
        let about = "told to keep an instance for 1,000,000 requests and 600 s";
        let options = peers::REUSE_ALWAYS.map(str::to_owned);
        recipes.push(peers::serve(
            wasmtime,
            SERVE_REUSE,
            about,
            &options,
            &component,
        ));
    }
    recipes.push(deployed(setting, &slug, upstream).await?);
    for recipe in &mut recipes {
        recipe.page = page.clone();
    }
    Ok(recipes)
}

async fn deployed(setting: &Setting, slug: &Slug, upstream: SocketAddr) -> anyhow::Result<Recipe> {
    let data_dir = setting.work_dir.join("outbound");
    // Loopback is forbidden to guests otherwise.
    let settings = format!("[egress]\nallow = ['{upstream}']\n");
    let place = Place::platform(&setting.programs.dyno, &data_dir, APP, &settings)?;
    let (server, _) = Server::launch(&place.recipe, &setting.work_dir).await?;
    let api = place.api(&server)?;
    api.install(APP, &slug.path).await?;
    api.wait_up(APP, Instant::now()).await?;
    server.stop()?;
    Ok(Recipe {
        about: "as it comes: warm instances, one pool of connections for the app",
        ..place.recipe
    })
}

/// Has so many requests answered over so many connections.
#[allow(clippy::cast_precision_loss)] // counts far below 2^52
async fn measure(
    server: &Server,
    upstream: &Upstream,
    calls: usize,
    at_once: usize,
) -> anyhow::Result<Cell> {
    let before = upstream.opened.load(Ordering::Relaxed);
    let left = Arc::new(AtomicUsize::new(calls));
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for _ in 0..at_once {
        clients.spawn(ask(server.target().clone(), left.clone()));
    }
    while let Some(client) = clients.join_next().await {
        client.context("a client's task")??;
    }
    Ok(Cell {
        calls_per_second: calls as f64 / began.elapsed().as_secs_f64(),
        opened: upstream.opened.load(Ordering::Relaxed) - before,
    })
}

async fn ask(target: Target, left: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let mut connection = Connection::open(&target).await?;
    let one_less = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_ok()
    {
        connection.exchange().await?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // counts far below 2^52
fn table(servers: &[(&str, Server)], cells: &[Vec<Cell>], at_once: usize) -> String {
    let mut text = format!(
        "\n### {at_once} at once\n\n| server | calls/s | connections opened for a cell |\n|---|---:|---:|\n"
    );
    let figures = |of: fn(&Cell) -> f64, at: usize| summary(cells[at].iter().map(of));
    for (at, (name, _)) in servers.iter().enumerate() {
        let rate = figures(|cell| cell.calls_per_second, at);
        let opened = figures(|cell| cell.opened as f64, at);
        line(
            &mut text,
            &format!("| {name} | {} | {} |", spread(rate, 0), spread(opened, 0)),
        );
    }
    line(&mut text, "");
    let place = |wanted| servers.iter().position(|(name, _)| *name == wanted);
    for peer in [SERVE, SERVE_REUSE] {
        if let (Some(dyno), Some(peer_at)) = (place(DYNO), place(peer)) {
            let rounds = cells[dyno].iter().zip(&cells[peer_at]);
            let ratio = summary(rounds.map(|(a, b)| a.calls_per_second / b.calls_per_second));
            line(
                &mut text,
                &format!("- {DYNO} ÷ {peer}: **{}**", spread(ratio, 2)),
            );
        }
    }
    text
}

fn spread(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or_else(
        || "-".to_owned(),
        |Summary { low, median, high }| {
            format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
        },
    )
}

impl Upstream {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let opened = Arc::new(AtomicUsize::new(0));
        let counter = opened.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                // A hello that waits for the next acknowledgement would measure that.
                let _ = stream.set_nodelay(true);
                let service = service_fn(|_| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(HELLO))))
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that leaves is no event here.
                tokio::spawn(async { drop(connection.await) });
            }
        });
        Ok(Self {
            address,
            opened,
            accepting: accepting.abort_handle(),
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
