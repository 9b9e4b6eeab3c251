// fs.ReadStream and fs.WriteStream.
import { Readable, Writable } from "stream";
import { Buffer } from "../buffer.js";
import { closeDescriptor, isOpen, openDescriptor, openFile, pathText, translate } from "./descriptors.js";
import { operations } from "./operations.js";

const CHUNK_BYTES = 65536;
const optionsOf = (options) => (typeof options === "string" ? { encoding: options } : options ?? {});

/** What both streams share: a file that is opened a moment after the stream was made. */
function openLater(stream, flags) {
  if (stream.fd !== null) {
    stream.pending = false;
    return;
  }
  queueMicrotask(() => {
    if (stream.destroyed) return;
    try {
      stream.fd = openDescriptor(stream.path, flags);
    } catch (error) {
      stream.destroy(error);
      return;
    }
    stream.pending = false;
    stream.emit("open", stream.fd);
    stream.emit("ready");
    stream._opened?.();
  });
}

function closeFile(stream, error, callback) {
  try {
    if (stream.fd !== null && stream._autoClose && isOpen(stream.fd)) closeDescriptor(stream.fd);
    callback(error);
  } catch (fault) {
    callback(error ?? fault);
  }
}
const numberOf = (descriptor) => (typeof descriptor === "object" && descriptor ? descriptor.fd : descriptor);

export class ReadStream extends Readable {
  constructor(path, options) {
    const chosen = optionsOf(options);
    super({ highWaterMark: chosen.highWaterMark ?? CHUNK_BYTES, encoding: chosen.encoding, emitClose: chosen.emitClose !== false, signal: chosen.signal });
    this.path = path === undefined || path === null ? path : pathText(path);
    this.fd = chosen.fd == null ? null : numberOf(chosen.fd);
    this.flags = chosen.flags ?? "r";
    this.start = chosen.start;
    this.end = chosen.end ?? Infinity;
    this.bytesRead = 0;
    this.pending = true;
    this._autoClose = chosen.autoClose !== false;
    this._at = chosen.start ?? (this.fd === null ? 0 : openFile(this.fd).position);
    openLater(this, this.flags);
  }
  _opened() {
    if (!this._wanted) return;
    const wanted = this._wanted;
    this._wanted = 0;
    this._read(wanted);
  }
  _read(size) {
    if (this.pending) {
      this._wanted = size;
      return;
    }
    const length = Math.min(size, this.end - this._at + 1);
    if (length <= 0) {
      this.push(null);
      return;
    }
    let bytes;
    try {
      [bytes] = openFile(this.fd).handle.read(BigInt(length), BigInt(this._at));
    } catch (error) {
      this.destroy(translate(error, "read", this.path));
      return;
    }
    this._at += bytes.length;
    this.bytesRead += bytes.length;
    this.push(bytes.length ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) : null);
  }
  _destroy(error, callback) { closeFile(this, error, callback); }
  close(callback) {
    if (callback) {
      if (this.closed) queueMicrotask(callback);
      else this.once("close", () => callback());
    }
    this.destroy();
  }
}

export class WriteStream extends Writable {
  constructor(path, options) {
    const chosen = optionsOf(options);
    super({ highWaterMark: chosen.highWaterMark, decodeStrings: true, defaultEncoding: chosen.encoding ?? "utf8", emitClose: chosen.emitClose !== false, signal: chosen.signal });
    this.path = path === undefined || path === null ? path : pathText(path);
    this.fd = chosen.fd == null ? null : numberOf(chosen.fd);
    this.flags = chosen.flags ?? "w";
    this.bytesWritten = 0;
    this.pending = true;
    this._autoClose = chosen.autoClose !== false;
    this._at = chosen.start;
    openLater(this, this.flags);
  }
  _opened() {
    const waiting = this._waiting;
    this._waiting = null;
    waiting?.();
  }
  _write(chunk, encoding, callback) {
    if (this.pending) {
      this._waiting = () => this._write(chunk, encoding, callback);
      return;
    }
    try {
      const count = operations.write(this.fd, chunk, 0, chunk.length, this._at);
      if (this._at !== undefined) this._at += count;
      this.bytesWritten += count;
    } catch (error) {
      callback(error);
      return;
    }
    callback();
  }
  _final(callback) {
    if (this.pending) this._waiting = () => callback();
    else callback();
  }
  _destroy(error, callback) { closeFile(this, error, callback); }
  close(callback) {
    if (callback) {
      if (this.closed) queueMicrotask(callback);
      else this.once("close", () => callback());
    }
    this.end();
  }
}
