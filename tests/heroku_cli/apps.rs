//! Apps from their creation to their end, without a release.

use crate::heroku::Heroku;
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_made_looked_at_renamed_and_destroyed() {
    let heroku = Heroku::new(Place::new());
    let (platform, address) = heroku.place.serve().await;
    let git = format!("https://{address}/shop.git");
    heroku
        .shell_line("git init --quiet work && cd work && \"$HEROKU\" create shop && git remote -v")
        .await
        .ended_with(
            0,
            &[
                "Creating shop... done",
                "http://shop.localhost:",
                &git,
                "heroku\t",
            ],
        );
    heroku
        .run(["create", "shop", "--no-remote"])
        .await
        .ended_with(2, &["already taken"]);
    heroku.run(["create", "--no-remote"]).await.succeeded();
    heroku
        .run(["apps"])
        .await
        .ended_with(0, &["owner@localhost Apps", "shop"]);
    heroku
        .run(["info", "-a", "shop"])
        .await
        .ended_with(0, &["=== shop", &git, "Owner:", "Stack:"]);
    heroku
        .run(["info", "-a", "none"])
        .await
        .ended_with(2, &["Couldn't find that app", "not_found"]);
    heroku
        .run(["rename", "store", "-a", "shop"])
        .await
        .ended_with(0, &["Renaming shop to store... done", "store.localhost"]);
    heroku
        .shell_line("cd work && \"$HEROKU\" git:remote -a store && git remote -v")
        .await
        .ended_with(0, &["set git remote heroku to", "store.git"]);
    heroku
        .run(["destroy", "-a", "store", "--confirm", "shop"])
        .await
        .ended_with(1, &[]);
    heroku
        .run(["destroy", "-a", "store", "--confirm", "store"])
        .await
        .ended_with(0, &["Destroying", "done"]);
    heroku
        .run(["info", "-a", "store"])
        .await
        .ended_with(2, &["Couldn't find that app"]);
    platform.terminate().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_s_switches_and_lists_are_shown_and_set() {
    let heroku = Heroku::new(Place::new());
    let (platform, _) = heroku.place.serve().await;
    heroku
        .run(["create", "shop", "--no-remote"])
        .await
        .succeeded();
    for (words, code, phrase) in [
        ("maintenance", 0, "off"),
        (
            "maintenance:on",
            0,
            "Enabling maintenance mode for shop... done",
        ),
        ("maintenance", 0, "on"),
        ("maintenance:off", 0, "done"),
        ("stack", 0, "* wasi-1"),
        ("stack:set heroku-24", 0, "done"),
        ("stack:set cedar-14", 2, "Couldn't find that stack"),
        ("features", 0, "[+] preboot"),
        ("features:info preboot", 0, "Enabled:     true"),
        ("features:disable preboot", 2, "cannot be switched"),
        ("features:enable runtime-dyno-metadata", 0, "done"),
        ("features", 0, "[+] runtime-dyno-metadata"),
        ("features:disable runtime-dyno-metadata", 0, "done"),
        ("labs", 0, "App Features"),
        ("domains", 0, "shop.localhost"),
        ("domains:add www.example.com", 2, "not served yet"),
        ("access", 0, "owner"),
        ("addons", 0, "No add-ons"),
        ("drains", 0, ""),
        ("webhooks", 0, "no webhooks"),
        ("certs", 0, "no SSL certificates"),
        ("ps", 0, "No dynos on shop"),
        ("releases", 0, "no releases"),
        ("run:inside web.1 bash", 2, "inside of another dyno"),
        ("run:detached bash", 2, "no release to run"),
    ] {
        let arguments = words.split(' ').chain(["-a", "shop"]);
        // What stands behind a command's own words would be the command's.
        let arguments: Vec<&str> = match words.split_once(' ') {
            Some((verb, rest)) if verb.starts_with("run") => [verb, "-a", "shop"]
                .into_iter()
                .chain(rest.split(' '))
                .collect(),
            _ => arguments.collect(),
        };
        heroku.run(arguments).await.ended_with(code, &[phrase]);
    }
    platform.terminate().await.succeeded();
}
