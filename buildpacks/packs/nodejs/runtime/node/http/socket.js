// The socket that HTTP messages carry: facts about a connection which the host owns.
import { EventEmitter } from "events";

export class HttpSocket extends EventEmitter {
  constructor(remoteAddress = "127.0.0.1") {
    super();
    this.remoteAddress = remoteAddress;
    this.remoteFamily = remoteAddress.includes(":") ? "IPv6" : "IPv4";
    this.remotePort = 0;
    this.localAddress = "127.0.0.1";
    this.localPort = Number(globalThis.process.env.PORT) || 0;
    this.encrypted = false;
    this.readable = this.writable = true;
    this.destroyed = false;
    this.writableLength = this.bytesRead = this.bytesWritten = this.timeout = 0;
    this._httpMessage = null;
  }
  destroy(error) {
    if (this.destroyed) return this;
    this.destroyed = true;
    this._httpMessage?.destroy?.(error);
    return this;
  }
  destroySoon() { return this.destroy(); }
  resetAndDestroy() { return this.destroy(); }
  end() { return this; }
  write() { return true; }
  setTimeout(delay, callback) { if (callback) this.on("timeout", callback); return this; }
  setNoDelay() { return this; }
  setKeepAlive() { return this; }
  setEncoding() { return this; }
  pause() { return this; }
  resume() { return this; }
  ref() { return this; }
  unref() { return this; }
  cork() {}
  uncork() {}
  address() { return { address: this.localAddress, family: "IPv4", port: this.localPort }; }
  getPeerCertificate() { return {}; }
}
