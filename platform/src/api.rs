//! The Platform API, version 3, as Heroku's clients speak it: a file per resource.

mod absent;
mod account;
mod apps;
mod auth;
mod authorizations;
mod browser_login;
mod buildpack_installations;
mod buildpack_registry;
mod builds;
mod catalog;
mod conditional;
mod config_vars;
mod domains;
mod dynos;
mod error;
mod features;
mod formation;
mod json_body;
mod log_sessions;
mod origin;
mod output_stream;
mod page;
mod rate_limit;
mod releases;
mod request_id;
mod slugs;
mod sources;
mod status;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::control::Control;
pub(crate) use browser_login::BrowserLogins;
use error::ApiError;
pub(crate) use rate_limit::RateLimit;

/// Every path of the API. What needs no key carries its permission in the address.
pub(crate) fn router(control: Arc<Control>) -> Router {
    let keyed = Router::new()
        .merge(absent::routes())
        .merge(account::routes())
        .merge(apps::routes())
        .merge(authorizations::routes())
        .merge(buildpack_installations::routes())
        .merge(builds::routes())
        .merge(catalog::routes())
        .merge(config_vars::routes())
        .merge(domains::routes())
        .merge(dynos::routes())
        .merge(features::routes())
        .merge(formation::routes())
        .merge(log_sessions::routes())
        .merge(releases::routes())
        .merge(slugs::routes())
        .merge(sources::routes())
        .fallback(async || ApiError::not_found("The requested API endpoint was not found."))
        .method_not_allowed_fallback(async || {
            ApiError::not_found("The requested API endpoint was not found.")
        })
        // From the outside in: rate, key, conditional answers.
        .layer(from_fn(conditional::answer))
        .layer(from_fn_with_state(Arc::clone(&control), auth::require_key))
        .layer(from_fn_with_state(Arc::clone(&control), rate_limit::count));
    let open = Router::new()
        .merge(browser_login::open_routes())
        .merge(buildpack_registry::open_routes())
        .merge(log_sessions::open_routes())
        .merge(output_stream::open_routes())
        .merge(sources::open_routes())
        .merge(status::open_routes());
    keyed
        .merge(open)
        // Each handler reads its body within its own bound.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(request_id::add))
        .with_state(control)
}
