//! The environment a guest sees: exactly this, nothing inherited.

use std::collections::BTreeMap;

/// Variables every guest has, before the app's own.
const BASE: [(&str, &str); 4] = [
    ("HOME", "/app"),
    ("PWD", "/app"),
    ("LANG", "C.UTF-8"),
    ("TMPDIR", "/tmp"),
];

/// The environment of `boot`: the buildpack's variables, then the config vars, which win. Nothing of one dyno.
pub(crate) fn of_release(
    process: &BTreeMap<String, String>,
    config_vars: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = BASE
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    environment.extend(process.clone());
    environment.extend(config_vars.clone());
    environment
}

/// The environment of a dyno: that of its release, its own extras, `PORT` and `DYNO`.
pub(crate) fn of_dyno(
    release: BTreeMap<String, String>,
    extra: &BTreeMap<String, String>,
    dyno: &str,
) -> Vec<(String, String)> {
    let mut environment = release;
    environment.extend(extra.clone());
    environment.insert("PORT".into(), crate::limits::GUEST_PORT.to_string());
    environment.insert("DYNO".into(), dyno.into());
    environment.into_iter().collect()
}
