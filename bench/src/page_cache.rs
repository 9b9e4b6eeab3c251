//! The kernel's page cache: brings the files of a folder into it, and evicts them from it.

use anyhow::Context;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// Reads every file below the folders, so that all of their pages are in memory.
pub fn fill(folders: &[PathBuf]) -> anyhow::Result<()> {
    for path in files_below(folders)? {
        File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut io::sink()))
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(())
}

/// Has every file below the folders written to the disk: what is not written yet cannot be evicted.
pub fn write_back(folders: &[PathBuf]) -> anyhow::Result<()> {
    for path in files_below(folders)? {
        File::open(&path)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("cannot write {} back", path.display()))?;
    }
    Ok(())
}

/// Evicts every file below the folders, but for pages that a process has mapped. Whether they are gone is not looked at: a read
/// that must not wait for the disk has the kernel begin to read ahead.
pub fn evict(folders: &[PathBuf]) -> anyhow::Result<()> {
    for path in files_below(folders)? {
        File::open(&path)
            .and_then(|file| Ok(fadvise(&file, 0, None, Advice::DontNeed)?))
            .with_context(|| format!("cannot evict {}", path.display()))?;
    }
    Ok(())
}

/// Every regular file below the folders.
pub fn files_below(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_however_deep_and_links_are_left_out() {
        let folder = std::env::temp_dir().join(format!("dyno-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::write(folder.join("a/b/file"), "text").unwrap();
        std::os::unix::fs::symlink("b/file", folder.join("a/link")).unwrap();
        let found = files_below(std::slice::from_ref(&folder));
        fill(std::slice::from_ref(&folder)).unwrap();
        write_back(std::slice::from_ref(&folder)).unwrap();
        evict(std::slice::from_ref(&folder)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.unwrap(), [folder.join("a/b/file")]);
    }
}
