// http.OutgoingMessage: headers, and a body that is written to a wasi:http stream as fast as the host takes it.
//
// Like Node's own it is a legacy Stream and no Writable: most answers are one `end(text)`, which then costs no stream
// machinery at all.
import { Stream } from "stream";
import { Fields, OutgoingBody } from "wasi:http/types@0.2.10";
import { release, watch } from "../../event-loop.js";
import { Buffer } from "../buffer.js";
import { HOP_BY_HOP, headersSent, validateHeaderName, validateHeaderValue } from "./protocol.js";

const HIGH_WATER_BYTES = 65536;
const encoder = new TextEncoder();
const fault = (Type, code, text) => Object.assign(new Type(text), { code });

function bytesOf(chunk, encoding) {
  if (typeof chunk === "string") return encoding && encoding !== "utf8" && encoding !== "utf-8" ? Buffer.from(chunk, encoding) : encoder.encode(chunk);
  if (chunk instanceof Uint8Array) return chunk;
  throw fault(TypeError, "ERR_INVALID_ARG_TYPE", `The "chunk" argument must be of type string or an instance of Buffer or Uint8Array. Received ${chunk === null ? "null" : typeof chunk}`);
}

/** A header's value as bytes: text beyond ASCII is sent as latin1, as Node does. */
const valueBytes = (value) => {
  const text = String(value);
  // eslint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(text) ? encoder.encode(text) : Buffer.from(text, "latin1");
};

export class OutgoingMessage extends Stream {
  constructor() {
    super();
    this._fields = new Map(); // lower-case name → [name as written, value]
    this._queue = [];
    this._queued = 0;
    this._body = this._output = this._pollable = this._unwatch = null;
    this._needDrain = this._noBody = false;
    this._trailers = null;
    this.headersSent = this.finished = this.writableEnded = this.writableFinished = this.destroyed = this.closed = false;
    this.errored = null;
    this.sendDate = this.shouldKeepAlive = true;
    this.chunkedEncoding = this.useChunkedEncodingByDefault = false;
    this.strictContentLength = false;
    this.writable = true;
    // By these, stream.finished and pipeline know a message from any other stream.
    this._closed = this._removedConnection = this._removedContLen = false;
    this._defaultKeepAlive = true;
    this.socket = this.connection = null;
  }

  // === headers ===

  setHeader(name, value) {
    if (this.headersSent) throw headersSent("set");
    validateHeaderName(name);
    if (Array.isArray(value)) for (const item of value) validateHeaderValue(name, item);
    else validateHeaderValue(name, value);
    this._fields.set(name.toLowerCase(), [name, value]);
    return this;
  }
  setHeaders(headers) {
    if (this.headersSent) throw headersSent("set");
    for (const [name, value] of headers) {
      if (name.toLowerCase() === "set-cookie") this.appendHeader(name, value);
      else this.setHeader(name, value);
    }
    return this;
  }
  appendHeader(name, value) {
    const held = this.getHeader(name);
    return this.setHeader(name, held === undefined ? value : [].concat(held, value));
  }
  getHeader(name) { return this._fields.get(String(name).toLowerCase())?.[1]; }
  hasHeader(name) { return this._fields.has(String(name).toLowerCase()); }
  removeHeader(name) {
    if (this.headersSent) throw headersSent("remove");
    this._fields.delete(String(name).toLowerCase());
  }
  getHeaderNames() { return [...this._fields.keys()]; }
  getRawHeaderNames() { return [...this._fields.values()].map((field) => field[0]); }
  getHeaders() {
    const headers = Object.create(null);
    for (const [name, [, value]] of this._fields) headers[name] = value;
    return headers;
  }
  get _headers() { return this.getHeaders(); }
  get _headerNames() { return Object.fromEntries([...this._fields].map(([name, [written]]) => [name, written])); }
  // `null` until the head is out; packages look at its truth only.
  get _header() { return this.headersSent ? "HTTP/1.1" : null; }
  addTrailers(headers) { this._trailers = Array.isArray(headers) ? headers : Object.entries(headers); }

  /** The headers as a handle of the host. */
  _wasiFields() {
    const list = [];
    for (const [name, [, value]] of this._fields) {
      if (HOP_BY_HOP.has(name)) continue;
      if (Array.isArray(value)) for (const item of value) list.push([name, valueBytes(item)]);
      else list.push([name, valueBytes(value)]);
    }
    return Fields.fromList(list);
  }

  // === body ===

  get writableLength() { return this._queued; }
  get writableHighWaterMark() { return HIGH_WATER_BYTES; }
  get writableObjectMode() { return false; }
  get writableNeedDrain() { return this._needDrain; }
  get writableCorked() { return 0; }

