//! The files of a site: found below one directory handle, remembered within bounds.

use super::conditional::Span;
use super::content_type::content_type;
use super::limits::{
    BYTES_KEPT_MAX, CHUNK_BYTES, DIGESTED_BYTES_MAX, FILE_BYTES_KEPT_MAX, PAGES_KEPT_MAX,
};
use crate::error::LoadError;
use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use http::HeaderMap;
use http::header::{self, HeaderValue};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What siblings of a file are called that hold it compressed, best first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// More links than the system follows: a circle. The standard library has no stable name for it.
const ELOOP: i32 = 40;

/// The files of a site. The tree never changes, so what was found once stays true.
#[derive(Debug)]
pub(super) struct Files {
    root: Arc<Dir>,
    is_app_root: bool,
    /// Names the tree's contents.
    layer: String,
    kept: Mutex<Kept>,
}

/// A file and its compressed siblings.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) content_type: HeaderValue,
    pub(super) identity: Variant,
    /// Best first.
    encoded: Vec<Variant>,
}

/// One way to send a page.
#[derive(Debug)]
pub(super) struct Variant {
    path: String,
    pub(super) encoding: Option<&'static str>,
    pub(super) length: u64,
    pub(super) etag: HeaderValue,
    bytes: Option<Bytes>,
}

/// What a path turned out to be.
#[derive(Debug)]
pub(super) enum Found {
    Page(Arc<Page>),
    /// A directory with an index page.
    Directory,
    Nothing,
}

#[derive(Debug, Default)]
struct Kept {
    pages: HashMap<String, Arc<Page>>,
    bytes: u64,
}

impl Files {
    /// Opens `root` in the tree. Blocks.
    pub(super) fn open(tree: PathBuf, root: &str) -> Result<Self, LoadError> {
        let layer = tree
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let opened = Dir::open_ambient_dir(&tree, ambient_authority()).and_then(|app| {
            if root.is_empty() {
                Ok(app)
            } else {
                app.open_dir(root)
            }
        });
        let root_directory = opened.map_err(|source| LoadError::Read {
            path: tree.join(root),
            source,
        })?;
        Ok(Self {
            root: Arc::new(root_directory),
            is_app_root: root.is_empty(),
            layer,
            kept: Mutex::default(),
        })
    }

    /// Whether the site's root is the app's own folder.
    pub(super) fn is_app_root(&self) -> bool {
        self.is_app_root
    }

    /// The first candidate that is a file; `key` names the question, for the next time it is asked.
    ///
    /// `wants_directory` — when none is, whether the first candidate is a directory with an index page.
    pub(super) async fn find(
        &self,
        key: &str,
        candidates: Vec<String>,
        wants_directory: bool,
    ) -> io::Result<Found> {
        if candidates.is_empty() {
            return Ok(Found::Nothing);
        }
        if let Some(page) = self.kept().pages.get(key) {
            return Ok(Found::Page(Arc::clone(page)));
        }
        let (root, layer) = (Arc::clone(&self.root), self.layer.clone());
        let found = tokio::task::spawn_blocking(move || {
            look_up(&root, &layer, &candidates, wants_directory)
        })
        .await
        .map_err(io::Error::other)??;
        // Paths without a file are not remembered: whoever asks could think of any number of them.
        if let Found::Page(page) = &found {
            self.keep(key, page);
        }
        Ok(found)
    }

    /// Opens a variant's file for reading.
    pub(super) async fn open_variant(&self, variant: &Variant) -> io::Result<File> {
        let (root, path) = (Arc::clone(&self.root), variant.path.clone());
        let open = move || root.open(path).map(cap_std::fs::File::into_std);
        tokio::task::spawn_blocking(open)
            .await
            .map_err(io::Error::other)?
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn bytes_kept(&self) -> u64 {
        self.kept().bytes
    }

    fn keep(&self, key: &str, page: &Arc<Page>) {
        let mut kept = self.kept();
        let bytes = page.bytes_kept();
        if kept.pages.len() >= PAGES_KEPT_MAX || kept.bytes + bytes > BYTES_KEPT_MAX {
            *kept = Kept::default();
        }
        if bytes <= BYTES_KEPT_MAX
            && kept
                .pages
                .insert(key.to_owned(), Arc::clone(page))
                .is_none()
        {
            kept.bytes += bytes;
        }
    }
}

impl Page {
    /// The best way to send it to a client that accepts what `headers` say.
    ///
    /// Source: RFC 9110, section 12.5.3.
    pub(super) fn variant_for(&self, headers: &HeaderMap) -> &Variant {
        let wanted = self.encoded.iter().find(|variant| {
            variant
                .encoding
                .is_some_and(|encoding| accepts(headers, encoding))
        });
        wanted.unwrap_or(&self.identity)
    }

