//! `[egress]`: what dynos may reach beside the public internet.

use std::collections::BTreeMap;

use dyno_runtime::Destination;
use serde::{Deserialize, Deserializer, de::Error as _};

/// `[egress]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// What every app may reach: `10.0.0.5:5432`, `10.0.0.0/8:5432`, `[fd00::5]:5432`, `db.internal:5432`; without a
    /// port, every port. Default: nothing.
    #[serde(deserialize_with = "destinations")]
    pub allow: Vec<Destination>,
    /// `[egress.apps.NAME]`: what single apps may reach beside that.
    pub apps: BTreeMap<String, AppEgressSettings>,
}

/// `[egress.apps.NAME]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppEgressSettings {
    /// As in `[egress]`.
    #[serde(deserialize_with = "destinations")]
    pub allow: Vec<Destination>,
}

impl EgressSettings {
    /// What an app may reach beside what every app may.
    pub fn of_app(&self, app: &str) -> &[Destination] {
        self.apps.get(app).map_or(&[], |app| &app.allow)
    }
}

fn destinations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Destination>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let parsed = texts
        .iter()
        .map(|text| text.parse().map_err(D::Error::custom));
    parsed.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_allowed_for_all_apps_and_for_one() {
        let text = "allow = ['10.0.0.5:5432']\n[apps.shop]\nallow = ['cache.internal:6379']\n";
        let settings: EgressSettings = toml::from_str(text).unwrap();
        assert_eq!(settings.allow, ["10.0.0.5:5432".parse().unwrap()]);
        assert_eq!(
            settings.of_app("shop"),
            ["cache.internal:6379".parse().unwrap()]
        );
        assert!(settings.of_app("blog").is_empty());
    }

    #[test]
    fn what_is_no_destination_is_refused_with_a_hint() {
        let error = toml::from_str::<EgressSettings>("allow = ['http://db']").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("\"http://db\" is no destination") && text.contains("hint:"),
            "{text}"
        );
    }
}
