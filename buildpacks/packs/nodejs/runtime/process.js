// The `process` global. Imported before every polyfill, since several read it while they load.
import { getArguments, getEnvironment } from "wasi:cli/environment@0.2.10";
import { EventEmitter } from "events";
import { milliseconds, nanoseconds, performance } from "./clock.js";
import { exitProcess, uncaughtException } from "./exceptions.js";
import { writeStandard } from "./standard-output.js";

const NODE_VERSION = __NODE_VERSION__; // put in by the build of the base component
const USER_ID = 1000;

function unsupported(what) {
  return () => {
    throw Object.assign(new Error(`${what} does not exist in a WebAssembly dyno`), { code: "ERR_METHOD_NOT_IMPLEMENTED" });
  };
}

function outputStream(fd) {
  return Object.assign(new EventEmitter(), {
    fd, isTTY: false, writable: true, columns: 80, rows: 24, destroyed: false, writableLength: 0, writableHighWaterMark: 16384,
    writableEnded: false, writableFinished: false, errored: null, closed: false, writableNeedDrain: false, writableObjectMode: false,
    _writableState: { needDrain: false, ended: false, finished: false, length: 0, highWaterMark: 16384, objectMode: false }, _type: "pipe",
    write(chunk, encoding, callback) {
      if (typeof encoding === "function") callback = encoding;
      writeStandard(fd, typeof chunk === "string" || ArrayBuffer.isView(chunk) ? chunk : String(chunk));
      if (callback) queueMicrotask(callback);
      return true;
    },
    end(chunk, encoding, callback) {
      if (chunk !== undefined && typeof chunk !== "function") this.write(chunk);
      const last = [chunk, encoding, callback].find((value) => typeof value === "function");
      if (last) queueMicrotask(last);
      return this;
    },
    cork() {}, uncork() {}, destroy() { return this; }, destroySoon() {}, setDefaultEncoding() { return this; }, ref() { return this; }, unref() { return this; },
    getColorDepth: () => 1, hasColors: () => false, getWindowSize: () => [80, 24], clearLine: () => true, cursorTo: () => true, moveCursor: () => true,
    _handle: null,
  });
}

const versionsOf = { node: NODE_VERSION, v8: "12.4.254.21-node.33", uv: "1.49.2", modules: "127", zlib: "1.3.1", openssl: "3.0.15", ares: "1.34.5", http_parser: "" };
let directory = "/app";

function hrtime(previous) {
  const nanos = nanoseconds();
  let seconds = Number(nanos / 1000000000n);
  let rest = Number(nanos % 1000000000n);
  if (previous) {
    seconds -= previous[0];
    rest -= previous[1];
    if (rest < 0) {
      seconds -= 1;
      rest += 1e9;
    }
  }
  return [seconds, rest];
}
hrtime.bigint = nanoseconds;

function memoryUsage() { return { rss: 67108864, heapTotal: 33554432, heapUsed: 16777216, external: 1048576, arrayBuffers: 0 }; }
memoryUsage.rss = () => 67108864;

const process = Object.assign(Object.create(EventEmitter.prototype), {
  env: {}, argv: ["/usr/bin/node"], argv0: "node", execArgv: [], execPath: "/usr/bin/node",
  version: `v${NODE_VERSION}`, versions: versionsOf, release: { name: "node", lts: "Jod" }, platform: "linux", arch: "wasm32",
  pid: 1, ppid: 0, exitCode: undefined, features: { inspector: false, typescript: false }, config: { target_defaults: {}, variables: {} },
  allowedNodeEnvironmentFlags: new Set(), report: {}, debugPort: 9229, noDeprecation: false, throwDeprecation: false, traceDeprecation: false,
  title: "node",
  cwd: () => directory,
  chdir(to) { directory = to.startsWith("/") ? to : `${directory.replace(/\/$/, "")}/${to}`; },
  nextTick(callback, ...args) {
    queueMicrotask(() => {
      try {
        callback(...args);
      } catch (error) {
        uncaughtException(error);
      }
    });
  },
  exit(code) {
    if (code !== undefined) process.exitCode = code;
    if (!process._exiting) {
      process._exiting = true;
      try {
        process.emit("exit", Number(process.exitCode ?? 0));
      } finally {
        process._exiting = false;
      }
    }
    exitProcess(Number(process.exitCode ?? 0));
  },
  reallyExit(code) { exitProcess(Number(code ?? 0)); },
  abort() { exitProcess(134); },
  kill(pid, signal) {
    if (pid !== 1) throw Object.assign(new Error("kill ESRCH"), { code: "ESRCH", syscall: "kill" });
    if (signal !== 0 && !process.emit(signal ?? "SIGTERM", signal ?? "SIGTERM")) exitProcess(143);
    return true;
  },
  uptime: () => performance.now() / 1e3,
  hrtime,
  memoryUsage,
  cpuUsage: () => ({ user: Math.round(milliseconds() * 1e3), system: 0 }),
  resourceUsage: () => ({ userCPUTime: Math.round(milliseconds() * 1e3), systemCPUTime: 0, maxRSS: 65536 }),
  availableMemory: () => 268435456, constrainedMemory: () => 0,
  umask: () => 0o022, getuid: () => USER_ID, geteuid: () => USER_ID, getgid: () => USER_ID, getegid: () => USER_ID, getgroups: () => [USER_ID],
  setuid: unsupported("process.setuid"), setgid: unsupported("process.setgid"), dlopen: unsupported("a native addon"), binding: unsupported("process.binding"),
  emitWarning(warning, options, code) {
    const type = typeof options === "string" ? options : options?.type ?? warning?.name ?? "Warning";
    const id = typeof options === "object" ? options?.code : code;
    const error = warning instanceof Error ? warning : Object.assign(new Error(String(warning)), { name: type });
    if (id) error.code = id;
    if (type === "DeprecationWarning" && process.noDeprecation) return;
    process.emit("warning", error);
    writeStandard(2, `(node:1) ${id ? `[${id}] ` : ""}${type}: ${error.message}\n`);
  },
  setUncaughtExceptionCaptureCallback() {}, hasUncaughtExceptionCaptureCallback: () => false, setSourceMapsEnabled() {},
  loadEnvFile: unsupported("process.loadEnvFile"), getActiveResourcesInfo: () => [], ref() {}, unref() {},
  stdout: outputStream(1), stderr: outputStream(2),
});
EventEmitter.call(process);
process.setMaxListeners?.(0);
Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });

// === the environment ===

let fromHost = {};
/**
 * Takes the host's environment over. What the app has set itself stays; everything else follows the host, so that a
 * dyno started from a snapshot sees its own PORT and DYNO beside the values that the app computed while booting.
 */
export function refreshEnvironment() {
  const now = Object.fromEntries(getEnvironment());
  const env = process.env;
  for (const name of Object.keys(fromHost)) if (!(name in now) && env[name] === fromHost[name]) delete env[name];
  for (const [name, value] of Object.entries(now)) if (!(name in env) || env[name] === fromHost[name]) env[name] = value;
  fromHost = now;
  if (now.PWD && directory === "/app") directory = now.PWD;
}
/** The arguments of a command, program name included. */
export const hostArguments = () => getArguments();

globalThis.process = process;
globalThis.global = globalThis;
export default process;
export const { env, nextTick, version, versions, platform, argv, cwd, stdout, stderr } = process;
