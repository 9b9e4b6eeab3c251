//! Objects as the API shows them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::Account;
use crate::capability::{Purpose, issue};
use crate::control::Control;
use crate::limits::OUTPUT_URL_LIFETIME;
use crate::model::{App, Build, FormationEntry, Release, ReleaseStatus, Slug, Timestamp};
use crate::reconcile::DynoStatus;
use crate::secret::SecretError;

use super::origin::Origin;

/// The only region: this host.
pub(super) const REGION: (&str, &str) = ("59accabd-516d-4f0e-83e6-6e3757701145", "us");
/// The only stack.
pub(super) const STACK_ID: &str = "6f3a8f1c-4a3d-5c52-9a0e-7f5c1d1b0a01";

pub(super) fn stack() -> Value {
    json!({ "id": STACK_ID, "name": dyno_slug::STACK })
}

fn time(time: Timestamp) -> String {
    time.to_string()
}

pub(super) fn app_reference(app: &App) -> Value {
    json!({ "id": app.id, "name": app.name })
}

pub(super) fn web_url(control: &Control, app: &App) -> String {
    format!("http://{}.localhost:{}/", app.name, control.port)
}

pub(super) fn app(control: &Control, app: &App) -> Value {
    let git_host = control.api_url.trim_start_matches("http://");
    json!({
        "acm": false,
        "archived_at": null,
        "build_stack": stack(),
        "buildpack_provided_description": app.buildpack_detected,
        "create_status": "complete",
        "created_at": time(app.created_at),
        "generation": { "name": "cedar" },
        "git_url": format!("https://{git_host}/{}.git", app.name),
        "id": app.id,
        "internal_routing": null,
        "locked": false,
        "maintenance": app.maintenance,
        "name": app.name,
        "organization": null,
        "owner": control.account.reference(),
        "process_tier": "basic",
        "region": { "id": REGION.0, "name": REGION.1 },
        "released_at": app.released_at.map(time),
        "repo_size": null,
        "slug_size": app.slug_size,
        "space": null,
        "stack": stack(),
        "team": null,
        "updated_at": time(app.updated_at),
        "web_url": web_url(control, app),
    })
}

pub(super) fn account(account: &Account) -> Value {
    json!({
        "allow_tracking": false,
        "beta": false,
        "created_at": time(account.created_at),
        "default_organization": null,
        "default_team": null,
        "delinquent_at": null,
        "email": account.email,
        "federated": false,
        "id": account.id,
        "identity_provider": null,
        "last_login": null,
        "name": null,
        "sms_number": null,
        "suspended_at": null,
        "two_factor_authentication": false,
        "updated_at": time(account.created_at),
        "verified": true,
    })
}

pub(super) fn release(
    control: &Control,
    app: &App,
    release: &Release,
    origin: &Origin,
) -> Result<Value, SecretError> {
    let output_stream_url = if release.has_command {
        let token = issue(
            &control.sealer,
            Purpose::ReleaseOutput,
            &release.id,
            OUTPUT_URL_LIFETIME,
        )?;
        Value::from(format!("{}/output/release/{token}", origin.0))
    } else {
        Value::Null
    };
    Ok(json!({
        "addon_plan_names": [],
        "app": app_reference(app),
        "artifacts": [],
        "created_at": time(release.created_at),
        "current": app.release_current == Some(release.version),
        "description": release.description,
        "eligible_for_rollback": release.slug.is_some() && release.status == ReleaseStatus::Succeeded,
        "id": release.id,
        "output_stream_url": output_stream_url,
        "slug": release.slug.map(|id| json!({ "id": id })),
        "status": release.status.as_str(),
        "updated_at": time(release.updated_at),
        "user": control.account.reference(),
        "version": release.version.number(),
    }))
}

pub(super) fn slug(slug: &Slug) -> Value {
    json!({
        // The bytes are an OCI image layout inside the slug store; they are not handed out by address yet.
        "blob": { "method": "get", "url": null },
        "buildpack_provided_description": slug.buildpack_description,
        "checksum": slug.digest.replacen("sha256:", "SHA256:", 1),
        "commit": slug.commit,
        "commit_description": slug.commit_description,
        "created_at": time(slug.created_at),
        "deleted_at": null,
        "id": slug.id,
        "process_types": slug.process_types,
        "size": slug.size,
        "stack": stack(),
        "updated_at": time(slug.created_at),
    })
}

pub(super) fn build(
    control: &Control,
    app: &App,
    build: &Build,
    origin: &Origin,
) -> Result<Value, SecretError> {
    let output = issue(
        &control.sealer,
        Purpose::BuildOutput,
        &build.id,
        OUTPUT_URL_LIFETIME,
    )?;
    let buildpacks = if build.buildpacks.is_empty() {
        &app.buildpacks
    } else {
        &build.buildpacks
    };
    Ok(json!({
        "app": { "id": build.app },
        "buildpacks": buildpacks.iter().map(|pack| buildpack(pack)).collect::<Vec<Value>>(),
        "created_at": time(build.created_at),
        "id": build.id,
        "output_stream_url": format!("{}/output/build/{output}", origin.0),
        "release": build.release_id.map(|id| json!({ "id": id })),
        "slug": build.slug.map(|id| json!({ "id": id })),
        "source_blob": {
            "checksum": build.source_checksum,
            "url": null,
            "version": build.source_version,
            "version_description": build.source_description,
        },
        "stack": dyno_slug::STACK,
        "status": build.status.as_str(),
        "updated_at": time(build.updated_at),
        "user": control.account.reference(),
    }))
}

/// A buildpack as builds and installations show it: a name of ours as `heroku/NAME`, anything else as its address.
pub(super) fn buildpack(pack: &str) -> Value {
    if pack.contains("://") {
        json!({ "name": pack, "url": pack })
    } else {
        json!({ "name": format!("heroku/{pack}"), "url": format!("urn:buildpack:heroku/{pack}") })
    }
}

pub(super) fn formation(app: &App, process_type: &str, entry: &FormationEntry) -> Value {
    json!({
        "app": app_reference(app),
        "command": entry.command,
        "created_at": time(entry.created_at),
        "dyno_size": { "id": dyno_size_id(entry.size), "name": entry.size.as_str() },
        "id": entry.id,
        "quantity": entry.quantity,
        "size": entry.size.as_str(),
        "type": process_type,
        "updated_at": time(entry.updated_at),
    })
}

/// A stable uuid for a size.
pub(super) fn dyno_size_id(size: crate::model::DynoSizeName) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("dyno-size/{size}").as_bytes())
}

pub(super) fn dyno(app: &App, dyno: &DynoStatus) -> Value {
    json!({
        "app": app_reference(app),
        "attach_url": null,
        "command": dyno.command,
        "created_at": time(dyno.created_at),
        "id": dyno.id,
        "name": dyno.name,
        "release": { "id": dyno.release_id, "version": dyno.release_version.number() },
        "size": dyno.size.as_str(),
        "state": dyno.state,
        "type": dyno.process_type,
        "updated_at": time(dyno.updated_at),
    })
}
