//! `[sizes.NAME]`: what dynos of a size may use on this host.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use dyno_runtime::{DynoSize, DynoSizes};
use serde::Deserialize;

/// Less holds no language's heap, more than the largest machine has no meaning.
const MEMORY_BYTES: RangeInclusive<u64> = (1 << 20)..=(1 << 40);
const CPU_SHARE: RangeInclusive<u32> = 1..=1_000;
const CONCURRENCY: RangeInclusive<u32> = 1..=1_000;

/// `[sizes.NAME]`: `memory` (bytes, or a text like `"512M"`; binary units), `cpu_share`, `concurrency`. What is absent
/// stays as Heroku has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, SizeSettings>")]
pub struct SizesSettings(pub DynoSizes);

/// One size, as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SizeSettings {
    memory: Option<Memory>,
    cpu_share: Option<u32>,
    concurrency: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Memory {
    Bytes(u64),
    Text(String),
}

impl Memory {
    fn bytes(&self) -> Option<u64> {
        let text = match self {
            Self::Bytes(bytes) => return Some(*bytes),
            Self::Text(text) => text.trim(),
        };
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit: u64 = match text[digits.len()..].trim().to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "K" | "KB" | "KIB" => 1 << 10,
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(unit)
    }
}

impl TryFrom<BTreeMap<String, SizeSettings>> for SizesSettings {
    type Error = String;

    fn try_from(settings: BTreeMap<String, SizeSettings>) -> Result<Self, String> {
        let mut sizes = DynoSizes::default();
        for (name, wanted) in &settings {
            let Some(size) = sizes.get(name) else {
                let known: Vec<_> = DynoSize::names().collect();
                return Err(format!(
                    "sizes.{name} is not a dyno size\n  there are: {}",
                    known.join(", ")
                ));
            };
            sizes.set(name, changed(name, size, wanted)?);
        }
        Ok(Self(sizes))
    }
}

fn changed(name: &str, mut size: DynoSize, wanted: &SizeSettings) -> Result<DynoSize, String> {
    if let Some(memory) = &wanted.memory {
        size.memory_bytes_max = memory
            .bytes()
            .filter(|bytes| MEMORY_BYTES.contains(bytes))
            .ok_or_else(|| {
                format!(
                    "sizes.{name}.memory must be bytes or a text like \"512M\", from 1M to 1024G"
                )
            })?;
    }
    if let Some(cpu_share) = wanted.cpu_share {
        size.cpu_share = within(cpu_share, &CPU_SHARE, name, "cpu_share")?;
    }
    if let Some(concurrency) = wanted.concurrency {
        size.concurrency = within(concurrency, &CONCURRENCY, name, "concurrency")?;
    }
    Ok(size)
}

fn within(value: u32, range: &RangeInclusive<u32>, name: &str, key: &str) -> Result<u32, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (range.start(), range.end());
    Err(format!(
        "sizes.{name}.{key} must be from {least} to {most}, not {value}"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dyno_runtime::DynoSize;

    use crate::settings::Settings;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("dyno.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_size_is_changed_key_by_key() {
        let text = "[sizes.standard-1x]\nmemory = \"64M\"\n\n[sizes.Performance-L]\nmemory = 1073741824\ncpu_share = 7\nconcurrency = 3\n";
        let sizes = parse(text).expect("valid").sizes.0;
        let standard = DynoSize::by_name("standard-1x").expect("there");
        assert_eq!(
            sizes.get("Standard-1X"),
            Some(DynoSize {
                memory_bytes_max: 64 << 20,
                ..standard
            })
        );
        assert_eq!(
            sizes.get("performance-l"),
            Some(DynoSize {
                memory_bytes_max: 1 << 30,
                cpu_share: 7,
                concurrency: 3
            })
        );
        assert_eq!(sizes.get("eco"), DynoSize::by_name("eco"));
    }

    #[test]
    fn a_value_that_means_nothing_is_refused_with_its_key() {
        for (text, key) in [
            ("[sizes.huge]\nmemory = \"1G\"\n", "sizes.huge"),
            ("[sizes.eco]\nmemory = \"lots\"\n", "sizes.eco.memory"),
            ("[sizes.eco]\nmemory = \"512X\"\n", "sizes.eco.memory"),
            ("[sizes.eco]\nmemory = \"12é\"\n", "sizes.eco.memory"),
            ("[sizes.eco]\nmemory = \"1023K\"\n", "sizes.eco.memory"),
            ("[sizes.eco]\nmemory = \"1025G\"\n", "sizes.eco.memory"),
            (
                "[sizes.eco]\nmemory = \"99999999999G\"\n",
                "sizes.eco.memory",
            ),
            ("[sizes.eco]\nmemory = -1\n", "memory"),
            ("[sizes.eco]\ncpu_share = 0\n", "sizes.eco.cpu_share"),
            ("[sizes.eco]\ncpu_share = 1001\n", "sizes.eco.cpu_share"),
            ("[sizes.eco]\ncpu_share = \"many\"\n", "cpu_share"),
            ("[sizes.eco]\nconcurrency = 0\n", "sizes.eco.concurrency"),
            ("[sizes.eco]\nthreads = 2\n", "threads"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.contains(key) && error.contains("dyno.toml"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn the_bounds_themselves_are_taken() {
        for text in [
            "[sizes.eco]\nmemory = \"1M\"\n",
            "[sizes.eco]\nmemory = \"1024 GiB\"\n",
            "[sizes.eco]\ncpu_share = 1000\nconcurrency = 1000\n",
            "[sizes.eco]\ncpu_share = 1\nconcurrency = 1\n",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
