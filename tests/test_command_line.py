"""Every command with every kind of wrong input: exit code 1 or 2, one sentence, no traceback, nothing half-written.

The cases are made from the app itself: a wrong value of each kind for each argument and option, by its type, beside
usual ones for the rest. A few of them, drawn by a seed, run here; M3IT_TIMES=100 runs them all.
"""

import os
import random
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from conftest import ROOT

from m3it.cli import app

TIMES = int(os.environ.get("M3IT_TIMES", "1"))
SAMPLE = 50  # cases of the fast run
HEAVY = {"train", "predict", "quickstart"}  # they import PyTorch first
CLOSED = "http://127.0.0.1:9/v1"  # nobody listens there
BROKE = ["--base-url", CLOSED, "--prices", "1", "1", "--max-cost", "0"]  # stops before the first request

# What a command is given beside the wrong value: {x} stands for a file or folder of the fixture `place`. A command that
# would take long is given something that it stops at, behind most of what it checks.
USUAL = {
    "list": {},
    "show": {"config": "viquae", "--repo": "{repo}"},
    "browse": {"--repo": "{repo}", "--predictions": "{empty}"},
    "check": {"paths": "{repo}"},
    "cache": {},
    "convert": {"dataset": "okvqa", "--root": "{folder}", "--out": "{out}"},
    "rephrase": {"shards": "{shard}", "--model": "m", "--out": "{out}", "": BROKE},
    "translate": {
        **{"config": "viquae", "--to": "zh", "--repo": "{repo}", "--out": "{out}"},
        **{"--backend": "openai", "": BROKE},
    },
    "languages": {"flores": "{folder}"},
    "release": {"repo": "{repo}", "--out": "{out}"},
    "card": {"folder": "{copy}"},
    "stats": {"--repo": "{repo}"},
    "train": {"--model": "{folder}", "--out": "{out}", "--repo": "{repo}"},
    "quickstart": {"--out": "{file}"},
    "predict": {"--model": "{folder}", "--config": "viquae", "--out": "{out}", "--repo": "{repo}"},
    "score": {"predictions": "{predictions}", "--out": "{out}"},
    "judge": {
        **{"first": "{predictions}", "second": "{predictions}", "--model": "m", "--out": "{out}"},
        **{"--config": "viquae", "": BROKE},
    },
    "report": {"runs": "{predictions}", "--out": "{page}"},
}
PATHS = {
    **{"missing": "{folder}/none", "empty file": "{empty}", "file": "{file}", "folder": "{folder}"},
    **{"bytes": "{bytes}", "broken link": "{link}", "below a file": "{file}/x", "device": "/dev/full"},
}
TEXTS = {
    **{"empty": "", "NUL": "a\0b", "long": "n" * 5000, "marked up": "[/bold] [red]", "half": "a\udcffb"},
    **{"steering": "\x1b[2J\u202e\u2028", "letters": "e\u0301\u4e2d\u0627 \U0001f600", "percent": "%s {0} %(x)d"},
    **{"protocol": "nosuch://x/y", "parents": "../../../x", "dash": "-", "JSON": '{"a": ['},
}
NUMBERS = {"zero": "0", "negative": "-1", "a word": "many", "empty": "", "nan": "nan", "half": "0.5", "wide": "9" * 400}


def kinds_of(annotation) -> dict[str, str]:
    """Kind -> wrong value, by the type of an option."""
    inner = {*typing.get_args(annotation), annotation}
    inner |= {deeper for kind in inner for deeper in typing.get_args(kind)}
    if bool in inner:
        return {}
    if inner & {int, float}:
        return NUMBERS
    if Path in inner or str in inner:
        return PATHS | TEXTS
    return {"nonsense": "nonsense", **TEXTS}  # one of a few words


def cases():
    """(command, option, kind) of every wrong value of the app."""
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        hints = typing.get_type_hints(command.callback, include_extras=True)
        for parameter, hint in hints.items():
            if parameter == "return":
                continue
            annotation, info, *_ = typing.get_args(hint)
            is_option = type(info).__name__ == "OptionInfo"
            given = next((word for word in info.param_decls or () if word.startswith("--")), None)
            option = (given or f"--{parameter.replace('_', '-')}") if is_option else parameter
            for kind, value in kinds_of(annotation).items():
                yield name, option, kind, value


