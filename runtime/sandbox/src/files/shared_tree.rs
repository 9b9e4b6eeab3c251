//! A tree of files that every dyno of an app sees as its own: shared until its first change, a private copy from then on.
//!
//! Most apps never write beside their code, and copying hundreds of files would be nearly all that waking one costs. A
//! file system of the kernel's that does the same (an overlay) needs a privileged mount.

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use wasmtime_wasi::filesystem::Descriptor;

/// A tree that a dyno shares with others until it changes something in it.
///
/// What it has open by then is looked up in the copy by its path, at the next call that names it. A file that is being
/// read stays as it was.
#[derive(Debug)]
pub struct SharedTree {
    shared: PathBuf,
    private: PathBuf,
    entries_max: u64,
    copying: Mutex<()>,
    copy: OnceCell<Dir>,
}

impl SharedTree {
    /// A tree whose copy will be at `private`, where nothing is yet. One of more than `entries_max` files and
    /// directories is not copied: to change it fails.
    ///
    /// # Errors
    /// When there is no directory at `shared`.
    pub fn new(shared: &Path, private: PathBuf, entries_max: u64) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            // As the system names it, to recognise what is open in it.
            shared: fs::canonicalize(shared)?,
            private,
            entries_max,
            copying: Mutex::default(),
            copy: OnceCell::new(),
        }))
    }

    /// What is to be opened now.
    pub(crate) fn path(&self) -> &Path {
        if self.is_private() {
            &self.private
        } else {
            &self.shared
        }
    }

    pub(super) fn is_private(&self) -> bool {
        self.copy.initialized()
    }

    /// Makes the copy, if the handle is of the shared tree and there is none yet.
    pub(super) async fn own(self: &Arc<Self>, descriptor: &Descriptor) -> io::Result<()> {
        if self.is_private() || self.place_of(descriptor).is_none() {
            return Ok(());
        }
        let copy = || async {
            let tree = self.clone();
            tokio::task::spawn_blocking(move || tree.make_copy())
                .await
                .map_err(io::Error::other)?
        };
        self.copy.get_or_try_init(copy).await?;
        Ok(())
    }

    /// Turns a handle of the shared tree into one of the copy, if there is a copy.
    pub(super) fn redirect(&self, descriptor: &mut Descriptor) -> io::Result<()> {
        let Some(copy) = self.copy.get() else {
            return Ok(());
        };
        let Some(place) = self.place_of(descriptor) else {
            return Ok(());
        };
        // Through the copy's own root: the guest may have put links into it.
        match descriptor {
            Descriptor::Dir(directory) => {
                directory.dir = Arc::new(copy.open_dir(place)?.into_std_file());
            }
            Descriptor::File(file) => file.file = Arc::new(copy.open(place)?.into_std()),
        }
        Ok(())
    }

    /// Where in the shared tree a handle is.
    fn place_of(&self, descriptor: &Descriptor) -> Option<PathBuf> {
        let handle: &File = match descriptor {
            Descriptor::Dir(directory) => &directory.dir,
            Descriptor::File(file) => &file.file,
        };
        let path = fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd())).ok()?;
        let place = path.strip_prefix(&self.shared).ok()?;
        Some(if place.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            place.to_owned()
        })
    }

    /// Blocks. Whoever wanted the copy may have given up: the next one finds it whole, or makes it anew.
    fn make_copy(&self) -> io::Result<Dir> {
        let _one = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.private.exists() {
            let unfinished = self.private.with_extension("unfinished");
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            fs::create_dir(&unfinished)?;
            copy_tree(&self.shared, &unfinished, self.entries_max)?;
            fs::rename(&unfinished, &self.private)?;
        }
        Dir::open_ambient_dir(&self.private, ambient_authority())
    }
}

