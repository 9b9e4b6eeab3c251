//! The certificate authority of the platform on this machine, as other programs are told of it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::api::Api;
use crate::places::{DataDir, shown};
use crate::say;

/// A bundle of certificates has some 200 kB; more is another file.
const BUNDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The first line of a bundle of ours, before the path of the file that it was merged with.
const MERGED_WITH: &str = "# merged with: ";

/// The authority's certificate.
pub struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// The authority of `api`, if that is the platform of the data directory.
    pub fn of(api: &Api, data_dir: &DataDir) -> anyhow::Result<Option<Self>> {
        // Others look for it from other folders.
        let directory = std::path::absolute(data_dir.path()?)?;
        // The directory's platform may be another one than DYNO_API names.
        let is_local = fs::read_to_string(directory.join("api-url"))
            .is_ok_and(|url| url.trim().trim_end_matches('/') == api.base());
        let authority = Self { directory };
        Ok((is_local && authority.certificate().is_file()).then_some(authority))
    }

    /// The file with its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The file that a variable should name, whose program reads one file only: when it names another already, both
    /// in one.
    pub fn file_for(&self, variable: &Variable) -> anyhow::Result<PathBuf> {
        let (own, bundle) = (self.certificate(), self.directory.join(variable.bundle));
        let Some(set) = variable.value() else {
            return Ok(own);
        };
        let other = if set == own {
            return Ok(own);
        } else if set == bundle {
            // What it was merged with is in its first line; without one it is ours alone.
            match merged_with(&bundle) {
                Some(other) => other,
                None => return Ok(own),
            }
        } else {
            set
        };
        merge(&own, &other, &bundle)
    }

    /// Whether the file that a variable names has the certificate in it.
    pub fn is_in(&self, variable: &Variable) -> bool {
        let ours = fs::read_to_string(self.certificate()).unwrap_or_default();
        let theirs = variable.value().and_then(|path| read_certificates(&path));
        !ours.is_empty() && theirs.is_some_and(|theirs| theirs.contains(ours.trim()))
    }
}

/// A variable that names the authorities which a program trusts.
pub struct Variable {
    pub name: &'static str,
    /// What a file that is merged for it is called.
    bundle: &'static str,
}

/// Read by Node.js, and so by the Heroku CLI, beside the authorities that it trusts anyway.
pub const FOR_NODE: Variable = Variable {
    name: "NODE_EXTRA_CA_CERTS",
    bundle: "ca-bundle.pem",
};

/// Read by git instead of its settings, and only where a system sets it.
pub const FOR_GIT: Variable = Variable {
    name: "GIT_SSL_CAINFO",
    bundle: "ca-bundle-git.pem",
};

impl Variable {
    /// The file that it names now.
    pub fn value(&self) -> Option<PathBuf> {
        env::var_os(self.name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }
}

/// Writes both files' certificates into `bundle`.
fn merge(own: &Path, other: &Path, bundle: &Path) -> anyhow::Result<PathBuf> {
    let Some(theirs) = read_certificates(other) else {
        say::error_line(&format!(
            "{} holds no certificates that can be read: it is left out.",
            shown(other)
        ));
        return Ok(own.to_owned());
    };
    let ours = fs::read_to_string(own).with_context(|| format!("{} cannot be read", shown(own)))?;
    let text = format!(
        "{MERGED_WITH}{}\n{}\n{}\n",
        other.display(),
        ours.trim_end(),
        theirs.trim_end()
    );
    write_whole(bundle, &text).with_context(|| format!("{} cannot be written", shown(bundle)))?;
    Ok(bundle.to_owned())
}

fn read_certificates(path: &Path) -> Option<String> {
    let small = fs::metadata(path).ok()?.len() <= BUNDLE_BYTES_MAX;
    let text = small.then(|| fs::read_to_string(path).ok()).flatten()?;
    text.contains("-----BEGIN").then_some(text)
}

fn merged_with(bundle: &Path) -> Option<PathBuf> {
    let text = read_certificates(bundle)?;
    let other = text.lines().next()?.strip_prefix(MERGED_WITH)?;
    Some(PathBuf::from(AsRef::<OsStr>::as_ref(other)))
}

/// Two shells may do this at once: each file is whole.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{merge, merged_with};

    #[test]
    fn a_bundle_has_both_and_remembers_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), "-----BEGIN OURS\n").unwrap();
        std::fs::write(path("company.pem"), "-----BEGIN THEIRS\n").unwrap();
        let (own, other, bundle) = (path("ca.pem"), path("company.pem"), path("ca-bundle.pem"));
        assert_eq!(merge(&own, &other, &bundle).unwrap(), bundle);
        let text = std::fs::read_to_string(&bundle).unwrap();
        assert!(
            text.contains("BEGIN OURS") && text.contains("BEGIN THEIRS"),
            "{text}"
        );
        assert_eq!(merged_with(&bundle), Some(other));
    }

    #[test]
    fn a_file_without_certificates_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), "-----BEGIN OURS\n").unwrap();
        let (own, bundle) = (path("ca.pem"), path("ca-bundle.pem"));
        assert_eq!(merge(&own, &path("none.pem"), &bundle).unwrap(), own);
        assert!(!bundle.exists());
    }
}
