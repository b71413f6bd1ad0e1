"""m3it/reading/published/files.py: which files hold a config, and whether they are there at all."""

import legacy_maker
import pytest
from legacy_maker import OLDER, p, spoil, write_lines
from published_rows import EXPECTED, flat, rows_of, said, stranger

from M3IT import Repository, ShardError
from m3it.reading.layouts import survey
from m3it.reading.load import load_builder
from m3it.reading.published.files import strangers


def test_files_of_older_revisions_are_read_as_their_script_did(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("okvqa", "a-okvqa", "viquae", "fm-iqa"))
    for path in tmp_path.glob("data/vqa/*/*_v2.jsonl"):
        path.unlink()
    for path in tmp_path.glob("data/vqa/fm-iqa/para_*.jsonl"):
        path.unlink()
    old = {config: rows_of(tmp_path, config)[0]["outputs"] for config in ("okvqa", "a-okvqa", "viquae", "fm-iqa")}
    assert old == {
        "okvqa": "old",
        "a-okvqa": "It is old. So the answer is old.",
        "viquae": "The answer is old.\n",
        "fm-iqa": "旧。",
    }
    assert list(load_builder(tmp_path, "okvqa").shards("okvqa")) == ["train"]
    assert len(rows_of(tmp_path, "okvqa")) == len(OLDER["vqa/okvqa/train.jsonl"])


def test_a_folder_that_once_lay_in_another_group_is_found(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("iqa",))
    (tmp_path / "data/reasoning").mkdir()
    (tmp_path / "data/classification/iqa").rename(tmp_path / "data/reasoning/iqa")
    assert said(rows_of(tmp_path, "iqa", "test")) == flat(EXPECTED["iqa"][:1])


def test_an_empty_file_gives_way_to_the_older_one(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("a-okvqa",))
    spoil(tmp_path / "data/vqa/a-okvqa/train_v2.jsonl", "empty file")
    assert rows_of(tmp_path, "a-okvqa")[0]["outputs"] == "It is old. So the answer is old."


def test_files_of_an_unknown_folder_are_read_by_the_words_in_their_names(tmp_path):
    folder = tmp_path / "data/vqa/new_set"
    row = {"question": "q", "answer": "a", "img_str": p(0)}
    stranger(tmp_path, row)
    (folder / "train.jsonl").rename(folder / "all rows.jsonl")
    assert load_builder(tmp_path, "new-set").shards("new-set") == {"train": ["data/vqa/new_set/all rows.jsonl"]}
    shards = [f"data/vqa/new_set/devices_train-0000{k}-of-00002.jsonl" for k in range(2)]
    for path in (*shards, "data/vqa/new_set/dev.jsonl"):
        write_lines(tmp_path / path, [row])
    found = {"train": shards, "validation": ["data/vqa/new_set/dev.jsonl"]}
    assert load_builder(tmp_path, "new-set").shards("new-set") == found
    write_lines(folder / "train_v2.jsonl", [row])
    with pytest.raises(ShardError, match="train_v2.jsonl could both be the train split; expected one"):
        load_builder(tmp_path, "new-set")
    legacy_maker.m3it(tmp_path, ("gqa",))
    problems = {reading.config: reading.error for reading in survey(Repository(tmp_path))}
    assert problems["gqa"] == "" and "could both be the train split" in problems["new-set"]  # one does not hide others


def test_files_at_the_root_of_a_repository_are_no_configs():
    """On the Hub the listing holds the script and the card, too."""

    class Listed:
        files = {"M3IT.py": {}, "README.md": {}, "data/README.md": {}, "data/vqa/new-set/train.jsonl": {}}

    assert list(strangers(Listed())) == ["new-set"]


@pytest.mark.parametrize("file", ["gqa/train.jsonl", "gqa/instruction.json"])
def test_a_pointer_of_git_lfs_says_how_to_get_the_data(tmp_path, file):
    legacy_maker.m3it(tmp_path, ("gqa",))
    spoil(tmp_path / "data/vqa" / file, "Git LFS pointer")
    found = "expected 624,951,234 bytes of data, found a Git LFS pointer instead"
    expected = f"data/vqa/{file}: {found}. Run in that clone: git lfs pull --include 'data/vqa/{file}'"
    for options in ({}, {"on_error": "drop"}):  # a file that is not there is no row to drop
        with pytest.raises(ShardError, match=expected):
            rows_of(tmp_path, "gqa", **options)


def test_a_clone_made_of_links_is_read(published, tmp_path):
    """As the Hub's cache lays a snapshot out."""
    for path in published.rglob("data/vqa/gqa/*"):
        link = tmp_path / "snapshot" / path.relative_to(published)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    assert len(rows_of(tmp_path / "snapshot", "gqa")) == 3
