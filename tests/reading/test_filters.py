"""Which rows are wanted: the same ones of a release in Parquet and of its source in JSON Lines."""

import base64
import io
import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import make_row, picture, write_rows
from PIL import Image

import M3IT
from m3it import M3ITError, load_dataset
from m3it.publishing.release import release


def lying() -> str:
    """A JPEG of 40 x 20 pixels, to be shown upright: 20 x 40."""
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(data, "JPEG", exif=exif)
    return base64.b64encode(data.getvalue()).decode()


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same 12 rows of okvqa-zh as JSON Lines and as a release in Parquet: of 0 to 3 pictures, from two of the
    source's splits, the even ones with a score."""
    folder = tmp_path_factory.mktemp("stored")
    rows = []
    for i in range(12):
        meta = {"id": f"row-{i}", "split": "train2014" if i % 3 else "val2014", "line": i, "at": {"page": i % 2}}
        meta |= {} if i % 2 else {"score": i / 10}
        rows.append(make_row(i, i % 4, meta=json.dumps(meta)))
    rows[7]["image_base64_str"][0] = lying()
    write_rows(folder / "lines/data/kvqa/okvqa/zh/validation.jsonl", rows)
    release(str(folder / "lines"), folder / "parquet")
    return folder


def loaded(folder, filters, streaming=True, **options):
    """The numbers of the rows that pass."""
    rows = load_dataset(
        folder, "okvqa-zh", split="validation", streaming=streaming, filters=filters, columns=["outputs"], **options
    )
    return [int(row["outputs"].split()[1]) for row in rows]


