//! Imports that dyno does not provide, and where they come from.

/// (beginning of an import's name, who provides it or what to do instead)
const KNOWN: &[(&str, &str)] = &[
    (
        "wasi:logging/",
        "no stable version yet; write to standard error, which is logged",
    ),
    (
        "wasi:blobstore/",
        "no stable version yet; use object storage over wasi:http",
    ),
    (
        "wasi:messaging/",
        "no stable version yet; use a broker over wasi:sockets",
    ),
    (
        "wasi:sql/",
        "no stable version yet; use a database over wasi:sockets",
    ),
    (
        "wasi:config/runtime@",
        "an older draft; wasi:config/store@0.2.0-rc.1 is provided",
    ),
    (
        "wasi:config/",
        "another draft; wasi:config/store@0.2.0-rc.1 is provided",
    ),
    (
        "wasi:keyvalue/",
        "another draft; 0.2.0-draft is provided, without watcher",
    ),
    ("wasi:nn/", "a proposal for neural networks"),
    ("wasi:webgpu/", "a proposal for graphics"),
    ("wasi:tls/", "a draft; use wasi:http, or TLS in the app"),
    ("fermyon:spin/", "Spin's own; build the app for wasi:http"),
    ("spin:", "Spin's own; build the app for wasi:http"),
    ("wasmcloud:", "wasmCloud's own; build the app for wasi:http"),
    ("wasix_", "WASIX, of Wasmer only"),
    (
        "wasi_unstable.",
        "WASI before preview 1; build with a newer toolchain",
    ),
    (
        "env.",
        "a library that was not linked in, or a browser's environment (Emscripten)",
    ),
    ("__wbindgen", "a browser's environment (wasm-bindgen)"),
    ("wbg.", "a browser's environment (wasm-bindgen)"),
];

/// Where an import that dyno does not provide comes from, or what to use instead; `None` when it is not known.
pub fn provider_of(import: &str) -> Option<&'static str> {
    if let Some((_, version)) = import
        .strip_prefix("wasi:")
        .and_then(|name| name.split_once('@'))
    {
        if version.starts_with("0.3.0-") {
            return Some(
                "a release candidate; WASI 0.3.0 is provided: build with a newer toolchain",
            );
        }
        if version.starts_with("0.2.") && version.contains(" (") {
            return Some("newer than WASI 0.2.12, which is provided");
        }
    }
    let known = KNOWN.iter().find(|(prefix, _)| import.starts_with(prefix));
    known.map(|(_, provider)| *provider)
}

/// The import, with its provider where that is known.
pub fn with_provider(import: &str) -> String {
    match provider_of(import) {
        Some(provider) => format!("{import} ({provider})"),
        None => import.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_imports_name_their_provider_and_others_stand_alone() {
        for (import, words) in [
            ("wasi:logging/logging@0.1.0-draft", "standard error"),
            ("wasi:http/types@0.3.0-rc-2025-09-16", "release candidate"),
            ("wasi:http/types@0.2.99 (later)", "newer than WASI 0.2.12"),
            (
                "wasi:config/runtime@0.2.0-draft",
                "store@0.2.0-rc.1 is provided",
            ),
            ("fermyon:spin/llm@2.0.0", "Spin"),
        ] {
            let text = with_provider(import);
            assert!(text.starts_with(import) && text.contains(words), "{text}");
        }
        assert_eq!(
            with_provider("acme:printer/paper@1.0.0"),
            "acme:printer/paper@1.0.0"
        );
    }
}