  write(chunk, encoding, callback) {
    if (typeof encoding === "function") [encoding, callback] = [undefined, encoding];
    if (chunk === null) throw fault(TypeError, "ERR_STREAM_NULL_VALUES", "May not write null values to stream");
    const bytes = bytesOf(chunk, encoding);
    const refusal = this.writableEnded ? fault(Error, "ERR_STREAM_WRITE_AFTER_END", "write after end") : this.destroyed ? fault(Error, "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed") : null;
    if (refusal) {
      if (callback) globalThis.process.nextTick(callback, refusal);
      // A client that has gone is no fault of the app; writing after end is.
      if (this.writableEnded) globalThis.process.nextTick(() => this.emit("error", refusal));
      return false;
    }
    if (!this._sendHead()) return false;
    if (this._noBody || !bytes.length) {
      if (callback) globalThis.process.nextTick(callback);
      return true;
    }
    this._enqueue(bytes, callback);
    const room = this._queued < HIGH_WATER_BYTES;
    if (!room) this._needDrain = true;
    return room;
  }

  end(chunk, encoding, callback) {
    if (typeof chunk === "function") [chunk, encoding, callback] = [undefined, undefined, chunk];
    else if (typeof encoding === "function") [encoding, callback] = [undefined, encoding];
    if (this.writableEnded) {
      if (callback) globalThis.process.nextTick(callback, this.writableFinished ? fault(Error, "ERR_STREAM_ALREADY_FINISHED", "Cannot call end after a stream was finished") : undefined);
      return this;
    }
    if (callback) this.once("finish", callback);
    const bytes = chunk === undefined || chunk === null ? null : bytesOf(chunk, encoding);
    if (!this.headersSent) this._knownLength(bytes ? bytes.length : 0);
    this.finished = this.writableEnded = true;
    if (this.destroyed || !this._sendHead()) return this;
    if (bytes?.length && !this._noBody) this._enqueue(bytes);
    else this._pump();
    return this;
  }
  /** Called when the whole body is known before the head is sent. */
  _knownLength() {}

  _enqueue(bytes, callback) {
    this._queue.push({ bytes, at: 0, callback });
    this._queued += bytes.length;
    this._pump();
  }

  /** Writes what the host takes now, and waits for it to take more. */
  _pump() {
    if (this._unwatch || this.destroyed) return;
    try {
      while (this._queue.length) {
        const room = Number(this._output.checkWrite());
        if (!room) {
          this._waitForRoom();
          return;
        }
        const first = this._queue[0];
        const part = first.at === 0 && first.bytes.length <= room ? first.bytes : first.bytes.subarray(first.at, first.at + room);
        this._output.write(part);
        first.at += part.length;
        this._queued -= part.length;
        if (first.at < first.bytes.length) continue;
        this._queue.shift();
        if (first.callback) globalThis.process.nextTick(first.callback);
      }
    } catch (error) {
      this._peerGone(error);
      return;
    }
    if (this._needDrain && !this.writableEnded) {
      this._needDrain = false;
      globalThis.process.nextTick(() => this.emit("drain"));
    }
    if (this.writableEnded) this._complete();
  }
  _waitForRoom() {
    this._pollable ??= this._output.subscribe();
    this._unwatch = watch(this._pollable, () => {
      this._unwatch = null;
      this._pump();
    });
  }

  /** Every byte is with the host. */
  _complete() {
    if (this.writableFinished) return;
    this.writableFinished = true;
    this.emit("prefinish");
    const body = this._body;
    this._body = null;
    this._releaseStream();
    if (body) {
      try {
        OutgoingBody.finish(body, this._trailers ? Fields.fromList(this._trailers.map(([name, value]) => [name.toLowerCase(), valueBytes(value)])) : undefined);
      } catch (error) {
        this._bodyRefused(error);
      }
    }
    globalThis.process.nextTick(() => this.emit("finish"));
    this._completed?.();
  }
  /** The host did not accept the body, most often because it is not as long as content-length says. */
  _bodyRefused(error) {
    const reason = JSON.stringify(error?.payload ?? String(error), (key, value) => (typeof value === "bigint" ? Number(value) : value));
    globalThis.console.error(`the body of this message does not fit its headers: ${reason}`);
  }
  _peerGone() { this.destroy(); }

  _releaseStream() {
    this._unwatch?.();
    this._unwatch = null;
    release(this._pollable);
    this._output?.[Symbol.dispose]();
    this._pollable = this._output = null;
  }

  destroy(error) {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.errored = error ?? null;
    this._queue.length = 0;
    this._queued = 0;
    const finished = this.writableFinished;
    if (!finished) {
      this._releaseStream();
      this._body?.[Symbol.dispose]();
      this._body = null;
    }
    this._destroyed?.(error);
    globalThis.process.nextTick(() => {
      if (error && !finished) this.emit("error", error);
      this._emitClose();
    });
    return this;
  }
  _emitClose() {
    if (this._closed) return;
    this._closed = this.closed = true;
    this.emit("close");
  }

  flushHeaders() { if (!this.destroyed) this._sendHead(); }
  setTimeout(delay, callback) { if (callback) this.once("timeout", callback); return this; }
  cork() {}
  uncork() {}
  pipe() { this.emit("error", fault(Error, "ERR_STREAM_CANNOT_PIPE", "Cannot pipe, not readable")); }
  [Symbol.asyncDispose]() { this.destroy(); return Promise.resolve(); }
}
export { fault };
