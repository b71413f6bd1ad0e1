"""m3it/reading/published/joined.py: the texts of M3IT-80 and the pictures beside them, joined row by row."""

import base64
import itertools
import json

import pytest
from conftest import picture
from legacy_maker import TRANSLATED, write_lines
from legacy_script import _TASKS
from programs import run
from published_rows import LONG, rows_of, said

import M3IT as module
from M3IT import M3ITError, ShardError, id_of
from m3it.reading.load import find_rows, load_builder, load_dataset


@pytest.mark.parametrize("task", TRANSLATED)
def test_texts_and_pictures_are_joined_row_by_row(published_80, task):
    _, first, second = TRANSLATED[task]
    for key in _TASKS[task]:
        rows = rows_of(published_80, f"{task}-zh", LONG[key])
        numbers = {"train": [1, 2, 1], "val": [1, 2], "test": [1]}[key]
        images = [[image] if isinstance(image, str) else image for image in (first, second)]
        texts = [(f"{task} zh question {n}", images[n - 1], f"{task} zh answer {n}") for n in numbers]
        assert said(rows) == texts
        assert {row["instruction"] for row in rows} <= {f"{task} zh {number}" for number in range(10)}


def test_a_translation_gets_the_instruction_that_the_other_languages_get(published_80):
    numbers = [
        [row["instruction"].split()[-1] for row in rows_of(published_80, f"msrvtt-{code}")] for code in ("zh", "he")
    ]
    ids = [
        [json.loads(row["meta"])["id"] for row in rows_of(published_80, f"msrvtt-{code}", meta=True)]
        for code in ("zh", "he")
    ]
    assert numbers[0] == numbers[1] and ids[0] == ids[1] and ids[0][0] == "data/msrvtt/train_500.jsonl:0"


def test_rows_of_a_split_and_rows_by_their_ids_are_found_in_texts_and_pictures(published_80):
    rows = list(load_builder(published_80, "okvqa-zh", meta=True).rows("train"))
    assert said(rows) == said(rows_of(published_80, "okvqa-zh")) and len(rows) == 3
    ((found, row),) = find_rows(str(published_80), "okvqa-zh", "train", {id_of(rows[1])})
    assert (found, row) == (id_of(rows[1]), rows[1])


@pytest.mark.parametrize("order", ["forwards", "backwards", "every other"])
def test_pieces_of_rows_give_every_row_once_in_any_order(long_80, order):
    folder, remote = long_80
    for place in (folder.parents[1], remote()):
        builder = load_builder(place, "okvqa-zh")
        pieces = builder.pieces("train")
        ordered = {"forwards": pieces, "backwards": pieces[::-1], "every other": pieces[::2] + pieces[1::2]}[order]
        found = {piece: [row for _, row in builder.read(piece)] for piece in ordered}
        rows = [row for piece in pieces for row in found[piece]]
        assert len(pieces) > 8 and [row["outputs"] for row in rows] == [f"a{n}" for n in range(60)]
        assert [base64.b64decode(row["image_base64_str"][0]) for row in rows] == [
            picture(n) * (1 + n % 5) for n in range(60)
        ]


def test_resume_in_the_middle_of_a_piece_of_joined_rows_is_exact(long_80):
    folder, remote = long_80
    rows = [json.loads(line) for line in (folder / "train_500.jsonl").read_text().splitlines()]
    for number in range(0, 60, 7):
        rows[number]["image_str"] = "broken!!"
    write_lines(folder / "train_500.jsonl", rows)
    expected = [f"a{number}" for number in range(60) if number % 7]
    for place, done in itertools.product((folder.parents[1], remote()), (0, 1, 13, 50)):
        stream = load_dataset(place, "okvqa-zh", split="train", streaming=True, on_error="drop")
        if not hasattr(stream, "state_dict"):
            pytest.skip("this version of `datasets` has no state")
        seen = [row["outputs"] for row in itertools.islice(stream, done)]
        resumed = load_dataset(place, "okvqa-zh", split="train", streaming=True, on_error="drop")
        resumed.load_state_dict(stream.state_dict())
        assert seen + [row["outputs"] for row in resumed] == expected


