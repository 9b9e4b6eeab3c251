//! A plain hyper server in front of a slug: `cargo run -p dyno-runtime --example hyper_server -- FILE.slug`.

use dyno_runtime::{
    Formation, FormationOptions, Process, ProcessSpec, ResponseBody, Runtime, RuntimeOptions,
};
use dyno_slug::SlugStore;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::{env, error::Error, time::Duration};
use tokio::net::TcpListener;
use tokio::signal;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: hyper_server FILE.slug")?;
    let slug = SlugStore::open("embed-data/slugs")?.import(file)?;
    let runtime = Runtime::new(RuntimeOptions::new("embed-data/state"))?;
    let process = Process::load(&runtime, ProcessSpec::new("app", slug, "web".parse()?)).await?;
    let app = Formation::start(&runtime, &process, FormationOptions::default());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://{}/", listener.local_addr()?);
    tokio::select! {
        () = serve(listener, app.clone()) => {}
        _ = signal::ctrl_c() => {}
    }
    app.drain(Duration::from_secs(10)).await;
    Ok(())
}

/// Answers every connection with the formation.
pub async fn serve(listener: TcpListener, app: Formation) {
    while let Ok((stream, _)) = listener.accept().await {
        let app = app.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(app.clone(), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}

async fn answer(
    app: Formation,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    Ok(app.oneshot(request).await.unwrap_or_else(|error| {
        let body = Full::from(format!("{error}\n")).map_err(|never| match never {});
        let mut unavailable = Response::new(body.boxed_unsync());
        *unavailable.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        unavailable
    }))
}
