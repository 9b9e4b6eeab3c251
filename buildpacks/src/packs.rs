//! The buildpacks: those embedded in this library, unpacked once, and directories of others.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::source::{SourceError, SourceTree};

/// Every file of `packs/` and `wit/`: (path, bytes), sorted by path.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded_files.rs"));

/// The embedded buildpacks, in the order in which they are asked.
///
/// The wasm pack is first because it only takes an app that brings its own component and nothing
/// to build it from; static is last because an index page is found in apps of every language.
pub const DETECTION_ORDER: &[&str] = &["wasm", "python", "nodejs", "go", "rust", "static"];

/// The embedded buildpacks, unpacked on this machine.
#[derive(Clone, Debug)]
pub struct Packs {
    root: PathBuf,
    digest: String,
}

/// One buildpack: a directory with `bin/detect`, `bin/compile` and `bin/release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buildpack {
    name: String,
    directory: PathBuf,
    is_embedded: bool,
}

/// The embedded buildpacks could not be put on disk.
#[derive(Debug, thiserror::Error)]
#[error("the buildpacks could not be unpacked: {action} {path}")]
pub struct UnpackError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Packs {
    /// Unpacks the embedded buildpacks into a directory below `directory` that is named by their
    /// digest, or uses the one that is there already.
    ///
    /// Another version of this library has another digest, so both can work side by side. The
    /// directory appears whole or not at all; one that has lost files is made again.
    pub fn unpack(directory: &Path) -> Result<Packs, UnpackError> {
        let digest = embedded_digest();
        let root = directory.join(&digest[..16]);
        if !is_complete(&root) {
            let partial =
                directory.join(format!(".{}.{}.partial", &digest[..16], std::process::id()));
            let result = write_all(&partial).and_then(|()| put_in_place(&partial, &root));
            if result.is_err() {
                let _ = fs::remove_dir_all(&partial);
            }
            result?;
        }
        Ok(Packs { root, digest })
    }

    /// The digest of every embedded file, in hexadecimal: part of a build's cache key.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The directory of the guests' WIT worlds, which compile finds as `$DYNO_WIT_DIR`.
    pub fn wit_directory(&self) -> PathBuf {
        self.root.join("wit")
    }

    /// Every embedded buildpack, in the order in which they are asked.
    pub fn all(&self) -> Vec<Buildpack> {
        DETECTION_ORDER
            .iter()
            .filter_map(|name| self.get(name))
            .collect()
    }

    /// The embedded buildpack of that name.
    ///
    /// Also answers to the names that apps written for Heroku use: `heroku/python`,
    /// `urn:buildpack:heroku/go`, `https://github.com/heroku/heroku-buildpack-nodejs`.
    pub fn get(&self, name: &str) -> Option<Buildpack> {
        let name = plain_name(name);
        let known = DETECTION_ORDER.iter().find(|known| **known == name)?;
        let directory = self.root.join("packs").join(known);
        // A pack that this build of the library does not carry is not offered.
        directory.join("bin/compile").exists().then(|| Buildpack {
            name: (*known).to_owned(),
            directory,
            is_embedded: true,
        })
    }
}

impl Buildpack {
    /// A buildpack in a directory of its own, named by that directory.
    pub fn in_directory(directory: &Path) -> Buildpack {
        let name = directory.file_name().map_or_else(
            || directory.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        Buildpack {
            name,
            directory: directory.to_owned(),
            is_embedded: false,
        }
    }

    /// Its name: `python`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its scripts are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What identifies its contents, beside [`Packs::digest`] for the embedded ones.
    pub(crate) fn identity(&self) -> Result<String, SourceError> {
        if self.is_embedded {
            return Ok(self.name.clone());
        }
        Ok(format!(
            "{} {}",
            self.name,
            SourceTree::scan(&self.directory, &[])?.digest()?
        ))
    }
}

/// `heroku/python`, `urn:buildpack:heroku/python` and a GitHub address all mean `python`.
fn plain_name(name: &str) -> &str {
    let name = name.trim().trim_end_matches('/').trim_end_matches(".git");
    let name = name.strip_prefix("urn:buildpack:").unwrap_or(name);
    if let Some((_, repository)) = name.rsplit_once("github.com/heroku/heroku-buildpack-") {
        return repository;
    }
    ["heroku/", "heroku-community/", "dyno/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

fn embedded_digest() -> String {
    let mut hasher = Sha256::new();
    for (path, bytes) in EMBEDDED {
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path.as_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hex::encode(hasher.finalize())
}

/// Whether every file is there with its size; contents were synced before the rename.
fn is_complete(root: &Path) -> bool {
    EMBEDDED.iter().all(|(path, bytes)| {
        fs::metadata(root.join(path))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes.len() as u64)
    })
}

fn write_all(partial: &Path) -> Result<(), UnpackError> {
    let _ = fs::remove_dir_all(partial);
    for (path, bytes) in EMBEDDED {
        let target = partial.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed("creating", parent))?;
        }
        // Git's executable bit does not survive embedding; what a buildpack's interface names
        // lies in bin/.
        let is_program = target
            .parent()
            .is_some_and(|parent| parent.ends_with("bin"));
        let mode = if is_program { 0o755 } else { 0o644 };
        let mut file = File::create(&target).map_err(failed("creating", &target))?;
        file.write_all(bytes)
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
            .and_then(|()| file.sync_all())
            .map_err(failed("writing", &target))?;
    }
    Ok(())
}

fn put_in_place(partial: &Path, root: &Path) -> Result<(), UnpackError> {
    if root.exists() && !is_complete(root) {
        fs::remove_dir_all(root).map_err(failed("removing the damaged", root))?;
    }
    match fs::rename(partial, root) {
        Ok(()) => Ok(()),
        // Another process was faster with the same files.
        Err(_) if is_complete(root) => {
            let _ = fs::remove_dir_all(partial);
            Ok(())
        }
        Err(source) => Err(failed("renaming to", root)(source)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError {
        action,
        path,
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_unpacked_once_with_executable_scripts() {
        let directory = tempfile::tempdir().unwrap();
        let packs = Packs::unpack(directory.path()).unwrap();
        let pack = packs.get("static").unwrap();
        let detect = pack.directory().join("bin/detect");
        let metadata = fs::metadata(&detect).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
        assert!(packs.wit_directory().join("deps/http.wit").exists());
        let made = metadata.modified().unwrap();
        let again = Packs::unpack(directory.path()).unwrap();
        assert_eq!(again.digest(), packs.digest());
        assert_eq!(
            fs::metadata(&detect).unwrap().modified().unwrap(),
            made,
            "it was written again"
        );
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "something was left behind"
        );
    }

    #[test]
    fn an_unpacked_directory_that_lost_a_file_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let packs = Packs::unpack(directory.path()).unwrap();
        let detect = packs.get("static").unwrap().directory().join("bin/detect");
        fs::write(&detect, "").unwrap();
        Packs::unpack(directory.path()).unwrap();
        assert_ne!(fs::read(&detect).unwrap(), b"");
    }

    #[test]
    fn names_from_apps_written_for_heroku_mean_our_packs() {
        for name in [
            "python",
            "heroku/python",
            "urn:buildpack:heroku/python",
            "https://github.com/heroku/heroku-buildpack-python",
            "https://github.com/heroku/heroku-buildpack-python.git",
        ] {
            assert_eq!(plain_name(name), "python", "{name}");
        }
        assert_eq!(
            plain_name("https://github.com/someone/else"),
            "https://github.com/someone/else"
        );
    }
}
