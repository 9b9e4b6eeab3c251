//! `/apps/{app}/builds`: build an uploaded source, or upload and build in one request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::error::{ApiError, ApiResult};
use super::json_body::JsonBody;
use super::origin::Origin;
use super::page::{Fields, SortKey, page};
use super::{apps, buildpack_installations, sources, view};
use crate::build::{BuildRequest, KnownSource, SourceId};
use crate::control::Control;
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::model::{App, Build, BuildId};

const FIELDS: &Fields<Build> = &[
    ("created_at", |build| {
        SortKey::Text(build.created_at.to_string())
    }),
    ("started_at", |build| {
        SortKey::Text(build.created_at.to_string())
    }),
    ("id", |build| SortKey::Text(build.id.to_string())),
];

pub(super) fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/apps/{app}/builds", get(list).post(create))
        .route("/apps/{app}/builds/{build}", get(info).delete(cancel))
        .route("/apps/{app}/build-cache", delete(delete_cache))
}

async fn list(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    origin: Origin,
    headers: HeaderMap,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let builds = control.builds.list(app.id).await?;
    let shown: BTreeMap<BuildId, Value> = builds
        .iter()
        .map(|build| Ok((build.id, view::build(&control, &app, build, &origin)?)))
        .collect::<Result<_, ApiError>>()?;
    page(&headers, FIELDS, builds, |build| {
        shown.get(&build.id).cloned().unwrap_or_default()
    })
}

async fn find(control: &Control, app: &App, build: &str) -> Result<Build, ApiError> {
    let id = BuildId::parse(build).ok_or_else(|| ApiError::no_such("build"))?;
    control
        .builds
        .read(app.id, id)
        .await?
        .ok_or_else(|| ApiError::no_such("build"))
}

async fn info(
    State(control): State<Arc<Control>>,
    Path((app, build)): Path<(String, String)>,
    origin: Origin,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let build = find(&control, &app, &build).await?;
    Ok(Json(view::build(&control, &app, &build, &origin)?).into_response())
}

async fn cancel(
    State(control): State<Arc<Control>>,
    Path((app, build)): Path<(String, String)>,
    origin: Origin,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let build = find(&control, &app, &build).await?;
    control.builds.cancel(app.id, build.id);
    Ok((
        StatusCode::ACCEPTED,
        Json(view::build(&control, &app, &build, &origin)?),
    )
        .into_response())
}

async fn delete_cache(State(control): State<Arc<Control>>, Path(app): Path<String>) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    control.builds.delete_cache(app.id).await?;
    Ok((StatusCode::ACCEPTED, Json(view::app(&control, &app))).into_response())
}

#[derive(Deserialize)]
struct Create {
    source_blob: SourceBlob,
    #[serde(default)]
    buildpacks: Option<Vec<Buildpack>>,
}

#[derive(Deserialize)]
struct SourceBlob {
    /// The get_url of an upload. Without it `checksum` names a source that was built before.
    url: Option<String>,
    version: Option<String>,
    version_description: Option<String>,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct Buildpack {
    url: Option<String>,
    name: Option<String>,
}

/// What an archive sent as the request's body says about itself in the query.
#[derive(Default, Deserialize)]
struct Upload {
    version: Option<String>,
    version_description: Option<String>,
    checksum: Option<String>,
}

async fn create(
    State(control): State<Arc<Control>>,
    Path(app): Path<String>,
    Query(upload): Query<Upload>,
    origin: Origin,
    request: Request,
) -> ApiResult {
    let app = apps::find(&control, &app).await?;
    let build = if is_archive(request.headers()) {
        check_words([
            &upload.version,
            &upload.version_description,
            &upload.checksum,
        ])?;
        let wanted = receive(&control, upload, request.into_body()).await?;
        control.builds.submit(&control, &app, wanted).await?
    } else {
        let JsonBody(body) = JsonBody::<Create>::from_request(request, &control).await?;
        of_json(&control, &app, body).await?
    };
    let view = view::build(&control, &app, &build, &origin)?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// A tar archive, compressed or not, rather than JSON.
fn is_archive(headers: &HeaderMap) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    matches!(
        essence,
        "application/gzip"
            | "application/x-gzip"
            | "application/x-tar"
            | "application/x-compressed-tar"
            | "application/octet-stream"
    )
}

async fn receive(control: &Control, upload: Upload, body: Body) -> Result<BuildRequest, ApiError> {
    let source = SourceId::generate();
    control.builds.sources().receive(source, body).await?;
    Ok(BuildRequest {
        source,
        version: upload.version,
        description: upload.version_description,
        checksum: upload.checksum,
        buildpacks: Vec::new(),
    })
}

async fn of_json(control: &Arc<Control>, app: &App, body: Create) -> Result<Build, ApiError> {
    let blob = body.source_blob;
    check_words([&blob.version, &blob.version_description, &blob.checksum])?;
    let buildpacks = body.buildpacks.unwrap_or_default().into_iter();
    let names = buildpacks.map(|pack| {
        let name = pack.url.or(pack.name).unwrap_or_default();
        buildpack_installations::normalise(&name)
    });
    let buildpacks = buildpack_installations::check(control, names.collect())?;
    let (version, description) = (blob.version, blob.version_description);
    match (blob.url, blob.checksum) {
        (Some(url), checksum) => {
            let source = sources::of_url(control, &url).ok_or_else(|| {
                let hint = "of a source made with POST /sources, at most an hour old.";
                ApiError::invalid(format!("source_blob.url must be the get_url {hint}"))
            })?;
            let wanted = BuildRequest {
                source,
                version,
                description,
                checksum,
                buildpacks,
            };
            Ok(control.builds.submit(control, app, wanted).await?)
        }
        (None, Some(checksum)) => {
            let known = KnownSource {
                checksum,
                version,
                description,
                buildpacks,
            };
            let reused = control.builds.reuse(control, app, &known).await?;
            reused.ok_or_else(|| {
                let words = "The source must be uploaded: this app's last build was made of another one, or of other settings.";
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "source_required", words)
            })
        }
        (None, None) => Err(ApiError::invalid(
            "source_blob must have a url or a checksum.",
        )),
    }
}

fn check_words(words: [&Option<String>; 3]) -> Result<(), ApiError> {
    for text in words.into_iter().flatten() {
        if text.len() > DESCRIPTION_BYTES_MAX || text.contains('\0') {
            let what = "version, version_description and checksum";
            let message = format!("{what} have at most {DESCRIPTION_BYTES_MAX} bytes.");
            return Err(ApiError::invalid(message));
        }
    }
    Ok(())
}
