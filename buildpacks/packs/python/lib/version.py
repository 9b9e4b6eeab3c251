"""Says which Python the app gets when it asks for another."""

import pathlib
import re

import report


def requested(build_dir):
    """The version that the app asks for, and the file that says so."""
    for name in (".python-version", "runtime.txt"):
        path = build_dir / name
        if path.is_file():
            found = re.search(r"^(?:python-)?(\d+(?:\.\d+)*)", path.read_text("utf-8", "replace"), re.MULTILINE)
            if found:
                return found[1], name
    return None, None


def main(build_dir, version):
    wanted, source = requested(pathlib.Path(build_dir))
    report.detail(f"Using Python {version}")
    if wanted and not version.startswith(".".join(wanted.split(".")[:2])):
        report.warning(f"{source} asks for Python {wanted}: WebAssembly builds exist only of {version}")


if __name__ == "__main__":
    report.run(main)
