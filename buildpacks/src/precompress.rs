//! Compresses a site's files in advance, so that serving them costs nothing.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

use crate::limits;

/// Ends of names worth compressing: text, and formats that are not compressed themselves.
const WORTH_IT: &[&str] = &[
    "atom",
    "bmp",
    "css",
    "csv",
    "eot",
    "geojson",
    "htm",
    "html",
    "ico",
    "js",
    "json",
    "jsonld",
    "map",
    "md",
    "mjs",
    "otf",
    "rss",
    "svg",
    "tsv",
    "ttf",
    "txt",
    "vtt",
    "wasm",
    "webmanifest",
    "xhtml",
    "xml",
    "yaml",
    "yml",
];
/// Brotli's highest quality and a window that every client has.
const BROTLI_QUALITY: u32 = 11;
const BROTLI_WINDOW_BITS: u32 = 22;

/// What [`precompress`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Precompressed {
    /// Files that got at least one compressed sibling.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// The size of the smallest sibling of each.
    pub compressed_bytes: u64,
}

impl std::fmt::Display for Precompressed {
    /// `12 files, 340 kB become 80 kB`, for a build's output.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kilobytes = |bytes: u64| bytes.div_ceil(1000);
        write!(
            formatter,
            "{} files, {} kB become {} kB",
            self.files,
            kilobytes(self.bytes),
            kilobytes(self.compressed_bytes)
        )
    }
}

/// A file could not be compressed.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path} did not work")]
pub struct PrecompressError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes `x.gz` and `x.br` beside each file `x` below `directory` that is worth it.
///
/// A sibling that is there already is left alone, one that would not be smaller is not written,
/// links are not followed. The same files give the same bytes.
pub fn precompress(directory: &Path) -> Result<Precompressed, PrecompressError> {
    let mut done = Precompressed::default();
    visit(directory, 0, &mut done)?;
    Ok(done)
}

fn visit(directory: &Path, depth: usize, done: &mut Precompressed) -> Result<(), PrecompressError> {
    if depth > limits::SOURCE_DEPTH_MAX {
        return Ok(());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("listing", directory))? {
        paths.push(entry.map_err(failed("listing", directory))?.path());
    }
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).map_err(failed("looking at", &path))?;
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if metadata.is_dir() && !is_hidden {
            visit(&path, depth + 1, done)?;
        } else if metadata.is_file() && !is_hidden && is_worth_it(&path, metadata.len()) {
            file(&path, done)?;
        }
    }
    Ok(())
}

fn is_worth_it(path: &Path, length: u64) -> bool {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .map(str::to_ascii_lowercase);
    (limits::PRECOMPRESS_BYTES_MIN..=limits::PRECOMPRESS_BYTES_MAX).contains(&length)
        && extension.is_some_and(|extension| WORTH_IT.contains(&extension.as_str()))
}

fn file(path: &Path, done: &mut Precompressed) -> Result<(), PrecompressError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| {
            file.take(limits::PRECOMPRESS_BYTES_MAX)
                .read_to_end(&mut content)
        })
        .map_err(failed("reading", path))?;
    let mut smallest = None;
    for (suffix, compress) in [
        ("gz", gzip as fn(&[u8]) -> io::Result<Vec<u8>>),
        ("br", brotli),
    ] {
        let mut sibling = path.as_os_str().to_owned();
        sibling.push(".");
        sibling.push(suffix);
        let sibling = PathBuf::from(sibling);
        if fs::symlink_metadata(&sibling).is_ok() {
            continue;
        }
        let compressed = compress(&content).map_err(failed("compressing", path))?;
        if compressed.len() >= content.len() {
            continue;
        }
        fs::write(&sibling, &compressed).map_err(failed("writing", &sibling))?;
        let length = compressed.len() as u64;
        smallest = Some(smallest.map_or(length, |smallest: u64| smallest.min(length)));
    }
    if let Some(smallest) = smallest {
        done.files += 1;
        done.bytes += content.len() as u64;
        done.compressed_bytes += smallest;
    }
    Ok(())
}

/// Without a name or a time in its header, so that equal contents give equal bytes.
fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn brotli(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder =
        brotli::CompressorWriter::new(Vec::new(), 64 * 1024, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
    encoder.write_all(content)?;
    encoder.flush()?;
    Ok(encoder.into_inner())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrecompressError + use<> {
    let path = path.to_owned();
    move |source| PrecompressError {
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
    fn files_worth_it_get_siblings_that_decompress_to_them() {
        let site = tempfile::tempdir().unwrap();
        let text = "hello world, hello world\n".repeat(200);
        fs::create_dir(site.path().join("deep")).unwrap();
        for path in ["deep/a.html", "photo.jpg", ".hidden.html"] {
            fs::write(site.path().join(path), &text).unwrap();
        }
        fs::write(site.path().join("small.css"), "a{}").unwrap();
        let done = precompress(site.path()).unwrap();
        assert_eq!((done.files, done.bytes), (1, text.len() as u64));
        let mut gzip = String::new();
        flate2::read::GzDecoder::new(File::open(site.path().join("deep/a.html.gz")).unwrap())
            .read_to_string(&mut gzip)
            .unwrap();
        assert_eq!(gzip, text);
        let mut brotli = String::new();
        brotli::Decompressor::new(
            File::open(site.path().join("deep/a.html.br")).unwrap(),
            4096,
        )
        .read_to_string(&mut brotli)
        .unwrap();
        assert_eq!(brotli, text);
        for absent in ["photo.jpg.gz", "small.css.gz", ".hidden.html.br"] {
            assert!(!site.path().join(absent).exists(), "{absent}");
        }
    }

    #[test]
    fn equal_files_give_equal_bytes_and_a_sibling_that_is_there_is_kept() {
        let text = "body { color: red }\n".repeat(100);
        let compressed = |time: u64| {
            let site = tempfile::tempdir().unwrap();
            let path = site.path().join("a.css");
            fs::write(&path, &text).unwrap();
            fs::write(site.path().join("a.css.br"), "mine").unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
            File::options()
                .append(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
            precompress(site.path()).unwrap();
            assert_eq!(fs::read(site.path().join("a.css.br")).unwrap(), b"mine");
            fs::read(site.path().join("a.css.gz")).unwrap()
        };
        assert_eq!(compressed(1), compressed(1_000_000));
    }
}