/// Copies a tree so that the copy is writable. Answers how many more entries might have been copied.
///
/// # Errors
/// Those of the system, and when there are more entries than `entries_max`.
pub fn copy_tree(from: &Path, to: &Path, entries_max: u64) -> io::Result<u64> {
    let mut left = entries_max;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        left = left.checked_sub(1).ok_or_else(|| {
            let shown = from.display();
            io::Error::other(format!("there are too many files to copy in {shown}"))
        })?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            left = copy_tree(&source, &target, left)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
            let mode = fs::metadata(&source)?.permissions().mode();
            fs::set_permissions(&target, Permissions::from_mode(mode | 0o200))?;
        }
    }
    Ok(left)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;
    use tempfile::TempDir;
    use wasmtime_wasi::FsPerms;
    use wasmtime_wasi::filesystem::{Dir as GuestDir, File as GuestFile, OpenMode};

    fn tree(entries_max: u64) -> (TempDir, Arc<SharedTree>) {
        let place = tempfile::tempdir().unwrap();
        let shared = place.path().join("shared");
        fs::create_dir_all(shared.join("sub")).unwrap();
        fs::write(shared.join("sub/file"), "one").unwrap();
        fs::set_permissions(shared.join("sub/file"), Permissions::from_mode(0o444)).unwrap();
        let private = place.path().join("private");
        let tree = SharedTree::new(&shared, private, entries_max).unwrap();
        (place, tree)
    }

    fn directory(path: &Path) -> Descriptor {
        let file = File::open(path).unwrap();
        Descriptor::Dir(GuestDir::new(
            file,
            FsPerms::ReadWrite,
            OpenMode::READ,
            true,
        ))
    }

    fn path_of(descriptor: &Descriptor) -> PathBuf {
        let handle: &File = match descriptor {
            Descriptor::Dir(directory) => &directory.dir,
            Descriptor::File(file) => &file.file,
        };
        fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd())).unwrap()
    }

    #[tokio::test]
    async fn the_first_change_makes_a_writable_copy_and_handles_follow_it() {
        let (_place, tree) = tree(2);
        let mut root = directory(&tree.shared);
        let mut sub = directory(&tree.shared.join("sub"));
        tree.redirect(&mut root).unwrap();
        assert_eq!(path_of(&root), tree.shared);
        tree.own(&sub).await.unwrap();
        tree.redirect(&mut root).unwrap();
        tree.redirect(&mut sub).unwrap();
        assert_eq!(path_of(&root), tree.path());
        assert_eq!(path_of(&sub), tree.path().join("sub"));
        fs::write(tree.path().join("sub/file"), "two").unwrap();
        assert_eq!(
            fs::read_to_string(tree.shared.join("sub/file")).unwrap(),
            "one"
        );
    }

    #[tokio::test]
    async fn a_change_elsewhere_copies_nothing() {
        let (place, tree) = tree(2);
        tree.own(&directory(place.path())).await.unwrap();
        assert!(!tree.is_private());
    }

    #[tokio::test]
    async fn a_link_in_the_copy_leads_no_handle_out_of_it() {
        let (place, tree) = tree(2);
        let mut sub = directory(&tree.shared.join("sub"));
        tree.own(&sub).await.unwrap();
        fs::rename(tree.path().join("sub"), tree.path().join("moved")).unwrap();
        symlink(place.path(), tree.path().join("sub")).unwrap();
        assert!(tree.redirect(&mut sub).is_err());
    }

    #[tokio::test]
    async fn a_tree_of_too_many_files_is_not_copied() {
        let (_place, tree) = tree(1);
        let root = directory(&tree.shared);
        assert!(tree.own(&root).await.is_err());
        assert!(!tree.is_private());
        assert!(tree.own(&root).await.is_err(), "and not at the next try");
    }

    #[tokio::test]
    async fn a_file_that_is_open_is_the_copys_when_its_times_are_set() {
        let (_place, tree) = tree(2);
        let open = File::open(tree.shared.join("sub/file")).unwrap();
        let open = GuestFile::new(open, FsPerms::ReadWrite, OpenMode::READ, true);
        let mut open = Descriptor::File(open);
        tree.own(&open).await.unwrap();
        tree.redirect(&mut open).unwrap();
        assert_eq!(path_of(&open), tree.path().join("sub/file"));
        let Descriptor::File(file) = &open else {
            unreachable!("it was a file before")
        };
        let mut text = String::new();
        (&*file.file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
    }
}
