"""m3it/publishing/check.py: each kind of broken row is found, with file, line and rule; and nothing else is."""

import base64
import gzip
import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_row, picture, write_rows

from M3IT import Repository
from m3it.publishing.check import Report, check, compare
from m3it.publishing.hub_rules import Finding, broken
from m3it.publishing.repository_card import card
from m3it.publishing.statistics import Tally
from m3it.rows.instance import FIELDS
from publishing.defects import TRAIN, edit_head, rewrite, with_column, with_images
from publishing.releases import NUM_TRAIN, lines_of

PATH = "data/kvqa/viquae/train.jsonl"


NO_CARD = broken("card-head-readable", "README.md", "expected a README.md, found none. Run: m3it card", "warning")


def findings_of(folder, config=None):
    """What is wrong with the rows; most of the folders here have no card, which is said of each."""
    return [finding for finding in check(Repository(folder), config).findings if finding != NO_CARD]


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def test_a_repository_that_keeps_the_contracts_has_no_findings(repository):
    counts = {("okvqa-zh", "validation"): 4, ("viquae", "test"): 3, ("viquae", "train"): 10}
    assert check(Repository(repository)) == Report([NO_CARD], counts, [])
    assert check(Repository(repository), "okvqa-zh").counts == {("okvqa-zh", "validation"): 4}


def test_a_finding_is_told_before_the_next_file_is_read(tmp_path):
    write_rows(tmp_path / "data/t/a/train.jsonl", [make_row(0, outputs="")])
    write_rows(tmp_path / "data/t/b/train.jsonl", [make_row(0)])
    heard = []

    def progress(rows, path):
        heard.append(path)
        return rows

    report = check(Repository(tmp_path), tell=heard.append, progress=progress)
    said = "data/t/a/train.jsonl:1: expected an answer in outputs, found nothing [outputs]"
    assert heard == ["data/t/a/train.jsonl", said, "data/t/b/train.jsonl", str(NO_CARD)]
    assert [str(finding) for finding in report.findings] == [said, str(NO_CARD)]


ROW = make_row(1)
HALF = base64.b64encode(picture(1)[:40]).decode()


@pytest.mark.parametrize(
    ("row", "rule", "words"),
    [
        (without(ROW, "meta"), "fields", "expected the fields instruction, .*, meta, found"),
        (without(ROW, "outputs"), "fields", "expected the fields"),
        ({**ROW, "label": 3}, "fields", "label"),
        ({name: ROW[name] for name in sorted(FIELDS)}, "fields", "found image_base64_str, inputs"),
        ([ROW], "types", "expected a JSON object, found list"),
        (3, "types", "expected a JSON object, found int"),
        ({**ROW, "outputs": None}, "types", "outputs"),
        ({**ROW, "outputs": ["a"]}, "types", "outputs"),
        ({**ROW, "inputs": 7}, "types", "inputs"),
        ({**ROW, "inputs": None}, "types", "inputs"),
        ({**ROW, "meta": {"id": "1"}}, "types", "meta"),
        ({**ROW, "image_base64_str": ROW["image_base64_str"][0]}, "types", "image_base64_str"),
        ({**ROW, "image_base64_str": [None]}, "types", "image_base64_str"),
        ({**ROW, "image_base64_str": ["data:image/png;base64," + ROW["image_base64_str"][0]]}, "types", "plain base64"),
        ({**ROW, "image_base64_str": [base64.encodebytes(picture(1)).decode()]}, "types", "plain base64"),
        ({**ROW, "image_base64_str": ["abc!"]}, "base64", "expected base64"),
        ({**ROW, "image_base64_str": ["abcde"]}, "base64", "expected base64"),
        ({**ROW, "image_base64_str": ["caf\u00e9"]}, "base64", "ASCII"),
        ({**ROW, "image_base64_str": [HALF]}, "image", "image 1 of 1: expected an image, found"),
        (
            {**ROW, "image_base64_str": [*ROW["image_base64_str"], base64.b64encode(b"<html>").decode()]},
            "image",
            "image 2 of 2.*HTML",
        ),
        ({**ROW, "image_base64_str": [""]}, "base64", "found an empty text"),
        ({**ROW, "meta": "{"}, "meta", "expected a JSON string in meta"),
        ({**ROW, "meta": "[]"}, "meta", "expected a JSON object in meta"),
        ({**ROW, "meta": '{"id": 7}'}, "meta", "expected a string as the id in meta, found 7"),
        ({**ROW, "meta": '{"id": ["7"]}'}, "meta", "expected a string as the id in meta"),
        ({**ROW, "outputs": " \n"}, "outputs", "expected an answer"),
    ],
)
def test_a_broken_row_is_found_with_file_line_and_rule(tmp_path, row, rule, words):
    write_rows(tmp_path / PATH, [make_row(0), row, make_row(2)])
    (finding,) = findings_of(tmp_path)
    assert (finding.rule, finding.where) == (rule, f"{PATH}:2")
    assert re.search(words, finding.message), finding.message


