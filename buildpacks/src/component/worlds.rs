//! The WIT worlds of dyno's guests, embedded in the library, as resolved packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use wit_parser::{PackageId, Resolve, UnresolvedPackageGroup, WorldId, WorldItem};

/// Our worlds and the WASI 0.2 definitions under them: (file name, text).
const WIT_02: &[(&str, &str)] = &[
    ("cli.wit", include_str!("../../wit/deps/cli.wit")),
    ("clocks.wit", include_str!("../../wit/deps/clocks.wit")),
    (
        "filesystem.wit",
        include_str!("../../wit/deps/filesystem.wit"),
    ),
    ("http.wit", include_str!("../../wit/deps/http.wit")),
    ("io.wit", include_str!("../../wit/deps/io.wit")),
    ("random.wit", include_str!("../../wit/deps/random.wit")),
    ("sockets.wit", include_str!("../../wit/deps/sockets.wit")),
];
const WORLD_02: &str = include_str!("../../wit/world.wit");

/// The same for WASI 0.3.
const WIT_03: &[(&str, &str)] = &[
    ("cli.wit", include_str!("../../wit/p3/deps/cli.wit")),
    ("clocks.wit", include_str!("../../wit/p3/deps/clocks.wit")),
    (
        "filesystem.wit",
        include_str!("../../wit/p3/deps/filesystem.wit"),
    ),
    ("http.wit", include_str!("../../wit/p3/deps/http.wit")),
    ("random.wit", include_str!("../../wit/p3/deps/random.wit")),
    ("sockets.wit", include_str!("../../wit/p3/deps/sockets.wit")),
];
const WORLD_03: &str = include_str!("../../wit/p3/world.wit");

/// The newest WASI 0.2 patch version that the host implements, and that `wit/deps` defines.
pub(super) const WASI_02_PATCH: u64 = 12;

/// A world of `wit/world.wit` that a core module can be made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuestWorld {
    /// Answers requests: exports `wasi:http/incoming-handler@0.2`.
    Web,
    /// [`GuestWorld::Web`] that also exports `boot`.
    WebBoot,
    /// Runs and ends: exports `wasi:cli/run@0.2`.
    Worker,
    /// [`GuestWorld::Worker`] that also exports `boot`.
    WorkerBoot,
    /// Exports nothing by itself; the command adapter adds `wasi:cli/run` for a `_start`.
    Imports,
}

impl GuestWorld {
    /// The world's name in `wit/world.wit`.
    pub fn name(self) -> &'static str {
        match self {
            GuestWorld::Web => "web",
            GuestWorld::WebBoot => "web-boot",
            GuestWorld::Worker => "worker",
            GuestWorld::WorkerBoot => "worker-boot",
            GuestWorld::Imports => "imports",
        }
    }
}

impl fmt::Display for GuestWorld {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for GuestWorld {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "web" => Ok(GuestWorld::Web),
            "web-boot" => Ok(GuestWorld::WebBoot),
            "worker" => Ok(GuestWorld::Worker),
            "worker-boot" => Ok(GuestWorld::WorkerBoot),
            "imports" => Ok(GuestWorld::Imports),
            _ => Err(format!(
                "no world \"{text}\": one of web, web-boot, worker, worker-boot, imports"
            )),
        }
    }
}

/// Resolves one of our 0.2 worlds, written as if WASI were at version 0.2.`patch`.
///
/// A core module names the interfaces it exports with the version its own toolchain had, and the
/// encoder wants exactly that name. The definitions of 0.2 only grow, so ours hold all of an older
/// version's; what came later is let in too, because a module imports only what it names, and a
/// host that lacks it says so by name.
pub(super) fn resolve_02(world: GuestWorld, patch: u64) -> anyhow::Result<(Resolve, WorldId)> {
    resolve_named(world.name(), patch)
}

/// Resolves the world of a module that ends with a status of its own.
pub(super) fn resolve_exit_status() -> anyhow::Result<(Resolve, WorldId)> {
    resolve_named("exit-status", WASI_02_PATCH)
}

