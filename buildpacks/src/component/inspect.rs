//! Reads a wasm file's kind, imports and exports from its outermost sections, without validating its code.

use std::fmt;
use std::sync::LazyLock;

use wasmparser::{
    Chunk, ComponentAlias, ComponentExternalKind, ComponentType, ComponentTypeRef, Encoding,
    InstanceTypeDeclaration, Parser, Payload,
};

use super::worlds;
use crate::limits;

/// What a wasm file is, by its header and its exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ComponentKind {
    /// A component that answers requests, one at a time per instance: `wasi:http/incoming-handler@0.2`.
    Proxy02,
    /// A component that answers requests concurrently: `wasi:http/handler@0.3`.
    Service03,
    /// A component that runs and ends: `wasi:cli/run@0.2`.
    Command02,
    /// A component that runs and ends, with asynchronous calls: `wasi:cli/run@0.3`.
    Command03,
    /// A component that exports none of the above.
    Library,
    /// A core module with a `_start`; [`adapt`](super::adapt) makes a command of it.
    CoreCommand,
    /// A core module without a `_start`.
    CoreReactor,
}

impl ComponentKind {
    /// The world's name as a slug manifest writes it; `None` where the file cannot be a process.
    pub fn world(self) -> Option<&'static str> {
        match self {
            ComponentKind::Proxy02 => Some("wasi:http/proxy@0.2"),
            ComponentKind::Service03 => Some("wasi:http/service@0.3"),
            ComponentKind::Command02 => Some("wasi:cli/command@0.2"),
            ComponentKind::Command03 => Some("wasi:cli/command@0.3"),
            ComponentKind::Library | ComponentKind::CoreCommand | ComponentKind::CoreReactor => {
                None
            }
        }
    }

    /// Whether the file is a core module, that is, needs [`adapt`](super::adapt) first.
    pub fn is_core(self) -> bool {
        matches!(
            self,
            ComponentKind::CoreCommand | ComponentKind::CoreReactor
        )
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ComponentKind::Library => "component",
            ComponentKind::CoreCommand => "core-command",
            ComponentKind::CoreReactor => "core-reactor",
            other => other.world().unwrap_or("component"),
        })
    }
}

/// One import of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentImport {
    /// As the component writes it, for example `wasi:http/types@0.2.12`.
    pub name: String,
    /// The functions asked of an imported interface, sorted; empty for anything else.
    pub functions: Vec<String>,
    /// Whether the import is an interface; dyno provides nothing else.
    pub is_interface: bool,
}

/// Why a wasm file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The file does not begin with the wasm magic number and a known version.
    #[error("not a wasm file: it begins with {0}")]
    NotWasm(String),
    /// The file is damaged.
    #[error("not a readable wasm file")]
    Malformed(#[from] wasmparser::BinaryReaderError),
    /// The file is over [`limits::COMPONENT_BYTES_MAX`].
    #[error("a wasm file of {bytes} bytes is over the limit of {maximum}")]
    TooLarge {
        /// The file's size.
        bytes: u64,
        /// The limit.
        maximum: u64,
    },
    /// The file declares more imports, exports or types than any real one.
    #[error("a wasm file with more than {0} imports, exports or types")]
    TooMany(usize),
}

/// The kind of a wasm file.
///
/// A component that exports both a handler and `run` counts as the handler.
pub fn kind(bytes: &[u8]) -> Result<ComponentKind, InspectError> {
    let outline = Outline::read(bytes)?;
    if outline.is_core {
        return Ok(if outline.exports.iter().any(|name| name == "_start") {
            ComponentKind::CoreCommand
        } else {
            ComponentKind::CoreReactor
        });
    }
    let exports = |prefix: &str| outline.exports.iter().any(|name| name.starts_with(prefix));
    Ok(if exports("wasi:http/handler@0.3.") {
        ComponentKind::Service03
    } else if exports("wasi:http/incoming-handler@0.2.") {
        ComponentKind::Proxy02
    } else if exports("wasi:cli/run@0.3.") {
        ComponentKind::Command03
    } else if exports("wasi:cli/run@0.2.") {
        ComponentKind::Command02
    } else {
        ComponentKind::Library
    })
}

/// The imports of a component, in file order. For a core module, one per `module.name`.
pub fn imports(bytes: &[u8]) -> Result<Vec<ComponentImport>, InspectError> {
    Ok(Outline::read(bytes)?.imports)
}

/// Whether a core module needs nothing but WASI preview 1.
pub fn is_preview1(bytes: &[u8]) -> Result<bool, InspectError> {
    let outline = Outline::read(bytes)?;
    let mut imports = outline.imports.iter();
    Ok(outline.is_core
        && !outline.has_component_type
        && imports.all(|import| import.name.starts_with("wasi_snapshot_preview1.")))
}

/// The names a component or a core module exports, in file order.
pub fn exports(bytes: &[u8]) -> Result<Vec<String>, InspectError> {
    Ok(Outline::read(bytes)?.exports)
}

/// The imports of a component that dyno does not provide, as text for people, in file order.
///
/// An interface newer than the host's is met when every function that the component asks of it
/// exists in ours, which is how the host links it.
pub fn unmet_imports(bytes: &[u8]) -> Result<Vec<String>, InspectError> {
    let mut unmet = Vec::new();
    for import in imports(bytes)? {
        if !import.is_interface {
            unmet.push(import.name);
            continue;
        }
        let Some(functions) = provided_functions(&import.name) else {
            unmet.push(import.name);
            continue;
        };
        for function in &import.functions {
            if !functions.contains(function) {
                unmet.push(format!("{} ({function})", import.name));
            }
        }
    }
    Ok(unmet)
}

