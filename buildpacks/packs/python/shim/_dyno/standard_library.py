"""Hands the standard library out while the base component is built.

componentize-py carries it inside its native module and mounts it only then; a dyno gets the copy
as a read-only layer at the same path, so that what was not imported yet can be imported later.
"""

import os
import py_compile

SOURCE = "/python"
# The second directory that the build gives to componentize-py.
DESTINATION = "/1"

# Needs a screen, a C compiler or a network of its own; nothing an app in a dyno imports.
LEFT_OUT = frozenset(
    "idlelib tkinter turtledemo turtle.py ensurepip test config-3.14-wasm32-wasi __pycache__ "
    "site-packages pydoc_data ctypes curses venv".split()
)


def copy_out():
    """Copies sources with compiled code beside them, valid whatever the file times are."""
    if not os.path.isdir(DESTINATION) or os.listdir(DESTINATION):
        return
    for directory, folders, files in os.walk(SOURCE):
        folders[:] = sorted(folder for folder in folders if folder not in LEFT_OUT)
        target = DESTINATION + directory[len(SOURCE) :]
        if not os.path.isdir(target):
            os.mkdir(target)  # not makedirs: the root of the guest's file system cannot be looked at
        for name in sorted(files):
            if name in LEFT_OUT:
                continue
            with open(f"{directory}/{name}", "rb") as source:
                content = source.read()
            with open(f"{target}/{name}", "wb") as copy:
                copy.write(content)
            if name.endswith(".py"):
                compile_file(f"{target}/{name}", f"{directory}/{name}")


def compile_file(path, shown):
    """Writes the hash-based `.pyc` of one file; a file that does not compile stays source only."""
    try:
        py_compile.compile(
            path,
            dfile=shown,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except (py_compile.PyCompileError, OSError):
        return
