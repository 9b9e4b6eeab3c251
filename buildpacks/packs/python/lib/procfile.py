"""Understands Procfile lines: which app a web line serves, and which command another line runs."""

import re
import shlex

import report

NAME = re.compile(r"^([A-Za-z0-9_-]{1,30})\s*:\s*(.+)$")
ASSIGNMENT = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)=(.*)$", re.DOTALL)
SHELL_TOKENS = frozenset(("&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"))

# Wrappers that only choose an environment.
WRAPPERS = (("poetry", "run"), ("uv", "run"), ("pipenv", "run"), ("pdm", "run"), ("exec",), ("env",))

# Options of each server that take no value; every other option takes one.
FLAGS = {
    "gunicorn": """--reload --spew --check-config --print-config --preload --no-sendfile --reuse-port --daemon -D
        --initgroups --capture-output --proxy-protocol -R --enable-stdio-inheritance
        --disable-redirect-access-to-syslog --log-syslog --no-control-socket""",
    "uvicorn": """--reload --use-colors --no-use-colors --proxy-headers --no-proxy-headers --server-header
        --no-server-header --date-header --no-date-header --access-log --no-access-log --factory""",
    "hypercorn": "--reload --debug",
    "daphne": "--proxy-headers",
    "waitress-serve": """--call --expose-tracebacks --no-expose-tracebacks --asyncore-use-poll
        --no-asyncore-use-poll --clear-untrusted-proxy-headers --no-clear-untrusted-proxy-headers""",
    "fastapi": "--reload --no-reload --proxy-headers --no-proxy-headers",
    "flask": "--reload --no-reload --debug --no-debug --debugger --no-debugger --with-threads --without-threads",
}
ASGI_SERVERS = frozenset(("uvicorn", "hypercorn", "daphne", "fastapi"))

# Commands that need what WebAssembly has not.
IMPOSSIBLE = {
    "celery": "its workers start processes or threads",
    "rq": "its workers start a process for each job",
    "dramatiq": "its workers start processes and threads",
    "huey_consumer": "its workers start threads",
    "huey_consumer.py": "its workers start threads",
    "uwsgi": "it is a server in C",
    "bash": "a Python dyno has no shell",
    "sh": "a Python dyno has no shell",
    "node": "a Python dyno runs only Python",
    "npm": "a Python dyno runs only Python",
}


class Web:
    """A web process: the app (or the script that starts one), its interface, its surroundings."""

    def __init__(self, app, interface="auto", directory=None, environment=None):
        self.app = app
        self.interface = interface
        self.directory = directory
        self.environment = dict(environment or {})


def parse(text):
    """The lines of a Procfile as (name, command), in order."""
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = NAME.match(line)
        if not found:
            raise report.BuildFailed(
                f"Procfile line {number} is not a process: {line}", "hint: a line is `name: command`"
            )
        if any(name == found[1] for name, _ in out):
            raise report.BuildFailed(f"Procfile names the process {found[1]!r} twice", "hint: remove one of them")
        out.append((found[1], found[2]))
    return out


def refuse(name, command, reason, hint):
    raise report.BuildFailed(f"Procfile: `{name}: {command}` cannot run: {reason}", f"hint: {hint}")


def split(name, command):
    """Words and leading assignments of a command; what needs a shell is refused with a way out."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        refuse(name, command, f"its quotes do not match ({error})", "close the quotes")
    environment = {}
    while words:
        found = ASSIGNMENT.match(words[0])
        wrapper = next((w for w in WRAPPERS if tuple(words[: len(w)]) == w), None)
        if found:
            environment[found[1]] = found[2]
            words = words[1:]
        elif wrapper:
            words = words[len(wrapper) :]
        else:
            break
    bad = next((w for w in words if w in SHELL_TOKENS or w.endswith(";") and "=" not in w and "-c" not in words), None)
    if bad:
        refuse(
            name, command, f"`{bad}` needs a shell",
            "give each command its own line; what must run before a release belongs in `release: …`",
        )
    if not words:
        refuse(name, command, "it names no command", "a line is `name: command`")
    return words, environment


def options_of(server, words):
    """Positional words and the options that the pack reads, by a server's own rules."""
    flags = FLAGS[server].split()
    positional, options = [], {}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        key, equals, value = word.partition("=")
        if equals:
            options[key] = value
        elif word in flags:
            options[key] = True
        elif not word.startswith("--") and len(word) > 2 and server in ("gunicorn", "hypercorn"):
            options[word[:2]] = word[2:]
        else:
            options[key] = words[position] if position < len(words) else ""
            position += 1
    return positional, options


def program(words):
    """The program of a command: `python -m gunicorn` is `gunicorn`."""
    first = words[0].rsplit("/", 1)[-1]
    if re.fullmatch(r"python(\d(\.\d+)?)?", first):
        rest = words[1:]
        while rest and re.fullmatch(r"-[uBOEsSI]+", rest[0]):
            rest = rest[1:]
        if len(rest) > 1 and rest[0] == "-m" and rest[1].replace("waitress", "waitress-serve") in FLAGS:
            return rest[1].replace("waitress", "waitress-serve"), rest[2:]
        return "python", rest
    return first, words[1:]


