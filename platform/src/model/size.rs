//! Dyno sizes by name, in Heroku's spelling.

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
}

impl DynoSizeName {
    /// All sizes, smallest first.
    pub const ALL: [Self; 6] = [
        Self::Eco,
        Self::Basic,
        Self::Standard1X,
        Self::Standard2X,
        Self::PerformanceM,
        Self::PerformanceL,
    ];

    /// Reads a name in any letter case; the old `1X`, `2X`, `Free` and `Hobby` are taken for their successors.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "eco" | "free" => Some(Self::Eco),
            "basic" | "hobby" => Some(Self::Basic),
            "standard-1x" | "1x" => Some(Self::Standard1X),
            "standard-2x" | "2x" => Some(Self::Standard2X),
            "performance-m" => Some(Self::PerformanceM),
            "performance-l" => Some(Self::PerformanceL),
            _ => None,
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
        }
    }

    /// Memory in MiB.
    pub fn memory_mib(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 512,
            Self::Standard2X => 1_024,
            Self::PerformanceM => 2_560,
            Self::PerformanceL => 14_336,
        }
    }

    /// CPU shares, relative to Standard-1X.
    pub fn compute(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 1,
            Self::Standard2X => 2,
            Self::PerformanceM => 12,
            Self::PerformanceL => 50,
        }
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
        assert_eq!(DynoSizeName::parse("huge"), None);
    }
}
