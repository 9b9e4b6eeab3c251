//! Lists by `Range` header: field, start, number and order, as Heroku's clients write it.

use std::cmp::Ordering;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::error::{ApiError, ApiResult};
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};

/// A field that a list can be sorted and cut by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortKey {
    Number(u64),
    Text(String),
}

/// The fields of one kind of list; the first is the default.
pub(super) type Fields<T> = [(&'static str, fn(&T) -> SortKey)];

/// What a client asked for.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    field: Option<String>,
    start: Option<String>,
    start_excluded: bool,
    end: Option<String>,
    items_max: usize,
    descending: bool,
}

impl SortKey {
    /// Reads `text` as a key of the same kind as `self`.
    fn same_kind(&self, text: &str) -> Option<Self> {
        match self {
            Self::Number(_) => text.parse().ok().map(Self::Number),
            Self::Text(_) => Some(Self::Text(text.to_owned())),
        }
    }
}

impl std::fmt::Display for SortKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl Range {
    /// Reads the header liberally: separators `,` or `;`, any spaces, an empty value, a missing part.
    fn parse(header: &str) -> Result<Self, ApiError> {
        let mut range = Self {
            field: None,
            start: None,
            start_excluded: false,
            end: None,
            items_max: PAGE_ITEMS_DEFAULT,
            descending: false,
        };
        for part in header
            .split([';', ','])
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match part.split_once('=') {
                Some((name, value)) => match (name.trim(), value.trim()) {
                    ("max", value) => {
                        let number: usize = value
                            .parse()
                            .map_err(|_| unsatisfiable("max is not a number"))?;
                        range.items_max = number.clamp(1, PAGE_ITEMS_MAX);
                    }
                    ("order", value) => range.descending = value.eq_ignore_ascii_case("desc"),
                    _ => {}
                },
                None => range.parse_interval(part),
            }
        }
        Ok(range)
    }

    /// `version`, `version ..`, `version 3..9`, `version ]3..`
    fn parse_interval(&mut self, text: &str) {
        let (field, interval) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.field = Some(field.to_owned());
        let interval = interval.trim();
        let (start, end) = interval.split_once("..").unwrap_or((interval, ""));
        let start = start.trim();
        let bare = start.strip_prefix(']');
        self.start_excluded = bare.is_some();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.start = some(bare.unwrap_or(start).trim_start_matches('['));
        self.end = some(end.trim().trim_end_matches(['[', ']']));
    }
}

fn unsatisfiable(reason: &str) -> ApiError {
    let message = format!("The Range header cannot be satisfied: {reason}.");
    ApiError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "requested_range_not_satisfiable",
        message,
    )
}

/// Sorts and cuts `items`, and answers a page of them as `view` shows them.
pub(super) fn page<T>(
    headers: &HeaderMap,
    fields: &Fields<T>,
    items: Vec<T>,
    view: impl Fn(&T) -> Value,
) -> ApiResult {
    let text = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let range = Range::parse(text)?;
    let wanted = range.field.as_deref();
    let (name, key) = match wanted {
        None => fields[0],
        Some(wanted) => *fields
            .iter()
            .find(|(name, _)| *name == wanted)
            .ok_or_else(|| unsatisfiable("this list is not sorted by that field"))?,
    };
    let mut keyed: Vec<(SortKey, T)> = items.into_iter().map(|item| (key(&item), item)).collect();
    keyed.sort_by(|a, b| {
        if range.descending {
            b.0.cmp(&a.0)
        } else {
            a.0.cmp(&b.0)
        }
    });
    let kept = cut(&range, keyed)?;
    let more = kept.len() > range.items_max;
    let shown = &kept[..kept.len().min(range.items_max)];
    let body: Vec<Value> = shown.iter().map(|(_, item)| view(item)).collect();
    let status = if more {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let mut response: Response = (status, Json(body)).into_response();
    describe(&mut response, &range, fields, name, shown, more);
    Ok(response)
}

/// Drops what is before the start or after the end.
fn cut<T>(range: &Range, keyed: Vec<(SortKey, T)>) -> Result<Vec<(SortKey, T)>, ApiError> {
    let Some((sample, _)) = keyed.first() else {
        return Ok(keyed);
    };
    let bound = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => sample
            .same_kind(text)
            .map(Some)
            .ok_or_else(|| unsatisfiable("a bound is not a number")),
    };
    let (start, end) = (bound(&range.start)?, bound(&range.end)?);
    let direction = |ordering: Ordering| {
        if range.descending {
            ordering.reverse()
        } else {
            ordering
        }
    };
    let inside = |key: &SortKey| {
        let after_start = start
            .as_ref()
            .is_none_or(|start| match direction(key.cmp(start)) {
                Ordering::Less => false,
                Ordering::Equal => !range.start_excluded,
                Ordering::Greater => true,
            });
        let before_end = end
            .as_ref()
            .is_none_or(|end| direction(key.cmp(end)) != Ordering::Greater);
        after_start && before_end
    };
    Ok(keyed.into_iter().filter(|(key, _)| inside(key)).collect())
}

