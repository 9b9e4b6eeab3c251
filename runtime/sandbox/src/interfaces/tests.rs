//! Commands that call each interface and end with success when the answers are right.

use super::*;
use crate::command::{CommandExit, run_command};
use crate::engine::{EngineKind, EngineOptions, Engines};
use crate::guest::{Guest, GuestError, Handler};
use crate::instance::InstanceSpec;
use crate::memory::MemoryAccount;
use crate::outbound::Outbound;
use crate::stdio::Stdio;
use std::error::Error as _;
use wasmtime::component::Component;

/// A component that imports `interface`, whose functions its code finds under `host`, and exports `run`.
fn command(interface: &str, lowered: &str, code: &str) -> String {
    format!(
        r#"(component
          {interface}
          (core module $libc
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 4096))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
              (global.get $next)
              (global.set $next (i32.and (i32.const -16)
                (i32.add (i32.const 15) (i32.add (global.get $next) (local.get 3)))))))
          (core instance $libc (instantiate $libc))
          {lowered}
          (core module $main
            (import "libc" "memory" (memory 1))
            {code})
          (core instance $main (instantiate $main
            (with "libc" (instance $libc)) (with "host" (instance $host))))
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $runs (export "run" (func $run)))
          (export "wasi:cli/run@0.2.12" (instance $runs)))"#
    )
}

fn engines(interfaces: HostInterfaces) -> Engines {
    Engines::new(&EngineOptions {
        instance_slots_max: 4,
        interfaces,
        ..EngineOptions::default()
    })
    .unwrap()
}

fn link(engines: &Engines, text: &str) -> Result<Guest, GuestError> {
    let kind = EngineKind::Sequential;
    let component = Component::new(engines.get(kind), wat::parse_str(text).unwrap()).unwrap();
    Guest::link(engines, kind, component, Handler::Command)
}

fn spec() -> InstanceSpec {
    struct Nowhere;
    impl crate::stdio::LineSink for Nowhere {
        fn line(&self, _text: String) {}
    }
    let stdio = Stdio::Lines(Arc::new(Nowhere));
    InstanceSpec::new(stdio, MemoryAccount::new(64 << 20), Outbound::closed())
}

async fn run(engines: &Engines, text: &str, spec: InstanceSpec) -> CommandExit {
    run_command(&link(engines, text).unwrap(), Arc::new(spec)).await
}

#[tokio::test]
async fn a_guest_reads_its_environment_as_configuration() {
    let text = command(
        r#"(import "wasi:config/store@0.2.0-rc.1" (instance $config
             (type $e (variant (case "upstream" string) (case "io" string)))
             (export "error" (type $error (eq $e)))
             (export "get" (func (param "key" string)
               (result (result (option string) (error $error)))))))"#,
        r#"(core func $get (canon lower (func $config "get")
             (memory $libc "memory") (realloc (func $libc "realloc"))))
           (core instance $host (export "get" (func $get)))"#,
        // The answer at 64: ok or error, then some or none, then the string.
        r#"(import "host" "get" (func $get (param i32 i32 i32)))
           (data (i32.const 0) "GREETING")
           (func (export "run") (result i32)
             (call $get (i32.const 0) (i32.const 8) (i32.const 64))
             (i32.or (i32.load8_u (i32.const 64))
               (i32.or (i32.ne (i32.load8_u (i32.const 68)) (i32.const 1))
                 (i32.ne (i32.load (i32.const 76)) (i32.const 6)))))"#,
    );
    let engines = engines(HostInterfaces::default());
    let mut greeted = spec();
    greeted.environment = vec![("GREETING".into(), "Servus".into())];
    assert_eq!(run(&engines, &text, greeted).await, CommandExit::Status(0));
    assert_eq!(run(&engines, &text, spec()).await, CommandExit::Status(1));
}

