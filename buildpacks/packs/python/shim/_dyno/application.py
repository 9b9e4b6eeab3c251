"""Finds and loads the web app: a module and a name, a factory call, a script, or a Django project."""

import importlib
import inspect
import os
import runpy
import sys

# Set by the buildpack from the Procfile line (see lib/plan.py).
APP_VARIABLE = "DYNO_PYTHON_APP"  # `module:name`, `module:factory()`, or `script.py` to run
INTERFACE_VARIABLE = "DYNO_PYTHON_INTERFACE"  # `wsgi`, `asgi`, or `auto`
DIRECTORY_VARIABLE = "DYNO_PYTHON_DIRECTORY"  # gunicorn's --chdir

CONVENTIONAL_NAMES = ("app", "application", "api", "asgi", "wsgi", "create_app", "make_app")


class LoadError(Exception):
    """The app could not be found; the text is for its author."""


class Application:
    """A loaded app and the interface that it speaks."""

    __slots__ = ("call", "interface")

    def __init__(self, call, interface):
        self.call = call
        self.interface = interface


def load():
    """Imports the app named by the environment."""
    target = os.environ.get(APP_VARIABLE)
    if not target:
        raise LoadError(f"{APP_VARIABLE} is not set: the buildpack names the app in it")
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory:
        os.chdir(directory)
        sys.path.insert(0, os.getcwd())
    if target.endswith(".py"):
        call = run_script(target)
    else:
        call = from_target(target)
    interface = os.environ.get(INTERFACE_VARIABLE, "auto")
    if interface == "auto":
        interface = interface_of(call)
    return Application(call, interface)


def from_target(target):
    """Resolves `module`, `module:name`, `module:name.attribute` or `module:factory(arguments)`."""
    module_name, _, expression = target.partition(":")
    module = importlib.import_module(module_name)
    if not expression:
        return conventional(module)
    name, parenthesis, _ = expression.partition("(")
    try:
        found = module
        for part in name.strip().split("."):
            found = getattr(found, part)
    except AttributeError:
        raise LoadError(f"module {module_name!r} has no {name.strip()!r}") from None
    if parenthesis:
        # The Procfile is the app's own code, as it is for gunicorn.
        found = eval(expression, vars(module))
    elif is_factory(found):
        found = found()
    return must_be_callable(found, target)


def conventional(module):
    """The app of a module that was named without one."""
    for name in CONVENTIONAL_NAMES:
        found = getattr(module, name, None)
        if found is not None and callable(found):
            return must_be_callable(found() if is_factory(found) else found, f"{module.__name__}:{name}")
    raise LoadError(
        f"module {module.__name__!r} has no app: none of {', '.join(CONVENTIONAL_NAMES)}; "
        "name it in the Procfile, for example: web: gunicorn module:name"
    )


def is_factory(found):
    """A plain function that can be called without arguments makes the app; a WSGI app takes two."""
    if not inspect.isfunction(found):
        return False
    try:
        inspect.signature(found).bind()
    except TypeError:
        return False
    return True


def must_be_callable(found, target):
    if not callable(found):
        raise LoadError(f"{target!r} is a {type(found).__name__}, not an app that can be called")
    return found


def interface_of(call):
    """`asgi` when calling the app gives a coroutine, else `wsgi`."""
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None)):
        return "asgi"
    return "wsgi"


class _Served(BaseException):
    """Unwinds a script at the call that would have started its server; not an Exception, so that
    an `except Exception` around that call does not swallow it."""

    def __init__(self, call):
        super().__init__("the script started its server")
        self.call = call


def run_script(path):
    """Runs `python app.py` up to the call that serves, and takes the app from that call."""
    _intercept_servers()
    sys.argv[:] = [path]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    try:
        names = runpy.run_path(path, run_name="__main__")
    except _Served as served:
        return served.call
    module = type(sys)("__main__")
    module.__dict__.update(names)
    try:
        return conventional(module)
    except LoadError:
        raise LoadError(
            f"{path} ended without starting a server that is known here (Flask, Werkzeug, waitress, "
            "uvicorn, hypercorn, wsgiref, Bottle); use a WSGI or ASGI app: web: gunicorn module:app"
        ) from None


def _intercept_servers():
    """Replaces the serving calls of known servers by one that hands us the app."""
    import wsgiref.simple_server as simple

    def serve_forever(self, *_arguments, **_options):
        raise _Served(self.get_app())

    def bind_nothing(self):
        self.server_name, self.server_port = "localhost", int(os.environ.get("PORT") or 8000)
        self.setup_environ()

    simple.WSGIServer.server_bind = bind_nothing
    simple.WSGIServer.server_activate = lambda self: None
    simple.WSGIServer.serve_forever = simple.WSGIServer.handle_request = serve_forever

    def first_is_app(app, *_arguments, **_options):
        raise _Served(from_target(app) if isinstance(app, str) else app)

    def third_is_app(_host, _port, app, *_arguments, **_options):
        raise _Served(app)

    for module_name, function, replacement in (
        ("werkzeug.serving", "run_simple", third_is_app),
        ("waitress", "serve", first_is_app),
        ("uvicorn", "run", first_is_app),
    ):
        module = _import_if_installed(module_name)
        if module is not None:
            setattr(module, function, replacement)
        elif module_name == "uvicorn":
            # Not installed, or it needs what is not here: the name is all that a script uses.
            stand_in = type(sys)("uvicorn")
            stand_in.run = first_is_app
            sys.modules.setdefault("uvicorn", stand_in)


def _import_if_installed(name):
    try:
        return importlib.import_module(name)
    except Exception:
        return None


def warm(application):
    """Loads what frameworks load at their first request, as far as that touches nothing but code.

    No request is made up: a middleware may write to a database, and the app is not asked.
    """
    if "django" in sys.modules:
        _warm_django()
    call = application.call
    environment = getattr(type(call), "jinja_env", None) and getattr(call, "jinja_env", None)
    adapter = getattr(call, "url_map", None)
    if environment is not None and hasattr(adapter, "update"):
        adapter.update()


def _warm_django():
    from django.apps import apps

    if not apps.ready:
        return
    import django.core.handlers.exception  # noqa: F401
    import django.template.defaulttags  # noqa: F401
    import django.views.defaults  # noqa: F401
    from django.template import engines
    from django.urls import get_resolver

    get_resolver()._populate()
    for engine in engines.all():
        getattr(engine, "engine", None)
