//! An axum server with a slug mounted at /blog: `cargo run -p dyno-runtime --example embed -- blog.slug`.

use axum::error_handling::HandleError;
use axum::{Router, http::StatusCode, routing::get};
use dyno_runtime::{
    CallError, Formation, FormationOptions, Process, ProcessSpec, Runtime, RuntimeOptions,
};
use std::{env, error::Error, time::Duration};
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: embed FILE.slug")?;
    let slug = dyno_slug::SlugStore::open("embed-data/slugs")?.import(file)?;
    let runtime = Runtime::new(RuntimeOptions::new("embed-data/state"))?;
    let process = Process::load(&runtime, ProcessSpec::new("blog", slug, "web".parse()?)).await?;
    let blog = Formation::start(&runtime, &process, FormationOptions::default());
    blog.wait_up().await;

    let app = Router::new()
        .route("/", get(|| async { "The blog is at /blog.\n" }))
        .nest_service("/blog", HandleError::new(blog.clone(), unavailable));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/blog", listener.local_addr()?);
    let interrupted = async { drop(signal::ctrl_c().await) };
    axum::serve(listener, app)
        .with_graceful_shutdown(interrupted)
        .await?;
    blog.drain(Duration::from_secs(10)).await;
    Ok(())
}

async fn unavailable(error: CallError) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
}
