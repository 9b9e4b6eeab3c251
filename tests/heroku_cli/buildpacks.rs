//! Which buildpacks the next build runs, by the registry's names.

use crate::heroku::Heroku;
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buildpacks_are_set_added_removed_and_looked_up() {
    let heroku = Heroku::new(Place::new());
    let (platform, _) = heroku.place.serve().await;
    heroku
        .run(["create", "shop", "--no-remote"])
        .await
        .succeeded();
    for (words, code, phrases) in [
        ("buildpacks -a shop", 0, &["has no Buildpacks"][..]),
        (
            "buildpacks:set heroku/python -a shop",
            0,
            &["will use heroku/python"],
        ),
        (
            "buildpacks:add heroku/nodejs -a shop",
            0,
            &["1. heroku/python", "2. heroku/nodejs"],
        ),
        (
            "buildpacks:add --index 1 wasm -a shop",
            0,
            &["1. heroku/wasm", "2. heroku/python"],
        ),
        (
            "buildpacks:remove heroku/wasm -a shop",
            0,
            &["1. heroku/python"],
        ),
        (
            "buildpacks:set heroku/ruby -a shop",
            2,
            &["Couldn't find that buildpack (ruby)"],
        ),
        (
            "buildpacks -a shop",
            0,
            &["1. heroku/python", "2. heroku/nodejs"],
        ),
        ("buildpacks:clear -a shop", 0, &["Buildpacks cleared"]),
        (
            "buildpacks:search python",
            0,
            &["heroku/python", "1 buildpack found"],
        ),
        ("buildpacks:info heroku/python", 0, &["description:"]),
        (
            "buildpacks:info heroku/ruby",
            2,
            &["Could not find the buildpack"],
        ),
        ("buildpacks:versions heroku/python", 0, &["published"]),
    ] {
        heroku.run(words.split(' ')).await.ended_with(code, phrases);
    }
    platform.terminate().await.succeeded();
}
