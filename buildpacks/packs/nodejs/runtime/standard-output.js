// Standard output and error, straight to wasi:cli: handles of the engine's own layer would not survive a snapshot.
import { getStdout } from "wasi:cli/stdout@0.2.10";
import { getStderr } from "wasi:cli/stderr@0.2.10";

// The most that `blocking-write-and-flush` takes at once.
const WRITE_BYTES_MAX = 4096;
const encoder = new TextEncoder();
const engineConsole = globalThis.console;
let running = false;

/** Called at the start of every export: there is a host to write to. */
export function startStandardOutput() { running = true; }

/** Writes text or bytes to standard output (1) or error (2). A stream that was closed swallows it, as a closed pipe does. */
export function writeStandard(fd, chunk) {
  if (!running) {
    engineConsole.log(typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk));
    return;
  }
  const bytes = typeof chunk === "string" ? encoder.encode(chunk) : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const stream = fd === 1 ? getStdout() : getStderr();
  try {
    for (let at = 0; at < bytes.length; at += WRITE_BYTES_MAX) stream.blockingWriteAndFlush(bytes.subarray(at, at + WRITE_BYTES_MAX));
  } catch {
    // Nobody reads: an app does not fail because its log was closed.
  } finally {
    stream[Symbol.dispose]();
  }
}
