// node:http and node:https. In a dyno both servers speak plain HTTP to the router, which ends TLS.
import { Agent, ClientRequest, HttpsAgent } from "./http/client.js";
import { IncomingMessage } from "./http/incoming.js";
import { OutgoingMessage } from "./http/outgoing.js";
import { MAX_HEADER_SIZE, METHODS, STATUS_CODES, validateHeaderName, validateHeaderValue } from "./http/protocol.js";
import { createServer, Server, ServerResponse } from "./http/server.js";

function moduleFor(scheme, AgentClass) {
  class Request extends ClientRequest {
    constructor(first, second, callback) { super(scheme, first, second, callback); }
  }
  Object.defineProperty(Request, "name", { value: "ClientRequest" });
  const request = (first, second, callback) => new Request(first, second, callback);
  return {
    METHODS, STATUS_CODES, Agent: AgentClass, ClientRequest: Request, IncomingMessage, OutgoingMessage, Server: callable(Server), ServerResponse, createServer,
    request, get: (...args) => request(...args).end(), globalAgent: new AgentClass({ keepAlive: true }), maxHeaderSize: MAX_HEADER_SIZE, validateHeaderName, validateHeaderValue, setMaxIdleHTTPParsers() {},
  };
}

/** Node's Server may be called without `new`. */
function callable(Class) {
  return new Proxy(Class, { apply: (target, self, args) => new target(...args) });
}

export const http = moduleFor("http", Agent);
export const https = moduleFor("https", HttpsAgent);