def test_lines_that_are_no_json_and_half_characters_are_found(tmp_path):
    path = write_rows(tmp_path / PATH, [make_row(0)])
    surrogate = json.dumps(make_row(2, inputs="half \ud83d"))
    path.write_bytes(
        path.read_bytes() + b'{"instruction": "a\n' + surrogate.encode() + b"\n" + b"\xff\xfe\n" + b"[" * 200_000
    )
    assert [(f.rule, f.where) for f in findings_of(tmp_path)] == [
        ("json", f"{PATH}:2"),
        ("types", f"{PATH}:3"),
        ("json", f"{PATH}:4"),
        ("json", f"{PATH}:5"),  # nested deeper than a parser goes
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t\n\n"])
@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_lines_are_counted_as_an_editor_does(tmp_path, end, head):
    path = write_rows(tmp_path / PATH, [make_row(i, outputs="" if i % 3 == 1 else "a") for i in range(8)], end)
    path.write_bytes(head + path.read_bytes())
    lines = path.read_bytes().split(b"\n")
    expected = [f"{PATH}:{number}" for number, line in enumerate(lines, 1) if b'"outputs": ""' in line]
    assert [finding.where for finding in findings_of(tmp_path)] == expected and len(expected) == 3


def test_a_git_lfs_pointer_is_named_as_one(tmp_path):
    path = write_rows(tmp_path / PATH, [])
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    assert "found a Git LFS pointer (get the file: git lfs pull)" in findings_of(tmp_path)[0].message


def test_a_link_that_leads_nowhere_is_found_and_one_to_a_file_is_read(tmp_path):
    write_rows(tmp_path / "blob", [make_row(0)])
    (tmp_path / "data/t/d").mkdir(parents=True)
    (tmp_path / "data/t/d/train.jsonl").symlink_to(tmp_path / "blob")
    (tmp_path / "data/t/d/test.jsonl").symlink_to(tmp_path / "gone")
    report = check(Repository(tmp_path))
    assert report.counts["d", "train"] == 1
    finding, _ = report.findings
    assert (finding.rule, finding.where) == ("file", "data/t/d/test.jsonl") and "FileNotFoundError" in finding.message


@pytest.mark.parametrize("name", ["train_v2.jsonl", "Train.jsonl", "train.JSONL", "a/b/train.parquet", "all.jsonl.gz"])
def test_a_file_of_rows_that_no_config_has_is_a_warning(repository, name):
    stray = repository / "data/kvqa/viquae" / name
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"")
    for other in ("drops.jsonl", "run.json", ".train.jsonl.tmp", "notes.txt"):
        (repository / "data/kvqa/viquae" / other).write_bytes(b"")
    (finding,) = findings_of(repository)
    assert (finding.rule, finding.where, finding.level) == ("name", f"data/kvqa/viquae/{name}", "warning")


