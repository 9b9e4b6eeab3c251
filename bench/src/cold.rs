//! The first request of an app that is only a route: with its files in memory, on the disk, and with its code mapped.

use anyhow::{Context, bail};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::examples::{self, FLASK, GREETING_PAGE, HONO, Reuse, Slug};
use crate::load::{HELLO_PAGE, Page, Target, ask_once};
use crate::page_cache;
use crate::peers;
use crate::place::Place;
use crate::report::{line, millis_at};
use crate::scenario::{Section, Setting};
use crate::server::Server;
use crate::statistics::summary;

/// The app that the server is asked for before the others: what the first request of a process costs is not the subject.
const WARM: &str = "warm";
/// A dyno rests soon, so that its code can be met without an instance.
const SETTINGS: &str = "[runtime]\nidle_after_seconds = 1\n";

/// Where an app's files are when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// In the page cache.
    Cached,
    /// On the disk; which pages of its code a start touches was recorded.
    Recorded,
    /// On the disk, and nothing is known.
    Unknown,
}

const FILES: [Files; 3] = [Files::Cached, Files::Recorded, Files::Unknown];

/// What was found of an app in one state.
#[derive(Debug, Default)]
struct Cell {
    first: Vec<Duration>,
    /// What the first request had the server read.
    mebibytes_read: Vec<f64>,
    second: Vec<Duration>,
}

/// An app and its cells: one for each [`Files`], and one for code that is mapped.
#[derive(Debug)]
struct App {
    name: &'static str,
    title: &'static str,
    page: Page,
    slug: Slug,
    cells: [Cell; 4],
}

const MAPPED: usize = FILES.len();

/// What all samples share.
struct Bench {
    place: Place,
    /// Where the server keeps compiled code and slugs.
    folders: [PathBuf; 2],
    work_dir: PathBuf,
}

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let warm = slug_of_hello(setting, WARM, 1)?;
    let mut apps = apps(setting)?;
    let data_dir = setting.work_dir.join("cold");
    let place = Place::platform(&setting.programs.dyno, &data_dir, WARM, SETTINGS)?;
    let bench = Bench {
        place,
        // Beside the code, the runtime keeps what dynos write, which goes with them.
        folders: [data_dir.join("runtime/native"), data_dir.join("slugs")],
        work_dir: setting.work_dir.clone(),
    };
    bench.prepare(&warm, &apps).await?;
    let rounds = setting.arguments.rounds();
    for round in 0..rounds {
        eprint!("\rround {} of {rounds} ", round + 1);
        for turn in 0..FILES.len() {
            let at = (round + turn) % FILES.len();
            bench.sample(&mut apps, at, round).await?;
        }
    }
    eprintln!();
    Ok(Section {
        title: "First request of a mere route".to_owned(),
        about: "One `dyno serve`, started again for each sample; each app is at rest and its code not mapped when it is asked. \
            Evicted are the compiled code, the slugs and their unpacked files. A request opens a connection of its own."
            .to_owned(),
        body: markdown(&apps),
        failure: None,
    })
}

fn apps(setting: &Setting) -> anyhow::Result<Vec<App>> {
    let app = |name, title, page, slug| App {
        name,
        title,
        page,
        slug,
        cells: Default::default(),
    };
    let mut apps = vec![app(
        "hello",
        "hello",
        HELLO_PAGE,
        slug_of_hello(setting, "cold-hello", 2)?,
    )];
    for (name, example) in [("hono", HONO), ("flask", FLASK)] {
        if setting.arguments.wants(example.title) {
            let slug = example.slug(setting, Reuse::Instance)?;
            apps.push(app(name, example.title, GREETING_PAGE, slug));
        }
    }
    Ok(apps)
}

/// Hellos of different numbers share no code.
fn slug_of_hello(setting: &Setting, name: &str, number: u32) -> anyhow::Result<Slug> {
    let source = peers::numbered_hello(&setting.work_dir, name, number)?;
    examples::slug(setting, &source, name, &[])
}

