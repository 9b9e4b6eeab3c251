// The global fetch on top of the client, so that one event loop owns every pollable; and servers given as fetch handlers.
import { Buffer } from "../buffer.js";
import { ClientRequest } from "./client.js";

const REDIRECTS_MAX = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const NO_BODY = new Set([101, 204, 205, 304]);
const { Headers, Request, Response } = globalThis;

/** A Node stream as a web stream, with back-pressure. */
export function toWebStream(source) {
  return new ReadableStream({
    start(controller) {
      source.on("data", (chunk) => {
        controller.enqueue(typeof chunk === "string" ? new TextEncoder().encode(chunk) : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
        if (controller.desiredSize <= 0) source.pause();
      });
      source.on("end", () => { try { controller.close(); } catch { /* cancelled */ } });
      source.on("error", (error) => { try { controller.error(error); } catch { /* cancelled */ } });
      source.pause();
    },
    pull() { source.resume(); },
    cancel(reason) { source.destroy(reason); },
  });
}

/** One exchange of fetch: a request and its redirects. */
class Exchange {
  constructor(request, body) {
    this.request = request;
    this.body = body;
    this.method = request.method;
    this.url = new URL(request.url);
    this.headers = new Headers(request.headers);
    if (!this.headers.has("user-agent")) this.headers.set("user-agent", "node");
    if (!this.headers.has("accept")) this.headers.set("accept", "*/*");
    this.hops = 0;
  }
  send(signal) {
    return new Promise((resolve, reject) => {
      const outgoing = new ClientRequest(this.url.protocol.slice(0, -1), this.url, { method: this.method, headers: Object.fromEntries(this.headers) }, (message) => {
        try {
          resolve(this.redirect(message)?.send(signal) ?? this.response(message));
        } catch (error) {
          reject(error);
        }
      });
      outgoing.on("error", (error) => reject(Object.assign(new TypeError("fetch failed"), { cause: error })));
      signal?.addEventListener("abort", () => {
        reject(signal.reason);
        outgoing.destroy();
      }, { once: true });
      outgoing.end(this.body ?? undefined);
    });
  }
  /** This exchange turned to the place the response names, or nothing when it names none. */
  redirect(message) {
    const { redirect } = this.request;
    const to = message.headers.location;
    if (!REDIRECTS.has(message.statusCode) || !to || redirect === "manual") return undefined;
    message.resume();
    if (redirect === "error") throw Object.assign(new TypeError("fetch failed"), { cause: new Error("unexpected redirect") });
    if (++this.hops > REDIRECTS_MAX) throw Object.assign(new TypeError("fetch failed"), { cause: new Error("redirect count exceeded") });
    const next = new URL(to, this.url);
    if (next.origin !== this.url.origin) for (const name of ["authorization", "cookie", "proxy-authorization"]) this.headers.delete(name);
    const becomesGet = (message.statusCode === 303 && this.method !== "HEAD") || (message.statusCode < 303 && this.method === "POST");
    if (becomesGet) {
      this.method = "GET";
      this.body = null;
      for (const name of ["content-length", "content-type", "content-encoding"]) this.headers.delete(name);
    }
    this.url = next;
    return this;
  }
  response(message) {
    const headers = new Headers();
    for (let i = 0; i < message.rawHeaders.length; i += 2) headers.append(message.rawHeaders[i], message.rawHeaders[i + 1]);
    const empty = this.method === "HEAD" || NO_BODY.has(message.statusCode);
    if (empty) message.resume();
    const body = empty ? null : this.decoded(message, headers);
    const response = new Response(body, { status: message.statusCode, statusText: message.statusMessage, headers });
    Object.defineProperties(response, { url: { value: this.url.href }, redirected: { value: this.hops > 0 } });
    return response;
  }
  decoded(message, headers) {
    const stream = toWebStream(message);
    const coding = headers.get("content-encoding");
    const format = { gzip: "gzip", "x-gzip": "gzip", deflate: "deflate" }[coding];
    return format ? stream.pipeThrough(new DecompressionStream(format)) : stream;
  }
}

export async function fetch(input, init) {
  const { signal: given, dispatcher, ...rest } = init ?? {};
  const request = new Request(input, rest);
  const signal = given ?? (typeof input === "object" ? input?.signal : undefined);
  if (signal?.aborted) throw signal.reason;
  const { protocol } = new URL(request.url);
  if (protocol !== "http:" && protocol !== "https:") throw Object.assign(new TypeError("fetch failed"), { cause: new Error(`not implemented... yet: scheme ${protocol}`) });
  const body = /^(GET|HEAD)$/.test(request.method) ? null : Buffer.from(await request.arrayBuffer());
  return new Exchange(request, body?.length ? body : null).send(signal);
}

// === servers given as `{ fetch(request) }` ===

function webRequest(incoming) {
  const scheme = incoming.headers["x-forwarded-proto"]?.split(",")[0] ?? "http";
  const url = `${scheme}://${incoming.headers.host ?? "localhost"}${incoming.url}`;
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) headers.append(incoming.rawHeaders[i], incoming.rawHeaders[i + 1]);
  const init = { method: incoming.method, headers };
  if (!/^(GET|HEAD)$/.test(incoming.method)) {
    init.body = toWebStream(incoming);
    init.duplex = "half";
  }
  return new Request(url, init);
}

async function sendResponse(response, outgoing) {
  const headers = {};
  response.headers.forEach((value, name) => { if (name !== "set-cookie") headers[name] = value; });
  const cookies = response.headers.getSetCookie?.() ?? [];
  if (cookies.length) headers["set-cookie"] = cookies;
  outgoing.writeHead(response.status, headers);
  if (!response.body) {
    outgoing.end();
    return;
  }
  const reader = response.body.getReader();
  outgoing.once("close", () => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!outgoing.write(value)) await new Promise((resolve) => { outgoing.once("drain", resolve).once("close", resolve); });
  }
  outgoing.end();
}

/** A request listener that answers with a fetch handler. An exception of the handler becomes a 500, as such servers do. */
export function listenerOf(app) {
  return async (incoming, outgoing) => {
    const waiting = [];
    const context = { waitUntil(promise) { waiting.push(promise); }, passThroughOnException() {} };
    const env = Object.assign(Object.create(globalThis.process.env), { incoming, outgoing });
    try {
      await sendResponse(await app.fetch(webRequest(incoming), env, context), outgoing);
    } catch (error) {
      globalThis.console.error(error);
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(500, { "content-type": "text/plain" }).end("Internal Server Error");
    }
    await Promise.allSettled(waiting);
  };
}
