//! What a buildpack's `bin/release` answers: default process types, config vars, add-ons.

use std::collections::BTreeMap;

use dyno_slug::ProcessTypeName;
use serde::Deserialize;

/// The parsed answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReleaseMetadata {
    /// Process types of an app whose Procfile does not declare them, with their commands.
    #[serde(deserialize_with = "or_default")]
    pub default_process_types: BTreeMap<ProcessTypeName, String>,
    /// Config vars that a new app starts with.
    #[serde(deserialize_with = "scalars")]
    pub config_vars: BTreeMap<String, String>,
    /// Add-ons that a new app starts with.
    #[serde(deserialize_with = "or_default")]
    pub addons: Vec<String>,
}

impl ReleaseMetadata {
    /// Parses the YAML; keys that are not known are left alone, an empty answer means nothing.
    pub fn parse(yaml: &str) -> Result<ReleaseMetadata, serde_norway::Error> {
        let answer: Option<ReleaseMetadata> = serde_norway::from_str(yaml)?;
        Ok(answer.unwrap_or_default())
    }
}

/// `key:` without a value is written often and means nothing is in it.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// `PORT: 5000` and `DEBUG: true` are meant as text.
fn scalars<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Text(String),
        Integer(i64),
        Float(f64),
        Boolean(bool),
    }
    let map = Option::<BTreeMap<String, Scalar>>::deserialize(deserializer)?.unwrap_or_default();
    let text = |scalar| match scalar {
        Scalar::Text(text) => text,
        Scalar::Integer(number) => number.to_string(),
        Scalar::Float(number) => number.to_string(),
        Scalar::Boolean(boolean) => boolean.to_string(),
    };
    Ok(map
        .into_iter()
        .map(|(name, scalar)| (name, text(scalar)))
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_usual_buildpack_is_read() {
        let yaml = "---\naddons: []\nconfig_vars:\n  PATH_EXTRA: bin\n  WORKERS: 2\n  DEBUG: false\ndefault_process_types:\n  web: python app.py\n";
        let metadata = ReleaseMetadata::parse(yaml).unwrap();
        assert_eq!(metadata.default_process_types["web"], "python app.py");
        assert_eq!(metadata.config_vars["WORKERS"], "2");
        assert_eq!(metadata.config_vars["DEBUG"], "false");
    }

    #[test]
    fn nothing_and_empty_keys_mean_nothing() {
        for yaml in [
            "",
            "---\n",
            "---\n{}\n",
            "addons:\nconfig_vars:\ndefault_process_types:\n",
        ] {
            assert_eq!(
                ReleaseMetadata::parse(yaml).unwrap(),
                ReleaseMetadata::default(),
                "{yaml:?}"
            );
        }
    }

    #[test]
    fn a_list_in_place_of_a_table_is_refused() {
        assert!(ReleaseMetadata::parse("default_process_types: [web]").is_err());
    }
}
