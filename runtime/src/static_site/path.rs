//! The path of a request: decoded once, checked, and known not to climb.

use super::limits::PATH_BYTES_MAX;
use http::StatusCode;
use std::fmt::Write as _;

/// Files of the app's own folder that are about the app, not of the site.
const ABOUT_THE_APP: &[&str] = &["Procfile", "static.json", "app.json"];

/// The path of a request.
#[derive(Debug)]
pub(super) struct RequestPath {
    /// With a slash first; empty segments are gone; a slash last when the request had one.
    decoded: String,
}

impl RequestPath {
    /// Decodes the path of a request, or answers the status that refuses it.
    ///
    /// An encoded slash, a zero byte and text that is not UTF-8 name no file of a slug, so they are refused
    /// before anything is looked up.
    pub(super) fn parse(path: &str) -> Result<Self, StatusCode> {
        if path.len() > PATH_BYTES_MAX {
            return Err(StatusCode::URI_TOO_LONG);
        }
        let mut decoded = String::with_capacity(path.len() + 1);
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            let bytes = decode(segment).ok_or(StatusCode::BAD_REQUEST)?;
            let segment = String::from_utf8(bytes).map_err(|_| StatusCode::BAD_REQUEST)?;
            if segment.contains(['/', '\0']) {
                return Err(StatusCode::BAD_REQUEST);
            }
            decoded.push('/');
            decoded.push_str(&segment);
        }
        if decoded.is_empty() || path.ends_with('/') {
            decoded.push('/');
        }
        Ok(Self { decoded })
    }

    /// `/a dir/b.html`.
    pub(super) fn decoded(&self) -> &str {
        &self.decoded
    }

    /// Without the slashes at both ends; empty for the site's root.
    pub(super) fn relative(&self) -> &str {
        self.decoded.trim_matches('/')
    }

    pub(super) fn ends_with_slash(&self) -> bool {
        self.decoded.ends_with('/')
    }

    /// A file in the directory that this path is.
    pub(super) fn join(&self, name: &str) -> String {
        match self.relative() {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        }
    }

    /// Whether the path is never served: dotfiles, `.` and `..` among them, and files about the app.
    ///
    /// `/.well-known/` is a public place by definition (RFC 8615).
    pub(super) fn is_hidden(&self, is_app_root: bool) -> bool {
        let mut segments = self.relative().split('/');
        let first = segments.next().unwrap_or_default();
        let is_dotted = |segment: &str| segment.starts_with('.');
        (is_dotted(first) && first != ".well-known")
            || segments.any(is_dotted)
            || (is_app_root && ABOUT_THE_APP.contains(&self.relative()))
    }

    /// The path as it may stand in a header field, without a slash at its end.
    pub(super) fn encoded(&self) -> String {
        let mut encoded = String::with_capacity(self.decoded.len());
        for byte in self.decoded.trim_end_matches('/').bytes() {
            if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    }
}

/// A host without its port.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address is in brackets, so a colon after the last bracket begins a port.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Percent-decoding; `None` for a `%` that two hexadecimal digits do not follow.
fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once_and_empty_segments_are_gone() {
        for (path, decoded) in [
            ("/", "/"),
            ("//", "/"),
            ("/a%20b/%C3%A4.html", "/a b/ä.html"),
            ("//evil.example//x", "/evil.example/x"),
            ("/a//", "/a/"),
            ("/%2561", "/%61"),
        ] {
            assert_eq!(
                RequestPath::parse(path).unwrap().decoded(),
                decoded,
                "{path}"
            );
        }
    }

    #[test]
    fn paths_that_name_no_file_of_a_slug_are_refused() {
        for path in ["/%", "/%4", "/%zz", "/%00", "/a%2Fb", "/%ff", "/%+1"] {
            assert_eq!(
                RequestPath::parse(path).unwrap_err(),
                StatusCode::BAD_REQUEST,
                "{path}"
            );
        }
        let long = "/a".repeat(PATH_BYTES_MAX / 2);
        assert!(RequestPath::parse(&long).is_ok());
        assert_eq!(
            RequestPath::parse(&format!("{long}a")).unwrap_err(),
            StatusCode::URI_TOO_LONG
        );
    }

    #[test]
    fn dotfiles_climbing_and_the_apps_own_files_are_hidden() {
        for path in [
            "/.env",
            "/a/.git/config",
            "/..",
            "/%2e%2e/x",
            "/a/../b",
            "/.",
            "/.dyno/process-types.toml",
        ] {
            assert!(RequestPath::parse(path).unwrap().is_hidden(false), "{path}");
        }
        for path in ["/Procfile", "/static.json", "/app.json", "/%50rocfile"] {
            assert!(RequestPath::parse(path).unwrap().is_hidden(true), "{path}");
            assert!(
                !RequestPath::parse(path).unwrap().is_hidden(false),
                "{path}"
            );
        }
        for path in [
            "/",
            "/a/static.json",
            "/.well-known/security.txt",
            "/a.b",
            "/static.json.html",
        ] {
            assert!(!RequestPath::parse(path).unwrap().is_hidden(true), "{path}");
        }
    }

    #[test]
    fn a_location_cannot_leave_the_host_or_the_header() {
        let path = RequestPath::parse("//evil.example/%0d%0aSet-Cookie:%20a/").unwrap();
        assert_eq!(path.encoded(), "/evil.example/%0D%0ASet-Cookie:%20a");
    }

    #[test]
    fn ports_are_taken_off_hosts() {
        assert_eq!(without_port("a.example:80"), "a.example");
        assert_eq!(without_port("a.example"), "a.example");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}
