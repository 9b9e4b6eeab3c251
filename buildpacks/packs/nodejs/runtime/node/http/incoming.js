// http.IncomingMessage: the request of a server, the response of a client. A Readable over a wasi:http body.
import { Readable } from "stream";
import { ready, release } from "../../event-loop.js";
import { Buffer } from "../buffer.js";
import { streamEnded } from "../net/addresses.js";
import { mergeHeader } from "./protocol.js";
import { HttpSocket } from "./socket.js";

const READ_BYTES = 65536n;
const dispose = (handle) => handle?.[Symbol.dispose]?.();

/** Header bytes as text. Node reads them as latin1; almost all are ASCII, where the native decoder agrees. */
const decoder = new TextDecoder("latin1");

export class IncomingMessage extends Readable {
  constructor(socket) {
    super({ highWaterMark: 65536 });
    this.socket = this.connection = socket ?? new HttpSocket();
    this.httpVersion = "1.1";
    this.httpVersionMajor = this.httpVersionMinor = 1;
    this.headers = {};
    this.rawHeaders = [];
    this.trailers = {};
    this.rawTrailers = [];
    this.complete = this.aborted = this.upgrade = false;
    this.url = "";
    this.method = null;
    this.statusCode = this.statusMessage = null;
    this._owner = this._body = this._stream = this._pollable = null;
  }

  _addHeader(name, value) {
    this.rawHeaders.push(name, value);
    mergeHeader(this.headers, name.toLowerCase(), value);
  }
  /** Takes the host's headers over and gives their handle back. */
  _takeHeaders(fields) {
    for (const [name, value] of fields.entries()) this._addHeader(name, decoder.decode(value));
    dispose(fields);
  }
  get headersDistinct() {
    const distinct = Object.create(null);
    for (let i = 0; i < this.rawHeaders.length; i += 2) (distinct[this.rawHeaders[i].toLowerCase()] ??= []).push(this.rawHeaders[i + 1]);
    return distinct;
  }
  get trailersDistinct() { return Object.create(null); }

  /** The host's message; its body is fetched when somebody reads. */
  _takeBody(owner) { this._owner = owner; }

  _read() {
    if (this._reading || this._ended) return;
    if (!this._stream) {
      if (!this._owner) {
        this._finish();
        return;
      }
      this._body = this._owner.consume();
      this._stream = this._body.stream();
    }
    this._reading = true;
    this._readSome().catch((error) => this.destroy(error));
  }
  async _readSome() {
    while (this._stream) {
      let bytes;
      try {
        bytes = this._stream.read(READ_BYTES);
      } catch (error) {
        this._reading = false;
        if (streamEnded(error)) this._finish();
        else this._abort();
        return;
      }
      if (bytes.length) {
        this._reading = false;
        this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        return;
      }
      this._pollable ??= this._stream.subscribe();
      await ready(this._pollable);
    }
    this._reading = false;
  }
  _finish() {
    if (this._ended) return;
    this._ended = true;
    this.complete = true;
    this._release();
    this.push(null);
  }
  /** The sender went away in the middle of its body. */
  _abort() {
    if (this.destroyed) return;
    this.aborted = true;
    this.emit("aborted");
    this.destroy(Object.assign(new Error("aborted"), { code: "ECONNRESET" }));
  }

  _release() {
    release(this._pollable);
    dispose(this._stream);
    dispose(this._body);
    dispose(this._owner);
    this._pollable = this._stream = this._body = this._owner = null;
    const after = this._afterRelease;
    this._afterRelease = null;
    after?.();
  }
  _destroy(error, callback) {
    this._release();
    // As in Node: a message that nobody listens to does not fail loudly.
    if (error && !this.listenerCount("error")) error = null;
    callback(error);
  }
  setTimeout(delay, callback) {
    this.socket.setTimeout(delay, callback);
    return this;
  }
}
