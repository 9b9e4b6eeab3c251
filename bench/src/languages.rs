//! Answers a second of apps in interpreted languages: dyno as it comes, a fresh instance for each request, and the peer.

use anyhow::{Context, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

use crate::examples::{self, EXPRESS, Example, FLASK, GREETING_PAGE, HONO, Reuse, Slug};
use crate::peers::{self, CEILING, DYNO, DYNO_FRESH, SERVE_REUSE};
use crate::place::Place;
use crate::report;
use crate::scenario::{Section, Setting};
use crate::server::{Recipe, Server};
use crate::throughput;

/// Ratios that are told beside a table.
const RATIOS: [(&str, &str); 2] = [(DYNO, SERVE_REUSE), (DYNO_FRESH, DYNO)];
/// The app's name wherever it is deployed.
const APP: &str = "app";

/// The scenario.
pub async fn run(setting: &Setting) -> anyhow::Result<Section> {
    let mut body = String::new();
    let mut failure = None;
    for example in [FLASK, HONO, EXPRESS] {
        if !setting.arguments.wants(example.title) {
            continue;
        }
        // A folder of its own: the servers have the same names for each app.
        let work_dir = setting
            .work_dir
            .join(format!("languages-{}", example.folder));
        fs::create_dir_all(&work_dir)?;
        let recipes = recipes(setting, &example, &work_dir)
            .await
            .context(example.title)?;
        let tables = throughput::tables(&recipes, &setting.arguments, &work_dir)
            .await
            .context(example.title)?;
        if body.is_empty() {
            body += &report::servers(&recipes);
        }
        report::line(&mut body, &format!("\n### {}", example.title));
        for table in &tables {
            body += &report::rates(table, 4, &RATIOS);
        }
        failure = failure.or(report::failure(&tables));
    }
    if body.is_empty() {
        bail!("no example has such a name");
    }
    Ok(Section {
        title: "Python and JavaScript".to_owned(),
        about: "The example apps' `GET /hello`, 13 bytes made by the app's framework. `wasmtime serve` runs the same component with \
            the slug's files and variables; it has no boot, so every instance of it initialises the interpreter and the app at its \
            first request, before the clock starts. Without reuse it would do so at every request, which is not measured here."
            .to_owned(),
        body,
        failure,
    })
}

async fn recipes(
    setting: &Setting,
    example: &Example,
    work_dir: &Path,
) -> anyhow::Result<Vec<Recipe>> {
    let slug = example.slug(setting, Reuse::Instance)?;
    let fresh = example.slug(setting, Reuse::Request)?;
    let mut recipes = vec![peers::ceiling(&setting.programs.bench)];
    let data_dir = work_dir.join("reused");
    let about = "served by `dyno serve` as it comes: booted once per release, warm instances";
    let reused = deployed(setting, &slug, &data_dir, DYNO, about, work_dir).await?;
    if let Some(wasmtime) = &setting.programs.wasmtime {
        recipes.push(peer(wasmtime, &slug, &data_dir, work_dir)?);
    }
    recipes.push(reused);
    let about = "the same with a fresh instance of the booted heap for each request";
    let data_dir = work_dir.join("fresh");
    recipes.push(deployed(setting, &fresh, &data_dir, DYNO_FRESH, about, work_dir).await?);
    for recipe in &mut recipes {
        if recipe.name != CEILING {
            recipe.page = GREETING_PAGE;
        }
    }
    Ok(recipes)
}

/// A data directory with the app in it, booted.
async fn deployed(
    setting: &Setting,
    slug: &Slug,
    data_dir: &Path,
    name: &'static str,
    about: &'static str,
    work_dir: &Path,
) -> anyhow::Result<Recipe> {
    let place = Place::platform(&setting.programs.dyno, data_dir, APP, "")?;
    let recipe = Recipe {
        name,
        about,
        page: GREETING_PAGE,
        ..place.recipe.clone()
    };
    let (mut server, _) = Server::launch(&recipe, work_dir).await?;
    place.api(&server)?.install(APP, &slug.path).await?;
    server.wait_for(&server.target().clone()).await?;
    server.wait_quiet().await?;
    server.stop()?;
    Ok(recipe)
}

/// `wasmtime serve` on the slug's web component, with copies of its unpacked files: a guest of it may write.
fn peer(wasmtime: &Path, slug: &Slug, data_dir: &Path, work_dir: &Path) -> anyhow::Result<Recipe> {
    let web = &slug.description["process_types"]["web"];
    let mut options = vec!["-Scli".to_owned()];
    options.extend(peers::REUSE_ALWAYS.map(str::to_owned));
    for layer in slug.description["layers"].as_array().into_iter().flatten() {
        let mount = text(&layer["mount"])?;
        let unpacked = data_dir.join("slugs/trees").join(hex(&layer["digest"])?);
        let copied = work_dir.join("mounts").join(mount.trim_start_matches('/'));
        examples::copy(&unpacked, &copied)?;
        options.push(format!("--dir={}::{mount}", copied.display()));
    }
    let variables = web["environment"].as_object();
    for (name, value) in variables.into_iter().flatten() {
        options.push(format!("--env={name}={}", text(value)?));
    }
    // What every dyno has.
    for variable in ["HOME=/app", "PWD=/app", "LANG=C.UTF-8", "PORT=5000"] {
        options.push(format!("--env={variable}"));
    }
    let component = component(web, data_dir)?;
    let about = "the same component, told to keep an instance for 1,000,000 requests and 600 s";
    Ok(peers::serve(
        wasmtime,
        SERVE_REUSE,
        about,
        &options,
        &component,
    ))
}

fn component(web: &Value, data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = data_dir
        .join("slugs/blobs/sha256")
        .join(hex(&web["component"])?);
    if !path.is_file() {
        bail!("the slug's component is not at {}", path.display());
    }
    Ok(path)
}

fn hex(digest: &Value) -> anyhow::Result<&str> {
    let digest = text(digest)?;
    digest
        .strip_prefix("sha256:")
        .with_context(|| format!("{digest} is no digest"))
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value
        .as_str()
        .with_context(|| format!("{value} is no text"))
}
