// What happens to exceptions and rejections that nobody handles: as in Node, the process says so and ends.
import { exit } from "wasi:cli/exit@0.2.10";
import { describeError } from "./engine-errors.js";
import { writeStandard } from "./standard-output.js";

// While the app is loaded, a fault is the loader's to report instead of a reason to end the process.
let interceptor;

/** `process.exit` while the heap is being booted, where ending the instance would hide the reason. */
export class ExitDuringBoot extends Error {
  constructor(code) {
    super(`the app called process.exit(${code}) while it was loaded`);
    this.exitCode = code;
  }
}

/** Sends faults to `callback` until called with nothing. */
export function interceptFaults(callback) { interceptor = callback; }

/** Ends the process. wasi knows success and failure only, so every other status arrives as 1. */
export function exitProcess(code) {
  if (interceptor) throw new ExitDuringBoot(code);
  exit(code ? { tag: "err" } : { tag: "ok" });
}

/** An exception that reached the top of a callback. */
export function uncaughtException(error, origin = "uncaughtException") {
  if (error instanceof ExitDuringBoot && interceptor) return interceptor(error);
  const process = globalThis.process;
  if (process?.listenerCount?.("uncaughtException")) {
    process.emit("uncaughtException", error, origin);
    return undefined;
  }
  if (interceptor) return interceptor(error);
  writeStandard(2, `${describeError(error)}\n\nNode.js ${process?.version ?? ""}\n`);
  return exitProcess(1);
}

/** A promise that was rejected and that nobody can handle any more. */
export function unhandledRejection(reason, promise) {
  const process = globalThis.process;
  if (process?.listenerCount?.("unhandledRejection")) {
    process.emit("unhandledRejection", reason, promise);
    return;
  }
  uncaughtException(reason, "unhandledRejection");
}

/**
 * Takes over a promise that its caller has dropped. This engine tells nobody about rejections without a handler, so
 * wherever this runtime or a statement of the app drops one, its rejection is followed here.
 */
export function watchPromise(value) {
  if (value instanceof Promise) value.then(undefined, (reason) => unhandledRejection(reason, value));
  return value;
}
