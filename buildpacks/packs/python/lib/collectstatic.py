"""Runs Django's `collectstatic`, as Heroku's buildpack does, with the Python of this machine.

Collecting copies files and imports settings; it needs no dyno. A settings module that cannot be
imported here only costs a warning: the app may serve its files from elsewhere.
"""

import os
import pathlib
import subprocess
import sys

import dependencies
import report

TIMEOUT_SECONDS = 300


def wanted(build_dir, config):
    if config.get("DISABLE_COLLECTSTATIC", "0") not in ("", "0"):
        return False
    if not (build_dir / "manage.py").is_file() or not (build_dir / dependencies.SITE_PACKAGES / "django").is_dir():
        return False
    for path in build_dir.rglob("settings*.py"):
        if ".dyno" not in path.parts and "STATIC_ROOT" in path.read_text("utf-8", "replace"):
            return True
    return any(build_dir.glob("*/settings/*.py"))


def config_vars(env_dir):
    """The app's config vars, one file each, as Heroku hands them to a buildpack."""
    if not env_dir or not pathlib.Path(env_dir).is_dir():
        return {}
    return {p.name: p.read_text("utf-8", "replace") for p in pathlib.Path(env_dir).iterdir() if p.is_file()}


def main(build_dir, env_dir, _toolchain):
    build_dir = pathlib.Path(build_dir)
    config = config_vars(env_dir)
    if not wanted(build_dir, config):
        return
    report.header("Collecting static files with Django")
    blocked = ("PYTHONHOME", "PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD")
    environment = dict(os.environ) | {k: v for k, v in config.items() if k not in blocked}
    environment["PYTHONPATH"] = f"{build_dir}:{build_dir / dependencies.SITE_PACKAGES}"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--noinput"],
            cwd=build_dir, env=environment, timeout=TIMEOUT_SECONDS, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise report.BuildFailed(
            f"collectstatic did not end within {TIMEOUT_SECONDS} s", "hint: set DISABLE_COLLECTSTATIC=1 to leave it out"
        ) from None
    lines = done.stdout.strip().splitlines()
    for line in lines[-1:] if done.returncode == 0 else lines[-20:]:
        report.detail(line.replace(str(build_dir), "/app"))
    if done.returncode != 0:
        report.warning(
            "collectstatic failed; static files are missing from this slug",
            "hint: fix the error above, or set the config var DISABLE_COLLECTSTATIC=1",
        )


if __name__ == "__main__":
    report.run(main)
