//! Packs a source directory as one file layer, always the same bytes for the same files.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use crate::{
    digest::{Digest, DigestHasher, HashingWriter},
    error::{Problem, WriteError},
    limits::{COMPRESSION_LEVEL, Limits},
    source::{FileSource, Found, walk},
};

/// What packing a layer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackedLayer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) unpacked_size: u64,
}

/// Packs `source` into `sink` as tar + zstd.
pub(crate) fn pack(
    source: &FileSource,
    limits: &Limits,
    sink: impl Write,
) -> Result<PackedLayer, WriteError> {
    let failed = |error| WriteError::Io {
        action: "packing",
        path: source.directory.clone(),
        source: error,
    };
    let sink = HashingWriter::new(sink);
    // One thread and a fixed level: the compressed bytes are part of the slug's name.
    let encoder = zstd::stream::write::Encoder::new(sink, COMPRESSION_LEVEL).map_err(failed)?;
    let (encoder, unpacked_size, archive_size) = write_archive(source, limits, encoder)?;
    let sink = encoder.finish().map_err(failed)?;
    let (mut sink, digest, size) = sink.finish();
    sink.flush().map_err(failed)?;
    // What no reader would accept is not written either.
    let ratio_bytes = size.saturating_mul(limits.compression_ratio_max);
    if archive_size > limits.compression_floor_bytes.max(ratio_bytes) {
        return Err(WriteError::Source {
            path: source.directory.clone(),
            problem: Problem::Limit {
                what: "the ratio of unpacked to packed bytes",
                limit: limits.compression_ratio_max,
            },
        });
    }
    Ok(PackedLayer {
        digest,
        size,
        unpacked_size,
    })
}

/// A digest of everything that decides a layer's bytes, without compressing them.
pub(crate) fn input_digest(source: &FileSource, limits: &Limits) -> Result<Digest, WriteError> {
    let mut hasher = DigestHasher::new();
    hasher.update(
        format!(
            "layer 1, zstd {} level {COMPRESSION_LEVEL}\n",
            zstd::zstd_safe::version_number()
        )
        .as_bytes(),
    );
    let (hasher, ..) = write_archive(source, limits, hasher)?;
    Ok(hasher.finish())
}

/// Writes the tar stream; answers the sink, the sum of the files' sizes and the stream's length.
fn write_archive<W: Write>(
    source: &FileSource,
    limits: &Limits,
    sink: W,
) -> Result<(W, u64, u64), WriteError> {
    let mut unpacked_size: u64 = 0;
    let mut archive = Builder::new(CountingWriter { sink, written: 0 });
    walk(source, limits, &mut |path, found| {
        let place = source.directory.join(path);
        let io = |action| {
            let path = place.clone();
            move |source| WriteError::Io {
                action,
                path,
                source,
            }
        };
        match found {
            Found::Directory => {
                let mut header = header(EntryType::Directory, 0o755, 0);
                archive
                    .append_data(&mut header, format!("{path}/"), io::empty())
                    .map_err(io("packing"))
            }
            Found::Symlink { target } => {
                let mut header = header(EntryType::Symlink, 0o755, 0);
                archive
                    .append_link(&mut header, path, &target)
                    .map_err(io("packing"))
            }
            Found::File {
                file,
                size,
                executable,
            } => {
                unpacked_size = unpacked_size.saturating_add(size);
                if unpacked_size > limits.unpacked_bytes_max {
                    return Err(WriteError::Source {
                        path: place.clone(),
                        problem: Problem::Limit {
                            what: "the size of all files unpacked in bytes",
                            limit: limits.unpacked_bytes_max,
                        },
                    });
                }
                let mut header = header(
                    EntryType::Regular,
                    if executable { 0o755 } else { 0o644 },
                    size,
                );
                let mut body = SizedReader { file, left: size };
                archive
                    .append_data(&mut header, path, &mut body)
                    .map_err(|error| {
                        if error
                            .get_ref()
                            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<SizeChanged>)
                        {
                            WriteError::Changed {
                                path: place.clone(),
                            }
                        } else {
                            io("packing")(error)
                        }
                    })
            }
        }
    })?;
    let failed = |error| WriteError::Io {
        action: "packing",
        path: PathBuf::from(&source.directory),
        source: error,
    };
    let counted = archive.into_inner().map_err(failed)?;
    Ok((counted.sink, unpacked_size, counted.written))
}

/// Fixed owner, time and mode: only names, kinds and bytes make a difference.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

struct CountingWriter<W> {
    sink: W,
    written: u64,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the file's size changed while it was read")]
struct SizeChanged;

/// Reads exactly the bytes that the header promised, or fails: anything else is a broken archive.
struct SizedReader<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for SizedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let grown = self.file.read(&mut buffer[..1])? != 0;
            return if grown {
                Err(io::Error::other(SizeChanged))
            } else {
                Ok(0)
            };
        }
        let room = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let length = self.file.read(&mut buffer[..room])?;
        if length == 0 {
            return Err(io::Error::other(SizeChanged));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Packs `source` into a new file at `path`, through to the disk's cache.
pub(crate) fn pack_to_file(
    source: &FileSource,
    limits: &Limits,
    path: &Path,
) -> Result<PackedLayer, WriteError> {
    let io = |action| {
        let path = path.to_owned();
        move |source| WriteError::Io {
            action,
            path,
            source,
        }
    };
    let file = std::fs::File::create(path).map_err(io("creating"))?;
    let mut sink = io::BufWriter::new(file);
    let packed = pack(source, limits, &mut sink)?;
    sink.flush().map_err(io("writing"))?;
    Ok(packed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_or_shrinks_while_it_is_read_is_noticed() {
        let mut bytes = Vec::new();
        for (real, declared) in [(&b"abc"[..], 2), (b"abc", 4)] {
            let error = SizedReader {
                file: real,
                left: declared,
            }
            .read_to_end(&mut bytes)
            .unwrap_err();
            assert!(error.get_ref().unwrap().is::<SizeChanged>(), "{declared}");
        }
        bytes.clear();
        SizedReader {
            file: &b"abc"[..],
            left: 3,
        }
        .read_to_end(&mut bytes)
        .unwrap();
        assert_eq!(bytes, b"abc");
    }
}