@pytest.mark.parametrize("images", [[{"bytes": None, "path": "a.png"}], [{"path": "a.png"}], ["a.png"]])
def test_pictures_of_parquet_that_lie_elsewhere_are_found(tmp_path, images):
    path = tmp_path / "data/t/d/train.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([{"instruction": "a", "inputs": "b", "images": images, "outputs": "c"}]), path)
    (finding,) = findings_of(tmp_path)
    assert (finding.rule, finding.where) == ("types", "data/t/d/train.parquet, row 0")


def test_fields_that_parquet_has_are_said_as_they_are(tmp_path):
    path = tmp_path / "data/t/d/train.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), path)
    (finding,) = findings_of(tmp_path)
    assert finding.message.endswith("found a, b")


def test_an_answer_may_be_withheld_in_a_test_split(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/test.jsonl", [make_row(0, outputs="")])
    assert findings_of(tmp_path) == []


def test_an_id_that_stands_twice_in_a_split_is_found(tmp_path):
    write_rows(tmp_path / "data/t/d/train-00000-of-00002.jsonl", [make_row(0), make_row(1)])
    write_rows(tmp_path / "data/t/d/train-00001-of-00002.jsonl", [make_row(2), make_row(0)])
    write_rows(tmp_path / "data/t/d/test.jsonl", [make_row(0), make_row(1, meta="{}"), make_row(2, meta="{}")])
    (finding,) = findings_of(tmp_path)
    assert finding == Finding(
        "id",
        "data/t/d/train-00001-of-00002.jsonl:2",
        "row id 'row-0' stands at data/t/d/train-00000-of-00002.jsonl:1 already",
    )


def test_a_missing_shard_and_a_split_stored_twice_are_found(tmp_path):
    write_rows(tmp_path / "data/t/a/train-00001-of-00002.jsonl", [make_row(0)])
    write_rows(tmp_path / "data/t/b/val.jsonl", [make_row(0)])
    write_rows(tmp_path / "data/t/b/validation.jsonl", [make_row(0)])
    assert [(f.rule, f.where) for f in findings_of(tmp_path)] == [("shards", "a"), ("shards", "b")]


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_rows_of_other_files_are_checked_alike(tmp_path, ending):
    rows = [make_row(0), make_row(1, outputs=" "), make_row(2)]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / f"data/t/d/train.{ending}"
    path.parent.mkdir(parents=True)
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(text) if ending.endswith("gz") else pa.compress(text, "zstd", asbytes=True))
    second = "row 1" if ending == "parquet" else f"byte {text.index(chr(10).encode()) + 1}"
    assert [(f.rule, f.where) for f in findings_of(tmp_path)] == [("outputs", f"data/t/d/train.{ending}, {second}")]


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_file_that_cannot_be_read_to_its_end_is_found_and_the_others_are_read(tmp_path, ending):
    text = "".join(json.dumps(make_row(i)) + "\n" for i in range(500)).encode()
    path = tmp_path / f"data/t/d/train.{ending}"
    path.parent.mkdir(parents=True)
    whole = gzip.compress(text) if ending.endswith("gz") else pa.compress(text, "zstd", asbytes=True)
    path.write_bytes(b"PAR1 is not all" if ending == "parquet" else whole[: len(whole) // 2])
    write_rows(tmp_path / "data/t/e/train.jsonl", [make_row(0)])
    report = check(Repository(tmp_path))
    assert [(f.rule, f.where) for f in report.findings if f != NO_CARD] == [("file", f"data/t/d/train.{ending}")]
    assert report.counts["e", "train"] == 1


def test_counts_that_differ_from_dataset_infos_are_found(repository):
    (repository / "README.md").write_text("", "utf-8")
    card(repository)
    assert [finding.rule for finding in findings_of(repository)] == [
        "config-with-pictures"
    ]  # there are no pictures but base64
    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(5)])
    (repository / "data/kvqa/okvqa/zh/validation.jsonl").unlink()
    write_rows(repository / "data/t/new/train.jsonl", [make_row(0)])
    counts = [finding for finding in findings_of(repository) if finding.rule == "counts"]  # the card has its own rules
    assert [finding[:3] for finding in counts] == [
        ("counts", "viquae/test", "dataset_infos.json states 3 rows, found 5. Run: m3it card"),
        ("counts", "new/train", "dataset_infos.json states no rows, found 1. Run: m3it card"),
        ("counts", "okvqa-zh/validation", "dataset_infos.json states 4 rows, found none. Run: m3it card"),
    ]
    assert [f.where for f in findings_of(repository, "viquae")] == ["viquae/test"]


