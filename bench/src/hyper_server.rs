//! The ceiling: hyper answering the same bytes with nothing behind it.
//!
//! One single-threaded runtime for each processor, each with a listener of its own on the same port: the fastest way
//! to use hyper that we know on this kind of machine.

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime;
use tokio::task::LocalSet;

use crate::HELLO;

const BACKLOG: u32 = 1024;

/// Serves until the process is ended.
pub fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let processors = thread::available_parallelism()?.get();
    // All listeners before the first answer: a port that cannot be had is an error, not a silent thread.
    let listeners = (0..processors)
        .map(|_| listener(address))
        .collect::<anyhow::Result<Vec<_>>>()?;
    println!("ready http://{address}/");
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| thread::spawn(move || worker(listener)))
        .collect();
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a server thread panicked"))??;
    }
    Ok(())
}

fn listener(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket
        .bind(address)
        .with_context(|| format!("cannot listen on {address}"))?;
    Ok(socket.listen(BACKLOG)?.into_std()?)
}

fn worker(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, accept(listener))
}

async fn accept(listener: std::net::TcpListener) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move {
            let service = service_fn(|_| async { Ok::<_, Infallible>(hello()) });
            // A client that leaves is no event here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn hello() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(HELLO)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
