//! Slugs of earlier builds, found again by everything that decides what a build makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dyno_slug::SlugFile;
use sha2::{Digest as _, Sha256};

use super::error::failed;
use super::{CompileError, CompileRequest, Compiled, Compiler};
use crate::limits;
use crate::source::SourceTree;

/// Changes when equal builds would no longer make equal slugs.
const KEY_VERSION: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

impl Compiler {
    /// What identifies a build: equal keys make equal slugs.
    ///
    /// It covers the source, the buildpacks (whose toolchains are pinned in them), the chosen
    /// names and the config vars, which a buildpack may read.
    pub fn build_key(&self, request: &CompileRequest) -> Result<String, CompileError> {
        self.key(request, &SourceTree::scan(&request.source, &[])?)
    }

    pub(super) fn key(
        &self,
        request: &CompileRequest,
        source: &SourceTree,
    ) -> Result<String, CompileError> {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(KEY_VERSION.as_bytes());
        part(dyno_slug::STACK.as_bytes());
        part(self.packs().digest().as_bytes());
        part(source.digest()?.to_string().as_bytes());
        part(&(request.buildpacks.len() as u64).to_le_bytes());
        for buildpack in self.named(&request.buildpacks)? {
            part(buildpack.identity()?.as_bytes());
        }
        for (name, value) in &request.config_vars {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        Ok(hex::encode(hasher.finalize()))
    }
}

/// The kept slug of that key, put where the new one was to go. One that is damaged is forgotten.
pub(super) fn find(
    directory: &Path,
    key: &str,
    target: &Path,
) -> Result<Option<Compiled>, CompileError> {
    let kept = path(directory, key);
    let Ok(file) = SlugFile::open(&kept) else {
        let _ = fs::remove_file(&kept);
        return Ok(None);
    };
    let Ok(buildpack) = fs::read_to_string(kept.with_extension("name")) else {
        return Ok(None);
    };
    put(&kept, target).map_err(failed("copying the slug to", target))?;
    // The least recently used goes first.
    let _ = fs::File::options()
        .append(true)
        .open(&kept)
        .and_then(|file| file.set_modified(SystemTime::now()));
    Ok(Some(Compiled {
        slug: target.to_owned(),
        digest: *file.digest(),
        manifest: file.manifest().clone(),
        buildpack,
        is_cached: true,
    }))
}

/// Keeps a slug. The cache is a convenience: where it cannot, the next build compiles again.
pub(super) fn keep(directory: &Path, key: &str, compiled: &Compiled) {
    let kept = path(directory, key);
    let _ = fs::create_dir_all(directory)
        .and_then(|()| fs::write(kept.with_extension("name"), &compiled.buildpack))
        .and_then(|()| put(&compiled.slug, &kept));
    evict(directory);
}

fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{key}.slug"))
}

/// A copy, which shares its blocks where the file system can; a second name for the same file
/// would let whoever edits one edit both.
fn put(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = to.with_file_name(name);
    let result = fs::copy(from, &partial).and_then(|_| fs::rename(&partial, to));
    if result.is_err() {
        let _ = fs::remove_file(&partial);
    }
    result
}

fn evict(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut slugs: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "slug")
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    slugs.sort();
    let surplus = slugs.len().saturating_sub(limits::SLUG_CACHE_ENTRIES_MAX);
    for (_, path) in slugs.into_iter().take(surplus) {
        let _ = fs::remove_file(path.with_extension("name"));
        let _ = fs::remove_file(path);
    }
}
