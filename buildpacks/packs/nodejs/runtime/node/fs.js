// node:fs and node:fs/promises. The host answers at once; callbacks and promises come a turn later, as Node promises them.
import { setImmediate } from "../event-loop.js";
import { watchPromise } from "../exceptions.js";
import { EventEmitter } from "events";
import { Dirent, MODE, operations, Stats } from "./fs/operations.js";
import { ReadStream, WriteStream } from "./fs/streams.js";
import { releaseHandles } from "./fs/descriptors.js";

export const constants = {
  F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2, O_CREAT: 0o100, O_EXCL: 0o200, O_TRUNC: 0o1000, O_APPEND: 0o2000, O_DIRECTORY: 0o200000, O_NOFOLLOW: 0o400000,
  O_SYNC: 0o4010000, COPYFILE_EXCL: 1, COPYFILE_FICLONE: 2, COPYFILE_FICLONE_FORCE: 4, S_IFMT: 0o170000, S_IFREG: MODE.file, S_IFDIR: MODE.directory, S_IFLNK: MODE.link,
  S_IRUSR: 0o400, S_IWUSR: 0o200, S_IXUSR: 0o100, S_IRWXU: 0o700, UV_FS_SYMLINK_DIR: 1, UV_FS_SYMLINK_JUNCTION: 2,
};

const fs = {};
export const promises = { constants };

/** What a callback gets beside the error: the operations that hand their buffer back say so here. */
const handsBuffer = new Set(["read", "write", "readv", "writev"]);

for (const [name, operation] of Object.entries(operations)) {
  fs[`${name}Sync`] = operation;
  promises[name] = async (...args) => operation(...args);
  fs[name] = (...args) => {
    const callback = args.pop();
    if (typeof callback !== "function") throw Object.assign(new TypeError('The "cb" argument must be of type function. Received ' + typeof callback), { code: "ERR_INVALID_ARG_TYPE" });
    setImmediate(() => {
      let result;
      try {
        result = operation(...args);
      } catch (error) {
        return watchPromise(name === "exists" ? callback(false) : callback(error));
      }
      if (name === "exists") return watchPromise(callback(result));
      if (handsBuffer.has(name)) return watchPromise(callback(null, result, args[1]));
      return watchPromise(result === undefined ? callback(null) : callback(null, result));
    });
  };
}
fs.realpath.native = fs.realpath;
fs.realpathSync.native = fs.realpathSync;
delete promises.exists;
for (const name of ["read", "write", "readv", "writev", "close", "fstat", "ftruncate", "futimes", "fsync", "fdatasync", "fchmod", "fchown"]) delete promises[name];

/** What fs.promises.open answers. */
export class FileHandle extends EventEmitter {
  constructor(descriptor) {
    super();
    this.fd = descriptor;
  }
  async readFile(options) { return operations.readFile(this.fd, options); }
  async writeFile(data, options) { operations.writeFile(this.fd, data, options); }
  async appendFile(data, options) { operations.writeFile(this.fd, data, options); }
  async stat(options) { return operations.fstat(this.fd, options); }
  async truncate(length) { operations.ftruncate(this.fd, length); }
  async sync() { operations.fsync(this.fd); }
  async datasync() { operations.fdatasync(this.fd); }
  async utimes(atime, mtime) { operations.futimes(this.fd, atime, mtime); }
  async chmod() {}
  async chown() {}
  async read(buffer, ...rest) {
    const target = ArrayBuffer.isView(buffer) ? buffer : buffer?.buffer ?? Buffer.alloc(16384);
    const bytesRead = ArrayBuffer.isView(buffer) ? operations.read(this.fd, target, ...rest) : operations.read(this.fd, target, buffer ?? {});
    return { bytesRead, buffer: target };
  }
  async write(data, ...rest) { return { bytesWritten: operations.write(this.fd, data, ...rest), buffer: data }; }
  async readv(buffers, position) { return { bytesRead: operations.readv(this.fd, buffers, position), buffers }; }
  async writev(buffers, position) { return { bytesWritten: operations.writev(this.fd, buffers, position), buffers }; }
  async close() {
    if (this.fd < 0) return;
    const descriptor = this.fd;
    this.fd = -1;
    operations.close(descriptor);
    this.emit("close");
  }
  async *readLines(options) {
    for (const line of (await this.readFile({ encoding: "utf8", ...options })).replace(/\n$/, "").split(/\r?\n/)) yield line;
  }
  createReadStream(options) { return new ReadStream(null, { ...options, fd: this.fd }); }
  createWriteStream(options) { return new WriteStream(null, { ...options, fd: this.fd }); }
  [Symbol.asyncDispose]() { return this.close(); }
}
promises.open = async (path, flags) => new FileHandle(operations.open(path, flags));
promises.watch = async function* () {};

// Nothing outside the dyno changes its files, so a watcher simply never reports anything.
const watcher = () => Object.assign(new EventEmitter(), { close() {}, ref() { return this; }, unref() { return this; } });

export default Object.assign(fs, {
  promises, constants, ...constants, Stats, Dirent, ReadStream, WriteStream, FileReadStream: ReadStream, FileWriteStream: WriteStream,
  createReadStream: (path, options) => new ReadStream(path, options), createWriteStream: (path, options) => new WriteStream(path, options),
  watch: watcher, watchFile: watcher, unwatchFile() {}, openAsBlob: async (path) => new Blob([operations.readFile(path)]),
});
export { releaseHandles };
