"""The exports of the base component: `boot`, `wasi:http/incoming-handler`, `wasi:cli/run`.

Everything is imported here while the base is built, because the directory of these files is not
mounted in a dyno. The app is not: it is loaded by `boot` (per release, then snapshotted) or at the
first request of an instance that was never booted.
"""

import sys
import traceback

import wit_world
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import exit as host_exit

from _dyno import adjust

adjust.interpreter()

from _dyno import application, command, process, snapshot, wsgi, asgi  # noqa: E402
from _dyno import preload, standard_library  # noqa: E402

standard_library.copy_out()
preload.modules()


def leave(status):
    """Ends the process with all of its status; `os._exit` only has success and failure."""
    sys.stdout.flush()
    sys.stderr.flush()
    host_exit.exit_with_code(status)


class WitWorld(wit_world.WitWorld):
    def boot(self):
        process.start()
        try:
            process.application = application.load()
            application.warm(process.application)
        except BaseException:  # SystemExit too: the platform has to hear why the app did not load
            text = traceback.format_exc()
            process.application = None
            snapshot.close()
            raise Err(text) from None
        snapshot.close()


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        loaded = process.application
        if not process.running:
            process.start()
        if loaded is None:
            loaded = process.load_or_exit()
        answer = asgi.answer if loaded.interface == "asgi" else wsgi.answer
        try:
            answer(loaded.call, request, response_out)
        except SystemExit as leaving:
            # As with one worker of a server: the app asked its process to end.
            leave(command.status_of(leaving))


class Run(exports.Run):
    def run(self):
        process.start()
        status = command.run(list(process.arguments()))
        if status:
            leave(status)
        sys.stdout.flush()
        sys.stderr.flush()
