//! `/apps/{app}/formation`: list, info, scale one or several, all or nothing.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::page::{Fields, SortKey, page};
use super::{apps, view};
use crate::control::Control;
use crate::limits::PROCESS_TYPES_MAX;
use crate::model::{App, DynoSizeName, Formation, FormationEntry, Quantity};

const FIELDS: &Fields<(String, FormationEntry)> = &[
    ("type", |(process_type, _)| {
        SortKey::Text(process_type.clone())
    }),
    ("id", |(_, entry)| SortKey::Text(entry.id.to_string())),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/formation", get(list).patch(batch_update))
        .route("/apps/{app}/formation/{formation}", get(info).patch(update))
}

async fn list(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let formation = control.apps.formation(app.id).await?;
    page(
        &headers,
        FIELDS,
        formation.0.into_iter().collect(),
        |(process_type, entry)| view::formation(&app, process_type, entry),
    )
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, identity)): Path<(String, String)>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let formation = control.apps.formation(app.id).await?;
    let process_type =
        resolve(&formation, &identity).ok_or_else(|| ApiError::no_such("formation"))?;
    Ok(Json(view::formation(
        &app,
        &process_type,
        &formation.0[&process_type],
    ))
    .into_response())
}

/// A process type by name or by its formation's uuid.
fn resolve(formation: &Formation, identity: &str) -> Option<String> {
    let entry = formation.0.get_key_value(identity).or_else(|| {
        formation
            .0
            .iter()
            .find(|(_, entry)| entry.id.to_string() == identity)
    });
    entry.map(|(name, _)| name.clone())
}

#[derive(Deserialize)]
struct BatchUpdate {
    #[serde(default)]
    updates: Vec<Update>,
}

/// Clients name the size `size`, `dyno_size` as text, or `dyno_size` as an object.
#[derive(Deserialize)]
struct Update {
    #[serde(rename = "type")]
    process_type: Option<String>,
    quantity: Option<Value>,
    size: Option<Value>,
    dyno_size: Option<Value>,
}

/// One checked update.
struct Wanted {
    process_type: String,
    quantity: Option<Quantity>,
    size: Option<DynoSizeName>,
}

impl Update {
    fn check(self, process_type: String) -> Result<Wanted, ApiError> {
        let quantity = self
            .quantity
            .filter(|value| !value.is_null())
            .map(|value| read_quantity(&value))
            .transpose()?;
        let size = self
            .size
            .or(self.dyno_size)
            .filter(|value| !value.is_null());
        let size = size.map(|value| read_size(&value)).transpose()?;
        Ok(Wanted {
            process_type,
            quantity,
            size,
        })
    }
}

fn read_quantity(value: &Value) -> Result<Quantity, ApiError> {
    let quantity = match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .map(Quantity::Absolute),
        _ => None,
    };
    quantity.ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid quantity {value}: use a whole number, or +N or -N."
        ))
    })
}

fn read_size(value: &Value) -> Result<DynoSizeName, ApiError> {
    let name = value
        .as_str()
        .or_else(|| value["name"].as_str())
        .unwrap_or("");
    DynoSizeName::parse(name).ok_or_else(|| {
        let names = DynoSizeName::ALL.map(DynoSizeName::as_str).join(", ");
        ApiError::invalid(format!(
            "Couldn't find that dyno size ({name}). There are: {names}."
        ))
    })
}

async fn batch_update(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    JsonBody(body): JsonBody<BatchUpdate>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    if body.updates.is_empty() || body.updates.len() > PROCESS_TYPES_MAX {
        return Err(ApiError::invalid(format!(
            "updates must list 1 to {PROCESS_TYPES_MAX} process types."
        )));
    }
    let wanted: Vec<Wanted> = body
        .updates
        .into_iter()
        .map(|mut update| {
            let process_type = update
                .process_type
                .take()
                .ok_or_else(|| ApiError::invalid("An update has no type."))?;
            update.check(process_type)
        })
        .collect::<Result<_, _>>()?;
    let formation = scale(&control, &app, &wanted).await?;
    let changed: Vec<Value> = wanted
        .iter()
        .filter_map(|wanted| formation.0.get_key_value(&wanted.process_type))
        .map(|(process_type, entry)| view::formation(&app, process_type, entry))
        .collect();
    Ok(Json(changed).into_response())
}

async fn update(
    State(control): State<Arc<Control>>,
    Path((app, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<Update>,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let formation = control.apps.formation(app.id).await?;
    // An unknown name goes on to be refused with Heroku's words.
    let process_type = resolve(&formation, &identity).unwrap_or(identity);
    let wanted = body.check(process_type.clone())?;
    let formation = scale(&control, &app, std::slice::from_ref(&wanted)).await?;
    let entry = formation
        .0
        .get(&process_type)
        .ok_or_else(|| ApiError::no_such("formation"))?;
    Ok(Json(view::formation(&app, &process_type, entry)).into_response())
}

async fn scale(control: &Control, app: &App, wanted: &[Wanted]) -> Result<Formation, ApiError> {
    let (before, after) = control
        .apps
        .scale(app.id, |formation| {
            wanted.iter().try_for_each(|wanted| {
                formation.update(&wanted.process_type, wanted.quantity, wanted.size)
            })
        })
        .await?;
    if let Some(words) = after.change_words(&before) {
        let log = control.logs.app(app.id, app.name.as_str());
        log.api(&format!(
            "Scaled to {words} by user {}",
            control.account.email
        ));
    }
    control.fleet.catch_up(app.id).await;
    Ok(after)
}
