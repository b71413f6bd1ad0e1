"""m3it/reading/layouts.py: which builder reads a config, what is said of it, and what is kept of that."""

import json
from pathlib import Path

import datasets
import legacy_maker
import pytest
from legacy_maker import ROWS, p, served
from legacy_script import _URLS
from programs import run, run_with_warnings
from published_rows import stranger, write

from M3IT import Repository
from m3it.reading import layouts
from m3it.reading.layouts import KINDS, WORDS, choose_builder, layout, survey
from m3it.reading.published.raw import Legacy
from m3it.reading.published.table import TABLE


def test_layouts_are_told_apart_by_their_files(published, published_80, tmp_path):
    branch = legacy_maker.converted(tmp_path / "branch")
    lone = write(tmp_path / "lone/data/vqa/okvqa/train_v2.jsonl", ROWS["okvqa"])
    ours = write(
        tmp_path / "ours/data/vqa/gqa/train.jsonl",
        [{"instruction": "", "inputs": "", "image_base64_str": [], "outputs": "x"}],
    )
    words = [WORDS[layout(Repository(folder))] for folder in (published, published_80, branch, lone, ours)]
    assert words == ["raw", "joined", "converted", "raw", "ours"] and set(words) == set(KINDS)


@pytest.fixture
def at_a_commit(published):
    """The published repository as if it were on the Hub, so that decisions are kept."""
    repository = Repository(published)
    repository.commit = "0" * 40
    return repository


def notes():
    return list(Path(datasets.config.HF_DATASETS_CACHE, "m3it-layouts").glob("*"))


def test_a_decision_is_kept_by_a_word_of_its_own_and_asked_for_once(at_a_commit, monkeypatch):
    assert choose_builder(at_a_commit, "viquae")[0] is Legacy
    (note,) = notes()
    assert json.loads(note.read_text()) == ["raw", False, "raw rows, mapping verified (1499181)", False]
    monkeypatch.setattr(layouts, "decide", lambda *args: pytest.fail("the note was passed over"))
    assert choose_builder(at_a_commit, "viquae")[0] is Legacy


@pytest.mark.parametrize(
    "old",
    [
        '["Legacy", false, "raw rows", false]',
        '["Legacy80"]',
        '{"kind": "raw"}',
        '["raw", 1, 2, 3, 4, 5]',
        "[]",
        "{",
        "3",
    ],
    ids=["a class's name", "another", "no list", "more", "less", "cut off", "a number"],
)
def test_a_note_of_other_code_is_made_anew(at_a_commit, old):
    choose_builder(at_a_commit, "viquae")
    (note,) = notes()
    made = note.read_text()
    note.write_text(old)
    assert choose_builder(at_a_commit, "viquae") == (Legacy, at_a_commit)
    assert notes() == [note] and note.read_text() == made


def test_decisions_of_other_code_are_not_asked(at_a_commit, monkeypatch):
    for state in ("as it was", "as it is"):
        monkeypatch.setattr(layouts, "code", lambda state=state: state)
        choose_builder(at_a_commit, "viquae")
    assert len(notes()) == 2


FOOD = "44bff02, 9d74cb2: test.jsonl was val.jsonl; fields not seen"
DECIDE = """
import m3it
from m3it.reading.load import load_builder
out = {}
for config, revision in (
    ("viquae", None), ("chinese-food", None), ("nlvr", None), ("clevr", None), ("snli-ve-rephrased", None),
    ("nlvr", "refs/convert/parquet"), ("chinese-food", "COMMIT"), ("chinese-food", "refs/convert/parquet"),
):
    revision = revision and revision.replace("COMMIT", sys.argv[1])
    builder = load_builder("Legacy/M3IT", config, revision=revision)
    pieces = builder.pieces(list(builder.shards(config))[-1])
    rows = [row["inputs"] for piece in pieces for _, row in builder.read(piece)]
    out[f"{config} {'COMMIT' if revision == sys.argv[1] else revision}"] = [type(builder).__name__, rows]
    assert builder.repository.commit
try:
    load_builder("Legacy/M3IT", "viquae", revision="refs/convert/parquet").shards("viquae")
except ValueError as error:
    out["missing"] = str(error)
print(json.dumps(out))
"""


