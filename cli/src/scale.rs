//! `web=2`, `worker+1`, `web=1:Standard-2X`: how people write a formation.

use std::str::FromStr;

use serde_json::{Value, json};

/// One process type's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    process_type: String,
    /// As the API takes it: `2`, `+1`, `-1`.
    quantity: String,
    size: Option<String>,
}

impl Scale {
    /// The change as an update of the API.
    pub fn update(&self) -> Value {
        let mut update = json!({ "type": self.process_type, "quantity": self.quantity });
        if let Some(size) = &self.size {
            update["size"] = size.as_str().into();
        }
        update
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || format!("\"{text}\" is no scale: write web=2, worker+1 or web=1:Standard-2X");
        // A type may have dashes, so `web-1` is one less only where digits alone follow.
        let end = text
            .find(['=', '+'])
            .or_else(|| text.rfind('-'))
            .ok_or_else(wrong)?;
        let (process_type, rest) = text.split_at(end);
        let (amount, size) = match rest.split_once(':') {
            Some((amount, size)) => (amount, Some(size.to_owned())),
            None => (rest, None),
        };
        let quantity = amount.strip_prefix('=').unwrap_or(amount);
        let digits = quantity.trim_start_matches(['+', '-']);
        let quantity_fits = quantity.len() - digits.len() <= 1 && digits.parse::<u32>().is_ok();
        let type_fits = !process_type.is_empty()
            && process_type
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !quantity_fits || !type_fits || size.as_ref().is_some_and(String::is_empty) {
            return Err(wrong());
        }
        Ok(Scale {
            process_type: process_type.to_owned(),
            quantity: quantity.to_owned(),
            size,
        })
    }
}

/// `web=2,worker=1`, as `--formation` takes it.
pub fn parse_list(text: &str) -> Result<Vec<Scale>, String> {
    text.split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(str::parse)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Scale, parse_list};

    fn update(text: &str) -> serde_json::Value {
        text.parse::<Scale>().unwrap().update()
    }

    #[test]
    fn quantities_are_absolute_or_relative_and_travel_as_text() {
        assert_eq!(update("web=2"), json!({ "type": "web", "quantity": "2" }));
        assert_eq!(
            update("worker+1"),
            json!({ "type": "worker", "quantity": "+1" })
        );
        assert_eq!(update("web-1"), json!({ "type": "web", "quantity": "-1" }));
        assert_eq!(
            update("night-shift-2"),
            json!({ "type": "night-shift", "quantity": "-2" })
        );
        assert_eq!(
            update("web=1:standard-2x"),
            json!({ "type": "web", "quantity": "1", "size": "standard-2x" })
        );
    }

    #[test]
    fn what_is_no_scale_is_refused() {
        for text in [
            "web", "=2", "web=", "web=x", "web=++1", "web=1:", "we b=1", "web=-", "",
        ] {
            assert!(text.parse::<Scale>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_formation_is_a_list_of_scales() {
        let list = parse_list("web=2,worker=1").unwrap();
        let updates: Vec<_> = list.iter().map(Scale::update).collect();
        assert_eq!(updates, [update("web=2"), update("worker=1")]);
        assert!(parse_list("web=2,worker").is_err());
    }
}
