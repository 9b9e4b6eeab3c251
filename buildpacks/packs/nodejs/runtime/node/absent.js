// Modules for which WebAssembly has no counterpart: they load, as packages expect, and say so when used.
import { EventEmitter } from "events";
import net from "./net.js";

/** A function that refuses to do what it is named after. */
export function absent(what) {
  return () => {
    throw Object.assign(new Error(`${what} does not exist in a WebAssembly dyno`), { code: "ERR_METHOD_NOT_IMPLEMENTED" });
  };
}
const absentClass = (what) => class extends EventEmitter { constructor() { super(); absent(what)(); } };

export const childProcess = { ...Object.fromEntries(["spawn", "exec", "execFile", "fork", "spawnSync", "execSync", "execFileSync"].map((name) => [name, absent(`child_process.${name}`)])), ChildProcess: class extends EventEmitter {} };
export const cluster = Object.assign(new EventEmitter(), { isMaster: true, isPrimary: true, isWorker: false, workers: {}, settings: {}, fork: absent("cluster.fork"), setupPrimary() {}, setupMaster() {}, disconnect() {}, SCHED_RR: 2, SCHED_NONE: 1 });
export const workerThreads = { isMainThread: true, parentPort: null, threadId: 0, workerData: null, resourceLimits: {}, SHARE_ENV: Symbol.for("nodejs.worker_threads.SHARE_ENV"), Worker: absentClass("a worker thread"), MessageChannel: globalThis.MessageChannel ?? absentClass("MessageChannel"), MessagePort: globalThis.MessagePort ?? class {}, BroadcastChannel: class {}, markAsUntransferable() {}, receiveMessageOnPort() {}, getEnvironmentData() {}, setEnvironmentData() {} };
export const dgram = { createSocket: absent("a datagram socket"), Socket: absentClass("a datagram socket") };
export const inspector = { url: () => undefined, open() {}, close() {}, waitForDebugger() {}, console: globalThis.console, Session: class extends EventEmitter { connect() {} disconnect() {} post(method, params, callback) { const last = [method, params, callback].find((value) => typeof value === "function"); last?.(new Error("no inspector in a WebAssembly dyno")); } } };
export const repl = { start: absent("repl.start") };
export const traceEvents = { createTracing: () => ({ enable() {}, disable() {}, enabled: false }), getEnabledCategories: () => undefined };
export const domain = { create: () => Object.assign(new EventEmitter(), { run: (callback) => callback(), add() {}, remove() {}, bind: (callback) => callback, enter() {}, exit() {}, dispose() {} }), active: null };
export const wasi = { WASI: absentClass("node:wasi") };

const noTls = "a TLS socket (HTTPS works through node:https and fetch; add-ons speak plain TCP inside the platform)";
class TLSSocket extends net.Socket {}
export const tls = {
  connect: absent(noTls), TLSSocket, Server: absentClass("a TLS server (the router ends TLS)"), createServer: absent("a TLS server (the router ends TLS)"), createSecureContext: () => ({ context: {} }), checkServerIdentity: () => undefined,
  rootCertificates: [], getCiphers: () => [], getCACertificates: () => [], DEFAULT_MIN_VERSION: "TLSv1.2", DEFAULT_MAX_VERSION: "TLSv1.3", DEFAULT_ECDH_CURVE: "auto", CLIENT_RENEG_LIMIT: 3, CLIENT_RENEG_WINDOW: 600,
};
class Http2ServerRequest extends EventEmitter {}
class Http2ServerResponse extends EventEmitter {}
export const http2 = {
  createServer: absent("an HTTP/2 server (the router speaks HTTP/2 to clients and HTTP/1.1 to apps)"), createSecureServer: absent("an HTTP/2 server"), connect: absent("http2.connect"), Http2ServerRequest, Http2ServerResponse, getDefaultSettings: () => ({}), sensitiveHeaders: Symbol("nodejs.http2.sensitiveHeaders"),
  constants: { HTTP2_HEADER_STATUS: ":status", HTTP2_HEADER_METHOD: ":method", HTTP2_HEADER_PATH: ":path", HTTP2_HEADER_AUTHORITY: ":authority", HTTP2_HEADER_SCHEME: ":scheme", NGHTTP2_CANCEL: 8, NGHTTP2_NO_ERROR: 0, NGHTTP2_REFUSED_STREAM: 7, NGHTTP2_INTERNAL_ERROR: 2 },
};
