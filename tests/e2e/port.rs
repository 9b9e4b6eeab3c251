//! A web process that listens on `$PORT` itself, from its source to served requests.

use reqwest::Method;

use crate::place::Place;
use crate::sources::Source;

const CARGO_TOML: &[u8] = br#"# A server that listens on $PORT.

[package]
name = "server"
version = "0.1.0"
edition = "2024"

[workspace]
"#;

const CARGO_LOCK: &[u8] = br#"version = 4

[[package]]
name = "server"
version = "0.1.0"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rust_server_that_listens_on_its_port_is_served_through_a_crash() {
    let source = Source::new(&[
        ("Cargo.toml", CARGO_TOML),
        ("Cargo.lock", CARGO_LOCK),
        ("Procfile", b"web: ./server\n"),
        ("src/main.rs", include_bytes!("../guests/port_server.rs")),
    ]);
    let place = Place::new();
    let (up, app) = place.up(source.path(), "server").await;
    for path in ["/one", "/two"] {
        let answer = app.get(path).await.with_status(200);
        assert_eq!(answer.text(), format!("hello from {path}\n"));
    }
    let body = "x".repeat(1_000_000);
    let answer = app.ask(app.request(Method::POST, "/").body(body)).await;
    assert_eq!(answer.with_status(200).text().len(), 1_000_000);
    let logs = place.run(["logs", "--app", "server"]).await;
    let said = logs.succeeded().output;
    assert!(said.contains("listening on 0.0.0.0:5000"), "{said}");

    app.get("/exit").await.with_status(503);
    app.answers_at("/again").await.with_status(200);
    up.interrupt().await.succeeded();
}
