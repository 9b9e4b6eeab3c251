//! What a static site answers: files as they are, compressed, in part, not at all, and by redirect.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, IF_NONE_MATCH, RANGE};

use crate::app::App;

/// Types by ending, as browsers need them.
const TYPES: [(&str, &str); 3] = [
    ("html", "text/html"),
    ("css", "text/css"),
    ("js", "text/javascript"),
];

pub async fn check(app: &App, source: &Path) {
    let root = source.join("public");
    files(app, &root).await;
    conditional(app).await;
    range(app, &root).await;
    compressed(app, &root).await;
    not_found(app, &root).await;
    let clean = app.get("/about").await.with_status(200);
    assert_eq!(
        clean.body,
        fs::read(root.join("about.html")).unwrap(),
        "the page without its ending"
    );
    let moved = app.get("/old").await.with_status(302);
    assert_eq!(moved.header("location"), "/about");
}

async fn files(app: &App, root: &Path) {
    let front = app.get("/").await.with_status(200);
    assert!(front.text().contains("Hello"), "{}", front.text());
    assert_eq!(front.body, fs::read(root.join("index.html")).unwrap());
    let below = app.get("/docs/").await.with_status(200);
    assert_eq!(below.body, fs::read(root.join("docs/index.html")).unwrap());
    for path in all_files(root, root) {
        let ending = path.extension().unwrap_or_default().to_str().unwrap();
        let Some((_, kind)) = TYPES
            .iter()
            .find(|(known, _)| *known == ending && ending != "html")
        else {
            continue;
        };
        let answer = app
            .get(&format!("/{}", path.display()))
            .await
            .with_status(200);
        assert_eq!(
            answer.body,
            fs::read(root.join(&path)).unwrap(),
            "{}",
            path.display()
        );
        assert!(
            answer.header("content-type").starts_with(kind),
            "{}: {:?}",
            path.display(),
            answer.headers
        );
        assert!(
            answer.header("cache-control").contains("max-age=86400"),
            "{:?}",
            answer.headers
        );
    }
    assert!(
        front.header("content-type").starts_with("text/html"),
        "{:?}",
        front.headers
    );
    assert_eq!(front.header("x-content-type-options"), "nosniff");
}

async fn conditional(app: &App) {
    let etag = app.get("/").await.header("etag").to_owned();
    assert!(
        etag.starts_with('"') || etag.starts_with("W/\""),
        "no ETag, but {etag:?}"
    );
    let known = app
        .ask(app.request(Method::GET, "/").header(IF_NONE_MATCH, &etag))
        .await
        .with_status(304);
    assert!(known.body.is_empty(), "a 304 with a body");
    assert_eq!(known.header("etag"), etag);
    app.ask(
        app.request(Method::GET, "/")
            .header(IF_NONE_MATCH, "\"another\""),
    )
    .await
    .with_status(200);
}

async fn range(app: &App, root: &Path) {
    let whole = fs::read(root.join("assets/site.css")).unwrap();
    let ask = |value: &str| {
        app.request(Method::GET, "/assets/site.css")
            .header(RANGE, value)
    };
    let part = app.ask(ask("bytes=2-9")).await.with_status(206);
    assert_eq!(part.body, whole[2..=9]);
    assert_eq!(
        part.header("content-range"),
        format!("bytes 2-9/{}", whole.len())
    );
    let last = app.ask(ask("bytes=-5")).await.with_status(206);
    assert_eq!(last.body, whole[whole.len() - 5..]);
    app.ask(ask(&format!("bytes={}-", whole.len())))
        .await
        .with_status(416);
}

async fn compressed(app: &App, root: &Path) {
    let whole = fs::read(root.join("index.html")).unwrap();
    let ask = |encodings: &str| {
        app.request(Method::GET, "/")
            .header(ACCEPT_ENCODING, encodings)
    };
    let gzip = app.ask(ask("gzip")).await.with_status(200);
    assert_eq!(
        gzip.header("content-encoding"),
        "gzip",
        "{:?}",
        gzip.headers
    );
    assert!(
        gzip.header("vary")
            .to_ascii_lowercase()
            .contains("accept-encoding"),
        "{:?}",
        gzip.headers
    );
    assert_eq!(gunzip(&gzip.body), whole);
    let brotli = app.ask(ask("gzip, br")).await.with_status(200);
    assert_eq!(
        brotli.header("content-encoding"),
        "br",
        "{:?}",
        brotli.headers
    );
    assert!(
        brotli.body.len() < whole.len(),
        "{} bytes of {}",
        brotli.body.len(),
        whole.len()
    );
    let plain = app.get("/").await.with_status(200);
    assert_eq!(
        plain.header("content-encoding"),
        "",
        "compressed for a client that did not ask"
    );
}

async fn not_found(app: &App, root: &Path) {
    let page = app.get("/no-such-page").await.with_status(404);
    assert_eq!(
        page.body,
        fs::read(root.join("errors/404.html")).unwrap(),
        "the site's own page"
    );
    for path in [
        "/../static.json",
        "/%2e%2e/static.json",
        "/static.json",
        "/assets/..%2f..%2fstatic.json",
    ] {
        let status = app.get(path).await.status.as_u16();
        assert!(
            status == 404 || status == 400,
            "{path} is outside the site's root, and was answered with {status}"
        );
    }
}

/// An independent decoder.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = gzip.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "gzip cannot read it: {}",
        output.status
    );
    output.stdout
}

/// All files below `root`, relative to it.
fn all_files(root: &Path, directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(root, &path));
        } else {
            found.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    found
}