    /// Whether the answer depends on what the client accepts.
    pub(super) fn has_choice(&self) -> bool {
        !self.encoded.is_empty()
    }

    fn bytes_kept(&self) -> u64 {
        let kept = |variant: &Variant| variant.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        kept(&self.identity) + self.encoded.iter().map(kept).sum::<u64>()
    }
}

impl Variant {
    /// The bytes, when they are in memory.
    pub(super) fn kept_bytes(&self, span: Span) -> Option<Bytes> {
        let bytes = self.bytes.as_ref()?;
        let start = usize::try_from(span.start).ok()?;
        let end = start.checked_add(usize::try_from(span.length).ok()?)?;
        (end <= bytes.len()).then(|| bytes.slice(start..end))
    }
}

fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let mut any = false;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(Ok(1.0), str::parse::<f32>);
            let is_wanted = weight.is_ok_and(|weight| weight > 0.0);
            let name = name.trim();
            if name.eq_ignore_ascii_case(encoding) {
                return is_wanted;
            }
            any |= name == "*" && is_wanted;
        }
    }
    any
}

fn look_up(
    root: &Dir,
    layer: &str,
    candidates: &[String],
    wants_directory: bool,
) -> io::Result<Found> {
    for path in candidates {
        if let Some(page) = page(root, layer, path)? {
            return Ok(Found::Page(Arc::new(page)));
        }
    }
    if wants_directory
        && let Some(directory) = candidates.first()
        && is_file(root, &format!("{directory}/index.html"))?
    {
        return Ok(Found::Directory);
    }
    Ok(Found::Nothing)
}

fn page(root: &Dir, layer: &str, path: &str) -> io::Result<Option<Page>> {
    if !is_file(root, path)? {
        return Ok(None);
    }
    let identity = variant(root, layer, path.to_owned(), None)?;
    let mut encoded = Vec::new();
    for (encoding, suffix) in ENCODINGS {
        let sibling = format!("{path}{suffix}");
        if is_file(root, &sibling)? {
            encoded.push(variant(root, layer, sibling, Some(encoding))?);
        }
    }
    Ok(Some(Page {
        content_type: content_type(path),
        identity,
        encoded,
    }))
}

fn variant(
    root: &Dir,
    layer: &str,
    path: String,
    encoding: Option<&'static str>,
) -> io::Result<Variant> {
    let mut file = root.open(&path)?.into_std();
    let length = file.metadata()?.len();
    let mut hasher = Sha256::new();
    let mut bytes = None;
    if length <= FILE_BYTES_KEPT_MAX {
        let mut content = Vec::new();
        file.take(FILE_BYTES_KEPT_MAX).read_to_end(&mut content)?;
        hasher.update(&content);
        bytes = Some(Bytes::from(content));
    } else if length <= DIGESTED_BYTES_MAX {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                read => hasher.update(&chunk[..read]),
            }
        }
    } else {
        hasher.update(format!("{layer}\0{path}\0{length}"));
    }
    let digest = hex::encode(&hasher.finalize()[..16]);
    let etag = HeaderValue::try_from(format!("\"{digest}\"")).map_err(io::Error::other)?;
    Ok(Variant {
        path,
        encoding,
        length,
        etag,
        bytes,
    })
}

/// Whether the path is a file; a path that cannot be one, or whose link leads out of the site, is not.
fn is_file(root: &Dir, path: &str) -> io::Result<bool> {
    match root.metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::PermissionDenied => Ok(false),
            _ if error.raw_os_error() == Some(ELOOP) => Ok(false),
            _ => Err(error),
        },
    }
}
