//! Which pages of a native file a start touches, so that the next start from a disk reads those and no others.
//!
//! Left alone, the kernel reads around each fault and drags in nearly the whole file. The ranges are recorded from
//! `/proc/self/pagemap` and not by `mincore`: that one tells what the kernel read ahead, which is everything. They
//! are a hint: whatever is in the file of ranges, nothing worse happens than reading the wrong pages.

use crate::code_cache::write_whole;
use crate::limits::WORKING_SET_RANGES_MAX;
use rustix::fs::Advice;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What a fault maps around itself, and so the grain of a recording.
const GRAIN: u64 = 64 * 1024;
const RANGE_BYTES: usize = 16;

/// Where the ranges of a native file are kept.
pub(crate) fn path_of(native: &Path) -> PathBuf {
    native.with_extension("pages")
}

/// Asks the kernel for the recorded pages of a file that is not in memory. Never fails: it is a hint.
pub(crate) fn read_ahead(native: &Path) {
    let Ok(recorded) = fs::read(path_of(native)) else {
        return;
    };
    let ranges = decode(&recorded);
    let Ok(file) = File::open(native) else {
        return;
    };
    if is_in_memory(&file, &ranges) {
        return;
    }
    for range in ranges {
        let length = NonZeroU64::new(range.end - range.start);
        if rustix::fs::fadvise(&file, range.start, length, Advice::WillNeed).is_err() {
            return;
        }
    }
}

/// Looks at the first and the last range: a file is used whole, and evicted about as whole.
fn is_in_memory(file: &File, ranges: &[Range<u64>]) -> bool {
    let in_memory = |range: &Range<u64>| {
        let mut byte = [0];
        let mut buffers = [io::IoSliceMut::new(&mut byte)];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        rustix::io::preadv2(file, &mut buffers, range.start, flags).is_ok()
    };
    ranges.first().is_none_or(in_memory) && ranges.last().is_none_or(in_memory)
}

/// Writes down which pages of `native` this process has mapped and touched, unless that is known.
pub(crate) fn record(native: &Path) -> io::Result<()> {
    let path = path_of(native);
    if path.is_file() {
        return Ok(());
    }
    let ranges = touched(native)?;
    if ranges.is_empty() {
        return Ok(());
    }
    write_whole(&path, &encode(&ranges))
}

fn touched(native: &Path) -> io::Result<Vec<Range<u64>>> {
    let inode = fs::metadata(native)?.ino();
    let maps = fs::read_to_string("/proc/self/maps")?;
    let pagemap = File::open("/proc/self/pagemap")?;
    let page = rustix::param::page_size() as u64;
    let mut grains = Vec::new();
    for mapping in maps
        .lines()
        .filter_map(|line| Mapping::parse(line, native, inode))
    {
        let pages = (mapping.end - mapping.start) / page;
        let mut entries = vec![0; usize::try_from(pages * 8).unwrap_or(0)];
        pagemap.read_exact_at(&mut entries, mapping.start / page * 8)?;
        for (number, entry) in entries.chunks_exact(8).enumerate() {
            // Bits 63 and 62: present, or swapped out. The highest byte comes last.
            if entry[7] & 0xc0 != 0 {
                grains.push((mapping.offset + number as u64 * page) / GRAIN);
            }
        }
    }
    Ok(joined(grains))
}

/// Adjacent grains as one range each.
fn joined(mut grains: Vec<u64>) -> Vec<Range<u64>> {
    grains.sort_unstable();
    grains.dedup();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for grain in grains {
        let start = grain * GRAIN;
        if let Some(last) = ranges.last_mut().filter(|last| last.end == start) {
            last.end += GRAIN;
        } else if ranges.len() < WORKING_SET_RANGES_MAX {
            ranges.push(start..start + GRAIN);
        } else {
            break;
        }
    }
    ranges
}

/// A line of `/proc/self/maps` that belongs to the file.
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
}

impl Mapping {
    fn parse(line: &str, native: &Path, inode: u64) -> Option<Self> {
        // start-end permissions offset device inode path
        let name = native.file_name()?.to_str()?;
        if !line.contains(name) {
            return None;
        }
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let offset = fields.nth(1)?;
        if fields.nth(1)?.parse::<u64>().ok()? != inode {
            return None;
        }
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            start: number(start)?,
            end: number(end)?,
            offset: number(offset)?,
        })
    }
}

fn encode(ranges: &[Range<u64>]) -> Vec<u8> {
    ranges
        .iter()
        .flat_map(|range| [range.start.to_le_bytes(), range.end.to_le_bytes()].concat())
        .collect()
}

fn decode(bytes: &[u8]) -> Vec<Range<u64>> {
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    bytes
        .chunks_exact(RANGE_BYTES)
        .take(WORKING_SET_RANGES_MAX)
        .map(|entry| number(&entry[..8])..number(&entry[8..]))
        .filter(|range| range.start < range.end)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grains_become_ranges_and_come_back_from_disk() {
        let ranges = joined(vec![7, 1, 2, 2, 4]);
        let expected: Vec<_> = [1..3, 4..5, 7..8]
            .into_iter()
            .map(|range: Range<u64>| range.start * GRAIN..range.end * GRAIN)
            .collect();
        assert_eq!(ranges, expected);
        assert_eq!(decode(&encode(&ranges)), ranges);
    }

    #[test]
    fn nonsense_on_disk_is_no_range_and_never_too_many() {
        assert!(decode(&[1; 15]).is_empty());
        let backwards = encode(std::slice::from_ref(&Range { start: 9, end: 3 }));
        assert!(decode(&backwards).is_empty());
        let many: Vec<_> = (0..WORKING_SET_RANGES_MAX as u64 + 9)
            .map(|n| 2 * n * GRAIN..(2 * n + 1) * GRAIN)
            .collect();
        assert_eq!(decode(&encode(&many)).len(), WORKING_SET_RANGES_MAX);
        assert_eq!(
            joined(
                (0..WORKING_SET_RANGES_MAX as u64 + 9)
                    .map(|n| 2 * n)
                    .collect()
            )
            .len(),
            WORKING_SET_RANGES_MAX
        );
    }
}
