//! Config vars: an app's secrets, checked when they are made and never printed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{CONFIG_VAR_NAME_BYTES_MAX, CONFIG_VARS_BYTES_MAX, CONFIG_VARS_MAX};

/// Names and values. `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigVars(BTreeMap<String, String>);

/// A change of config vars: a value sets, `None` removes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigPatch(pub BTreeMap<String, Option<String>>);

/// Why config vars are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigVarsError {
    /// A name that cannot be an environment variable, or is the platform's.
    #[error(
        "Config var name \"{name}\" is not valid: use letters, digits and underscores, not starting with a digit or two underscores"
    )]
    Name {
        /// The refused name, shortened.
        name: String,
    },
    /// Names that only the platform sets.
    #[error("Config var \"{name}\" cannot be set: names starting with HEROKU_ are reserved")]
    Reserved {
        /// The refused name.
        name: String,
    },
    /// A value with a NUL byte, which no environment can hold.
    #[error("Config var \"{name}\" has a NUL character in its value")]
    Nul {
        /// The name of the refused value.
        name: String,
    },
    /// Too many or too long.
    #[error(
        "Config vars take {bytes} bytes in {count} names; an app may have {CONFIG_VARS_BYTES_MAX} bytes in {CONFIG_VARS_MAX} names"
    )]
    TooLarge {
        /// Bytes as stored.
        bytes: usize,
        /// Number of names.
        count: usize,
    },
}

impl ConfigVars {
    /// The variables by name.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The variables themselves.
    pub fn into_map(self) -> BTreeMap<String, String> {
        self.0
    }

    /// Applies `patch` and checks the result.
    pub fn patched(&self, patch: &ConfigPatch) -> Result<Self, ConfigVarsError> {
        let mut vars = self.0.clone();
        for (name, value) in &patch.0 {
            match value {
                // An unknown or invalid name can be removed: it is simply absent afterwards.
                None => {
                    vars.remove(name);
                }
                Some(value) => {
                    check_name(name)?;
                    if value.contains('\0') {
                        return Err(ConfigVarsError::Nul { name: name.clone() });
                    }
                    vars.insert(name.clone(), value.clone());
                }
            }
        }
        // Six bytes a variable pay for JSON's quotes, colon and comma.
        let bytes = vars
            .iter()
            .map(|(name, value)| name.len() + escaped_len(value) + 6)
            .sum();
        if bytes > CONFIG_VARS_BYTES_MAX || vars.len() > CONFIG_VARS_MAX {
            return Err(ConfigVarsError::TooLarge {
                bytes,
                count: vars.len(),
            });
        }
        Ok(Self(vars))
    }
}

fn check_name(name: &str) -> Result<(), ConfigVarsError> {
    let bytes = name.as_bytes();
    let valid = !name.is_empty()
        && bytes.len() <= CONFIG_VAR_NAME_BYTES_MAX
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && !bytes[0].is_ascii_digit()
        && !name.starts_with("__");
    if !valid {
        return Err(ConfigVarsError::Name {
            name: name.chars().take(64).collect(),
        });
    }
    if name.starts_with("HEROKU_") {
        return Err(ConfigVarsError::Reserved {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Bytes of `value` inside a JSON string.
fn escaped_len(value: &str) -> usize {
    value
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
            0..=0x1f => 6,
            _ => 1,
        })
        .sum()
}

impl ConfigPatch {
    /// Heroku's words for this change of `before`: `Set A, B config vars`; `None` when nothing changes.
    pub fn description(&self, before: &ConfigVars) -> Option<String> {
        let mut set = Vec::new();
        let mut removed = Vec::new();
        for (name, value) in &self.0 {
            match value {
                Some(value) if before.0.get(name) != Some(value) => set.push(name.as_str()),
                None if before.0.contains_key(name) => removed.push(name.as_str()),
                _ => {}
            }
        }
        match (set.is_empty(), removed.is_empty()) {
            (true, true) => None,
            (false, true) => Some(format!("Set {} config vars", set.join(", "))),
            (true, false) => Some(format!("Remove {} config vars", removed.join(", "))),
            (false, false) => Some(format!(
                "Set {}, Remove {} config vars",
                set.join(", "),
                removed.join(", ")
            )),
        }
    }
}

impl fmt::Debug for ConfigVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for ConfigPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfigPatch, ConfigVars, ConfigVarsError};
    use crate::limits::CONFIG_VARS_BYTES_MAX;

    fn patch(entries: &[(&str, Option<&str>)]) -> ConfigPatch {
        ConfigPatch(
            entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
                .collect(),
        )
    }

    #[test]
    fn null_removes_and_a_value_sets() {
        let vars = ConfigVars::default()
            .patched(&patch(&[("A", Some("1")), ("B", Some("2"))]))
            .expect("valid");
        let vars = vars
            .patched(&patch(&[("A", None), ("B", Some("3"))]))
            .expect("valid");
        assert_eq!(vars.as_map().get("A"), None);
        assert_eq!(vars.as_map().get("B").map(String::as_str), Some("3"));
    }

    #[test]
    fn bad_names_and_values_are_refused() {
        for bad in ["", "1A", "A-B", "A B", "__A", "A=B", "É", "HEROKU_X"] {
            let result = ConfigVars::default().patched(&patch(&[(bad, Some("x"))]));
            assert!(result.is_err(), "{bad}");
        }
        let nul = ConfigVars::default().patched(&patch(&[("A", Some("x\0y"))]));
        assert_eq!(
            nul,
            Err(ConfigVarsError::Nul {
                name: "A".to_owned()
            })
        );
    }

    #[test]
    fn the_size_limit_is_reached_and_not_passed() {
        let fits = "x".repeat(CONFIG_VARS_BYTES_MAX - 7);
        assert!(
            ConfigVars::default()
                .patched(&patch(&[("A", Some(&fits))]))
                .is_ok()
        );
        let over = "x".repeat(CONFIG_VARS_BYTES_MAX - 6);
        assert!(matches!(
            ConfigVars::default().patched(&patch(&[("A", Some(&over))])),
            Err(ConfigVarsError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_change_is_described_in_herokus_words() {
        let before = ConfigVars::default()
            .patched(&patch(&[("A", Some("1")), ("B", Some("2"))]))
            .expect("valid");
        let words = |entries: &[(&str, Option<&str>)]| patch(entries).description(&before);
        assert_eq!(words(&[("A", Some("1"))]), None);
        assert_eq!(words(&[("Z", None)]), None);
        assert_eq!(
            words(&[("A", Some("9")), ("C", Some("1"))]).as_deref(),
            Some("Set A, C config vars")
        );
        assert_eq!(
            words(&[("B", None)]).as_deref(),
            Some("Remove B config vars")
        );
    }

    #[test]
    fn debug_output_holds_no_value() {
        let vars = ConfigVars::default()
            .patched(&patch(&[("TOKEN", Some("s3cret"))]))
            .expect("valid");
        let text = format!("{vars:?} {:?}", patch(&[("TOKEN", Some("s3cret"))]));
        assert!(text.contains("TOKEN") && !text.contains("s3cret"), "{text}");
    }
}
