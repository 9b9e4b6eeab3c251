//! What the figures were taken on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Processors, memory and kernel, in a line.
pub fn description() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&cpu_info, "model name").unwrap_or("unknown processor");
    let processors = thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory_info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes: u64 = value(&memory_info, "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{processors} × {model}, {} GiB, Linux {}",
        kibibytes >> 20,
        kernel.trim()
    )
}

/// The number of processes that wanted a processor, over the last minute.
pub fn load_average() -> f64 {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

/// What a program says of its version.
pub fn version_of(program: &Path) -> String {
    Command::new(program)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| {
            let said = String::from_utf8_lossy(&output.stdout);
            Some(said.lines().next()?.trim().to_owned())
        })
        .unwrap_or_else(|| "version unknown".to_owned())
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}
