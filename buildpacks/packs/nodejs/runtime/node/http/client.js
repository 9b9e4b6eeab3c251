// http.request over wasi:http/outgoing-handler: the host makes the connection, and TLS where the scheme is https.
import { handle as sendToHost } from "wasi:http/outgoing-handler@0.2.10";
import { OutgoingRequest, RequestOptions } from "wasi:http/types@0.2.10";
import { EventEmitter } from "events";
import { clearTimeout, ready, release, setTimeout } from "../../event-loop.js";
import { watchPromise } from "../../exceptions.js";
import { Buffer } from "../buffer.js";
import { IncomingMessage } from "./incoming.js";
import { OutgoingMessage } from "./outgoing.js";
import { STATUS_CODES } from "./protocol.js";
import { HttpSocket } from "./socket.js";

const VERBS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);
const CODES = {
  "connection-refused": "ECONNREFUSED", "DNS-error": "ENOTFOUND", "DNS-timeout": "EAI_AGAIN", "connection-timeout": "ETIMEDOUT", "connection-read-timeout": "ETIMEDOUT", "connection-write-timeout": "ETIMEDOUT", "HTTP-response-timeout": "ETIMEDOUT",
  "destination-not-found": "ENOTFOUND", "destination-unavailable": "ECONNREFUSED", "destination-IP-prohibited": "EACCES", "destination-IP-unroutable": "EHOSTUNREACH", "HTTP-request-denied": "EACCES",
  "TLS-certificate-error": "CERT_HAS_EXPIRED", "TLS-protocol-error": "EPROTO", "connection-terminated": "ECONNRESET",
};

/** Pooling is the host's: an agent here carries options only. */
export class Agent extends EventEmitter {
  constructor(options) {
    super();
    this.options = { ...options };
    this.defaultPort = 80;
    this.protocol = "http:";
    this.keepAlive = options?.keepAlive ?? false;
    this.maxSockets = options?.maxSockets ?? Infinity;
    this.maxFreeSockets = options?.maxFreeSockets ?? 256;
    this.maxTotalSockets = Infinity;
    this.sockets = {};
    this.freeSockets = {};
    this.requests = {};
  }
  destroy() {}
  getName(options) { return `${options?.host ?? "localhost"}:${options?.port ?? ""}:`; }
}
export class HttpsAgent extends Agent {
  constructor(options) {
    super(options);
    this.defaultPort = 443;
    this.protocol = "https:";
  }
}

const isUrl = (value) => typeof value === "string" || value instanceof URL || (typeof value === "object" && value !== null && "searchParams" in value);
function urlOptions(value) {
  const url = new URL(String(value));
  return {
    protocol: url.protocol, hostname: url.hostname, port: url.port, path: url.pathname + url.search,
    auth: url.username ? `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` : undefined,
  };
}

export class ClientRequest extends OutgoingMessage {
  constructor(scheme, first, second, callback) {
    super();
    if (typeof second === "function") [second, callback] = [undefined, second];
    const options = isUrl(first) ? { ...urlOptions(first), ...second } : { ...first, ...second };
    this.protocol = options.protocol ?? options.agent?.protocol ?? `${scheme}:`;
    this.method = String(options.method ?? "GET").toUpperCase();
    this.path = options.path ?? "/";
    this.host = String(options.hostname ?? options.host ?? "localhost").replace(/^\[|\]$/g, "");
    this.port = options.port || options.defaultPort;
    this.agent = options.agent;
    this.reusedSocket = this.aborted = false;
    this.maxHeadersCount = null;
    this.timeout = options.timeout;
    this.res = null;
    this.useChunkedEncodingByDefault = !/^(GET|HEAD|DELETE|OPTIONS|TRACE|CONNECT)$/.test(this.method);
    this._setHeaders(options);
    if (callback) this.once("response", callback);
    this._followSignal(options.signal);
    this.socket = this.connection = new HttpSocket();
    this.socket._httpMessage = this;
    globalThis.process.nextTick(() => this._announceSocket());
    if (options.timeout) this.setTimeout(options.timeout);
  }
  _setHeaders({ headers, auth, setHost }) {
    if (Array.isArray(headers)) for (let i = 0; i < headers.length; i += 2) this.appendHeader(headers[i], headers[i + 1]);
    else for (const [name, value] of Object.entries(headers ?? {})) if (value !== undefined) this.setHeader(name, value);
    if (setHost !== false && !this.hasHeader("host")) this.setHeader("Host", this._authority());
    if (auth && !this.hasHeader("authorization")) this.setHeader("Authorization", `Basic ${Buffer.from(auth).toString("base64")}`);
  }
  _followSignal(signal) {
    if (!signal) return;
    const abort = () => this.destroy(Object.assign(new Error("The operation was aborted"), { name: "AbortError", code: "ABORT_ERR", cause: signal.reason }));
    if (signal.aborted) globalThis.process.nextTick(abort);
    else signal.addEventListener?.("abort", abort, { once: true });
  }
  _announceSocket() {
    if (this.destroyed) return;
    this.emit("socket", this.socket);
    this.socket.emit("connect");
    if (this.protocol === "https:") this.socket.emit("secureConnect");
  }
  _authority() {
    const host = this.host.includes(":") ? `[${this.host}]` : this.host;
    const usual = this.protocol === "https:" ? 443 : 80;
    return this.port && Number(this.port) !== usual ? `${host}:${this.port}` : host;
  }

