// node:diagnostics_channel.

class Channel {
  constructor(name) {
    this.name = name;
    this._subscribers = [];
  }
  get hasSubscribers() { return this._subscribers.length > 0; }
  publish(message) { for (const subscriber of [...this._subscribers]) subscriber(message, this.name); }
  subscribe(subscriber) { this._subscribers.push(subscriber); }
  unsubscribe(subscriber) {
    const at = this._subscribers.indexOf(subscriber);
    if (at >= 0) this._subscribers.splice(at, 1);
    return at >= 0;
  }
  bindStore() {}
  unbindStore() { return false; }
  runStores(context, callback, self, ...args) {
    this.publish(context);
    return callback.apply(self, args);
  }
}

const channels = new Map();
export function channel(name) {
  if (!channels.has(name)) channels.set(name, new Channel(name));
  return channels.get(name);
}

const PHASES = ["start", "end", "asyncStart", "asyncEnd", "error"];
class TracingChannel {
  constructor(name) { for (const phase of PHASES) this[phase] = typeof name === "string" ? channel(`tracing:${name}:${phase}`) : name[phase]; }
  get hasSubscribers() { return PHASES.some((phase) => this[phase]?.hasSubscribers); }
  subscribe(handlers) { for (const phase of PHASES) if (handlers[phase]) this[phase].subscribe(handlers[phase]); }
  unsubscribe(handlers) { return PHASES.every((phase) => !handlers[phase] || this[phase].unsubscribe(handlers[phase])); }
  traceSync(callback, context = {}, self, ...args) {
    this.start.publish(context);
    try {
      return (context.result = callback.apply(self, args));
    } catch (error) {
      context.error = error;
      this.error.publish(context);
      throw error;
    } finally {
      this.end.publish(context);
    }
  }
  tracePromise(callback, context, self, ...args) { return this.traceSync(callback, context, self, ...args); }
  traceCallback(callback, position, context, self, ...args) { return this.traceSync(callback, context, self, ...args); }
}

export default {
  Channel, channel, TracingChannel, tracingChannel: (name) => new TracingChannel(name), hasSubscribers: (name) => channels.get(name)?.hasSubscribers ?? false,
  subscribe: (name, subscriber) => channel(name).subscribe(subscriber), unsubscribe: (name, subscriber) => channel(name).unsubscribe(subscriber),
};
