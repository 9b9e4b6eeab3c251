// node:stream: the npm polyfill, joined to the engine's web streams.
import polyfill from "readable-stream";
import { toWebStream } from "./http/fetch.js";

const stream = polyfill;
const { Readable, Writable, Duplex } = stream;
stream.Stream ??= stream;

async function* chunksOf(web) {
  const reader = web.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.releaseLock();
  }
}

Readable.toWeb = (readable) => toWebStream(readable);
Readable.fromWeb = (web, options) => Readable.from(chunksOf(web), { objectMode: false, ...options });
Writable.toWeb = (writable) => new WritableStream({
  write: (chunk) => new Promise((resolve, reject) => { writable.write(chunk, (error) => (error ? reject(error) : resolve())); }),
  close: () => new Promise((resolve) => { writable.end(resolve); }),
  abort: (reason) => { writable.destroy(reason); },
});
Writable.fromWeb = (web, options) => {
  const writer = web.getWriter();
  return new Writable({ ...options, write(chunk, encoding, callback) { writer.write(chunk).then(() => callback(), callback); }, final(callback) { writer.close().then(() => callback(), callback); } });
};
Duplex.fromWeb = ({ readable, writable }, options) => Duplex.from({ readable: Readable.fromWeb(readable, options), writable: Writable.fromWeb(writable, options) });
stream.isErrored ??= (value) => Boolean(value?.errored);
stream.isReadable ??= (value) => Boolean(value?.readable);
stream.isDisturbed ??= (value) => Boolean(value?.readableDidRead);
stream.getDefaultHighWaterMark ??= (objectMode) => (objectMode ? 16 : 65536);
stream.setDefaultHighWaterMark ??= () => {};

export const consumers = {
  async buffer(source) {
    const chunks = [];
    for await (const chunk of source) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks);
  },
  text: async (source) => (await consumers.buffer(source)).toString(),
  json: async (source) => JSON.parse(await consumers.text(source)),
  async arrayBuffer(source) {
    const bytes = await consumers.buffer(source);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  },
  blob: async (source) => new Blob([await consumers.buffer(source)]),
};
const names = ["ReadableStream", "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "ReadableStreamDefaultReader", "ReadableStreamDefaultController", "ReadableByteStreamController", "WritableStream", "TransformStream", "ByteLengthQueuingStrategy", "CountQueuingStrategy", "CompressionStream", "DecompressionStream"];
export const web = Object.fromEntries(names.map((name) => [name, globalThis[name]]));
export default stream;
