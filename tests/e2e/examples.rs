//! Every example from source to served request: deployed, scaled, crashed, killed, served again.

use std::collections::BTreeSet;

use crate::binary;
use crate::place::{Place, up_address};
use crate::sources::example;
use crate::{crash, routes, static_site};

/// An example, and what is special about it.
struct Example {
    name: &'static str,
    /// Whether its front page shows a config var that it reads while it loads.
    greets_from_config: bool,
    /// A site of files has none of the routes of an app.
    is_static: bool,
}

const fn app(name: &'static str, greets_from_config: bool) -> Example {
    Example {
        name,
        greets_from_config,
        is_static: false,
    }
}

const EXAMPLES: [Example; 8] = [
    app("python-flask", true),
    app("python-django", true),
    app("node-express", true),
    app("node-hono", true),
    app("go-nethttp", false),
    app("rust-hello", false),
    Example {
        name: "static-site",
        greets_from_config: false,
        is_static: true,
    },
    app("c-hello", false),
];

#[test]
fn every_example_is_in_the_table_and_there() {
    let folders = std::fs::read_dir(binary::workspace().join("examples")).unwrap();
    let folders = folders
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir());
    let found: BTreeSet<String> = folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let listed: BTreeSet<String> = EXAMPLES
        .iter()
        .map(|example| example.name.to_owned())
        .collect();
    assert_eq!(found, listed);
    for example in EXAMPLES {
        let readme = self::example(example.name).join("README.md");
        assert!(readme.is_file(), "{} is missing", readme.display());
    }
}

macro_rules! journeys {
    ($($test:ident: $example:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            journey($example).await;
        }
    )*};
}

journeys! {
    python_flask_is_served_through_crashes_and_restarts: "python-flask"
    python_django_is_served_through_crashes_and_restarts: "python-django"
    node_express_is_served_through_crashes_and_restarts: "node-express"
    node_hono_is_served_through_crashes_and_restarts: "node-hono"
    go_nethttp_is_served_through_crashes_and_restarts: "go-nethttp"
    rust_hello_is_served_through_crashes_and_restarts: "rust-hello"
    static_site_is_served_through_restarts: "static-site"
    c_hello_is_served_through_crashes_and_restarts: "c-hello"
}

async fn journey(name: &str) {
    let listed = EXAMPLES
        .iter()
        .find(|example| example.name == name)
        .unwrap();
    let (place, source) = (Place::new(), example(name));

    let (up, app) = place.up(&source, name).await;
    if listed.is_static {
        static_site::check(&app, &source).await;
    } else {
        routes::check(&app).await;
        routes::config_vars(&place, &app, name, listed.greets_from_config).await;
    }
    place.scale_web(name, 3).await;
    if !listed.is_static {
        routes::fresh_values(&app, 20).await;
        crash::under_load(&place, &app, name).await;
    }
    up.kill();

    let (serve, app) = place.serve_app(name).await;
    place.web_dynos_up(name, 3).await;
    if !listed.is_static {
        routes::config_vars_are_gone_when_unset(&place, &app, name).await;
    }
    let said = serve.all();
    assert!(
        !said.contains("----->"),
        "something was built again:\n{said}"
    );
    serve.interrupt().await.succeeded();

    let mut again = place.start_up(&source, name, &[]);
    let app = up_address(&mut again, name).await;
    app.get("/").await.with_status(200);
    let said = again.all();
    assert!(
        said.contains("has not changed"),
        "the slug was not reused:\n{said}"
    );
    assert!(
        !said.contains("app detected"),
        "something was compiled again:\n{said}"
    );
    again.interrupt().await.succeeded();
}