def web(name, command, conventions):
    """The web process of a line; `conventions` answers what the line leaves to the files."""
    words, environment = split(name, command)
    server, rest = program(words)
    if server == "python":
        return python_web(name, command, rest, environment, conventions)
    if server not in FLAGS:
        reason = IMPOSSIBLE.get(server, "it is no server that this buildpack knows")
        refuse(name, command, reason, "name the app as for gunicorn or uvicorn, for example: web: gunicorn app:app")
    positional, options = options_of(server, rest)
    made = {"flask": flask_web, "fastapi": fastapi_web}.get(server, server_web)(
        server, positional, options, environment, conventions
    )
    if made is None:
        refuse(name, command, "it names no app", f"name the module and the app: web: {server} module:app")
    made.environment.update({k: v for k, v in environment.items() if k not in made.environment})
    return made


def server_web(server, positional, options, environment, conventions):
    """gunicorn, uvicorn, hypercorn, daphne, waitress-serve"""
    if not positional:
        return None
    app = positional[-1] if server == "waitress-serve" else positional[0]
    interface = "asgi" if server in ASGI_SERVERS else "wsgi"
    if "uvicorn" in str(options.get("-k") or options.get("--worker-class") or ""):
        interface = "asgi"
    if str(options.get("--interface", "")).startswith("wsgi"):
        interface = "wsgi"
    for prefix in ("wsgi", "asgi"):
        if app.startswith(prefix + ":") and app.count(":") > 1:
            app, interface = app[len(prefix) + 1 :], prefix
    module, colon, expression = app.partition(":")
    if not colon:
        # gunicorn and daphne default to `application`; the loader also tries the other usual names.
        app = module
    elif options.get("--factory") or options.get("--call"):
        app = app if "(" in expression else f"{app}()"
    made = Web(app, interface, options.get("--chdir") or options.get("--app-dir"))
    for pair in (options.get("--env"), options.get("-e")):
        if isinstance(pair, str) and "=" in pair:
            key, _, value = pair.partition("=")
            made.environment[key] = value
    if isinstance(options.get("--pythonpath"), str):
        made.environment["PYTHONPATH"] = options["--pythonpath"].replace(",", ":")
    return made


def flask_web(_server, positional, options, environment, conventions):
    """`flask [--app NAME] run`"""
    if "run" not in positional:
        return None
    named = options.get("--app") or options.get("-A") or environment.get("FLASK_APP") or conventions.flask_app()
    return Web(flask_target(named), "wsgi") if named else None


def flask_target(named):
    """Flask names an app as `module`, `module:name`, `module:factory` or a path."""
    module, colon, expression = named.partition(":")
    if module.endswith(".py"):
        module = module[:-3]
    module = module.removeprefix("./").replace("/", ".")
    return f"{module}{colon}{expression}"


def fastapi_web(_server, positional, options, environment, conventions):
    """`fastapi run [path]`"""
    if not positional or positional[0] not in ("run", "dev"):
        return None
    path = positional[1] if len(positional) > 1 else conventions.fastapi_file()
    if not path:
        return None
    module = path.removesuffix(".py").strip("/").replace("/", ".")
    return Web(f"{module}:{options['--app']}" if options.get("--app") else module, "asgi")


def python_web(name, command, rest, environment, conventions):
    """`python manage.py runserver`, `python app.py`, `python -m package`"""
    if len(rest) > 1 and rest[0].rsplit("/", 1)[-1] == "manage.py" and rest[1] == "runserver":
        made = conventions.django()
        if made is None:
            refuse(name, command, "manage.py names no settings module", "set DJANGO_SETTINGS_MODULE in manage.py")
        made.environment.update(environment)
        return made
    if rest and rest[0].endswith(".py"):
        if not conventions.exists(rest[0]):
            refuse(name, command, f"{rest[0]} is not there", "check the name; it is relative to the app's root")
        return Web(rest[0], "auto", environment=environment)
    if len(rest) > 1 and rest[0] == "-m":
        script = conventions.module_file(rest[1])
        if script:
            return Web(script, "auto", environment=environment)
    refuse(
        name, command, "it names no script",
        "name the app as for gunicorn or uvicorn, for example: web: gunicorn app:app",
    )


def arguments(name, command, scripts):
    """argv of a line that is not web: Python, or a command of an installed package."""
    words, environment = split(name, command)
    first = words[0].rsplit("/", 1)[-1]
    if first in IMPOSSIBLE:
        refuse(name, command, IMPOSSIBLE[first], "write the worker as a Python loop: worker: python worker.py")
    if re.fullmatch(r"python(\d(\.\d+)?)?", first):
        module = words[2] if len(words) > 2 and words[1] == "-m" else None
        if module in IMPOSSIBLE:
            refuse(name, command, IMPOSSIBLE[module], "write the worker as a Python loop: worker: python worker.py")
        return ["python", *words[1:]], environment
    if words[0].endswith(".py"):
        return ["python", *words], environment
    if first in scripts:
        return [first, *words[1:]], environment
    refuse(
        name, command, f"`{first}` is neither Python nor a command of an installed package",
        "start it with python, or add its package to the dependencies",
    )
