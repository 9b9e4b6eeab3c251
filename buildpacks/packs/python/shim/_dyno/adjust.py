"""Makes this CPython behave where WebAssembly differs: output buffers, TLS, users, processes, threads."""

import io
import os
import sys

# Not 0: nothing in a dyno runs as root.
USER = 1000

THREAD_REFUSED = (
    "can't start new thread: an app in WebAssembly has one thread; "
    "use async code, or move the work to a worker process in the Procfile"
)


def interpreter():
    """Adjusts the interpreter once, while the base component is built."""
    standard_streams()
    from _dyno import tls

    sys.modules["ssl"] = tls.module()
    threads()
    users()
    processes()
    from _dyno import libraries, loop

    loop.install()
    libraries.install()


def standard_streams():
    """Gives stdout and stderr line buffers: unbuffered, `print` costs two host calls."""

    def output(descriptor):
        raw = io.FileIO(descriptor, "wb", closefd=False)
        return io.TextIOWrapper(
            io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )

    sys.stdout = sys.__stdout__ = output(1)
    sys.stderr = sys.__stderr__ = output(2)
    raw = io.FileIO(0, "rb", closefd=False)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8")


def users():
    """Gives the process an owner: libraries ask for it while they are imported."""
    for name in ("getuid", "geteuid", "getgid", "getegid"):
        if not hasattr(os, name):
            setattr(os, name, lambda: USER)


def processes():
    """Lets `multiprocessing.synchronize` be imported, which some libraries do for a type annotation."""

    class SemLock:
        SEM_VALUE_MAX = 2**31 - 1

        def __init__(self, *_arguments, **_options):
            raise OSError("a dyno is one process: semaphores between processes are not available")

    module = type(sys)("_multiprocessing")
    module.SemLock, module.flags = SemLock, {}
    module.sem_unlink = lambda _name: None
    sys.modules["_multiprocessing"] = module


def threads():
    """Refuses threads with a text that helps, and runs what executors are given on the spot.

    An executor promises a result, not parallelism, so running the call inside `submit` keeps that
    promise; a bare `Thread` promises to return at once, which cannot be kept.
    """
    import _thread
    import concurrent.futures.thread as pool
    import threading
    from concurrent.futures import Future

    def refuse(*_arguments, **_options):
        raise RuntimeError(THREAD_REFUSED)

    threading._start_joinable_thread = refuse
    threading._start_new_thread = refuse
    _thread.start_new_thread = _thread.start_new = _thread.start_joinable_thread = refuse

    def submit(self, function, /, *arguments, **options):
        if self._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*arguments, **options))
        except BaseException as error:
            future.set_exception(error)
        return future

    pool.ThreadPoolExecutor.submit = submit
