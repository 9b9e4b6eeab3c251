//! Who one is: keys, logging in and out, and what belongs to nobody in particular.

use crate::heroku::Heroku;
use crate::place::Place;

/// Characters of a uuid.
const UUID_LENGTH: usize = 36;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_in_works_and_logs_out() {
    let heroku = Heroku::new(Place::new());
    let (platform, _) = heroku.place.serve().await;
    let nobody = heroku.run_without_key(["auth:whoami"]).await;
    nobody.ended_with(100, &["not logged in"]);

    let mut terminal = heroku.on_terminal_without_key("login --interactive");
    terminal.shows("Email").await;
    terminal.types("owner@localhost\r");
    terminal.shows("Password").await;
    terminal.types(&format!("{}\r", heroku.key()));
    terminal.shows("Logged in as").await;
    assert_eq!(terminal.ends().await, Some(0));

    let me = heroku.run_without_key(["auth:whoami"]).await;
    me.ended_with(0, &["owner@localhost"]);
    let apps = heroku.run_without_key(["apps"]).await;
    apps.ended_with(0, &["You have no apps"]);
    let keys = heroku.run_without_key(["authorizations"]).await;
    keys.ended_with(0, &["Heroku CLI login from"]);
    let out = heroku.run_without_key(["logout"]).await;
    out.ended_with(0, &["Logging out... done"]);
    let nobody = heroku.run_without_key(["auth:whoami"]).await;
    nobody.ended_with(100, &["not logged in"]);
    // The key was revoked, and not only forgotten.
    let keys = heroku.run(["authorizations"]).await;
    keys.ended_with(0, &["No OAuth authorizations"]);
    platform.terminate().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_in_with_a_browser() {
    let heroku = Heroku::new(Place::new());
    let (platform, address) = heroku.place.serve().await;
    let mut terminal = heroku.on_terminal_without_key("login");
    terminal.shows("Press any key to open up the browser").await;
    terminal.types("y");
    let id = terminal.shows_before("/auth/browser/", UUID_LENGTH).await;
    let page = format!("http://{address}/auth/browser/{id}");
    let browser = reqwest::Client::builder().no_proxy().build().unwrap();
    let shown = browser.get(&page).send().await.unwrap().text().await;
    assert!(shown.unwrap().contains("Heroku CLI login from"));
    let send = async |key: &str| {
        let form = browser.post(&page).body(format!("key={key}"));
        form.send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("HRKU-guess").await, 403);
    assert_eq!(send(&heroku.key()).await, 200);
    terminal.shows("Logged in as").await;
    assert_eq!(terminal.ends().await, Some(0));
    assert_eq!(send(&heroku.key()).await, 404, "a login is granted once");
    let me = heroku.run_without_key(["auth:whoami"]).await;
    me.ended_with(0, &["owner@localhost"]);
    platform.terminate().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_shown_changed_and_revoked() {
    let heroku = Heroku::new(Place::new());
    let (platform, _) = heroku.place.serve().await;
    let me = heroku.run(["auth:whoami"]).await;
    me.ended_with(0, &["owner@localhost"]);
    let shown = heroku.run(["auth:token"]).await;
    shown.ended_with(0, &[&heroku.key()]);

    let made = heroku
        .run(["authorizations:create", "-d", "robot", "--json"])
        .await
        .succeeded();
    let made: serde_json::Value = serde_json::from_str(&made.output).unwrap();
    let id = made["id"].as_str().unwrap();
    let token = made["access_token"]["token"].as_str().unwrap();
    let works = format!("HEROKU_API_KEY={token} \"$HEROKU\" auth:whoami");
    heroku
        .shell_line(&works)
        .await
        .ended_with(0, &["owner@localhost"]);
    let info = heroku.run(["authorizations:info", id]).await.succeeded();
    assert!(
        info.output.contains("robot") && !info.output.contains(token),
        "{}",
        info.output
    );
    heroku
        .run(["authorizations:update", id, "-d", "other"])
        .await
        .ended_with(0, &["other"]);
    heroku
        .run(["authorizations:rotate", id])
        .await
        .ended_with(0, &["HRKU-"]);
    let refused = heroku.shell_line(&works).await;
    refused.ended_with(2, &["Invalid credentials provided"]);
    heroku
        .run(["authorizations:revoke", id])
        .await
        .ended_with(0, &["done, revoked authorization"]);
    heroku
        .run(["authorizations:info", id])
        .await
        .ended_with(2, &["Couldn't find that authorization"]);
    platform.terminate().await.succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_nobody_is_shown() {
    let heroku = Heroku::new(Place::new());
    let (platform, _) = heroku.place.serve().await;
    for (words, code, phrase) in [
        ("status", 0, "Apps:      No known issues"),
        ("regions", 0, "This host"),
        ("sessions", 0, "No OAuth sessions"),
        ("keys", 0, "no SSH keys"),
        ("clients", 0, "No OAuth clients"),
        ("teams", 0, "Team"),
        ("spaces", 2, "do not have access to any spaces"),
        ("pipelines", 0, "My Pipelines"),
        ("addons", 0, "No add-ons"),
        ("labs", 0, "User Features"),
    ] {
        heroku.run([words]).await.ended_with(code, &[phrase]);
    }
    platform.terminate().await.succeeded();
}
