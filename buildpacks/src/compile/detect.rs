//! Which buildpack takes an app.

use std::path::Path;

use super::{Answer, CompileError, Compiler, answer};
use crate::limits;
use crate::packs::{Buildpack, DETECTION_ORDER};
use crate::procfile::Procfile;
use crate::script::{Cancellation, Errors, Script};
use crate::source::SourceTree;

/// A buildpack that takes an app.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detected {
    /// The buildpack.
    pub buildpack: Buildpack,
    /// What it calls the app, such as "Python".
    pub display_name: String,
}

impl Compiler {
    /// The buildpacks of those names, in that order: embedded ones, or directories.
    pub(super) fn named(&self, names: &[String]) -> Result<Vec<Buildpack>, CompileError> {
        if names.len() > limits::BUILDPACKS_MAX {
            return Err(CompileError::TooManyBuildpacks { count: names.len() });
        }
        names
            .iter()
            .map(|name| {
                if let Some(buildpack) = self.packs().get(name) {
                    return Ok(buildpack);
                }
                let directory = Path::new(name);
                if directory.is_absolute() && directory.join("bin/compile").is_file() {
                    return Ok(Buildpack::in_directory(directory));
                }
                Err(CompileError::UnknownBuildpack { name: name.clone() })
            })
            .collect()
    }

    /// Asks the embedded buildpacks in order.
    pub(super) fn detect_in(
        &self,
        app: &Path,
        work: &Path,
        cancellation: &Cancellation,
    ) -> Result<Detected, CompileError> {
        for name in order(app) {
            let Some(buildpack) = self.packs().get(name) else {
                continue;
            };
            if let Some(detected) = self.ask(&buildpack, app, work, cancellation)? {
                return Ok(detected);
            }
        }
        Err(CompileError::NoBuildpack {
            files: SourceTree::scan(app, &[])?.file_count(),
        })
    }

    /// Asks one buildpack whether it takes the app.
    pub(super) fn ask(
        &self,
        buildpack: &Buildpack,
        app: &Path,
        work: &Path,
        cancellation: &Cancellation,
    ) -> Result<Option<Detected>, CompileError> {
        let program = buildpack.directory().join("bin/detect");
        if !program.is_file() {
            return Err(CompileError::NoBuildpackThere {
                directory: buildpack.directory().to_owned(),
            });
        }
        let variables = self.environment(buildpack, work, work);
        let script = Script {
            program: &program,
            arguments: &[app.as_os_str()],
            environment: &variables,
            directory: app,
            exports: &[],
            timeout: limits::DETECT_TIMEOUT,
            errors: Errors::Discarded,
        };
        let answer = answer(&script, buildpack, "bin/detect", cancellation)?;
        let Answer::Text(text) = answer else {
            return Ok(None);
        };
        let first = text.lines().next().unwrap_or_default().trim();
        let display_name = if first.is_empty() {
            buildpack.name().to_owned()
        } else {
            first.chars().take(80).collect()
        };
        Ok(Some(Detected {
            buildpack: buildpack.clone(),
            display_name,
        }))
    }
}

/// The order in which buildpacks are asked for this app.
///
/// A `static.json` says what the app is, so it goes before the languages: sites keep a
/// `package.json` for their tools. A Procfile with its own web process says otherwise.
fn order(app: &Path) -> Vec<&'static str> {
    let mut order = DETECTION_ORDER.to_vec();
    let has_web = Procfile::read(app).is_ok_and(|procfile| procfile.command("web").is_some());
    if app.join("static.json").is_file() && !has_web {
        order.retain(|name| *name != "static");
        order.insert(0, "static");
    }
    order
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_static_json_goes_first_unless_the_procfile_has_a_web_process() {
        let app = tempfile::tempdir().unwrap();
        assert_eq!(order(app.path()), DETECTION_ORDER);
        std::fs::write(app.path().join("static.json"), "{}").unwrap();
        assert_eq!(order(app.path())[0], "static");
        assert_eq!(order(app.path()).len(), DETECTION_ORDER.len());
        std::fs::write(app.path().join("Procfile"), "web: node x.js\n").unwrap();
        assert_eq!(order(app.path()), DETECTION_ORDER);
    }
}
