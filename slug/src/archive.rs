//! A bounded walk over a tar archive's entries.

use std::io::{self, Read, Seek};

use tar::{Archive, Entries, EntryType, PaxExtensions};

use crate::{
    error::{Fault, Problem},
    limits::{ARCHIVE_PADDING_BYTES_MAX, BUFFER_BYTES, Limits},
    path::entry_path,
};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveKind {
    File { executable: bool },
    Directory,
    Symlink { target: String },
}

/// One entry whose name, kind and mode have been checked; links have not.
pub(crate) struct ArchiveEntry<'a> {
    pub(crate) path: String,
    pub(crate) kind: ArchiveKind,
    pub(crate) size: u64,
    /// Where the body begins in the archive.
    pub(crate) position: u64,
    pub(crate) body: &'a mut dyn Read,
}

/// Calls `visit` for every entry of a tar stream, in order, to its end marker and beyond.
///
/// The tar crate reads long names and PAX headers whole into memory, as long as they say they are:
/// here they are read raw, within [`Limits::extension_bytes_max`].
pub(crate) fn walk<R: Read>(
    reader: R,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut ArchiveEntry<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut archive = Archive::new(reader);
    let entries = archive.entries().map_err(Fault::reading("the archive"))?;
    walk_entries(entries.raw(true), limits, visit)?;
    check_padding(archive.into_inner())
}

/// As [`walk`], but passes over the bodies that `visit` does not read.
pub(crate) fn walk_seekable<R: Read + Seek>(
    reader: R,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut ArchiveEntry<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut archive = Archive::new(reader);
    let entries = archive
        .entries_with_seek()
        .map_err(Fault::reading("the archive"))?;
    walk_entries(entries.raw(true), limits, visit)?;
    check_padding(archive.into_inner())
}

/// Long names seen before the entry they belong to.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

fn walk_entries<R: Read>(
    entries: Entries<'_, R>,
    limits: &Limits,
    visit: &mut dyn FnMut(&mut ArchiveEntry<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut extensions = Extensions::default();
    let mut previous = "the archive's first entry".to_owned();
    // Headers of names count too: an archive of nothing but them must end as well.
    let headers_max = limits.entries_max.saturating_mul(3);
    for (index, entry) in entries.enumerate() {
        if index as u64 >= headers_max {
            return Err(Fault::refused(
                "the archive",
                Problem::Limit {
                    what: "the number of headers",
                    limit: headers_max,
                },
            ));
        }
        let mut entry = entry.map_err(Fault::reading(format!("what follows {previous}")))?;
        let raw_path = extensions
            .path
            .clone()
            .unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let shown = shown(&raw_path);
        let size = entry.size();
        let kind = entry.header().entry_type();
        if is_extension(kind) {
            read_extension(&mut entry, kind, size, limits, &mut extensions)
                .map_err(|fault| fault.named(&shown))?;
            continue;
        }
        let extensions = std::mem::take(&mut extensions);
        if extensions.size.is_some_and(|extended| extended != size) {
            return Err(Fault::refused(
                shown,
                Problem::Archive("two sizes for one entry".to_owned()),
            ));
        }
        let refuse = |problem| Fault::refused(shown.clone(), problem);
        let path = entry_path(&raw_path, limits).map_err(refuse)?;
        let kind = entry_kind(entry.header(), extensions.link, size).map_err(refuse)?;
        previous = shown.clone();
        let Some(path) = path else {
            // The root itself, which some tools write first.
            if kind == ArchiveKind::Directory {
                continue;
            }
            return Err(refuse(Problem::Path("only a directory can be the root")));
        };
        let position = entry.raw_file_position();
        visit(&mut ArchiveEntry {
            path,
            kind,
            size,
            position,
            body: &mut entry,
        })?;
    }
    Ok(())
}

fn entry_kind(
    header: &tar::Header,
    link: Option<Vec<u8>>,
    size: u64,
) -> Result<ArchiveKind, Problem> {
    let mode = header
        .mode()
        .map_err(|error| Problem::Archive(error.to_string()))?;
    if mode & 0o6000 != 0 {
        return Err(Problem::SetId);
    }
    let kind = match header.entry_type() {
        EntryType::Regular => {
            return Ok(ArchiveKind::File {
                executable: mode & 0o100 != 0,
            });
        }
        EntryType::Directory => ArchiveKind::Directory,
        EntryType::Symlink => {
            let target = link
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                .unwrap_or_default();
            let target = String::from_utf8(target).map_err(|error| Problem::LinkTarget {
                target: shown(error.as_bytes()),
            })?;
            ArchiveKind::Symlink { target }
        }
        EntryType::Link => return Err(Problem::Kind("a hard link")),
        EntryType::Char | EntryType::Block => return Err(Problem::Kind("a device")),
        EntryType::Fifo => return Err(Problem::Kind("a named pipe")),
        EntryType::GNUSparse => return Err(Problem::Kind("a sparse file")),
        _ => return Err(Problem::Kind("of an unknown kind")),
    };
    if size != 0 {
        return Err(Problem::Size {
            declared: size,
            actual: 0,
        });
    }
    Ok(kind)
}

fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader
    )
}

