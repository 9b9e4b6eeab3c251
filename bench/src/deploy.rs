//! From pushed source to the first answer: the first app of a language on an empty data directory, and the second.

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::api::Api;
use crate::examples::{CHANGED_PAGE, Example, FLASK, GREETING_PAGE, HONO};
use crate::load::{HELLO_PAGE, Page, Target};
use crate::peers;
use crate::place::Place;
use crate::report::line;
use crate::scenario::{Section, Setting};
use crate::server::Server;
use crate::statistics::summary;

/// A source, what the app answers, and the figures of its deployments.
#[derive(Debug)]
struct App {
    title: String,
    name: &'static str,
    source: PathBuf,
    page: Page,
    deploys: Vec<Deploy>,
}

/// What one deployment took.
#[derive(Clone, Copy, Debug)]
struct Deploy {
    /// From the request that brings the source to the end of the build.
    built: Duration,
    /// From there to the first right answer.
    answered: Duration,
    /// Processor time of the server until it is quiet again, and of the builds that it ran.
    server_cpu: Duration,
    builders_cpu: Duration,
}

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let mut pairs = pairs(setting)?;
    // What the toolchains fetch and make once per version is no cost of a deployment.
    eprintln!("preparing the toolchains");
    for pair in &mut pairs {
        round(setting, &mut pair[..1]).await?;
        pair[0].deploys.clear();
    }
    let rounds = setting.arguments.rounds();
    for number in 0..rounds {
        eprintln!("round {} of {rounds}", number + 1);
        for pair in &mut pairs {
            round(setting, pair).await?;
        }
    }
    Ok(Section {
        title: "From source to the first answer".to_owned(),
        about: "The source is sent to the API of a running `dyno serve`, built, released, and asked for until it answers. For the first \
            app of a language the data directory is new; the second app is another one with a changed text, on the same server once \
            it is quiet. Toolchains are there. Processor time is counted until the server is quiet again."
            .to_owned(),
        body: markdown(&pairs),
        failure: None,
    })
}

/// Two apps of each language.
fn pairs(setting: &Setting) -> anyhow::Result<Vec<Vec<App>>> {
    let app = |title: &str, name, source, page| App {
        title: title.to_owned(),
        name,
        source,
        page,
        deploys: Vec::new(),
    };
    let hello = |name, number| peers::numbered_hello(&setting.work_dir, name, number);
    let mut pairs = vec![vec![
        app(
            "hello, first",
            "first",
            hello("deploy-first", 3)?,
            HELLO_PAGE,
        ),
        app(
            "hello, second",
            "second",
            hello("deploy-second", 4)?,
            HELLO_PAGE,
        ),
    ]];
    let wanted = |example: &Example| setting.arguments.wants(example.title);
    for example in [HONO, FLASK].into_iter().filter(wanted) {
        let changed = setting.work_dir.join(format!("{}-changed", example.folder));
        example.copy_changed(&changed)?;
        let title = |which| format!("{}, {which}", example.title);
        pairs.push(vec![
            app(&title("first"), "first", example.source(), GREETING_PAGE),
            app(&title("second"), "second", changed, CHANGED_PAGE),
        ]);
    }
    Ok(pairs)
}

/// Deploys the apps one after the other on an empty data directory.
async fn round(setting: &Setting, apps: &mut [App]) -> anyhow::Result<()> {
    let data_dir = setting.work_dir.join("deploy");
    let toolchains = setting.toolchain_settings();
    let place = Place::platform(&setting.programs.dyno, &data_dir, "first", &toolchains)?;
    let (mut server, _) = Server::launch(&place.recipe, &setting.work_dir).await?;
    let api = place.api(&server)?;
    for app in apps {
        server.wait_quiet().await?;
        eprintln!("deploying: {}", app.title);
        let deploy = app.deploy(&mut server, &api).await;
        app.deploys.push(deploy.with_context(|| app.title.clone())?);
    }
    server.stop()
}

impl App {
    async fn deploy(&self, server: &mut Server, api: &Api) -> anyhow::Result<Deploy> {
        let archive = pack(&self.source)?;
        let before = server.cpu_times()?;
        let began = Instant::now();
        api.create(self.name).await?;
        api.build(self.name, &archive).await?;
        let built = began.elapsed();
        let target = Target {
            page: self.page.clone(),
            ..Target::app(server.target().address, self.name)
        };
        server.wait_for(&target).await?;
        let answered = began.elapsed().saturating_sub(built);
        server.wait_quiet().await?;
        let after = server.cpu_times()?;
        Ok(Deploy {
            built,
            answered,
            server_cpu: after.0.saturating_sub(before.0),
            builders_cpu: after.1.saturating_sub(before.1),
        })
    }
}

/// A source as a tar archive, as a push sends it.
fn pack(source: &Path) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive
        .append_dir_all(".", source)
        .and_then(|()| archive.into_inner())
        .with_context(|| format!("cannot pack {}", source.display()))
}

fn markdown(pairs: &[Vec<App>]) -> String {
    let mut text = String::from(
        "Medians.\n\n| app | deployments | source to first answer s | of that, the build | server CPU s | builders' CPU s |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for app in pairs.iter().flatten() {
        let median = |of: fn(&Deploy) -> Duration| {
            let seconds = app.deploys.iter().map(|deploy| of(deploy).as_secs_f64());
            summary(seconds).map_or(f64::NAN, |summary| summary.median)
        };
        line(
            &mut text,
            &format!(
                "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                app.title,
                app.deploys.len(),
                median(|deploy| deploy.built + deploy.answered),
                median(|deploy| deploy.built),
                median(|deploy| deploy.server_cpu),
                median(|deploy| deploy.builders_cpu),
            ),
        );
    }
    text
}
