//! `dyno detect`: the name of the buildpack, or exit code 1 and a word.

use crate::place::Place;
use crate::sources::{Source, example};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_example_is_taken_by_its_language_s_buildpack() {
    let place = Place::new();
    for (name, buildpack) in [
        ("python-flask", "python"),
        ("python-django", "python"),
        ("node-express", "nodejs"),
        ("node-hono", "nodejs"),
        ("go-nethttp", "go"),
        ("rust-hello", "rust"),
        ("static-site", "static"),
        ("c-hello", "wasm"),
    ] {
        let detected = place
            .run(["detect", example(name).to_str().unwrap()])
            .await
            .succeeded();
        assert_eq!(detected.output.trim(), buildpack, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_no_buildpack_takes_is_said_so() {
    let (place, source) = (Place::new(), Source::new(&[("notes.txt", b"milk, eggs")]));
    let refused = place.run(["detect", source.path().to_str().unwrap()]).await;
    refused.ended_with(1, &["no buildpack recognises this app", "hint:"]);
    let nowhere = source.path().join("nowhere");
    let refused = place.run(["detect", nowhere.to_str().unwrap()]).await;
    refused.ended_with(1, &["nowhere is not a directory"]);
}
