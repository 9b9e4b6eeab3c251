// node:events: the npm polyfill, with what newer Nodes have added.
import polyfill from "events-polyfill";

const EventEmitter = polyfill.EventEmitter ?? polyfill;
const abortError = (signal) => Object.assign(new Error("The operation was aborted"), { name: "AbortError", code: "ABORT_ERR", cause: signal.reason });

/** An async iterator over the events of an emitter. */
async function* on(emitter, name, options) {
  const queue = [];
  let wake, fault, ended = false;
  const push = (...args) => { queue.push(args); wake?.(); };
  const fail = (error) => { fault = error; wake?.(); };
  const end = () => { ended = true; wake?.(); };
  const { signal } = options ?? {};
  signal?.addEventListener("abort", () => fail(abortError(signal)));
  emitter.on(name, push);
  if (name !== "error") emitter.on("error", fail);
  for (const closing of options?.close ?? []) emitter.on(closing, end);
  try {
    for (;;) {
      while (queue.length) yield queue.shift();
      if (fault) throw fault;
      if (ended) return;
      await new Promise((resolve) => { wake = resolve; });
    }
  } finally {
    emitter.removeListener(name, push);
    emitter.removeListener("error", fail);
  }
}

/** The next event of an emitter, or of an EventTarget. */
function once(emitter, name, options) {
  return new Promise((resolve, reject) => {
    const { signal } = options ?? {};
    if (signal?.aborted) {
      reject(abortError(signal));
      return;
    }
    if (typeof emitter.addEventListener === "function" && typeof emitter.once !== "function") {
      emitter.addEventListener(name, (...args) => resolve(args), { once: true });
      return;
    }
    const succeed = (...args) => { emitter.removeListener("error", fail); resolve(args); };
    const fail = (error) => { emitter.removeListener(name, succeed); reject(error); };
    emitter.once(name, succeed);
    if (name !== "error") emitter.once("error", fail);
    signal?.addEventListener("abort", () => fail(abortError(signal)), { once: true });
  });
}

class EventEmitterAsyncResource extends EventEmitter {}
Object.assign(EventEmitter, {
  EventEmitter, on, once, EventEmitterAsyncResource, errorMonitor: Symbol("events.errorMonitor"), captureRejectionSymbol: Symbol.for("nodejs.rejection"), captureRejections: false, usingDomains: false,
  getEventListeners: (emitter, name) => emitter.listeners?.(name) ?? [],
  getMaxListeners: (emitter) => emitter.getMaxListeners?.() ?? EventEmitter.defaultMaxListeners,
  setMaxListeners(count, ...emitters) { for (const emitter of emitters) emitter.setMaxListeners?.(count); },
  addAbortListener(signal, listener) {
    signal.addEventListener("abort", listener, { once: true });
    return { [Symbol.dispose]() { signal.removeEventListener("abort", listener); } };
  },
});
export { EventEmitter, once, on };
export default EventEmitter;
