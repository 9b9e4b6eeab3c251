//! Config vars and releases: each change is one, and one goes back to any.

use crate::heroku::Heroku;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_vars_make_releases_and_one_goes_back() {
    let (heroku, platform, app) = Heroku::with_shop().await;
    for (arguments, code, phrases) in [
        (&["config"][..], 0, &["shop Config Vars"][..]),
        (
            &["config:set", "A=1", "B=two words"],
            0,
            &["done, v2", "B: two words"],
        ),
        (&["config:get", "B"], 0, &["two words"]),
        (&["config:get", "B", "--shell"], 0, &["B='two words'"]),
        (&["config", "--json"], 0, &["\"B\": \"two words\""]),
        (&["config", "--shell"], 0, &["A=1\nB='two words'"]),
        (&["config:unset", "A"], 0, &["done, v3"]),
        // What changes nothing makes no release.
        (&["config:unset", "A"], 0, &["done, v3"]),
        (&["config:set", "HEROKU_X=1"], 2, &["HEROKU_X"]),
        (
            &["releases"],
            0,
            &[
                "Current: v3",
                "Remove A config vars",
                "Set A, B config vars",
                "Deploy",
            ],
        ),
        (&["releases", "-n", "1"], 0, &["v3"]),
        (
            &["releases:info"],
            0,
            &["Release v3", "Eligible for Rollback?: Yes", "B: two words"],
        ),
        (&["releases:info", "v2"], 0, &["Release v2", "A: 1"]),
        (
            &["releases:info", "v99"],
            2,
            &["Couldn't find that release"],
        ),
        (
            &["releases:output", "v2"],
            0,
            &["no release output available"],
        ),
        (&["rollback"], 0, &["Rolling back shop to v2... done, v4"]),
        (&["config:get", "A"], 0, &["1"]),
        (&["rollback", "v1"], 0, &["done, v5"]),
        (&["config:get", "A"], 0, &[]),
        (&["releases"], 0, &["Rollback to v1", "Rollback to v2"]),
    ] {
        let arguments = arguments.iter().copied().chain(["-a", "shop"]);
        heroku.run(arguments).await.ended_with(code, phrases);
    }
    an_editor_changes_a_value(&heroku).await;
    app.answers_at("/").await;
    platform.interrupt().await.succeeded();
}

async fn an_editor_changes_a_value(heroku: &Heroku) {
    heroku
        .run(["config:set", "C=two", "-a", "shop"])
        .await
        .succeeded();
    let editor = "printf '#!/bin/sh\\nsed -i s/two/three/ \"$1\"\\n' > edit; chmod +x edit; ";
    let edit = "printf 'y\\n' | EDITOR=\"$PWD/edit\" \"$HEROKU\" config:edit -a shop";
    heroku
        .shell_line(&format!("{editor}{edit}"))
        .await
        .ended_with(0, &["Updating config... done"]);
    heroku
        .run(["config:get", "C", "-a", "shop"])
        .await
        .ended_with(0, &["three"]);
}
