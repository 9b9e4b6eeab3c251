"""Assembles the `_dyno_snapshot` extension: one function that makes the C layer forget the files it holds open.

Handles of the host mean nothing in another instance, yet libc's table of mounted directories and
the preview-1 adapter's descriptor table live in linear memory, so a heap snapshot keeps them and
the first file access after it would trap ("unknown handle index"). componentize-py clears both
after its own snapshot, from a function that no Python code can reach. `reset()` of this module
calls the same two functions at the end of `boot`; both tables fill themselves again when used.

The module is a dynamic library of about 400 bytes, written here instruction by instruction so that
the pack needs no C compiler. Layout of the structures: CPython 3.14, wasm32 (`moduleobject.h`,
`methodobject.h`); dynamic linking: WebAssembly/tool-conventions, DynamicLinking.md.
"""

import sys

MODULE = "_dyno_snapshot"
FILE_NAME = f"{MODULE}.cpython-314-wasm32-wasi.so"

I32, FUNC = 0x7F, 0x60
PYTHON_API_VERSION = 1013
METH_NOARGS = 4
IMMORTAL_REFCOUNT = 5 << 28
# struct PyModuleDef is 13 words; the method table (one entry and its end mark) follows it.
DEF_WORDS, METHOD_WORDS = 13, 8
METHODS_OFFSET = DEF_WORDS * 4
NAMES_OFFSET = METHODS_OFFSET + METHOD_WORDS * 4


def unsigned(value):
    """LEB128 of a non-negative number."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def signed(value):
    """LEB128 of a signed number."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        last = (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40)
        out.append(byte | (0 if last else 0x80))
        if last:
            return bytes(out)


def name(text):
    return unsigned(len(text)) + text.encode()


def vector(items):
    return unsigned(len(items)) + b"".join(items)


def section(identifier, content):
    return bytes([identifier]) + unsigned(len(content)) + content


def function_type(parameters, results):
    return bytes([FUNC]) + vector([bytes([p]) for p in parameters]) + vector([bytes([r]) for r in results])


def const(value):
    return b"\x41" + signed(value)


def global_get(index):
    return b"\x23" + unsigned(index)


def call(index):
    return b"\x10" + unsigned(index)


def store(offset, value):
    """`*(i32 *)(__memory_base + offset) = value`"""
    return global_get(0) + value + b"\x36\x02" + unsigned(offset)


def data_address(offset):
    return global_get(0) + const(offset) + b"\x6a"


def body(code):
    content = b"\x00" + code + b"\x0b"
    return unsigned(len(content)) + content


def assemble():
    """Returns the bytes of the library."""
    module_name, method_name = MODULE.encode() + b"\0", b"reset\0"
    names = module_name + method_name
    size = NAMES_OFFSET + len(names)
    memory_info = unsigned(size) + unsigned(2) + unsigned(1) + unsigned(0)
    dylink = name("dylink.0") + section(1, memory_info)

    types = [
        function_type([], []),
        function_type([I32], [I32]),
        function_type([I32, I32], [I32]),
        function_type([], [I32]),
    ]
    imports = [
        name("env") + name("memory") + b"\x02\x00\x00",
        name("env") + name("__indirect_function_table") + b"\x01\x70\x00\x01",
        name("env") + name("__memory_base") + b"\x03\x7f\x00",
        name("env") + name("__table_base") + b"\x03\x7f\x00",
        name("wasi_snapshot_preview1") + name("reset_adapter_state") + b"\x00\x00",
        name("env") + name("__wasilibc_reset_preopens") + b"\x00\x00",
        name("env") + name("PyBool_FromLong") + b"\x00\x01",
        name("env") + name("PyModule_Create2") + b"\x00\x02",
    ]
    adapter_reset, preopens_reset, bool_from_long, module_create = range(4)
    reset_function, init_function = 4, 5

    reset = call(adapter_reset) + call(preopens_reset) + const(1) + call(bool_from_long)
    init = (
        store(0, const(IMMORTAL_REFCOUNT))
        + store(20, data_address(NAMES_OFFSET))  # m_name
        + store(28, const(-1))  # m_size: no state per interpreter
        + store(32, data_address(METHODS_OFFSET))  # m_methods
        + store(METHODS_OFFSET, data_address(NAMES_OFFSET + len(module_name)))  # ml_name
        + store(METHODS_OFFSET + 4, global_get(1))  # ml_meth: our first slot of the table
        + store(METHODS_OFFSET + 8, const(METH_NOARGS))  # ml_flags
        + data_address(0)
        + const(PYTHON_API_VERSION)
        + call(module_create)
    )
    return b"".join(
        [
            b"\0asm\x01\0\0\0",
            section(0, dylink),
            section(1, vector(types)),
            section(2, vector(imports)),
            section(3, vector([b"\x02", b"\x03"])),
            section(7, vector([name(f"PyInit_{MODULE}") + b"\x00" + unsigned(init_function)])),
            section(9, vector([b"\x00" + global_get(1) + b"\x0b" + vector([unsigned(reset_function)])])),
            section(10, vector([body(reset), body(init)])),
            section(11, vector([b"\x00" + global_get(0) + b"\x0b" + unsigned(size) + bytes(NAMES_OFFSET) + names])),
        ]
    )


if __name__ == "__main__":
    with open(f"{sys.argv[1]}/{FILE_NAME}", "wb") as out:
        out.write(assemble())
