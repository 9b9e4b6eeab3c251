//! Releases against rivals, full disks and commands that fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Apps, Change, Deploy, ReleaseError, Releases, SlugSource};
use crate::log::LogHub;
use crate::model::{
    App, AppName, ConfigPatch, Release, ReleaseStatus, ReleaseVersion, Slug, SlugId, Timestamp,
};
use crate::secret::Sealer;
use crate::store::{
    Entry, Listing, Revision, SqliteStore, Store, StoreError, Transaction, Watch, keys,
};

/// The embedded store on a disk that is full whenever a test says so.
#[derive(Debug)]
struct FullDisk {
    store: SqliteStore,
    is_full: AtomicBool,
}

impl Store for FullDisk {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.store.get(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        entries_max: usize,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.store.list(prefix, after, entries_max)
    }

    fn commit(&self, transaction: Transaction) -> BoxFuture<'_, Result<Revision, StoreError>> {
        if self.is_full.load(Ordering::SeqCst) {
            return async { Err(StoreError::DiskFull) }.boxed();
        }
        self.store.commit(transaction)
    }

    fn watch(&self, prefix: &str, from: Revision) -> Box<dyn Watch> {
        self.store.watch(prefix, from)
    }
}

struct Rig {
    store: Arc<FullDisk>,
    apps: Apps,
    releases: Releases,
    app: App,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(FullDisk {
            store: SqliteStore::open(&folder.path().join("state")).expect("opened"),
            is_full: AtomicBool::new(false),
        });
        let sealer = Sealer::open_or_create(&folder.path().join("key")).expect("a key");
        let as_store: Arc<dyn Store> = store.clone();
        let apps = Apps::new(Arc::clone(&as_store), Arc::new(LogHub::new()));
        let releases = Releases::new(as_store, sealer);
        let name = AppName::new("demo").expect("valid");
        let app = apps.create(Some(name)).await.expect("made");
        Self {
            store,
            apps,
            releases,
            app,
            _folder: folder,
        }
    }

    async fn make(&self, change: &Change) -> Result<Option<Release>, ReleaseError> {
        self.releases.make(self.app.id, change).await
    }

    async fn deploy(&self, process_types: &[&str]) -> Release {
        let made = self.make(&deploy(self.app.id, process_types)).await;
        made.expect("released").expect("a change")
    }

    async fn set(&self, name: &str, value: Option<&str>) -> Result<Option<Release>, ReleaseError> {
        self.make(&vars(name, value)).await
    }

    async fn app(&self) -> App {
        self.apps.read(self.app.id).await.expect("there").value
    }

    async fn var(&self, name: &str) -> Option<String> {
        let vars = self
            .releases
            .current_config_vars(&self.app().await)
            .await
            .expect("readable");
        vars.as_map().get(name).cloned()
    }

    /// Every key and the revision that wrote it.
    async fn everything(&self) -> Vec<(String, Revision)> {
        let page = self
            .store
            .list(keys::ROOT, None, 1_000)
            .await
            .expect("listed");
        page.entries
            .into_iter()
            .map(|entry| (entry.key, entry.modified))
            .collect()
    }
}

fn vars(name: &str, value: Option<&str>) -> Change {
    let patch = [(name.to_owned(), value.map(str::to_owned))];
    Change::ConfigVars(ConfigPatch(patch.into_iter().collect()))
}

fn deploy(app: crate::model::AppId, process_types: &[&str]) -> Change {
    let commands = process_types
        .iter()
        .map(|name| ((*name).to_owned(), format!("run {name}")));
    let slug = Slug {
        id: SlugId::generate(),
        app,
        digest: format!("sha256:{}", SlugId::generate()),
        size: 7,
        process_types: commands.collect(),
        commit: None,
        commit_description: None,
        buildpack_description: None,
        stack: "wasi-1".to_owned(),
        created_at: Timestamp::now(),
    };
    Change::Deploy(Box::new(Deploy {
        slug: SlugSource::New(slug),
        description: "Deploy".to_owned(),
        default_config_vars: BTreeMap::from([("PORT_NAME".to_owned(), "web".to_owned())]),
        build: None,
        cache: None,
        buildpack: Some("Static".to_owned()),
    }))
}

fn version(number: &str) -> ReleaseVersion {
    ReleaseVersion::parse(number).expect("a version")
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_of_a_release() {
    let rig = Rig::start().await;
    rig.deploy(&["web"]).await;
    let before = (rig.app().await, rig.everything().await);
    rig.store.is_full.store(true, Ordering::SeqCst);
    for change in [
        deploy(rig.app.id, &["web", "worker"]),
        vars("A", Some("1")),
        vars("PORT_NAME", None),
    ] {
        let result = rig.make(&change).await;
        assert!(
            matches!(result, Err(ReleaseError::Store(StoreError::DiskFull))),
            "{result:?}"
        );
        assert_eq!((rig.app().await, rig.everything().await), before);
    }
    rig.store.is_full.store(false, Ordering::SeqCst);
    let next = rig.deploy(&["web", "worker"]).await;
    assert_eq!(
        next.version,
        version("2"),
        "a refused release takes no number"
    );
}

#[tokio::test]
async fn rivals_each_get_a_number_and_no_change_is_lost() {
    let rig = Arc::new(Rig::start().await);
    let changes: Vec<_> = (0..8)
        .map(|number| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.set(&format!("V{number}"), Some("x")).await })
        })
        .collect();
    let mut versions = Vec::new();
    for change in changes {
        versions.push(
            change
                .await
                .expect("no panic")
                .expect("released")
                .expect("a change")
                .version,
        );
    }
    versions.sort();
    assert_eq!(
        versions,
        (1..=8)
            .map(|number| version(&number.to_string()))
            .collect::<Vec<_>>()
    );
    for number in 0..8 {
        assert_eq!(
            rig.var(&format!("V{number}")).await.as_deref(),
            Some("x"),
            "V{number}"
        );
    }
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_no_release() {
    let rig = Rig::start().await;
    let first = rig
        .set("A", Some("1"))
        .await
        .expect("released")
        .expect("a change");
    assert_eq!(first.description, "Set A config vars");
    assert!(rig.set("A", Some("1")).await.expect("read").is_none());
    assert!(rig.set("B", None).await.expect("read").is_none());
    let gone = rig
        .set("A", None)
        .await
        .expect("released")
        .expect("a change");
    assert_eq!(
        (gone.version, gone.description.as_str()),
        (version("2"), "Remove A config vars")
    );
}

