//! Dyno sizes: memory quota, CPU share, concurrency.

use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a dyno may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynoSize {
    /// The memory quota in bytes, for all its instances together: linear memories, tables, what the host holds
    /// for them, and the bytes written to its files. Over it the dyno is warned (R14); at twice it, killed (R15).
    pub memory_bytes_max: u64,
    /// Weight against other dynos when the CPU is short.
    pub cpu_share: u32,
    /// Instances that may work at once; further requests queue.
    pub concurrency: u32,
}

/// Heroku's names, with its figures for memory and CPU. How many requests a dyno answers at once is ours: a
/// guest that waits holds an instance and no CPU.
///
/// Source: Heroku Dev Center, "Dyno Types".
const HEROKU: [(&str, DynoSize); 15] = [
    ("eco", size(512 * MIB, 1, 4)),
    ("basic", size(512 * MIB, 1, 4)),
    ("standard-1x", size(512 * MIB, 1, 4)),
    ("standard-2x", size(GIB, 2, 8)),
    ("performance-m", size(2560 * MIB, 12, 24)),
    ("performance-l", size(14 * GIB, 50, 100)),
    ("performance-l-ram", size(30 * GIB, 24, 100)),
    ("performance-xl", size(62 * GIB, 50, 200)),
    ("performance-2xl", size(126 * GIB, 100, 400)),
    ("private-s", size(GIB, 12, 8)),
    ("private-m", size(2560 * MIB, 12, 24)),
    ("private-l", size(14 * GIB, 50, 100)),
    ("private-l-ram", size(30 * GIB, 24, 100)),
    ("private-xl", size(62 * GIB, 50, 200)),
    ("private-2xl", size(126 * GIB, 100, 400)),
];

/// The index of the size that a dyno has when none is named.
const BASIC: usize = 1;

const fn size(memory_bytes_max: u64, cpu_share: u32, concurrency: u32) -> DynoSize {
    DynoSize {
        memory_bytes_max,
        cpu_share,
        concurrency,
    }
}

impl DynoSize {
    /// Heroku's size of this name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        HEROKU
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, size)| *size)
    }

    /// The names there are, in lower case.
    pub fn names() -> impl Iterator<Item = &'static str> {
        HEROKU.iter().map(|(name, _)| *name)
    }
}

impl Default for DynoSize {
    fn default() -> Self {
        HEROKU[BASIC].1
    }
}

/// The sizes of one host: Heroku's, but for those that its operator has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynoSizes {
    changed: BTreeMap<&'static str, DynoSize>,
}

impl DynoSizes {
    /// The size of this name, in any case.
    pub fn get(&self, name: &str) -> Option<DynoSize> {
        let known = DynoSize::names().find(|known| known.eq_ignore_ascii_case(name))?;
        let changed = self.changed.get(known).copied();
        changed.or_else(|| DynoSize::by_name(known))
    }

    /// Changes the size of this name; false when there is none.
    pub fn set(&mut self, name: &str, size: DynoSize) -> bool {
        let Some(known) = DynoSize::names().find(|known| known.eq_ignore_ascii_case(name)) else {
            return false;
        };
        self.changed.insert(known, size);
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_herokus_sizes_but_for_those_it_changed() {
        let mut sizes = DynoSizes::default();
        assert!(sizes.set("Standard-1X", size(64 * MIB, 3, 2)));
        assert!(!sizes.set("huge", size(1, 1, 1)));
        assert_eq!(sizes.get("standard-1x"), Some(size(64 * MIB, 3, 2)));
        for name in DynoSize::names().filter(|name| *name != "standard-1x") {
            assert_eq!(sizes.get(name), DynoSize::by_name(name), "{name}");
        }
    }

    #[test]
    fn a_larger_size_of_a_family_never_has_less() {
        for family in [
            &["eco", "standard-1x", "standard-2x"][..],
            &[
                "performance-m",
                "performance-l",
                "performance-xl",
                "performance-2xl",
            ],
            &[
                "private-s",
                "private-m",
                "private-l",
                "private-xl",
                "private-2xl",
            ],
        ] {
            for pair in family.windows(2) {
                let (small, large) = (
                    DynoSize::by_name(pair[0]).unwrap(),
                    DynoSize::by_name(pair[1]).unwrap(),
                );
                assert!(small.memory_bytes_max <= large.memory_bytes_max, "{pair:?}");
                assert!(small.cpu_share <= large.cpu_share, "{pair:?}");
                assert!(small.concurrency <= large.concurrency, "{pair:?}");
            }
        }
    }
}
