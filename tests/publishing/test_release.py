"""Releases: every row twice and once as text, proven the same; in any layout, on
any executor, killed or not; and what plain `datasets`, DuckDB and a viewer read of it.

`pytest -k matrix` is the part that any `datasets` must pass: `nox -s matrix` runs it under each that we promise.
"""

import base64
import datetime
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT, make_row, picture, write_rows
from datasets import load_dataset as plain_load_dataset
from hub import Hub, olah_environment
from PIL import Image

from M3IT import CATALOGUE, Repository, ShardError
from m3it.publishing.check import Report, check, compare
from m3it.publishing.columns import COLUMNS
from m3it.publishing.parquet import groups, header_size, row_digest, split_digest
from m3it.publishing.release import into_shards, release, upload_line
from m3it.reading.load import load_dataset
from m3it.rows.images import size
from m3it.rows.instance import M3ITError

PUBLISHED = ["instruction", "inputs", "image_base64_str", "outputs"]
README_SNIPPET = re.compile(r"```python\n(from datasets import load_dataset\n.*?)```", re.DOTALL)
NUM_TRAIN = 230  # rows of viquae: three row groups


def no_picture(number):
    return make_row(number, 0, inputs=f"Text only, {number}.")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four configs: many rows, two pictures a row, rows without pictures, a translation; one file in two shards."""
    root = tmp_path_factory.mktemp("source") / "repo"
    rows = [make_row(i) for i in range(NUM_TRAIN)]
    del rows[7]["meta"]  # no id of its own
    rows[7]["meta"] = "{}"
    rows[8]["meta"] = json.dumps({"id": "own-8", "kilt_id": "qw_8", "words": ["ä", "字"]}, ensure_ascii=False)
    write_rows(root / "data/kvqa/viquae/train-00000-of-00002.jsonl", rows[:120])
    write_rows(root / "data/kvqa/viquae/train-00001-of-00002.jsonl", rows[120:])
    write_rows(root / "data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(500, 503)])
    write_rows(root / "data/reasoning/nlvr/validation.jsonl", [make_row(i, 2) for i in range(600, 605)])
    write_rows(root / "data/kvqa/science-qa/test.jsonl", [make_row(700), no_picture(701), make_row(702)])
    write_rows(root / "data/kvqa/okvqa/zh/train.jsonl", [make_row(i, inputs=f"什么 {i}") for i in range(800, 804)])
    return root


@pytest.fixture(scope="module")
def made(source, tmp_path_factory):
    """(folder, run.json) of its release."""
    out = tmp_path_factory.mktemp("made") / "release"
    return out, release(str(source), out)


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def train_rows(source):
    return [row for n in range(2) for row in lines_of(source / f"data/kvqa/viquae/train-0000{n}-of-00002.jsonl")]


def head_of(folder):
    return yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])


def sums_of(folder):
    """path -> sha256 of every file that is published."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def columns_of(file):
    metadata = pq.read_metadata(file)
    return [metadata.row_group(0).column(i) for i in range(metadata.num_columns)]


# ---- rows and columns


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
        "images": [{"bytes": file, "path": None}],
        "outputs": "answer 3",
        "task": "kvqa",
        "dataset": "viquae",
        "language": "en",
        "license": "CC-BY-4.0 / Wikimedia Commons terms per image",
        "num_images": 1,
        "width": 8,
        "height": 6,
        "row_id": "row-3",
        "source_file": "data/kvqa/viquae/train-00000-of-00002.jsonl",
        "image_sha256": [hashlib.sha256(file).hexdigest()],
        "meta": '{"id": "row-3"}',
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


def test_a_translation_stands_beside_its_dataset_with_its_language(made):
    row = pq.read_table(made[0] / "data/kvqa/okvqa/zh-images/train.parquet").to_pylist()[0]
    assert (row["dataset"], row["language"], row["inputs"]) == ("okvqa", "zh", "什么 800")
    assert (made[0] / "data/kvqa/okvqa/zh/train.parquet").exists()


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


def test_a_row_group_ends_at_100_rows_or_before_100_MB():
    tiny, big = {"files": [b"x"]}, {"files": [bytes(15_000_000)] * 2}
    assert [len(group) for group in groups([tiny] * 250)] == [100, 100, 50]
    assert [len(group) for group in groups([big, big, big, tiny, big, big])] == [2, 3, 1]  # 40 MB each, as base64
    assert [len(group) for group in groups([{"files": [bytes(15_000_000)] * 6}, tiny])] == [1, 1]
    assert list(groups([])) == []


def test_shards_are_about_as_large_as_asked_and_twins_share_their_names(source, tmp_path):
    run = release(str(source), tmp_path / "out", ["viquae"], shard_bytes=10_000)
    names = sorted(path.name for path in (tmp_path / "out/data/kvqa/viquae").iterdir())
    total = sum(path.stat().st_size for path in (source / "data/kvqa/viquae").glob("train*"))
    assert len([name for name in names if name.startswith("train")]) == 2 < total / 10_000  # a piece is the least
    assert names == sorted(path.name for path in (tmp_path / "out/data/kvqa/viquae-images").iterdir())
    assert run["splits"]["viquae/train"]["rows_out"] == NUM_TRAIN
    assert [r["row_id"] for r in pq.read_table(tmp_path / "out/data/kvqa/viquae-images").to_pylist()][-1] == "row-229"


