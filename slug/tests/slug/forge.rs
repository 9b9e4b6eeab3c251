//! Forges slugs byte by byte, as no builder would write them.

use std::path::Path;

use dyno_slug::{Digest, Limits, MEDIA_TYPE_FILES, MEDIA_TYPE_SLUG, SlugFile, SlugStore};
use serde_json::{Value, json};
use tar::EntryType;

/// One tar entry; every field may lie.
#[derive(Clone)]
pub struct Entry {
    name: Vec<u8>,
    kind: EntryType,
    mode: u32,
    link: String,
    body: Vec<u8>,
    declared: Option<u64>,
}

impl Entry {
    pub fn of_kind(kind: EntryType, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            kind,
            mode: 0o644,
            link: String::new(),
            body: Vec::new(),
            declared: None,
        }
    }

    pub fn file(name: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::of_kind(EntryType::Regular, name);
        entry.body = body.as_ref().to_vec();
        entry
    }

    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self::of_kind(EntryType::Directory, name).mode(0o755)
    }

    pub fn link(kind: EntryType, name: impl AsRef<[u8]>, target: &str) -> Self {
        let mut entry = Self::of_kind(kind, name);
        target.clone_into(&mut entry.link);
        entry
    }

    pub fn symlink(name: impl AsRef<[u8]>, target: &str) -> Self {
        Self::link(EntryType::Symlink, name, target)
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// What the header says the body's size is.
    pub fn declared(mut self, size: u64) -> Self {
        self.declared = Some(size);
        self
    }

    /// Straight into the header's bytes: the tar crate's own setters refuse hostile names.
    fn write(&self, archive: &mut Vec<u8>) {
        if self.name.len() > 100 {
            let mut name = self.name.clone();
            name.push(0);
            let long = Self {
                body: name,
                ..Self::of_kind(EntryType::GNULongName, "././@LongLink")
            };
            long.write(archive);
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.declared.unwrap_or(self.body.len() as u64));
        let fields = header.as_old_mut();
        let name = &self.name[..self.name.len().min(100)];
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..self.link.len()].copy_from_slice(self.link.as_bytes());
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&self.body);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
}

/// A tar archive without its end marker.
pub fn open_ended(entries: &[Entry]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        entry.write(&mut archive);
    }
    archive
}

pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut archive = open_ended(entries);
    archive.extend_from_slice(&[0; 1024]);
    archive
}

pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A slug with one file layer at `/app`; honest until a test changes it.
pub struct Forge {
    /// The layer's packed bytes.
    pub layer: Vec<u8>,
    /// The slug manifest.
    pub config: Value,
    /// Entries after all others.
    pub more: Vec<Entry>,
}

/// The parts of an image, each a blob or a small file.
pub struct Documents {
    pub index: Value,
    pub manifest: Value,
    pub config: Value,
    layer: Vec<u8>,
    more: Vec<Entry>,
}

impl Forge {
    pub fn with_files(entries: &[Entry]) -> Self {
        let sizes = entries
            .iter()
            .filter(|entry| entry.kind == EntryType::Regular);
        let unpacked_size = sizes.map(|entry| entry.body.len() as u64).sum();
        Self::with_layer(compressed(&archive(entries)), unpacked_size)
    }

    pub fn with_layer(layer: Vec<u8>, unpacked_size: u64) -> Self {
        let config = json!({
            "format_version": 1,
            "stack": "wasi-1",
            "process_types": {"web": {"command": "static", "world": "static"}},
            "layers": [{
                "digest": Digest::of(&layer).to_string(),
                "size": layer.len(),
                "unpacked_size": unpacked_size,
                "mount": "/app",
            }],
        });
        Self {
            layer,
            config,
            more: Vec::new(),
        }
    }

    /// The documents as they follow from the layer and the manifest.
    pub fn documents(self) -> Documents {
        let config = self.config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": MEDIA_TYPE_SLUG,
                "digest": Digest::of(config.as_bytes()).to_string(),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": MEDIA_TYPE_FILES,
                "digest": Digest::of(&self.layer).to_string(),
                "size": self.layer.len(),
                "annotations": {"dyno.slug.mount": "/app"},
            }],
        });
        let mut documents = Documents {
            index: Value::Null,
            manifest,
            config: self.config,
            layer: self.layer,
            more: self.more,
        };
        documents.index = documents.honest_index();
        documents
    }

    pub fn bytes(self) -> Vec<u8> {
        self.documents().bytes()
    }
}

impl Documents {
    /// The index that names the manifest as it is now.
    pub fn honest_index(&self) -> Value {
        let manifest = self.manifest.to_string();
        json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": Digest::of(manifest.as_bytes()).to_string(),
                "size": manifest.len(),
            }],
        })
    }

    pub fn entries(&self) -> Vec<Entry> {
        let (manifest, config) = (self.manifest.to_string(), self.config.to_string());
        let mut entries = vec![
            Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
            Entry::file("index.json", self.index.to_string()),
        ];
        for blob in [manifest.as_bytes(), config.as_bytes(), &self.layer] {
            entries.push(Entry::file(blob_name(blob), blob));
        }
        entries.extend(self.more.iter().cloned());
        entries
    }

    pub fn bytes(&self) -> Vec<u8> {
        archive(&self.entries())
    }
}

pub fn blob_name(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(bytes).hex())
}

pub fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Has both readers refuse `slug`, checks that the store is as before, and answers what they said.
#[track_caller]
pub fn refusal(slug: &[u8], limits: &Limits) -> [String; 2] {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("forged.slug");
    std::fs::write(&path, slug).unwrap();

    let looked = SlugFile::open_with_limits(&path, limits.clone()).and_then(|file| file.verify());
    let looked = looked.expect_err("the file reader took a forged slug");
    assert!(looked.is_refused(), "not the slug's fault: {looked:?}");

    let store = SlugStore::open_with_limits(scratch.path().join("store"), limits.clone()).unwrap();
    let imported = store
        .import(&path)
        .expect_err("the store took a forged slug");
    assert!(imported.is_refused(), "not the slug's fault: {imported:?}");
    assert_eq!(store.list().unwrap(), []);
    for directory in ["blobs/sha256", "trees", "staging"] {
        assert_eq!(
            names_in(&store.path().join(directory)),
            [""; 0],
            "left in {directory}"
        );
    }
    assert_eq!(
        names_in(scratch.path()),
        ["forged.slug", "store"],
        "written outside the store"
    );

    let texts = [looked.to_string(), imported.to_string()];
    for text in &texts {
        assert!(text.contains("forged.slug"), "which slug? {text}");
    }
    texts
}

/// As [`refusal`], and both readers must say each of `words`.
#[track_caller]
pub fn refused_with(slug: &[u8], limits: &Limits, words: &[&str]) {
    for text in refusal(slug, limits) {
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
}

pub fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
