//! Where everything is: the one place that builds store keys.

use uuid::Uuid;

use crate::model::{AppId, AppName, BuildId, ReleaseVersion, SlugId};

/// All keys of this program, so that it can share an engine with others.
pub const ROOT: &str = "/dyno/1/";
/// All apps.
pub const APPS: &str = "/dyno/1/app/";
/// All formations.
pub const FORMATIONS: &str = "/dyno/1/formation/";

/// Keys that were given away, by the digest of their tokens.
pub const AUTHORIZATIONS: &str = "/dyno/1/authorization/";

/// An app's row.
pub fn app(id: AppId) -> String {
    format!("{APPS}{id}")
}

/// The app id a key of [`APPS`] or [`FORMATIONS`] is about.
pub fn app_of(key: &str) -> Option<AppId> {
    let id = key
        .strip_prefix(APPS)
        .or_else(|| key.strip_prefix(FORMATIONS))?;
    AppId::parse(id)
}

/// Who owns a name.
pub fn app_name(name: &AppName) -> String {
    format!("{ROOT}app-name/{name}")
}

/// An app's formation.
pub fn formation(app: AppId) -> String {
    format!("{FORMATIONS}{app}")
}

/// An app's releases, in version order.
pub fn releases(app: AppId) -> String {
    format!("{ROOT}release/{app}/")
}

/// One release.
pub fn release(app: AppId, version: ReleaseVersion) -> String {
    // Twenty digits hold any u64, so that key order is version order.
    format!("{ROOT}release/{app}/{:020}", version.number())
}

/// Which version a release's uuid is.
pub fn release_id(app: AppId, id: Uuid) -> String {
    format!("{ROOT}release-id/{app}/{id}")
}

/// An app's release uuids.
pub fn release_ids(app: AppId) -> String {
    format!("{ROOT}release-id/{app}/")
}

/// An app's sealed config vars, by the release that changed them.
pub fn configs(app: AppId) -> String {
    format!("{ROOT}config/{app}/")
}

/// The sealed config vars that one release changed.
pub fn config(app: AppId, version: ReleaseVersion) -> String {
    format!("{ROOT}config/{app}/{:020}", version.number())
}

/// A slug's row.
pub fn slug(id: SlugId) -> String {
    format!("{ROOT}slug/{id}")
}

/// The builds of all apps.
pub fn all_builds() -> String {
    format!("{ROOT}build/")
}

/// An app's builds.
pub fn builds(app: AppId) -> String {
    format!("{ROOT}build/{app}/")
}

/// One build.
pub fn build(app: AppId, id: BuildId) -> String {
    format!("{ROOT}build/{app}/{id}")
}

/// The source that an app's last slug was made of.
pub fn build_cache(app: AppId) -> String {
    format!("{ROOT}build-cache/{app}")
}

#[cfg(test)]
mod tests {
    use super::{app, app_of, formation, release};
    use crate::model::{AppId, ReleaseVersion};

    #[test]
    fn release_keys_sort_by_version() {
        let id = AppId::generate();
        let key = |text| release(id, ReleaseVersion::parse(text).expect("a version"));
        assert!(key("9") < key("10"));
        assert!(key("99") < key("18446744073709551615"));
    }

    #[test]
    fn an_apps_keys_name_it() {
        let id = AppId::generate();
        assert_eq!(app_of(&app(id)), Some(id));
        assert_eq!(app_of(&formation(id)), Some(id));
        assert_eq!(app_of("/dyno/1/slug/x"), None);
    }
}
