// node:async_hooks. The engine gives no hook on promises, and an instance answers one request at a time: so the store of the
// last `run` that has not ended is the right one across awaits, though not between parallel runs inside one request.

export class AsyncResource {
  constructor(type) { this.type = type; }
  runInAsyncScope(callback, self, ...args) { return callback.apply(self, args); }
  emitDestroy() { return this; }
  asyncId() { return 1; }
  triggerAsyncId() { return 0; }
  bind(callback, self) { return self === undefined ? callback : callback.bind(self); }
  static bind(callback, type, self) { return self === undefined ? callback : callback.bind(self); }
}

export class AsyncLocalStorage {
  run(store, callback, ...args) {
    const outer = this._store;
    this._store = store;
    const restore = () => { if (this._store === store) this._store = outer; };
    let result;
    try {
      result = callback(...args);
    } catch (error) {
      restore();
      throw error;
    }
    if (typeof result?.then === "function") result.then(restore, restore);
    // A plain callback may go on in events and timers (Express' `next()`): its store lasts until another run.
    else if (outer !== undefined) restore();
    return result;
  }
  exit(callback, ...args) {
    const outer = this._store;
    this._store = undefined;
    try {
      return callback(...args);
    } finally {
      this._store = outer;
    }
  }
  getStore() { return this._store; }
  enterWith(store) { this._store = store; }
  disable() { this._store = undefined; }
  static bind(callback) { return callback; }
  static snapshot() { return (callback, ...args) => callback(...args); }
}

export default {
  AsyncLocalStorage, AsyncResource, createHook: () => ({ enable() { return this; }, disable() { return this; } }), executionAsyncId: () => 1, triggerAsyncId: () => 0,
  executionAsyncResource: () => ({}), asyncWrapProviders: {},
};
