//! A formation: how many dynos of which size should run per process type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DynoSizeName, Timestamp};
use crate::limits::DYNOS_PER_TYPE_MAX;

/// What should run of one process type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationEntry {
    /// Its uuid.
    pub id: Uuid,
    /// Command line as written in the Procfile.
    pub command: String,
    /// Dynos wanted.
    pub quantity: u32,
    /// Size of each.
    pub size: DynoSizeName,
    /// When the type first appeared.
    pub created_at: Timestamp,
    /// When quantity or size last changed.
    pub updated_at: Timestamp,
}

/// All process types of an app's slug, by name. Empty before the first deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Formation(pub BTreeMap<String, FormationEntry>);

/// A wanted quantity as clients write it: `2`, `"2"`, `"+1"`, `"-1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Exactly so many.
    Absolute(u32),
    /// So many more or fewer; never below none.
    Relative(i64),
}

/// Why a formation is not changed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormationError {
    /// The slug has no such process type.
    #[error("Couldn't find that process type ({process_type}).")]
    UnknownType {
        /// The type asked for.
        process_type: String,
    },
    /// More dynos than one type may have.
    #[error(
        "Cannot scale {process_type} to {quantity} dynos: at most {DYNOS_PER_TYPE_MAX} per process type."
    )]
    TooMany {
        /// The type asked for.
        process_type: String,
        /// The quantity asked for.
        quantity: i64,
    },
}

impl Quantity {
    /// Reads a quantity; `None` when `text` is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with(['+', '-']) {
            let number: i64 = text.parse().ok()?;
            return Some(Self::Relative(number));
        }
        text.parse().ok().map(Self::Absolute)
    }
}

impl Formation {
    /// The formation after a deploy of a slug with `process_types`: types that vanished are dropped, new ones start at
    /// none, and `web` of a first deploy at one (Heroku's rule).
    #[must_use]
    pub fn for_process_types(&self, process_types: &BTreeMap<String, String>) -> Self {
        let now = Timestamp::now();
        let first_deploy = self.0.is_empty();
        let entries = process_types.iter().map(|(name, command)| {
            let entry = match self.0.get(name) {
                Some(entry) => FormationEntry {
                    command: command.clone(),
                    ..entry.clone()
                },
                None => FormationEntry {
                    id: Uuid::new_v4(),
                    command: command.clone(),
                    quantity: u32::from(name == "web" && first_deploy),
                    size: self
                        .0
                        .values()
                        .next()
                        .map_or(DynoSizeName::Basic, |entry| entry.size),
                    created_at: now,
                    updated_at: now,
                },
            };
            (name.clone(), entry)
        });
        Self(entries.collect())
    }

    /// Changes one type's quantity, size or both.
    pub fn update(
        &mut self,
        process_type: &str,
        quantity: Option<Quantity>,
        size: Option<DynoSizeName>,
    ) -> Result<(), FormationError> {
        let Some(entry) = self.0.get_mut(process_type) else {
            return Err(FormationError::UnknownType {
                process_type: process_type.chars().take(128).collect(),
            });
        };
        if let Some(quantity) = quantity {
            let wanted = match quantity {
                Quantity::Absolute(number) => i64::from(number),
                Quantity::Relative(change) => {
                    i64::from(entry.quantity).saturating_add(change).max(0)
                }
            };
            entry.quantity = u32::try_from(wanted)
                .ok()
                .filter(|number| *number <= DYNOS_PER_TYPE_MAX)
                .ok_or_else(|| FormationError::TooMany {
                    process_type: process_type.to_owned(),
                    quantity: wanted,
                })?;
        }
        if let Some(size) = size {
            entry.size = size;
        }
        entry.updated_at = Timestamp::now();
        Ok(())
    }

    /// The change from `before` in the log's words: `web@2:Basic worker@0:Basic`; `None` when nothing changed.
    pub fn change_words(&self, before: &Self) -> Option<String> {
        let words: Vec<String> = self
            .0
            .iter()
            .filter(|(name, entry)| {
                before
                    .0
                    .get(*name)
                    .is_none_or(|old| old.quantity != entry.quantity || old.size != entry.size)
            })
            .map(|(name, entry)| format!("{name}@{}:{}", entry.quantity, entry.size))
            .collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Formation, FormationError, Quantity};
    use crate::limits::DYNOS_PER_TYPE_MAX;
    use crate::model::DynoSizeName;

    fn types(names: &[&str]) -> BTreeMap<String, String> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), format!("run {name}")))
            .collect()
    }

    fn quantities(formation: &Formation) -> Vec<(&str, u32)> {
        formation
            .0
            .iter()
            .map(|(name, entry)| (name.as_str(), entry.quantity))
            .collect()
    }

    #[test]
    fn a_first_deploy_starts_one_web_and_no_other() {
        let formation =
            Formation::default().for_process_types(&types(&["web", "worker", "release"]));
        assert_eq!(
            quantities(&formation),
            [("release", 0), ("web", 1), ("worker", 0)]
        );
    }

    #[test]
    fn a_later_deploy_keeps_quantities_and_drops_vanished_types() {
        let mut formation = Formation::default().for_process_types(&types(&["web", "worker"]));
        formation
            .update(
                "web",
                Some(Quantity::Absolute(3)),
                Some(DynoSizeName::Standard2X),
            )
            .expect("known");
        let formation = formation.for_process_types(&types(&["web", "clock"]));
        assert_eq!(quantities(&formation), [("clock", 0), ("web", 3)]);
    }

    #[test]
    fn web_that_appears_later_starts_at_none() {
        let formation = Formation::default().for_process_types(&types(&["worker"]));
        let formation = formation.for_process_types(&types(&["worker", "web"]));
        assert_eq!(quantities(&formation), [("web", 0), ("worker", 0)]);
    }

    #[test]
    fn quantities_are_absolute_or_relative_and_bounded() {
        let mut formation = Formation::default().for_process_types(&types(&["web"]));
        for (text, after) in [
            ("2", 2),
            ("+1", 3),
            ("-2", 1),
            ("-9", 0),
            ("100", DYNOS_PER_TYPE_MAX),
        ] {
            formation
                .update("web", Quantity::parse(text), None)
                .expect(text);
            assert_eq!(formation.0["web"].quantity, after, "{text}");
        }
        assert_eq!(
            formation.update("web", Quantity::parse("+1"), None),
            Err(FormationError::TooMany {
                process_type: "web".to_owned(),
                quantity: 101
            })
        );
        for bad in ["", "two", "1.5", "+", "--1"] {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
        assert!(matches!(
            formation.update("clock", None, None),
            Err(FormationError::UnknownType { .. })
        ));
    }
}