def test_a_split_in_several_shards_has_an_even_number_of_them():
    def sizes(count, shard_bytes):
        return [len(group) for _, group in into_shards("train", [0] * count, [1] * count, shard_bytes)]

    assert [sizes(count, 4) for count in (1, 5, 8, 10, 12, 20)] == [[1], [5], [4, 4], [5, 5], [3] * 4, [4, 3, 3] * 2]
    assert sizes(3, 1) == [1, 1, 1]  # there is no more to share


def jpeg(**options):
    data = io.BytesIO()
    Image.new("RGB", (40, 20), (9, 90, 9)).save(data, "JPEG", **options)
    return data.getvalue()


def other(format, mode="RGB"):
    data = io.BytesIO()
    Image.new(mode, (40, 20)).save(data, format)
    return data.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6  # lies on its side


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (jpeg(), (40, 20)),
        (jpeg(progressive=True), (40, 20)),
        (jpeg(comment=b"c" * 300), (40, 20)),
        (jpeg(exif=TURNED), (20, 40)),
        (other("JPEG", "L"), (40, 20)),
        (other("JPEG", "CMYK"), (40, 20)),
        (other("PNG"), (40, 20)),
        (other("PNG", "P"), (40, 20)),
        (other("GIF", "P"), (40, 20)),
        (other("WEBP"), (40, 20)),
        (other("BMP"), (40, 20)),
        (other("TIFF"), (40, 20)),
    ],
)
def test_header_gives_the_size_that_the_decoder_gives(file, expected):
    assert header_size(file) == size(file) == expected


@pytest.mark.parametrize(
    "file", [b"", b"\xff\xd8\xff", b"<html>", jpeg()[:20], b"\xff\xd8\xff\xe0\0\0" * 9, b"\x89PNG"]
)
def test_bytes_that_are_no_picture_have_no_size(file):
    assert header_size(file) == (None, None)


# ---- what stands beside the shards


def test_yaml_lists_every_file_and_column_and_counts_rows(made):
    head = head_of(made[0])
    configs = {config["config_name"]: config for config in head["configs"]}
    names = [name + end for name in ("okvqa-zh", "science-qa", "viquae", "nlvr") for end in ("", "-images")]
    assert list(configs) == [*names, "text"]
    assert [name for name, config in configs.items() if config.get("default")] == ["okvqa-zh-images"]
    listed = [path for config in configs.values() for files in config["data_files"] for path in files["path"]]
    found = [str(path.relative_to(made[0])) for path in (made[0] / "data").rglob("*.parquet")]
    assert sorted(listed) == sorted(found)
    infos = {info["config_name"]: info for info in head["dataset_info"]}
    assert infos["viquae"]["features"] == [
        {"name": "instruction", "dtype": "string"},
        {"name": "inputs", "dtype": "string"},
        {"name": "image_base64_str", "list": "string"},
        {"name": "outputs", "dtype": "string"},
    ]
    assert {"name": "images", "list": "image"} in infos["nlvr-images"]["features"]
    sizes = {split["name"]: split["num_examples"] for split in infos["viquae-images"]["splits"]}
    assert sizes == {"train": NUM_TRAIN, "test": 3}
    assert (head["language"], head["license"], head["size_categories"]) == (["en", "zh"], "other", ["n<1K"])
    stated = json.loads((made[0] / "dataset_infos.json").read_text("utf-8"))
    assert stated["text"]["splits"]["train"]["num_examples"] == NUM_TRAIN + 4


def test_readme_has_the_snippet_of_the_projects_readme(made):
    snippet = README_SNIPPET.search((ROOT / "README.md").read_text("utf-8"))[1]
    assert snippet in (made[0] / "README.md").read_text("utf-8")