fn resolve_named(world: &str, patch: u64) -> anyhow::Result<(Resolve, WorldId)> {
    let version = format!("@0.2.{patch}");
    let since = |patch: u64| format!("@since(version = 0.2.{patch})");
    let rewrite = |text: &str| {
        let text = text.replace(&format!("@0.2.{WASI_02_PATCH}"), &version);
        (patch + 1..=WASI_02_PATCH).fold(text, |text, later| {
            text.replace(&since(later), &since(patch))
        })
    };
    let (resolve, package) = resolve(&rewrite(WORLD_02), WIT_02, rewrite)?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}

fn resolve(
    main: &str,
    dependencies: &[(&str, &str)],
    rewrite: impl Fn(&str) -> String,
) -> anyhow::Result<(Resolve, PackageId)> {
    let main = parse("world.wit", main)?;
    let mut groups = Vec::with_capacity(dependencies.len());
    for (name, text) in dependencies {
        groups.push(parse(name, &rewrite(text))?);
    }
    let mut resolve = Resolve::default();
    let package = resolve.push_groups(main, groups)?;
    Ok((resolve, package))
}

fn parse(name: &str, text: &str) -> anyhow::Result<UnresolvedPackageGroup> {
    UnresolvedPackageGroup::parse(name, text).map_err(|(_, error)| anyhow::Error::new(error))
}

/// What the host provides: interface without its version (`wasi:http/types`) and its minor
/// version → the functions in it.
pub(super) fn provided() -> anyhow::Result<BTreeMap<(String, u64), BTreeSet<String>>> {
    let mut found = BTreeMap::new();
    for (world, dependencies, minor) in [(WORLD_02, WIT_02, 2), (WORLD_03, WIT_03, 3)] {
        let (resolve, package) = resolve(world, dependencies, str::to_owned)?;
        let world = resolve.select_world(&[package], Some("imports"))?;
        for (key, item) in &resolve.worlds[world].imports {
            let WorldItem::Interface { id, .. } = item else {
                continue;
            };
            let name = resolve.name_world_key(key);
            let name = name.split('@').next().unwrap_or_default().to_owned();
            let functions = resolve.interfaces[*id].functions.keys().cloned().collect();
            found.insert((name, minor), functions);
        }
    }
    Ok(found)
}

/// What the host provides beside WASI's releases. A draft is a version of its own: it is met by its exact name only.
pub(super) fn drafts() -> BTreeMap<&'static str, BTreeSet<String>> {
    const DRAFTS: [(&str, &[&str]); 4] = [
        ("wasi:config/store@0.2.0-rc.1", &["get", "get-all"]),
        (
            "wasi:keyvalue/store@0.2.0-draft",
            &[
                "open",
                "[method]bucket.get",
                "[method]bucket.set",
                "[method]bucket.delete",
                "[method]bucket.exists",
                "[method]bucket.list-keys",
            ],
        ),
        ("wasi:keyvalue/atomics@0.2.0-draft", &["increment"]),
        (
            "wasi:keyvalue/batch@0.2.0-draft",
            &["get-many", "set-many", "delete-many"],
        ),
    ];
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    DRAFTS
        .map(|(name, functions)| (name, owned(functions)))
        .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_world_resolves_at_every_version_of_wasi_02() {
        for patch in 0..=WASI_02_PATCH {
            for world in [
                GuestWorld::Web,
                GuestWorld::WebBoot,
                GuestWorld::Worker,
                GuestWorld::WorkerBoot,
                GuestWorld::Imports,
            ] {
                let (resolve, id) = resolve_02(world, patch).unwrap();
                assert_eq!(resolve.worlds[id].name, world.name());
                assert_eq!(world.name().parse(), Ok(world));
            }
        }
    }

    #[test]
    fn the_host_provides_sockets_files_and_http_in_both_versions() {
        let provided = provided().unwrap();
        for minor in [2, 3] {
            for name in [
                "wasi:cli/environment",
                "wasi:filesystem/types",
                "wasi:http/types",
            ] {
                assert!(
                    provided.contains_key(&(name.to_owned(), minor)),
                    "{name} {minor}"
                );
            }
        }
        assert!(provided[&("wasi:io/poll".to_owned(), 2)].contains("poll"));
        assert!(!provided.contains_key(&("wasi:keyvalue/store".to_owned(), 2)));
    }
}
