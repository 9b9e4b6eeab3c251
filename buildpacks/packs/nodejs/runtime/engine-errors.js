// Makes this engine's errors look like V8's: `stack` begins with the message, `captureStackTrace` and call sites exist.
//
// Packages rely on all three: loggers print `error.stack` alone, `depd` (Express, body-parser) reads call sites at load.

const FRAMES_MIN = 10; // `depd` and its like index into the call sites without looking how many there are
const nativeStack = Object.getOwnPropertyDescriptor(Error.prototype, "stack");

// Frames of the base component itself say nothing to an app's author.
const isOurs = (frame) => frame.file === "base.js" || frame.file.endsWith("bindings.js");

/** Parses `name@file:line:column` lines. */
export function parseFrames(stack) {
  const frames = [];
  for (const text of String(stack ?? "").split("\n")) {
    const match = /^(.*?)@(.*?)(?: line \d+ > eval)?:(\d+):(\d+)$/.exec(text);
    if (match) frames.push({ name: match[1].replace(/^.*[/<]|<$/g, ""), file: match[2], line: Number(match[3]), column: Number(match[4]) });
  }
  return frames.filter((frame) => !isOurs(frame));
}

const printed = (frame) => {
  const place = `${frame.file}:${frame.line}:${frame.column}`;
  return `    at ${frame.name ? `${frame.name} (${place})` : place}`;
};

class CallSite {
  constructor(frame) { this._frame = frame; }
  getFileName() { return this._frame.file; }
  getScriptNameOrSourceURL() { return this._frame.file; }
  getScriptHash() { return ""; }
  getLineNumber() { return this._frame.line; }
  getColumnNumber() { return this._frame.column; }
  getEnclosingLineNumber() { return this._frame.line; }
  getEnclosingColumnNumber() { return this._frame.column; }
  getFunctionName() { return this._frame.name || null; }
  getTypeName() { return "Object"; }
  getMethodName() { return null; }
  getThis() { return undefined; }
  getFunction() { return undefined; }
  getEvalOrigin() { return undefined; }
  getPromiseIndex() { return null; }
  getPosition() { return 0; }
  isNative() { return false; }
  isToplevel() { return true; }
  isConstructor() { return false; }
  isEval() { return false; }
  isAsync() { return false; }
  isPromiseAll() { return false; }
  toString() { return printed(this._frame).slice("    at ".length); }
}

const unknown = { name: "", file: "/app/index.js", line: 1, column: 1 };

function headOf(error) {
  try {
    const name = error.name === undefined ? "Error" : String(error.name);
    const message = error.message === undefined ? "" : String(error.message);
    return !name ? message : message ? `${name}: ${message}` : name;
  } catch {
    return "Error";
  }
}

/** The text or, with `Error.prepareStackTrace`, the value that V8 would give for these raw frames. */
function present(error, raw) {
  const frames = parseFrames(raw);
  const limit = Number(Error.stackTraceLimit);
  if (typeof Error.prepareStackTrace === "function") {
    const sites = frames.map((frame) => new CallSite(frame));
    while (sites.length < FRAMES_MIN) sites.push(new CallSite(unknown));
    return Error.prepareStackTrace(error, sites);
  }
  return [headOf(error), ...frames.slice(0, Number.isFinite(limit) ? limit : undefined).map(printed)].join("\n");
}

Error.stackTraceLimit = 10;
Object.defineProperty(Error.prototype, "stack", {
  configurable: true,
  get() {
    const raw = nativeStack.get.call(this);
    return raw === undefined ? undefined : present(this, raw);
  },
  set(value) { Object.defineProperty(this, "stack", { value, writable: true, configurable: true }); },
});

Error.captureStackTrace = (target) => {
  const raw = nativeStack.get.call(new Error());
  let value;
  Object.defineProperty(target, "stack", {
    configurable: true,
    get() { return (value ??= present(target, raw)); },
    set(replacement) { value = replacement; },
  });
};

/** An error with its causes, as Node prints one that nobody handled. */
export function describeError(error) {
  if (!(error instanceof Error)) return `Uncaught ${typeof error === "string" ? `'${error}'` : String(error?.stack ?? error)}`;
  const head = headOf(error);
  const stack = typeof error.stack === "string" ? error.stack : head;
  const full = stack.startsWith(head) || !error.message ? stack : `${head}\n${stack}`;
  const cause = error.cause === undefined ? "" : `\n  [cause]: ${describeError(error.cause)}`;
  const code = error.code === undefined ? "" : ` {\n  code: '${error.code}'\n}`;
  return full + code + cause;
}
