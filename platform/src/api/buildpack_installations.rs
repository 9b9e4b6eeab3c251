//! `/apps/{app}/buildpack-installations`: which buildpacks the next build runs.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::{apps, view};
use crate::control::Control;
use crate::limits::BUILDPACKS_MAX;
use crate::model::App;
use crate::release::AppChange;

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new().route("/apps/{app}/buildpack-installations", get(list).put(update))
}

async fn list(State(control): State<Arc<Control>>, Path(app): Path<String>) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    Ok(Json(installations(&app)).into_response())
}

fn installations(app: &App) -> Value {
    let items = app.buildpacks.iter().enumerate();
    items
        .map(|(ordinal, pack)| json!({ "ordinal": ordinal, "buildpack": view::buildpack(pack) }))
        .collect()
}

#[derive(Deserialize)]
struct Update {
    updates: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    buildpack: Option<String>,
}

async fn update(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    JsonBody(body): JsonBody<Update>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let buildpacks = body
        .updates
        .into_iter()
        .map(|entry| normalise(entry.buildpack.as_deref().unwrap_or("")));
    let change = AppChange {
        buildpacks: Some(check(&control, buildpacks.collect())?),
        ..AppChange::default()
    };
    let app = control.apps.change(app.id, &change).await?;
    Ok(Json(installations(&app)).into_response())
}

/// `heroku/python`, `urn:buildpack:heroku/python` and `python` are our own `python`.
pub(super) fn normalise(name: &str) -> String {
    let name = name.trim();
    let name = name.strip_prefix("urn:buildpack:").unwrap_or(name);
    name.strip_prefix("heroku/").unwrap_or(name).to_owned()
}

/// Refuses what no build can run, when it is chosen rather than when it fails.
pub(super) fn check(control: &Control, buildpacks: Vec<String>) -> Result<Vec<String>, ApiError> {
    if buildpacks.len() > BUILDPACKS_MAX {
        return Err(ApiError::invalid(format!(
            "An app has at most {BUILDPACKS_MAX} buildpacks."
        )));
    }
    let known = control.builds.compiler().buildpack_names();
    for name in &buildpacks {
        if !known.iter().any(|known| known == name) {
            let shown: String = name.chars().take(200).collect();
            let message = format!(
                "Couldn't find that buildpack ({shown}). There are: {}.",
                known.join(", ")
            );
            return Err(ApiError::invalid(message));
        }
    }
    Ok(buildpacks)
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn all_spellings_of_a_pack_of_ours_are_one() {
        for name in [
            "python",
            "heroku/python",
            "urn:buildpack:heroku/python",
            " python ",
        ] {
            assert_eq!(normalise(name), "python");
        }
        assert_eq!(
            normalise("https://example.com/pack.tgz"),
            "https://example.com/pack.tgz"
        );
    }
}
