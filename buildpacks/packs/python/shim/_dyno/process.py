"""The state of this process: its environment, its app, and what must be fresh after a snapshot."""

import os
import random
import sys
import tempfile
import traceback

from wit_world.imports import environment as host_environment

APP_DIR = "/app"
DEPENDENCIES_DIR = "/app/.dyno/python/site-packages"
STANDARD_LIBRARY_DIR = "/python"

# The loaded app, kept across the snapshot.
application = None
# Whether this instance has started; a snapshot is taken with False.
running = False
# What the host said the last time, to see what it changed.
_host_variables = {}


def start():
    """Brings the process up in this instance: environment, randomness, paths, directory.

    Runs at `boot` and again at the first call after the snapshot; both must end in the state of a
    freshly started Python process that has the app imported.
    """
    global running
    refresh_environment(dict(host_environment.get_environment()))
    reseed()
    if application is None:
        _set_paths()
    sys.executable = "/python/bin/python"
    running = True


def arguments():
    """argv as the platform gave it."""
    return host_environment.get_arguments()


def refresh_environment(host):
    """Follows the host's variables without losing those that the app set while it was imported."""
    global _host_variables
    if application is None and not _host_variables:
        # The interpreter's own copy of the first call may lack what the host had then.
        for name in list(os.environ):
            if name not in host:
                del os.environ[name]
    for name in _host_variables:
        if name not in host:
            os.environ.pop(name, None)
    for name, value in host.items():
        if _host_variables.get(name) != value:
            os.environ[name] = value
    _host_variables = host


def reseed():
    """Gives this instance randomness of its own; `os.urandom`, `secrets` and `uuid4` always have it."""
    random.seed()
    # Its generator is kept between calls and reseeds only when the process id changes: never here.
    tempfile._name_sequence = None
    uuid = sys.modules.get("uuid")
    if uuid is not None:
        uuid._node = uuid._last_timestamp = None
        for name in ("_last_timestamp_v6", "_last_timestamp_v7"):
            if hasattr(uuid, name):
                setattr(uuid, name, None)


def _set_paths():
    path = [APP_DIR, DEPENDENCIES_DIR, STANDARD_LIBRARY_DIR]
    extra = os.environ.get("PYTHONPATH", "")
    path[1:1] = [entry for entry in extra.split(":") if entry]
    sys.path[:] = path
    # Finders remember the directories of the build, and that ours did not exist.
    sys.path_importer_cache.clear()
    sys.argv[:] = ["python"]
    os.chdir(APP_DIR if os.path.isdir(APP_DIR) else "/")


def load_or_exit():
    """Loads the app at the first request; where that fails the dyno crashes, as on Heroku."""
    global application
    from _dyno import application as loading

    try:
        application = loading.load()
    except BaseException:
        traceback.print_exc()
        crash("the app could not be loaded")
    return application


def crash(reason):
    """Ends the dyno with status 1."""
    sys.stdout.flush()
    print(f"dyno: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
