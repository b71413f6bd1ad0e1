"""m3it/publishing/columns.py: which columns the files of a release have, and how they are stored."""

import base64
import hashlib
import json

import pyarrow.parquet as pq
import pytest
from conftest import picture

from m3it.publishing.columns import ABOUT, CHUNKED, COLUMNS, OWN_KINDS
from publishing.releases import NUM_TRAIN, PUBLISHED, train_rows


def columns_of(file):
    metadata = pq.read_metadata(file)
    return [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]


def test_base64_config_holds_the_published_four_columns_of_every_row(source, made):
    table = pq.read_table(made[0] / "data/kvqa/viquae/train.parquet")
    assert table.column_names == PUBLISHED
    assert table.to_pylist() == [{name: row[name] for name in PUBLISHED} for row in train_rows(source)]


def test_image_config_holds_the_files_and_what_to_filter_by(source, made):
    rows = pq.read_table(made[0] / "data/kvqa/viquae-images/train.parquet").to_pylist()
    assert len(rows) == NUM_TRAIN
    file = picture(3)
    assert rows[3] == {
        "instruction": "Answer the question.",
        "inputs": "What is 3?",
        "images": [{"bytes": file, "path": "0.png"}],
        "outputs": "answer 3",
        "task": "kvqa",
        "dataset": "viquae",
        "language": "en",
        "license": "CC-BY-4.0",
        "image_license": "Wikimedia Commons terms per image",
        "image_attribution": "",
        "num_images": 1,
        "width": 8,
        "height": 6,
        "row_id": "row-3",
        "source_file": "data/kvqa/viquae/train-00000-of-00002.jsonl",
        "image_sha256": [hashlib.sha256(file).hexdigest()],
        "meta": '{"id": "row-3"}',
        "references": ["answer 3"],
        "prompt": [{"role": "user", "content": "Answer the question.\nWhat is 3?"}],
        "completion": [{"role": "assistant", "content": "answer 3"}],
    }
    start = len("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in train_rows(source)[:7]).encode())
    assert rows[7]["row_id"] == f"data/kvqa/viquae/train-00000-of-00002.jsonl:{start}"
    assert json.loads(rows[8]["meta"]) == {"id": "own-8", "kilt_id": "qw_8", "words": ["ä", "字"]}


def test_rows_with_two_pictures_or_none_keep_their_order_and_number(made):
    pairs = pq.read_table(made[0] / "data/reasoning/nlvr-images/validation.parquet").to_pylist()
    assert [[image["bytes"] for image in row["images"]] for row in pairs] == [
        [picture(i), picture(i + 1)] for i in range(600, 605)
    ]
    some = pq.read_table(made[0] / "data/kvqa/science-qa-images/test.parquet").to_pylist()
    assert [(row["num_images"], row["width"], row["images"]) for row in some][1] == (0, None, [])
    assert [row["num_images"] for row in some] == [1, 0, 1]


def test_text_config_holds_all_rows_of_a_split_without_pictures(made):
    rows = pq.read_table(made[0] / "data/text/train.parquet").to_pylist()
    assert list(rows[0]) == COLUMNS["text"] and not {"images", "image_base64_str"} & set(rows[0])
    assert [row["row_id"] for row in rows if row["dataset"] == "okvqa"] == [f"row-{i}" for i in range(800, 804)]
    assert len(rows) == NUM_TRAIN + 4
    assert pq.read_metadata(made[0] / "data/text/test.parquet").num_rows == 3 + 3


def test_files_have_what_a_viewer_needs_and_nothing_that_locks_versions_out(made):
    for path in made[0].rglob("*.parquet"):
        if ".work" in path.parts:
            continue
        assert b"huggingface" not in (pq.read_schema(path).metadata or {})
        for column in columns_of(path):
            stored_as = "UNCOMPRESSED" if column.path_in_schema.endswith(".bytes") else "ZSTD"
            assert (column.compression, column.has_offset_index) == (stored_as, True), (path, column.path_in_schema)
    metadata = pq.read_metadata(made[0] / "data/kvqa/viquae-images/train.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 30]


def slices_in_common(path, first, second):
    """Of some pieces of a base64 file, how many an earlier file of nearly the same rows has."""
    files = []
    for rows in (first, second):
        with OWN_KINDS["base64"].open_writer(path) as writer:
            writer.write(rows, dict.fromkeys(ABOUT, ""))
        files.append(path.read_bytes())
    starts = range(0, len(files[1]) - 500, len(files[1]) // 50)
    return sum(files[1][start : start + 500] in files[0] for start in starts), len(starts)


def test_a_release_with_one_row_more_has_most_bytes_of_the_one_before(tmp_path, monkeypatch):
    noise = [base64.b64encode(hashlib.shake_256(b"%d" % i).digest(30_000)).decode() for i in range(100)]
    rows = [{"instruction": "", "inputs": "", "outputs": "a", "image_base64_str": [text]} for text in noise]
    monkeypatch.setattr("m3it.publishing.columns.CHUNKED", False)
    plain, _ = slices_in_common(tmp_path / "a.parquet", rows[1:], rows)
    assert plain == 0
    monkeypatch.undo()
    if not CHUNKED:
        pytest.skip("pyarrow before 21 cuts pages by their size alone")
    common, of = slices_in_common(tmp_path / "a.parquet", rows[1:], rows)
    assert common > of / 2
