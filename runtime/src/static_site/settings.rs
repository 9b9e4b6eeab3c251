//! The settings of a static site, checked when it is opened.

use super::limits::{HEADERS_PER_RULE_MAX, RULES_MAX};
use super::pattern::Pattern;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Header fields that say how a message is framed or which version it is: those are ours to set.
const OURS: &[HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::DATE,
    header::ETAG,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A site's settings.
#[derive(Debug)]
pub(super) struct Settings {
    /// The folder with the files, relative to the app's; empty for the app's own.
    pub(super) root: String,
    pub(super) clean_urls: bool,
    pub(super) https_only: bool,
    /// The page sent with status 404, relative to the root.
    pub(super) error_page: Option<String>,
    routes: Vec<(Pattern, String)>,
    redirects: Vec<(Pattern, StatusCode, HeaderValue)>,
    headers: Vec<(Pattern, HeaderMap)>,
}

/// The process type's `static` table. Rules are lists, because their order counts.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    root: String,
    clean_urls: bool,
    https_only: bool,
    error_page: Option<String>,
    routes: Vec<Route>,
    redirects: Vec<Redirect>,
    headers: Vec<Headers>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    path: String,
    file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    path: String,
    url: String,
    #[serde(default = "moved_permanently")]
    status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    path: String,
    fields: BTreeMap<String, String>,
}

fn moved_permanently() -> u16 {
    StatusCode::MOVED_PERMANENTLY.as_u16()
}

impl Settings {
    /// Reads the `static` table; an error is a clause that says what is wrong with it.
    pub(super) fn read(table: &serde_json::Value) -> Result<Self, String> {
        let table = if table.is_null() {
            &serde_json::json!({})
        } else {
            table
        };
        if !table.is_object() {
            return Err("the static site's settings are no table".to_owned());
        }
        let table = Table::deserialize(table)
            .map_err(|error| format!("the static site's settings: {error}"))?;
        for (what, count) in [
            ("routes", table.routes.len()),
            ("redirects", table.redirects.len()),
            ("headers", table.headers.len()),
        ] {
            if count > RULES_MAX {
                return Err(format!(
                    "the static site has {count} {what}, at most {RULES_MAX} are allowed"
                ));
            }
        }
        Ok(Self {
            root: relative(&table.root).to_owned(),
            clean_urls: table.clean_urls,
            https_only: table.https_only,
            error_page: table.error_page.map(|page| relative(&page).to_owned()),
            routes: each(table.routes, |route| {
                Ok((
                    Pattern::parse(&route.path)?,
                    relative(&route.file).to_owned(),
                ))
            })?,
            redirects: each(table.redirects, redirect)?,
            headers: each(table.headers, headers)?,
        })
    }

    /// The file that a path means when there is none of its own; the first route counts.
    pub(super) fn route(&self, path: &str) -> Option<&str> {
        let found = self
            .routes
            .iter()
            .find(|(pattern, _)| pattern.matches(path));
        found.map(|(_, file)| file.as_str())
    }

    /// Where a path has moved; the first redirect counts.
    pub(super) fn redirect(&self, path: &str) -> Option<(StatusCode, &HeaderValue)> {
        let found = self
            .redirects
            .iter()
            .find(|(pattern, ..)| pattern.matches(path));
        found.map(|(_, status, url)| (*status, url))
    }

    /// Sets the header fields that the site wants for a path; of two for one name, the last rule's counts.
    pub(super) fn add_headers(&self, path: &str, headers: &mut HeaderMap) {
        for (pattern, fields) in &self.headers {
            if !pattern.matches(path) {
                continue;
            }
            for (name, value) in fields {
                if name == header::VARY {
                    // Ours must stay: caches would mix up compressed and plain answers.
                    headers.append(name, value.clone());
                } else {
                    headers.insert(name, value.clone());
                }
            }
        }
    }
}

fn each<T, U>(list: Vec<T>, convert: impl Fn(T) -> Result<U, String>) -> Result<Vec<U>, String> {
    let converted: Result<_, String> = list.into_iter().map(convert).collect();
    converted.map_err(|problem| format!("the static site's settings: {problem}"))
}

fn redirect(redirect: Redirect) -> Result<(Pattern, StatusCode, HeaderValue), String> {
    let status = match redirect.status {
        301 | 302 | 303 | 307 | 308 => StatusCode::from_u16(redirect.status),
        _ => {
            return Err(format!(
                "the redirect of {:?} has status {}",
                redirect.path, redirect.status
            ));
        }
    };
    let status = status.map_err(|error| error.to_string())?;
    let url =
        HeaderValue::try_from(&redirect.url).map_err(|_| format!("the url {:?}", redirect.url))?;
    Ok((Pattern::parse(&redirect.path)?, status, url))
}

fn headers(rule: Headers) -> Result<(Pattern, HeaderMap), String> {
    if rule.fields.len() > HEADERS_PER_RULE_MAX {
        return Err(format!(
            "{} header fields for {:?}",
            rule.fields.len(),
            rule.path
        ));
    }
    let mut fields = HeaderMap::new();
    for (name, value) in &rule.fields {
        let name = HeaderName::try_from(name).map_err(|_| format!("the header name {name:?}"))?;
        if OURS.contains(&name) {
            return Err(format!("the header {name} cannot be set"));
        }
        let value =
            HeaderValue::try_from(value).map_err(|_| format!("the value of the header {name}"))?;
        fields.insert(name, value);
    }
    Ok((Pattern::parse(&rule.path)?, fields))
}

/// `./public/` and `/public` mean `public`; what climbs is caught when it is opened.
fn relative(path: &str) -> &str {
    let path = path.trim_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    if path == "." { "" } else { path }
}
