// Renames an import of a core WebAssembly module, in place of its import section, without touching anything else.

/**
 * Answers the module with the import `from` (pair of module and field name) called `to`. The two functions must have
 * the same core signature, which is for the caller to know. A module without that import is answered unchanged.
 */
export function renameCoreImport(module, from, to) {
  const bytes = Buffer.from(module.buffer, module.byteOffset, module.byteLength);
  const importSection = 2;
  for (let at = 8; at < bytes.length; ) {
    const id = bytes[at];
    const [length, start] = readUnsigned(bytes, at + 1);
    if (id === importSection) {
      const section = bytes.subarray(start, start + length);
      const needle = encodedNames(from);
      const found = section.indexOf(needle);
      if (found < 0) return bytes;
      const renamed = Buffer.concat([section.subarray(0, found), encodedNames(to), section.subarray(found + needle.length)]);
      return Buffer.concat([bytes.subarray(0, at + 1), encodeUnsigned(renamed.length), renamed, bytes.subarray(start + length)]);
    }
    at = start + length;
  }
  return bytes;
}

/** Reads a LEB128 number; answers it with the offset behind it. */
function readUnsigned(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (!(byte & 0x80)) return [value, at];
  }
}

function encodeUnsigned(value) {
  const out = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    out.push(value ? low | 0x80 : low);
  } while (value);
  return Buffer.from(out);
}

function encodedNames(names) {
  return Buffer.concat(names.flatMap((name) => [encodeUnsigned(Buffer.byteLength(name)), Buffer.from(name)]));
}
