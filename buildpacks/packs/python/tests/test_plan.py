"""What is found by convention, and the file of process types. Run: python3 -m unittest discover -s tests"""

import pathlib
import sys
import tempfile
import tomllib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import plan
import procfile
import report


class InAFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def files(self, texts):
        for path, text in texts.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
        return plan.Conventions(self.folder)


class Conventions(InAFolder):
    def test_flask_app_by_name(self):
        made = self.files({"app.py": "from flask import Flask\napp = Flask(__name__)\n"}).web()
        self.assertEqual((made.app, made.interface), ("app:app", "auto"))

    def test_a_factory(self):
        made = self.files({"wsgi.py": "def create_app():\n    return 1\n"}).web()
        self.assertEqual(made.app, "wsgi:create_app")

    def test_an_imported_application(self):
        made = self.files({"application.py": "from shop import application\n"}).web()
        self.assertEqual(made.app, "application:application")

    def test_fastapi_speaks_asgi(self):
        made = self.files({"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}).web()
        self.assertEqual((made.app, made.interface), ("main:app", "asgi"))
        self.assertEqual(plan.shown_command(made), "uvicorn main:app")

    def test_a_script_without_an_app(self):
        made = self.files({"server.py": "if __name__ == '__main__':\n    pass\n"}).web()
        self.assertEqual(made.app, "server.py")
        self.assertEqual(plan.shown_command(made), "python server.py")

    def test_an_app_inside_a_function_is_none(self):
        self.assertIsNone(self.files({"app.py": "def f():\n    app = 1\n"}).web())

    def test_django_by_manage_py(self):
        manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.base')\n"
        made = self.files({"manage.py": manage, "shop/wsgi.py": "", "app.py": "app = 1\n"}).web()
        self.assertEqual((made.app, made.interface), ("shop.wsgi:application", "wsgi"))
        self.assertEqual(made.environment, {"DJANGO_SETTINGS_MODULE": "shop.settings.base"})

    def test_a_file_that_does_not_parse_has_no_app(self):
        self.assertIsNone(plan.app_name("app = (\n"))


class Document(InAFolder):
    def document(self, lines, texts):
        conventions = self.files(texts)
        text, default = plan.document(lines, conventions, "/tools/python-1", self.folder / "packages")
        return tomllib.loads(text), default

    def test_web_and_worker_run_from_the_toolchain(self):
        lines = [("web", "gunicorn --chdir src app:app"), ("worker", "MODE=x python worker.py 'a \"b\"'")]
        made, default = self.document(lines, {})
        self.assertIsNone(default)
        self.assertEqual(made["layer"], [{"source": "/tools/python-1/stdlib", "mount": "/python"}])
        web, worker = made["process"]["web"], made["process"]["worker"]
        self.assertEqual(web["component"], "/tools/python-1/base.wasm")
        self.assertEqual(worker["component"], "/tools/python-1/base.wasm")
        self.assertEqual((web["world"], web["boot"]), ("wasi:http/proxy@0.2", "release"))
        self.assertEqual(
            web["environment"],
            {"DYNO_PYTHON_APP": "app:app", "DYNO_PYTHON_INTERFACE": "wsgi", "DYNO_PYTHON_DIRECTORY": "src"},
        )
        self.assertEqual(worker["world"], "wasi:cli/command@0.2")
        self.assertEqual(worker["arguments"], ["python", "worker.py", 'a "b"'])
        self.assertEqual(worker["environment"], {"MODE": "x"})

    def test_a_procfile_without_web_gets_the_conventional_one(self):
        made, default = self.document([("worker", "python worker.py")], {"app.py": "app = 1\n"})
        self.assertEqual(default, "gunicorn app:app")
        self.assertEqual(sorted(made["process"]), ["web", "worker"])

    def test_a_worker_alone_is_no_error(self):
        made, default = self.document([("worker", "python worker.py")], {})
        self.assertIsNone(default)
        self.assertEqual(list(made["process"]), ["worker"])

    def test_nothing_to_run_is_an_error_with_a_hint(self):
        with self.assertRaises(report.BuildFailed) as caught:
            self.document([], {})
        self.assertIn("hint: add a Procfile", caught.exception.lines[-1])

    def test_commands_of_installed_packages_are_known(self):
        self.files({"packages/a-1.dist-info/entry_points.txt": "[x]\nno = 1\n[console_scripts]\nalembic = a:b\n"})
        self.assertEqual(plan.console_scripts(self.folder / "packages"), {"alembic"})

    def test_quoting_is_toml(self):
        for text in ('a"b\\c', "tab\tnew\nline", "ü\x7f", "\x01"):
            self.assertEqual(tomllib.loads(f"x = {plan.quote(text)}")["x"], text)


if __name__ == "__main__":
    unittest.main()
