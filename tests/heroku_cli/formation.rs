//! Dynos: how many, of which size, and what becomes of them.

use crate::heroku::Heroku;
use crate::limits::CHANGE_MAX;
use crate::wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_formation_is_scaled_sized_restarted_and_stopped() {
    let (heroku, platform, app) = Heroku::with_shop().await;
    app.answers_at("/").await;
    for (words, code, phrases) in [
        (
            "ps",
            0,
            &["=== web (Basic): hello.wasm (1)", "web.1: up"][..],
        ),
        ("ps:scale", 0, &["console=0:Basic web=1:Basic"]),
        (
            "ps:scale web=2:standard-2x",
            0,
            &["now running web at 2:Standard-2X"],
        ),
        ("ps:scale web+1", 0, &["now running web at 3:Standard-2X"]),
        ("ps:scale web-2", 0, &["now running web at 1:Standard-2X"]),
        (
            "ps:scale nothing=1",
            2,
            &["Couldn't find that process type (nothing)."],
        ),
        (
            "ps:scale web=1:huge",
            2,
            &["Couldn't find that dyno size (huge)"],
        ),
        ("ps:scale web=101", 2, &["100"]),
        ("ps:type web=basic", 0, &["Basic"]),
        ("ps:restart", 0, &["Restarting all dynos on shop... done"]),
        (
            "ps:restart -d web.1",
            0,
            &["Restarting dyno web.1 on shop... done"],
        ),
        (
            "ps:restart -p web",
            0,
            &["Restarting all web dynos on shop... done"],
        ),
        (
            "ps:stop -d web.1",
            0,
            &["Stopping dyno web.1 on shop... done"],
        ),
        ("ps:stop -d web.9", 2, &["Couldn't find that dyno"]),
        ("ps:wait", 0, &[]),
    ] {
        let arguments = words.split(' ').chain(["-a", "shop"]);
        heroku.run(arguments).await.ended_with(code, phrases);
    }
    app.answers_at("/").await;
    let json = heroku.run(["ps", "--json", "-a", "shop"]).await.succeeded();
    serde_json::from_str::<serde_json::Value>(&json.output).unwrap();
    let none = heroku.run(["ps:scale", "web=0", "-a", "shop"]).await;
    none.ended_with(0, &["now running web at 0:Basic"]);
    wait::until("the end of the last dyno", CHANGE_MAX, async || {
        let shown = heroku.run(["ps", "-a", "shop"]).await.succeeded().output;
        if shown.contains("No dynos on shop") {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    app.get("/").await.with_status(503);
    platform.interrupt().await.succeeded();
}
