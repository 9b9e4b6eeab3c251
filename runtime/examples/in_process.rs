//! A request to a slug without any socket: `cargo run -p dyno-runtime --example in_process -- FILE.slug /path`.

use bytes::Bytes;
use dyno_runtime::{Formation, FormationOptions, Process, ProcessSpec, Runtime, RuntimeOptions};
use dyno_slug::{SlugStore, StoredSlug};
use http_body_util::{BodyExt, Empty};
use std::path::Path;
use std::{env, error::Error};
use tower::ServiceExt;

// One thread is enough: guests that compute for long have threads of their own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments
        .next()
        .ok_or("usage: in_process FILE.slug /path")?;
    let path = arguments.next().unwrap_or_else(|| "/".into());
    let slug = SlugStore::open("embed-data/slugs")?.import(file)?;
    println!("{}", get(slug, Path::new("embed-data/state"), &path).await?);
    Ok(())
}

/// What the slug's web process answers.
pub async fn get(slug: StoredSlug, state: &Path, path: &str) -> Result<String, Box<dyn Error>> {
    let runtime = Runtime::new(RuntimeOptions::new(state))?;
    let process = Process::load(&runtime, ProcessSpec::new("app", slug, "web".parse()?)).await?;
    let app = Formation::start(&runtime, &process, FormationOptions::default());
    app.wait_up().await;
    let request = http::Request::get(path)
        .header("host", "app.example")
        .body(Empty::<Bytes>::new())?;
    let response = app.oneshot(request).await?;
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
