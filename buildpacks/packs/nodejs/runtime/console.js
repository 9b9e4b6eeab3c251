// The console, in Node's formats, over standard output and error.
import { format, formatWithOptions, inspect } from "./inspect.js";
import { milliseconds } from "./clock.js";

/** `console.Console`: the global one writes to process.stdout and process.stderr. */
export class Console {
  constructor(stdout, stderr) {
    const streams = stdout?.stdout ? stdout : { stdout, stderr };
    this._streams = { stdout: streams.stdout, stderr: streams.stderr ?? streams.stdout };
    this._indent = "";
    this._timers = new Map();
    this._counts = new Map();
    // Methods are handed round alone (`promise.catch(console.error)`).
    for (const name of Object.getOwnPropertyNames(Console.prototype)) if (name !== "constructor" && !name.startsWith("_")) this[name] = this[name].bind(this);
    this.info = this.debug = this.dirxml = this.log;
    this.groupCollapsed = this.group;
  }
  _say(stream, text) {
    const indented = this._indent ? text.replace(/^/gm, this._indent) : text;
    (this._streams[stream] ?? globalThis.process[stream]).write(`${indented}\n`);
  }
  log(...args) { this._say("stdout", format(...args)); }
  error(...args) { this._say("stderr", format(...args)); }
  warn(...args) { this._say("stderr", format(...args)); }
  trace(...args) {
    const error = new Error(format(...args));
    error.name = "Trace";
    this._say("stderr", error.stack);
  }
  dir(value, options) { this._say("stdout", formatWithOptions({}, inspect(value, options))); }
  assert(condition, ...args) { if (!condition) this.error(`Assertion failed${args.length ? `: ${format(...args)}` : ""}`); }
  group(...args) {
    if (args.length) this.log(...args);
    this._indent += "  ";
  }
  groupEnd() { this._indent = this._indent.slice(2); }
  time(label = "default") { this._timers.set(label, milliseconds()); }
  timeLog(label = "default", ...args) { if (this._timers.has(label)) this.log(`${label}: ${(milliseconds() - this._timers.get(label)).toFixed(3)}ms`, ...args); }
  timeEnd(label = "default") {
    this.timeLog(label);
    this._timers.delete(label);
  }
  count(label = "default") {
    this._counts.set(label, (this._counts.get(label) ?? 0) + 1);
    this.log(`${label}: ${this._counts.get(label)}`);
  }
  countReset(label = "default") { this._counts.delete(label); }
  clear() {}
  profile() {}
  profileEnd() {}
  timeStamp() {}
  table(rows) {
    if (typeof rows !== "object" || rows === null) return this.log(rows);
    const entries = Object.entries(rows);
    const names = [...new Set(entries.flatMap(([, row]) => (typeof row === "object" && row !== null ? Object.keys(row) : ["Values"])))];
    const cell = (row, name) => (typeof row === "object" && row !== null ? (name in row ? inspect(row[name]) : "") : name === "Values" ? inspect(row) : "");
    const lines = [["(index)", ...names], ...entries.map(([index, row]) => [index, ...names.map((name) => cell(row, name))])];
    const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)) + 2);
    const bar = (left, middle, right) => left + widths.map((width) => "─".repeat(width)).join(middle) + right;
    const show = (line) => `│${line.map((text, i) => ` ${text.padEnd(widths[i] - 1)}`).join("│")}│`;
    return this.log([bar("┌", "┬", "┐"), show(lines[0]), bar("├", "┼", "┤"), ...lines.slice(1).map(show), bar("└", "┴", "┘")].join("\n"));
  }
}

const console = new Console();
console.Console = Console;
globalThis.console = console;
export default console;
