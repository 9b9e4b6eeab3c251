//! A site of plain files, answered by the host straight from the slug's read-only tree.
//!
//! There is no guest: a request is a pattern check against the site's settings, a look-up in a bounded cache,
//! and at most one trip to a blocking thread. Files are reached through a directory handle that cannot be left,
//! whatever the path or a link says.

mod body;
mod conditional;
mod content_type;
mod files;
mod limits;
mod path;
mod pattern;
mod settings;
#[cfg(test)]
mod tests;

use crate::body::ResponseBody;
use crate::error::LoadError;
use body::{FileBody, full};
use conditional::{Span, etag_matches, is_range_current, range};
use files::{Files, Page, Variant};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use path::RequestPath;
use settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;

/// What is sent when the site brings no page of its own.
const NOT_FOUND: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Not found</title></head>\n<body><h1>Not found</h1><p>There is no page at this address.</p></body></html>\n";

/// A site of plain files.
#[derive(Clone, Debug)]
pub(crate) struct StaticSite {
    settings: Arc<Settings>,
    files: Arc<Files>,
}

impl StaticSite {
    /// Opens the site in a slug's unpacked tree. Blocks.
    ///
    /// `settings` — the process type's `static` table, null for none. A key that is not known is refused: a
    /// misspelt `https_only` must not go unnoticed.
    pub(crate) fn open(tree: PathBuf, settings: &serde_json::Value) -> Result<Self, LoadError> {
        let settings = Settings::read(settings).map_err(LoadError::Damaged)?;
        let files = Files::open(tree, &settings.root)?;
        Ok(Self {
            settings: Arc::new(settings),
            files: Arc::new(files),
        })
    }

    /// Answers one request. The request's body is not looked at.
    pub(crate) async fn answer(&self, request: &Parts) -> Response<ResponseBody> {
        let mut response = self.response(request).await;
        if request.method == Method::HEAD {
            // The header fields stay, the length among them.
            *response.body_mut() = full("");
        }
        response
    }

    async fn response(&self, request: &Parts) -> Response<ResponseBody> {
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut response = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD are answered here\n",
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        if let Some(location) = self.https_location(request) {
            return redirect(StatusCode::MOVED_PERMANENTLY, location);
        }
        let path = match RequestPath::parse(request.uri.path()) {
            Ok(path) => path,
            Err(status) => return plain(status, "the address of this request is not readable\n"),
        };
        if let Some((status, location)) = self.settings.redirect(path.decoded()) {
            return redirect(status, location.clone());
        }
        let mut response = match self.page(&path).await {
            Ok(Found::Page(page)) => page_response(request, &page, &self.files).await,
            Ok(Found::Directory) => match directory_location(request, &path) {
                Some(location) => redirect(StatusCode::MOVED_PERMANENTLY, location),
                None => plain(
                    StatusCode::BAD_REQUEST,
                    "the address of this request is not readable\n",
                ),
            },
            Ok(Found::Nothing) => self.not_found(request).await,
            Err(error) => {
                tracing::error!("a file of a static site could not be read: {error}");
                plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this page could not be read\n",
                )
            }
        };
        self.settings
            .add_headers(path.decoded(), response.headers_mut());
        response
    }

    /// Where a request over plain HTTP is sent when the site wants HTTPS only.
    fn https_location(&self, request: &Parts) -> Option<HeaderValue> {
        if !self.settings.https_only {
            return None;
        }
        let protocol = request.headers.get("x-forwarded-proto")?.to_str().ok()?;
        // Several proxies may have added theirs; the first one faced the client.
        if !protocol
            .split(',')
            .next()?
            .trim()
            .eq_ignore_ascii_case("http")
        {
            return None;
        }
        let host = request
            .uri
            .authority()
            .map(http::uri::Authority::host)
            .or_else(|| {
                let host = request.headers.get(header::HOST)?.to_str().ok()?;
                host.parse::<http::uri::Authority>()
                    .is_ok()
                    .then(|| path::without_port(host))
            })?;
        let path = request
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        HeaderValue::try_from(format!("https://{host}{path}")).ok()
    }

    /// Files come before routes: a route is what a path means when there is no such file.
    async fn page(&self, path: &RequestPath) -> std::io::Result<Found> {
        let mut candidates = Vec::with_capacity(3);
        let is_hidden = path.is_hidden(self.files.is_app_root());
        let mut wants_directory = false;
        if !is_hidden {
            if path.ends_with_slash() {
                candidates.push(path.join("index.html"));
            } else {
                candidates.push(path.relative().to_owned());
                if self.settings.clean_urls {
                    candidates.push(format!("{}.html", path.relative()));
                }
                wants_directory = true;
            }
        }
        let found = self
            .files
            .find(path.decoded(), candidates, wants_directory)
            .await?;
        match found {
            files::Found::Page(page) => return Ok(Found::Page(page)),
            files::Found::Directory => return Ok(Found::Directory),
            files::Found::Nothing => {}
        }
        let Some(target) = self.settings.route(path.decoded()) else {
            return Ok(Found::Nothing);
        };
        let key = format!("route {target}");
        match self
            .files
            .find(&key, vec![target.to_owned()], false)
            .await?
        {
            files::Found::Page(page) => Ok(Found::Page(page)),
            _ => Ok(Found::Nothing),
        }
    }

    async fn not_found(&self, request: &Parts) -> Response<ResponseBody> {
        let target = self.settings.error_page.as_deref().unwrap_or("404.html");
        let key = format!("error {target}");
        let found = self.files.find(&key, vec![target.to_owned()], false).await;
        if let Ok(files::Found::Page(page)) = found {
            let variant = page.variant_for(&request.headers);
            if let Ok(body) = self.whole(variant).await {
                let mut response = Response::new(body);
                *response.status_mut() = StatusCode::NOT_FOUND;
                describe(response.headers_mut(), &page, variant);
                return response;
            }
        }
        html(StatusCode::NOT_FOUND, NOT_FOUND)
    }

    async fn whole(&self, variant: &Variant) -> std::io::Result<ResponseBody> {
        variant_body(
            &self.files,
            variant,
            Span {
                start: 0,
                length: variant.length,
            },
        )
        .await
    }
}

