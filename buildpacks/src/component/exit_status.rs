//! Lets a preview-1 module's exit status through to the host.
//!
//! The adapter calls `wasi:cli/exit`'s `exit`, which knows success and failure only. `exit-with-code` came with 0.2.12
//! and has the very shape of `proc_exit`, so the module's import is pointed at it before it is adapted.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ImportSection, Module, RawSection};
use wasmparser::{Parser, Payload};
use wit_component::StringEncoding;

use super::worlds;

const FROM: (&str, &str) = ("wasi_snapshot_preview1", "proc_exit");
const TO: (&str, &str) = ("wasi:cli/exit@0.2.12", "exit-with-code");

/// The module with its `proc_exit` imported from `wasi:cli/exit`, and with the component type that says so.
///
/// Every other section stays byte for byte. A module that does not import `proc_exit` comes back as it was.
pub(super) fn pass_on(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut exits = false;
    let mut rewritten = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::ImportSection(reader) = &payload {
            let mut imports = ImportSection::new();
            for import in reader.clone().into_imports() {
                let import = import?;
                let name = (import.module, import.name);
                exits |= name == FROM;
                let (from, name) = if name == FROM { TO } else { name };
                imports.import(from, name, RoundtripReencoder.entity_type(import.ty)?);
            }
            rewritten.section(&imports);
        } else if let Some((id, range)) = payload.as_section() {
            let data = module.get(range).unwrap_or_default();
            rewritten.section(&RawSection { id, data });
        }
    }
    if !exits {
        return Ok(module.to_vec());
    }
    let mut rewritten = rewritten.finish();
    let (resolve, world) = worlds::resolve_exit_status()?;
    wit_component::embed_component_metadata(&mut rewritten, &resolve, world, StringEncoding::UTF8)?;
    Ok(rewritten)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::component::{AdaptOptions, adapt, imports};

    const EXITS: &str = r#"(module
      (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (@custom "name of nothing" "kept")
      (func (export "_start") (call $exit (i32.const 7))))"#;

    fn functions_of_exit(component: &[u8]) -> Vec<String> {
        let imports = imports(component).unwrap();
        let exit = imports
            .into_iter()
            .find(|import| import.name == "wasi:cli/exit@0.2.12");
        exit.map(|import| import.functions).unwrap_or_default()
    }

    #[test]
    fn a_module_that_exits_tells_its_status() {
        let module = wat::parse_str(EXITS).unwrap();
        let component = adapt(&module, &AdaptOptions::default()).unwrap();
        let functions = functions_of_exit(&component);
        assert!(
            functions.contains(&"exit-with-code".to_owned()),
            "{functions:?}"
        );
    }

    #[test]
    fn a_module_with_a_component_type_of_its_own_does_so_as_well() {
        let mut module = wat::parse_str(EXITS).unwrap();
        let (resolve, world) = worlds::resolve_02(worlds::GuestWorld::Imports, 3).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .unwrap();
        let component = adapt(&module, &AdaptOptions::default()).unwrap();
        let functions = functions_of_exit(&component);
        assert!(
            functions.contains(&"exit-with-code".to_owned()),
            "{functions:?}"
        );
    }

    #[test]
    fn nothing_else_of_a_module_changes() {
        let text = EXITS.replace("proc_exit", "proc_raise");
        let module = wat::parse_str(text.replace("i32.const 7", "i32.const 8")).unwrap();
        assert_eq!(pass_on(&module).unwrap(), module);
        let rewritten = pass_on(&wat::parse_str(EXITS).unwrap()).unwrap();
        assert!(rewritten.windows(4).any(|bytes| bytes == b"kept"));
        assert!(rewritten.windows(11).any(|bytes| bytes == b"sched_yield"));
        assert!(!rewritten.windows(9).any(|bytes| bytes == b"proc_exit"));
    }
}
