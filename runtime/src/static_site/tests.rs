//! Tests of whole answers: a tree on disk, a request, the response.

#![allow(clippy::unwrap_used)]

use super::StaticSite;
use crate::body::ResponseBody;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

struct Site {
    site: StaticSite,
    _tree: tempfile::TempDir,
}

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn site(files: &[(&str, &str)], settings: &Value) -> Site {
    let tree = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(tree.path(), path, content);
    }
    Site {
        site: StaticSite::open(tree.path().to_owned(), settings).unwrap(),
        _tree: tree,
    }
}

fn small() -> Site {
    site(
        &[
            ("public/index.html", "home"),
            ("public/about.html", "about"),
            ("public/docs/index.html", "docs"),
            ("public/empty/x.txt", "x"),
            ("public/app.js", "0123456789"),
            ("public/app.js.gz", "gz"),
            ("public/app.js.br", "br"),
            ("public/.env", "secret"),
            ("Procfile", "web: x"),
        ],
        &json!({ "root": "public" }),
    )
}

impl Site {
    async fn get(&self, path: &str) -> Response<ResponseBody> {
        self.request(Method::GET, path, &[]).await
    }

    async fn with(&self, path: &str, headers: &[(&str, &str)]) -> Response<ResponseBody> {
        self.request(Method::GET, path, headers).await
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<ResponseBody> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        self.site.answer(&parts).await
    }
}

