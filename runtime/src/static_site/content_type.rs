//! The `Content-Type` of a file, by the end of its name.

use http::HeaderValue;

/// The type of the file, with its character set where it is text.
pub(super) fn content_type(path: &str) -> HeaderValue {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension)
        .to_ascii_lowercase();
    let guessed;
    let essence = match extension.as_str() {
        // What browsers insist on, or what the table does not know.
        "js" | "mjs" | "cjs" => "text/javascript",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "map" => "application/json",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        _ => {
            guessed = mime_guess::from_path(name).first_or_octet_stream();
            guessed.essence_str()
        }
    };
    let is_text =
        essence.starts_with("text/") || essence.ends_with("+xml") || essence == "application/xml";
    let text = if is_text {
        format!("{essence}; charset=utf-8")
    } else {
        essence.to_owned()
    };
    HeaderValue::try_from(text)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_that_browsers_expect() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.CSS", "text/css; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("data.json", "application/json"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("feed.xml", "text/xml; charset=utf-8"),
            ("m.wasm", "application/wasm"),
            ("font.woff2", "font/woff2"),
            ("photo.jpg", "image/jpeg"),
            ("README", "application/octet-stream"),
            ("dir.html/blob", "application/octet-stream"),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }
}
