//! The source of an app as one tar file: what git would push, in an order and form that only its contents decide.
//!
//! Equal trees give equal bytes, so that the checksum alone tells the platform whether it has built this before.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use dyno_slug::Digest;
use ignore::WalkBuilder;
use tar::{Builder, EntryType, Header};

use crate::failure::Hint;
use crate::places::shown;

/// Never part of a source: what version control and earlier builds keep in it.
const LEFT_OUT: &[&str] = &[".git", ".hg", ".svn", ".dyno"];
/// Left out also where no .gitignore says so: always made again, and large.
const MADE_AGAIN: &[&str] = &["node_modules", "__pycache__", ".venv"];

/// A source that was packed.
pub struct SourceArchive {
    file: File,
    checksum: String,
    files: usize,
}

impl SourceArchive {
    /// Packs the folder into a temporary file. Blocks.
    pub fn pack(folder: &Path) -> anyhow::Result<SourceArchive> {
        let paths = paths(folder)?;
        let mut builder = Builder::new(BufWriter::new(
            tempfile::tempfile().context("no temporary file for the source")?,
        ));
        for path in &paths {
            append(&mut builder, folder, path)
                .with_context(|| format!("{} cannot be packed", shown(&folder.join(path))))?;
        }
        let file = builder
            .into_inner()
            .and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error));
        let mut file = file.context("the source cannot be packed")?;
        file.rewind()?;
        let (digest, _) = Digest::of_reader(&mut file)?;
        file.rewind()?;
        Ok(SourceArchive {
            file,
            checksum: format!("SHA256:{}", digest.hex()),
            files: paths.len(),
        })
    }

    /// `SHA256:…` of the archive.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// How many files, folders and links it holds.
    pub fn files(&self) -> usize {
        self.files
    }

    /// The archive itself, at its beginning.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// Copies the folder's source, that is, what [`SourceArchive`] packs, to `target`, which does not exist yet. Blocks.
pub fn copy(folder: &Path, target: &Path) -> anyhow::Result<()> {
    fs::create_dir(target)?;
    for path in paths(folder)? {
        let (from, to) = (folder.join(&path), target.join(&path));
        let kind = fs::symlink_metadata(&from)?.file_type();
        let copied = if kind.is_dir() {
            fs::create_dir(&to)
        } else if kind.is_symlink() {
            fs::read_link(&from).and_then(|link| std::os::unix::fs::symlink(link, &to))
        } else {
            fs::copy(&from, &to).map(drop)
        };
        copied.with_context(|| format!("{} cannot be copied", shown(&from)))?;
    }
    Ok(())
}

/// The source's paths below `folder`, sorted, each folder before what is in it.
fn paths(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        bail!(Hint::new(
            format!("{} is not a folder", shown(folder)),
            "name the folder that holds the app's source"
        ));
    }
    let mut paths = Vec::new();
    // Not the global and repository-wide excludes of this user: another machine must pack the same.
    let walk = WalkBuilder::new(folder)
        .standard_filters(false)
        .git_ignore(true)
        .parents(true)
        .require_git(false)
        .add_custom_ignore_filename(".slugignore")
        .filter_entry(|entry| {
            let name = entry.file_name();
            let made_again = MADE_AGAIN.iter().any(|left_out| name == *left_out);
            entry.depth() == 0 || !(made_again || LEFT_OUT.iter().any(|left_out| name == *left_out))
        })
        .build();
    for entry in walk {
        let entry = entry.context("the source cannot be listed")?;
        if entry.depth() > 0 {
            paths.push(entry.path().strip_prefix(folder)?.to_owned());
        }
    }
    if paths.is_empty() {
        bail!(Hint::new(
            format!("{} has no source in it", shown(folder)),
            "files that .gitignore or .slugignore name are left out"
        ));
    }
    paths.sort();
    Ok(paths)
}

fn append(builder: &mut Builder<BufWriter<File>>, folder: &Path, path: &Path) -> io::Result<()> {
    let full = folder.join(path);
    let metadata = fs::symlink_metadata(&full)?;
    let mut header = Header::new_gnu();
    // Whatever differs between two copies of one source: owner, times, bits nobody means.
    header.set_mtime(0);
    header.set_mode(0o644);
    header.set_size(0);
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        builder.append_data(&mut header, path, io::empty())
    } else if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, path, fs::read_link(&full)?)
    } else if metadata.is_file() {
        let file = File::open(&full)?;
        let size = metadata.len();
        header.set_size(size);
        if metadata.permissions().mode() & 0o100 != 0 {
            header.set_mode(0o755);
        }
        // A file that grows while it is read must not spill over into the next entry.
        let mut content = file.take(size);
        builder.append_data(&mut header, path, &mut content)?;
        if content.limit() > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        Ok(())
    } else {
        // Sockets and pipes of a running development server are no source.
        builder.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{SourceArchive, paths};

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn checksum(folder: &Path) -> String {
        SourceArchive::pack(folder).unwrap().checksum().to_owned()
    }

    #[test]
    fn what_git_and_slugignore_leave_out_stays_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "app.py",
            ".env",
            ".git/config",
            "node_modules/x/y.js",
            "docs/a.md",
            "log/a.log",
            ".profile",
        ] {
            write(folder.path(), path, path);
        }
        write(folder.path(), ".gitignore", ".env\n*.log\n");
        write(folder.path(), ".slugignore", "docs\n");
        let paths = paths(folder.path()).unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [".gitignore", ".profile", ".slugignore", "app.py", "log"]
        );
    }

    #[test]
    fn equal_trees_have_equal_checksums_whenever_and_wherever_they_were_made() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [first.path(), second.path()] {
            write(folder, "b/c.txt", "c");
            write(folder, "a.txt", "a");
        }
        fs::File::options()
            .write(true)
            .open(first.path().join("a.txt"))
            .and_then(|file| file.set_modified(std::time::UNIX_EPOCH))
            .unwrap();
        assert_eq!(checksum(first.path()), checksum(second.path()));
        write(second.path(), "a.txt", "b");
        assert_ne!(checksum(first.path()), checksum(second.path()));
    }

    #[test]
    fn an_empty_folder_is_refused_with_words() {
        let folder = tempfile::tempdir().unwrap();
        let error = SourceArchive::pack(folder.path())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("has no source in it"), "{error}");
    }
}
