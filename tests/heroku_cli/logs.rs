//! The log: its end, its parts, and what is added while one looks.

use crate::app::App;
use crate::heroku::Heroku;
use crate::limits::{CHANGE_MAX, START_MAX};
use crate::process::{Process, Stream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_filtered_and_followed() {
    let (heroku, platform, app) = Heroku::with_shop().await;
    app.answers_at("/?one").await;
    let all = heroku.run(["logs", "-a", "shop"]).await;
    all.ended_with(
        0,
        &[
            "app[api]:",
            "heroku[web.1]:",
            "heroku[router]: at=info",
            "path=\"/?one\"",
        ],
    );
    let last = heroku
        .run(["logs", "-n", "1", "-a", "shop"])
        .await
        .succeeded();
    assert_eq!(last.output.lines().count(), 1, "{}", last.output);
    let platforms = heroku
        .run(["logs", "--source", "heroku", "-a", "shop"])
        .await
        .succeeded();
    assert!(
        !platforms.output.contains("app[api]"),
        "{}",
        platforms.output
    );
    let dyno = heroku
        .run(["logs", "--dyno-name", "web.1", "-a", "shop"])
        .await
        .succeeded();
    assert!(
        dyno.output.contains("[web.1]") && !dyno.output.contains("[api]"),
        "{}",
        dyno.output
    );
    let types = heroku.run(["logs", "-p", "web", "-a", "shop"]).await;
    types.ended_with(0, &["[web.1]"]);

    let mut tail = heroku.start(["logs", "--tail", "-n", "1", "-a", "shop"]);
    tail.line("the last line", CHANGE_MAX, |_, text| {
        text.contains("shop") || text.contains('[')
    })
    .await;
    app.answers_at("/?two").await;
    tail.line("the new line", CHANGE_MAX, |_, text| {
        text.contains("path=\"/?two\"")
    })
    .await;
    let said = tail.all();
    assert_eq!(said.matches("path=\"/?two\"").count(), 1, "{said}");
    let _ = tail.interrupt().await;
    heroku
        .run(["logs", "-a", "none"])
        .await
        .ended_with(2, &["Couldn't find that app"]);
    platform.interrupt().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_after_a_restart_and_shows_nothing_twice() {
    let (heroku, platform, app) = Heroku::with_shop().await;
    app.answers_at("/?before").await;
    let address = heroku.address();
    let mut tail = heroku.start(["logs", "--tail", "-a", "shop"]);
    let shows = |words: &'static str| move |_: Stream, text: &str| text.contains(words);
    tail.line("the backlog", CHANGE_MAX, shows("path=\"/?before\""))
        .await;
    platform.interrupt().await.succeeded();

    let listen = address.to_string();
    let mut again = Process::start(&mut heroku.place.command(["serve", "--listen", &listen]));
    again.line("ready", START_MAX, shows("ready ")).await;
    let app = App::new("shop", address);
    app.answers_at("/?after").await;
    tail.line("the new line", CHANGE_MAX, shows("path=\"/?after\""))
        .await;
    let said = tail.all();
    assert_eq!(said.matches("path=\"/?before\"").count(), 1, "{said}");
    let _ = tail.interrupt().await;
    again.terminate().await.succeeded();
}
