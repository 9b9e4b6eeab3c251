//! The OCI documents around a slug manifest.

use std::collections::{BTreeMap, HashMap};

use oci_spec::image::{
    Descriptor, ImageIndex, ImageIndexBuilder, ImageManifest, ImageManifestBuilder, MediaType,
    OciLayout, OciLayoutBuilder,
};

use crate::{
    digest::{Digest, SlugDigest},
    error::{Fault, Problem},
    limits::Limits,
    manifest::SlugManifest,
    mount::MountPath,
};

/// Media type of the slug manifest, the image's config.
pub const MEDIA_TYPE_SLUG: &str = "application/vnd.dyno.slug.v1+json";
/// Media type of a component layer.
pub const MEDIA_TYPE_COMPONENT: &str = "application/wasm";
/// Media type of a file layer.
pub const MEDIA_TYPE_FILES: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Media type of the OCI manifest.
const MEDIA_TYPE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Annotation of a file layer's descriptor: where the guest sees it.
pub const MOUNT_ANNOTATION: &str = "dyno.slug.mount";

/// Name of the file that marks an OCI layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
/// Name of the file that lists an OCI layout's images.
pub(crate) const INDEX_FILE: &str = "index.json";
/// Folder of an OCI layout's blobs.
pub(crate) const BLOBS_DIR: &str = "blobs/sha256";

/// One blob of a slug.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobInfo {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// What they are.
    pub media_type: String,
    /// Where the guest sees it, if it is a file layer.
    pub mount: Option<MountPath>,
}

/// A slug's documents, read and checked against each other.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) digest: SlugDigest,
    pub(crate) manifest: SlugManifest,
    /// OCI manifest and config first, then components and layers as the manifest orders them.
    pub(crate) blobs: Vec<BlobInfo>,
}

/// The bytes of a slug's documents.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) layout: Vec<u8>,
    pub(crate) index: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) image: Image,
}

/// Makes the documents of a slug. `manifest` has been checked.
pub(crate) fn documents(manifest: SlugManifest, config: Vec<u8>) -> Result<Documents, Fault> {
    let config_digest = Digest::of(&config);
    let mut payload = Vec::new();
    for component in &manifest.components {
        payload.push(blob(
            component.digest,
            component.size,
            MEDIA_TYPE_COMPONENT,
            None,
        ));
    }
    for layer in &manifest.layers {
        payload.push(blob(
            layer.digest,
            layer.size,
            MEDIA_TYPE_FILES,
            Some(layer.mount.clone()),
        ));
    }
    let layers: Result<Vec<_>, _> = payload.iter().map(descriptor).collect();
    let config_blob = blob(config_digest, config.len() as u64, MEDIA_TYPE_SLUG, None);
    let image_manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(&config_blob)?)
        .layers(layers?)
        .build()
        .map_err(|error| not_a_slug("the OCI manifest", error.to_string()))?;
    let manifest_bytes = to_json("the OCI manifest", &image_manifest)?;
    let manifest_digest = Digest::of(&manifest_bytes);

    let manifest_blob = blob(
        manifest_digest,
        manifest_bytes.len() as u64,
        MEDIA_TYPE_MANIFEST,
        None,
    );
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![descriptor(&manifest_blob)?])
        .build()
        .map_err(|error| not_a_slug(INDEX_FILE, error.to_string()))?;
    let layout = OciLayoutBuilder::default()
        .image_layout_version("1.0.0")
        .build()
        .map_err(|error| not_a_slug(LAYOUT_FILE, error.to_string()))?;

    let mut blobs = vec![manifest_blob, config_blob];
    blobs.extend(payload);
    Ok(Documents {
        layout: to_json(LAYOUT_FILE, &layout)?,
        index: to_json(INDEX_FILE, &index)?,
        manifest: manifest_bytes,
        config,
        image: Image {
            digest: SlugDigest::new(manifest_digest),
            manifest,
            blobs,
        },
    })
}

/// Checks an OCI layout's two files; answers which blob is the OCI manifest.
pub(crate) fn read_layout(layout: &[u8], index: &[u8]) -> Result<(Digest, u64), Fault> {
    let layout: OciLayout = from_json(LAYOUT_FILE, layout)?;
    if !layout.image_layout_version().starts_with("1.") {
        return Err(not_a_slug(
            LAYOUT_FILE,
            format!(
                "image layout version {:?}, this dyno reads 1.x",
                cut(layout.image_layout_version())
            ),
        ));
    }
    let index: ImageIndex = from_json(INDEX_FILE, index)?;
    let [only] = index.manifests().as_slice() else {
        return Err(not_a_slug(
            INDEX_FILE,
            format!("{} images, a slug is exactly one", index.manifests().len()),
        ));
    };
    if only.media_type() != &MediaType::ImageManifest {
        return Err(not_a_slug(
            INDEX_FILE,
            format!("an entry of type {}", cut(only.media_type().as_ref())),
        ));
    }
    Ok((digest_of(INDEX_FILE, only)?, only.size()))
}