#[tokio::test]
async fn what_one_dyno_keeps_another_of_its_app_finds() {
    let text = command(
        r#"(import "wasi:keyvalue/store@0.2.0-draft" (instance $store
             (export "bucket" (type $bucket (sub resource)))
             (type $e (variant (case "no-such-store") (case "access-denied") (case "other" string)))
             (export "error" (type $error (eq $e)))
             (export "open" (func (param "identifier" string)
               (result (result (own $bucket) (error $error)))))
             (export "[method]bucket.exists" (func (param "self" (borrow $bucket))
               (param "key" string) (result (result bool (error $error)))))
             (export "[method]bucket.set" (func (param "self" (borrow $bucket))
               (param "key" string) (param "value" (list u8)) (result (result (error $error)))))))
           (alias export $store "bucket" (type $bucket))"#,
        r#"(core func $open (canon lower (func $store "open")
             (memory $libc "memory") (realloc (func $libc "realloc"))))
           (core func $exists (canon lower (func $store "[method]bucket.exists")
             (memory $libc "memory") (realloc (func $libc "realloc"))))
           (core func $set (canon lower (func $store "[method]bucket.set")
             (memory $libc "memory") (realloc (func $libc "realloc"))))
           (core func $drop (canon resource.drop $bucket))
           (core instance $host (export "open" (func $open)) (export "exists" (func $exists))
             (export "set" (func $set)) (export "drop" (func $drop)))"#,
        // Succeeds when the key was there before.
        r#"(import "host" "open" (func $open (param i32 i32 i32)))
           (import "host" "exists" (func $exists (param i32 i32 i32 i32)))
           (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
           (import "host" "drop" (func $drop (param i32)))
           (data (i32.const 0) "key")
           (func (export "run") (result i32) (local $bucket i32)
             (call $open (i32.const 0) (i32.const 0) (i32.const 64))
             (if (i32.load8_u (i32.const 64)) (then unreachable))
             (local.set $bucket (i32.load (i32.const 68)))
             (call $exists (local.get $bucket) (i32.const 0) (i32.const 3) (i32.const 96))
             (if (i32.load8_u (i32.const 96)) (then unreachable))
             (call $set (local.get $bucket) (i32.const 0) (i32.const 3)
               (i32.const 0) (i32.const 3) (i32.const 128))
             (if (i32.load8_u (i32.const 128)) (then unreachable))
             (call $drop (local.get $bucket))
             (i32.eqz (i32.load8_u (i32.const 100))))"#,
    );
    let engines = engines(HostInterfaces::default());
    let (first, mut second) = (spec(), spec());
    second.keyvalue = first.keyvalue.clone();
    assert_eq!(run(&engines, &text, first).await, CommandExit::Status(1));
    assert_eq!(run(&engines, &text, second).await, CommandExit::Status(0));
    assert_eq!(
        run(&engines, &text, spec()).await,
        CommandExit::Status(1),
        "another app's"
    );
}

const DOUBLER: (&str, &str, &str) = (
    r#"(import "acme:numbers/double@1.0.0" (instance $numbers
         (export "double" (func (param "number" u32) (result u32)))))"#,
    r#"(core func $double (canon lower (func $numbers "double")))
       (core instance $host (export "double" (func $double)))"#,
    r#"(import "host" "double" (func $double (param i32) (result i32)))
       (func (export "run") (result i32)
         (i32.ne (call $double (i32.const 21)) (i32.const 42)))"#,
);

#[tokio::test]
async fn an_embedder_adds_an_interface_of_its_own() {
    let mut interfaces = HostInterfaces::default();
    interfaces.add(|linker| {
        let mut numbers = linker.instance("acme:numbers/double@1.0.0")?;
        numbers.func_wrap("double", |store, (number,): (u32,)| {
            Ok((if store.data().app() == "shop" {
                number * 2
            } else {
                0
            },))
        })
    });
    let engines = engines(interfaces);
    let text = command(DOUBLER.0, DOUBLER.1, DOUBLER.2);
    let mut shop = spec();
    shop.app = "shop".into();
    assert_eq!(run(&engines, &text, shop).await, CommandExit::Status(0));
    assert_eq!(run(&engines, &text, spec()).await, CommandExit::Status(1));
}

#[test]
fn an_import_that_nobody_provides_is_named() {
    let text = command(DOUBLER.0, DOUBLER.1, DOUBLER.2);
    let error = link(&engines(HostInterfaces::default()), &text).unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("acme:numbers/double@1.0.0"), "{cause}");
}
