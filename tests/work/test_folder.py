"""m3it.work.folder: files that appear whole or not at all, in a folder here or at a URL."""

import hashlib
import json
import os

import fsspec
import pytest

from m3it.work.folder import Folder, absolute, sha256_of, write_json, write_text


@pytest.fixture(params=["local", "url"])
def folder(request, tmp_path):
    """A folder on this disk, and one in memory behind a URL."""
    if request.param == "local":
        yield Folder(tmp_path / "out")
        return
    yield Folder("memory://out")
    fsspec.filesystem("memory").store.clear()


def test_a_file_has_its_name_when_the_block_has_ended_well(folder):
    with folder.writing("a/b.txt") as unfinished:
        unfinished.write_text("one")
        assert not folder.exists("a/b.txt")
    assert folder.exists("a/b.txt") and folder.size("a/b.txt") == 3
    with folder.open("a/b.txt") as file:
        assert file.read() == b"one"
    assert folder.sizes() == {"a/b.txt": 3} and not unfinished.exists()


def test_a_block_that_ends_ill_leaves_what_was_there(folder):
    folder.write("a.txt", "old")
    with pytest.raises(KeyboardInterrupt), folder.writing("a.txt") as unfinished:
        unfinished.write_text("half of the n")
        raise KeyboardInterrupt
    assert folder.sizes() == {"a.txt": 3} and not unfinished.exists()


def test_lines_end_alike_on_every_system(folder):
    folder.write("a.txt", "one\n\u4e2d\n")
    with folder.open("a.txt") as file:
        assert file.read() == "one\n\u4e2d\n".encode()


def test_records_are_read_in_the_order_of_their_names(folder):
    for name in ("b", "a"):
        folder.write(f".work/{name}.json", json.dumps({"path": name}))
    folder.write("c.json", "{}")
    assert [record["path"] for record in folder.records()] == ["a", "b"]


def test_what_a_killed_process_has_left_of_a_file_is_cleared_and_no_more(tmp_path):
    folder = Folder(tmp_path)
    for name in (".a[1].txt.77.tmp", ".a1.txt.77.tmp", "a[1].txt"):
        (tmp_path / name).touch()
    folder.clear("a[1].txt")
    assert sorted(os.listdir(tmp_path)) == [".a1.txt.77.tmp", "a[1].txt"]


def test_a_sweep_removes_unfinished_shards_alone(tmp_path):
    (tmp_path / "data/vqa").mkdir(parents=True)
    for name in (".train.parquet.77.tmp", "train.parquet", ".train.jsonl.77.tmp"):
        (tmp_path / "data/vqa" / name).touch()
    (tmp_path / "set/images/4f").mkdir(parents=True)
    for name in ("set/.validation.tar.77-5.tmp", "set/images/4f/.4f0c.jpg.77-5.tmp", "set/.mine.tmp"):
        (tmp_path / name).touch()
    Folder(tmp_path).sweep()
    assert sorted(os.listdir(tmp_path / "data/vqa")) == [".train.jsonl.77.tmp", "train.parquet"]
    assert sorted(os.listdir(tmp_path / "set")) == [".mine.tmp", "images"] and not os.listdir(
        tmp_path / "set/images/4f"
    )


def test_a_json_file_is_replaced_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "a.json", {"a": "\u4e2d"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    with pytest.raises(UnicodeEncodeError):
        write_json(tmp_path / "a.json", {"a": "\ud800"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"a": "\u4e2d"}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_path_is_made_absolute_and_a_url_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute("a/../b") == str(tmp_path / "b") and absolute("~/c") == "/home/somebody/c"
    assert absolute("s3://bucket/x") == "s3://bucket/x"
    write_text("d.txt", "x")
    assert sha256_of(tmp_path / "d.txt") == hashlib.sha256(b"x").hexdigest()
