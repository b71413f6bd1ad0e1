"""Every command with every kind of wrong input: exit code 1 or 2, one sentence, no traceback, nothing half-written.

The cases are made from the app itself: a wrong value of each kind for each argument and option, by its type, beside
usual ones for the rest. A few of them, drawn by a seed, run each time; `pytest -m slow` runs them all.
"""

import os
import random
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from conftest import ROOT, make_row, write_rows

from m3it.cli import app

SAMPLE = 60  # cases of the fast run, about 20 seconds of one core
HEAVY = {"train", "predict", "evaluate", "quickstart", "demo"}  # they import PyTorch first
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
    "download": {"dataset": "ss", "--root": "{out}"},  # all of it is by hand: no server is asked
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
    "fingerprint": {"repos": "{repo}", "--out": "{out}"},
    "leaks": {"prints": "{repo}", "--out": "{out}"},
    "duplicates": {"prints": "{repo}", "--out": "{out}"},
    "quality": {"repos": "{repo}", "--out": "{out}"},
    "rate": {"config": "viquae", "--model": "m", "--repo": "{repo}", "--out": "{out}", "": BROKE},
    "train": {"--model": "{folder}", "--out": "{out}", "--repo": "{repo}"},
    "quickstart": {"--out": "{file}"},
    "predict": {"--model": "{folder}", "--config": "viquae", "--out": "{out}", "--repo": "{repo}"},
    "evaluate": {"--model": "{folder}", "--config": "viquae", "--out": "{out}", "--repo": "{repo}"},
    "score": {"predictions": "{predictions}", "--out": "{out}"},
    "judge": {
        **{"first": "{predictions}", "second": "{predictions}", "--model": "m", "--out": "{out}"},
        **{"--config": "viquae", "": BROKE},
    },
    "tasks": {"harness": "lmms-eval", "--repo": "{repo}", "--out": "{out}"},
    "report": {"runs": "{predictions}", "--out": "{page}"},
    "demo": {"--model": "{folder}", "--repo": "{repo}", "--out": "{out}"},
}
PATHS = {
    **{"missing": "{folder}/none", "empty file": "{empty}", "file": "{file}", "folder": "{folder}"},
    **{"bytes": "{bytes}", "broken link": "{link}", "below a file": "{file}/x", "a list": "{list}"},
    **{"folder of bytes": "{rubbish}", "folder of lists": "{lists}", "JSON of another kind": "{object}"},
    "unreadable": "{unreadable}",
}
TEXTS = {
    **{"empty": "", "NUL": "a\0b", "long": "n" * 5000, "marked up": "[/bold] [red]", "half": "a\udcffb"},
    **{"steering": "\x1b[2J\u202e\u2028", "letters": "e\u0301\u4e2d\u0627 \U0001f600", "percent": "%s {0} %(x)d"},
    **{"protocol": "nosuch://x/y", "parents": "../../../x", "dash": "-", "JSON": '{"a": ['},
}
NUMBERS = {"zero": "0", "negative": "-1", "a word": "many", "empty": "", "nan": "nan", "half": "0.5"}
NUMBERS |= {"large": "9" * 13, "wide": "9" * 400}
# Files that commands look for by their names.
KNOWN = ("run.json", "predictions.jsonl", "scores.json", "row_scores.jsonl", "judge.json", "verdicts.jsonl")
KNOWN += ("trainer_state.json", "README.md", "dataset_infos.json", "config.json", "tokenizer.json")


FILES = {
    **{"empty": b"", "file": b"a file\n", "bytes": bytes(range(256)) * 9},
    **{"list": b"[1, null]\n", "object": b'{"a": 1}\n'},
}


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


# A name that can be made lets it train for minutes.
STOPPED = ("file", "bytes", "empty file", "below a file", "long", "NUL", "half")
CASES = [case for case in cases() if case[0] != "quickstart" or case[1] == "--out" and case[2] in STOPPED]
BY_COMMAND = {case[0]: [other for other in CASES if other[0] == case[0]] for case in CASES}


