"""Runs a command line inside the dyno: Python's own options, or a console script of a package."""

import code
import os
import runpy
import sys
import traceback

# Options of `python` that change nothing here, and those that take a value.
IGNORED_FLAGS = frozenset("BbdEIiOPqRsSuvx")
VALUE_FLAGS = frozenset("WX")


def run(arguments):
    """Runs argv and returns its exit status."""
    if not arguments:
        print("dyno: the command line is empty", file=sys.stderr)
        return 2
    program = os.path.basename(arguments[0])
    try:
        if program.startswith("python") or program.endswith(".wasm"):
            return _python(arguments[1:])
        return _console_script(program, arguments[1:])
    except SystemExit as leaving:
        return status_of(leaving)
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1


def status_of(leaving):
    """The exit status that a SystemExit stands for."""
    return _status(leaving.code)


def _status(value):
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)
    return 1


def _python(arguments):
    """`python [options] [-c code | -m module | script | -] [arguments]`"""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-") and arguments[position] != "-":
        option = arguments[position]
        if option in ("-V", "--version"):
            print(f"Python {sys.version.split()[0]}")
            return 0
        if option[1] in VALUE_FLAGS:
            position += 1 if len(option) > 2 else 2
            continue
        flags = option[1:]
        for index, flag in enumerate(flags):
            if flag in "cm":
                attached = flags[index + 1 :]
                rest = arguments[position + 1 :]
                value = attached or (rest.pop(0) if rest else None)
                if value is None:
                    print(f"Argument expected for the -{flag} option", file=sys.stderr)
                    return 2
                return _code(value, rest) if flag == "c" else _module(value, rest)
            if flag not in IGNORED_FLAGS:
                print(f"unknown option -{flag}", file=sys.stderr)
                return 2
        position += 1
    rest = arguments[position:]
    if not rest or rest[0] == "-":
        return _interactive(rest)
    return _script(rest)


def _code(source, rest):
    sys.argv[:] = ["-c", *rest]
    sys.path[0] = os.getcwd()
    main = _fresh_main()
    exec(compile(source, "<string>", "exec"), main.__dict__)
    return 0


def _module(name, rest):
    sys.argv[:] = ["-m", *rest]
    sys.path[0] = os.getcwd()
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    return 0


def _script(rest):
    path = rest[0]
    if not os.path.exists(path):
        print(f"python: can't open file {os.path.abspath(path)!r}: no such file", file=sys.stderr)
        return 2
    sys.argv[:] = rest
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    runpy.run_path(path, run_name="__main__")
    return 0


def _interactive(rest):
    sys.argv[:] = rest or [""]
    main = _fresh_main()
    if rest:
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), main.__dict__)
    else:
        code.interact(local=main.__dict__, exitmsg="")
    return 0


def _fresh_main():
    main = type(sys)("__main__")
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    return main


def _console_script(program, arguments):
    """Runs what a package installed as a command, for example `flask`, `alembic`, `django-admin`."""
    from importlib.metadata import entry_points

    for entry in entry_points(group="console_scripts", name=program):
        sys.argv[:] = [program, *arguments]
        sys.path[0] = os.getcwd()
        function = entry.load()
        return _status(function())
    print(f"dyno: command not found: {program}", file=sys.stderr)
    print("  hint: a Python dyno runs python and the commands of installed packages", file=sys.stderr)
    return 127
