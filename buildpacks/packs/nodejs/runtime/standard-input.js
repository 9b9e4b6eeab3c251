// process.stdin over wasi:cli, for one-off dynos and workers that are fed through a pipe.
import { getStdin } from "wasi:cli/stdin@0.2.10";
import { Readable } from "stream";
import { ready, release } from "./event-loop.js";
import { Buffer } from "./node/buffer.js";

const READ_BYTES = 65536n;

class StandardInput extends Readable {
  constructor() {
    super({ highWaterMark: 65536 });
    this.fd = 0;
    this.isTTY = false;
  }
  _read() {
    if (this._busy || this._over) return;
    this._busy = true;
    this._readSome().catch((error) => this.destroy(error));
  }
  async _readSome() {
    this._stream ??= getStdin();
    for (;;) {
      let bytes;
      try {
        bytes = this._stream.read(READ_BYTES);
      } catch {
        this._end();
        return;
      }
      if (bytes.length) {
        this._busy = false;
        this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        return;
      }
      this._pollable ??= this._stream.subscribe();
      await ready(this._pollable);
    }
  }
  _end() {
    this._over = true;
    release(this._pollable);
    this._stream[Symbol.dispose]();
    this._pollable = this._stream = null;
    this.push(null);
  }
  /** Everything at once, for readFileSync(0). */
  _all() {
    const stream = getStdin();
    const chunks = [];
    try {
      for (;;) chunks.push(Buffer.from(stream.blockingRead(READ_BYTES)));
    } catch {
      return chunks; // the end of a wasi stream is an error of its own
    } finally {
      stream[Symbol.dispose]();
    }
  }
  ref() { return this; }
  unref() { return this; }
  setRawMode() { return this; }
}

globalThis.process.stdin = new StandardInput();