CASES = [case for case in cases() if case[0] != "quickstart" or case[1] == "--out" and case[2] != "letters"]


def drawn():
    """The cases of this run: those of light commands, and of the heavy ones as few as there are seconds for."""
    light = [case for case in CASES if case[0] not in HEAVY]
    heavy = [case for case in CASES if case[0] in HEAVY]
    draw = random.Random(0)
    draw.shuffle(light), draw.shuffle(heavy)
    return sorted(light[: SAMPLE * TIMES] + heavy[: 4 * TIMES])


@pytest.fixture
def place(repository, tmp_path, monkeypatch):
    """What wrong and usual values name; there is no Hub."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "file").write_text("a file\n", "utf-8")
    (tmp_path / "bytes").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "predictions").mkdir()
    line = (
        '{"config": "viquae", "split": "test", "id": "row-20", "prompt": "p", "prediction": "a", "references": ["a"]}\n'
    )
    (tmp_path / "predictions/predictions.jsonl").write_text(line, "utf-8")
    (tmp_path / "predictions/run.json").write_text('{"command": "predict", "options": {"model": "m"}}', "utf-8")
    names = ("folder", "empty", "file", "bytes", "link", "predictions")
    places = {name: str(tmp_path / name) for name in names}
    places |= {"repo": str(repository), "copy": str(repository), "out": str(tmp_path / "out")}
    return places | {"shard": f"{repository}/data/kvqa/viquae/train.jsonl", "page": str(tmp_path / "page.html")}


def arguments_of(command, option, value, place):
    """The words of a command line with one wrong value."""
    chosen = {**USUAL[command], option: value}
    words = [command]
    for name, text in chosen.items():
        values = text if isinstance(text, list) else [re.sub(r"{(\w+)}", lambda m: place.get(m[1], m[0]), text)]
        if name == option and option in ("--prices",):
            values = values * 2
        words += ([name] if name.startswith("--") else []) + values
    return words


def check_end(words, code, out, err):
    """Fails where a command did not end in a sentence."""
    assert code in (0, 1, 2), (words, code)
    assert "Traceback" not in err and "please report" not in err, f"{words}\n{err[-3000:]}"
    if code:
        assert err.strip(), words
    if code == 1 and not out:
        last = err.rstrip("\n").split("\n")[-1]
        assert len(last.strip()) > 10 and last[:1] != " ", (words, err)


@pytest.mark.parametrize(
    ("command", "option", "kind", "value"), [pytest.param(*c, id="-".join(c[:3])) for c in drawn()]
)
def test_a_wrong_input_is_a_sentence(m3it, place, tmp_path, command, option, kind, value):
    if command in HEAVY:
        pytest.importorskip("torch", reason="torch is an extra")
    words = arguments_of(command, option, value, place)
    code, out, err = m3it(*words)
    check_end(words, code, out, err)
    left = [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    assert not left, (words, left)
    assert (tmp_path / "file").read_text("utf-8") == "a file\n", words


def test_every_command_has_its_usual_arguments():
    assert {case[0] for case in CASES} <= set(USUAL)


def test_a_word_that_is_no_text_is_wrong_usage(m3it, place):
    """Two cases of above that once were a UnicodeEncodeError of pyarrow, and of a request to a server."""
    for name in ("a\udcffb", "a\0b"):
        code, out, err = m3it("release", place["repo"], "--out", name)
        assert (code, out) == (2, "") and err == f"{name!r}: expected UTF-8 without NUL. Rename what is called so.\n"


# ---- as a process: the streams


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("check", "{repo}"), ("--help",)])
def test_a_full_stdout_is_a_sentence(place, words):
    words = [place.get(word.strip("{}"), word) for word in words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "m3it", *words], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr and "No space left" in done.stderr
    assert done.stderr.count("\n") == 1
