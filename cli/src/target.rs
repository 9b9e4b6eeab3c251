//! Which platform and which app a verb is about.

use std::path::Path;

use anyhow::bail;
use clap::Args;

use crate::api::{Api, App, error_id, segment};
use crate::failure::Hint;
use crate::places::DataDir;

/// The platform, for verbs that are about no app.
#[derive(Args, Clone, Debug)]
pub struct PlatformChoice {
    #[command(flatten)]
    data_dir: DataDir,
}

/// The platform and the app.
#[derive(Args, Clone, Debug)]
pub struct AppChoice {
    /// The app [default: the one named as this folder, or the only one]
    #[arg(short, long, value_name = "NAME", env = "DYNO_APP")]
    app: Option<String>,
    #[command(flatten)]
    platform: PlatformChoice,
}

/// An app of a platform.
pub struct Target {
    pub api: Api,
    pub app: App,
}

impl PlatformChoice {
    pub fn api(&self) -> anyhow::Result<Api> {
        Api::find(&self.data_dir)
    }
}

impl AppChoice {
    /// Finds the app; it exists.
    pub async fn find(&self) -> anyhow::Result<Target> {
        let api = self.platform.api()?;
        if let Some(name) = &self.app {
            let app = api.get(&format!("/apps/{}", segment(name))).await;
            let app = app.map_err(|error| match error_id(&error) {
                Some("not_found") => Hint::new(
                    format!("there is no app \"{name}\" on {}", api.base()),
                    "dyno apps lists the apps",
                )
                .into(),
                _ => error,
            })?;
            return Ok(Target { api, app });
        }
        let apps: Vec<App> = api.list("/apps", "name ..; max=1000").await?;
        let here = std::env::current_dir()
            .ok()
            .and_then(|path| app_name(&path));
        let named = apps.iter().find(|app| Some(&app.name) == here.as_ref());
        let app = match (named, apps.as_slice()) {
            (Some(app), _) => app.clone(),
            (None, [only]) => only.clone(),
            (None, []) => bail!(Hint::new(
                "there are no apps yet",
                "make one of a folder with: dyno up PATH"
            )),
            (None, several) => {
                let names: Vec<_> = several.iter().map(|app| app.name.as_str()).collect();
                bail!(Hint::new(
                    format!("which app? There are: {}", names.join(", ")),
                    "choose one with --app NAME"
                ));
            }
        };
        Ok(Target { api, app })
    }
}

impl Target {
    /// A path below the app's: `/config-vars`.
    pub fn path(&self, below: &str) -> String {
        format!("/apps/{}{below}", segment(&self.app.name))
    }

    /// The version of the newest release, as the verbs that make one print it.
    pub async fn newest_release(&self) -> anyhow::Result<String> {
        let range = "version ..; order=desc,max=1";
        let path = self.path("/releases");
        let releases: Vec<crate::api::Release> = self.api.list(&path, range).await?;
        Ok(releases
            .first()
            .map_or_else(String::new, |release| format!("v{}", release.version)))
    }
}

/// The app's name that a folder's name gives: lower case, what is no letter, digit or dash made a dash.
///
/// `None` when nothing usable is left: names have 3 to 30 characters and begin with a letter.
pub fn app_name(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let name: String = folder
        .file_name()?
        .to_string_lossy()
        .to_lowercase()
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_lowercase());
    let name: String = name.chars().take(30).collect();
    let name = name.trim_end_matches('-');
    (name.len() >= 3).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::app_name;

    #[test]
    fn a_folders_name_becomes_an_apps_name() {
        let scratch = tempfile::tempdir().unwrap();
        let name = |folder: &str| {
            let path = scratch.path().join(folder);
            std::fs::create_dir_all(&path).unwrap();
            app_name(&path)
        };
        assert_eq!(name("python-flask").as_deref(), Some("python-flask"));
        assert_eq!(name("My Shop_2").as_deref(), Some("my-shop-2"));
        assert_eq!(name("2048-game-").as_deref(), Some("game"));
        assert_eq!(name(&"x".repeat(40)).map(|name| name.len()), Some(30));
        assert_eq!(name("ab"), None);
        assert_eq!(name("42"), None);
    }
}
