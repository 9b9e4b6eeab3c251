//! The digest of a source tree, so that an unchanged one is not built again.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Changes whenever the meaning of the digest does.
const FORMAT: &[u8] = b"dyno source tree 1";

/// The digest of names, kinds, executable bits and contents, in one order on every machine. Times and owners do not
/// count, nor does version control's own folder.
pub(super) fn digest(root: &Path) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(FORMAT);
    visit(root, root, &mut hash)?;
    Ok(hash.finalize().into())
}

fn visit(root: &Path, folder: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && folder == root && entry.file_name() == ".git" {
            continue;
        }
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .as_os_str()
            .as_bytes();
        if kind.is_dir() {
            field(hash, b"folder", name);
            visit(root, &path, hash)?;
        } else if kind.is_symlink() {
            field(hash, b"link", name);
            field(
                hash,
                b"target",
                fs::read_link(&path)?.as_os_str().as_bytes(),
            );
        } else {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            field(hash, if executable { b"program" } else { b"file" }, name);
            field(hash, b"content", &content(&path)?);
        }
    }
    Ok(())
}

/// Lengths go in front, so that no two trees hash the same bytes.
fn field(hash: &mut Sha256, kind: &[u8], value: &[u8]) {
    hash.update((kind.len() as u64).to_le_bytes());
    hash.update(kind);
    hash.update((value.len() as u64).to_le_bytes());
    hash.update(value);
}

fn content(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::digest;

    #[test]
    fn the_digest_follows_content_names_and_the_executable_bit_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let file = root.join("a");
        fs::write(&file, "one").expect("written");
        let first = digest(root).expect("read");
        fs::write(&file, "one").expect("written again");
        fs::create_dir(root.join(".git")).expect("created");
        fs::write(root.join(".git/HEAD"), "x").expect("written");
        assert_eq!(digest(root).expect("read"), first);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("changed");
        let executable = digest(root).expect("read");
        assert_ne!(executable, first);
        fs::write(&file, "two").expect("written");
        assert_ne!(digest(root).expect("read"), executable);
        fs::rename(&file, root.join("b")).expect("renamed");
        assert_ne!(digest(root).expect("read"), executable);
    }
}