#[tokio::test]
async fn a_buildpacks_own_config_vars_come_with_the_first_deploy_and_never_again() {
    let rig = Rig::start().await;
    rig.deploy(&["web"]).await;
    assert_eq!(rig.var("PORT_NAME").await.as_deref(), Some("web"));
    rig.set("PORT_NAME", None).await.expect("released");
    rig.deploy(&["web"]).await;
    assert_eq!(rig.var("PORT_NAME").await, None);
}

#[tokio::test]
async fn a_rollback_takes_slug_and_config_vars_of_then_and_is_a_new_release() {
    let rig = Rig::start().await;
    let first = rig.deploy(&["web"]).await;
    rig.set("A", Some("1")).await.expect("released");
    rig.deploy(&["web", "clock"]).await;
    let back = rig
        .make(&Change::Rollback(first.version))
        .await
        .expect("released")
        .expect("a change");
    assert_eq!(
        (back.version, back.slug, back.config),
        (version("4"), first.slug, first.config)
    );
    assert_eq!(rig.var("A").await, None);
    let formation = rig.apps.formation(rig.app.id).await.expect("readable");
    assert_eq!(
        formation.0.keys().collect::<Vec<_>>(),
        ["web"],
        "the clock has vanished again"
    );
    let again = rig.make(&Change::Rollback(back.version)).await;
    assert!(
        matches!(again, Err(ReleaseError::AlreadyCurrent(_))),
        "{again:?}"
    );
    let never = rig.make(&Change::Rollback(version("9"))).await;
    assert!(
        matches!(never, Err(ReleaseError::NoSuchRelease)),
        "{never:?}"
    );
}

#[tokio::test]
async fn only_a_release_with_a_slug_that_succeeded_can_be_rolled_back_to() {
    let rig = Rig::start().await;
    rig.set("A", Some("1")).await.expect("released");
    rig.deploy(&["web"]).await;
    let result = rig.make(&Change::Rollback(version("1"))).await;
    assert!(
        matches!(result, Err(ReleaseError::NotEligible(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_release_serves_only_once_its_command_has_succeeded() {
    let rig = Rig::start().await;
    let first = rig.deploy(&["web"]).await;
    let pending = rig.deploy(&["web", "release", "clock"]).await;
    assert_eq!(
        (pending.status, pending.has_command),
        (ReleaseStatus::Pending, true)
    );
    assert_eq!(rig.app().await.release_current, Some(first.version));
    let formation = rig.apps.formation(rig.app.id).await.expect("readable");
    assert!(
        !formation.0.contains_key("clock"),
        "the formation belongs to what runs"
    );

    let failed = rig
        .releases
        .finish(rig.app.id, pending.version, ReleaseStatus::Failed)
        .await;
    assert_eq!(failed.expect("ended").status, ReleaseStatus::Failed);
    assert_eq!(rig.app().await.release_current, Some(first.version));
    // An end is final, whoever comes later.
    let late = rig
        .releases
        .finish(rig.app.id, pending.version, ReleaseStatus::Succeeded)
        .await;
    assert_eq!(late.expect("read").status, ReleaseStatus::Failed);

    let next = rig.deploy(&["web", "release", "clock"]).await;
    rig.releases
        .finish(rig.app.id, next.version, ReleaseStatus::Succeeded)
        .await
        .expect("ended");
    assert_eq!(rig.app().await.release_current, Some(next.version));
    let formation = rig.apps.formation(rig.app.id).await.expect("readable");
    assert!(formation.0.contains_key("clock"));
}

#[tokio::test]
async fn a_destroyed_app_leaves_no_row_and_its_name_is_free() {
    let rig = Rig::start().await;
    rig.deploy(&["web"]).await;
    rig.set("A", Some("1")).await.expect("released");
    rig.apps.destroy(rig.app.id).await.expect("destroyed");
    let id = rig.app.id.to_string();
    let left: Vec<_> = rig
        .everything()
        .await
        .into_iter()
        .filter(|(key, _)| key.contains(&id))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(matches!(
        rig.set("A", Some("1")).await,
        Err(ReleaseError::NoSuchApp)
    ));
    rig.apps
        .create(Some(rig.app.name.clone()))
        .await
        .expect("free");
}

#[tokio::test]
async fn config_vars_are_not_in_the_stores_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).expect("opened"));
    let sealer = Sealer::open_or_create(&folder.path().join("key")).expect("a key");
    let apps = Apps::new(Arc::clone(&store), Arc::new(LogHub::new()));
    let app = apps.create(None).await.expect("made");
    let releases = Releases::new(store, sealer);
    let secret = "correct-horse-battery-staple";
    releases
        .make(app.id, &vars("DATABASE_URL", Some(secret)))
        .await
        .expect("released");
    for entry in std::fs::read_dir(folder.path()).expect("listed") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds the value", path.display());
    }
}
