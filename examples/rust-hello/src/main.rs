//! A small web app for WASI: routes, JSON, cookies, streamed bodies and an error page on wstd.
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_lite::stream::unfold;
use serde::Serialize;
use wstd::http::body::{Body, Bytes};
use wstd::http::{Error, HeaderMap, Method, Request, Response, StatusCode};

type Answer = Result<Response<Body>, Error>;

/// Size of one piece of `/large`.
const PIECE_BYTES: usize = 64 * 1024;
/// What `/large` sends when not told how much, and what it sends at most.
const LARGE_BYTES: usize = 10 * 1024 * 1024;
const LARGE_BYTES_MAX: usize = 1024 * 1024 * 1024;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Answer {
    let query = query_of(&request);
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => index(),
        (&Method::GET, "/hello") => hello(&query),
        (&Method::GET, "/json") => json(&query),
        (&Method::POST, "/echo") => echo(request),
        (&Method::GET, "/cookies") => cookies(request.headers()),
        (&Method::GET, "/large") => large(&query),
        (&Method::GET, "/environment") => environment(&query),
        (&Method::GET, "/random") => random(),
        (&Method::GET, "/error") => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong\n")
        }
        (&Method::GET, "/crash") => crash(),
        (_, "/echo") => text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn index() -> Answer {
    let greeting = std::env::var("GREETING").unwrap_or_default();
    let page = format!(
        "<!doctype html>\n<title>Rust on dyno</title>\n<h1>Hello from Rust</h1>\n<p>{}</p>\n",
        escaped(&greeting)
    );
    Ok(Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .body(page.into())?)
}

/// A config var is the owner's text, not HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn hello(query: &BTreeMap<String, String>) -> Answer {
    let name = query.get("name").map_or("World", String::as_str);
    text(StatusCode::OK, format!("Hello, {name}!"))
}

#[derive(Serialize)]
struct Greeting<'a> {
    language: &'static str,
    hello: &'a str,
}

fn json(query: &BTreeMap<String, String>) -> Answer {
    let hello = query.get("name").map_or("world", String::as_str);
    let body = Body::from_json(&Greeting {
        language: "rust",
        hello,
    })?;
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(body)?)
}

/// Sends the request's body back as it comes in, never holding the whole of it.
fn echo(request: Request<Body>) -> Answer {
    let mut response = Response::builder();
    if let Some(content_type) = request.headers().get("content-type") {
        response = response.header("content-type", content_type);
    }
    Ok(response.body(request.into_body())?)
}

/// Counts visits in a cookie.
fn cookies(headers: &HeaderMap) -> Answer {
    let visits = headers
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("visits=")?.parse::<u32>().ok())
        .unwrap_or(0)
        .saturating_add(1);
    Ok(Response::builder()
        .header("content-type", "text/plain; charset=utf-8")
        .header(
            "set-cookie",
            format!("visits={visits}; Path=/; HttpOnly; SameSite=Lax"),
        )
        .header("set-cookie", "language=rust; Path=/")
        .body(format!("visits: {visits}\n").into())?)
}

/// Streams `?bytes=N` bytes, a piece at a time.
fn large(query: &BTreeMap<String, String>) -> Answer {
    let bytes = match query.get("bytes").map(|n| n.parse::<usize>()) {
        None => LARGE_BYTES,
        Some(Ok(n)) if n <= LARGE_BYTES_MAX => n,
        Some(_) => {
            return text(
                StatusCode::BAD_REQUEST,
                "bytes must be a number up to 1 GiB\n",
            );
        }
    };
    let piece = Bytes::from(vec![b'a'; PIECE_BYTES]);
    let pieces = unfold(bytes, move |left| {
        let next = piece.slice(..left.min(PIECE_BYTES));
        async move { (!next.is_empty()).then(|| (next.clone(), left - next.len())) }
    });
    Ok(Response::builder()
        .header("content-type", "application/octet-stream")
        .body(Body::from_stream(pieces))?)
}

/// One variable of the environment: config vars are read when asked for.
fn environment(query: &BTreeMap<String, String>) -> Answer {
    match query.get("name").and_then(|name| std::env::var(name).ok()) {
        Some(value) => text(StatusCode::OK, value),
        None => text(StatusCode::NOT_FOUND, "not set\n"),
    }
}

#[derive(Serialize)]
struct Fresh {
    uuid: String,
    random: u32,
    /// Seconds since 1970.
    time: f64,
}

/// What must differ in every instance, and the time.
fn random() -> Answer {
    let (mut bytes, mut number) = ([0; 16], [0; 4]);
    wstd::rand::get_random_bytes(&mut bytes);
    wstd::rand::get_random_bytes(&mut number);
    let uuid = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let (a, b, c, d, e) = (
        uuid >> 96,
        uuid >> 80 & 0xffff,
        uuid >> 64 & 0xffff,
        uuid >> 48 & 0xffff,
        uuid & 0xffff_ffff_ffff,
    );
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let body = Body::from_json(&Fresh {
        uuid: format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}"),
        random: u32::from_le_bytes(number),
        time,
    })?;
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(body)?)
}

/// Ends the dyno, to see the platform start another.
fn crash() -> Answer {
    eprintln!("crashing, as asked");
    std::process::exit(1)
}

fn text(status: StatusCode, body: impl Into<Body>) -> Answer {
    Ok(Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(body.into())?)
}

fn query_of(request: &Request<Body>) -> BTreeMap<String, String> {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}