/// Reads the OCI manifest and, through `fetch`, the slug manifest; checks one against the other.
///
/// `fetch` answers the verified bytes of a blob of that digest and size.
pub(crate) fn read_image(
    digest: SlugDigest,
    manifest_bytes: &[u8],
    limits: &Limits,
    fetch: &mut dyn FnMut(&BlobInfo) -> Result<Vec<u8>, Fault>,
) -> Result<Image, Fault> {
    let entry = blob_name(digest.as_digest());
    let image_manifest: ImageManifest = from_json(&entry, manifest_bytes)?;
    let config = image_manifest.config();
    if config.media_type().as_ref() != MEDIA_TYPE_SLUG {
        return Err(not_a_slug(
            &entry,
            format!(
                "its config has the type {}, a slug's has {MEDIA_TYPE_SLUG}",
                cut(config.media_type().as_ref())
            ),
        ));
    }
    let config = blob(
        digest_of(&entry, config)?,
        config.size(),
        MEDIA_TYPE_SLUG,
        None,
    );
    if config.size > limits.manifest_bytes_max {
        return Err(manifest_too_large(&blob_name(&config.digest), limits));
    }
    let config_bytes = fetch(&config)?;
    let manifest = SlugManifest::from_json(&config_bytes, limits)
        .map_err(|error| Fault::refused(blob_name(&config.digest), Problem::Manifest(error)))?;

    // The same facts stand in both documents: standard tools read the one, dyno the other. Where
    // they differ, one of them lies.
    let mut expected = Vec::new();
    for component in &manifest.components {
        expected.push(blob(
            component.digest,
            component.size,
            MEDIA_TYPE_COMPONENT,
            None,
        ));
    }
    for layer in &manifest.layers {
        expected.push(blob(
            layer.digest,
            layer.size,
            MEDIA_TYPE_FILES,
            Some(layer.mount.clone()),
        ));
    }
    let mut found = Vec::new();
    for layer in image_manifest.layers().iter().take(limits.blobs_max()) {
        let mount = layer
            .annotations()
            .as_ref()
            .and_then(|all| all.get(MOUNT_ANNOTATION));
        let mount = mount.map(|path| path.parse()).transpose().map_err(
            |error: crate::mount::ParseMountPathError| not_a_slug(&entry, error.to_string()),
        )?;
        found.push(blob(
            digest_of(&entry, layer)?,
            layer.size(),
            layer.media_type().as_ref(),
            mount,
        ));
    }
    if expected != found || image_manifest.layers().len() != expected.len() {
        return Err(not_a_slug(
            &entry,
            "its layers are not those that the slug manifest lists".to_owned(),
        ));
    }
    let mut blobs = vec![
        blob(
            *digest.as_digest(),
            manifest_bytes.len() as u64,
            MEDIA_TYPE_MANIFEST,
            None,
        ),
        config,
    ];
    blobs.extend(expected);
    check_sizes(&blobs, limits)?;
    Ok(Image {
        digest,
        manifest,
        blobs,
    })
}

/// One digest cannot have two sizes, and all of them fit a slug.
fn check_sizes(blobs: &[BlobInfo], limits: &Limits) -> Result<(), Fault> {
    let mut sizes = BTreeMap::new();
    for blob in blobs {
        if let Some(declared) = sizes.insert(blob.digest, blob.size)
            && declared != blob.size
        {
            return Err(Fault::refused(
                blob_name(&blob.digest),
                Problem::Size {
                    declared,
                    actual: blob.size,
                },
            ));
        }
    }
    let total = sizes
        .values()
        .fold(0_u64, |sum, size| sum.saturating_add(*size));
    if total > limits.slug_bytes_max {
        return Err(Fault::refused(
            "the slug",
            Problem::Limit {
                what: "the sum of its blobs in bytes",
                limit: limits.slug_bytes_max,
            },
        ));
    }
    Ok(())
}

/// How an entry of this blob is called inside the layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS_DIR}/{}", digest.hex())
}

pub(crate) fn manifest_too_large(entry: &str, limits: &Limits) -> Fault {
    Fault::refused(
        entry,
        Problem::Limit {
            what: "a manifest in bytes",
            limit: limits.manifest_bytes_max,
        },
    )
}

fn blob(digest: Digest, size: u64, media_type: &str, mount: Option<MountPath>) -> BlobInfo {
    BlobInfo {
        digest,
        size,
        media_type: media_type.to_owned(),
        mount,
    }
}

fn descriptor(blob: &BlobInfo) -> Result<Descriptor, Fault> {
    let mut descriptor = Descriptor::new(
        MediaType::from(blob.media_type.as_str()),
        blob.size,
        oci_digest(&blob.digest)?,
    );
    if let Some(mount) = &blob.mount {
        // One entry: a hash map of more would be written in any order.
        descriptor.set_annotations(Some(HashMap::from([(
            MOUNT_ANNOTATION.to_owned(),
            mount.to_string(),
        )])));
    }
    Ok(descriptor)
}

fn oci_digest(digest: &Digest) -> Result<oci_spec::image::Digest, Fault> {
    oci_spec::image::Digest::try_from(digest.to_string())
        .map_err(|error| not_a_slug("a digest", error.to_string()))
}

fn digest_of(entry: &str, descriptor: &Descriptor) -> Result<Digest, Fault> {
    descriptor
        .digest()
        .to_string()
        .parse()
        .map_err(|error: crate::digest::ParseDigestError| not_a_slug(entry, error.to_string()))
}

fn to_json(entry: &str, document: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(document).map_err(|error| not_a_slug(entry, error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(entry: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| not_a_slug(entry, error.to_string()))
}

fn not_a_slug(entry: &str, problem: String) -> Fault {
    Fault::refused(entry, Problem::Image(problem))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
