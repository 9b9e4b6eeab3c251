//! An interface of the embedder's own, called by a guest: `cargo run -p dyno-runtime --example host_interface`.

use dyno_runtime::{DynoSize, ExecSpec, ExitStatus, Runtime, RuntimeOptions, exec};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A command that counts three visits. In a real project this is a component of any language, built against the
/// interface's WIT: `package acme:visits@1.0.0; interface counter { count: func() -> u32; }`.
const GUEST: &str = r#"
(component
  (import "acme:visits/counter@1.0.0" (instance $counter (export "count" (func (result u32)))))
  (core func $count (canon lower (func $counter "count")))
  (core module $code
    (import "host" "count" (func $count (result i32)))
    (func (export "run") (result i32)
      (drop (call $count))
      (drop (call $count))
      (i32.ne (call $count) (i32.const 3))))
  (core instance $code (instantiate $code
    (with "host" (instance (export "count" (func $count))))))
  (func $run (result (result)) (canon lift (core func $code "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (status, visits) = count(Path::new("embed-data/state")).await?;
    println!("{status:?} after {visits} visits");
    Ok(())
}

/// How the guest ended, and what it counted.
pub async fn count(state: &Path) -> Result<(ExitStatus, u32), Box<dyn Error>> {
    let visits = Arc::new(AtomicU32::new(0));
    let mut options = RuntimeOptions::new(state);
    let counted = visits.clone();
    options.interfaces.add(move |linker| {
        let counted = counted.clone();
        let mut counter = linker.instance("acme:visits/counter@1.0.0")?;
        // `store.data().app()` says which app calls; here it is a bare component.
        counter.func_wrap("count", move |_store, (): ()| {
            Ok((counted.fetch_add(1, Ordering::Relaxed) + 1,))
        })
    });
    let runtime = Runtime::new(options)?;
    let spec = ExecSpec {
        component: wat::parse_str(GUEST)?,
        world: dyno_slug::World::Command,
        arguments: vec!["guest".into()],
        environment: BTreeMap::new(),
        mounts: Vec::new(),
        memory_bytes_max: DynoSize::default().memory_bytes_max,
    };
    let status = exec(&runtime, spec).await?;
    Ok((status, visits.load(Ordering::Relaxed)))
}
