//! Reads a file layer, trusting nothing in it.

use std::{
    cell::Cell,
    collections::HashMap,
    io::{self, BufReader, Read},
    rc::Rc,
};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};

use crate::{
    archive::{ArchiveEntry, ArchiveKind, copy_exact, walk},
    digest::HashingReader,
    error::{Fault, Problem},
    image::blob_name,
    limits::{COMPRESSION_WINDOW_LOG_MAX, Limits},
    manifest::FileLayer,
    path::check_link,
};

/// Unpacks `layer` from its packed bytes into the empty directory `tree` and makes it read-only.
///
/// The root directory itself stays writable, because a directory that is not cannot be renamed.
pub(crate) fn unpack(
    packed: impl Read,
    layer: &FileLayer,
    limits: &Limits,
    tree: &Dir,
) -> Result<(), Fault> {
    let mut directories = Vec::new();
    read(packed, layer, limits, &mut |entry, body| {
        match &entry.kind {
            ArchiveKind::Directory => {
                tree.create_dir(&entry.path)
                    .map_err(Fault::io(format!("creating {}", entry.path)))?;
                directories.push(entry.path.clone());
                Ok(())
            }
            ArchiveKind::Symlink { target } => tree
                .symlink(target, &entry.path)
                .map_err(Fault::io(format!("creating {}", entry.path))),
            ArchiveKind::File { executable } => {
                let mode = if *executable { 0o555 } else { 0o444 };
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(mode);
                let mut file = tree
                    .open_with(&entry.path, &options)
                    .map_err(Fault::io(format!("creating {}", entry.path)))?;
                copy_exact(&entry.path, body, entry.size, &mut file)?;
                // Whatever the umask took away.
                file.set_permissions(Permissions::from_mode(mode))
                    .map_err(Fault::io(format!("protecting {}", entry.path)))
            }
        }
    })?;
    for directory in directories.iter().rev() {
        tree.set_permissions(directory, Permissions::from_mode(0o555))
            .map_err(Fault::io(format!("protecting {directory}")))?;
    }
    Ok(())
}

/// Reads `layer` to its end and checks everything, unpacking nothing.
pub(crate) fn verify(packed: impl Read, layer: &FileLayer, limits: &Limits) -> Result<(), Fault> {
    read(packed, layer, limits, &mut |entry, body| {
        copy_exact(&entry.path, body, entry.size, &mut io::sink())
    })
}

/// What an entry of a layer is, apart from its body.
struct LayerEntry {
    path: String,
    kind: ArchiveKind,
    size: u64,
}

type Visit<'a> = dyn FnMut(&LayerEntry, &mut dyn Read) -> Result<(), Fault> + 'a;

fn read(
    packed: impl Read,
    layer: &FileLayer,
    limits: &Limits,
    visit: &mut Visit<'_>,
) -> Result<(), Fault> {
    let name = blob_name(&layer.digest);
    let mut packed = HashingReader::new(packed.take(layer.size.saturating_add(1)));
    let over = Rc::new(Cell::new(None));
    let result = {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::new(&mut packed))
            .map_err(Fault::reading(&*name))?;
        decoder
            .window_log_max(COMPRESSION_WINDOW_LOG_MAX)
            .map_err(Fault::reading(&*name))?;
        let meter = Meter {
            inner: decoder,
            left: allowances(layer, limits),
            over: Rc::clone(&over),
        };
        let mut layout = Layout::default();
        let result = walk(meter, limits, &mut |entry| {
            layout.entry(entry, limits, visit)
        });
        result.and_then(|()| layout.check_total(layer, &name))
    };
    if let Some(problem) = over.take() {
        return Err(Fault::refused(name, problem));
    }
    result.map_err(|fault| fault.inside(layer))?;
    // Nothing may follow the compressed stream, and all of it must be what was declared.
    io::copy(&mut packed, &mut io::sink()).map_err(Fault::reading(&*name))?;
    let (digest, size) = packed.finish();
    if size != layer.size {
        return Err(Fault::refused(
            name,
            Problem::Size {
                declared: layer.size,
                actual: size,
            },
        ));
    }
    if digest != layer.digest {
        return Err(Fault::refused(
            name,
            Problem::Digest {
                expected: layer.digest,
                actual: digest,
            },
        ));
    }
    Ok(())
}