@pytest.mark.parametrize("file, lost", [("okvqa_train_zh.jsonl", 59), ("train_500.jsonl", 30)])
def test_files_that_are_not_equally_long_are_an_error(long_80, file, lost):
    folder, remote = long_80
    lines = (folder / file).read_text().splitlines(True)
    (folder / file).write_text("".join(lines[:lost]))
    with pytest.raises(ShardError, match="they are joined row by row. Get both at one revision"):
        load_builder(folder.parents[1], "okvqa-zh").pieces("train")  # on disk before the first row
    builder = load_builder(remote(), "okvqa-zh", on_error="drop")
    with pytest.raises(
        ShardError, match=r"okvqa_train_zh.jsonl has (59|60) rows, data/okvqa/train_500.jsonl has (more|30)"
    ):
        [row for piece in builder.pieces("train") for row in builder.read(piece)]  # streamed at the end


def test_pictures_are_not_held_in_memory(long_80, monkeypatch):
    """Every read of a streamed file of pictures is at most a step, a row's tail and the byte before it."""
    _, remote = long_80
    builder = load_builder(remote(), "okvqa-zh")
    sizes, read = [], builder.repository.read
    monkeypatch.setattr(module, "TAIL_BYTES", 256)
    monkeypatch.setattr(
        builder.repository, "read", lambda path, start, stop: sizes.append(stop - start) or read(path, start, stop)
    )
    pieces = builder.pieces("train")
    rows = [row for piece in pieces for row in builder.read(piece)]
    size = builder.repository.size("data/okvqa/train_500.jsonl")
    assert len(rows) == 60 and max(sizes[2:]) < size / 8


@pytest.mark.parametrize(
    "lines",
    [
        [{"okvqa": ["eins", "zwei"], "vist": ["drei"]}],
        [{"vist": "drei"}, {"okvqa": "eins"}, {"okvqa": "zwei"}],
        [
            {"task": "vist", "instruction": "drei"},
            {"task": "okvqa", "instruction": "eins"},
            {"task": "okvqa", "instruction": "zwei"},
        ],
        [{"dataset": "okvqa", "instructions": ["eins", "zwei"]}],
    ],
)
def test_translated_instructions_are_found_by_the_name_of_the_dataset(long_80, lines):
    folder, _ = long_80
    write_lines(folder.parent / "instructions/zh.jsonl", lines)
    assert {row["instruction"] for row in rows_of(folder.parents[1], "okvqa-zh")} == {"eins", "zwei"}


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085"])
def test_a_line_of_translated_instructions_ends_with_a_line_break_alone(long_80, mark):
    folder, _ = long_80
    line = json.dumps({"okvqa": f"eins{mark}zwei"}, ensure_ascii=False)
    (folder.parent / "instructions/zh.jsonl").write_text(f"{line}\r\n", "utf-8")
    assert {row["instruction"] for row in rows_of(folder.parents[1], "okvqa-zh")} == {f"eins{mark}zwei"}


def test_instructions_of_an_unknown_form_are_an_error_and_can_be_done_without(long_80):
    folder, _ = long_80
    write_lines(folder.parent / "instructions/zh.jsonl", ["eins", "zwei"])
    with pytest.raises(M3ITError, match='instructions/zh.jsonl: expected lines that name okvqa, found "eins"'):
        rows_of(folder.parents[1], "okvqa-zh")
    assert {row["instruction"] for row in rows_of(folder.parents[1], "okvqa-zh", fields={"instruction": ""})} == {""}
    (folder.parent / "instructions/zh.jsonl").unlink()
    with pytest.raises(M3ITError, match="instructions/zh.jsonl: expected lines that name okvqa, found no such file"):
        rows_of(folder.parents[1], "okvqa-zh")


def test_pictures_are_downloaded_once_for_all_languages(hub, on_hub, tmp_path):
    code = """
from m3it import load_dataset
rows = [load_dataset("Legacy/M3IT-80", name)["train"]["inputs"][:] for name in ("vist-zh", "vist-he")]
rows += [[row["inputs"] for row in load_dataset("Legacy/M3IT-80", "vist-zh", split="train", streaming=True)]]
print(json.dumps(rows))
"""
    before = len(hub.requests)
    rows = run(hub, tmp_path / "home", code)
    assert [len(texts) for texts in rows] == [3, 3, 3] and rows[0] == rows[2] != rows[1]
    gets = [
        r for r in hub.requests[before:] if r.method == "GET" and r.path.split("?")[0].endswith("vist/train_500.jsonl")
    ]
    assert len(gets) == 1
