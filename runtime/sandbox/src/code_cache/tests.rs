//! The cache against bounds, damage, rivals and killed writers.

use super::*;
use crate::engine::EngineOptions;

const COMPONENT: &str =
    r#"(component (core module $m (func (export "f"))) (core instance (instantiate $m)))"#;

fn cached() -> (tempfile::TempDir, Engines, CodeCache, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let engines = Engines::new(&EngineOptions {
        instance_slots_max: 2,
        ..EngineOptions::default()
    })
    .unwrap();
    let cache = CodeCache::open(
        directory.path().join("native"),
        limits::CODE_CACHE_BYTES_MAX,
    )
    .unwrap();
    (
        directory,
        engines,
        cache,
        wat::parse_str(COMPONENT).unwrap(),
    )
}

fn only_file(cache: &CodeCache, extension: &str) -> PathBuf {
    fs::read_dir(&cache.directory)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten())
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .unwrap()
}

#[test]
fn a_component_is_compiled_once_and_then_found() {
    let (_directory, engines, cache, component) = cached();
    let name = blake3::hash(&component).to_hex().to_string();
    assert!(
        cache
            .find(&engines, EngineKind::Sequential, &name)
            .unwrap()
            .is_none()
    );
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    assert!(
        cache
            .find(&engines, EngineKind::Sequential, &name)
            .unwrap()
            .is_some()
    );
    assert!(
        cache
            .find(&engines, EngineKind::Concurrent, &name)
            .unwrap()
            .is_none()
    );
}

#[test]
fn changed_code_is_never_mapped_but_compiled_again() {
    let (_directory, engines, cache, component) = cached();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    let path = only_file(&cache, "native");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&path, &bad).unwrap();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), good);
}

#[test]
fn code_with_a_tag_of_another_host_is_refused() {
    let (_directory, engines, cache, component) = cached();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    fs::write(cache.directory.join("key"), [7; 32]).unwrap();
    let stranger = CodeCache::open(&cache.directory, cache.bytes_max).unwrap();
    let name = blake3::hash(&component).to_hex().to_string();
    assert!(
        stranger
            .find(&engines, EngineKind::Sequential, &name)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_truncated_file_is_compiled_again() {
    let (_directory, engines, cache, component) = cached();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    let path = only_file(&cache, "native");
    fs::write(&path, b"").unwrap();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 0);
}

fn file_count(cache: &CodeCache, extension: &str) -> usize {
    fs::read_dir(&cache.directory)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten())
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|found| found == extension)
        })
        .count()
}

#[test]
fn bytes_that_were_checked_are_not_read_again_until_the_file_is_another() {
    let (_directory, engines, cache, component) = cached();
    let name = blake3::hash(&component).to_hex().to_string();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    let path = only_file(&cache, "native");
    let expected = cache.file_tag(&name, &fs::metadata(&path).unwrap());
    assert_eq!(
        fs::read(tag_path(&path)).unwrap()[32..],
        *expected.as_bytes()
    );
    // The same bytes in another file, as after a restore: checked once, then vouched for again.
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    assert!(
        cache
            .find(&engines, EngineKind::Sequential, &name)
            .unwrap()
            .is_some()
    );
    let expected = cache.file_tag(&name, &fs::metadata(&path).unwrap());
    assert_eq!(
        fs::read(tag_path(&path)).unwrap()[32..],
        *expected.as_bytes()
    );
}

#[test]
fn another_engine_does_not_find_what_this_one_compiled() {
    let (_directory, engines, cache, component) = cached();
    let name = blake3::hash(&component).to_hex().to_string();
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true);
    let other = Engine::new(&config).unwrap();
    let path = cache.path(&other, EngineKind::Sequential, &name);
    assert_ne!(path, only_file(&cache, "native"));
    assert!(!path.exists());
}

#[test]
fn the_least_recently_used_code_goes_when_the_bound_is_reached() {
    let (_directory, engines, cache, _) = cached();
    let component = |number: u32| {
        wat::parse_str(format!(
            r#"(component (core module $m (func (export "f") (result i32) i32.const {number})) (core instance (instantiate $m)))"#
        ))
        .unwrap()
    };
    let kind = EngineKind::Sequential;
    cache.load(&engines, kind, &component(0)).unwrap();
    let size = fs::metadata(only_file(&cache, "native")).unwrap().len();
    // Room for three.
    let cache = CodeCache::open(&cache.directory, size * 7 / 2).unwrap();
    let name = |number| blake3::hash(&component(number)).to_hex().to_string();
    for number in 1..4 {
        cache.load(&engines, kind, &component(number)).unwrap();
        // The first stays in use; the order must not hang on the clock's grain.
        let path = cache.path(engines.get(kind), kind, &name(0));
        let later = SystemTime::now() + std::time::Duration::from_secs(u64::from(number));
        File::open(tag_path(&path))
            .and_then(|tag| tag.set_modified(later))
            .unwrap();
    }
    assert!(cache.contains(&engines, kind, &name(0)));
    assert!(!cache.contains(&engines, kind, &name(1)));
    assert!(cache.contains(&engines, kind, &name(3)));
    assert_eq!(file_count(&cache, "native"), file_count(&cache, "tag"));
}

#[test]
fn what_a_killed_writer_leaves_is_never_used_and_not_kept() {
    let (_directory, engines, cache, component) = cached();
    let name = blake3::hash(&component).to_hex().to_string();
    let path = cache.path(
        engines.get(EngineKind::Sequential),
        EngineKind::Sequential,
        &name,
    );
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Killed after the code and before the tag, and in the middle of the code.
    fs::write(&path, b"half").unwrap();
    let half = path.with_extension("1-0.tmp");
    fs::write(&half, b"ha").unwrap();
    let old = SystemTime::now() - 2 * limits::CODE_CACHE_WRITE_MAX;
    File::open(&half)
        .and_then(|file| file.set_modified(old))
        .unwrap();
    assert!(
        cache
            .find(&engines, EngineKind::Sequential, &name)
            .unwrap()
            .is_none()
    );
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    assert!(!half.exists());
    // A tag without code.
    fs::remove_file(&path).unwrap();
    assert!(
        cache
            .find(&engines, EngineKind::Sequential, &name)
            .unwrap()
            .is_none()
    );
}

#[test]
fn many_writers_of_one_name_all_get_code_and_leave_one_whole_pair() {
    let (_directory, engines, cache, component) = cached();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let name = blake3::hash(&component).to_hex().to_string();
                    cache
                        .compile(&engines, EngineKind::Sequential, &name, &component)
                        .unwrap();
                }
            });
        }
    });
    cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    assert_eq!(
        (
            file_count(&cache, "native"),
            file_count(&cache, "tag"),
            file_count(&cache, "tmp")
        ),
        (1, 1, 0)
    );
}

#[test]
fn touched_pages_are_recorded_once_and_go_with_the_code() {
    let (_directory, engines, cache, component) = cached();
    let name = blake3::hash(&component).to_hex().to_string();
    let code = cache
        .load(&engines, EngineKind::Sequential, &component)
        .unwrap();
    cache.record_pages(&engines, EngineKind::Sequential, &name);
    let recorded = fs::read(only_file(&cache, "pages")).unwrap();
    assert!(!recorded.is_empty());
    drop(code);
    // Known already: a file that is mapped nowhere would have no pages.
    cache.record_pages(&engines, EngineKind::Sequential, &name);
    assert_eq!(fs::read(only_file(&cache, "pages")).unwrap(), recorded);
    cache.remove(&engines, EngineKind::Sequential, &name);
    assert_eq!(file_count(&cache, "pages"), 0);
}
