"""The table of packages with native code (`native.tsv`)."""

import pathlib
import re

TREATMENTS = ("strip", "skip", "refuse", "stop")

GENERIC_ADVICE = "look for a package in pure Python, or move that work to another service"


def canonical(name):
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Table:
    """Treatment and advice by canonical name."""

    def __init__(self, path=pathlib.Path(__file__).with_name("native.tsv")):
        self.rows = {}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not line or line.startswith("#"):
                continue
            name, treatment, advice = line.split("\t")
            if treatment not in TREATMENTS or name != canonical(name) or name in self.rows:
                raise ValueError(f"{path.name}:{number}: not a row: {line!r}")
            self.rows[name] = (treatment, advice)

    def treatment(self, name):
        return self.rows.get(canonical(name), (None, ""))[0]

    def advice(self, name):
        return self.rows.get(canonical(name), (None, ""))[1] or GENERIC_ADVICE