@pytest.mark.parametrize("text", ["{", "[]", '{"viquae": {}}', '{"viquae": {"splits": {"train": 3}}}'])
def test_a_dataset_infos_of_another_shape_is_found(repository, text):
    (repository / "dataset_infos.json").write_text(text, "utf-8")
    (finding,) = findings_of(repository)
    assert (finding.rule, finding.where) == ("counts", "dataset_infos.json")


def test_every_row_of_the_sample_keeps_the_contracts():
    folder = ROOT
    assert findings_of(folder, "viquae") == findings_of(folder, "nlvr") == []


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
    known = {"statistics-computed", "filter-values-few"}  # rows of science-qa have 0 or 1 pictures; others are few
    assert {(f.rule, f.level) for f in check(Repository(out)).findings} <= {(rule, "warning") for rule in known}
    path = out / "data/reasoning/nlvr/validation.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[2]["image_base64_str"].reverse()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path, write_page_index=True)
    findings = [finding for finding in check(Repository(out)).findings if finding.rule not in known]
    assert [(f.rule, f.where) for f in findings] == [("twin", "data/reasoning/nlvr/validation.parquet, row 2")]


def test_pictures_that_are_null_end_no_check_and_are_none(spoilable):
    rewrite(spoilable / TRAIN, lambda table: with_images(table, [None]))
    rewrite(spoilable / TRAIN.replace("-images", ""), lambda table: with_column(table, "image_base64_str", [[]]))
    assert findings_of(spoilable) == []


@pytest.mark.parametrize("kind", [pa.string(), pa.list_(pa.binary()), pa.list_(pa.int64()), pa.int64()])
def test_pictures_of_another_type_are_found_and_end_no_check(spoilable, kind):
    values = {pa.string(): ["a.png"], pa.list_(pa.binary()): [[b"x"]], pa.int64(): [7]}.get(kind, [[7]])
    rewrite(spoilable / TRAIN, lambda table: with_column(table, "images", values, kind))
    rules = {finding.rule for finding in findings_of(spoilable)}
    assert {"types", "pictures-hold-bytes", "features-match-files"} <= rules and "twin" not in rules


def test_a_parquet_file_that_cannot_be_opened_ends_no_rule_of_the_hub(spoilable):
    (spoilable / TRAIN).write_bytes(b"PAR1 is not all")
    edit_head(spoilable, lambda head: head.pop("license"))
    found = {(finding.rule, finding.where) for finding in findings_of(spoilable)}
    assert {("file", TRAIN), ("parquet-readable", TRAIN), ("card-metadata-complete", "README.md")} <= found


def test_rows_are_counted_once_for_the_viewers_statistics(spoilable, monkeypatch):
    write_rows(spoilable / "data/vqa/gqa/train.jsonl", [make_row(i % 7, i % 2 + 1) for i in range(4)])
    files = [{"split": "train", "path": "data/vqa/gqa/train.jsonl"}]
    edit_head(spoilable, lambda head: head["configs"].append({"config_name": "gqa", "data_files": files}))
    counted = []
    monkeypatch.setattr("m3it.publishing.hub_card.try_to_count", lambda file: counted.append(file) or Tally())
    found = [f for f in findings_of(spoilable) if (f.rule, f.where) == ("statistics-computed", "gqa/train")]
    assert [finding.message for finding in found] == [
        "the viewer cannot count image_base64_str (1 and 2 values or lengths)"
    ]
    assert len(counted) == 2  # the texts of both splits, which are no dataset