async fn text(response: Response<ResponseBody>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn field<'a>(response: &'a Response<ResponseBody>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_page_has_its_type_length_and_strong_tag() {
    let site = small();
    let response = site.get("/").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(field(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(field(&response, "content-length"), "4");
    assert!(field(&response, "etag").starts_with('"'));
    assert_eq!(field(&response, "last-modified"), "");
    assert_eq!(text(response).await, "home");
}

#[tokio::test]
async fn the_tag_follows_the_content_and_gives_304() {
    let site = small();
    let tag = field(&site.get("/about.html").await, "etag").to_owned();
    assert_ne!(tag, field(&site.get("/").await, "etag"));
    let response = site.with("/about.html", &[("if-none-match", &tag)]).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(field(&response, "etag"), tag);
    assert_eq!(text(response).await, "");
    let response = site
        .with("/about.html", &[("if-none-match", "\"other\"")])
        .await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_directory_without_its_slash_is_redirected_with_the_query() {
    let site = small();
    let response = site.get("/docs?a=1").await;
    assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(field(&response, "location"), "/docs/?a=1");
    assert_eq!(text(site.get("/docs/").await).await, "docs");
    assert_eq!(
        site.get("/empty").await.status(),
        StatusCode::NOT_FOUND,
        "it has no index page"
    );
    assert_eq!(site.get("/empty/").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        site.get("//docs").await.headers()["location"],
        "/docs/",
        "it must not name a host"
    );
}

#[tokio::test]
async fn compressed_siblings_are_chosen_by_accept_encoding() {
    let site = small();
    for (accepted, body, encoding) in [
        ("gzip, deflate, br", "br", "br"),
        ("gzip", "gz", "gzip"),
        ("br;q=0, gzip;q=0.5", "gz", "gzip"),
        ("*", "br", "br"),
        ("identity", "0123456789", ""),
        ("", "0123456789", ""),
    ] {
        let response = site.with("/app.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(field(&response, "content-encoding"), encoding, "{accepted}");
        assert_eq!(field(&response, "vary"), "accept-encoding", "{accepted}");
        assert_eq!(
            field(&response, "content-type"),
            "text/javascript; charset=utf-8",
            "{accepted}"
        );
        assert_eq!(text(response).await, body, "{accepted}");
    }
    let plain = field(&site.get("/app.js").await, "etag").to_owned();
    let brotli = site
        .with(
            "/app.js",
            &[("accept-encoding", "br"), ("if-none-match", &plain)],
        )
        .await;
    assert_eq!(
        brotli.status(),
        StatusCode::OK,
        "another encoding is another version"
    );
    assert_eq!(
        field(&site.get("/about.html").await, "vary"),
        "",
        "there is nothing to choose"
    );
}

#[tokio::test]
async fn one_range_is_answered_and_only_for_the_version_it_was_meant_for() {
    let site = small();
    let response = site
        .with(
            "/app.js",
            &[("range", "bytes=2-4"), ("accept-encoding", "br")],
        )
        .await;
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(field(&response, "content-range"), "bytes 2-4/10");
    assert_eq!(field(&response, "content-length"), "3");
    assert_eq!(field(&response, "content-encoding"), "");
    let tag = field(&response, "etag").to_owned();
    assert_eq!(text(response).await, "234");
    let response = site.with("/app.js", &[("range", "bytes=10-")]).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(field(&response, "content-range"), "bytes */10");
    let response = site
        .with("/app.js", &[("range", "bytes=8-"), ("if-range", &tag)])
        .await;
    assert_eq!(text(response).await, "89");
    let response = site
        .with("/app.js", &[("range", "bytes=8-"), ("if-range", "\"old\"")])
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await, "0123456789");
}

#[tokio::test]
async fn head_has_the_same_fields_without_a_body_and_other_methods_are_refused() {
    let site = small();
    let get = site.get("/app.js").await;
    let head = site.request(Method::HEAD, "/app.js", &[]).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers(), get.headers());
    assert_eq!(text(head).await, "");
    let head = site.request(Method::HEAD, "/nothing", &[]).await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(head).await, "");
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = site.request(method, "/", &[]).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(field(&response, "allow"), "GET, HEAD");
    }
}

#[tokio::test]
async fn what_is_hidden_or_outside_is_not_found() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "secret.txt", "secret");
    write(tree.path(), "app/index.html", "home");
    for hidden in [
        "Procfile",
        "static.json",
        "app.json",
        ".env",
        ".dyno/process-types.toml",
        "a/.git/config",
    ] {
        write(&tree.path().join("app"), hidden, "secret");
    }
    std::os::unix::fs::symlink("../secret.txt", tree.path().join("app/link.txt")).unwrap();
    std::os::unix::fs::symlink("loop", tree.path().join("app/loop")).unwrap();
    let site = StaticSite::open(tree.path().join("app"), &Value::Null).unwrap();
    let site = Site { site, _tree: tree };
    assert_eq!(text(site.get("/").await).await, "home");
    for path in [
        "/Procfile",
        "/static.json",
        "/app.json",
        "/.env",
        "/.dyno/process-types.toml",
        "/a/.git/config",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/a/../../secret.txt",
        "/link.txt",
        "/loop",
        "/index.html/x",
    ] {
        let response = site.get(path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(!text(response).await.contains("secret"), "{path}");
    }
    assert_eq!(
        site.get(&format!("/{}", "x".repeat(300))).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(site.get("/%2Fetc").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_root_outside_the_app_is_refused() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "app/x", "x");
    for root in ["..", "a/../..", "missing"] {
        assert!(
            StaticSite::open(tree.path().join("app"), &json!({ "root": root })).is_err(),
            "{root}"
        );
    }
    for root in ["", ".", "/", "./"] {
        assert!(
            StaticSite::open(tree.path().join("app"), &json!({ "root": root })).is_ok(),
            "{root}"
        );
    }
}

#[tokio::test]
async fn clean_urls_routes_and_redirects_come_in_herokus_order() {
    let settings = json!({
        "clean_urls": true,
        "routes": [{ "path": "/app/*", "file": "shell.html" }, { "path": "/**", "file": "index.html" }],
        "redirects": [
            { "path": "/old/**", "url": "https://new.example/", "status": 302 },
            { "path": "/gone.html", "url": "/about" },
        ],
    });
    let files = [
        ("index.html", "home"),
        ("about.html", "about"),
        ("shell.html", "shell"),
        ("gone.html", "gone"),
    ];
    let site = site(&files, &settings);
    assert_eq!(text(site.get("/about").await).await, "about");
    assert_eq!(text(site.get("/about.html").await).await, "about");
    assert_eq!(text(site.get("/app/x").await).await, "shell");
    assert_eq!(text(site.get("/any/thing/").await).await, "home");
    let response = site.get("/old/page").await;
    assert_eq!(
        (response.status(), field(&response, "location")),
        (StatusCode::FOUND, "https://new.example/")
    );
    let response = site.get("/gone.html").await;
    assert_eq!(
        (response.status(), field(&response, "location")),
        (StatusCode::MOVED_PERMANENTLY, "/about")
    );
    assert_eq!(
        text(site.get("/.env").await).await,
        "home",
        "a route is an answer, not the file"
    );
}

#[tokio::test]
async fn header_rules_apply_in_order_and_keep_vary() {
    let settings = json!({ "headers": [
        { "path": "/**", "fields": { "Cache-Control": "no-store", "Vary": "Origin" } },
        { "path": "/assets/*", "fields": { "Cache-Control": "public, max-age=60" } },
    ] });
    let site = site(
        &[
            ("index.html", "home"),
            ("assets/a.js", "a"),
            ("assets/a.js.gz", "z"),
        ],
        &settings,
    );
    assert_eq!(field(&site.get("/").await, "cache-control"), "no-store");
    assert_eq!(
        field(&site.get("/missing").await, "cache-control"),
        "no-store"
    );
    let response = site.get("/assets/a.js").await;
    assert_eq!(field(&response, "cache-control"), "public, max-age=60");
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["accept-encoding", "Origin"]);
}

