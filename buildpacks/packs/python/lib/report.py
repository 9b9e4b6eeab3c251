"""Heroku's build output from Python scripts: details, warnings, and errors that end the build."""

import sys


def header(text):
    print(f"-----> {text}", flush=True)


def detail(text):
    print(f"       {text}", flush=True)


def warning(*lines):
    for line in lines:
        print(f" !     {line}", flush=True)


class BuildFailed(Exception):
    """What went wrong in the app; the lines are for its author, the last one a hint."""

    def __init__(self, *lines):
        super().__init__(lines[0])
        self.lines = lines


def run(main):
    """Runs a script's `main`, turning `BuildFailed` into its message and status 1."""
    try:
        main(*sys.argv[1:])
    except BuildFailed as failure:
        sys.stdout.flush()
        for line in failure.lines:
            print(f" !     {line}", file=sys.stderr, flush=True)
        sys.exit(1)