/// The decoded bytes a layer may have, with what to say when there are more.
fn allowances(layer: &FileLayer, limits: &Limits) -> [(u64, &'static str, u64); 2] {
    let ratio_bytes = layer.size.saturating_mul(limits.compression_ratio_max);
    [
        (
            layer
                .unpacked_size
                .saturating_add(limits.archive_overhead_bytes_max()),
            "the unpacked archive in bytes",
            layer
                .unpacked_size
                .saturating_add(limits.archive_overhead_bytes_max()),
        ),
        (
            ratio_bytes.max(limits.compression_floor_bytes),
            "the ratio of unpacked to packed bytes",
            limits.compression_ratio_max,
        ),
    ]
}

/// Stops a decoder that gives more than the layer may hold.
struct Meter<R> {
    inner: R,
    left: [(u64, &'static str, u64); 2],
    over: Rc<Cell<Option<Problem>>>,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        for (left, what, limit) in &mut self.left {
            let Some(rest) = left.checked_sub(length as u64) else {
                self.over.set(Some(Problem::Limit {
                    what,
                    limit: *limit,
                }));
                return Err(io::Error::other("more unpacked bytes than allowed"));
            };
            *left = rest;
        }
        Ok(length)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A directory that an entry made.
    Directory,
    /// A directory that only the path of something in it implied.
    Implied,
    /// A file or a link: nothing lies below it.
    Leaf,
}

/// What the tree looks like so far. The tree began empty and only we write to it, so this is the
/// truth, and nothing is ever written through a link.
#[derive(Default)]
struct Layout {
    seen: HashMap<String, Seen>,
    files_bytes: u64,
}

impl Layout {
    fn entry(
        &mut self,
        entry: &mut ArchiveEntry<'_>,
        limits: &Limits,
        visit: &mut Visit<'_>,
    ) -> Result<(), Fault> {
        let refuse = |problem| Fault::refused(&entry.path, problem);
        self.parents(&entry.path, limits, visit)?;
        let seen = match &entry.kind {
            ArchiveKind::Directory => Seen::Directory,
            ArchiveKind::Symlink { target } => {
                check_link(&entry.path, target, limits).map_err(refuse)?;
                Seen::Leaf
            }
            ArchiveKind::File { .. } => {
                if entry.size > limits.file_bytes_max {
                    return Err(refuse(Problem::Limit {
                        what: "the size of a file in bytes",
                        limit: limits.file_bytes_max,
                    }));
                }
                self.files_bytes = self.files_bytes.saturating_add(entry.size);
                if self.files_bytes > limits.unpacked_bytes_max {
                    return Err(refuse(Problem::Limit {
                        what: "the size of all files unpacked in bytes",
                        limit: limits.unpacked_bytes_max,
                    }));
                }
                Seen::Leaf
            }
        };
        match self.seen.get(&entry.path) {
            Some(Seen::Implied) if seen == Seen::Directory => {
                self.seen.insert(entry.path.clone(), Seen::Directory);
                return Ok(());
            }
            Some(_) => return Err(refuse(Problem::Duplicate)),
            None => {}
        }
        self.add(&entry.path, seen, limits)?;
        let described = LayerEntry {
            path: entry.path.clone(),
            kind: entry.kind.clone(),
            size: entry.size,
        };
        visit(&described, entry.body)
    }

    /// Makes the directories above `path` that no entry made, and refuses parents that are none.
    fn parents(&mut self, path: &str, limits: &Limits, visit: &mut Visit<'_>) -> Result<(), Fault> {
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            match self.seen.get(parent) {
                Some(Seen::Directory | Seen::Implied) => {}
                Some(Seen::Leaf) => {
                    return Err(Fault::refused(
                        path,
                        Problem::NotInDirectory {
                            parent: parent.to_owned(),
                        },
                    ));
                }
                None => {
                    self.add(parent, Seen::Implied, limits)?;
                    let directory = LayerEntry {
                        path: parent.to_owned(),
                        kind: ArchiveKind::Directory,
                        size: 0,
                    };
                    visit(&directory, &mut io::empty())?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, seen: Seen, limits: &Limits) -> Result<(), Fault> {
        if self.seen.len() as u64 >= limits.entries_max {
            return Err(Fault::refused(
                path,
                Problem::Limit {
                    what: "the number of files in one layer",
                    limit: limits.entries_max,
                },
            ));
        }
        self.seen.insert(path.to_owned(), seen);
        Ok(())
    }

    fn check_total(&self, layer: &FileLayer, name: &str) -> Result<(), Fault> {
        if self.files_bytes == layer.unpacked_size {
            return Ok(());
        }
        Err(Fault::refused(
            name,
            Problem::Size {
                declared: layer.unpacked_size,
                actual: self.files_bytes,
            },
        ))
    }
}

impl Fault {
    /// Says which layer an entry is in.
    fn inside(self, layer: &FileLayer) -> Self {
        match self {
            Self::Refused { entry, problem } => Self::Refused {
                entry: format!("{entry} (in the layer {})", layer.mount),
                problem,
            },
            other @ Self::Io { .. } => other,
        }
    }
}