impl Bench {
    /// Deploys, and has each app start and rest twice: first to boot, then to have its pages recorded.
    async fn prepare(&self, warm: &Slug, apps: &[App]) -> anyhow::Result<()> {
        let (mut server, _) = Server::launch(&self.place.recipe, &self.work_dir).await?;
        let api = self.place.api(&server)?;
        api.install(WARM, &warm.path).await?;
        for app in apps {
            api.install(app.name, &app.slug.path).await?;
            server.wait_for(&target(&server, app)).await?;
        }
        for _ in 0..2 {
            server.wait_quiet().await?;
            for app in apps {
                ask_once(&target(&server, app)).await.context(app.title)?;
            }
            for app in apps {
                api.wait_state(app.name, "idle", Instant::now()).await?;
            }
        }
        server.wait_quiet().await?;
        server.stop()?;
        if self.recordings()?.is_empty() {
            bail!("no pages were recorded");
        }
        page_cache::write_back(&self.folders)
    }

    /// One request of each app after a start of the server, and the next one; then the same from mapped code.
    async fn sample(&self, apps: &mut [App], files: usize, round: usize) -> anyhow::Result<()> {
        let recordings = self.recordings()?;
        match FILES[files] {
            Files::Cached => page_cache::fill(&self.folders)?,
            Files::Recorded => {}
            Files::Unknown => {
                for (path, _) in &recordings {
                    fs::remove_file(path)?;
                }
            }
        }
        let asked = self.ask(apps, files, round).await;
        // As they were: what a server writes down that read its files from the disk may be something else.
        for (path, bytes) in &recordings {
            fs::write(path, bytes)?;
        }
        asked
    }

    async fn ask(&self, apps: &mut [App], files: usize, round: usize) -> anyhow::Result<()> {
        let (server, _) = Server::start(&self.place.recipe, &self.work_dir).await?;
        let api = self.place.api(&server)?;
        let count = apps.len();
        for app in &*apps {
            api.wait_state(app.name, "idle", Instant::now()).await?;
        }
        if FILES[files] != Files::Cached {
            page_cache::evict(&self.folders)?;
        }
        for turn in 0..count {
            let app = &mut apps[(round + turn) % count];
            app.ask(&server, files).await?;
        }
        if FILES[files] == Files::Cached {
            ask_mapped(apps, &server, &api, round).await?;
        }
        server.stop()
    }

    /// The recorded pages: file and content.
    fn recordings(&self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let files = page_cache::files_below(&self.folders[..1])?;
        files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|name| name == "pages"))
            .map(|path| Ok((path.clone(), fs::read(path)?)))
            .collect()
    }
}

fn markdown(apps: &[App]) -> String {
    let mut text = String::from(
        "| app | when it is asked | samples | first request: p50 ms | longest ms | read from the disk, p50 MiB | the next: p50 ms | \
         longest ms |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let states = [
        "files in the page cache",
        "evicted, pages recorded",
        "evicted, nothing recorded",
        "mapped, no instance",
    ];
    for app in apps {
        for (state, cell) in states.iter().zip(&app.cells) {
            let read = summary(cell.mebibytes_read.iter().copied());
            line(
                &mut text,
                &format!(
                    "| {} | {state} | {} | {} | {} | {:.1} | {} | {} |",
                    app.title,
                    cell.first.len(),
                    millis_at(&cell.first, 0.5),
                    millis_at(&cell.first, 1.0),
                    read.map_or(f64::NAN, |read| read.median),
                    millis_at(&cell.second, 0.5),
                    millis_at(&cell.second, 1.0),
                ),
            );
        }
    }
    text
}

async fn ask_mapped(
    apps: &mut [App],
    server: &Server,
    api: &Api,
    round: usize,
) -> anyhow::Result<()> {
    let count = apps.len();
    for turn in 0..count {
        let app = &mut apps[(round + turn) % count];
        api.wait_state(app.name, "idle", Instant::now()).await?;
        app.ask(server, MAPPED).await?;
    }
    Ok(())
}

impl App {
    async fn ask(&mut self, server: &Server, cell: usize) -> anyhow::Result<()> {
        let target = target(server, self);
        let cell = &mut self.cells[cell];
        let before = server.mebibytes_read()?;
        let first = ask_once(&target).await.context(self.title)?;
        let after = server.mebibytes_read()?;
        let second = ask_once(&target).await.context(self.title)?;
        cell.first.push(first);
        cell.mebibytes_read.push(after - before);
        cell.second.push(second);
        Ok(())
    }
}

fn target(server: &Server, app: &App) -> Target {
    Target {
        page: app.page.clone(),
        ..Target::app(server.target().address, app.name)
    }
}
