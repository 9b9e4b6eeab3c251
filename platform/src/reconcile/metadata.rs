//! What a dyno is told of itself, for apps that have the feature `runtime-dyno-metadata`.

use std::collections::BTreeMap;

use crate::model::{App, Release, Slug};

/// The variables, by Heroku's names. A config var of the same name cannot exist: they are the platform's.
///
/// Source: Heroku Dev Center, "Dyno Metadata".
pub(super) fn of(app: &App, release: &Release, slug: &Slug) -> BTreeMap<String, String> {
    let commit = slug.commit.clone().unwrap_or_default();
    let description = crate::build::deploy_words(slug.commit.as_deref(), &slug.digest);
    [
        (
            "HEROKU_APP_DEFAULT_DOMAIN_NAME",
            format!("{}.localhost", app.name),
        ),
        ("HEROKU_APP_ID", app.id.to_string()),
        ("HEROKU_APP_NAME", app.name.to_string()),
        ("HEROKU_BUILD_COMMIT", commit.clone()),
        ("HEROKU_BUILD_DESCRIPTION", description.clone()),
        ("HEROKU_RELEASE_CREATED_AT", release.created_at.to_string()),
        ("HEROKU_RELEASE_VERSION", release.version.to_string()),
        ("HEROKU_SLUG_COMMIT", commit),
        ("HEROKU_SLUG_DESCRIPTION", description),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::of;
    use crate::model::{
        App, AppName, Release, ReleaseStatus, ReleaseVersion, Slug, SlugId, Timestamp,
    };

    #[test]
    fn a_dyno_is_told_its_app_release_and_commit() {
        let app = App::new(AppName::new("shop").expect("a name"));
        let now = Timestamp::now();
        let slug = Slug {
            id: SlugId::generate(),
            app: app.id,
            digest: "sha256:0123456789".to_owned(),
            size: 1,
            process_types: BTreeMap::new(),
            commit: Some("1a2b3c4d5e6f".to_owned()),
            commit_description: None,
            buildpack_description: None,
            stack: dyno_slug::STACK.to_owned(),
            created_at: now,
        };
        let release = Release {
            id: Uuid::new_v4(),
            app: app.id,
            version: ReleaseVersion::parse("v12").expect("a version"),
            slug: Some(slug.id),
            config: None,
            description: String::new(),
            status: ReleaseStatus::Succeeded,
            has_command: false,
            created_at: now,
            updated_at: now,
        };
        let told = of(&app, &release, &slug);
        for (name, value) in [
            ("HEROKU_APP_NAME", "shop"),
            ("HEROKU_RELEASE_VERSION", "v12"),
            ("HEROKU_SLUG_COMMIT", "1a2b3c4d5e6f"),
            ("HEROKU_SLUG_DESCRIPTION", "Deploy 1a2b3c4d"),
        ] {
            assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
        }
    }
}
