//! What the kernel's limits leave room for, computed at start, and which of them to raise.

use crate::limits::{
    MAPPED_COMPONENTS_MAX, MAPS_OF_THE_PROCESS, MAPS_PER_COMPONENT, MAPS_PER_INSTANCE,
    MAPS_PER_SLOT,
};
use crate::runtime::RuntimeOptions;
use std::fs;

/// Files and sockets of the process beside those of its instances.
const OPEN_FILES_OF_THE_PROCESS: u64 = 1_000;
/// Directories that an instance holds open: `/app`, `/tmp`, and two layers.
const OPEN_FILES_PER_INSTANCE: u64 = 4;
/// A slot's reservation: 4 GiB and its guard.
const ADDRESSES_PER_SLOT: u64 = (4 << 30) + (32 << 20);
/// What a process may address on the machines that there are: 47 bits.
const ADDRESSES: u64 = 1 << 47;

/// The limits that were found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemLimits {
    /// `vm.max_map_count`.
    pub(crate) maps: u64,
    /// `ulimit -n`.
    pub(crate) open_files: u64,
}

impl SystemLimits {
    /// What this process runs under; what cannot be read counts as unlimited.
    pub(crate) fn read() -> Self {
        let maps = fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok());
        let open_files = fs::read_to_string("/proc/self/limits")
            .ok()
            .and_then(|text| open_files(&text));
        Self {
            maps: maps.unwrap_or(u64::MAX),
            open_files: open_files.unwrap_or(u64::MAX),
        }
    }
}

/// The soft limit in `/proc/self/limits`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Components that may be mapped at the same time.
    pub(crate) mapped_max: usize,
    /// What to tell the operator: which limit is short, and what it should be.
    pub(crate) advice: Vec<String>,
}

impl Budget {
    /// What fits on this system beside the instances of a runtime.
    ///
    /// `instance_slots_max` — of each of its two engines.
    pub(crate) fn of_this_system(instance_slots_max: u32) -> Self {
        let slots = 2 * u64::from(instance_slots_max);
        Self::new(SystemLimits::read(), slots, MAPPED_COMPONENTS_MAX)
    }

    /// What fits beside `slots` instance slots (of all engines), all of them live.
    ///
    /// `mapped_wanted` — components that should stay mapped; fewer do where the limit on maps is lower.
    pub(crate) fn new(limits: SystemLimits, slots: u64, mapped_wanted: u64) -> Self {
        let mut advice = Vec::new();
        let fixed = MAPS_PER_SLOT * slots + MAPS_PER_INSTANCE * slots + MAPS_OF_THE_PROCESS;
        let needed = fixed + MAPS_PER_COMPONENT * mapped_wanted;
        let mapped_max =
            (limits.maps.saturating_sub(fixed) / MAPS_PER_COMPONENT).min(mapped_wanted);
        if needed >= limits.maps {
            advice.push(format!(
                "vm.max_map_count is {}: {slots} instance slots leave room for {mapped_max} mapped components of {mapped_wanted}\n  hint: sysctl -w vm.max_map_count={}",
                limits.maps,
                needed + 1
            ));
        }
        let files = OPEN_FILES_PER_INSTANCE * slots + OPEN_FILES_OF_THE_PROCESS;
        if files > limits.open_files {
            advice.push(format!(
                "{} files may be open: too few for {slots} live instances\n  hint: ulimit -n {files}",
                limits.open_files
            ));
        }
        if slots.saturating_mul(ADDRESSES_PER_SLOT) > ADDRESSES {
            advice.push(format!(
                "{slots} instance slots do not fit into the address space: instances are allocated one by one\n  hint: set instance_slots_max to at most {} for each engine",
                ADDRESSES / ADDRESSES_PER_SLOT / 2
            ));
        }
        Self {
            mapped_max: usize::try_from(mapped_max).unwrap_or(usize::MAX).max(1),
            advice,
        }
    }
}

/// Which limits of this system are short for a runtime with these options, a text with a `hint:` for each.
///
/// A runtime that starts says the same in its log.
pub fn system_advice(options: &RuntimeOptions) -> Vec<String> {
    Budget::of_this_system(options.instance_slots_max).advice
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: SystemLimits = SystemLimits {
        maps: 65_530,
        open_files: 20_000,
    };

    #[test]
    fn a_stock_kernel_has_room_for_2000_instances_and_15000_components() {
        let budget = Budget::new(STOCK, 2_000, 15_000);
        assert_eq!((budget.mapped_max, budget.advice.len()), (15_000, 0));
    }

    #[test]
    fn too_few_maps_name_the_sysctl_and_what_fits() {
        let budget = Budget::new(STOCK, 10_000, 15_000);
        assert_eq!(budget.mapped_max, (65_530 - 51_000) / 3);
        assert_eq!(budget.advice.len(), 2);
        assert!(
            budget.advice[0].ends_with("sysctl -w vm.max_map_count=96001"),
            "{budget:?}"
        );
        assert!(budget.advice[1].ends_with("ulimit -n 41000"), "{budget:?}");
    }

    #[test]
    fn however_low_the_limits_one_component_can_be_mapped() {
        let none = SystemLimits {
            maps: 0,
            open_files: 0,
        };
        assert_eq!(Budget::new(none, 100, 100).mapped_max, 1);
    }

    #[test]
    fn too_many_slots_for_the_address_space_are_told() {
        let unlimited = SystemLimits {
            maps: u64::MAX,
            open_files: u64::MAX,
        };
        let budget = Budget::new(unlimited, 100_000, 1);
        assert!(
            budget.advice[0].contains("instance_slots_max"),
            "{budget:?}"
        );
    }

    #[test]
    fn the_systems_limits_are_readable() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            20000                40000                files\n";
        assert_eq!(open_files(text), Some(20_000));
        assert!(SystemLimits::read().open_files > 0);
    }
}
