// MD5, SHA-1 and SHA-256 in plain loops over typed arrays. The polyfill's are built on streams, which an interpreter feels:
// Express hashes every answer for its ETag.

const BLOCK_BYTES = 64;
const words = new Int32Array(80);

function initialSha256() {
  const fraction = (root) => ((root - Math.floor(root)) * 4294967296) | 0;
  const constants = new Int32Array(64);
  const state = new Int32Array(8);
  for (let candidate = 2, found = 0; found < 64; candidate++) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) prime = false;
    if (!prime) continue;
    if (found < 8) state[found] = fraction(Math.sqrt(candidate));
    constants[found++] = fraction(Math.cbrt(candidate));
  }
  return { constants, state };
}
const sha256Start = initialSha256();
const K = sha256Start.constants;
const md5Sines = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 4294967296) | 0);
const md5Shifts = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];

/** One 64-byte block, given as 16 words in `m`. */
export function sha256Block(h, m) {
  const w = words;
  for (let i = 0; i < 16; i++) w[i] = m[i];
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    w[i] = (w[i - 16] + (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) + w[i - 7] + (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10))) | 0;
  }
  let [a, b, c, d, e, f, g, k] = [h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]];
  for (let i = 0; i < 64; i++) {
    const t = (k + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) + (g ^ (e & (f ^ g))) + K[i] + w[i]) | 0;
    const u = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) + ((a & b) | (c & (a | b)))) | 0;
    k = g; g = f; f = e; e = (d + t) | 0; d = c; c = b; b = a; a = (t + u) | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k;
}

function sha1Block(h, m) {
  const w = words;
  for (let i = 0; i < 16; i++) w[i] = m[i];
  for (let i = 16; i < 80; i++) {
    const x = w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16];
    w[i] = (x << 1) | (x >>> 31);
  }
  let [a, b, c, d, e] = [h[0], h[1], h[2], h[3], h[4]];
  for (let i = 0; i < 80; i++) {
    const f = i < 20 ? ((b & c) | (~b & d)) + 0x5a827999 : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1 : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc : (b ^ c ^ d) + 0xca62c1d6;
    const t = (((a << 5) | (a >>> 27)) + f + e + w[i]) | 0;
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
}

function md5Block(h, m) {
  let [a, b, c, d] = [h[0], h[1], h[2], h[3]];
  for (let i = 0; i < 64; i++) {
    const round = i >> 4;
    const f = round === 0 ? (b & c) | (~b & d) : round === 1 ? (d & b) | (~d & c) : round === 2 ? b ^ c ^ d : c ^ (b | ~d);
    const index = round === 0 ? i : round === 1 ? (5 * i + 1) & 15 : round === 2 ? (3 * i + 5) & 15 : (7 * i) & 15;
    const sum = (a + f + md5Sines[i] + m[index]) | 0;
    const shift = md5Shifts[round * 4 + (i & 3)];
    a = d; d = c; c = b; b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d;
}

const ALGORITHMS = {
  sha256: { start: sha256Start.state, block: sha256Block, bytes: 32, little: false },
  sha224: { start: Int32Array.of(0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939, 0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4), block: sha256Block, bytes: 28, little: false },
  sha1: { start: Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0), block: sha1Block, bytes: 20, little: false },
  md5: { start: Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476), block: md5Block, bytes: 16, little: true },
};
export const isFast = (name) => Object.hasOwn(ALGORITHMS, name);

/** A running digest: `update` bytes, `digest` once, `clone` at any time before. */
export class Digest {
  constructor(name) {
    this._algorithm = ALGORITHMS[name];
    this._name = name;
    this._state = Int32Array.from(this._algorithm.start);
    this._rest = new Uint8Array(BLOCK_BYTES);
    this._used = 0;
    this._length = 0;
    this._block = new Int32Array(16);
  }
  clone() {
    const copy = new Digest(this._name);
    copy._state.set(this._state);
    copy._rest.set(this._rest);
    copy._used = this._used;
    copy._length = this._length;
    return copy;
  }
  _process(bytes, at) {
    const m = this._block;
    if (this._algorithm.little) for (let i = 0; i < 16; i++, at += 4) m[i] = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    else for (let i = 0; i < 16; i++, at += 4) m[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    this._algorithm.block(this._state, m);
  }
  update(bytes) {
    this._length += bytes.length;
    let at = 0;
    if (this._used) {
      const taken = Math.min(BLOCK_BYTES - this._used, bytes.length);
      this._rest.set(bytes.subarray(0, taken), this._used);
      this._used += taken;
      at = taken;
      if (this._used < BLOCK_BYTES) return this;
      this._process(this._rest, 0);
      this._used = 0;
    }
    for (; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) this._process(bytes, at);
    if (at < bytes.length) {
      this._rest.set(bytes.subarray(at), 0);
      this._used = bytes.length - at;
    }
    return this;
  }
  digest() {
    const { little, bytes } = this._algorithm;
    const padding = new Uint8Array((this._used < 56 ? 56 : 120) - this._used + 8);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    const high = Math.floor(this._length / 0x20000000);
    const low = (this._length << 3) >>> 0;
    view.setUint32(padding.length - 8, little ? low : high, little);
    view.setUint32(padding.length - 4, little ? high : low, little);
    this.update(padding);
    const out = new Uint8Array(bytes);
    const outView = new DataView(out.buffer);
    for (let i = 0; i < bytes / 4; i++) outView.setInt32(i * 4, this._state[i], little);
    return out;
  }
}

/** PBKDF2 with HMAC-SHA-256: the inner and outer states are kept, which is what a SCRAM login costs in an interpreter. */
export function pbkdf2Sha256(password, salt, rounds, length) {
  const key = new Uint8Array(BLOCK_BYTES);
  key.set(password.length > BLOCK_BYTES ? new Digest("sha256").update(password).digest() : password);
  const inner = new Digest("sha256").update(key.map((byte) => byte ^ 0x36));
  const outer = new Digest("sha256").update(key.map((byte) => byte ^ 0x5c));
  const out = new Uint8Array(Math.ceil(length / 32) * 32);
  const outView = new DataView(out.buffer);
  const block = new Int32Array(16);
  block[8] = 0x80000000 | 0;
  block[15] = (BLOCK_BYTES + 32) * 8;
  const hash = new Int32Array(8);
  const total = new Int32Array(8);
  for (let index = 1; index * 32 <= out.length; index++) {
    const counter = Uint8Array.of(index >>> 24, index >>> 16, index >>> 8, index);
    const first = outer.clone().update(inner.clone().update(salt).update(counter).digest()).digest();
    const view = new DataView(first.buffer);
    for (let i = 0; i < 8; i++) total[i] = hash[i] = view.getInt32(i * 4);
    for (let round = 1; round < rounds; round++) {
      for (const half of [inner, outer]) {
        for (let i = 0; i < 8; i++) block[i] = hash[i];
        hash.set(half._state);
        sha256Block(hash, block);
      }
      for (let i = 0; i < 8; i++) total[i] ^= hash[i];
    }
    for (let i = 0; i < 8; i++) outView.setInt32((index - 1) * 32 + i * 4, total[i]);
  }
  return out.subarray(0, length);
}
