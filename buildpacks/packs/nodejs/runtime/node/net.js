// node:net client sockets over wasi:sockets. Servers other than HTTP's are refused: a dyno is reached through its router.
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.10";
import { createTcpSocket } from "wasi:sockets/tcp-create-socket@0.2.10";
import { EventEmitter } from "events";
import { Duplex } from "stream";
import { clearTimeout, ready, release, setTimeout } from "../event-loop.js";
import { Buffer } from "./buffer.js";
import { resolveHost } from "./dns.js";
import { isIP, isIPv4, isIPv6, networkError, streamEnded, wouldBlock } from "./net/addresses.js";

const READ_BYTES = 65536n;
const HANDLES = ["_inputReady", "_outputReady", "_socketReady", "_input", "_output", "_socket"]; // children before parents
const open = new Set();
/** Sockets that hold handles of the host: they cannot cross a snapshot. */
export const openSockets = () => open.size;

export class Socket extends Duplex {
  constructor(options) {
    super({ allowHalfOpen: options?.allowHalfOpen ?? false, autoDestroy: true, emitClose: true, decodeStrings: true, highWaterMark: 65536, signal: options?.signal });
    this.connecting = false;
    this.pending = true;
    this.bytesRead = 0;
    this.bytesWritten = 0;
    this.timeout = 0;
    this._afterConnect = [];
    this.on("end", () => { if (!this.allowHalfOpen) this.end(); });
  }

  connect(...args) {
    if (Array.isArray(args[0])) args = args[0];
    const callback = typeof args.at(-1) === "function" ? args.pop() : null;
    const options = typeof args[0] === "object" ? args[0] : typeof args[0] === "string" && Number.isNaN(Number(args[0])) ? { path: args[0] } : { port: args[0], host: args[1] };
    if (callback) this.once("connect", callback);
    if (options.path) {
      queueMicrotask(() => this.destroy(Object.assign(new Error("connect ENOTSUP: a dyno has no unix sockets"), { code: "ENOTSUP", syscall: "connect" })));
      return this;
    }
    this.connecting = true;
    open.add(this);
    this._dial(options.host ?? "localhost", Number(options.port)).then(() => this._connected(), (error) => {
      this.connecting = false;
      this.destroy(error);
    });
    return this;
  }

  /** Tries the addresses of the host in turn. */
  async _dial(host, port) {
    const addresses = await resolveHost(host);
    this.emit("lookup", null, addresses[0]?.address, addresses[0]?.family, host);
    let fault;
    for (const address of addresses) {
      if (this.destroyed) return;
      try {
        await this._dialAddress(address, port);
        return;
      } catch (error) {
        fault = Object.assign(networkError(error, "connect", `${address.address}:${port}`), { address: address.address, port });
      }
    }
    throw fault ?? Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND", hostname: host });
  }

  async _dialAddress({ address, family, words }, port) {
    const socket = createTcpSocket(family === 4 ? "ipv4" : "ipv6");
    const network = instanceNetwork();
    const pollable = socket.subscribe();
    try {
      socket.startConnect(network, family === 4 ? { tag: "ipv4", val: { port, address: address.split(".").map(Number) } } : { tag: "ipv6", val: { port, flowInfo: 0, address: words, scopeId: 0 } });
      for (;;) {
        try {
          [this._input, this._output] = socket.finishConnect();
          break;
        } catch (error) {
          if (!wouldBlock(error)) throw error;
          await ready(pollable);
        }
      }
    } catch (error) {
      release(pollable);
      socket[Symbol.dispose]();
      throw error;
    } finally {
      network[Symbol.dispose]();
    }
    this._socket = socket;
    this._socketReady = pollable;
    this._inputReady = this._input.subscribe();
    this._outputReady = this._output.subscribe();
    Object.assign(this, { remoteAddress: address, remotePort: port, remoteFamily: `IPv${family}`, localAddress: "0.0.0.0", localPort: 0 });
  }

  _connected() {
    if (this.destroyed) {
      this._release();
      return;
    }
    this.connecting = false;
    this.pending = false;
    this.emit("connect");
    this.emit("ready");
    for (const task of this._afterConnect.splice(0)) task();
  }

