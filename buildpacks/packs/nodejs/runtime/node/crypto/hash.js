// crypto.Hash and crypto.Hmac. They accept being piped into, yet are no full streams: most callers update and digest.
import { Stream } from "stream";
import polyfill from "crypto-polyfill";
import { Buffer } from "../buffer.js";
import { Digest, isFast } from "./digests.js";

const BLOCK_BYTES = { sha384: 128, sha512: 128 };
const fault = (Type, code, text) => Object.assign(new Type(text), { code });

/** `SHA-256`, `RSA-SHA256`, `sha256` → `sha256`. */
export const digestName = (name) => String(name?.name ?? name).toLowerCase().replace(/^rsa-/, "").replace(/^sha-/, "sha");
export const toBytes = (data, encoding) => {
  if (typeof data === "string") return Buffer.from(data, encoding === "buffer" ? "utf8" : encoding);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw fault(TypeError, "ERR_INVALID_ARG_TYPE", `The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received ${data === null ? "null" : typeof data}`);
};
const inEncoding = (bytes, encoding) => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return encoding && encoding !== "buffer" ? buffer.toString(encoding) : buffer;
};

/** A digest of ours, or the polyfill's behind the same three methods. */
function start(name) {
  if (isFast(name)) return new Digest(name);
  let hash;
  try {
    hash = polyfill.createHash(name);
  } catch {
    throw fault(Error, "ERR_OSSL_EVP_UNSUPPORTED", "Digest method not supported");
  }
  const parts = [];
  const made = {
    update(bytes) { parts.push(Buffer.from(bytes)); hash.update(bytes); return made; },
    digest: () => hash.digest(),
    clone: () => parts.reduce((copy, part) => copy.update(part), start(name)),
  };
  return made;
}

class Digesting extends Stream {
  constructor() {
    super();
    this.writable = this.readable = true;
    this._done = false;
  }
  update(data, encoding) {
    if (this._done) throw fault(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this._running.update(toBytes(data, encoding));
    return this;
  }
  digest(encoding) {
    if (this._done) throw fault(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this._done = true;
    return inEncoding(this._result(), encoding);
  }
  _result() { return this._running.digest(); }
  write(chunk, encoding, callback) {
    this.update(chunk, typeof encoding === "string" ? encoding : undefined);
    const after = typeof encoding === "function" ? encoding : callback;
    if (after) queueMicrotask(after);
    return true;
  }
  end(chunk, encoding) {
    if (chunk !== undefined && typeof chunk !== "function") this.update(chunk, encoding);
    this._value = this.digest(this._encoding);
    queueMicrotask(() => {
      for (const [event, ...args] of [["finish"], ["readable"], ["data", this._value], ["end"], ["close"]]) this.emit(event, ...args);
    });
    return this;
  }
  read() {
    const value = this._value ?? null;
    this._value = null;
    return value;
  }
  setEncoding(encoding) { this._encoding = encoding; return this; }
}

export class Hash extends Digesting {
  constructor(name, running) {
    super();
    this._name = digestName(name);
    this._running = running ?? start(this._name);
  }
  copy() {
    if (this._done) throw fault(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    return new Hash(this._name, this._running.clone());
  }
}

export class Hmac extends Digesting {
  constructor(name, key) {
    super();
    const algorithm = digestName(name);
    const size = BLOCK_BYTES[algorithm] ?? 64;
    const block = new Uint8Array(size);
    block.set(key.length > size ? start(algorithm).update(key).digest() : key);
    this._running = start(algorithm).update(block.map((byte) => byte ^ 0x36));
    this._outer = start(algorithm).update(block.map((byte) => byte ^ 0x5c));
  }
  _result() { return this._outer.update(this._running.digest()).digest(); }
}

/** HKDF (RFC 5869). */
export function hkdf(name, key, salt, info, length) {
  const hmac = (secret, ...parts) => parts.reduce((mac, part) => mac.update(part), new Hmac(name, secret)).digest();
  const size = hmac(new Uint8Array(), new Uint8Array()).length;
  if (length > 255 * size) throw fault(RangeError, "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
  const pseudorandom = hmac(salt.length ? salt : new Uint8Array(size), key);
  const chunks = [];
  let last = new Uint8Array();
  for (let i = 1; (i - 1) * size < length; i++) {
    last = hmac(pseudorandom, last, info, Uint8Array.of(i));
    chunks.push(last);
  }
  return Buffer.concat(chunks).subarray(0, length);
}
