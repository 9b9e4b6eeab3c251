//! What a trap tells the guest's author: why, and where in their own code.

use wasmtime::WasmBacktrace;

/// The reason on the first line, then the WebAssembly frames: names, and files with lines where the component has them.
///
/// Nothing of the host: its own frames are no help to the author, and none of their business.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    let frames = error.downcast_ref::<WasmBacktrace>();
    let frames = frames.map(ToString::to_string).unwrap_or_default();
    let mut reasons: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if cause != frames && reasons.last() != Some(&cause) {
            reasons.push(cause);
        }
    }
    // The frames have a heading of their own.
    let frames: Vec<_> = frames.lines().skip(1).collect();
    if frames.is_empty() {
        return reasons.join(": ");
    }
    format!("{}\n{}", reasons.join(": "), frames.join("\n"))
}