def test_licenses_have_a_line_for_each_dataset_of_the_release(made):
    text = (made[0] / "LICENSES.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == ["okvqa", "science-qa", "viquae", "nlvr"]
    assert CATALOGUE["science-qa"].license in lines[1] and CATALOGUE["nlvr"].image_license in lines[3]


def test_run_json_has_a_checksum_of_every_shard_and_no_path_of_this_machine(source, made):
    text = (made[0] / "run.json").read_text("utf-8")
    run = json.loads(text)
    assert run == made[1] and run["source"] == {"repo": None} and str(source.parent) not in text
    sums = sums_of(made[0])
    assert {path: sums[path] for path in run["files"]} == {p: file["sha256"] for p, file in run["files"].items()}
    assert {path for path in sums if path.endswith(".parquet")} == set(run["files"])


def test_native_release_keeps_the_names_and_says_which_loader_makes_base64(source, tmp_path):
    out = tmp_path / "native"
    release(str(source), out, ["viquae"], images="native")
    assert [config["config_name"] for config in head_of(out)["configs"]] == ["viquae", "text"]
    readme = (out / "README.md").read_text("utf-8")
    assert "from m3it import load_dataset\n" in readme and "from datasets import load_dataset\n" not in readme
    rows = load_dataset(str(out), "viquae", split="train", streaming=True)
    assert [dict(row) for row in rows] == [{n: row[n] for n in PUBLISHED} for row in train_rows(source)]


def test_base64_release_has_no_image_configs(source, tmp_path):
    release(str(source), tmp_path / "out", images="base64")
    names = [config["config_name"] for config in head_of(tmp_path / "out")["configs"]]
    assert names == ["okvqa-zh", "science-qa", "viquae", "nlvr", "text"]
    assert "viquae-images" not in (tmp_path / "out/README.md").read_text("utf-8")


def test_messages_release_is_read_as_conversations_by_others_and_by_a_mixture(source, made, tmp_path):
    from m3it.mixing.mixture import Mixture
    from m3it.mixing.part import Part
    from m3it.rows.messages import to_messages

    run = release(str(source), tmp_path / "made", format="messages")
    assert run["digest"] == made[1]["digest"] and not (tmp_path / "made/data/text").exists()
    assert not [f for f in check(Repository(str(tmp_path / "made"))).findings if f.level == "error"]
    sets = json.loads((tmp_path / "made/dataset_info.json").read_text("utf-8"))  # as LLaMA-Factory looks for it
    assert all((tmp_path / "made" / known["file_name"]).is_file() for known in sets.values())
    for name in ("viquae", "nlvr", "okvqa-zh"):
        for split, rows in plain_load_dataset(str(tmp_path / "made"), name, cache_dir=str(tmp_path / "cache")).items():
            expected = load_dataset(str(source), name, split=split, cache_dir=str(tmp_path / "cache"))
            assert f"{name}-{split}" in sets and rows.num_rows == expected.num_rows
            for row, known in zip(rows, expected, strict=True):
                asked = "\n".join(text for text in (known["instruction"], known["inputs"]) if text)
                places = "<image>" * len(known["image_base64_str"])
                user, assistant = row["messages"]
                assert user == {"role": "user", "content": places + asked}
                assert assistant == {"role": "assistant", "content": known["outputs"]}
                assert row["texts"] == [{"user": asked, "assistant": known["outputs"]}]
                assert len(row["images"]) == row["num_images"] == len(known["image_base64_str"])
    theirs = Mixture(None, parts=[Part(str(tmp_path / "made/data/reasoning/nlvr"), split="validation")])
    ours = Mixture(str(source), ["nlvr"], split="validation")
    found, expected = ({row["id"]: (row["images"], to_messages(row)) for row in map(each.row, range(each.num_rows))}
                       for each in (theirs, ours))  # fmt: skip
    assert found == expected and len(found) == ours.num_rows


def test_jsonl_release_is_a_card_without_a_script(source, tmp_path):
    run = release(str(source), tmp_path / "card", format="jsonl")
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == [
        "LICENSES.md", "README.md", "dataset_infos.json", "run.json",
    ]  # fmt: skip
    shutil.copytree(source / "data", tmp_path / "card/data")
    found = check(Repository(tmp_path / "card")).findings
    assert [finding.rule for finding in found] == ["config-with-pictures"]  # there are no pictures but base64
    path = "data/kvqa/viquae/test.jsonl"
    assert run["files"][path]["sha256"] == hashlib.sha256((source / path).read_bytes()).hexdigest()


def test_jsonl_release_of_a_published_repository_is_refused(tmp_path):
    import legacy_maker

    legacy_maker.m3it(tmp_path / "M3IT", ("viquae",))
    with pytest.raises(M3ITError, match="must be rewritten: pass --format parquet"):
        release(str(tmp_path / "M3IT"), tmp_path / "out", format="jsonl")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": 3}, "expected the fields instruction, .* found .*label"),
        ({"inputs": None}, "strings in all other fields"),
        ({"image_base64_str": make_row(1)["image_base64_str"][0]}, "a list of strings"),
    ],
)
def test_jsonl_release_of_rows_that_plain_datasets_cannot_read_is_refused(tmp_path, change, words):
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(0), {**make_row(1), **change}])
    with pytest.raises(ShardError, match=f"train.jsonl:2: .*{words}"):
        release(str(tmp_path / "repo"), tmp_path / "out", format="jsonl")
    with pytest.raises(M3ITError, match="1 rows of viquae/train are broken, .* pass --format parquet"):
        release(str(tmp_path / "repo"), tmp_path / "out", format="jsonl", on_error="drop")
    assert not (tmp_path / "out").exists()


def test_jsonl_release_of_parquet_or_into_a_release_is_refused(source, made, tmp_path):
    with pytest.raises(ShardError, match="expected the fields"):
        release(str(made[0]), tmp_path / "out", format="jsonl")
    with pytest.raises(M3ITError, match="holds a release of another format"):
        release(str(source), made[0], format="jsonl")
    with pytest.raises(ValueError, match="format='jsonl' has one kind of files"):
        release(str(source), tmp_path / "out", format="jsonl", images="native")