def test_the_table_decides_between_raw_and_converted_rows_and_says_so_once(hub, on_hub, tmp_path):
    code = DECIDE.replace("sys.argv[1]", repr(on_hub["M3IT"]))
    found, warnings = run_with_warnings(hub, tmp_path / "home", code)
    converted = [row["inputs"] for row in (served("chinese-food", n) for n in range(2))]
    assert found["viquae None"] == ["Legacy", ["Which book?"]]  # verified: raw
    assert found["snli-ve-rephrased None"] == ["Legacy", ["Is it so?"]]  # verified: raw, though the branch has it
    assert found["chinese-food None"] == ["Converted", converted]  # inferred, and complete in the branch
    assert found["nlvr None"] == ["Legacy", ["Both show dogs."]]  # inferred, cut off in the branch
    assert found["clevr None"] == ["Legacy", ["How many cubes?", "Any spheres?"]]  # inferred, not in the branch
    assert found["chinese-food COMMIT"] == ["Legacy", ["麻婆豆腐\n家常豆腐"]]  # a pinned revision is read as it is
    assert found["chinese-food refs/convert/parquet"] == ["Converted", converted]
    assert found["nlvr refs/convert/parquet"][0] == "Converted"
    assert found["missing"].startswith("Unknown config 'viquae'. Legacy/M3IT holds")
    lines = [line for line in warnings.splitlines() if line.startswith("Legacy/M3IT ")]
    assert lines == [
        "Legacy/M3IT viquae: raw rows, mapping verified (1499181)",
        f"Legacy/M3IT chinese-food: rows of refs/convert/parquet; the mapping of raw rows is inferred ({FOOD})",
        "Legacy/M3IT nlvr: raw rows, mapping inferred (5d0fcb4; fields not seen; whether test was served not sure)"
        ". Look at its rows first: m3it check Legacy/M3IT --config nlvr",
        "Legacy/M3IT clevr: raw rows, mapping inferred (40fd0dc; fields not seen)"
        ". Look at its rows first: m3it check Legacy/M3IT --config clevr",
        "Legacy/M3IT snli-ve-rephrased: raw rows, mapping verified (f78770f)",
        f"Legacy/M3IT chinese-food: raw rows, mapping inferred ({FOOD})"
        ". Look at its rows first: m3it check Legacy/M3IT --config chinese-food",
    ]
    assert "nlvr/train: refs/convert/parquet has its beginning only (nlvr/partial-train)" in warnings


def test_check_reads_a_named_revision_as_loading_does_and_lists_the_branch_once(hub, on_hub, tmp_path):
    code = """
from M3IT import Repository
from m3it.reading.layouts import survey
main = {reading.config: reading.says for reading in survey(Repository("Legacy/M3IT"))}
pinned = [reading.says for reading in survey(Repository("Legacy/M3IT@COMMIT"), "chinese-food")]
print(json.dumps([main, pinned]))
"""
    before = len(hub.requests)
    main, pinned = run(hub, tmp_path / "home", code.replace("COMMIT", on_hub["M3IT"]))
    assert len(main) == 54 and main["chinese-food"].startswith("rows of refs/convert/parquet")
    assert pinned == [f"raw rows, mapping inferred ({FOOD})"]
    commits = [r for r in hub.requests[before:] if "/revision/refs/convert/parquet" in r.path]
    listings = [r for r in hub.requests[before:] if "/tree/" in r.path]
    assert len(commits) == 1 and len(listings) <= 4, [r.path for r in hub.requests[before:]]


def test_check_lists_how_each_config_is_read(published, published_80, tmp_path):
    readings = {reading.config: reading for reading in survey(Repository(published))}
    assert set(readings) == set(TABLE) and not any(reading.error for reading in readings.values())
    viquae = readings["viquae"]
    assert viquae.says == "raw rows, mapping verified (1499181)" and viquae.files[0] == "data/vqa/viquae/train_v2.jsonl"
    assert (
        viquae.mapping == 'inputs "{question}", outputs "{paraphrased_answer}"'
        and viquae.row["outputs"] == "The book is Emma."
    )
    assert readings["clevr"].says == "raw rows, mapping inferred (40fd0dc; fields not seen)"
    assert readings["clevr"].fields == ["image_str", "question", "answer"]
    assert readings["imagenet"].mapping == "Ten lettered classes; the right one is line `label` of mapping.txt."
    assert {reading.config for reading in survey(Repository(published_80))} == set(_URLS) - set(TABLE)
    converted = survey(Repository(legacy_maker.converted(tmp_path)), "a-okvqa")
    assert [reading.row["inputs"] for reading in converted] == ["converted input 0"]


def test_check_of_the_command_line_shows_readings_and_fails_on_what_cannot_be_read(tmp_path):
    from typer.testing import CliRunner

    from m3it.cli import app

    folder = str(stranger(tmp_path, {"question": "q", "context": "c", "answer": "a", "img_str": p(0)}))
    failed = CliRunner().invoke(app, ["check", folder])
    assert failed.exit_code == 1 and "question and context could both be the inputs" in failed.output
    settled = CliRunner().invoke(app, ["check", folder, "--fields", "inputs=context", "--json"])
    assert settled.exit_code == 0
    (reading,) = json.loads(settled.output)["readings"]
    assert (reading["config"], reading["row"]["inputs"], reading["row"]["outputs"]) == ("new-set", "c", "a")
    shown = CliRunner().invoke(app, ["check", folder, "--fields", "inputs=context"])
    assert "outputs      'a'" in shown.output and "1 rows of 1 configs read, 0 findings" in shown.output
    for wrong in (["--config", "new-est"], ["--fields", "input=context"]):  # usage is no finding
        refused = CliRunner().invoke(app, ["check", folder, *wrong])
        assert isinstance(refused.exception, ValueError) and "findings" not in refused.output