  _read() {
    if (!this._input) {
      this._afterConnect.push(() => this._read());
      return;
    }
    if (this._reading) return;
    this._reading = true;
    this._touch();
    this._readSome().catch((error) => this.destroy(error));
  }
  async _readSome() {
    while (this._input) {
      let bytes;
      try {
        bytes = this._input.read(READ_BYTES);
      } catch (error) {
        this._reading = false;
        if (streamEnded(error)) this.push(null);
        else this.destroy(networkError(error, "read"));
        return;
      }
      if (bytes.length) {
        this.bytesRead += bytes.length;
        this._reading = false;
        this._touch();
        this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        return;
      }
      await ready(this._inputReady);
    }
  }

  _write(chunk, encoding, callback) {
    if (!this._output) {
      this._afterConnect.push(() => this._write(chunk, encoding, callback));
      return;
    }
    this._touch();
    this._writeAll(chunk).then(() => callback(), (error) => callback(networkError(error, "write")));
  }
  async _writeAll(chunk) {
    for (let at = 0; at < chunk.length; ) {
      if (!this._output) throw Object.assign(new Error("write EPIPE"), { code: "EPIPE", syscall: "write" });
      const room = Number(this._output.checkWrite());
      if (!room) {
        await ready(this._outputReady);
        continue;
      }
      const part = chunk.subarray(at, at + room);
      this._output.write(part);
      at += part.length;
      this.bytesWritten += part.length;
    }
    try {
      this._output?.flush();
    } catch {
      // The peer has gone; the next read or write tells.
    }
  }
  _final(callback) {
    if (this.connecting) {
      this._afterConnect.push(() => this._final(callback));
      return;
    }
    try {
      this._socket?.shutdown("send");
    } catch {
      // Already closed by the peer.
    }
    callback();
  }

  _release() {
    for (const name of HANDLES) {
      if (name.endsWith("Ready")) release(this[name]);
      else this[name]?.[Symbol.dispose]();
      this[name] = null;
    }
  }
  _destroy(error, callback) {
    open.delete(this);
    clearTimeout(this._timer);
    this._release();
    callback(error);
  }

  _touch() {
    if (!this.timeout) return;
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.emit("timeout"), this.timeout).unref();
  }
  setTimeout(delay, callback) {
    this.timeout = delay;
    if (callback) this.once("timeout", callback);
    if (delay) this._touch();
    else clearTimeout(this._timer);
    return this;
  }
  setNoDelay() { return this; }
  setKeepAlive() { return this; }
  ref() { return this; }
  unref() { return this; }
  address() { return this._socket ? { address: this.localAddress, family: "IPv4", port: this.localPort } : {}; }
  resetAndDestroy() { return this.destroy(); }
  destroySoon() { if (this.writable) this.end(); else this.destroy(); }
  get readyState() { return this.connecting ? "opening" : this._socket ? "open" : "closed"; }
  get bufferSize() { return this.writableLength; }
}

export class Server extends EventEmitter {
  listen() {
    throw Object.assign(new Error("listen ENOTSUP: only HTTP servers can listen in a WebAssembly dyno"), { code: "ENOTSUP", syscall: "listen" });
  }
  address() { return null; }
  close(callback) { callback?.(); return this; }
  ref() { return this; }
  unref() { return this; }
}

export class BlockList {
  constructor() { this.rules = []; }
  addAddress(address) { this.rules.push(address); }
  addRange() {}
  addSubnet() {}
  check(address) { return this.rules.includes(address); }
}
export class SocketAddress { constructor(options) { Object.assign(this, { address: "127.0.0.1", port: 0, family: "ipv4", flowlabel: 0 }, options); } }

export const connect = (...args) => new Socket(typeof args[0] === "object" && !Array.isArray(args[0]) ? args[0] : undefined).connect(...args);
let autoSelectFamily = true;

export default {
  Socket, Stream: Socket, Server, BlockList, SocketAddress, connect, createConnection: connect, createServer: () => new Server(), isIP, isIPv4, isIPv6,
  getDefaultAutoSelectFamily: () => autoSelectFamily, setDefaultAutoSelectFamily: (value) => { autoSelectFamily = value; },
  getDefaultAutoSelectFamilyAttemptTimeout: () => 250, setDefaultAutoSelectFamilyAttemptTimeout() {},
};
