//! `/buildpacks`: the registry that the Heroku CLI asks for names of buildpacks. It shows no key.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::buildpack_installations::normalise;
use super::catalog::SINCE;
use crate::control::Control;

pub(super) fn open_routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/buildpacks", get(search))
        .route("/buildpacks/{buildpack}", get(info))
        .route("/buildpacks/{buildpack}/revisions", get(revisions))
        .route(
            "/buildpacks/{buildpack}/revisions/{revision}",
            get(revision),
        )
        .route("/buildpacks/{buildpack}/readme", get(readme))
}

fn view(name: &str) -> Value {
    json!({
        "blob_url": format!("urn:buildpack:heroku/{name}"),
        "category": "languages",
        "description": format!("Makes WebAssembly components of {name} apps."),
        "id": name,
        "license": "Apache-2.0",
        "logo": { "url": null },
        "name": name,
        "namespace": "heroku",
        "source": { "owner": "dyno", "repo": "dyno", "type": "built-in" },
        "support": { "method": "website", "website": "" },
    })
}

/// Answers `of` the pack that is named, or that there is none.
fn about(control: &Control, buildpack: &str, of: impl Fn(&str) -> Value) -> Response {
    let name = normalise(buildpack);
    let known = control.builds.compiler().buildpack_names();
    if known.contains(&name) {
        return Json(of(&name)).into_response();
    }
    // The CLI does not look at the status. It puts the address that it finds here, which is then refused by name.
    let shown: String = name.chars().take(200).collect();
    let body = json!({
        "blob_url": format!("urn:buildpack:heroku/{shown}"),
        "id": "not_found",
        "message": format!("Couldn't find that buildpack ({shown})."),
    });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn info(State(control): State<Arc<Control>>, Path(buildpack): Path<String>) -> Response {
    about(&control, &buildpack, view)
}

/// `?in[name][]=python`, `?in[namespace][]=heroku` or `?like[description]=python`, percent-encoded or not.
async fn search(State(control): State<Arc<Control>>, uri: Uri) -> Json<Value> {
    let asked = Asked::read(uri.query().unwrap_or(""));
    let known = control.builds.compiler().buildpack_names();
    let found = known.iter().filter(|name| asked.admits(name));
    Json(found.map(|name| view(name)).collect())
}

#[derive(Default)]
struct Asked {
    names: Vec<String>,
    namespaces: Vec<String>,
    like: Option<String>,
}

impl Asked {
    fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = key.replace("%5B", "[").replace("%5D", "]");
            match key.as_str() {
                "in[name][]" => asked.names.push(value.to_owned()),
                "in[namespace][]" => asked.namespaces.push(value.to_owned()),
                "like[description]" => asked.like = Some(value.to_lowercase()),
                _ => {}
            }
        }
        asked
    }

    fn admits(&self, name: &str) -> bool {
        let among = |all: &[String], one: &str| all.is_empty() || all.iter().any(|it| it == one);
        among(&self.names, name)
            && among(&self.namespaces, "heroku")
            && self.like.as_ref().is_none_or(|like| name.contains(like))
    }
}

fn only_revision() -> Value {
    json!({
        "created_at": SINCE,
        "id": env!("CARGO_PKG_VERSION"),
        "license": "Apache-2.0",
        "release": 1,
        "status": "published",
        "updated_at": SINCE,
    })
}

async fn revisions(State(control): State<Arc<Control>>, Path(buildpack): Path<String>) -> Response {
    about(&control, &buildpack, |_| json!([only_revision()]))
}

async fn revision(
    State(control): State<Arc<Control>>,
    Path((buildpack, _)): Path<(String, String)>,
) -> Response {
    about(&control, &buildpack, |_| only_revision())
}

async fn readme(State(control): State<Arc<Control>>, Path(buildpack): Path<String>) -> Response {
    about(&control, &buildpack, |name| {
        let words = format!("The {name} buildpack is part of dyno.");
        json!({ "content": STANDARD.encode(words), "encoding": "base64" })
    })
}

#[cfg(test)]
mod tests {
    use super::Asked;

    #[test]
    fn a_search_is_by_name_namespace_or_words() {
        assert!(Asked::read("").admits("python"));
        assert!(Asked::read("in[name][]=python").admits("python"));
        assert!(!Asked::read("in%5Bname%5D%5B%5D=ruby").admits("python"));
        assert!(!Asked::read("in[namespace][]=dokku").admits("python"));
        assert!(Asked::read("like[description]=Pyth").admits("python"));
    }
}
