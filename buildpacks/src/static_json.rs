//! A static site's settings: `static.json` as apps write it, made into the table that the runtime reads.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::compile::CompileError;
use crate::limits;
use crate::source::read_text;

/// The key of the `static` table that names a file to read the settings from.
const FILE_KEY: &str = "settings_file";

/// `static.json`. A key that is not known is refused: it was meant to do something.
///
/// Source: the README of Heroku's static buildpack.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StaticJson {
    root: Option<String>,
    clean_urls: bool,
    https_only: bool,
    error_page: Option<String>,
    routes: Ordered<String>,
    redirects: Ordered<Redirect>,
    headers: Ordered<Ordered<String>>,
    // What that buildpack also knows, for errors that say so.
    proxies: Option<Value>,
    basic_auth: Option<Value>,
    canonical_host: Option<Value>,
    #[serde(rename = "logging")]
    _logging: Option<Value>,
    #[serde(rename = "encoding")]
    _encoding: Option<Value>,
    #[serde(rename = "worker_connections")]
    _worker_connections: Option<Value>,
    #[serde(rename = "resolver")]
    _resolver: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    url: String,
    #[serde(default = "moved_permanently")]
    status: u16,
}

fn moved_permanently() -> u16 {
    301
}

/// An object's entries as written: the order of rules counts, and a map would lose it.
struct Ordered<T>(Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Ordered(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The settings of a static process type: what the buildpack wrote, or what the file it names says.
pub(crate) fn settings(app: &Path, written: Option<Value>) -> Result<Value, CompileError> {
    let mut written = written.unwrap_or_else(|| json!({}));
    let named = written
        .as_object_mut()
        .and_then(|table| table.remove(FILE_KEY));
    let Some(Value::String(file)) = named else {
        return Ok(written);
    };
    let refused = |problem: String| CompileError::StaticSettings {
        file: file.clone(),
        problem,
    };
    let is_inside = Path::new(&file)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_inside {
        return Err(refused("the file lies outside the app".to_owned()));
    }
    let text =
        read_text(&app.join(&file))?.ok_or_else(|| refused("there is no such file".to_owned()))?;
    let settings = parse(&text).map_err(refused)?;
    let root = settings["root"].as_str().unwrap_or_default();
    if !app.join(root).is_dir() {
        return Err(CompileError::StaticSettings {
            file,
            problem: format!(
                "the root \"{root}\" is no folder of this app\n  hint: build the site before it is deployed, or correct \"root\""
            ),
        });
    }
    Ok(settings)
}

/// Reads the text of a `static.json`; an error is a clause with a hint.
fn parse(text: &str) -> Result<Value, String> {
    let site: StaticJson = serde_json::from_str(text).map_err(|error| {
        format!("{error}\n  hint: the README of the static buildpack lists its keys")
    })?;
    for (key, value) in [
        ("proxies", &site.proxies),
        ("basic_auth", &site.basic_auth),
        ("canonical_host", &site.canonical_host),
    ] {
        // Left out silently, a protected site would be public.
        if value
            .as_ref()
            .is_some_and(|value| *value != json!(false) && *value != json!({}))
        {
            return Err(format!(
                "\"{key}\" is not supported\n  hint: remove it, or serve the site from an app of its own"
            ));
        }
    }
    let counts = [
        site.routes.0.len(),
        site.redirects.0.len(),
        site.headers.0.len(),
    ];
    if counts.iter().any(|count| *count > limits::STATIC_RULES_MAX) {
        return Err(format!(
            "more than {} routes, redirects or headers",
            limits::STATIC_RULES_MAX
        ));
    }
    let mut redirects = Vec::new();
    for (path, redirect) in site.redirects.0 {
        if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
            return Err(format!(
                "the redirect of \"{path}\" has status {}\n  hint: use 301, 302, 303, 307 or 308",
                redirect.status
            ));
        }
        if redirect.url.contains("${") {
            return Err(format!(
                "the redirect of \"{path}\" uses a variable: {}\n  hint: write the address itself",
                redirect.url
            ));
        }
        redirects.push(json!({ "path": path, "url": redirect.url, "status": redirect.status }));
    }
    let routes = site.routes.0.into_iter();
    let routes: Vec<_> = routes
        .map(|(path, file)| json!({ "path": path, "file": file }))
        .collect();
    let headers = site.headers.0.into_iter().map(|(path, fields)| {
        let fields: serde_json::Map<_, _> = fields
            .0
            .into_iter()
            .map(|(name, value)| (name, json!(value)))
            .collect();
        json!({ "path": path, "fields": fields })
    });
    let mut settings = json!({
        // The static buildpack's own default.
        "root": site.root.unwrap_or_else(|| "public_html".to_owned()),
        "clean_urls": site.clean_urls,
        "https_only": site.https_only,
        "routes": routes,
        "redirects": redirects,
        "headers": headers.collect::<Vec<_>>(),
    });
    if let Some(page) = site.error_page {
        settings["error_page"] = json!(page);
    }
    Ok(settings)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_keys_are_read_and_rules_keep_their_order() {
        let text = r#"{
            "root": "dist/", "clean_urls": true, "https_only": true, "error_page": "errors/error.html",
            "routes": { "/z/**": "z.html", "/**": "index.html" },
            "redirects": { "/old/gone/": { "url": "/", "status": 302 }, "/b": { "url": "/c" } },
            "headers": { "/": { "Cache-Control": "no-store" }, "/**": { "X-A": "1" } }
        }"#;
        let settings = parse(text).unwrap();
        assert_eq!(
            settings,
            json!({
                "root": "dist/", "clean_urls": true, "https_only": true, "error_page": "errors/error.html",
                "routes": [{ "path": "/z/**", "file": "z.html" }, { "path": "/**", "file": "index.html" }],
                "redirects": [
                    { "path": "/old/gone/", "url": "/", "status": 302 },
                    { "path": "/b", "url": "/c", "status": 301 },
                ],
                "headers": [
                    { "path": "/", "fields": { "Cache-Control": "no-store" } },
                    { "path": "/**", "fields": { "X-A": "1" } },
                ],
            })
        );
        assert_eq!(parse("{}").unwrap()["root"], "public_html");
    }

    #[test]
    fn what_would_change_the_sites_meaning_is_refused() {
        for (text, word) in [
            (r#"{ "https_onyl": true }"#, "https_onyl"),
            (r#"{ "basic_auth": true }"#, "basic_auth"),
            (
                r#"{ "proxies": { "/api/": { "origin": "x" } } }"#,
                "proxies",
            ),
            (
                r#"{ "redirects": { "/a": { "url": "${X}/b" } } }"#,
                "variable",
            ),
            (
                r#"{ "redirects": { "/a": { "url": "/b", "status": 200 } } }"#,
                "status 200",
            ),
            ("{", "line 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(parse(r#"{ "basic_auth": false, "logging": { "access": false } }"#).is_ok());
    }
}
