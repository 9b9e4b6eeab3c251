//! Heroku's router error codes: exact descriptions, statuses, and who is to blame.

use http::StatusCode;

/// An error code of the router. Source: Heroku, "Error Codes".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the description of each is `description()`
pub enum ErrorCode {
    H10,
    H11,
    H12,
    H13,
    H14,
    H15,
    H17,
    H18,
    H20,
    H21,
    H24,
    H25,
    H26,
    H27,
    H28,
    H80,
    H81,
    H99,
}

/// The word after `at=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

impl ErrorCode {
    /// `H12`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// `Request timeout`.
    #[must_use]
    pub fn description(self) -> &'static str {
        self.row().1
    }

    /// The status in the log, and to the client where one can still be sent (499 never is).
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().2).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The word after `at=`.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::H80 | Self::H81 => Severity::Info,
            Self::H27 | Self::H28 => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// The end whose socket broke: the word after `sock=`, where Heroku prints one.
    #[must_use]
    pub fn socket(self) -> Option<&'static str> {
        match self {
            Self::H18 => Some("backend"),
            Self::H27 => Some("client"),
            _ => None,
        }
    }

    fn row(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::H10 => ("H10", "App crashed", 503),
            Self::H11 => ("H11", "Backlog too deep", 503),
            Self::H12 => ("H12", "Request timeout", 503),
            Self::H13 => ("H13", "Connection closed without response", 503),
            Self::H14 => ("H14", "No web processes running", 503),
            Self::H15 => ("H15", "Idle connection", 503),
            Self::H17 => ("H17", "Poorly formatted HTTP response", 503),
            Self::H18 => ("H18", "Server Request Interrupted", 503),
            Self::H20 => ("H20", "App boot timeout", 503),
            Self::H21 => ("H21", "Backend connection refused", 503),
            Self::H24 => ("H24", "Forced close", 503),
            Self::H25 => ("H25", "HTTP restriction", 502),
            Self::H26 => ("H26", "Request Error", 400),
            Self::H27 => ("H27", "Client Request Interrupted", 499),
            Self::H28 => ("H28", "Client Connection Idle", 499),
            Self::H80 => ("H80", "Maintenance mode", 503),
            Self::H81 => ("H81", "Blank app", 502),
            Self::H99 => ("H99", "Platform error", 503),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
