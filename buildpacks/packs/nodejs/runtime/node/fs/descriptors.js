// Paths and open files over wasi:filesystem: which mounted directory a path lies in, and what a file descriptor stands for.
import { getDirectories } from "wasi:filesystem/preopens@0.2.10";
import path from "path";
import { Buffer } from "../buffer.js";

const FIRST_DESCRIPTOR = 20;
const ERRNO = { EPERM: -1, ENOENT: -2, EIO: -5, EBADF: -9, EAGAIN: -11, EACCES: -13, EBUSY: -16, EEXIST: -17, EXDEV: -18, ENOTDIR: -20, EISDIR: -21, EINVAL: -22, ENOSPC: -28, EROFS: -30, ENAMETOOLONG: -36, ENOTEMPTY: -39, ELOOP: -40, ENOTSUP: -95 };
const CODES = {
  access: "EACCES", "would-block": "EAGAIN", "bad-descriptor": "EBADF", busy: "EBUSY", exist: "EEXIST", invalid: "EINVAL", io: "EIO", "is-directory": "EISDIR", loop: "ELOOP",
  "name-too-long": "ENAMETOOLONG", "no-entry": "ENOENT", "not-directory": "ENOTDIR", "not-empty": "ENOTEMPTY", "not-permitted": "EPERM", "read-only": "EROFS",
  "insufficient-space": "ENOSPC", quota: "ENOSPC", unsupported: "ENOTSUP", "cross-device": "EXDEV", "file-too-large": "ENOSPC",
};
const TEXTS = {
  ENOENT: "no such file or directory", EEXIST: "file already exists", EISDIR: "illegal operation on a directory", ENOTDIR: "not a directory", EACCES: "permission denied",
  EPERM: "operation not permitted", EROFS: "read-only file system", EBADF: "bad file descriptor", ENOTEMPTY: "directory not empty", EXDEV: "cross-device link not permitted",
  EINVAL: "invalid argument", ENOSPC: "no space left on device", ELOOP: "too many symbolic links encountered", ENOTSUP: "operation not supported on socket",
};

/** An error as libuv words it. */
export function fault(code, syscall, at, to) {
  const place = at === undefined ? "" : ` '${at}'${to === undefined ? "" : ` -> '${to}'`}`;
  const error = Object.assign(new Error(`${code}: ${TEXTS[code] ?? "unknown error"}, ${syscall}${place}`), { errno: ERRNO[code] ?? -5, code, syscall });
  if (at !== undefined) error.path = at;
  if (to !== undefined) error.dest = to;
  return error;
}

/** What the host threw, as a Node error; anything else is passed on. */
export function translate(error, syscall, at, to) {
  const code = CODES[error?.payload ?? error];
  return code ? fault(code, syscall, at, to) : error;
}

/** A path argument (string, Buffer, file URL) as text. */
export function pathText(value) {
  if (typeof value === "string") {
    if (value.includes("\0")) throw invalid("path", "a string without null bytes", "ERR_INVALID_ARG_VALUE");
    return value;
  }
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (value?.href?.startsWith?.("file:")) return decodeURIComponent(new URL(value.href).pathname);
  throw invalid("path", `of type string or an instance of Buffer or URL. Received ${value === null ? "null" : typeof value}`, "ERR_INVALID_ARG_TYPE");
}
const invalid = (name, what, code) => Object.assign(new TypeError(`The "${name}" argument must be ${what}`), { code });
export const absolute = (value) => path.resolve(globalThis.process.cwd(), pathText(value));

// === mounted directories ===

let mounts;
/** Finds the directory that holds `value`: its handle, the path inside it, and the whole path. */
export function locate(value) {
  mounts ??= getDirectories().map(([handle, name]) => [handle, name === "/" ? "" : name.replace(/\/$/, "")]);
  const full = absolute(value);
  let best;
  for (const mount of mounts) {
    const inside = full === mount[1] || full.startsWith(`${mount[1]}/`);
    if (inside && (!best || mount[1].length > best[1].length)) best = mount;
  }
  if (!best) throw fault("ENOENT", "open", value);
  return [best[0], full.slice(best[1].length + 1) || ".", full];
}

/** Runs one operation on a path, with errors in Node's words. */
export function onPath(syscall, value, operation) {
  try {
    const [handle, relative, full] = locate(value);
    return operation(handle, relative, full);
  } catch (error) {
    throw translate(error, syscall, value);
  }
}

/** The folders the host has mounted: what `readdir("/")` can show. */
export function mountNames() {
  mounts ??= getDirectories().map(([handle, name]) => [handle, name === "/" ? "" : name.replace(/\/$/, "")]);
  return mounts.map((mount) => mount[1]);
}

// === open files ===

const files = new Map();
let nextDescriptor = FIRST_DESCRIPTOR;
export const openFiles = () => files.size;

/** `r`, `w+`, `ax`, … or numbers: what to ask of the host, and whether writes go to the end. */
export function openFlags(flags = "r") {
  if (typeof flags === "number") {
    const mode = flags & 3;
    return {
      open: { create: !!(flags & 0o100), exclusive: !!(flags & 0o200), truncate: !!(flags & 0o1000), directory: !!(flags & 0o200000) },
      access: { read: mode !== 1, write: mode !== 0 }, append: !!(flags & 0o2000),
    };
  }
  if (!/^(r|rs|sr|w|a|as|sa|wx|xw|ax|xa)\+?$/.test(flags.replace(/^(..?)\+(.?)$/, "$1$2+"))) {
    throw Object.assign(new TypeError(`The argument 'flags' is invalid. Received '${flags}'`), { code: "ERR_INVALID_ARG_VALUE" });
  }
  const kind = flags.includes("w") ? "w" : flags.includes("a") ? "a" : "r";
  const both = flags.includes("+");
  return {
    open: { create: kind !== "r", exclusive: flags.includes("x"), truncate: kind === "w" },
    access: { read: kind === "r" || both, write: kind !== "r" || both }, append: kind === "a",
  };
}

export const openHandle = (value, flags) => onPath("open", value, (handle, relative) => handle.openAt({ symlinkFollow: true }, relative, flags.open, flags.access));

export function openDescriptor(value, flags) {
  const parsed = openFlags(flags);
  const handle = openHandle(value, parsed);
  const descriptor = nextDescriptor++;
  files.set(descriptor, { handle, flags: parsed, path: absolute(value), position: 0 });
  return descriptor;
}

/** The open file of a descriptor; opened again by name when a snapshot has taken its handle. */
export function openFile(descriptor, syscall = "read") {
  const file = files.get(descriptor);
  if (!file) throw fault("EBADF", syscall);
  file.handle ??= openHandle(file.path, { open: {}, access: file.flags.access });
  return file;
}

export function closeDescriptor(descriptor) {
  const file = files.get(descriptor);
  if (!file) throw fault("EBADF", "close");
  files.delete(descriptor);
  file.handle?.[Symbol.dispose]();
}
export const isOpen = (descriptor) => files.has(descriptor);

/** Before a snapshot: no handle of the host may be kept. Files are opened again by name when next used. */
export function releaseHandles() {
  for (const file of files.values()) {
    file.handle?.[Symbol.dispose]();
    file.handle = null;
  }
  for (const [handle] of mounts ?? []) handle[Symbol.dispose]();
  mounts = undefined;
}