CASES = {
    "num_images": ([("num_images", "<=", 1)], [0, 1, 4, 5, 8, 9]),
    "all": ([("num_images", ">", 0), ("meta.split", "==", "val2014")], [3, 6, 9]),
    "one of": ([[("row_id", "=", "row-2")], [("meta.line", ">=", 10), ("width", "!=", 8)]], [2]),
    "in": ([("row_id", "in", ["row-2", "row-5"])], [2, 5]),
    "not in": ([("meta.line", "not in", [*range(2, 12)])], [0, 1]),
    "deep": ([("meta.at.page", "==", 1), ("meta.line", "<", 4.5)], [1, 3]),
    "absent": ([("meta.score", ">=", 0.5)], [6, 8, 10]),
    "absent, other": ([("meta.score", "!=", 0.6)], [0, 2, 4, 8, 10]),
    "sides": ([("width", "==", 20), ("height", "==", 40)], [7]),
    "texts": ([("inputs", "==", "What is 3?")], [3]),
    "id": ([("meta.id", "==", "row-3")], [3]),
    "language": ([("language", "==", "zh"), ("task", "==", "kvqa"), ("meta.line", "<", 2)], [0, 1]),
    "dataset": ([("dataset", "==", "okvqa"), ("license", "!=", "unknown"), ("meta.line", "<", 1)], [0]),
    "file": ([("source_file", "!=", "data/kvqa/okvqa/zh/validation.jsonl")], []),
    "function": (lambda row: row["num_images"] == 3 and row["meta"]["split"] == "train2014", [7, 11]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_rows_pass_in_parquet_and_in_json_lines(stored, name):
    filters, expected = CASES[name]
    assert loaded(stored / "lines", filters) == loaded(stored / "parquet", filters) == expected


def test_prepared_rows_are_those_of_a_stream_and_of_other_filters_others(stored):
    odd = (lambda row: row["num_images"] % 2 == 1, [1, 3, 5, 7, 9, 11])
    for filters, expected in (([("num_images", "==", 2)], [2, 6, 10]), ([("num_images", "==", 3)], [3, 7, 11]), odd):
        for kind in ("lines", "parquet"):
            assert loaded(stored / kind, filters, streaming=False, num_proc=2) == expected
    with pytest.raises(M3ITError, match=r"okvqa-zh/validation: expected rows, found none that passes filters=meta.lin"):
        loaded(stored / "lines", [("meta.lin", "==", 3)], streaming=False)


def test_no_picture_is_read_of_a_row_group_without_a_row_that_passes(stored, monkeypatch):
    read = []
    real = M3IT.Repository.read
    monkeypatch.setattr(M3IT.Repository, "read", lambda self, *piece: read.append(piece) or real(self, *piece))
    assert loaded(stored / "parquet", [("meta.split", "==", "test2014")]) == []
    path = next((stored / "parquet/data/kvqa").rglob("validation.parquet"))
    assert sum(stop - start for _, start, stop in read) < path.stat().st_size * 3  # of footers and of short columns
    monkeypatch.setattr(M3IT, "_rows_of", lambda batch: pytest.fail("read") if "images" in batch.schema.names else [])
    assert loaded(stored / "parquet", [("num_images", ">", 5)]) == []


WRONG = {
    "column": (
        [("num_image", "<=", 1)],
        "filters: there is no 'num_image'. Did you mean 'num_images'[?] There",
    ),
    "fields": ([("meta", "==", "x")], "compare meta with a text, 'x', but it is an object"),
    "number": ([("num_images", "<=", "1")], "compare num_images with a text, '1', but it is a number, 0"),
    "text": ([("meta.split", "in", [2014])], "compare meta.split with a number, 2014, but it is a text, 'val2014'"),
    "raised": (lambda row: row["meta"]["score"] > 0.5, "the function of filters raised KeyError: 'score'"),
    "looked up": (lambda row: row["colour"] > 0.5, "there is no 'colour'. .*num_images.*meta.split"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("on_error", ["raise", "drop"])
def test_what_no_row_can_be_asked_is_said_with_its_place(stored, name, on_error):
    filters, words = WRONG[name]
    for kind, place in (("lines", r"validation.jsonl:\d"), ("parquet", r"validation.parquet, row \d")):
        with pytest.raises(M3ITError, match=f"{place}.*{words}"):
            loaded(stored / kind, filters, on_error=on_error)


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([("num_images", "=<", 1)], "unknown operator '=<' for 'num_images'. There are ==, =, !=, <,"),
        ([("num_images", "in", 1)], "expected a list of texts or of numbers after num_images in, found 1"),
        ([("num_images", "in", [1, "2"])], "expected a list of texts or of numbers"),
        ([("num_images", "==", None)], "expected a text or a number after num_images ==, found None"),
        ([("num_images", "==", [1])], r"expected a text or a number after num_images ==, found \[1\]"),
        ([("num_images", 4)], r"expected \(column, operator, value\), found \('num_images', 4\)"),
        (("num_images", "<=", 4), r"expected a list of \(column, operator, value\), or a function"),
        ("num_images<=4", "expected a list of"),
        ([], "expected a list of"),
    ],
)
def test_filters_that_are_none_are_refused_at_the_call(filters, words):
    with pytest.raises(ValueError, match=f"filters.*{words}"):
        M3IT.RowFilter(filters)


def test_a_condition_is_asked_of_no_row_that_one_before_it_leaves_out(tmp_path):
    """Of Parquet, too, whose columns do not tell the one before."""
    rows = [make_row(i, i % 2, meta=json.dumps({"x": i if i % 2 else "none"})) for i in range(9)]
    write_rows(tmp_path / "lines/data/vqa/gqa/train.jsonl", rows)
    (tmp_path / "parquet/data/vqa/gqa").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet/data/vqa/gqa/train.parquet", row_group_size=4)
    for folder in (tmp_path / "lines", tmp_path / "parquet"):
        options = {"split": "train", "streaming": True}
        some = load_dataset(folder, "gqa", filters=[("num_images", "==", 1), ("meta.x", ">", 3)], **options)
        assert [row["outputs"] for row in some] == ["answer 5", "answer 7"]
        with pytest.raises(M3ITError, match="compare meta.x with a number, 3, but it is a text, 'none'"):
            list(load_dataset(folder, "gqa", filters=[("meta.x", ">", 3), ("num_images", "==", 1)], **options))


def test_an_expression_of_pyarrow_is_for_parquet(stored):
    assert loaded(stored / "parquet", pc.field("num_images") == 3) == [3, 7, 11]
    with pytest.raises(M3ITError, match=r"an expression of pyarrow is for Parquet, found .*jsonl. Pass a list of"):
        loaded(stored / "lines", pc.field("num_images") == 3)


def test_a_row_that_cannot_be_read_is_refused_and_not_filtered(tmp_path):
    rows = [make_row(0), make_row(1, meta="no json"), make_row(2, outputs=None), make_row(3, image_base64_str=["!"])]
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", rows)
    some = load_dataset(tmp_path, "gqa", split="train", on_error="drop", filters=[("meta.id", "!=", "row-3")])
    assert some["outputs"][:] == ["answer 0"]
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", rows[3:])
    alone = make_row(4, image_base64_str=make_row(4)["image_base64_str"][0], meta=None)
    write_rows(tmp_path / "data/vqa/shapes/train.jsonl", [alone, make_row(5, meta={"a": 1}), {"inputs": "?"}, [1]])
    options = {"split": "train", "streaming": True, "filters": [("num_images", "==", 1), ("width", "==", 8)]}
    assert [row["outputs"] for row in load_dataset(tmp_path, "shapes", on_error="drop", **options)] == ["answer 4"]
    with pytest.raises(M3ITError, match="expected base64 in image_base64_str"):
        list(load_dataset(tmp_path, "gqa", split="train", streaming=True, filters=[("width", "==", 8)]))


def test_fields_of_a_file_that_are_not_ours_can_be_asked_for(tmp_path):
    rows = [make_row(i, difficulty=i % 3, image_base64_str=[base64.b64encode(picture(i)).decode()]) for i in range(6)]
    write_rows(tmp_path / "data/vqa/mine/train.jsonl", rows)
    hard = load_dataset(tmp_path, "mine", split="train", streaming=True, filters=[("difficulty", "==", 2)])
    assert [row["outputs"] for row in hard] == ["answer 2", "answer 5"]