#[tokio::test]
async fn https_only_redirects_what_came_over_http() {
    let site = site(&[("index.html", "home")], &json!({ "https_only": true }));
    let http = [("x-forwarded-proto", "http"), ("host", "shop.example:8080")];
    let response = site.with("/a?b=c", &http).await;
    assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(field(&response, "location"), "https://shop.example/a?b=c");
    assert_eq!(
        site.with("/", &[("x-forwarded-proto", "https")])
            .await
            .status(),
        StatusCode::OK
    );
    assert_eq!(
        site.get("/").await.status(),
        StatusCode::OK,
        "nothing is known about how it came"
    );
}

#[tokio::test]
async fn the_sites_own_error_page_is_sent_with_404() {
    let named = site(
        &[("errors/404.html", "lost")],
        &json!({ "error_page": "errors/404.html" }),
    );
    let response = named.with("/x", &[("range", "bytes=0-1")]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(response).await, "lost");
    let usual = site(&[("404.html", "usual")], &Value::Null);
    assert_eq!(text(usual.get("/x").await).await, "usual");
    let none = site(&[("index.html", "home")], &Value::Null);
    let response = none.get("/x").await;
    assert_eq!(field(&response, "content-type"), "text/html; charset=utf-8");
    assert!(text(response).await.contains("Not found"));
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused() {
    let tree = tempfile::tempdir().unwrap();
    for (settings, word) in [
        (json!({ "https_onyl": true }), "https_onyl"),
        (
            json!({ "redirects": [{ "path": "/a", "url": "/b", "status": 200 }] }),
            "status 200",
        ),
        (
            json!({ "redirects": [{ "path": "/a", "url": "/b\r\nSet-Cookie: x" }] }),
            "url",
        ),
        (
            json!({ "headers": [{ "path": "/**", "fields": { "Content-Length": "1" } }] }),
            "content-length",
        ),
        (
            json!({ "headers": [{ "path": "/**", "fields": { "X": "a\nb" } }] }),
            "header x",
        ),
        (json!([]), "settings"),
    ] {
        let error = StaticSite::open(tree.path().to_owned(), &settings)
            .unwrap_err()
            .to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_large_file_is_streamed_in_bounded_chunks() {
    let tree = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..1_000_003_u32).flat_map(u32::to_le_bytes).collect();
    write(tree.path(), "large.bin", &content);
    let site = Site {
        site: StaticSite::open(tree.path().to_owned(), &Value::Null).unwrap(),
        _tree: tree,
    };
    let response = site.get("/large.bin").await;
    assert_eq!(
        field(&response, "content-length"),
        content.len().to_string()
    );
    let (mut body, mut received) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let chunk = frame.unwrap().into_data().unwrap();
        assert!(chunk.len() <= super::limits::CHUNK_BYTES);
        received.extend_from_slice(&chunk);
    }
    assert_eq!(received, content);
    let response = site
        .with("/large.bin", &[("range", "bytes=1000001-1200000")])
        .await;
    let part = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(part, content[1_000_001..=1_200_000]);
}

#[tokio::test]
async fn what_a_site_remembers_is_bounded() {
    let tree = tempfile::tempdir().unwrap();
    let size = usize::try_from(super::limits::FILE_BYTES_KEPT_MAX).unwrap();
    let count = super::limits::BYTES_KEPT_MAX / super::limits::FILE_BYTES_KEPT_MAX + 3;
    for index in 0..count {
        write(tree.path(), &format!("{index}.bin"), vec![b'x'; size]);
    }
    let site = Site {
        site: StaticSite::open(tree.path().to_owned(), &Value::Null).unwrap(),
        _tree: tree,
    };
    for index in 0..count {
        assert_eq!(
            text(site.get(&format!("/{index}.bin")).await).await.len(),
            size
        );
        assert!(site.site.files.bytes_kept() <= super::limits::BYTES_KEPT_MAX);
    }
}
