//! Dyno sizes by name, in Heroku's spelling. What each may use is the runtime's table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A dyno size. Requests may spell it in any case; answers use Heroku's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DynoSizeName {
    /// Sleeps when idle; one dyno per type.
    Eco,
    /// The default.
    Basic,
    /// 512 MB.
    #[serde(rename = "Standard-1X")]
    Standard1X,
    /// 1 GB, two CPU shares.
    #[serde(rename = "Standard-2X")]
    Standard2X,
    /// 2.5 GB.
    #[serde(rename = "Performance-M")]
    PerformanceM,
    /// 14 GB.
    #[serde(rename = "Performance-L")]
    PerformanceL,
    /// 30 GB.
    #[serde(rename = "Performance-L-RAM")]
    PerformanceLRam,
    /// 62 GB.
    #[serde(rename = "Performance-XL")]
    PerformanceXl,
    /// 126 GB.
    #[serde(rename = "Performance-2XL")]
    Performance2Xl,
    /// 1 GB, of a private space.
    #[serde(rename = "Private-S")]
    PrivateS,
    /// 2.5 GB, of a private space.
    #[serde(rename = "Private-M")]
    PrivateM,
    /// 14 GB, of a private space.
    #[serde(rename = "Private-L")]
    PrivateL,
    /// 30 GB, of a private space.
    #[serde(rename = "Private-L-RAM")]
    PrivateLRam,
    /// 62 GB, of a private space.
    #[serde(rename = "Private-XL")]
    PrivateXl,
    /// 126 GB, of a private space.
    #[serde(rename = "Private-2XL")]
    Private2Xl,
}

impl DynoSizeName {
    /// All sizes, smallest of each family first.
    pub const ALL: [Self; 15] = [
        Self::Eco,
        Self::Basic,
        Self::Standard1X,
        Self::Standard2X,
        Self::PerformanceM,
        Self::PerformanceL,
        Self::PerformanceLRam,
        Self::PerformanceXl,
        Self::Performance2Xl,
        Self::PrivateS,
        Self::PrivateM,
        Self::PrivateL,
        Self::PrivateLRam,
        Self::PrivateXl,
        Self::Private2Xl,
    ];

    /// Reads a name in any letter case; the old `1X`, `2X`, `Free` and `Hobby` are taken for their successors.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "free" => Some(Self::Eco),
            "hobby" => Some(Self::Basic),
            "1x" => Some(Self::Standard1X),
            "2x" => Some(Self::Standard2X),
            name => Self::ALL
                .into_iter()
                .find(|size| size.as_str().eq_ignore_ascii_case(name)),
        }
    }

    /// Heroku's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
            Self::PerformanceLRam => "Performance-L-RAM",
            Self::PerformanceXl => "Performance-XL",
            Self::Performance2Xl => "Performance-2XL",
            Self::PrivateS => "Private-S",
            Self::PrivateM => "Private-M",
            Self::PrivateL => "Private-L",
            Self::PrivateLRam => "Private-L-RAM",
            Self::PrivateXl => "Private-XL",
            Self::Private2Xl => "Private-2XL",
        }
    }

    /// Whether only apps in a private space may have it at Heroku; here every app may.
    pub fn is_private(self) -> bool {
        self.as_str().starts_with("Private-")
    }
}

impl fmt::Display for DynoSizeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::DynoSizeName;

    #[test]
    fn sizes_are_read_in_any_case_and_written_in_herokus() {
        for size in DynoSizeName::ALL {
            assert_eq!(
                DynoSizeName::parse(&size.as_str().to_uppercase()),
                Some(size)
            );
            let json = serde_json::to_string(&size).expect("a size is a string");
            assert_eq!(json, format!("\"{}\"", size.as_str()));
        }
        assert_eq!(DynoSizeName::parse("2x"), Some(DynoSizeName::Standard2X));
        assert_eq!(DynoSizeName::parse("huge"), None);
    }
}
