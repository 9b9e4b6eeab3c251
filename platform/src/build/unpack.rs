//! A source archive becomes a folder: hostile bytes in, nothing outside the folder touched.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

use super::source_tree;
use crate::limits::{
    SOURCE_ENTRIES_MAX, SOURCE_PATH_BYTES_MAX, SOURCE_PATH_DEPTH_MAX, SOURCE_TREE_BYTES_MAX,
};

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("the source archive is damaged, or neither a tar nor a gzipped tar file")]
    NotAnArchive(#[source] io::Error),
    #[error("the source archive is empty")]
    Empty,
    #[error("the source archive's entry {entry}: {problem}")]
    Entry {
        entry: String,
        problem: &'static str,
    },
    #[error("the source archive is too large: {what} is over the limit of {limit}")]
    Limit { what: &'static str, limit: u64 },
    #[error("the source archive's checksum is {actual}, and {expected} was promised")]
    Checksum { expected: String, actual: String },
    #[error("unpacking the source did not work")]
    Io(#[source] io::Error),
}

/// An unpacked source.
#[derive(Clone, Debug)]
pub(super) struct Unpacked {
    /// The app's root: the folder it was unpacked into, or the only folder in that one when the archive is a code
    /// host's, which puts the whole tree one level down.
    pub root: PathBuf,
    /// `SHA256:…` of the archive.
    pub archive: String,
    /// The digest of the tree, in hexadecimal.
    pub tree: String,
}

/// Counts what an archive has cost so far.
struct Budget {
    entries: u64,
    bytes: u64,
}

/// Unpacks `archive` into the empty folder `target`.
///
/// `checksum` — what the client promised, `SHA256:…` in any case.
pub(super) fn unpack(
    archive: &Path,
    target: &Path,
    checksum: Option<&str>,
) -> Result<Unpacked, UnpackError> {
    let mut file = File::open(archive).map_err(UnpackError::Io)?;
    let actual = archive_digest(&mut file)?;
    if let Some(expected) = checksum.filter(|expected| !actual.eq_ignore_ascii_case(expected)) {
        let expected = expected.to_owned();
        return Err(UnpackError::Checksum { expected, actual });
    }
    let mut magic = [0; 2];
    let gzipped = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
    file.rewind().map_err(UnpackError::Io)?;
    let reader = BufReader::new(file);
    let folder = Dir::open_ambient_dir(target, ambient_authority()).map_err(UnpackError::Io)?;
    let code_host = if gzipped {
        unpack_entries(MultiGzDecoder::new(reader), &folder)?
    } else {
        unpack_entries(reader, &folder)?
    };
    let only = if code_host {
        only_folder(&folder).map_err(UnpackError::Io)?
    } else {
        None
    };
    let root = only.map_or_else(|| target.to_owned(), |only| target.join(only));
    let tree = source_tree::digest(&root).map_err(UnpackError::Io)?;
    Ok(Unpacked {
        root,
        archive: actual,
        tree: hex::encode(tree),
    })
}

fn archive_digest(file: &mut File) -> Result<String, UnpackError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(UnpackError::Io)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    file.rewind().map_err(UnpackError::Io)?;
    Ok(format!("SHA256:{}", hex::encode(hash.finalize())))
}

/// Unpacks all entries; answers whether `git archive` made them.
fn unpack_entries(reader: impl Read, folder: &Dir) -> Result<bool, UnpackError> {
    // The decompressed stream is bounded too, so that padding and skipped entries cost no more than files.
    let limit = SOURCE_TREE_BYTES_MAX + SOURCE_ENTRIES_MAX * 2_048;
    let mut archive = Archive::new(reader.take(limit));
    let mut budget = Budget {
        entries: 0,
        bytes: 0,
    };
    let mut from_git = false;
    for entry in archive.entries().map_err(UnpackError::NotAnArchive)? {
        let mut entry = entry.map_err(UnpackError::NotAnArchive)?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => from_git = true,
            kind => unpack_entry(&mut entry, kind, folder, &mut budget)?,
        }
    }
    if budget.entries == 0 {
        Err(UnpackError::Empty)
    } else {
        Ok(from_git)
    }
}