fn describe<T>(
    response: &mut Response,
    range: &Range,
    fields: &Fields<T>,
    name: &str,
    shown: &[(SortKey, T)],
    more: bool,
) {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let mut set = |header: HeaderName, value: String| {
        // A name with a byte that no header holds would only cost the client its next page.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(header, value);
        }
    };
    set(header::ACCEPT_RANGES, names.join(", "));
    let (Some((first, _)), Some((last, _))) = (shown.first(), shown.last()) else {
        return;
    };
    set(header::CONTENT_RANGE, format!("{name} {first}..{last}"));
    if more {
        let order = if range.descending { ", order=desc" } else { "" };
        let next = format!("{name} ]{last}..; max={}{order}", range.items_max);
        set(HeaderName::from_static("next-range"), next);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::{HeaderMap, header};
    use serde_json::{Value, json};

    use super::{Fields, SortKey, page};

    const FIELDS: &Fields<u64> = &[
        ("id", |number| SortKey::Text(format!("{number:03}"))),
        ("version", |number| SortKey::Number(*number)),
    ];

    async fn ask(range: &str, count: u64) -> (u16, Vec<u64>, Option<String>) {
        let headers: HeaderMap = [(header::RANGE, range.parse().expect("a value"))]
            .into_iter()
            .collect();
        let items = (1..=count).collect();
        let response = match page(&headers, FIELDS, items, |number| json!(number)) {
            Ok(response) => response,
            Err(error) => axum::response::IntoResponse::into_response(error),
        };
        let status = response.status().as_u16();
        let next = response
            .headers()
            .get("next-range")
            .map(|value| value.to_str().expect("text").to_owned());
        let body = to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("a body");
        let items = serde_json::from_slice::<Value>(&body).ok();
        let items = items
            .and_then(|value| serde_json::from_value(value).ok())
            .unwrap_or_default();
        (status, items, next)
    }

    #[tokio::test]
    async fn every_form_the_cli_sends_is_understood() {
        for range in [
            "version ..; order=desc,max=1",
            "version ..; max=1, order=desc",
            "version; max=1,order=desc",
        ] {
            assert_eq!(ask(range, 12).await.1, [12], "{range}");
        }
        assert_eq!(ask("id ..; max=1000;", 3).await, (200, vec![1, 2, 3], None));
        assert_eq!(ask("", 2).await, (200, vec![1, 2], None));
    }

    #[tokio::test]
    async fn the_next_range_leads_through_the_whole_list() {
        let mut seen = Vec::new();
        let mut range = "version ..; max=5, order=desc".to_owned();
        loop {
            let (status, items, next) = ask(&range, 12).await;
            seen.extend(items);
            let Some(next) = next else {
                assert_eq!(status, 200);
                break;
            };
            assert_eq!(status, 206);
            range = next;
        }
        assert_eq!(seen, (1..=12).rev().collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn bounds_are_inclusive_unless_marked() {
        assert_eq!(ask("version 3..5", 12).await.1, [3, 4, 5]);
        assert_eq!(ask("version ]3..5", 12).await.1, [4, 5]);
        assert_eq!(ask("version 5..3; order=desc", 12).await.1, [5, 4, 3]);
    }

    #[tokio::test]
    async fn an_unknown_field_or_bound_is_416() {
        assert_eq!(ask("colour ..", 3).await.0, 416);
        assert_eq!(ask("version x..", 3).await.0, 416);
        assert_eq!(ask("version ..; max=x", 3).await.0, 416);
    }
}
