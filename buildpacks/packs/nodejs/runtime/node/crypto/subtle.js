// crypto.webcrypto: the engine's SubtleCrypto, completed by raw HMAC and PBKDF2 keys (what pg's SCRAM login uses).
import { Buffer } from "../buffer.js";

const engine = globalThis.crypto;
const nameOf = (algorithm) => String(algorithm?.name ?? algorithm).toUpperCase();
const bytesOf = (data) => (ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data));
const exact = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);

/** `primitives` — createHash, createHmac and pbkdf2Sync of node:crypto. */
export function makeWebcrypto({ createHash, createHmac, pbkdf2Sync, timingSafeEqual }) {
  const mac = (key, data) => createHmac(key.algorithm.hash.name ?? key.algorithm.hash, key._raw).update(bytesOf(data)).digest();
  const subtle = {
    async digest(algorithm, data) { return exact(createHash(nameOf(algorithm)).update(bytesOf(data)).digest()); },
    async importKey(format, key, algorithm, extractable, usages) {
      const name = nameOf(algorithm);
      if (format !== "raw" || !/^(HMAC|PBKDF2)$/.test(name)) return engine.subtle.importKey(format, key, algorithm, extractable, usages);
      const hash = typeof algorithm.hash === "string" ? { name: algorithm.hash } : algorithm.hash;
      return { type: "secret", algorithm: { name, hash }, extractable, usages, _raw: Buffer.from(bytesOf(key)) };
    },
    async sign(algorithm, key, data) { return key._raw ? exact(mac(key, data)) : engine.subtle.sign(algorithm, key, data); },
    async verify(algorithm, key, signature, data) {
      if (!key._raw) return engine.subtle.verify(algorithm, key, signature, data);
      const [expected, given] = [mac(key, data), bytesOf(signature)];
      return expected.length === given.length && timingSafeEqual(expected, given);
    },
    async deriveBits(algorithm, key, length) {
      if (!key._raw) throw unsupported("deriveBits");
      return exact(pbkdf2Sync(key._raw, bytesOf(algorithm.salt), algorithm.iterations, length / 8, nameOf(algorithm.hash)));
    },
  };
  for (const name of ["encrypt", "decrypt", "generateKey", "exportKey", "deriveKey", "wrapKey", "unwrapKey"]) {
    subtle[name] = async (...args) => {
      if (typeof engine.subtle[name] !== "function") throw unsupported(name);
      return engine.subtle[name](...args);
    };
  }
  return { subtle, getRandomValues: (array) => engine.getRandomValues(array), randomUUID: () => engine.randomUUID(), CryptoKey: globalThis.CryptoKey };
}
const unsupported = (name) => Object.assign(new Error(`SubtleCrypto.${name} is not supported in a WebAssembly dyno`), { name: "NotSupportedError" });
