// node:util: the npm polyfill, with our inspect and what newer Nodes have added.
import polyfill from "util-polyfill";
import assert from "assert-polyfill";
import { format, formatWithOptions, inspect } from "../inspect.js";

const never = () => false;
const tagIs = (...tags) => (value) => tags.includes(Object.prototype.toString.call(value).slice(8, -1));
const types = {
  ...polyfill.types, isProxy: never, isExternal: never, isKeyObject: (value) => value?.constructor?.name === "KeyObject", isCryptoKey: (value) => typeof CryptoKey === "function" && value instanceof CryptoKey,
  isModuleNamespaceObject: (value) => Object.prototype.toString.call(value) === "[object Module]",
  isPromise: (value) => value instanceof Promise, isDate: (value) => value instanceof Date, isRegExp: (value) => value instanceof RegExp, isMap: (value) => value instanceof Map, isSet: (value) => value instanceof Set,
  isNativeError: (value) => value instanceof Error, isUint8Array: (value) => value instanceof Uint8Array, isAnyArrayBuffer: tagIs("ArrayBuffer", "SharedArrayBuffer"), isArrayBuffer: tagIs("ArrayBuffer"),
  isAsyncFunction: tagIs("AsyncFunction", "AsyncGeneratorFunction"), isGeneratorFunction: tagIs("GeneratorFunction", "AsyncGeneratorFunction"), isBoxedPrimitive: (value) => [String, Number, Boolean, Symbol, BigInt].some((Box) => value instanceof Box),
};

function parseArgs({ args = globalThis.process.argv.slice(2), options = {}, strict = true, allowPositionals = !strict } = {}) {
  const values = Object.create(null);
  const positionals = [];
  const fail = (code, text) => { throw Object.assign(new TypeError(text), { code }); };
  const store = (name, value) => {
    const option = options[name];
    if (!option && strict) fail("ERR_PARSE_ARGS_UNKNOWN_OPTION", `Unknown option '--${name}'`);
    if (option?.multiple) (values[name] ??= []).push(value);
    else values[name] = value;
  };
  const rest = [...args];
  while (rest.length) {
    const word = rest.shift();
    if (word === "--") {
      positionals.push(...rest.splice(0));
    } else if (word.startsWith("--")) {
      const [, name, value] = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word) ?? [];
      const takes = options[name]?.type === "string";
      store(name, value ?? (takes ? rest.shift() : true));
    } else if (word.startsWith("-") && word.length > 1) {
      const letters = [...word.slice(1)];
      letters.forEach((letter, i) => {
        const name = Object.keys(options).find((key) => options[key].short === letter) ?? letter;
        const takes = options[name]?.type === "string";
        if (takes) store(name, word.slice(i + 2) || rest.shift());
        else store(name, true);
        if (takes) letters.length = i;
      });
    } else if (!allowPositionals) fail("ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL", `Unexpected argument '${word}'`);
    else positionals.push(word);
  }
  for (const [name, option] of Object.entries(options)) if (option.default !== undefined && !(name in values)) values[name] = option.default;
  return { values, positionals };
}

// Built by hand: the polyfill's inspect, its formats and its debuglog know nothing of ours.
const util = {
  ...polyfill, types, inspect, format, formatWithOptions, TextEncoder, TextDecoder, parseArgs,
  debuglog(section) {
    const enabled = () => new RegExp(`(^|[\\s,])(${section}|\\*)([\\s,]|$)`, "i").test(globalThis.process.env.NODE_DEBUG ?? "");
    return Object.assign((...args) => { if (enabled()) globalThis.console.error(`${section.toUpperCase()} 1: ${format(...args)}`); }, { get enabled() { return enabled(); } });
  },
  log: (...args) => globalThis.console.log(format(...args)),
  isDeepStrictEqual(a, b) {
    try {
      assert.deepStrictEqual(a, b);
      return true;
    } catch {
      return false;
    }
  },
  stripVTControlCharacters: (text) => String(text).replace(/[\u001b\u009b][[()#;?]*(?:\d{1,4}(?:;\d{0,4})*)?[\dA-ORZcf-nqry=><~]/g, ""),
  styleText: (style, text) => String(text),
  toUSVString: (text) => String(text).toWellFormed(),
  aborted: (signal) => new Promise((resolve) => { if (signal.aborted) resolve(); else signal.addEventListener("abort", () => resolve(), { once: true }); }),
  getSystemErrorName: (errno) => ({ [-2]: "ENOENT", [-13]: "EACCES", [-111]: "ECONNREFUSED", [-104]: "ECONNRESET", [-110]: "ETIMEDOUT" })[errno] ?? `Unknown system error ${errno}`,
  getSystemErrorMap: () => new Map(),
  getCallSites: () => [],
  transferableAbortController: () => new AbortController(), transferableAbortSignal: (signal) => signal,
  MIMEType: class MIMEType {
    constructor(text) {
      const [essence, ...parameters] = String(text).split(";");
      [this.type, this.subtype] = essence.trim().toLowerCase().split("/");
      this.essence = `${this.type}/${this.subtype}`;
      this.params = new Map(parameters.map((parameter) => parameter.trim().split("=")));
    }
    toString() { return [this.essence, ...[...this.params].map(([name, value]) => `${name}=${value}`)].join(";"); }
  },
};
util.debug = util.debuglog;
util.promisify.custom ??= Symbol.for("nodejs.util.promisify.custom");
globalThis.setTimeout[util.promisify.custom] = (delay, value) => new Promise((resolve) => { setTimeout(resolve, delay, value); });
globalThis.setImmediate[util.promisify.custom] = (value) => new Promise((resolve) => { setImmediate(resolve, value); });
export default util;
export const { inherits, promisify, deprecate, callbackify, isArray, isBoolean, isFunction, isString, isNumber, isObject, isRegExp, isError, isDate, isPrimitive, isBuffer, isUndefined, isNull, isNullOrUndefined, isSymbol, debuglog } = util;
export { format, inspect, types };
