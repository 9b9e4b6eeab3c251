//! Dyno sizes: memory quota, CPU share, concurrency.

const MIB: u64 = 1 << 20;

/// What a dyno may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynoSize {
    /// Bytes of linear memory that all its instances may hold together.
    pub memory_bytes_max: u64,
    /// Weight against other dynos when the CPU is short.
    pub cpu_share: u32,
    /// Instances that may work at once; further requests queue.
    pub concurrency: u32,
}

impl DynoSize {
    /// Heroku's names, with its memory figures.
    const NAMED: [(&'static str, Self); 8] = [
        (
            "eco",
            Self {
                memory_bytes_max: 512 * MIB,
                cpu_share: 1,
                concurrency: 4,
            },
        ),
        (
            "basic",
            Self {
                memory_bytes_max: 512 * MIB,
                cpu_share: 1,
                concurrency: 4,
            },
        ),
        (
            "standard-1x",
            Self {
                memory_bytes_max: 512 * MIB,
                cpu_share: 1,
                concurrency: 4,
            },
        ),
        (
            "standard-2x",
            Self {
                memory_bytes_max: 1024 * MIB,
                cpu_share: 2,
                concurrency: 8,
            },
        ),
        (
            "performance-m",
            Self {
                memory_bytes_max: 2560 * MIB,
                cpu_share: 12,
                concurrency: 24,
            },
        ),
        (
            "performance-l",
            Self {
                memory_bytes_max: 14 * 1024 * MIB,
                cpu_share: 50,
                concurrency: 100,
            },
        ),
        (
            "private-s",
            Self {
                memory_bytes_max: 1024 * MIB,
                cpu_share: 2,
                concurrency: 8,
            },
        ),
        (
            "private-m",
            Self {
                memory_bytes_max: 2560 * MIB,
                cpu_share: 12,
                concurrency: 24,
            },
        ),
    ];

    /// The size of this name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMED
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, size)| *size)
    }

    /// The names there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().map(|(name, _)| *name)
    }
}

impl Default for DynoSize {
    fn default() -> Self {
        Self::NAMED[1].1
    }
}
