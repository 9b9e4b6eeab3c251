"""Writes `.dyno/process-types.toml`: which process types there are, and what each of them runs."""

import ast
import json
import pathlib
import re

import dependencies
import procfile
import report

PACK_VERSION = "0.1.0"
HANDLER, COMMAND = "wasi:http/proxy@0.2", "wasi:cli/command@0.2"
APP_FILES = ("app.py", "main.py", "wsgi.py", "application.py", "server.py", "api.py", "asgi.py")
APP_NAMES = ("app", "application", "api", "create_app", "make_app")
ASGI_FRAMEWORKS = re.compile(r"^\s*(?:from|import)\s+(?:fastapi|starlette|quart|litestar|blacksheep)\b", re.MULTILINE)
SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE['"]\s*(?:,|\]\s*=)\s*['"]([\w.]+)['"]""")


class Conventions:
    """What the files of an app say when the Procfile does not."""

    def __init__(self, build_dir):
        self.build_dir = build_dir

    def exists(self, path):
        return (self.build_dir / path).is_file()

    def text(self, path):
        return (self.build_dir / path).read_text("utf-8", "replace") if self.exists(path) else ""

    def django(self):
        """A Django project: manage.py names the settings, the project package has wsgi or asgi."""
        found = SETTINGS.search(self.text("manage.py"))
        if not found:
            return None
        settings = found[1]
        package = settings.split(".")[0]
        environment = {"DJANGO_SETTINGS_MODULE": settings}
        for interface in ("wsgi", "asgi"):
            if self.exists(f"{package}/{interface}.py"):
                return procfile.Web(f"{package}.{interface}:application", interface, environment=environment)
        return procfile.Web("django.core.wsgi:get_wsgi_application()", "wsgi", environment=environment)

    def flask_app(self):
        """Flask's own rule: wsgi.py, then app.py."""
        return next((name for name in ("wsgi", "app") if self.exists(f"{name}.py")), None)

    def fastapi_file(self):
        names = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
        return next((name for name in names if self.exists(name)), None)

    def module_file(self, module):
        base = module.replace(".", "/")
        return next((path for path in (f"{base}/__main__.py", f"{base}.py") if self.exists(path)), None)

    def web(self):
        """The web process of an app without a Procfile line for it."""
        made = self.django()
        if made is not None:
            return made
        scripts = []
        for path in APP_FILES:
            if not self.exists(path):
                continue
            name = app_name(self.text(path))
            if name:
                asynchronous = path == "asgi.py" or ASGI_FRAMEWORKS.search(self.text(path))
                return procfile.Web(f"{path[:-3]}:{name}", "asgi" if asynchronous else "auto")
            if "__main__" in self.text(path):
                scripts.append(path)
        return procfile.Web(scripts[0]) if scripts else None


def app_name(text):
    """The app that a module defines at its top level, by name."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    names = set()
    for node in ast.walk(ast.Module([n for n in tree.body if not isinstance(n, (ast.ClassDef,))], [])):
        if isinstance(node, ast.FunctionDef) and node in tree.body:
            names.add(node.name)
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names.update(target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return next((name for name in APP_NAMES if name in names), None)


def console_scripts(site_packages):
    """Names of the commands that the installed packages bring."""
    names = set()
    for path in site_packages.glob("*.dist-info/entry_points.txt"):
        section = None
        for line in path.read_text("utf-8", "replace").splitlines():
            line = line.strip()
            if line.startswith("["):
                section = line.strip("[]")
            elif section == "console_scripts" and "=" in line:
                names.add(line.partition("=")[0].strip())
    return names


def shown_command(made):
    """The line that a Procfile would have for this app."""
    if made.app.endswith(".py"):
        return f"python {made.app}"
    return f"{'uvicorn' if made.interface == 'asgi' else 'gunicorn'} {made.app}"


def quote(text):
    """A TOML basic string; JSON's escapes are a subset of TOML's except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def table(name, rows):
    return f"\n[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in rows)


def web_tables(name, made, base):
    environment = dict(made.environment)
    environment["DYNO_PYTHON_APP"] = made.app
    environment["DYNO_PYTHON_INTERFACE"] = made.interface
    if made.directory:
        environment["DYNO_PYTHON_DIRECTORY"] = made.directory
    rows = [("component", quote(base)), ("world", quote(HANDLER)), ("boot", quote("release"))]
    return table(f"process.{name}", rows + [("reuse", quote("instance"))]) + environment_table(name, environment)


def command_tables(name, words, environment, component):
    rows = [("component", quote(component)), ("world", quote(COMMAND))]
    rows.append(("arguments", "[" + ", ".join(quote(word) for word in words) + "]"))
    return table(f"process.{name}", rows) + environment_table(name, environment)


def environment_table(name, environment):
    if not environment:
        return ""
    return table(f"process.{name}.environment", [(key, quote(value)) for key, value in sorted(environment.items())])


def document(lines, conventions, toolchain, site_packages):
    """The whole file, and the web command to show when the Procfile has none."""
    # One component for all: it exports a web handler and `run`.
    base = f"{toolchain}/base.wasm"
    out = ["format = 1\n"]
    out.append(table("buildpack", [("name", quote("python")), ("version", quote(PACK_VERSION))]))
    out.append(f"\n[[layer]]\nsource = {quote(f'{toolchain}/stdlib')}\nmount = {quote('/python')}\n")
    default_web = None
    scripts = console_scripts(site_packages)
    if not any(name == "web" for name, _ in lines):
        made = conventions.web()
        if made is not None:
            default_web = shown_command(made)
            out.append(web_tables("web", made, base))
        elif not lines:
            raise report.BuildFailed(
                "no web app was found: no Procfile, and no app in " + ", ".join(APP_FILES) + " or manage.py",
                "hint: add a Procfile, for example: web: gunicorn app:app",
            )
    for name, command in lines:
        if name == "web":
            out.append(web_tables(name, procfile.web(name, command, conventions), base))
        else:
            out.append(command_tables(name, *procfile.arguments(name, command, scripts), base))
    return "".join(out), default_web


def main(build_dir, toolchain):
    build_dir = pathlib.Path(build_dir)
    path = build_dir / "Procfile"
    lines = procfile.parse(path.read_text("utf-8", "replace")) if path.is_file() else []
    text, default_web = document(lines, Conventions(build_dir), toolchain, build_dir / dependencies.SITE_PACKAGES)
    (build_dir / ".dyno" / "process-types.toml").write_text(text, "utf-8")
    if default_web:
        (build_dir / ".dyno" / "python" / "default-web").write_text(default_web + "\n", "utf-8")
    if default_web:
        report.detail(f"web: {default_web}")


if __name__ == "__main__":
    report.run(main)