def test_the_line_that_uploads_names_the_folder_as_a_shell_takes_it():
    assert upload_line("a b").endswith(" 'a b' . --repo-type dataset --exclude '.work/*'")
    assert upload_line("s3://bucket/out") == (
        "To publish it, copy s3://bucket/out to a disk and call hf upload there: docs/cluster.md"
    )


def test_a_config_named_twice_is_released_once(source, tmp_path):
    run = release(str(source), tmp_path / "out", ["nlvr", "nlvr"])
    assert list(run["splits"]) == ["nlvr/validation"]
    assert run["options"]["configs"] == ["nlvr"]


# ---- the proof


def test_a_digest_is_of_config_split_id_texts_and_image_files():
    """Made here from its definition, with nothing of the code's but sorting left out."""
    row = {"instruction": "i", "inputs": "ä", "outputs": "o"}
    said = '["viquae", "train", "row-1", "i", "ä", "o", ["aa", "bb"]]'
    one = row_digest("viquae", "train", "row-1", row, ["aa", "bb"])
    assert one == hashlib.sha256(said.encode("utf-8")).digest()
    two = row_digest("viquae", "train", "row-2", row, [])
    assert (
        split_digest([two, one])
        == split_digest([one, two])
        == hashlib.sha256(min(one, two) + max(one, two)).hexdigest()
    )


def test_release_and_source_hold_the_same_rows(source, made):
    counts = {
        ("nlvr", "validation"): 5, ("okvqa-zh", "train"): 4, ("science-qa", "test"): 3,
        ("viquae", "test"): 3, ("viquae", "train"): NUM_TRAIN,
    }  # fmt: skip
    assert compare(str(source), str(made[0])) == Report([], counts, [])
    assert made[1]["splits"]["viquae/train"] == {
        "rows_in": NUM_TRAIN, "rows_out": NUM_TRAIN, "drops": {}, "digest": made[1]["splits"]["viquae/train"]["digest"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": "other"}, r"1 of other content \(row-501\)"),
        ({"image_base64_str": [base64.b64encode(picture(502) + b"\0").decode()]}, r"1 of other content \(row-501\)"),
        ({"meta": '{"id": "x"}'}, r"1 only in the first \(row-501\); 1 only in the second \(x\)"),
        (None, r"1 only in the first \(row-501\)"),
    ],
)
def test_a_row_that_differs_is_named(source, made, tmp_path, change, words):
    shutil.copytree(source, tmp_path / "repo")
    path = tmp_path / "repo/data/kvqa/viquae/test.jsonl"
    rows = lines_of(path)
    write_rows(path, [rows[0], *([{**rows[1], **change}] if change else []), rows[2]])
    findings = compare(str(made[0]), str(tmp_path / "repo"), "viquae").findings
    assert [(finding.rule, finding.where) for finding in findings] == [("against", "viquae/test")]
    assert re.search(words, findings[0].message)


def test_a_missing_config_or_split_is_named(source, made, tmp_path):
    shutil.copytree(source, tmp_path / "repo")
    shutil.rmtree(tmp_path / "repo/data/reasoning")
    (tmp_path / "repo/data/kvqa/viquae/test.jsonl").unlink()
    heard = []
    configs, split = compare(str(made[0]), str(tmp_path / "repo"), tell=heard.append).findings
    assert heard == [str(configs), str(split)]
    assert configs.where == str(tmp_path / "repo") and configs.message.endswith("here is none of these 1: nlvr")
    assert (split.where, split.message) == ("viquae/test", f"expected in both, found none in {tmp_path / 'repo'}")


def test_check_finds_nothing_in_a_release_and_a_base64_row_that_is_not_its_twins(made, tmp_path):
    out = tmp_path / "release"
    shutil.copytree(made[0], out)
    assert not check(Repository(out)).findings
    path = out / "data/reasoning/nlvr/validation.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[2]["image_base64_str"].reverse()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path, write_page_index=True)
    findings = check(Repository(out)).findings
    assert [(f.rule, f.where) for f in findings] == [("twin", "data/reasoning/nlvr/validation.parquet, row 2")]


def test_a_release_of_a_release_is_the_same_but_for_the_names_of_its_source(made, tmp_path):
    run = release(str(made[0]), tmp_path / "again")
    assert run["digest"] == made[1]["digest"]
    again, first = sums_of(tmp_path / "again"), sums_of(made[0])
    assert {path: again[path] for path in run["files"]} == {path: first[path] for path in run["files"]}


def test_row_ids_outlive_the_release_in_both_configs(source, made):
    ids = [json.loads(row["meta"])["id"] for row in load_dataset(str(source), "viquae", split="train", meta=True)]
    for name in ("viquae", "viquae-images"):
        rows = load_dataset(str(made[0]), name, split="train", streaming=True, meta=True)
        assert [json.loads(row["meta"])["id"] for row in rows] == ids
    assert len(set(ids)) == NUM_TRAIN


