//! The pages that the router itself answers with: HTML, or JSON for who asks for it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::error_code::ErrorCode;

/// What a page is about; no detail of the inside ever reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    NoSuchApp,
    Error(ErrorCode),
    Refused(StatusCode),
}

impl Page {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoSuchApp => StatusCode::NOT_FOUND,
            Self::Error(code) => code.status(),
            Self::Refused(status) => status,
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::NoSuchApp => "no_such_app",
            Self::Error(ErrorCode::H80) => "maintenance",
            Self::Error(_) => "application_error",
            Self::Refused(_) => "bad_request",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NoSuchApp => "No such app",
            Self::Error(ErrorCode::H80) => "Offline for maintenance",
            Self::Error(ErrorCode::H81) => "Nothing here yet",
            Self::Error(ErrorCode::H99) => "Platform error",
            Self::Error(_) => "Application error",
            Self::Refused(status) => status.canonical_reason().unwrap_or("Refused"),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::NoSuchApp => "There is no app under this name.",
            Self::Error(ErrorCode::H80) => "This app is being worked on. Please come back soon.",
            Self::Error(ErrorCode::H81) => "This app exists, but nothing was released to it.",
            Self::Error(ErrorCode::H99) => "The platform could not serve this request.",
            Self::Error(_) => {
                "The app could not serve this request. If it is yours, its log says more."
            }
            Self::Refused(_) => "The request was not understood.",
        }
    }

    /// The whole response. `accept` — the request's header, for the choice of format.
    pub(crate) fn response(self, accept: &HeaderMap) -> Response<Bytes> {
        let (content_type, body) = if wants_json(accept) {
            let body = format!(
                "{{\"id\":\"{}\",\"message\":\"{}\"}}\n",
                self.id(),
                self.title()
            );
            ("application/json", body)
        } else {
            let (title, text) = (self.title(), self.text());
            let body = format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body><h1>{title}</h1><p>{text}</p></body>\n</html>\n"
            );
            ("text/html; charset=utf-8", body)
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// JSON for a client that names it and does not name HTML: what programs send, and no browser.
fn wants_json(headers: &HeaderMap) -> bool {
    let names = |word: &str| {
        headers.get_all(header::ACCEPT).iter().any(|value| {
            value
                .as_bytes()
                .windows(word.len())
                .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    names("json") && !names("text/html")
}
