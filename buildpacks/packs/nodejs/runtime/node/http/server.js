// http.Server and http.ServerResponse, fed by wasi:http/incoming-handler.
import { OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.10";
import { EventEmitter } from "events";
import { runUntil } from "../../event-loop.js";
import { watchPromise } from "../../exceptions.js";
import { IncomingMessage } from "./incoming.js";
import { fault, OutgoingMessage } from "./outgoing.js";
import { headersSent, STATUS_CODES } from "./protocol.js";
import { HttpSocket } from "./socket.js";

export class ServerResponse extends OutgoingMessage {
  constructor(request) {
    super();
    this.req = request;
    this.statusCode = 200;
    this.statusMessage = undefined;
    this.socket = this.connection = request.socket ?? null;
    if (this.socket) this.socket._httpMessage = this;
    this._sent100 = false; // with OutgoingMessage's fields: what stream.finished takes for a server's response
    this._host = null;
  }

  writeHead(status, reason, headers) {
    if (this.headersSent) throw headersSent("write");
    const code = Number(status) | 0;
    if (code < 100 || code > 999) throw fault(RangeError, "ERR_HTTP_INVALID_STATUS_CODE", `Invalid status code: ${status}`);
    this.statusCode = code;
    if (typeof reason === "string") this.statusMessage = reason;
    else headers = reason ?? headers;
    if (Array.isArray(headers)) {
      if (Array.isArray(headers[0])) for (const [name, value] of headers) this.setHeader(name, value);
      else this._flatHeaders(headers);
    } else if (headers) {
      for (const name of Object.keys(headers)) if (headers[name] !== undefined) this.setHeader(name, headers[name]);
    }
    this._headWritten = true;
    return this;
  }
  _flatHeaders(list) {
    for (let i = 0; i < list.length; i += 2) this.removeHeader(list[i]);
    for (let i = 0; i < list.length; i += 2) this.appendHeader(list[i], list[i + 1]);
  }
  // `on-headers`, `compression` and `express-session` replace writeHead, or call this.
  _implicitHeader() { this.writeHead(this.statusCode); }
  writeContinue(callback) { callback?.(); }
  writeProcessing() {}
  writeEarlyHints(hints, callback) { callback?.(); }
  assignSocket(socket) { this.socket = this.connection = socket; }
  detachSocket() {}

  get _hasBody() { return this.req.method !== "HEAD" && this.statusCode !== 204 && this.statusCode !== 304 && this.statusCode >= 200; }

  _knownLength(length) {
    if (!this._headWritten && this.writeHead !== ServerResponse.prototype.writeHead) this._implicitHeader();
    if (this.hasHeader("content-length") || this.hasHeader("transfer-encoding") || this.hasHeader("trailer") || this._trailers) return;
    // A HEAD answer without body says nothing about the length that GET would have.
    if (this._hasBody || (this.req.method === "HEAD" && length)) this.setHeader("content-length", length);
  }

  /** Hands status and headers to the host, once. Answers false when there is nobody to answer. */
  _sendHead() {
    if (this.headersSent) return !this.destroyed;
    if (!this._headWritten && this.writeHead !== ServerResponse.prototype.writeHead) this._implicitHeader();
    if (this.headersSent) return true;
    this._noBody = !this._hasBody;
    if (this.statusCode === 204) this.removeHeader("content-length");
    const response = new OutgoingResponse(this._wasiFields());
    response.setStatusCode(this.statusCode);
    this.statusMessage ??= STATUS_CODES[this.statusCode] ?? "unknown";
    this.headersSent = true;
    if (!this._noBody) {
      this._body = response.body();
      this._output = this._body.write();
    }
    const host = this._host;
    this._host = null;
    if (host) ResponseOutparam.set(host, { tag: "ok", val: response });
    return true;
  }

  _completed() {
    globalThis.process.nextTick(() => {
      this.destroyed = true;
      this._emitClose();
    });
    this._settle?.();
  }
  _destroyed() { this._settle?.(); }
}

// === servers ===

const listening = new Set();
const waitingForServer = [];

/** Calls back once a server listens. */
export function whenListening(callback) {
  if (listening.size) callback();
  else waitingForServer.push(callback);
}
whenListening.already = () => listening.size > 0;

/** The server that the dyno's requests go to: the one on $PORT, else the first that listened. */
export function activeServer() {
  const port = Number(globalThis.process.env.PORT);
  let first;
  for (const server of listening) {
    if (server._port === port) return server;
    first ??= server;
  }
  return first;
}

export class Server extends EventEmitter {
  constructor(options, listener) {
    super();
    if (typeof options === "function") listener = options;
    if (listener) this.on("request", listener);
    this.listening = false;
    this.timeout = 0;
    this.keepAliveTimeout = 5000;
    this.headersTimeout = 60000;
    this.requestTimeout = 300000;
    this.maxHeadersCount = null;
    this.maxRequestsPerSocket = 0;
    this._port = 0;
  }
  listen(...args) {
    if (this.listening) throw fault(Error, "ERR_SERVER_ALREADY_LISTEN", "Listen method has been called more than once without closing.");
    const callback = args.find((value) => typeof value === "function");
    const [where] = args;
    const port = Number(typeof where === "object" && where ? where.port : where) || Number(globalThis.process.env.PORT) || 0;
    const fallback = 8080;
    this._port = port || fallback;
    this.listening = true;
    listening.add(this);
    for (const waiting of waitingForServer.splice(0)) waiting();
    if (callback) this.once("listening", callback);
    globalThis.process.nextTick(() => this.emit("listening"));
    return this;
  }
  address() { return this.listening ? { address: "0.0.0.0", family: "IPv4", port: this._port } : null; }
  close(callback) {
    const was = this.listening;
    this.listening = false;
    listening.delete(this);
    globalThis.process.nextTick(() => {
      callback?.(was ? undefined : fault(Error, "ERR_SERVER_NOT_RUNNING", "Server is not running."));
      if (was) this.emit("close");
    });
    return this;
  }
  /** One request. An exception of a listener is the process's, as in Node. */
  _serve(request, response) {
    for (const listener of this.listeners("request")) watchPromise(listener.call(this, request, response));
  }
  setTimeout(delay, callback) { if (callback) this.on("timeout", callback); return this; }
  ref() { return this; }
  unref() { return this; }
  closeAllConnections() {}
  closeIdleConnections() {}
  getConnections(callback) { globalThis.process.nextTick(callback, null, 0); }
  [Symbol.asyncDispose]() { this.close(); return Promise.resolve(); }
}

export const createServer = (options, listener) => new Server(options, listener);

// === requests of the host ===

function receive(incoming) {
  const method = incoming.method();
  const authority = incoming.authority();
  const request = new IncomingMessage(null);
  request.method = method.tag === "other" ? method.val : method.tag.toUpperCase();
  request.url = incoming.pathWithQuery() || "/";
  if (authority) request._addHeader("host", authority);
  request._takeHeaders(incoming.headers());
  // The router appends the peer it saw itself: the last address is the one to believe.
  const forwarded = request.headers["x-forwarded-for"];
  if (forwarded) {
    const address = forwarded.slice(forwarded.lastIndexOf(",") + 1).trim();
    request.socket.remoteAddress = address;
    request.socket.remoteFamily = address.includes(":") ? "IPv6" : "IPv4";
  }
  request._takeBody(incoming);
  return request;
}

/** Answers one request of the host; settles when the last byte is out or the client has gone. */
export async function answer(incoming, outparam, fail) {
  const request = receive(incoming);
  const response = new ServerResponse(request);
  response._host = outparam;
  const done = new Promise((resolve) => { response._settle = resolve; });
  try {
    if (fail) fail(request, response);
    else activeServer()._serve(request, response);
    await runUntil(done, `nothing is left that could answer ${request.method} ${request.url}: a callback or promise was lost`);
  } catch (error) {
    if (error?.code !== "ERR_DYNO_IDLE") throw error;
    globalThis.console.error(error.message);
    if (!response.headersSent) {
      response.statusCode = 503;
      response.end("the app did not answer\n");
      await runUntil(done, "the client does not read");
    } else response.destroy();
  } finally {
    if (!response.writableFinished) request._abort();
    else if (!request.destroyed && request.listenerCount("close")) request.destroy();
    else request._release();
  }
}
