//! Sources of apps: the examples, copies of them to change, and small ones of the tests' own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::binary;

/// The folder of an example, which must be there.
pub fn example(name: &str) -> PathBuf {
    let path = binary::workspace().join("examples").join(name);
    assert!(
        path.is_dir(),
        "the example {name} is missing: {} is no folder",
        path.display()
    );
    path
}

/// A source that a test may change.
pub struct Source {
    directory: TempDir,
}

impl Source {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dyno-source-")
            .tempdir()
            .unwrap();
        let source = Self { directory };
        for (path, bytes) in files {
            source.write(path, bytes);
        }
        source
    }

    /// A copy of an example, without what its own tools left there.
    pub fn of_example(name: &str) -> Self {
        let source = Self::new(&[]);
        copy(&example(name), source.path());
        source
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if ["target", "node_modules", ".venv", "__pycache__"]
            .iter()
            .any(|name| path.ends_with(name))
        {
            continue;
        }
        if path.is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A core module of WASI preview 1 that prints its environment, each variable ended by a NUL.
pub fn environment_printer() -> Vec<u8> {
    wat::parse_str(
        r#"(module
          (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "_start")
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $get (i32.const 1024) (i32.const 8192)))
            (i32.store (i32.const 16) (i32.const 8192))
            (i32.store (i32.const 20) (i32.load (i32.const 4)))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))"#,
    )
    .unwrap()
}

/// A core module of WASI preview 1 that ends with `code`.
pub fn exits_with(code: u32) -> Vec<u8> {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start") (call $exit (i32.const {code}))))"#
    );
    wat::parse_str(text).unwrap()
}

/// A core module of WASI preview 1 that copies its input to its output, and ends with 3 when it cannot.
pub fn copies_input() -> Vec<u8> {
    let text = r#"(module
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 2)
      (func (export "_start") (local $from i32) (local $left i32)
        (loop $more
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (i32.const 65536))
          (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (local.set $from (i32.const 64))
          (local.set $left (i32.load (i32.const 8)))
          (if (i32.eqz (local.get $left)) (then return))
          (loop $rest
            (i32.store (i32.const 0) (local.get $from))
            (i32.store (i32.const 4) (local.get $left))
            (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12))
              (then (call $exit (i32.const 3))))
            (local.set $from (i32.add (local.get $from) (i32.load (i32.const 12))))
            (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 12))))
            (br_if $rest (local.get $left)))
          (br $more))))"#;
    wat::parse_str(text).unwrap()
}

/// A core module of WASI preview 1 that says so and computes for ever.
pub fn spins() -> Vec<u8> {
    let text = r#"(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "\10\00\00\00\09\00\00\00")
      (data (i32.const 16) "spinning\n")
      (func (export "_start")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
        (loop $for_ever (br $for_ever))))"#;
    wat::parse_str(text).unwrap()
}

/// A core module of WASI preview 1 that traps.
pub fn traps() -> Vec<u8> {
    wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#)
        .unwrap()
}

/// A command component; with `import`, one that needs an interface of this name.
pub fn command_component(import: Option<&str>) -> Vec<u8> {
    let import = import.map_or_else(String::new, |name| {
        format!(r#"(import "{name}" (instance (export "send" (func))))"#)
    });
    let text = format!(
        r#"(component
          {import}
          (core module $module (func (export "run") (result i32) (i32.const 0)))
          (core instance $instance (instantiate $module))
          (func $run (result (result)) (canon lift (core func $instance "run")))
          (instance $cli (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    );
    wat::parse_str(text).unwrap()
}
