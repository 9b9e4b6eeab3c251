// The synchronous half of node:fs. Everything else in node:fs calls these.
import path from "path";
import { Buffer } from "../buffer.js";
import { absolute, closeDescriptor, fault, isOpen, locate, mountNames, onPath, openDescriptor, openFile, openFlags, openHandle, pathText, translate } from "./descriptors.js";

const READ_BYTES = 1048576;
const WRITE_BYTES = 65536;
const LINKS_MAX = 40; // as Linux: more is ELOOP
export const MODE = { file: 0o100000, directory: 0o040000, link: 0o120000 };

export class Stats {
  constructor(stat, bigint = false) {
    this._type = stat.type;
    const size = Number(stat.size);
    const time = (stamp) => (stamp ? Number(stamp.seconds) * 1e3 + stamp.nanoseconds / 1e6 : 0);
    const mode = { directory: MODE.directory | 0o755, "symbolic-link": MODE.link | 0o777 }[stat.type] ?? MODE.file | 0o644;
    const created = time(stat.statusChangeTimestamp);
    const numbers = { dev: 1, mode, nlink: Number(stat.linkCount), uid: 1000, gid: 1000, rdev: 0, blksize: 4096, ino: 0, size, blocks: Math.ceil(size / 512), atimeMs: time(stat.dataAccessTimestamp), mtimeMs: time(stat.dataModificationTimestamp), ctimeMs: created, birthtimeMs: created };
    for (const [name, value] of Object.entries(numbers)) this[name] = bigint ? BigInt(Math.trunc(value)) : value;
  }
  get atime() { return new Date(Number(this.atimeMs)); }
  get mtime() { return new Date(Number(this.mtimeMs)); }
  get ctime() { return new Date(Number(this.ctimeMs)); }
  get birthtime() { return new Date(Number(this.birthtimeMs)); }
}
export class Dirent {
  constructor(name, type, parent) {
    this.name = name;
    this._type = type;
    this.parentPath = this.path = parent;
  }
}
for (const [method, type] of [["isFile", "regular-file"], ["isDirectory", "directory"], ["isSymbolicLink", "symbolic-link"], ["isFIFO", "fifo"], ["isSocket", "socket"], ["isBlockDevice", "block-device"], ["isCharacterDevice", "character-device"]]) {
  Stats.prototype[method] = Dirent.prototype[method] = function () { return this._type === type; };
}

const encodingOf = (options) => (typeof options === "string" ? options : options?.encoding);
const asBytes = (data, encoding) => (typeof data === "string" ? Buffer.from(data, encoding ?? "utf8") : ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(String(data)));
const inText = (buffer, options) => {
  const encoding = encodingOf(options);
  return encoding && encoding !== "buffer" ? buffer.toString(encoding) : buffer;
};

