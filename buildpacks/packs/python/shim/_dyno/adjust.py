"""Makes this CPython behave where WebAssembly differs: output buffers, TLS, threads."""

import io
import sys

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
    from _dyno import loop

    loop.install()


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


async def run_sync(function, *arguments, **_options):
    """Stands in for `anyio.to_thread.run_sync`: sync endpoints of Starlette and FastAPI."""
    return function(*arguments)


def loaded_libraries():
    """Adjusts libraries that the app has just imported."""
    anyio = sys.modules.get("anyio.to_thread")
    if anyio is not None:
        anyio.run_sync = run_sync
    concurrency = sys.modules.get("asgiref.sync")
    if concurrency is not None:
        _asgiref(concurrency)


def _asgiref(module):
    """asgiref moves sync code to threads and async code to loops in threads; here both are inline."""
    import asyncio

    class SyncToAsync(module.SyncToAsync):
        async def __call__(self, *arguments, **options):
            return self.func(*arguments, **options)

    class AsyncToSync(module.AsyncToSync):
        def __call__(self, *arguments, **options):
            coroutine = self.awaitable(*arguments, **options)
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                from _dyno.loop import Loop

                loop = Loop()
                try:
                    return loop.run_until_complete(coroutine)
                finally:
                    loop.close()
            coroutine.close()
            raise RuntimeError("async_to_sync cannot be used inside a running event loop; await it instead")

    module.SyncToAsync, module.AsyncToSync = SyncToAsync, AsyncToSync
