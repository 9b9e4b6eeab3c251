//! An app's name: Heroku's rule, checked once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A valid app name: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$`, usable as a DNS label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// Why a text is not an app name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppNameError {
    /// Shorter than 3 or longer than 30 characters.
    #[error("Name must be between 3 and 30 characters long")]
    Length,
    /// A character, a start or an end that is not allowed.
    #[error(
        "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes"
    )]
    Characters,
}

impl AppName {
    /// Checks `name`.
    pub fn new(name: impl Into<String>) -> Result<Self, AppNameError> {
        let name = name.into();
        if !(3..=30).contains(&name.chars().count()) {
            return Err(AppNameError::Length);
        }
        let bytes = name.as_bytes();
        let inner_valid = bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
        if !inner_valid || !bytes[0].is_ascii_lowercase() || bytes[bytes.len() - 1] == b'-' {
            return Err(AppNameError::Characters);
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AppName {
    type Error = AppNameError;
    fn try_from(name: String) -> Result<Self, AppNameError> {
        Self::new(name)
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

/// Makes a name for an app that was created without one: `adjective-noun-12345`.
pub fn generate() -> AppName {
    const ADJECTIVES: [&str; 16] = [
        "amber", "brave", "calm", "crisp", "dusty", "early", "frosty", "gentle", "hidden",
        "lively", "misty", "polar", "quiet", "rapid", "silver", "young",
    ];
    const NOUNS: [&str; 16] = [
        "badger", "brook", "cliff", "creek", "dawn", "dune", "falcon", "forest", "harbor",
        "island", "meadow", "otter", "ridge", "river", "stream", "valley",
    ];
    let adjective = ADJECTIVES[rand::random_range(0..ADJECTIVES.len())];
    let noun = NOUNS[rand::random_range(0..NOUNS.len())];
    let number = rand::random_range(10_000..100_000_u32);
    AppName(format!("{adjective}-{noun}-{number}"))
}

#[cfg(test)]
mod tests {
    use super::{AppName, AppNameError, generate};

    #[test]
    fn names_follow_herokus_rule() {
        for good in [
            "abc",
            "a-1",
            "python-flask",
            "a23456789012345678901234567890",
        ] {
            assert!(AppName::new(good).is_ok(), "{good}");
        }
        for bad in ["ab", "a234567890123456789012345678901", ""] {
            assert_eq!(AppName::new(bad), Err(AppNameError::Length), "{bad}");
        }
        for bad in ["Abc", "1abc", "-abc", "abc-", "a_b", "a.b", "äbc", "a b"] {
            assert_eq!(AppName::new(bad), Err(AppNameError::Characters), "{bad}");
        }
    }

    #[test]
    fn generated_names_are_valid() {
        for _ in 0..100 {
            let name = generate();
            assert_eq!(AppName::new(name.as_str()), Ok(name));
        }
    }
}