function statPath(value, follow, options, syscall) {
  try {
    return onPath(syscall, value, (handle, relative) => new Stats(handle.statAt({ symlinkFollow: follow }, relative), options?.bigint));
  } catch (error) {
    if (options?.throwIfNoEntry === false && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  }
}

function readAll(handle, value) {
  const chunks = [];
  let at = 0n;
  for (;;) {
    let bytes, ended;
    try {
      [bytes, ended] = handle.read(BigInt(READ_BYTES), at);
    } catch (error) {
      throw translate(error, "read", value);
    }
    if (bytes.length) chunks.push(bytes);
    at += BigInt(bytes.length);
    if (ended || !bytes.length) break;
  }
  return chunks.length === 1 ? Buffer.from(chunks[0].buffer, chunks[0].byteOffset, chunks[0].length) : Buffer.concat(chunks);
}

function writeAll(handle, bytes, at) {
  for (let done = 0; done < bytes.length; ) done += Number(handle.write(bytes.subarray(done, done + WRITE_BYTES), BigInt(at + done)));
  return bytes.length;
}

/** A path without symbolic links; every part of it must exist. */
function realpath(value, options) {
  let current = absolute(value);
  statPath(current, true, null, "realpath");
  for (let links = 0; ; ) {
    const parts = current.split("/");
    let moved = false;
    for (let count = 2; count <= parts.length && !moved; count++) {
      const head = parts.slice(0, count).join("/");
      let target;
      try {
        target = onPath("readlink", head, (handle, relative) => (relative === "." ? undefined : handle.readlinkAt(relative)));
      } catch {
        continue;
      }
      if (target === undefined) continue;
      if (++links > LINKS_MAX) throw fault("ELOOP", "realpath", value);
      current = path.resolve(path.dirname(head), target, ...parts.slice(count));
      moved = true;
    }
    if (!moved) return encodingOf(options) === "buffer" ? Buffer.from(current) : current;
  }
}

function listDirectory(value) {
  return onPath("scandir", value, (handle, relative) => {
    const directory = handle.openAt({ symlinkFollow: true }, relative, { directory: true }, { read: true });
    try {
      const stream = directory.readDirectory();
      try {
        const entries = [];
        for (let entry; (entry = stream.readDirectoryEntry()); ) if (entry.name !== "." && entry.name !== "..") entries.push(entry);
        return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
      } finally {
        stream[Symbol.dispose]();
      }
    } finally {
      directory[Symbol.dispose]();
    }
  });
}

function readdir(value, options) {
  const base = pathText(value);
  const entries = absolute(base) === "/" ? mountNames().map((name) => ({ name: name.slice(1), type: "directory" })) : listDirectory(value);
  const typed = typeof options === "object" && options?.withFileTypes;
  const out = [];
  for (const entry of entries) {
    out.push(typed ? new Dirent(entry.name, entry.type, base) : entry.name);
    if (!options?.recursive || entry.type !== "directory") continue;
    for (const below of readdir(path.join(base, entry.name), options)) out.push(typed ? below : path.join(entry.name, below));
  }
  return out;
}

function mkdir(value, options) {
  const make = (at) => onPath("mkdir", at, (handle, relative) => handle.createDirectoryAt(relative));
  if (!options?.recursive) return make(value);
  const full = absolute(value);
  const found = statPath(full, true, { throwIfNoEntry: false }, "stat");
  if (found) {
    if (!found.isDirectory()) throw fault("EEXIST", "mkdir", value);
    return undefined;
  }
  const first = mkdir(path.dirname(full), options) ?? full;
  try {
    make(full);
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  return first;
}

function remove(value, options) {
  const stat = statPath(value, false, { throwIfNoEntry: !options?.force }, "rm");
  if (!stat) return;
  if (!stat.isDirectory()) return operations.unlink(value);
  if (!options?.recursive) throw Object.assign(fault("EISDIR", "rm", value), { code: "ERR_FS_EISDIR" });
  for (const name of readdir(value)) remove(path.join(pathText(value), name), options);
  operations.rmdir(value);
}

function setTimes(value, atime, mtime, follow = true) {
  const stamp = (time) => {
    const seconds = time instanceof Date ? time.getTime() / 1e3 : Number(time);
    return { tag: "timestamp", val: { seconds: BigInt(Math.floor(seconds)), nanoseconds: Math.round((seconds % 1) * 1e9) } };
  };
  onPath("utime", value, (handle, relative) => handle.setTimesAt({ symlinkFollow: follow }, relative, stamp(atime), stamp(mtime)));
}

/** Arguments of read and write: `(fd, buffer, offset, length, position)` or an options object in their place. */
function span(buffer, offset, length, position) {
  if (offset && typeof offset === "object") ({ offset, length, position } = offset);
  offset ??= 0;
  length ??= buffer.byteLength - offset;
  if (offset < 0 || length < 0 || offset + length > buffer.byteLength) throw Object.assign(new RangeError(`The value of "length" is out of range. It must be <= ${buffer.byteLength - offset}. Received ${length}`), { code: "ERR_OUT_OF_RANGE" });
  return { offset, length, position: position == null || Number(position) < 0 ? null : Number(position) };
}

export const operations = {
  readFile(value, options) {
    if (value === 0) return inText(Buffer.concat(globalThis.process.stdin._all()), options);
    if (typeof value === "number") return inText(readAll(openFile(value).handle, value), options);
    const handle = openHandle(value, openFlags(options?.flag ?? undefined));
    try {
      if (handle.getType() === "directory") throw fault("EISDIR", "read");
      return inText(readAll(handle, value), options);
    } finally {
      handle[Symbol.dispose]();
    }
  },
  writeFile(value, data, options) {
    const bytes = asBytes(data, encodingOf(options));
    if (typeof value === "number") return void operations.write(value, bytes);
    const flags = openFlags(options?.flag ?? "w");
    const handle = openHandle(value, flags);
    try {
      writeAll(handle, bytes, flags.append ? Number(handle.stat().size) : 0);
    } catch (error) {
      throw translate(error, "write", value);
    } finally {
      handle[Symbol.dispose]();
    }
  },
  appendFile(value, data, options) { operations.writeFile(value, data, { flag: "a", ...(typeof options === "string" ? { encoding: options } : options) }); },
  stat: (value, options) => statPath(value, true, options, "stat"),
  lstat: (value, options) => statPath(value, false, options, "lstat"),
  fstat: (descriptor, options) => new Stats(openFile(descriptor, "fstat").handle.stat(), options?.bigint),
  access(value) { statPath(value, true, null, "access"); },
  exists(value) {
    try {
      statPath(value, true, null, "stat");
      return true;
    } catch {
      return false;
    }
  },
  readdir, mkdir, realpath, rm: remove,
  unlink(value) { onPath("unlink", value, (handle, relative) => handle.unlinkFileAt(relative)); },
  rmdir(value, options) {
    if (options?.recursive) return remove(value, { recursive: true });
    onPath("rmdir", value, (handle, relative) => handle.removeDirectoryAt(relative));
  },
  rename(from, to) {
    try {
      const [source, sourcePath] = locate(from);
      const [target, targetPath] = locate(to);
      source.renameAt(sourcePath, target, targetPath);
    } catch (error) {
      throw translate(error, "rename", from, to);
    }
  },
  copyFile(from, to, mode) { operations.writeFile(to, operations.readFile(from), { flag: mode & 1 ? "wx" : "w" }); },
  cp(from, to, options) {
    if (!statPath(from, true, null, "cp").isDirectory()) return operations.copyFile(from, to);
    if (!options?.recursive) throw Object.assign(fault("EISDIR", "cp", from), { code: "ERR_FS_EISDIR" });
    mkdir(to, { recursive: true });
    for (const name of readdir(from)) operations.cp(path.join(pathText(from), name), path.join(pathText(to), name), options);
  },
  readlink: (value) => onPath("readlink", value, (handle, relative) => handle.readlinkAt(relative)),
  symlink(target, value) { onPath("symlink", value, (handle, relative) => handle.symlinkAt(pathText(target), relative)); },
  link(from, to) {
    try {
      const [source, sourcePath] = locate(from);
      const [target, targetPath] = locate(to);
      source.linkAt({}, sourcePath, target, targetPath);
    } catch (error) {
      throw translate(error, "link", from, to);
    }
  },
  mkdtemp(prefix) {
    const made = pathText(prefix) + Math.random().toString(36).slice(2, 8).padEnd(6, "0");
    mkdir(made);
    return made;
  },
  truncate(value, length = 0) {
    const handle = openHandle(value, openFlags("r+"));
    try {
      handle.setSize(BigInt(length));
    } finally {
      handle[Symbol.dispose]();
    }
  },
  ftruncate(descriptor, length = 0) { openFile(descriptor, "ftruncate").handle.setSize(BigInt(length)); },
  utimes: setTimes, lutimes: (value, atime, mtime) => setTimes(value, atime, mtime, false), futimes: (descriptor, atime, mtime) => setTimes(openFile(descriptor).path, atime, mtime),
  // wasi has neither modes nor owners, and a dyno is alone with its files.
  chmod: (value) => operations.access(value), chown: (value) => operations.access(value), lchown() {}, fchmod() {}, fchown() {},
  fsync: (descriptor) => openFile(descriptor, "fsync").handle.sync?.(), fdatasync: (descriptor) => openFile(descriptor, "fdatasync").handle.syncData?.(),
  open: openDescriptor,
  close(descriptor) { if (descriptor > 2) closeDescriptor(descriptor); },
  read(descriptor, buffer, ...rest) {
    const { offset, length, position } = span(buffer, ...rest);
    const file = openFile(descriptor);
    let bytes;
    try {
      [bytes] = file.handle.read(BigInt(length), BigInt(position ?? file.position));
    } catch (error) {
      throw translate(error, "read");
    }
    new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength).set(bytes, offset);
    if (position === null) file.position += bytes.length;
    return bytes.length;
  },
  write(descriptor, data, ...rest) {
    if (typeof data === "string") {
      const [position, encoding] = rest;
      return operations.write(descriptor, Buffer.from(data, encoding), 0, undefined, position);
    }
    const { offset, length, position } = span(data, ...rest);
    const bytes = Buffer.from(data.buffer, data.byteOffset + offset, length);
    if (descriptor === 1 || descriptor === 2) {
      globalThis.process[descriptor === 1 ? "stdout" : "stderr"].write(bytes);
      return length;
    }
    const file = openFile(descriptor, "write");
    const at = file.flags.append ? Number(file.handle.stat().size) : position ?? file.position;
    try {
      writeAll(file.handle, bytes, at);
    } catch (error) {
      throw translate(error, "write");
    }
    if (position === null) file.position = at + length;
    return length;
  },
  readv(descriptor, buffers, position) {
    let total = 0;
    for (const buffer of buffers) {
      const count = operations.read(descriptor, buffer, 0, buffer.byteLength, position == null ? null : position + total);
      total += count;
      if (count < buffer.byteLength) break;
    }
    return total;
  },
  writev(descriptor, buffers, position) {
    let total = 0;
    for (const buffer of buffers) total += operations.write(descriptor, buffer, 0, buffer.byteLength, position == null ? null : position + total);
    return total;
  },
  opendir(value) {
    const entries = readdir(value, { withFileTypes: true });
    return {
      path: pathText(value), readSync: () => entries.shift() ?? null, read: async () => entries.shift() ?? null, closeSync() {}, close: async () => {},
      async *[Symbol.asyncIterator]() { yield* entries; },
    };
  },
  statfs: () => ({ type: 0, bsize: 4096, blocks: 262144, bfree: 131072, bavail: 131072, files: 0, ffree: 0 }),
};
export { isOpen };
