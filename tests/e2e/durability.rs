//! What was acknowledged survives `kill -9`; what is damaged is noticed and made again.

use std::fs;
use std::path::{Path, PathBuf};

use crate::app::App;
use crate::limits::{BUILD_MAX, CHANGE_MAX};
use crate::place::{Place, up_address};
use crate::sources::{Source, example};
use crate::wait;

const APP: &str = "c-hello";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_straight_after_an_acknowledgement_loses_nothing() {
    let place = Place::new();
    let mut up = place.start_up(&example(APP), APP, &[]);
    // The words of the build's output are the acknowledgement; nothing runs yet.
    up.line("the release", BUILD_MAX, |_, text| {
        text.contains("Released v")
    })
    .await;
    up.kill();

    let (serve, _) = place.serve_app(APP).await;
    let scaled = place.run(["ps:scale", "web=3", "--app", APP]).await;
    serve.kill();
    scaled.ended_with(0, &["web at 3"]);

    let (serve, _) = place.serve_app(APP).await;
    place.web_dynos_up(APP, 3).await;
    let set = place
        .run(["config:set", "GREETING=Servus", "--app", APP])
        .await;
    serve.kill();
    set.succeeded();

    let (serve, app) = place.serve_app(APP).await;
    let greeting = app.answers_at("/environment?name=GREETING").await;
    assert_eq!(greeting.text().trim_end(), "Servus");
    place
        .run(["releases", "--app", APP])
        .await
        .ended_with(0, &["v1", "v2", "Set GREETING config vars"]);
    place
        .run(["rollback", "v1", "--app", APP])
        .await
        .succeeded();
    wait::until("the old release", CHANGE_MAX, async || {
        match app.get("/environment?name=GREETING").await.status.as_u16() {
            404 => Ok(()),
            200 => Err("the release with the config var".to_owned()),
            status => panic!("{status} while a release took over"),
        }
    })
    .await;
    assert!(
        !serve.all().contains("----->"),
        "something was built again:\n{}",
        serve.all()
    );
    serve.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_compiled_code_is_compiled_again_and_never_run() {
    let place = Place::new();
    let (up, _) = place.up(&example(APP), APP).await;
    up.interrupt().await.succeeded();

    let native = place.path().join("runtime/native");
    let compiled = code_files(&native);
    let is_component = |path: &PathBuf| path.extension().is_some();
    assert!(
        compiled.iter().any(is_component),
        "no compiled code in {}",
        native.display()
    );
    for path in &compiled {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(path, bytes).unwrap();
    }

    let (mut serve, app) = place.serve_app(APP).await;
    assert_eq!(
        app.get("/hello?name=World").await.text().trim_end(),
        "Hello, World!"
    );
    let is_told = |_, text: &str| text.contains("was changed on disk; compiling again");
    serve.line("the warning", CHANGE_MAX, is_told).await;
    serve.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_released_while_the_old_dynos_serve() {
    let (place, source) = (Place::new(), Source::of_example("static-site"));
    let mut up = place.start_up(source.path(), "site", &["--watch", "--formation", "web=2"]);
    let app = up_address(&mut up, "site").await;
    place.web_dynos_up("site", 2).await;
    let page = |app: App| async move { app.get("/").await.with_status(200).text() };
    assert!(!page(app.clone()).await.contains("changed by the test"));

    source.write(
        "public/index.html",
        b"<!doctype html><title>Hello</title>changed by the test",
    );
    wait::until("the changed page", CHANGE_MAX, async || {
        let text = page(app.clone()).await;
        if text.contains("changed by the test") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;

    source.write("static.json", b"{ this is not JSON");
    up.line("the failed build", CHANGE_MAX, |_, text| {
        text.contains("static.json:")
    })
    .await;
    assert!(
        page(app.clone()).await.contains("changed by the test"),
        "the last good release keeps serving"
    );
    up.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_heroku_s_no_such_app() {
    let place = Place::new();
    let (serve, address) = place.serve().await;
    let answer = App::new("nobody-has-this-name", address)
        .get("/")
        .await
        .with_status(404);
    assert!(
        answer.text().to_ascii_lowercase().contains("no such app"),
        "{}",
        answer.text()
    );
    let api = App::with_host(&address.to_string(), address);
    api.get("/apps").await.with_status(401);
    serve.interrupt().await.succeeded();
}

/// Native code of components, and the functions it is put together from.
fn code_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(code_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "native")
            || path.ends_with("functions")
        {
            found.push(path);
        }
    }
    found
}
