// node:crypto: hashes and random numbers of our own, ciphers and signatures from the npm polyfill.
import polyfill from "crypto-polyfill";
import { Buffer } from "./buffer.js";
import { pbkdf2Sha256 } from "./crypto/digests.js";
import { digestName, Hash, hkdf, Hmac, toBytes } from "./crypto/hash.js";
import { createPrivateKey, createPublicKey, createSecretKey, KeyObject, keyMaterial } from "./crypto/keys.js";
import { makeWebcrypto } from "./crypto/subtle.js";

const RANDOM_BYTES_MAX = 65536; // the engine's limit for one call
const engine = globalThis.crypto;
const fault = (Type, code, text) => Object.assign(new Type(text), { code });

const createHash = (name) => new Hash(name);
const createHmac = (name, key) => {
  const material = keyMaterial(key);
  return new Hmac(name, typeof material === "string" ? Buffer.from(material) : toBytes(material));
};

function pbkdf2Sync(password, salt, rounds, length, name = "sha1") {
  if (digestName(name) === "sha256") return Buffer.from(pbkdf2Sha256(toBytes(password), toBytes(salt), rounds, length));
  return polyfill.pbkdf2Sync(password, salt, rounds, length, digestName(name));
}
/** The callback form of a function that is synchronous here. */
const withCallback = (operation) => (...args) => {
  const callback = args.pop();
  let result;
  try {
    result = operation(...args);
  } catch (error) {
    globalThis.process.nextTick(callback, error);
    return;
  }
  globalThis.process.nextTick(callback, null, result);
};

// === randomness ===

function randomFillSync(target, offset = 0, size) {
  const bytes = ArrayBuffer.isView(target) ? new Uint8Array(target.buffer, target.byteOffset, target.byteLength) : new Uint8Array(target);
  const part = bytes.subarray(offset, size === undefined ? undefined : offset + size);
  for (let at = 0; at < part.length; at += RANDOM_BYTES_MAX) engine.getRandomValues(part.subarray(at, at + RANDOM_BYTES_MAX));
  return target;
}
function randomBytes(size, callback) {
  if (!Number.isInteger(size) || size < 0 || size > 2 ** 31 - 1) throw fault(RangeError, "ERR_OUT_OF_RANGE", `The value of "size" is out of range. Received ${size}`);
  const bytes = randomFillSync(Buffer.alloc(size));
  if (!callback) return bytes;
  globalThis.process.nextTick(callback, null, bytes);
  return undefined;
}
function randomInt(low, high, callback) {
  if (high === undefined || typeof high === "function") [low, high, callback] = [0, low, high];
  const range = high - low;
  if (!Number.isSafeInteger(range) || range <= 0 || range > 2 ** 48) throw fault(RangeError, "ERR_OUT_OF_RANGE", `The value of "max" is out of range. It must be greater than the value of "min" (${low}). Received ${high}`);
  const limit = 2 ** 48 - (2 ** 48 % range); // above it, numbers would favour the small ones
  let drawn;
  do drawn = randomBytes(6).readUIntBE(0, 6); while (drawn >= limit);
  const value = low + (drawn % range);
  if (!callback) return value;
  globalThis.process.nextTick(callback, null, value);
  return undefined;
}

function timingSafeEqual(a, b) {
  const [left, right] = [toBytes(a), toBytes(b)];
  if (left.length !== right.length) throw fault(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
  let difference = 0;
  for (let i = 0; i < left.length; i++) difference |= left[i] ^ right[i];
  return difference === 0;
}

// === signatures ===

function createSign(name) {
  const signer = polyfill.createSign(name);
  const sign = signer.sign.bind(signer);
  signer.sign = (key, encoding) => sign(keyMaterial(key), encoding);
  return signer;
}
function createVerify(name) {
  const verifier = polyfill.createVerify(name);
  const verify = verifier.verify.bind(verifier);
  verifier.verify = (key, signature, encoding) => verify(keyMaterial(key), signature, encoding);
  return verifier;
}
const missing = (name) => () => { throw fault(Error, "ERR_METHOD_NOT_IMPLEMENTED", `crypto.${name} does not exist in a WebAssembly dyno`); };
const hkdfSync = (name, key, salt, info, length) => {
  const bytes = hkdf(name, toBytes(keyMaterial(key)), toBytes(salt), toBytes(info), length);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
};

const webcrypto = makeWebcrypto({ createHash, createHmac, pbkdf2Sync, timingSafeEqual });
export default {
  ...polyfill, Hash, Hmac, createHash, createHmac, hash: (name, data, encoding = "hex") => createHash(name).update(data).digest(encoding), getHashes: () => ["RSA-SHA1", "RSA-SHA256", "md5", "ripemd160", "sha1", "sha224", "sha256", "sha384", "sha512"],
  pbkdf2Sync, pbkdf2: withCallback(pbkdf2Sync), hkdfSync, hkdf: withCallback(hkdfSync), createSign, createVerify,
  sign: (name, data, key) => createSign(name).update(data).sign(key), verify: (name, data, key, signature) => createVerify(name).update(data).verify(key, signature),
  randomBytes, pseudoRandomBytes: randomBytes, rng: randomBytes, prng: randomBytes, randomFillSync, randomInt, randomUUID: () => engine.randomUUID(), getRandomValues: (array) => engine.getRandomValues(array),
  randomFill(target, ...rest) {
    const callback = rest.pop();
    globalThis.process.nextTick(callback, null, randomFillSync(target, ...rest));
  },
  timingSafeEqual, KeyObject, createSecretKey, createPublicKey, createPrivateKey, webcrypto, subtle: webcrypto.subtle,
  getFips: () => 0, setFips() {}, setEngine() {}, secureHeapUsed: () => ({ total: 0, used: 0, utilization: 0, min: 0 }),
  scrypt: missing("scrypt"), scryptSync: missing("scryptSync"), generateKeyPair: missing("generateKeyPair"), generateKeyPairSync: missing("generateKeyPairSync"), generateKeySync: missing("generateKeySync"), X509Certificate: class X509Certificate { constructor() { missing("X509Certificate")(); } },
};
