"""Makes the component of workers from the base: the same code, seen as a command and not as a web handler.

A component is taken for what its exports say, and the base exports a handler, `boot` and `run`. Taking
the handler away would shift the indexes of what follows it, so its export gets a name of our own.
"""

import sys

HANDLER = b"wasi:http/incoming-handler@"
RENAMED = b"dyno:python/unused-handler@0.1.0"
MAGIC = b"\0asm\x0d\0\x01\0"
EXPORT_SECTION = 11


def read_unsigned(data, position):
    """A LEB128 number and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def unsigned(value):
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sections(data):
    """(identifier, content) of each outermost section."""
    position = len(MAGIC)
    while position < len(data):
        identifier = data[position]
        size, position = read_unsigned(data, position + 1)
        yield identifier, data[position : position + size]
        position += size


def renamed(content):
    """An export section with the handler's name replaced, or None where it is not in there."""
    start = content.find(HANDLER)
    if start < 0:
        return None
    # A name is preceded by its length, which is one byte for a name of this size.
    length = content[start - 1]
    if length >= 0x80 or start + length > len(content):
        raise ValueError("the handler's export has an unexpected form")
    return content[: start - 1] + unsigned(len(RENAMED)) + RENAMED + content[start + length :]


def convert(data):
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("not a component")
    out, found = [MAGIC], 0
    for identifier, content in sections(data):
        if identifier == EXPORT_SECTION:
            changed = renamed(content)
            if changed is not None:
                content, found = changed, found + 1
        out += [bytes([identifier]), unsigned(len(content)), content]
    if found != 1:
        raise ValueError(f"the handler is exported {found} times, not once")
    return b"".join(out)


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as base:
        converted = convert(base.read())
    with open(sys.argv[2], "wb") as worker:
        worker.write(converted)
