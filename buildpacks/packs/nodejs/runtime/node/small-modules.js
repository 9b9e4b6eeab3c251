// Modules of a few lines each: timers, tty, perf_hooks, readline, vm, v8, punycode, constants.
import { EventEmitter } from "events";
import * as loop from "../event-loop.js";
import { performance } from "../clock.js";
import { absent } from "./absent.js";
import { constants as fsConstants } from "./fs.js";
import os from "./os.js";

const abortError = (signal) => Object.assign(new Error("The operation was aborted"), { name: "AbortError", code: "ABORT_ERR", cause: signal.reason });
function delayed(start, stop) {
  return (...args) => new Promise((resolve, reject) => {
    const options = args.at(-1)?.signal ? args.at(-1) : undefined;
    const handle = start(resolve, ...args);
    options?.signal.addEventListener("abort", () => {
      stop(handle);
      reject(abortError(options.signal));
    }, { once: true });
  });
}
const sleep = delayed((resolve, delay, value) => loop.setTimeout(resolve, delay, value), loop.clearTimeout);
export const timersPromises = {
  setTimeout: sleep, setImmediate: delayed((resolve, value) => loop.setImmediate(resolve, value), loop.clearImmediate),
  async *setInterval(delay, value) { for (;;) { await sleep(delay); yield value; } },
  scheduler: { wait: (delay) => sleep(delay), yield: () => new Promise((resolve) => loop.setImmediate(resolve)) },
};
const { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate } = loop;
export const timers = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate, promises: timersPromises };

class TtyStream extends EventEmitter {}
export const tty = { isatty: () => false, ReadStream: TtyStream, WriteStream: TtyStream };

class PerformanceObserver { observe() {} disconnect() {} takeRecords() { return []; } static supportedEntryTypes = []; }
const histogram = () => ({ enable: () => true, disable: () => true, reset() {}, record() {}, recordDelta() {}, percentile: () => 0, min: 0, max: 0, mean: 0, stddev: 0, exceeds: 0, percentiles: new Map() });
export const perfHooks = { performance, PerformanceObserver, PerformanceEntry: class {}, PerformanceObserverEntryList: class {}, monitorEventLoopDelay: histogram, createHistogram: histogram, constants: {} };

/** Lines of a stream: what command line tools read their input with. */
class Interface extends EventEmitter {
  constructor(options) {
    super();
    const { input } = options?.input ? options : { input: options };
    this.input = input;
    this.closed = false;
    let rest = "";
    input?.on?.("data", (chunk) => {
      const lines = (rest + chunk).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) this.emit("line", line);
    });
    input?.on?.("end", () => {
      if (rest) this.emit("line", rest);
      this.close();
    });
  }
  close() { if (!this.closed) { this.closed = true; this.emit("close"); } }
  question(text, options, callback) {
    const reply = typeof options === "function" ? options : callback;
    globalThis.process.stdout.write(text);
    this.once("line", reply);
  }
  setPrompt() {}
  prompt() {}
  write() {}
  pause() { this.input?.pause?.(); return this; }
  resume() { this.input?.resume?.(); return this; }
  async *[Symbol.asyncIterator]() {
    const lines = [];
    let wake;
    this.on("line", (line) => { lines.push(line); wake?.(); });
    this.on("close", () => wake?.());
    for (;;) {
      while (lines.length) yield lines.shift();
      if (this.closed) return;
      await new Promise((resolve) => { wake = resolve; });
    }
  }
}
const cursor = { clearLine: () => true, cursorTo: () => true, moveCursor: () => true, clearScreenDown: () => true, emitKeypressEvents() {} };
export const readline = { Interface, createInterface: (...args) => new Interface(args.length > 1 ? { input: args[0] } : args[0]), ...cursor };
readline.promises = { ...readline, createInterface: (options) => Object.assign(new Interface(options), { question(text) { return new Promise((resolve) => { Interface.prototype.question.call(this, text, resolve); }); } }) };

const contexts = "a vm context";
class Script {
  constructor(source, options) {
    this.source = source;
    this.filename = (typeof options === "string" ? options : options?.filename) ?? "evalmachine.<anonymous>";
  }
  runInThisContext() { return (0, eval)(`${this.source}\n//# sourceURL=${this.filename}`); }
  /** Names of the context are visible; assignments to undeclared ones do not reach it. */
  runInContext(context) { return new Function("__context", `with (__context) { return eval(${JSON.stringify(this.source)}); }`)(context); }
  runInNewContext(context = {}) { return this.runInContext(context); }
  createCachedData() { return Buffer.alloc(0); }
}
const isContext = Symbol("vm.context");
export const vm = {
  Script, createContext: (object = {}) => Object.defineProperty(object, isContext, { value: true }), isContext: (object) => Boolean(object?.[isContext]), createScript: (source, options) => new Script(source, options),
  runInThisContext: (source, options) => new Script(source, options).runInThisContext(), runInContext: (source, context) => new Script(source).runInContext(context), runInNewContext: (source, context) => new Script(source).runInNewContext(context),
  compileFunction: (body, parameters = []) => new Function(...parameters, body), measureMemory: absent(contexts), Module: class {}, SourceTextModule: class { constructor() { absent(contexts)(); } }, SyntheticModule: class { constructor() { absent(contexts)(); } }, constants: {},
};

const heap = { total_heap_size: 33554432, total_heap_size_executable: 0, total_physical_size: 33554432, total_available_size: 268435456, used_heap_size: 16777216, heap_size_limit: 268435456, malloced_memory: 0, peak_malloced_memory: 0, does_zap_garbage: 0, number_of_native_contexts: 1, number_of_detached_contexts: 0 };
export const v8 = {
  getHeapStatistics: () => ({ ...heap }), getHeapSpaceStatistics: () => [], getHeapCodeStatistics: () => ({}), setFlagsFromString() {}, getHeapSnapshot: absent("v8.getHeapSnapshot"), writeHeapSnapshot: absent("v8.writeHeapSnapshot"), cachedDataVersionTag: () => 0,
  serialize: absent("v8.serialize"), deserialize: absent("v8.deserialize"), startupSnapshot: { isBuildingSnapshot: () => false },
};
export const constants = { ...os.constants.errno, ...os.constants.signals, ...fsConstants };