def test_every_config_of_the_published_layouts_is_released_row_for_row(tmp_path):
    import legacy_maker

    legacy_maker.m3it(tmp_path / "M3IT", ("coco", "imagenet", "viquae", "vist", "iqa", "iqa-rephrased"))
    run = release(str(tmp_path / "M3IT"), tmp_path / "out")
    assert not compare(str(tmp_path / "M3IT"), str(tmp_path / "out")).findings
    assert run["splits"]["coco/train"]["rows_in"] == 15  # five rows of one line, three lines
    rows = pq.read_table(tmp_path / "out/data/captioning/coco-images/train.parquet").to_pylist()
    assert [row["row_id"].rpartition("#")[2] for row in rows] == list("01234") * 3
    rows = pq.read_table(tmp_path / "out/data/classification/iqa-rephrased-images/test.parquet").to_pylist()
    assert {(row["dataset"], row["task"], row["language"]) for row in rows} == {("iqa", "classification", "en")}


def test_translations_with_pictures_in_another_file_are_released_row_for_row(tmp_path):
    import legacy_maker

    legacy_maker.m3it_80(tmp_path / "M3IT-80", ("okvqa", "vist"))
    release(str(tmp_path / "M3IT-80"), tmp_path / "out")
    report = compare(str(tmp_path / "M3IT-80"), str(tmp_path / "out"))
    assert report.counts and not report.findings


# ---- broken input


BROKEN = {
    "not JSON": '{"instruction": "i", ',
    "no outputs": json.dumps({k: v for k, v in make_row(1).items() if k != "outputs"}),
    "image is not base64": json.dumps(make_row(1, image_base64_str=["@@@@"])),
    "broken text": json.dumps(make_row(1, outputs="\ud800")),
}


