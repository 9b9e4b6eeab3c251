//! Durations in settings: `30`, `0.5`, `"30s"`, `"500ms"`, `"2m"`, `"1h"`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};

/// Longest duration a setting may name: a year. Beyond it additions to the clock could overflow.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// For `#[serde(with = "duration_setting")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a duration: seconds as a number, or a text like \"30s\", \"500ms\", \"2m\", \"1h\"",
        )
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        #[allow(clippy::cast_precision_loss)] // compared with a bound far below 2^52 next
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        #[allow(clippy::cast_precision_loss)]
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        // Written so that NaN fails too.
        if !(seconds > 0.0 && seconds <= SECONDS_MAX) {
            return Err(E::custom(format!(
                "a duration must be above 0 and at most a year, not {seconds} s"
            )));
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let unit_at = text
            .find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = match unit.trim() {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => {
                return Err(E::custom(format!(
                    "unknown unit in the duration \"{text}\": use ms, s, m or h"
                )));
            }
        };
        let number: f64 = number.trim().parse().map_err(|_| {
            E::custom(format!(
                "\"{text}\" is not a duration: write it like \"30s\" or \"500ms\""
            ))
        })?;
        self.visit_f64(number * factor)
    }
}