fn unpack_entry<R: Read>(
    entry: &mut Entry<'_, R>,
    kind: EntryType,
    folder: &Dir,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    let path = entry
        .path()
        .map_err(UnpackError::NotAnArchive)?
        .into_owned();
    let refuse = |problem| UnpackError::Entry {
        entry: shown(&path),
        problem,
    };
    let relative = check_path(&path).map_err(refuse)?;
    budget.entries += 1;
    if budget.entries > SOURCE_ENTRIES_MAX {
        return Err(UnpackError::Limit {
            what: "the number of entries",
            limit: SOURCE_ENTRIES_MAX,
        });
    }
    if relative.as_os_str().is_empty() {
        return Ok(());
    }
    if let Some(parent) = relative
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        folder
            .create_dir_all(parent)
            .map_err(|_| refuse("its parent is not a folder inside the tree"))?;
    }
    match kind {
        EntryType::Directory => folder
            .create_dir_all(&relative)
            .map_err(|_| refuse("it is already something else")),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let executable = entry.header().mode().unwrap_or(0o644) & 0o100 != 0;
            write_file(entry, folder, &relative, executable, budget)
        }
        EntryType::Symlink => {
            let target = entry
                .link_name()
                .ok()
                .flatten()
                .ok_or_else(|| refuse("its link has no target"))?;
            check_link(&relative, &target).map_err(refuse)?;
            folder
                .symlink(&target, &relative)
                .map_err(|_| refuse("it appears twice"))
        }
        EntryType::Link => {
            // Archivers write the second name of a file as a link to the first: both become files.
            let target = entry
                .link_name()
                .ok()
                .flatten()
                .ok_or_else(|| refuse("its link has no target"))?;
            let target = check_path(&target).map_err(refuse)?;
            let source = folder
                .open(&target)
                .map_err(|_| refuse("it links to a file that does not come before it"))?;
            let mut source = source.into_std();
            let mode = source
                .metadata()
                .map_err(UnpackError::Io)?
                .permissions()
                .mode();
            write_file(&mut source, folder, &relative, mode & 0o100 != 0, budget)
        }
        _ => Err(refuse(
            "it is a device, a pipe or something else that no source needs",
        )),
    }
}

fn write_file(
    content: &mut impl Read,
    folder: &Dir,
    path: &Path,
    executable: bool,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(if executable { 0o755 } else { 0o644 });
    let mut file = folder
        .open_with(path, &options)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => UnpackError::Entry {
                entry: shown(path),
                problem: "it appears twice",
            },
            _ => UnpackError::Io(error),
        })?;
    let allowed = SOURCE_TREE_BYTES_MAX - budget.bytes;
    // One byte more than allowed tells a full budget from an overrun one.
    let written = io::copy(&mut content.take(allowed + 1), &mut file).map_err(UnpackError::Io)?;
    if written > allowed {
        return Err(UnpackError::Limit {
            what: "the sum of all files",
            limit: SOURCE_TREE_BYTES_MAX,
        });
    }
    budget.bytes += written;
    Ok(())
}

/// A relative path of plain names; `.` components are dropped.
fn check_path(path: &Path) -> Result<PathBuf, &'static str> {
    if path.as_os_str().len() > SOURCE_PATH_BYTES_MAX {
        return Err("its path is too long");
    }
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::CurDir => {}
            _ => return Err("its path is absolute or has .. in it"),
        }
    }
    if relative.components().count() > SOURCE_PATH_DEPTH_MAX {
        return Err("its path is too deep");
    }
    Ok(relative)
}

/// A link target that stays inside the tree, followed from the link's own folder.
fn check_link(link: &Path, target: &Path) -> Result<(), &'static str> {
    if target.as_os_str().len() > SOURCE_PATH_BYTES_MAX {
        return Err("its link target is too long");
    }
    let mut depth = link.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return Err("its link leaves the tree"),
        }
    }
    Ok(())
}