def drawn():
    """The cases of the fast run: few of the heavy commands."""
    draw = random.Random(0)
    light = draw.sample([case for case in CASES if case[0] not in HEAVY], SAMPLE)
    return sorted(light + draw.sample([case for case in CASES if case[0] in HEAVY], SAMPLE // 10))


def make_place(folder):
    """What wrong and usual values name, in an empty folder."""
    repository = folder / "repo"
    for name, rows in {"train": range(10), "test": range(20, 23)}.items():
        write_rows(repository / f"data/kvqa/viquae/{name}.jsonl", [make_row(i) for i in rows])
    write_rows(repository / "data/kvqa/okvqa/zh/validation.jsonl", [make_row(i) for i in range(4)])
    for name in ("folder", "predictions", "rubbish", "lists"):
        (folder / name).mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    for name in KNOWN:
        (folder / "rubbish" / name).write_bytes(FILES["bytes"])
        (folder / "lists" / name).write_bytes(b"[]\n")
    (folder / "unreadable").write_bytes(b"nobody's")
    (folder / "unreadable").chmod(0)
    (folder / "link").symlink_to(folder / "nowhere")
    line = {"config": "viquae", "split": "test", "id": "row-20", "prompt": "p", "prediction": "a", "references": ["a"]}
    write_rows(folder / "predictions/predictions.jsonl", [line])
    (folder / "predictions/run.json").write_text('{"command": "predict", "options": {"model": "m"}}', "utf-8")
    names = ("folder", "link", "unreadable", "predictions", "rubbish", "lists", *FILES)
    places = {name: str(folder / name) for name in names}
    places |= {"repo": str(repository), "copy": str(repository), "out": str(folder / "out")}
    return places | {"shard": f"{repository}/data/kvqa/viquae/train.jsonl", "page": str(folder / "page.html")}


@pytest.fixture
def away(monkeypatch):
    """There is no Hub, and nobody's key."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("OPENAI_API_KEY", "none")


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


def try_it(m3it, folder, case):
    """Call a command with one wrong value in an empty folder."""
    command, option, _, value = case
    words = arguments_of(command, option, value, make_place(folder))
    code, out, err = m3it(*words)
    check_end(words, code, out, err)
    left = [path for path in folder.rglob("*") if path.name.endswith(".tmp")]
    assert not left, (words, left)
    assert all((folder / name).read_bytes() == data for name, data in FILES.items() if data), words


def need_torch(command):
    if command in HEAVY:
        pytest.importorskip("torch", reason="torch is an extra")


@pytest.mark.parametrize("case", [pytest.param(case, id="-".join(case[:3])) for case in drawn()])
def test_a_wrong_input_is_a_sentence(m3it, away, tmp_path, monkeypatch, case):
    need_torch(case[0])
    monkeypatch.chdir(tmp_path)
    try_it(m3it, tmp_path, case)


@pytest.mark.slow
@pytest.mark.parametrize("command", BY_COMMAND)
def test_every_wrong_input_of_a_command_is_a_sentence(m3it, away, tmp_path, monkeypatch, command):
    need_torch(command)
    wrong = []
    for number, case in enumerate(BY_COMMAND[command]):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        try:
            try_it(m3it, tmp_path / str(number), case)
        except AssertionError as error:
            wrong.append(f"{case[:3]}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_command_has_its_usual_arguments():
    assert {case[0] for case in CASES} <= set(USUAL)


# ---- what the net has found, each by its kind


def test_a_word_that_is_no_text_is_wrong_usage(m3it, repository):
    """Once a UnicodeEncodeError of pyarrow, and of a request to a server."""
    for name in ("a\udcffb", "a\0b"):
        code, out, err = m3it("release", repository, "--out", name)
        assert (code, out) == (2, "") and err == f"{name!r}: expected UTF-8 without NUL. Rename what is called so.\n"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "viquae", "--repo", "nosuch://x/y"),
        ("check", "nosuch://x/y"),
        ("check", "{repo}", "--against", "nosuch://x/y"),
        ("stats", "--repo", "nosuch://x/y"),
        ("release", "nosuch://x/y", "--out", "{out}"),
        ("release", "{repo}", "--out", "nosuch://x/y"),
        ("translate", "viquae", "--to", "zh", "--repo", "nosuch://x/y", "--out", "{out}"),
    ],
)
def test_a_url_that_nothing_reads_is_a_sentence(m3it, away, tmp_path, words):
    place = make_place(tmp_path)
    code, out, err = m3it(*(place.get(word.strip("{}"), word) for word in words))
    assert code == 1 and err.startswith("nosuch://x/y: expected a folder or a URL that can be read, Protocol not known")
    assert err.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("convert", "okvqa"), ("score", "{predictions}"), ("train", "--model", "tiny")])
def test_a_url_where_a_command_writes_to_this_machine_is_wrong_usage(m3it, tmp_path, monkeypatch, words):
    """Once a folder called s3: in the working folder."""
    place = make_place(tmp_path)
    monkeypatch.chdir(tmp_path / "folder")
    for out in (("--out", "s3://bucket/x"), ("--out=s3://bucket/x",)):
        code, _, err = m3it(*(place.get(word.strip("{}"), word) for word in words), *out)
        assert code == 2 and err.startswith("--out s3://bucket/x: expected a path on this machine, found a URL.")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("show", "viquae", "--limit", "9" * 30),
        ("release", "r", "--out", "o", "--workers", "9" * 30),
        ("train", "--model", "tiny", "--out", "o", "--seed", "-1"),
        ("train", "--model", "tiny", "--out", "o", "--batch-size", "1000000000"),
        ("predict", "--model", "m", "--config", "c", "--out", "o", "--max-tokens", "1000000000"),
        ("rephrase", "s", "--model", "m", "--out", "o", "--parallel", "1000000000"),
    ],
    ids=lambda words: words[-2],
)
def test_a_number_that_no_machine_can_take_is_wrong_usage(m3it, words):
    code, out, err = m3it(*words)
    assert (code, out) == (2, "") and f"Invalid value for '{words[-2]}'" in err


@pytest.mark.parametrize("text", ["[]", "{}", '"x"', '{"models": [], "comparisons": 7, "options": {}}'])
def test_scores_of_another_kind_are_a_sentence(m3it, away, tmp_path, text):
    place = make_place(tmp_path)
    (tmp_path / "folder/scores.json").write_text(text, "utf-8")
    code, _, err = m3it("report", place["folder"], "--out", place["page"])
    assert code == 1 and "scores.json: expected a JSON object with models, comparisons, options, found" in err
    assert err.count("\n") == 1 and not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("command", ["score", "report", "judge"])
def test_predictions_that_are_no_utf8_are_a_sentence(m3it, away, tmp_path, command):
    place = make_place(tmp_path)
    more = {"judge": [place["bytes"], "--model", "m", "--out", place["out"]], "report": ["--out", place["page"]]}
    for found in (place["bytes"], place["rubbish"]) if command != "report" else (place["rubbish"],):
        code, _, err = m3it(command, found, *more.get(command, ()))
        assert code == 1 and "expected " in err and err.count("\n") == 1 and str(found) in err


def test_the_url_of_a_server_that_is_none_is_a_sentence(m3it, away, tmp_path):
    place = make_place(tmp_path)
    more = ["--model", "m", "--out", place["out"], "--base-url", "\x1b[2J"]
    code, _, err = m3it("predict", "--config", "viquae", "--repo", place["repo"], *more)
    assert code == 1 and "\\u001b[2J: expected the URL of a server" in err and "Traceback" not in err


@pytest.mark.parametrize("words", [("show", "viquae", "--images"), ("report", "{predictions}", "--out")])
def test_a_file_of_another_kind_is_not_overwritten(m3it, away, tmp_path, words):
    place = make_place(tmp_path)
    repo = ["--repo", place["repo"]]
    m3it("score", place["predictions"])
    code, _, err = m3it(*(place.get(word.strip("{}"), word) for word in words), place["file"], *repo)
    assert code == 1 and "holds something else than a" in err and (tmp_path / "file").read_bytes() == b"a file\n"
    own = tmp_path / "rows.png"
    for _ in range(2):  # what it wrote itself is its own
        code, _, err = m3it(*(place.get(word.strip("{}"), word) for word in words), own, *repo)
        assert code == 0 and own.stat().st_size > 100, err


# ---- as a process: the streams


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("check", "{repo}"), ("--help",)])
def test_a_full_stdout_is_a_sentence(repository, words):
    place = {"repo": str(repository)}
    words = [place.get(word.strip("{}"), word) for word in words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "m3it", *words], env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1 and "Traceback" not in done.stderr and "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("list", "--json"), ("check", "{repo}"), ("show", "viquae", "--repo", "{repo}")])
def test_a_reader_that_has_had_enough_ends_a_command_without_a_word(repository, words):
    """As `m3it list | true` does."""
    words = [str(repository) if word == "{repo}" else word for word in words]
    started = [sys.executable, "-m", "m3it", *words]
    with subprocess.Popen(
        started, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 0 and not re.search("Traceback|Broken pipe|ignored", err), err
