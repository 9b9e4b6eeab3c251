// util.inspect and util.format: how Node prints values.

const LINE_LENGTH_MAX = 72; // longer objects break into one line per entry
const ITEMS_MAX = 100;
export const customInspect = Symbol.for("nodejs.util.inspect.custom");
const identifier = /^[a-zA-Z_][a-zA-Z_0-9]*$/;

function quote(text) {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes("`") && !text.includes("${") ? "`" : "'";
  const escapes = { "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\\": "\\\\", [mark]: `\\${mark}` };
  const escaped = text.replace(/[\x00-\x1f\x7f\\'"`]/g, (c) => escapes[c] ?? (c < " " || c === "\x7f" ? `\\x${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}` : c));
  return mark + escaped + mark;
}

function primitive(value) {
  switch (typeof value) {
    case "string": return quote(value);
    case "number": return Object.is(value, -0) ? "-0" : String(value);
    case "bigint": return `${value}n`;
    default: return String(value);
  }
}

function constructorName(object) {
  for (let at = object; at; at = Object.getPrototypeOf(at)) {
    const own = Object.getOwnPropertyDescriptor(at, "constructor");
    if (own && typeof own.value === "function" && own.value.name && (own.value.prototype === undefined || object instanceof own.value)) return own.value.name;
  }
  return null;
}

const keyText = (key) => (typeof key === "symbol" ? `[${String(key)}]` : identifier.test(key) ? key : quote(key));

/** One run of inspect: its options and the objects it is inside of. */
class Inspection {
  constructor(options) {
    this.options = { depth: 2, breakLength: 80, compact: 3, showHidden: false, sorted: false, maxArrayLength: ITEMS_MAX, colors: false, ...options };
    if (this.options.depth === null) this.options.depth = Infinity;
    this.seen = [];
    this.circular = new Map();
  }

  value(value, depth, indent) {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return primitive(value);
    const custom = value[customInspect];
    if (typeof custom === "function" && custom !== inspect && value.constructor?.prototype !== value) {
      const left = this.options.depth - depth;
      const answer = custom.call(value, left, { ...this.options, depth: left, stylize: (text) => String(text) }, inspect);
      if (answer !== value) return typeof answer === "string" ? answer.replace(/\n/g, `\n${" ".repeat(indent)}`) : this.value(answer, depth, indent);
    }
    if (this.seen.includes(value)) {
      if (!this.circular.has(value)) this.circular.set(value, this.circular.size + 1);
      return `[Circular *${this.circular.get(value)}]`;
    }
    return this.object(value, depth, indent);
  }

  object(value, depth, indent) {
    const shape = describe(value);
    const keys = this.keys(value, shape);
    if (!keys.length && shape.whole) return shape.base;
    if (depth > this.options.depth && !shape.whole) return `[${constructorName(value) ?? "Object: null prototype"}]`;
    this.seen.push(value);
    let entries;
    try {
      entries = shape.entries ? shape.entries(this, depth, indent + 2) : [];
      for (const key of keys) entries.push(this.property(value, key, depth, indent + 2));
    } finally {
      this.seen.pop();
    }
    const reference = this.circular.has(value) ? `<ref *${this.circular.get(value)}> ` : "";
    const prefix = reference + (shape.base ? `${shape.base} ` : "");
    const [open, close] = shape.braces;
    if (!entries.length) return shape.base && shape.whole ? shape.base : `${prefix}${open}${close}`;
    return this.layout(entries, prefix, open, close, indent, shape.isArray);
  }

  keys(value, shape) {
    let keys = this.options.showHidden ? Object.getOwnPropertyNames(value) : Object.keys(value);
    if (shape.isArray) keys = keys.filter((key) => !/^\d+$/.test(key));
    if (value instanceof Error) keys = keys.filter((key) => key !== "stack" && key !== "message");
    const symbols = Object.getOwnPropertySymbols(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key));
    const all = [...keys, ...symbols];
    if (value instanceof Error && Object.hasOwn(value, "cause") && !all.includes("cause")) all.push("cause");
    if (this.options.sorted) all.sort(typeof this.options.sorted === "function" ? this.options.sorted : undefined);
    return all;
  }

  property(value, key, depth, indent) {
    const own = Object.getOwnPropertyDescriptor(value, key) ?? { value: value[key], enumerable: true };
    const text = own.get ? (own.set ? "[Getter/Setter]" : "[Getter]") : own.set ? "[Setter]" : this.value(own.value, depth + 1, indent);
    const name = value instanceof Error && key === "cause" ? "[cause]" : own.enumerable ? keyText(key) : `[${String(key)}]`;
    return `${name}: ${text}`;
  }

  layout(entries, prefix, open, close, indent, isArray) {
    const total = entries.reduce((sum, entry) => sum + entry.length + 2, prefix.length + open.length);
    const breaks = this.options.breakLength === Infinity ? Infinity : Math.min(LINE_LENGTH_MAX, this.options.breakLength);
    const flat = entries.every((entry) => !entry.includes("\n")) && total + (isArray ? 0 : indent) <= breaks && (entries.length <= 6 || !isArray);
    if (flat || this.options.compact === true) return `${prefix}${open} ${entries.join(", ")} ${close}`;
    const pad = `\n${" ".repeat(indent + 2)}`;
    const lines = isArray && entries.length > 6 ? columns(entries) : entries;
    return `${prefix}${open}${pad}${lines.join(`,${pad}`)}\n${" ".repeat(indent)}${close}`;
  }
}

/** Short entries of a long array share lines, as a table. */
function columns(entries) {
  const width = Math.max(...entries.map((entry) => entry.length)) + 2;
  if (width > 20 || entries.some((entry) => entry.includes("\n"))) return entries;
  const each = Math.max(1, Math.min(Math.round(Math.sqrt(2.5 * width * entries.length) / width), Math.floor(80 / width), 15));
  const numeric = entries.every((entry) => /^-?[\d.]+n?$/.test(entry));
  const lines = [];
  for (let at = 0; at < entries.length; at += each) {
    const row = entries.slice(at, at + each);
    lines.push(row.map((entry, i) => {
      const cell = i === row.length - 1 && !numeric ? entry : numeric ? entry.padStart(width - 2) : `${entry},`.padEnd(width);
      return numeric && i < row.length - 1 ? `${cell}, ` : cell;
    }).join("").trimEnd());
  }
  return lines;
}

const limited = (items, inspection, show) => {
  const most = inspection.options.maxArrayLength ?? Infinity;
  const shown = items.slice(0, most).map(show);
  const more = items.length - shown.length;
  if (more > 0) shown.push(`... ${more} more item${more > 1 ? "s" : ""}`);
  return shown;
};

/** How an object of its kind is shown: `base` in front, `braces` around, `entries` beside the plain properties. */
function describe(value) {
  const name = constructorName(value);
  const tag = value[Symbol.toStringTag];
  const label = (name ?? "[Object: null prototype]") + (typeof tag === "string" && tag && tag !== name ? ` [${tag}]` : "");
  if (typeof value === "function") {
    const source = Function.prototype.toString.call(value);
    const kind = source.startsWith("class") ? `class ${value.name || "(anonymous)"}` : `${name ?? "Function"}${value.name ? `: ${value.name}` : " (anonymous)"}`;
    const parent = source.startsWith("class") && Object.getPrototypeOf(value)?.name ? ` extends ${Object.getPrototypeOf(value).name}` : "";
    return { base: `[${kind}${parent}]`, braces: ["{", "}"], whole: true };
  }
  if (Array.isArray(value)) return arrayShape(value, name === "Array" ? "" : `${label}(${value.length})`);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return { ...arrayShape([...value.slice(0, ITEMS_MAX + 1)], `${label}(${value.length})`), isArray: true };
  if (value instanceof Map) return { base: `${label}(${value.size})`, braces: ["{", "}"], entries: (run, depth, indent) => limited([...value], run, ([k, v]) => `${run.value(k, depth + 1, indent)} => ${run.value(v, depth + 1, indent)}`) };
  if (value instanceof Set) return { base: `${label}(${value.size})`, braces: ["{", "}"], entries: (run, depth, indent) => limited([...value], run, (v) => run.value(v, depth + 1, indent)) };
  if (value instanceof Error) return { base: errorText(value), braces: ["{", "}"], whole: true };
  if (value instanceof Date) return { base: Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString(), braces: ["{", "}"], whole: true };
  if (value instanceof RegExp) return { base: String(value), braces: ["{", "}"], whole: true };
  if (value instanceof Promise) return { base: "Promise", braces: ["{", "}"], entries: () => ["<pending>"] };
  if (value instanceof WeakMap || value instanceof WeakSet) return { base: label, braces: ["{", "}"], entries: () => ["<items unknown>"] };
  if (value instanceof ArrayBuffer) return { base: "ArrayBuffer", braces: ["{", "}"], entries: () => [`byteLength: ${value.byteLength}`] };
  if (value instanceof String || value instanceof Number || value instanceof Boolean) return { base: `[${name}: ${primitive(value.valueOf())}]`, braces: ["{", "}"], whole: true, isArray: value instanceof String };
  if (value instanceof URL) return { base: label, braces: ["{", "}"], entries: (run, depth, indent) => ["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"].map((key) => `${key}: ${run.value(value[key], depth + 1, indent)}`) };
  if (tag === "Arguments" || Object.prototype.toString.call(value) === "[object Arguments]") return arrayShape([...value], "[Arguments]");
  return { base: label === "Object" ? "" : label, braces: ["{", "}"] };
}

function arrayShape(list, base) {
  return {
    base, braces: ["[", "]"], isArray: true,
    entries(run, depth, indent) {
      const out = limited(Array.from(list, (item, i) => (i in list ? { item } : null)), run, (slot) => (slot ? run.value(slot.item, depth + 1, indent) : "<1 empty item>"));
      return out;
    },
  };
}

function errorText(error) {
  const stack = typeof error.stack === "string" ? error.stack : "";
  if (!stack) return `[${Error.prototype.toString.call(error)}]`;
  const head = Error.prototype.toString.call(error);
  return stack.startsWith(head) || stack.includes(String(error.message)) ? stack : `${head}\n${stack}`;
}

export function inspect(value, options, ...legacy) {
  const chosen = typeof options === "object" && options !== null ? options : { showHidden: options ?? false, depth: legacy[0] === undefined ? 2 : legacy[0] };
  return new Inspection(chosen).value(value, 0, 0);
}
inspect.custom = customInspect;
inspect.defaultOptions = { showHidden: false, depth: 2, colors: false, compact: 3, breakLength: 80 };
inspect.colors = Object.create(null);
inspect.styles = Object.create(null);

function substitute(kind, value) {
  switch (kind) {
    case "s": return typeof value === "string" ? value : typeof value === "object" && value !== null && !hasOwnToString(value) ? inspect(value, { depth: 0 }) : typeof value === "bigint" ? `${value}n` : Object.is(value, -0) ? "-0" : String(value);
    case "d": return typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : String(Number(value));
    case "i": return typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : String(parseInt(value, 10));
    case "f": return typeof value === "symbol" ? "NaN" : String(parseFloat(value));
    case "j": try { return JSON.stringify(value); } catch { return "[Circular]"; }
    case "o": return inspect(value, { showHidden: true, depth: 4 });
    case "O": return inspect(value);
    default: return "";
  }
}
const hasOwnToString = (value) => value instanceof Error || (typeof value.toString === "function" && value.toString !== Object.prototype.toString && value.toString !== Array.prototype.toString && !(value instanceof Date));

export const format = (...args) => formatWithOptions({}, ...args);

export function formatWithOptions(options, first, ...rest) {
  let text;
  if (typeof first === "string") {
    text = first.replace(/%[sdifjoOc%]/g, (mark) => (mark === "%%" ? (rest.length ? "%" : "%%") : rest.length ? substitute(mark[1], rest.shift()) : mark));
  } else {
    if (first === undefined && arguments.length < 2) return "";
    text = inspect(first, options);
  }
  for (const value of rest) text += ` ${typeof value === "string" ? value : inspect(value, options)}`;
  return text;
}