fn only_folder(folder: &Dir) -> io::Result<Option<PathBuf>> {
    let mut entries = folder.entries()?;
    let (Some(first), None) = (entries.next().transpose()?, entries.next()) else {
        return Ok(None);
    };
    Ok(first
        .file_type()?
        .is_dir()
        .then(|| first.file_name().into()))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, EntryType, Header};

    use super::{UnpackError, unpack};

    fn header(kind: EntryType, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o755);
        header
    }

    /// Writes the name without the tar crate's own checks.
    fn raw(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
        let mut header = header(kind, content.len());
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn try_unpack(
        bytes: &[u8],
        checksum: Option<&str>,
    ) -> (tempfile::TempDir, Result<PathBuf, UnpackError>) {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = folder.path().join("source.tar");
        fs::write(&archive, bytes).expect("written");
        let target = folder.path().join("tree");
        fs::create_dir(&target).expect("created");
        let result = unpack(&archive, &target, checksum).map(|unpacked| unpacked.root);
        (folder, result)
    }

    fn tree(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.extend_from_slice(&[0; 1024]);
        bytes
    }

    #[test]
    fn files_folders_and_links_arrive() {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut file = header(EntryType::Regular, 5);
        builder
            .append_data(&mut file, "./bin/run", &b"hello"[..])
            .expect("appended");
        let mut link = header(EntryType::Symlink, 0);
        builder
            .append_link(&mut link, "run", "bin/run")
            .expect("appended");
        let bytes = builder
            .into_inner()
            .and_then(GzEncoder::finish)
            .expect("finished");
        let (_folder, root) = try_unpack(&bytes, None);
        let root = root.expect("unpacked");
        assert_eq!(
            fs::read_to_string(root.join("run")).expect("readable"),
            "hello"
        );
        let mode = fs::metadata(root.join("bin/run"))
            .expect("there")
            .permissions()
            .mode();
        assert!(mode & 0o100 != 0, "{mode:o}");
    }

    #[test]
    fn hostile_entries_are_refused_by_name() {
        let cases = [
            (raw("../evil", EntryType::Regular, "", b"x"), "../evil"),
            (raw("/etc/evil", EntryType::Regular, "", b"x"), "/etc/evil"),
            (
                raw("a/../../evil", EntryType::Regular, "", b"x"),
                "a/../../evil",
            ),
            (raw("link", EntryType::Symlink, "/etc/passwd", b""), "link"),
            (raw("a/link", EntryType::Symlink, "../../x", b""), "a/link"),
            (raw("dev", EntryType::Char, "", b""), "dev"),
            (raw("pipe", EntryType::Fifo, "", b""), "pipe"),
            (
                raw("hard", EntryType::Link, "../../etc/passwd", b""),
                "hard",
            ),
        ];
        for (entry, name) in cases {
            let (_folder, result) = try_unpack(&tree(&[entry]), None);
            match result {
                Err(error @ UnpackError::Entry { .. }) => {
                    assert!(error.to_string().contains(name), "{error}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let entries = [
            raw("d", EntryType::Symlink, "e", b""),
            raw("e", EntryType::Symlink, "d", b""),
            raw("d/f", EntryType::Regular, "", b"x"),
        ];
        let (_folder, result) = try_unpack(&tree(&entries), None);
        assert!(result.is_err(), "{result:?}");
    }

    #[test]
    fn a_name_that_appears_twice_is_refused() {
        let file = raw("a", EntryType::Regular, "", b"x");
        let (_folder, result) = try_unpack(&tree(&[file.clone(), file]), None);
        assert!(
            matches!(result, Err(UnpackError::Entry { .. })),
            "{result:?}"
        );
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"hello", b"\x1f\x8bnonsense", &[7; 2048]] {
            let (_folder, result) = try_unpack(bytes, None);
            assert!(
                matches!(
                    result,
                    Err(UnpackError::NotAnArchive(_) | UnpackError::Empty)
                ),
                "{result:?}"
            );
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let bytes = tree(&[raw("a", EntryType::Regular, "", b"x")]);
        let (_folder, result) = try_unpack(&bytes, Some("SHA256:00"));
        assert!(
            matches!(result, Err(UnpackError::Checksum { .. })),
            "{result:?}"
        );
        let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        assert!(try_unpack(&bytes, Some(&format!("SHA256:{sum}"))).1.is_ok());
    }

    #[test]
    fn a_code_hosts_single_folder_is_the_root_and_a_users_is_not() {
        let file = raw("top/index.html", EntryType::Regular, "", b"x");
        let (_folder, root) = try_unpack(&tree(std::slice::from_ref(&file)), None);
        assert!(root.expect("unpacked").ends_with("tree"));
        let git = raw(
            "pax_global_header",
            EntryType::XGlobalHeader,
            "",
            b"19 comment=abcdef0\n",
        );
        let (_folder, root) = try_unpack(&tree(&[git, file]), None);
        assert!(root.expect("unpacked").ends_with(Path::new("tree/top")));
    }

    #[test]
    fn a_bomb_stops_at_the_limit_of_entries() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for number in 0..=crate::limits::SOURCE_ENTRIES_MAX {
            // Folders that exist already cost nothing but their count.
            let entry = raw(
                if number % 2 == 0 { "a" } else { "b" },
                EntryType::Directory,
                "",
                b"",
            );
            encoder.write_all(&entry).expect("written");
        }
        let (_folder, result) = try_unpack(&encoder.finish().expect("finished"), None);
        assert!(
            matches!(result, Err(UnpackError::Limit { .. })),
            "{result:?}"
        );
    }
}