def broken_source(folder, line):
    path = write_rows(folder / "data/kvqa/viquae/train.jsonl", [make_row(0)])
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n" + json.dumps(make_row(2)) + "\n")
    return folder


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_row_ends_the_release_with_file_and_line(tmp_path, reason):
    broken_source(tmp_path / "repo", BROKEN[reason])
    with pytest.raises(ShardError, match=r"data/kvqa/viquae/train.jsonl:2: .*on_error='drop'"):
        release(str(tmp_path / "repo"), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_row_is_left_out_counted_and_listed_if_asked_for(tmp_path, reason):
    broken_source(tmp_path / "repo", BROKEN[reason])
    run = release(str(tmp_path / "repo"), tmp_path / "out", on_error="drop")
    proof = run["splits"]["viquae/train"]
    assert (proof["rows_in"], proof["rows_out"], proof["drops"]) == (3, 2, {reason: 1})
    start = len((json.dumps(make_row(0), ensure_ascii=False) + "\n").encode())
    assert lines_of(tmp_path / "out/drops.jsonl") == [
        {
            "id": f"data/kvqa/viquae/train.jsonl:{start}",
            "shard": "data/kvqa/viquae-images/train.parquet",
            "reason": reason,
        }
    ]
    (warned,), counts, _ = compare(str(tmp_path / "repo"), str(tmp_path / "out"))
    assert (warned.level, counts) == ("warning", {("viquae", "train"): 2}) and reason in warned.message


def test_a_split_of_which_nothing_is_left_is_an_error(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [{"no": "row"}])
    with pytest.raises(M3ITError, match="viquae/train: no row of 1 is left"):
        release(str(tmp_path / "repo"), tmp_path / "out", on_error="drop")


def test_two_shards_of_one_name_are_refused(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/viquae/val.jsonl", [make_row(0)])
    write_rows(tmp_path / "repo/data/kvqa/viquae/validation.jsonl", [make_row(0)])
    with pytest.raises(ShardError, match="val.jsonl, validation.jsonl: one split, stored more than once"):
        release(str(tmp_path / "repo"), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "words"), [("a:b", "the Hub takes no :"), ("text", "a release has a config of this name")]
)
def test_a_config_name_that_a_release_cannot_have_is_refused(tmp_path, name, words):
    write_rows(tmp_path / f"repo/data/kvqa/{name}/train.jsonl", [make_row(0)])
    with pytest.raises(M3ITError, match=words):
        release(str(tmp_path / "repo"), tmp_path / "out")


def test_two_configs_of_which_one_is_named_as_the_others_pictures_are_refused(made, tmp_path):
    for name in ("viquae", "viquae-images"):
        write_rows(tmp_path / f"repo/data/kvqa/{name}/train.jsonl", [make_row(0)])
    for images in ("both", "native"):
        with pytest.raises(M3ITError, match="viquae-images: in a release this is viquae with its pictures"):
            release(str(tmp_path / "repo"), tmp_path / "out", images=images)
    with pytest.raises(M3ITError, match="viquae-images: in a release"):
        release(str(made[0]), tmp_path / "out", ["viquae", "viquae-images"])


def test_what_a_killed_release_left_half_written_is_removed(source, tmp_path):
    left = tmp_path / "out/data/kvqa/viquae/.train-00000-of-00009.parquet.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    release(str(source), tmp_path / "out", ["nlvr"])
    assert not left.exists()


def test_a_folder_without_rows_and_the_folder_itself_as_out_are_refused(source, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(M3ITError, match="no rows found"):
        release(str(tmp_path / "empty"), tmp_path / "out")
    with pytest.raises(M3ITError, match="another --out"):
        release(str(source), source)
    with pytest.raises(ValueError, match="expected both, native, base64"):
        release(str(source), tmp_path / "out", images="png")


def test_a_file_that_changes_while_it_is_read_ends_the_release(source, tmp_path):
    shutil.copytree(source, tmp_path / "repo")

    def progress(items, description, total):  # called when all is planned and nothing is read
        write_rows(tmp_path / "repo/data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(510, 513)])
        return items

    with pytest.raises(ShardError, match=r"test.jsonl: changed while it was read"):
        release(str(tmp_path / "repo"), tmp_path / "out", ["viquae"], progress=progress)


def test_a_folder_begun_from_another_state_of_the_source_is_refused(source, tmp_path):
    shutil.copytree(source, tmp_path / "repo")
    release(str(tmp_path / "repo"), tmp_path / "out", ["nlvr"])
    rows = lines_of(tmp_path / "repo/data/reasoning/nlvr/validation.jsonl")
    write_rows(tmp_path / "repo/data/reasoning/nlvr/validation.jsonl", rows[:-1])
    with pytest.raises(M3ITError, match="was made with .*source="):
        release(str(tmp_path / "repo"), tmp_path / "out", ["nlvr"])
    with pytest.raises(M3ITError, match="was made with .*images=both, not native"):
        release(str(source), tmp_path / "out", ["nlvr"], images="native")


RELEASE = """
import resource, sys
from m3it.publishing.release import release
limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
release(sys.argv[1], sys.argv[2], shard_bytes=200_000)
"""


def start(source, out, limit=0):
    """A release in a process of its own; files may grow to `limit` bytes."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RELEASE, str(source), str(out), str(limit)]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_is_said_and_leaves_nothing_half_written(source, tmp_path):
    process = start(source, tmp_path / "out", limit=20_000)
    _, said = process.communicate()
    assert process.returncode and "cannot be made" in said and "Nothing half-written is left" in said
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert not [path for path in (tmp_path / "out").rglob("train*.parquet") if path.stat().st_size == 20_000]


# ---- scale


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """40 MB of rows of 100 kB: three pieces and more, for shards that take a while."""
    root, rows = tmp_path_factory.mktemp("large") / "repo", []
    for i in range(400):
        noise = base64.b64encode(hashlib.shake_256(b"%d" % i).digest(75_000)).decode()
        rows.append(make_row(i, image_base64_str=[noise]))
    write_rows(root / "data/kvqa/viquae/train.jsonl", rows)
    return root


@pytest.fixture(scope="module")
def expected(large, tmp_path_factory):
    """path -> sha256 of its release, made in one go."""
    out = tmp_path_factory.mktemp("expected") / "out"
    release(str(large), out, shard_bytes=4_000_000)
    assert len(sums_of(out)) > 20
    return sums_of(out)


def test_a_pool_of_processes_makes_the_same_bytes(large, expected, tmp_path):
    release(str(large), tmp_path / "out", shard_bytes=4_000_000, workers=2)
    assert sums_of(tmp_path / "out") == expected


def test_killed_in_the_middle_of_a_shard_and_called_again_it_ends_with_the_same_bytes(large, expected, tmp_path):
    out = tmp_path / "out"
    code = "import sys; from m3it.publishing.release import release; "
    code += "release(sys.argv[1], sys.argv[2], shard_bytes=4_000_000)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(large), str(out)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    while process.poll() is None and not (list(out.rglob("*.json")) and list(out.rglob(".train*.tmp"))):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list((out / ".work").glob("*.json")))
    assert 0 < done < 10 and not (out / "README.md").exists()
    release(str(large), out, shard_bytes=4_000_000)
    assert sums_of(out) == expected
    assert not list(out.rglob("*.tmp"))


def test_a_cluster_that_loses_a_worker_makes_the_same_bytes(large, expected, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
    ) as cluster:
        victim = next(iter(cluster.workers.values()))
        killed = []

        def kill_when_begun():
            while not list((tmp_path / "out").glob(".work/*.json")):
                time.sleep(0.001)
            os.kill(victim.process.pid, signal.SIGKILL)
            killed.append(len(list((tmp_path / "out").glob(".work/*.json"))))

        thread = threading.Thread(target=kill_when_begun)
        thread.start()
        release(str(large), tmp_path / "out", shard_bytes=4_000_000, cluster=cluster.scheduler_address)
        thread.join()
    assert killed and killed[0] < 10  # while there was work left
    assert sums_of(tmp_path / "out") == expected


@pytest.fixture
def bucket(monkeypatch):
    """The URL of a bucket on a server that speaks S3."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    server.stop()


def test_object_storage_holds_source_and_release(source, made, bucket, tmp_path):
    import s3fs

    s3fs.S3FileSystem().put(str(source / "data"), "bucket/source/data", recursive=True)
    run = release(f"{bucket}/source", f"{bucket}/out", workers=2)
    assert run["source"] == {f"{bucket}/source": None} and run["digest"] == made[1]["digest"]
    assert {path: file["sha256"] for path, file in run["files"].items()} == {
        path: file["sha256"] for path, file in made[1]["files"].items()
    }
    s3fs.S3FileSystem().get("bucket/out/", str(tmp_path / "out"), recursive=True)
    assert {path for path in sums_of(tmp_path / "out") if path.endswith(".parquet")} == set(run["files"])
    assert sums_of(tmp_path / "out")["README.md"] == sums_of(made[0])["README.md"]
    assert not check(Repository(f"{bucket}/out")).findings
    s3fs.S3FileSystem().rm("bucket/out/data/kvqa/viquae-images/train.parquet")
    again = release(f"{bucket}/source", f"{bucket}/out")
    assert again == run


@pytest.mark.slow
def test_memory_does_not_grow_with_the_split(tmp_path):
    noise = base64.b64encode(hashlib.shake_256(b"m3it").digest(75_000)).decode()
    peaks = []
    for number in (2_000, 8_000):
        rows = (make_row(i, image_base64_str=[noise]) for i in range(number))
        write_rows(tmp_path / f"{number}/data/kvqa/viquae/train.jsonl", rows)
        # ru_maxrss would be pytest's
        code = "import re, sys; from m3it.publishing.release import release; release(*sys.argv[1:])\n"
        code += (
            "print(int(re.search('VmHWM: *([0-9]+)', open('/proc/self/status').read().replace(chr(9), ' '))[1]) * 1024)"
        )
        command = [sys.executable, "-c", code, str(tmp_path / f"{number}"), str(tmp_path / f"out-{number}")]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.15 * peaks[0] and peaks[1] < 1e9


# ---- what others read of it


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(a Hub, run.json, the source's rows by config and split): a miniature of the published repository, released."""
    import legacy_maker

    try:
        olah_environment()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"olah cannot be installed: {error.stderr}")
    root = tmp_path_factory.mktemp("served")
    legacy_maker.m3it(root / "legacy", ("viquae", "coco", "vist"))
    run = release(str(root / "legacy"), root / "release")
    rows = {}
    for name in ("viquae", "coco", "vist"):
        loaded = load_dataset(str(root / "legacy"), name, meta=True, cache_dir=str(root / "cache"))
        rows |= {(name, split): [dict(row) for row in loaded[split]] for split in loaded}
    (root / "release/.work").rename(root / "work")  # as `hf upload-large-folder --exclude` leaves it out
    with Hub(root / "hub") as hub:
        hub.add("MMInstruction/M3IT", root / "release")
        yield hub, run, rows, root / "release"


def run_program(hub, home, code):
    """What a program prints as its last line, as JSON; its `datasets` is that of this environment."""
    done = subprocess.run([sys.executable, "-c", code], env=hub.environ(home), capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().split("\n")[-1])


PLAIN = """
import base64, json
from datasets import Image, load_dataset

def plain(row):
    row = dict(row)
    if "images" in row:
        row["images"] = [base64.b64encode(image["bytes"]).decode() for image in row["images"]]
    return row

out = {}
for config in CONFIGS:
    for streaming in (False, True):
        found = load_dataset("MMInstruction/M3IT", config, streaming=streaming)
        for split, rows in found.items():
            if config.endswith("-images"):
                rows = rows.cast_column("images", [Image(decode=False)])
            out.setdefault(config, {}).setdefault(split, []).append([plain(row) for row in rows])
print(json.dumps(out))
"""


def test_matrix_plain_datasets_loads_and_streams_every_row(served, tmp_path):
    hub, run, rows, _ = served
    configs = [name + end for name in ("viquae", "coco", "vist") for end in ("", "-images")]
    out = run_program(hub, tmp_path, f"CONFIGS = {configs!r}" + PLAIN)
    assert {(name, split) for name in out for split in out[name] if not name.endswith("-images")} == set(rows)
    for (name, split), expected in rows.items():
        four = [{column: row[column] for column in PUBLISHED} for row in expected]
        assert out[name][split] == [four, four]
        for found in out[f"{name}-images"][split]:
            pictures = [{**row, "image_base64_str": row["images"]} for row in found]
            assert [{column: row[column] for column in PUBLISHED} for row in pictures] == four
            assert [row["meta"] for row in found] == [row["meta"] for row in expected]
            digests = [row_digest(name, split, row["row_id"], row, row["image_sha256"]) for row in found]
            assert split_digest(digests) == run["splits"][f"{name}/{split}"]["digest"]


def test_a_release_of_a_hub_repository_is_that_of_the_folder_and_lists_it_once(served, tmp_path):
    hub, run, _, folder = served
    hub.add("Org/raw", folder.parent / "legacy")
    code = """
import json, sys
sys.path.insert(0, {root!r})
from m3it.publishing.release import release
run = release("Org/raw", {out!r}, shard_bytes=1, workers=2)
print(json.dumps([run["source"], run["digest"]]))
"""
    before = len(hub.requests)
    (name, commit), digest = (lambda found: (*found[0].items(), found[1]))(
        run_program(hub, tmp_path, code.format(root=str(ROOT), out=str(tmp_path / "out")))
    )
    asked = [request.path for request in hub.requests[before:] if "/tree/" in request.path]
    assert (name, commit) == ("Org/raw", hub.find_commit("Org/raw", "main")) and digest == run["digest"]
    assert len(asked) <= 2 * 3, asked  # for each config one listing of this and one look at the converted branch


def test_matrix_the_snippet_of_the_readme_runs_as_it_stands(served, tmp_path):
    hub, _, rows, _ = served
    snippet = README_SNIPPET.search((ROOT / "README.md").read_text("utf-8"))[1]
    last = "import json; print(json.dumps([dataset['train'].num_rows, inputs, image_0.size]))"
    found = run_program(hub, tmp_path, f"{snippet}\n{last}")
    expected = rows["viquae", "train"]
    with Image.open(io.BytesIO(base64.b64decode(expected[-1]["image_base64_str"][0]))) as image:
        assert found == [len(expected), expected[-1]["inputs"], list(image.size)]


def test_matrix_pictures_open_and_texts_are_found(served, tmp_path):
    hub, _, rows, _ = served
    code = """
import json
from datasets import load_dataset
first = load_dataset("MMInstruction/M3IT")  # what the viewer opens
row = next(iter(load_dataset("MMInstruction/M3IT", "vist-images", split="train", streaming=True)))
texts = load_dataset("MMInstruction/M3IT", "text", split="test")
sizes = [image.size for image in row["images"]]
print(json.dumps([sorted(first), sizes, sorted(set(texts["dataset"])), texts.num_rows]))
"""
    splits, sizes, datasets, num_rows = run_program(hub, tmp_path, code)
    assert splits == ["test", "train", "validation"]
    assert sizes == [[8, 6]] * 5
    assert datasets == ["coco", "viquae", "vist"]
    assert num_rows == sum(len(found) for (_, split), found in rows.items() if split == "test")


def test_duckdb_filters_over_http_and_fetches_only_what_it_needs(large, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    from fsspec.implementations.http import HTTPFileSystem

    class Http(HTTPFileSystem):
        def modified(self, path):  # DuckDB asks
            return datetime.datetime(2026, 1, 1)

        async def _exists(self, path, **options):  # else by a GET of all, whose body is not read
            return bool(await self._info(path))

    release(str(large), tmp_path / "out", images="native")
    path = "data/kvqa/viquae/train.parquet"
    size = (tmp_path / "out" / path).stat().st_size
    with Hub(tmp_path / "hub") as hub:
        hub.add("MMInstruction/M3IT", tmp_path / "out")
        url = f"{hub.endpoint}/datasets/MMInstruction/M3IT/resolve/main/{path}"
        duckdb.register_filesystem(Http(block_size=2**16))
        found = duckdb.sql(f"SELECT row_id, inputs FROM '{url}' WHERE row_id = 'row-300'").fetchall()
        requests = [request for request in hub.requests if request.method == "GET" and path in request.path]
    assert found == [("row-300", "What is 300?")]
    assert all(request.range for request in requests)
    assert 0 < sum(request.num_bytes for request in requests) < size / 10


def thrift(data, at=0):
    """A struct of Thrift's compact protocol as {field: value}, and where it ends. Parquet's footer is such."""

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def read(kind):
        nonlocal at
        if kind in (1, 2):
            return kind == 1
        if kind in (4, 5, 6):
            number = varint()
            return (number >> 1) ^ -(number & 1)
        if kind == 8:
            length = varint()
            at += length
            return data[at - length : at]
        if kind == 9:
            head = data[at]
            at += 1
            length = head >> 4 if head >> 4 < 15 else varint()
            return [read(head & 15) for _ in range(length)]
        if kind == 12:
            value, at = thrift(data, at)
            return value
        at += 1 if kind == 3 else 8
        return None

    fields, number = {}, 0
    while data[at]:
        head = data[at]
        at += 1
        number = number + (head >> 4) if head >> 4 else read(4)
        fields[number] = read(head & 15)
    return fields, at + 1


def page_bytes(data, row, count):
    """Bytes of all pages that hold rows [row, row + count) of the file's first row group, by its page index."""
    length = int.from_bytes(data[-8:-4], "little")
    footer, _ = thrift(data[-8 - length : -8])
    total = 0
    for column in footer[4][0][1]:  # row_groups[0].columns
        start, size = column[4], column[5]  # offset_index_offset, offset_index_length
        pages = thrift(data[start : start + size])[0][
            1
        ]  # page_locations: offset, compressed_page_size, first_row_index
        ends = [page[3] for page in pages[1:]] + [footer[4][0][3]]
        total += sum(page[2] for page, end in zip(pages, ends, strict=True) if page[3] < row + count and end > row)
    return total, footer[4][0][2]


def test_a_page_of_rows_is_a_small_part_of_its_row_group_through_the_page_index(large, tmp_path):
    release(str(large), tmp_path / "out")
    for config, fraction in (("viquae-images", 0.4), ("viquae", 0.4)):
        data = (tmp_path / f"out/data/kvqa/{config}/train.parquet").read_bytes()
        needed, group = page_bytes(data, 50, 10)
        assert 10 * 75_000 < needed < fraction * group < 300_000_000, config  # the viewer's limit for what it reads
