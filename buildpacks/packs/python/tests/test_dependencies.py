"""Where dependencies are read from, and what is said of native ones. Run: python3 -m unittest discover -s tests"""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import dependencies
import native
import report


class Sources(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def source(self, **texts):
        for name, text in texts.items():
            (self.folder / name.replace("_", ".")).write_text(text, "utf-8")
        return dependencies.find_source(self.folder)

    def refused(self, word, **texts):
        with self.assertRaises(report.BuildFailed) as caught:
            self.source(**texts)
        self.assertIn(word, "\n".join(caught.exception.lines))

    def test_requirements_txt_comes_first(self):
        made = self.source(requirements_txt="flask\n", pyproject_toml="[project]\ndependencies=['x']\n")
        self.assertEqual(made.label, "requirements.txt")

    def test_pyproject(self):
        made = self.source(pyproject_toml="[project]\ndependencies = ['flask>=3']\n")
        self.assertEqual((made.label, made.requirements), ("pyproject.toml", ["flask>=3"]))

    def test_uv_lock_pins_versions_but_not_the_app_itself(self):
        lock = "[[package]]\nname='flask'\nversion='3.1'\n[[package]]\nname='me'\nversion='1'\nsource={virtual='.'}\n"
        made = self.source(pyproject_toml="[project]\ndependencies = ['flask']\n", uv_lock=lock)
        self.assertEqual((made.label, made.constraints), ("uv.lock", ["flask==3.1"]))

    def test_pipfile_lock(self):
        lock = json.dumps({"default": {"a": {"version": "==1", "extras": ["x"], "markers": "os_name == 'posix'"}}})
        made = self.source(Pipfile="", Pipfile_lock=lock)
        self.assertEqual(made.requirements, ["a[x]==1; os_name == 'posix'"])

    def test_a_pipfile_without_its_lock(self):
        self.refused("pipenv lock", Pipfile="")

    def test_a_lock_without_its_project(self):
        self.refused("pyproject.toml", poetry_lock="")

    def test_toml_that_does_not_parse(self):
        self.refused("pyproject.toml cannot be read", pyproject_toml="[")

    def test_no_dependencies(self):
        self.assertIsNone(self.source())


class Native(unittest.TestCase):
    def test_the_table_reads_and_advises(self):
        table = native.Table()
        self.assertEqual(table.treatment("MarkupSafe"), "strip")
        self.assertEqual(table.treatment("numpy"), "refuse")
        self.assertIsNone(table.treatment("flask"))
        self.assertIn("PyMySQL", table.advice("mysqlclient"))
        self.assertEqual(table.advice("unheard-of"), native.GENERIC_ADVICE)

    def test_every_refusal_has_advice(self):
        table = native.Table()
        missing = [name for name, (kind, advice) in table.rows.items() if kind in ("refuse", "stop") and not advice]
        self.assertEqual(missing, [])

    def test_a_failure_names_the_package_and_the_way_out(self):
        failure = dependencies.explain(["ERROR: No matching distribution found for numpy"], ["numpy"])
        self.assertIn("numpy needs native code", failure.lines[0])
        self.assertTrue(failure.lines[-1].startswith("hint: numpy: "))

    def test_compiled_parts_are_removed_or_refused(self):
        for name, allowed in (("MarkupSafe", True), ("unheard_of", False)):
            with tempfile.TemporaryDirectory() as folder:
                target = pathlib.Path(folder)
                info = target / f"{name}-1.dist-info"
                info.mkdir()
                (target / "x.so").write_bytes(b"")
                (target / "x.py").write_bytes(b"")
                (info / "RECORD").write_text("x.so,,\nx.py,,\n", "utf-8")
                if allowed:
                    self.assertEqual(dependencies.without_native_code(target), ["markupsafe"])
                    self.assertFalse((target / "x.so").exists())
                    self.assertEqual((info / "RECORD").read_text("utf-8"), "x.py,,\n")
                else:
                    with self.assertRaises(report.BuildFailed) as caught:
                        dependencies.without_native_code(target)
                    self.assertIn("unheard-of", caught.exception.lines[0])


if __name__ == "__main__":
    unittest.main()