enum Found {
    Page(Arc<Page>),
    Directory,
    Nothing,
}

/// A page, or as much of it as the client lacks.
async fn page_response(request: &Parts, page: &Page, files: &Files) -> Response<ResponseBody> {
    let wants_range = request.headers.contains_key(header::RANGE);
    // Parts are parts of the file itself: a download that is resumed need not have been compressed.
    let variant = if wants_range {
        &page.identity
    } else {
        page.variant_for(&request.headers)
    };
    let mut response = Response::new(full(""));
    if let Some(expected) = request.headers.get(header::IF_NONE_MATCH)
        && etag_matches(expected, &variant.etag)
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
            .headers_mut()
            .insert(header::ETAG, variant.etag.clone());
        add_vary(response.headers_mut(), page);
        return response;
    }
    describe(response.headers_mut(), page, variant);
    let mut span = Span {
        start: 0,
        length: variant.length,
    };
    if wants_range && is_range_current(&request.headers, &variant.etag) {
        match range(&request.headers, variant.length) {
            conditional::Range::Whole => {}
            conditional::Range::Part(part) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let last = part.start + part.length - 1;
                let text = format!("bytes {}-{last}/{}", part.start, variant.length);
                insert_text(response.headers_mut(), header::CONTENT_RANGE, &text);
                span = part;
            }
            conditional::Range::Unsatisfiable => {
                let mut response = plain(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "there are no such bytes\n",
                );
                let text = format!("bytes */{}", variant.length);
                insert_text(response.headers_mut(), header::CONTENT_RANGE, &text);
                return response;
            }
        }
    }
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(span.length));
    if request.method == Method::HEAD {
        return response;
    }
    match variant_body(files, variant, span).await {
        Ok(body) => *response.body_mut() = body,
        Err(error) => {
            tracing::error!("a file of a static site could not be opened: {error}");
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "this page could not be read\n",
            );
        }
    }
    response
}

async fn variant_body(
    files: &Files,
    variant: &Variant,
    span: Span,
) -> std::io::Result<ResponseBody> {
    if let Some(part) = variant.kept_bytes(span) {
        return Ok(full(part));
    }
    let file = files.open_variant(variant).await?;
    Ok(ResponseBody::new(FileBody::new(file, span)))
}

/// The header fields that describe a variant, with the length of all of it.
fn describe(headers: &mut HeaderMap, page: &Page, variant: &Variant) {
    headers.insert(header::CONTENT_TYPE, page.content_type.clone());
    headers.insert(header::ETAG, variant.etag.clone());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(variant.length));
    if let Some(encoding) = variant.encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    add_vary(headers, page);
}

fn add_vary(headers: &mut HeaderMap, page: &Page) {
    if page.has_choice() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// `/docs` becomes `/docs/`. Made from the checked path: what a client wrote could name another host.
fn directory_location(request: &Parts, path: &RequestPath) -> Option<HeaderValue> {
    let mut location = format!("{}/", path.encoded());
    if let Some(query) = request.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    HeaderValue::try_from(location).ok()
}

fn redirect(status: StatusCode, location: HeaderValue) -> Response<ResponseBody> {
    let mut response = plain(status, "");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    of_text(status, "text/plain; charset=utf-8", text)
}

fn html(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    of_text(status, "text/html; charset=utf-8", text)
}

fn of_text(
    status: StatusCode,
    content_type: &'static str,
    text: &'static str,
) -> Response<ResponseBody> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}

fn insert_text(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