fn provided_functions(name: &str) -> Option<&'static std::collections::BTreeSet<String>> {
    static PROVIDED: LazyLock<
        std::collections::BTreeMap<(String, u64), std::collections::BTreeSet<String>>,
    > = LazyLock::new(|| worlds::provided().expect("the embedded WIT resolves: a test reads it"));
    static DRAFTS: LazyLock<std::collections::BTreeMap<&str, std::collections::BTreeSet<String>>> =
        LazyLock::new(worlds::drafts);
    if let Some(functions) = DRAFTS.get(name) {
        return Some(functions);
    }
    let (interface, version) = name.split_once('@')?;
    let (minor, patch) = version.strip_prefix("0.")?.split_once('.')?;
    // A pre-release ("0.3.0-rc-2025-08-15") is a version of its own: nothing links it.
    let _: u64 = patch.parse().ok()?;
    PROVIDED.get(&(interface.to_owned(), minor.parse().ok()?))
}

/// The outermost names of a wasm file.
#[derive(Default)]
pub(super) struct Outline {
    pub(super) is_core: bool,
    pub(super) imports: Vec<ComponentImport>,
    pub(super) exports: Vec<String>,
    /// Whether a custom section carries component type metadata.
    pub(super) has_component_type: bool,
    /// The component type index space so far: an instance type's functions, or nothing.
    types: Vec<Vec<String>>,
}

impl Outline {
    pub(super) fn read(bytes: &[u8]) -> Result<Outline, InspectError> {
        check_header(bytes)?;
        let mut outline = Outline::default();
        let mut parser = Parser::new(0);
        let mut rest = bytes;
        // "More data is needed" is only said of input that is not at its end.
        while let Chunk::Parsed { payload, consumed } = parser.parse(rest, true)? {
            rest = rest.get(consumed..).unwrap_or_default();
            match payload {
                // A nested module or component has names of its own, which are not the file's.
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } => {
                    let length = unchecked_range.end.saturating_sub(unchecked_range.start);
                    rest = rest.get(length..).unwrap_or_default();
                }
                Payload::CodeSectionStart { size, .. } => {
                    parser.skip_section();
                    rest = rest.get(size as usize..).unwrap_or_default();
                }
                Payload::End(_) => break,
                other => outline.section(other)?,
            }
            let names = outline.types.len() + outline.imports.len() + outline.exports.len();
            if names > limits::COMPONENT_NAMES_MAX {
                return Err(InspectError::TooMany(limits::COMPONENT_NAMES_MAX));
            }
        }
        Ok(outline)
    }

    fn section(&mut self, payload: Payload<'_>) -> Result<(), InspectError> {
        match payload {
            Payload::Version { encoding, .. } => self.is_core = encoding == Encoding::Module,
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    let import = import?;
                    self.imports.push(ComponentImport {
                        name: format!("{}.{}", import.module, import.name),
                        functions: Vec::new(),
                        is_interface: false,
                    });
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    self.exports.push(export?.name.to_owned());
                }
            }
            Payload::CustomSection(reader) => {
                self.has_component_type |= reader.name().starts_with("component-type");
            }
            Payload::ComponentTypeSection(reader) => {
                for kind in reader {
                    self.types.push(instance_functions(&kind?));
                }
            }
            Payload::ComponentAliasSection(reader) => {
                for alias in reader {
                    if defines_type(&alias?) {
                        self.types.push(Vec::new());
                    }
                }
            }
            Payload::ComponentImportSection(reader) => {
                for import in reader {
                    let import = import?;
                    self.import(import.name.name, import.ty);
                }
            }
            Payload::ComponentExportSection(reader) => {
                for export in reader {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Type {
                        self.types.push(Vec::new());
                    }
                    self.exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, name: &str, kind: ComponentTypeRef) {
        let mut import = ComponentImport {
            name: name.to_owned(),
            functions: Vec::new(),
            is_interface: false,
        };
        match kind {
            ComponentTypeRef::Instance(index) => {
                import.is_interface = true;
                import.functions = self.types.get(index as usize).cloned().unwrap_or_default();
            }
            ComponentTypeRef::Type(_) => self.types.push(Vec::new()),
            _ => {}
        }
        self.imports.push(import);
    }
}

fn check_header(bytes: &[u8]) -> Result<(), InspectError> {
    if bytes.len() as u64 > limits::COMPONENT_BYTES_MAX {
        return Err(InspectError::TooLarge {
            bytes: bytes.len() as u64,
            maximum: limits::COMPONENT_BYTES_MAX,
        });
    }
    if !bytes.starts_with(b"\0asm") {
        let head = &bytes[..bytes.len().min(4)];
        return Err(InspectError::NotWasm(if head.is_empty() {
            "nothing (the file is empty)".to_owned()
        } else {
            format!("\"{}\"", head.escape_ascii())
        }));
    }
    Ok(())
}

fn instance_functions(kind: &ComponentType<'_>) -> Vec<String> {
    let ComponentType::Instance(declarations) = kind else {
        return Vec::new();
    };
    let mut functions: Vec<String> = declarations
        .iter()
        .filter_map(|declaration| match declaration {
            InstanceTypeDeclaration::Export {
                name,
                ty: ComponentTypeRef::Func(_),
            } => Some(name.name.to_owned()),
            _ => None,
        })
        .collect();
    functions.sort();
    functions
}

fn defines_type(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::InstanceExport {
            kind: ComponentExternalKind::Type,
            ..
        } | ComponentAlias::Outer {
            kind: wasmparser::ComponentOuterAliasKind::Type,
            ..
        }
    )
}