  _knownLength(length) {
    if (this.hasHeader("content-length") || this.hasHeader("transfer-encoding")) return;
    if (length || this.useChunkedEncodingByDefault) this.setHeader("Content-Length", length);
  }
  _sendHead() {
    if (this.headersSent) return !this.destroyed;
    this.headersSent = true;
    try {
      const request = new OutgoingRequest(this._wasiFields());
      request.setMethod(VERBS.has(this.method) ? { tag: this.method.toLowerCase() } : { tag: "other", val: this.method });
      request.setScheme({ tag: this.protocol === "https:" ? "HTTPS" : "HTTP" });
      request.setAuthority(this._authority());
      request.setPathWithQuery(this.path || "/");
      this._body = request.body();
      this._output = this._body.write();
      this._future = sendToHost(request, new RequestOptions());
    } catch (error) {
      this.destroy(this._fault(error));
      return false;
    }
    this._receive().catch((error) => this.destroy(this._fault(error)));
    return true;
  }

  /** What the host reported, in Node's words. */
  _fault(error) {
    if (error instanceof Error && error.payload === undefined) return error;
    const payload = error?.payload ?? error;
    const tag = typeof payload === "string" ? payload : payload?.tag;
    const code = CODES[tag] ?? "ECONNRESET";
    const place = this.port ? `${this.host}:${this.port}` : this.host;
    const text = code === "ENOTFOUND" ? `getaddrinfo ENOTFOUND ${this.host}` : `connect ${code} ${place}${CODES[tag] === "ECONNREFUSED" ? "" : ` (${tag})`}`;
    return Object.assign(new Error(text), { code, syscall: code === "ENOTFOUND" ? "getaddrinfo" : "connect", hostname: this.host, address: this.host, port: Number(this.port) || undefined });
  }

  async _receive() {
    const pollable = this._future.subscribe();
    this._responseReady = pollable;
    let result;
    try {
      while (this._future && !(result = this._future.get())) await ready(pollable);
    } finally {
      if (this._responseReady) release(pollable);
      this._responseReady = null;
    }
    if (!this._future) return;
    this._future[Symbol.dispose]();
    this._future = null;
    clearTimeout(this._timer);
    // option<result<result<incoming-response, error-code>>>, of which the bindings unwrap what they can
    const outer = result.tag === "ok" ? result.val : result;
    if (outer?.tag === "err") throw { payload: outer.val };
    this._deliver(outer?.tag === "ok" ? outer.val : outer);
  }
  _deliver(response) {
    const message = new IncomingMessage(this.socket);
    message.statusCode = response.status();
    message.statusMessage = STATUS_CODES[message.statusCode] ?? "";
    message._takeHeaders(response.headers());
    message._takeBody(response);
    message.req = this;
    message.url = "";
    this.res = message;
    message.once("close", () => { if (this.writableFinished) this._emitClose(); });
    if (this.destroyed) message.destroy();
    else if (this.listenerCount("response")) for (const listener of this.rawListeners("response")) watchPromise(listener.call(this, message));
    else message.resume();
  }

  setTimeout(delay, callback) {
    if (callback) this.once("timeout", callback);
    clearTimeout(this._timer);
    this.timeout = delay;
    if (delay) {
      this._timer = setTimeout(() => {
        this.emit("timeout");
        this.socket.emit("timeout");
      }, delay).unref();
    }
    return this;
  }
  setNoDelay() {}
  setSocketKeepAlive() {}
  onSocket() {}
  abort() {
    if (this.aborted) return;
    this.aborted = true;
    globalThis.process.nextTick(() => this.emit("abort"));
    this.destroy(Object.assign(new Error("socket hang up"), { code: "ECONNRESET" }));
  }
  // The peer may stop reading because it has answered already.
  _peerGone() {
    this._queue.length = 0;
    this._queued = 0;
    this._releaseStream();
    this._body?.[Symbol.dispose]();
    this._body = null;
    this.writableFinished = true;
  }
  _bodyRefused() {}
  _destroyed(error) {
    clearTimeout(this._timer);
    release(this._responseReady);
    this._responseReady = null;
    this._future?.[Symbol.dispose]();
    this._future = null;
    if (this.res && !this.res.complete) this.res.destroy(error);
    else if (!this.res && !error) this.errored = Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
    if (this.errored && !error) globalThis.process.nextTick(() => this.emit("error", this.errored));
    // The body was sent, the answer was not: that is an error all the same.
    else if (error && this.writableFinished && !this.res) globalThis.process.nextTick(() => this.emit("error", error));
  }
}
