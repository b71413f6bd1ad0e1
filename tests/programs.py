"""Programs as users write them, each in a process of its own, under this environment's `datasets`, against a Hub."""

import json
import subprocess
import sys

from conftest import ROOT

PRELUDE = f"import sys, json; sys.path.insert(0, {str(ROOT)!r})\n"


def start(hub, home, code, **environ):
    """The program after it has ended: its code, output and errors."""
    env = {**hub.environ(home), **environ}
    command = [sys.executable, "-c", PRELUDE + code]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd=home.parent)


def run_with_warnings(hub, home, code, **environ):
    """What a program prints as its last line, as JSON; and its warnings."""
    done = start(hub, home, code, HF_DATASETS_TRUST_REMOTE_CODE="1", **environ)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().split("\n")[-1]), done.stderr


def run(hub, home, code, **environ):
    """What a program prints as its last line, as JSON."""
    return run_with_warnings(hub, home, code, **environ)[0]


def fails(hub, home, code, **environ):
    """The last line of the error that a program ends with."""
    done = start(hub, home, code, **environ)
    assert done.returncode != 0
    return done.stderr.strip().split("\n")[-1]
