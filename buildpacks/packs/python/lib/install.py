"""Runs the pinned pip as if it ran in the dyno's Python: its version, its platform, pure wheels only.

pip's own options for another platform forbid source distributions, and evaluate environment
markers for the machine. So that `foo; sys_platform == "linux"` and packages without wheels come out
right, its few functions that ask about the interpreter are replaced here; the version of pip is
pinned in toolchain.env, and a test of the replacements is the pack's own build.

Writes what it skipped and refused to the file named by DYNO_PYTHON_NATIVE_REPORT, one a line.
"""

import os
import re
import sys

import native

VERSION = tuple(int(part) for part in os.environ["DYNO_PYTHON_VERSION"].split("."))
SHORT = f"{VERSION[0]}.{VERSION[1]}"
TABLE = native.Table()
_reported = set()

MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": ".".join(map(str, VERSION)),
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_release": "",
    "platform_system": "WASI",
    "platform_version": "",
    "python_full_version": ".".join(map(str, VERSION)),
    "platform_python_implementation": "CPython",
    "python_version": SHORT,
    "sys_platform": "wasi",
}


def note(kind, name):
    """Remembers, for the build output, that a package was skipped or refused."""
    if (kind, name) not in _reported:
        _reported.add((kind, name))
        with open(os.environ["DYNO_PYTHON_NATIVE_REPORT"], "a", encoding="utf-8") as out:
            out.write(f"{kind}\t{name}\n")


def pure_tags():
    """Tags of wheels without native code, best first."""
    from pip._vendor.packaging.tags import Tag

    minors = range(VERSION[1], -1, -1)
    names = [f"cp{VERSION[0]}{VERSION[1]}"]
    names += [f"py{VERSION[0]}{minor}" for minor in minors if minor == VERSION[1]]
    names += [f"py{VERSION[0]}"] + [f"py{VERSION[0]}{minor}" for minor in minors if minor != VERSION[1]]
    return [Tag(name, "none", "any") for name in names]


def replace_interpreter():
    from pip._internal.models import target_python
    from pip._internal.resolution.resolvelib import candidates
    from pip._vendor.packaging import markers

    tags = pure_tags()
    markers.default_environment = lambda: dict(MARKERS)
    original = target_python.TargetPython.__init__

    def initialise(self, *arguments, **options):
        original(self, *arguments, **options)
        self.py_version_info, self.py_version = VERSION, SHORT

    target_python.TargetPython.__init__ = initialise
    target_python.TargetPython.get_sorted_tags = lambda self: tags
    target_python.TargetPython.get_unsorted_tags = lambda self: set(tags)
    requires_python = candidates.RequiresPythonCandidate.__init__
    candidates.RequiresPythonCandidate.__init__ = lambda self, _version: requires_python(self, VERSION)


def replace_requirements():
    """Leaves out requirements on packages that a dyno does not need."""
    from pip._internal.req.req_install import InstallRequirement

    matches = InstallRequirement.match_markers

    def match_markers(self, *arguments, **options):
        if self.name and TABLE.treatment(self.name) == "skip":
            note("skip", native.canonical(self.name))
            return False
        return matches(self, *arguments, **options)

    InstallRequirement.match_markers = match_markers


def replace_candidates():
    """Offers no file of a refused package, and compiled wheels only of those that get stripped."""
    from pip._internal.exceptions import InstallationError
    from pip._internal.index import package_finder
    from pip._internal.models.wheel import Wheel

    evaluate = package_finder.LinkEvaluator.evaluate_link

    def evaluate_link(self, link):
        name = native.canonical(self.project_name)
        treatment = TABLE.treatment(name)
        if treatment in ("refuse", "stop"):
            note("refuse", name)
            if treatment == "stop":
                raise InstallationError(f"{name} needs native code")
            return package_finder.LinkType.different_project, "needs native code"
        return evaluate(self, link)

    package_finder.LinkEvaluator.evaluate_link = evaluate_link

    supported, preferred = Wheel.supported, Wheel.find_most_preferred_tag

    def rank(self):
        """How far a compiled wheel is from this Python, None when its code is not for it at all."""
        if TABLE.treatment(self.name) != "strip":
            return None
        ranks = []
        for tag in self.file_tags:
            minor = re.fullmatch(r"cp3(\d+)", tag.interpreter)
            if minor and not tag.abi.endswith("t") and re.fullmatch(r"manylinux\w*_x86_64", tag.platform):
                ranks.append(abs(VERSION[1] - int(minor[1])))
        return min(ranks, default=None)

    Wheel.supported = lambda self, tags: supported(self, tags) or rank(self) is not None

    def find_most_preferred_tag(self, tags, tag_to_priority):
        if supported(self, tags):
            return preferred(self, tags, tag_to_priority)
        distance = rank(self)
        if distance is None:
            raise ValueError("unsupported wheel")
        return len(tags) + distance

    Wheel.find_most_preferred_tag = find_most_preferred_tag


if __name__ == "__main__":
    replace_interpreter()
    replace_requirements()
    replace_candidates()
    from pip._internal.cli.main import main

    sys.exit(main(sys.argv[1:]))
