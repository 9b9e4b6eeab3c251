"""Procfile lines as people write them, and those that cannot run. Run: python3 -m unittest discover -s tests"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import procfile
import report


class Files:
    """Answers for the files of an app that is not there."""

    def __init__(self, *paths):
        self.paths = paths

    def exists(self, path):
        return path in self.paths

    def django(self):
        return procfile.Web("shop.wsgi:application", "wsgi", environment={"DJANGO_SETTINGS_MODULE": "shop.settings"})

    def flask_app(self):
        return "app"

    def fastapi_file(self):
        return "app/main.py"

    def module_file(self, module):
        return "pack/__main__.py" if module == "pack" else None


def web(command, *paths):
    return procfile.web("web", command, Files(*paths))


class WebLines(unittest.TestCase):
    def check(self, command, app, interface, directory=None, paths=()):
        made = web(command, *paths)
        self.assertEqual((made.app, made.interface, made.directory), (app, interface, directory), command)
        return made

    def test_gunicorn_names_module_and_app(self):
        self.check("gunicorn app:app", "app:app", "wsgi")
        self.check("gunicorn app:app --workers 3 --log-file -", "app:app", "wsgi")
        self.check("gunicorn -w4 -b 0.0.0.0:$PORT app:app", "app:app", "wsgi")
        self.check("gunicorn --preload --bind=:8000 shop.wsgi", "shop.wsgi", "wsgi")
        self.check("python -m gunicorn app:app", "app:app", "wsgi")
        self.check("poetry run gunicorn app:app", "app:app", "wsgi")

    def test_gunicorn_changes_the_directory(self):
        self.check("gunicorn --chdir src shop.wsgi", "shop.wsgi", "wsgi", "src")

    def test_gunicorn_calls_a_factory_with_arguments(self):
        self.check("gunicorn 'shop:create_app(\"production\")'", 'shop:create_app("production")', "wsgi")

    def test_a_uvicorn_worker_of_gunicorn_means_asgi(self):
        self.check("gunicorn -k uvicorn.workers.UvicornWorker main:app", "main:app", "asgi")

    def test_asgi_servers(self):
        self.check("uvicorn main:app --host 0.0.0.0 --port $PORT", "main:app", "asgi")
        self.check("uvicorn --factory main:make --reload", "main:make()", "asgi")
        self.check("uvicorn --app-dir src main:app", "main:app", "asgi", "src")
        self.check("uvicorn main:app --interface wsgi", "main:app", "wsgi")
        self.check("hypercorn app:app -b 0.0.0.0:$PORT", "app:app", "asgi")
        self.check("hypercorn wsgi:app:app", "app:app", "wsgi")
        self.check("daphne -p $PORT shop.asgi:application", "shop.asgi:application", "asgi")
        self.check("fastapi run", "app.main", "asgi")

    def test_waitress_takes_the_last_word(self):
        self.check("waitress-serve --port=$PORT app:app", "app:app", "wsgi")
        self.check("waitress-serve --call app:create_app", "app:create_app()", "wsgi")

    def test_flask_finds_its_app(self):
        self.check("flask run", "app", "wsgi")
        self.check("flask --app shop.web run -h 0.0.0.0", "shop.web", "wsgi")
        self.check("FLASK_APP=shop/web.py flask run", "shop.web", "wsgi")

    def test_a_script_is_run(self):
        self.check("python app.py", "app.py", "auto", paths=("app.py",))
        self.check("python3 -u web/server.py", "web/server.py", "auto", paths=("web/server.py",))
        self.check("python -m pack", "pack/__main__.py", "auto")

    def test_runserver_is_the_django_project(self):
        made = self.check("python manage.py runserver 0.0.0.0:$PORT", "shop.wsgi:application", "wsgi")
        self.assertEqual(made.environment, {"DJANGO_SETTINGS_MODULE": "shop.settings"})

    def test_assignments_before_the_command_become_variables(self):
        self.assertEqual(web("MODE=fast gunicorn app:app").environment, {"MODE": "fast"})

    def test_options_that_set_variables(self):
        made = web("gunicorn --env MODE=fast --pythonpath a,b app:app")
        self.assertEqual(made.environment, {"MODE": "fast", "PYTHONPATH": "a:b"})


class Refusals(unittest.TestCase):
    def refused(self, call, *words):
        with self.assertRaises(report.BuildFailed) as caught:
            call()
        text = "\n".join(caught.exception.lines)
        for word in (*words, "hint: "):
            self.assertIn(word, text)

    def test_a_shell_line_is_refused_with_a_way_out(self):
        self.refused(lambda: web("python manage.py migrate && gunicorn app:app"), "`&&` needs a shell", "release:")

    def test_an_unknown_server_is_named(self):
        self.refused(lambda: web("bjoern app:app"), "it is no server")
        self.refused(lambda: web("uwsgi uwsgi.ini"), "server in C")

    def test_a_server_without_an_app(self):
        self.refused(lambda: web("gunicorn"), "names no app")

    def test_a_missing_script_is_named(self):
        self.refused(lambda: web("python app.py"), "app.py is not there")

    def test_open_quotes(self):
        self.refused(lambda: web("gunicorn 'app:app"), "quotes")

    def test_a_line_that_is_no_process(self):
        self.refused(lambda: procfile.parse("web gunicorn app:app\n"), "line 1", "web gunicorn")

    def test_a_name_given_twice(self):
        self.refused(lambda: procfile.parse("web: a\nweb: b\n"), "twice")

    def test_a_worker_that_needs_threads(self):
        self.refused(lambda: procfile.arguments("worker", "celery -A x worker", {"celery"}), "threads")
        self.refused(lambda: procfile.arguments("worker", "python -m celery -A x worker", set()), "threads")

    def test_a_worker_that_is_no_command(self):
        self.refused(lambda: procfile.arguments("worker", "./run", set()), "`run` is neither")


class Commands(unittest.TestCase):
    def test_python_and_installed_commands(self):
        cases = {
            "python worker.py --fast": ["python", "worker.py", "--fast"],
            "python3 -u worker.py": ["python", "-u", "worker.py"],
            "worker.py": ["python", "worker.py"],
            "alembic upgrade head": ["alembic", "upgrade", "head"],
        }
        for command, expected in cases.items():
            self.assertEqual(procfile.arguments("worker", command, {"alembic"}), (expected, {}))

    def test_comments_and_empty_lines_are_skipped(self):
        self.assertEqual(procfile.parse("# x\n\nweb: a b\nworker : c\n"), [("web", "a b"), ("worker", "c")])


if __name__ == "__main__":
    unittest.main()
