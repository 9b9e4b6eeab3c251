//! A slug file becomes a slug of the store, durably, before any row names it.

use std::path::PathBuf;

use dyno_slug::{SlugStore, StoredSlug};

use super::run::RunError;
use crate::model::{AppId, Slug, SlugId, Timestamp};

/// What the slug's row says beside what is in the slug.
pub(crate) struct SlugWords {
    pub app: AppId,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    /// What the buildpack calls itself.
    pub buildpack: Option<String>,
}

/// Copies a slug file into the store and makes its row. Writing the row is the caller's.
pub(crate) async fn import(
    slugs: SlugStore,
    file: PathBuf,
    words: SlugWords,
) -> Result<Slug, RunError> {
    let stored = tokio::task::spawn_blocking(move || slugs.import(&file)).await??;
    Ok(row(&stored, words))
}

fn row(stored: &StoredSlug, words: SlugWords) -> Slug {
    let manifest = stored.manifest();
    let components = manifest.components.iter().map(|blob| blob.size);
    let layers = manifest.layers.iter().map(|layer| layer.size);
    let process_types = manifest.process_types.iter();
    Slug {
        id: SlugId::generate(),
        app: words.app,
        digest: stored.digest().to_string(),
        size: components.chain(layers).sum(),
        process_types: process_types
            .map(|(name, process)| (name.as_str().to_owned(), process.command.clone()))
            .collect(),
        commit: words.commit,
        commit_description: words.commit_description,
        buildpack_description: words.buildpack,
        stack: manifest.stack.clone(),
        created_at: Timestamp::now(),
    }
}
