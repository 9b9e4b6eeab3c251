"""Adjusts libraries that start threads, right after the app imports them, whenever that is."""

import importlib.util
import sys


async def run_sync(function, *arguments, **_options):
    """Stands in for `anyio.to_thread.run_sync`: sync endpoints of Starlette and FastAPI."""
    return function(*arguments)


def _anyio(module):
    module.run_sync = run_sync


def _asgiref(module):
    """asgiref moves sync code to threads and async code to loops in threads; here both are inline."""
    import asyncio

    class SyncToAsync(module.SyncToAsync):
        async def __call__(self, *arguments, **options):
            return self.func(*arguments, **options)

    class AsyncToSync(module.AsyncToSync):
        def __call__(self, *arguments, **options):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return asyncio.run(self.awaitable(*arguments, **options))
            raise RuntimeError("async_to_sync cannot be used inside a running event loop; await it instead")

    module.SyncToAsync, module.AsyncToSync = SyncToAsync, AsyncToSync


ADJUSTMENTS = {"anyio.to_thread": _anyio, "asgiref.sync": _asgiref}


class _AfterImport:
    """A finder that lets the others find a module, and adjusts it once it is loaded."""

    def __init__(self):
        self._searching = False

    def find_spec(self, name, path=None, target=None):
        adjust = ADJUSTMENTS.get(name)
        if adjust is None or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                adjust(module)

            spec.loader.exec_module = exec_module
        return spec


def install():
    """Watches imports from now on."""
    sys.meta_path.insert(0, _AfterImport())
