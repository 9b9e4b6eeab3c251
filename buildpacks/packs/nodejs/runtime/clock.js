// The monotonic clock, and `performance` on top of it.
import { now } from "wasi:clocks/monotonic-clock@0.2.10";

// While the base component is made there is no host to ask, and asking traps.
let running = false;
let origin = 0;
let marks = new Map();

/** Called at the start of every export: from here on the host's clock may be read. */
export function startClock() {
  if (running) return;
  running = true;
  origin = Number(now()) / 1e6;
}
/** After a snapshot the clock is another one: `performance.now()` counts from the first use again. */
export function restartClock() { origin = Number(now()) / 1e6; }

/** Milliseconds on the host's clock; 0 while the base component is made. */
export const milliseconds = () => (running ? Number(now()) / 1e6 : 0);
/** Nanoseconds as Node's `process.hrtime.bigint`. */
export const nanoseconds = () => (running ? now() : 0n);

const entry = (name, entryType, startTime, duration, detail = null) => ({ name, entryType, startTime, duration, detail, toJSON() { return { ...this }; } });
const timeOf = (mark, otherwise) => (mark === undefined ? otherwise : typeof mark === "number" ? mark : marks.get(mark)?.startTime ?? otherwise);

export const performance = {
  now: () => milliseconds() - origin,
  get timeOrigin() { return Date.now() - performance.now(); },
  mark(name, options) {
    const made = entry(name, "mark", options?.startTime ?? performance.now(), 0, options?.detail);
    marks.set(name, made);
    return made;
  },
  measure(name, from, to) {
    const options = typeof from === "object" && from ? from : { start: from, end: to };
    const start = timeOf(options.start, 0);
    return entry(name, "measure", start, timeOf(options.end, performance.now()) - start, options.detail);
  },
  clearMarks(name) { if (name === undefined) marks = new Map(); else marks.delete(name); },
  clearMeasures() {},
  getEntries: () => [...marks.values()],
  getEntriesByName: (name) => (marks.has(name) ? [marks.get(name)] : []),
  getEntriesByType: (type) => (type === "mark" ? [...marks.values()] : []),
  timerify: (callback) => callback,
  eventLoopUtilization: () => ({ idle: 0, active: 0, utilization: 0 }),
  toJSON: () => ({ timeOrigin: performance.timeOrigin }),
};
Object.defineProperty(globalThis, "performance", { value: performance, writable: true, configurable: true });
