"""m3it/publishing/jsonl.py: the card of rows that are in the schema already."""

import hashlib
import shutil

import pytest
from conftest import make_row, write_rows

from M3IT import Repository, ShardError
from m3it.publishing.check import check
from m3it.publishing.release import release
from m3it.rows.instance import M3ITError


def test_jsonl_release_is_a_card_without_a_script(source, tmp_path):
    run = release(str(source), tmp_path / "card", format="jsonl")
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == [
        "LICENSES.md", "README.md", "croissant.json", "dataset_infos.json", "run.json",
    ]  # fmt: skip
    shutil.copytree(source / "data", tmp_path / "card/data")
    found = check(Repository(tmp_path / "card")).findings
    rules = ["config-with-pictures", "statistics-computed"]  # none but base64; rows of science-qa have 0 or 1
    assert [finding.rule for finding in found] == rules and {finding.level for finding in found} == {"warning"}
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
