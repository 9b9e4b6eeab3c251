//! Lists the files of `packs/` and `wit/`, so that the library embeds them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Packs are plain text; a file over this is most likely a stray build product.
const FILE_BYTES_WARN: u64 = 200_000;
/// What editors, interpreters and package managers leave behind.
const LEFT_OUT: &[&str] = &["__pycache__", "node_modules", "target"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let mut files = Vec::new();
    for top in ["packs", "wit"] {
        println!("cargo::rerun-if-changed={top}");
        collect(&root.join(top), &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let length = fs::metadata(file)?.len();
        if length > FILE_BYTES_WARN {
            println!("cargo::warning={} has {length} bytes", name.display());
        }
        writeln!(
            list,
            "    ({:?}, include_bytes!({:?})),",
            name.to_string_lossy(),
            file.to_string_lossy()
        )
        .map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    let output = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(output.join("embedded_files.rs"), list)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || LEFT_OUT.contains(&&*name) || name.ends_with(".pyc") {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