fn read_extension(
    body: &mut dyn Read,
    kind: EntryType,
    size: u64,
    limits: &Limits,
    extensions: &mut Extensions,
) -> Result<(), Fault> {
    const ENTRY: &str = "a header";
    if size > limits.extension_bytes_max {
        return Err(Fault::refused(
            ENTRY,
            Problem::Limit {
                what: "a long-name or extended header in bytes",
                limit: limits.extension_bytes_max,
            },
        ));
    }
    let mut payload = Vec::new();
    copy_exact(ENTRY, body, size, &mut payload)?;
    let name = || {
        let end = payload
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(payload.len());
        payload[..end].to_vec()
    };
    match kind {
        EntryType::GNULongName => extensions.path = Some(name()),
        EntryType::GNULongLink => extensions.link = Some(name()),
        _ => {
            for extension in PaxExtensions::new(&payload) {
                let extension = extension.map_err(Fault::reading(ENTRY))?;
                let value = extension.value_bytes().to_vec();
                match extension.key_bytes() {
                    b"path" => extensions.path = Some(value),
                    b"linkpath" => extensions.link = Some(value),
                    b"size" => {
                        let size = std::str::from_utf8(&value)
                            .ok()
                            .and_then(|text| text.parse().ok());
                        // A size that is none differs from every header's.
                        extensions.size = Some(size.unwrap_or(u64::MAX));
                    }
                    key if key.starts_with(b"GNU.sparse") => {
                        return Err(Fault::refused(ENTRY, Problem::Kind("a sparse file")));
                    }
                    // Times, owners and extended attributes: a slug has none, so nothing reads them.
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Copies exactly `size` bytes of `entry`'s body.
pub(crate) fn copy_exact(
    entry: &str,
    body: &mut dyn Read,
    size: u64,
    sink: &mut dyn io::Write,
) -> Result<(), Fault> {
    let mut buffer = vec![
        0;
        BUFFER_BYTES
            .min(usize::try_from(size).unwrap_or(BUFFER_BYTES))
            .max(1)
    ];
    let mut copied = 0;
    while copied < size {
        let room = buffer
            .len()
            .min(usize::try_from(size - copied).unwrap_or(buffer.len()));
        match body.read(&mut buffer[..room]) {
            Ok(0) => return Err(Fault::refused(entry, Problem::Truncated)),
            Ok(length) => {
                sink.write_all(&buffer[..length])
                    .map_err(Fault::io(format!("writing {entry}")))?;
                copied += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::reading(entry)(error)),
        }
    }
    Ok(())
}

/// After the end marker come zeros and nothing else: no room for a second meaning.
fn check_padding(mut reader: impl Read) -> Result<(), Fault> {
    const ENTRY: &str = "what follows the archive's end";
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut padding = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                padding += length as u64;
                if padding > ARCHIVE_PADDING_BYTES_MAX {
                    return Err(Fault::refused(
                        ENTRY,
                        Problem::Limit {
                            what: "the padding in bytes",
                            limit: ARCHIVE_PADDING_BYTES_MAX,
                        },
                    ));
                }
                if buffer[..length].iter().any(|byte| *byte != 0) {
                    return Err(Fault::refused(ENTRY, Problem::Unexpected));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::reading(ENTRY)(error)),
        }
    }
}

/// A hostile name made fit for a message: control characters escaped, cut to a readable length.
fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut shown: String = text
        .chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(120).is_some() {
        shown.push('…');
    }
    if shown.is_empty() {
        "(no name)".to_owned()
    } else {
        shown
    }
}

impl Fault {
    /// Puts the entry's real name in place of a general one.
    fn named(self, entry: &str) -> Self {
        match self {
            Self::Refused { problem, .. } => Self::refused(entry, problem),
            other @ Self::Io { .. } => other,
        }
    }
}
