// node:buffer: the npm polyfill, with the encodings and slices that it lacks.
import * as polyfill from "buffer-polyfill";

const { Buffer } = polyfill;
const isBase64Url = (encoding) => typeof encoding === "string" && encoding.toLowerCase() === "base64url";

{
  const { toString, write } = Buffer.prototype;
  const { isEncoding, byteLength, from, concat } = Buffer;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const encoder = new TextEncoder();
  Buffer.prototype.toString = function (encoding, start, end) {
    if (isBase64Url(encoding)) return toString.call(this, "base64", start, end).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    // The engine's decoder is native; the polyfill's loop is interpreted.
    if (encoding === undefined || encoding === "utf8" || encoding === "utf-8") {
      const whole = start === undefined && end === undefined ? this : this.subarray(start ?? 0, end ?? this.length);
      if (whole.length > 32) return decoder.decode(whole);
    }
    return toString.apply(this, arguments);
  };
  Buffer.prototype.write = function (text, ...rest) { return write.call(this, text, ...rest.map((value) => (isBase64Url(value) ? "base64" : value))); };
  Buffer.isEncoding = (encoding) => isBase64Url(encoding) || isEncoding(encoding);
  Buffer.byteLength = (value, encoding) => {
    if (typeof value === "string" && (encoding === undefined || encoding === "utf8" || encoding === "utf-8")) return utf8Length(value);
    return byteLength(value, isBase64Url(encoding) ? "base64" : encoding);
  };
  Buffer.from = function (value, encoding, length) {
    if (typeof value === "string") {
      if (isBase64Url(encoding)) return from(value, "base64");
      if (value.length > 32 && (encoding === undefined || encoding === "utf8" || encoding === "utf-8")) {
        const bytes = encoder.encode(value);
        return from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      }
    }
    return from(value, encoding, length);
  };
  Buffer.concat = (list, length) => (list.length === 1 && length === undefined ? from(list[0]) : concat(list, length));
  for (const encoding of ["latin1", "utf8", "ascii", "hex", "base64", "ucs2", "base64url"]) {
    Buffer.prototype[`${encoding}Slice`] ??= function (start, end) { return this.toString(encoding, start, end); };
    Buffer.prototype[`${encoding}Write`] ??= function (text, at = 0, length = this.length - at) { return this.write(text, at, length, encoding); };
  }
}

function utf8Length(text) {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x80) continue;
    if (code < 0x800) bytes += 1;
    else if (code >= 0xd800 && code <= 0xdbff && i + 1 < text.length && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      bytes += 2; // four bytes for two units
      i++;
    } else bytes += 2;
  }
  return bytes;
}

globalThis.Buffer = Buffer;
const everyByte = (input, test) => {
  const bytes = ArrayBuffer.isView(input) ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength) : new Uint8Array(input);
  return bytes.every(test);
};

export const buffer = {
  ...polyfill.default, ...polyfill, Buffer, Blob: globalThis.Blob, File: globalThis.File, atob: globalThis.atob, btoa: globalThis.btoa,
  isAscii: (input) => everyByte(input, (byte) => byte < 0x80),
  isUtf8(input) {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(input);
      return true;
    } catch {
      return false;
    }
  },
  transcode: (source, from, to) => Buffer.from(source.toString(from), to),
  constants: { MAX_LENGTH: 2 ** 31 - 1, MAX_STRING_LENGTH: 2 ** 29 - 24 },
  kMaxLength: 2 ** 31 - 1, kStringMaxLength: 2 ** 29 - 24,
};
export { Buffer };
export default buffer;
// Polyfills take these from `require("buffer")`.
export const { kMaxLength, SlowBuffer, INSPECT_MAX_BYTES } = buffer;
