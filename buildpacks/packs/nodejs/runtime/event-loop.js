// The event loop: timers, immediates and everything that waits for the host.
//
// JavaScript cannot hand a wasi pollable to the engine's own loop, so this one owns every pollable of the instance and
// may therefore block in `poll`. The engine's `setTimeout(…, 0)` serves only to let all microtasks drain between turns.
import { poll } from "wasi:io/poll@0.2.10";
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.10";
import { milliseconds } from "./clock.js";
import { uncaughtException, watchPromise } from "./exceptions.js";

const engineTick = globalThis.setTimeout;
// How many microtasks an answer may take before a turn of the loop is worth its price (a hop costs 0.1 µs, a turn 20).
const MICROTASK_HOPS = 64;
// Turns in which nothing is left to wait for, before a wait is given up: promises may need a few to settle each other.
const IDLE_TURNS_MAX = 20;
// The longest delay a timer can have, as in Node; more becomes 1 ms.
const TIMER_DELAY_MAX = 2 ** 31 - 1;

let sequence = 0;
let immediates = [];
let frozenAt;
const timers = new Map();
const watches = new Set();

function run(callback, args) {
  try {
    watchPromise(callback(...args));
  } catch (error) {
    uncaughtException(error);
  }
}

// === timers ===

class Timeout {
  constructor(callback, delay, args, repeats) {
    if (typeof callback !== "function") {
      const text = `The "callback" argument must be of type function. Received ${callback === null ? "null" : typeof callback}`;
      throw Object.assign(new TypeError(text), { code: "ERR_INVALID_ARG_TYPE" });
    }
    const wait = Number(delay);
    this._id = ++sequence;
    this._callback = callback;
    this._wait = wait >= 1 && wait <= TIMER_DELAY_MAX ? wait : 1;
    this._args = args;
    this._repeats = repeats;
    this._due = milliseconds() + this._wait;
    this._weak = false;
    timers.set(this._id, this);
  }
  ref() { this._weak = false; return this; }
  unref() { this._weak = true; return this; }
  hasRef() { return !this._weak; }
  refresh() {
    this._due = milliseconds() + this._wait;
    if (!this._cleared) timers.set(this._id, this);
    return this;
  }
  close() { clearTimeout(this); return this; }
  [Symbol.toPrimitive]() { return this._id; }
  [Symbol.dispose]() { clearTimeout(this); }
}

export const setTimeout = (callback, delay, ...args) => new Timeout(callback, delay, args, false);
export const setInterval = (callback, delay, ...args) => new Timeout(callback, delay, args, true);

export function clearTimeout(timer) {
  const found = timer instanceof Timeout ? timer : timers.get(Number(timer));
  if (!found) return;
  found._cleared = true;
  timers.delete(found._id);
}
export const clearInterval = clearTimeout;

class Immediate {
  constructor(callback, args) { this._callback = callback; this._args = args; }
  ref() { return this; }
  unref() { return this; }
  hasRef() { return true; }
  [Symbol.dispose]() { clearImmediate(this); }
}

export function setImmediate(callback, ...args) {
  const immediate = new Immediate(callback, args);
  immediates.push(immediate);
  return immediate;
}
export function clearImmediate(immediate) {
  if (immediate) immediate._callback = null;
}

// === waiting for the host ===

/** Calls back once, when the pollable is ready. Answers a function that stops watching; the pollable stays the caller's. */
export function watch(pollable, callback) {
  const entry = { pollable, callback };
  watches.add(entry);
  return () => watches.delete(entry);
}

/** Settles when the pollable is ready. */
export const ready = (pollable) => new Promise((resolve) => watch(pollable, resolve));

/** Gives a pollable back to the host; whoever still waits for it will wait for ever. */
export function release(pollable) {
  if (!pollable) return;
  for (const entry of watches) if (entry.pollable === pollable) watches.delete(entry);
  pollable[Symbol.dispose]();
}

/** What is still expected to happen. */
export const pending = () => ({ watches: watches.size, immediates: immediates.length, timers: timers.size });

/** True while something would keep a Node process alive. */
export function alive() {
  if (watches.size || immediates.length) return true;
  for (const timer of timers.values()) if (!timer._weak) return true;
  return false;
}

/** Before a snapshot: what timers have left is kept as a difference, since the next instance has another clock. */
export function freeze() { frozenAt = milliseconds(); }
/** After a snapshot. */
export function thaw() {
  if (frozenAt === undefined) return;
  const moved = milliseconds() - frozenAt;
  frozenAt = undefined;
  for (const timer of timers.values()) timer._due += moved;
}

function runImmediates() {
  const batch = immediates;
  immediates = [];
  for (const immediate of batch) if (immediate._callback) run(immediate._callback, immediate._args);
  return batch.length > 0;
}

function runTimers() {
  if (!timers.size) return false;
  const now = milliseconds();
  const due = [...timers.values()].filter((timer) => timer._due <= now).sort((a, b) => a._due - b._due || a._id - b._id);
  for (const timer of due) {
    if (timer._cleared) continue;
    if (timer._repeats) timer._due = now + timer._wait;
    else timers.delete(timer._id);
    run(timer._callback, timer._args);
  }
  return due.length > 0;
}

/**
 * One turn: what is due runs, then the host is asked once. `block` — wait until something happens.
 * Answers false when there is nothing left that could ever happen.
 */
function turn(block) {
  // Microtasks drain between turns only, so whatever ran is given that chance before anything blocks.
  if (runImmediates() | runTimers()) block = false;
  let next = Infinity;
  for (const timer of timers.values()) next = Math.min(next, timer._due);
  const list = [...watches];
  if (!list.length && next === Infinity) return immediates.length > 0 || !block;
  const wait = block && !immediates.length ? Math.max(0, next - milliseconds()) : 0;
  if (wait === 0 && !list.length) return true;
  const pollables = list.map((entry) => entry.pollable);
  const alarm = wait === Infinity ? undefined : subscribeDuration(BigInt(Math.ceil(wait * 1e6)));
  if (alarm) pollables.push(alarm);
  let hits;
  try {
    hits = poll(pollables);
  } finally {
    alarm?.[Symbol.dispose]();
  }
  for (const index of hits) {
    const entry = list[index];
    if (entry && watches.delete(entry)) run(entry.callback, []);
  }
  return true;
}

/** Whatever is due now, without waiting: called between two requests. */
export function sweep() {
  return new Promise((resolve) => {
    turn(false);
    engineTick(resolve, 0);
  });
}

/** Turns until the promise settles, and answers it. Rejects with `idleText` when nothing is left that could settle it. */
export async function runUntil(promise, idleText) {
  let settled = false;
  const settle = () => { settled = true; };
  promise.then(settle, settle);
  for (let hop = 0; hop < MICROTASK_HOPS && !settled; hop++) await undefined;
  for (let idle = 0; !settled; ) {
    idle = turn(true) ? 0 : idle + 1;
    if (idle > IDLE_TURNS_MAX) throw Object.assign(new Error(idleText), { code: "ERR_DYNO_IDLE" });
    await new Promise((resolve) => engineTick(resolve, 0));
  }
  return promise;
}

/** Turns until nothing would keep a Node process alive: the end of a worker or a one-off dyno. */
export async function runUntilIdle() {
  for (let idle = 0; idle <= IDLE_TURNS_MAX; ) {
    await new Promise((resolve) => engineTick(resolve, 0));
    if (alive()) { idle = 0; turn(true); } else idle++;
  }
}

Object.assign(globalThis, { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate });
