"""Installs the app's dependencies into `.dyno/python/site-packages`, without native code."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib

import native
import report

SITE_PACKAGES = ".dyno/python/site-packages"
NATIVE_SUFFIXES = (".so", ".pyd", ".dylib", ".a")
PIP_OUTPUT_LINES = 30


class Source:
    """What pip is asked for: requirements, constraints, and the files that say so."""

    def __init__(self, label, requirements=(), files=(), constraints=()):
        self.label = label
        self.requirements = list(requirements)
        self.files = list(files)
        self.constraints = list(constraints)


def load_toml(path):
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise report.BuildFailed(f"{path.name} cannot be read: {error}") from None


def locked_versions(path):
    """`name==version` of every package of uv.lock or poetry.lock; both use the same table."""
    pins = []
    for package in load_toml(path).get("package", []):
        source = package.get("source", {})
        if package.get("version") and not {"virtual", "editable", "directory"} & source.keys():
            pins.append(f"{package['name']}=={package['version']}")
    return pins


def pyproject_requirements(path):
    """The dependencies of pyproject.toml, in the standard form or in poetry's older one."""
    document = load_toml(path)
    project = document.get("project", {})
    if "dependencies" in project:
        return list(project["dependencies"])
    poetry = document.get("tool", {}).get("poetry", {}).get("dependencies", {})
    # Their own version syntax (^1.2) is left to the lock file.
    return [name for name in poetry if name.lower() != "python"]


def pipfile_lock_requirements(path):
    try:
        default = json.loads(path.read_text("utf-8")).get("default", {})
    except ValueError as error:
        raise report.BuildFailed(f"{path.name} cannot be read: {error}") from None
    out = []
    for name, entry in default.items():
        extras = "[" + ",".join(entry["extras"]) + "]" if entry.get("extras") else ""
        marker = f"; {entry['markers']}" if entry.get("markers") else ""
        out.append(f"{name}{extras}{entry.get('version', '')}{marker}")
    return out


def find_source(build_dir):
    """The first of the known dependency files, or None for an app without dependencies."""
    if (build_dir / "requirements.txt").is_file():
        return Source("requirements.txt", files=[build_dir / "requirements.txt"])
    project = build_dir / "pyproject.toml"
    for lock in ("uv.lock", "poetry.lock"):
        if (build_dir / lock).is_file():
            if not project.is_file():
                raise report.BuildFailed(f"{lock} is there but pyproject.toml is not", "hint: add pyproject.toml")
            return Source(lock, pyproject_requirements(project), constraints=locked_versions(build_dir / lock))
    if (build_dir / "Pipfile.lock").is_file():
        return Source("Pipfile.lock", pipfile_lock_requirements(build_dir / "Pipfile.lock"))
    if (build_dir / "Pipfile").is_file():
        raise report.BuildFailed("Pipfile has no Pipfile.lock beside it", "hint: run `pipenv lock` and commit the file")
    if (build_dir / "pdm.lock").is_file():
        raise report.BuildFailed(
            "pdm.lock is not supported", "hint: `pdm export -o requirements.txt --prod` and commit that file"
        )
    if project.is_file():
        requirements = pyproject_requirements(project)
        return Source("pyproject.toml", requirements) if requirements else None
    if (build_dir / "setup.py").is_file() or (build_dir / "setup.cfg").is_file():
        raise report.BuildFailed(
            "setup.py alone does not say what to install", "hint: list the dependencies in requirements.txt"
        )
    return None


def cache_key(source, pack_dir, toolchain):
    """Equal keys give equal packages: the texts asked for, the table, the scripts, the toolchain."""
    digest = hashlib.sha256()
    texts = [source.label, toolchain.name, *source.requirements, "--", *source.constraints]
    for path in source.files:
        texts += [name_and_text for name_and_text in included_files(path, set())]
    for name in ("native.tsv", "install.py", "dependencies.py"):
        texts.append((pack_dir / "lib" / name).read_text("utf-8"))
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:24]


def included_files(path, seen):
    """The text of a requirements file and of those that it includes by -r or -c."""
    if path in seen or not path.is_file():
        return
    seen.add(path)
    text = path.read_text("utf-8", "replace")
    yield text
    for name in re.findall(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", text, re.MULTILINE):
        yield from included_files((path.parent / name).resolve(), seen)


def run_pip(source, build_dir, cache_dir, target, toolchain):
    """Installs into `target`; returns the names that were skipped."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        asked = scratch / "requirements.txt"
        asked.write_text("".join(f"{line}\n" for line in source.requirements), "utf-8")
        arguments = ["install", "--target", str(target), "--no-compile", "--no-warn-script-location"]
        arguments += ["--cache-dir", str(cache_dir / "pip"), "--no-input", "--progress-bar", "off"]
        # By their names in the app, which is how pip speaks of them.
        for path in [path.relative_to(build_dir) for path in source.files] or [asked]:
            arguments += ["-r", str(path)]
        if source.constraints:
            pins = scratch / "constraints.txt"
            pins.write_text("".join(f"{line}\n" for line in source.constraints), "utf-8")
            arguments += ["-c", str(pins)]
        native_report = scratch / "native"
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.environ["DYNO_PYTHON_TOOLS"]
        environment["DYNO_PYTHON_NATIVE_REPORT"] = str(native_report)
        environment["DYNO_PYTHON_VERSION"] = toolchain.name.split("-")[1]
        script = pathlib.Path(__file__).with_name("install.py")
        child = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=build_dir, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        tail = stream(child)
        noted = [line.split("\t") for line in lines_of(native_report)]
        if child.wait() != 0:
            raise explain(tail, [name for kind, name in noted if kind == "refuse"])
        return [name for kind, name in noted if kind == "skip"]


def lines_of(path):
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def stream(child):
    """Shows what pip fetches and installs while it runs; keeps the end for an error."""
    tail = []
    for line in child.stdout:
        line = line.rstrip()
        tail = [*tail[-(PIP_OUTPUT_LINES - 1) :], line]
        if re.match(r"(Collecting|Installing collected|Successfully installed|INFO: pip is looking)", line):
            report.detail(line)
    return tail


def explain(tail, refused):
    """The failure in the app's words: which package, why, and what to use instead."""
    text = "\n".join(tail)
    table = native.Table()
    named = [name for name in refused if re.search(rf"\b{re.escape(name)}\b", native_text(text))] or refused
    if named:
        lines = []
        for name in named:
            lines.append(f"{name} needs native code, which cannot run in WebAssembly")
            lines.append(f"hint: {name}: {table.advice(name)}")
        return report.BuildFailed(*lines)
    for line in tail:
        report.detail(line)
    return report.BuildFailed(
        "the dependencies could not be installed", "hint: pip's messages above say which requirement failed and why"
    )


def native_text(text):
    """Names in pip's messages come as their authors write them: compare them in one form."""
    return re.sub(r"[-_.]+", "-", text).lower()


def distributions(target):
    """The files of each installed distribution, from its RECORD."""
    for info in sorted(target.glob("*.dist-info")):
        name = info.name.removesuffix(".dist-info").rpartition("-")[0]
        files = []
        for line in lines_of(info / "RECORD"):
            path = line.rsplit(",", 2)[0].strip('"')
            if not path.startswith(("..", "/")):
                files.append(target / path)
        yield native.canonical(name), info, files


def without_native_code(target):
    """Removes compiled parts that have a Python twin; fails for those that do not."""
    table = native.Table()
    stripped, refused = [], []
    for name, info, files in distributions(target):
        compiled = [path for path in files if path.name.endswith(NATIVE_SUFFIXES) and path.is_file()]
        if not compiled:
            continue
        if table.treatment(name) != "strip":
            refused.append(name)
            continue
        stripped.append(name)
        for path in compiled:
            path.unlink()
        keep_record(info, target)
    if refused:
        lines = []
        for name in refused:
            lines.append(f"{name} has only native code for this version, which cannot run in WebAssembly")
            lines.append(f"hint: {name}: {table.advice(name)}")
        raise report.BuildFailed(*lines)
    return stripped


def keep_record(info, target):
    """Drops removed files from RECORD, so that it stays true."""
    record = info / "RECORD"
    kept = [line for line in lines_of(record) if (target / line.rsplit(",", 2)[0].strip('"')).exists()]
    record.write_text("".join(f"{line}\n" for line in kept), "utf-8")


def tidy(target):
    """Removes what differs between two equal installs, or names the building machine."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for info in target.glob("*.dist-info"):
        for name in ("direct_url.json", "REQUESTED", "INSTALLER"):
            (info / name).unlink(missing_ok=True)
        keep_record(info, target)
    for cache in list(target.rglob("__pycache__")):
        shutil.rmtree(cache, ignore_errors=True)


def main(build_dir, cache_dir, pack_dir, toolchain):
    build_dir, cache_dir = pathlib.Path(build_dir), pathlib.Path(cache_dir)
    pack_dir, toolchain = pathlib.Path(pack_dir), pathlib.Path(toolchain)
    target = build_dir / SITE_PACKAGES
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    source = find_source(build_dir)
    if source is None:
        report.detail("No dependencies")
        return
    kept = cache_dir / "site-packages" / cache_key(source, pack_dir, toolchain)
    if kept.is_dir():
        report.header(f"Using cached dependencies of {source.label}")
        shutil.copytree(kept, target, dirs_exist_ok=True, symlinks=True)
        return
    report.header(f"Installing dependencies from {source.label} with pip")
    skipped = run_pip(source, build_dir, cache_dir, target, toolchain)
    stripped = without_native_code(target)
    tidy(target)
    if skipped:
        report.detail(f"Not needed in a dyno: {', '.join(sorted(skipped))}")
    if stripped:
        report.detail(f"Without their compiled parts: {', '.join(stripped)}")
    keep(target, kept)


def keep(target, kept):
    """Remembers the result, and only this one: the cache of an app does not grow."""
    shutil.rmtree(kept.parent, ignore_errors=True)
    kept.parent.mkdir(parents=True)
    shutil.copytree(target, kept, symlinks=True)


if __name__ == "__main__":
    report.run(main)
