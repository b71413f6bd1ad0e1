"""m3it/reading/row_index.py: where rows start."""

import os

import numpy as np
import pytest
from conftest import make_row, write_rows
from hypothesis import example, given, settings
from hypothesis import strategies as st

import m3it.reading.row_index as index
from M3IT import Repository, ShardError, read_rows
from m3it.reading.row_index import load_index
from m3it.work.cache import Mapped

BOM = b"\xef\xbb\xbf"
LINES = st.lists(
    st.sampled_from([b"{}", b'{"a": 1}', b"x" * 20, b"", b" ", b"\t \x0b\x0c", b"\r", b" {} "]), max_size=8
)


def row_starts(path):
    return np.concatenate([*index.row_starts(path)])


def starts_by_reading(path):
    repository = Repository.of_files(path.parent, [path.name])
    return [offset for offset, _ in read_rows(repository, (path.name, 0, path.stat().st_size))]


@settings(max_examples=200)
@given(
    head=st.sampled_from([b"", BOM]),
    lines=LINES,
    end=st.sampled_from([b"\n", b"\r\n"]),
    last=st.booleans(),
    chunk=st.integers(1, 40),
    dense=st.sampled_from([0, 9, 99]),
)
@example(head=BOM, lines=[b"", b"{}"], end=b"\n", last=True, chunk=7, dense=99)  # a mark and nothing else is no row
@example(head=BOM, lines=[b"x" * 20], end=b"\n", last=True, chunk=2, dense=0)  # a first row longer than a chunk
def test_offsets_are_those_that_the_reader_gives(tmp_path_factory, head, lines, end, last, chunk, dense):
    path = tmp_path_factory.mktemp("index") / "train.jsonl"
    text = head + end.join(lines) + (end if last else b"")
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "CHUNK_BYTES", chunk)
        patch.setattr(index, "DENSE_BYTES", dense)
        starts = row_starts(path)
    assert starts.dtype == np.int64
    assert starts.tolist() == [*starts_by_reading(path), len(text)]


def test_rows_can_be_read_by_their_offsets(tmp_path):
    path = write_rows(tmp_path / "train.jsonl", [make_row(i) for i in range(30)], end="\n\n")
    starts, text = row_starts(path), path.read_bytes()
    assert len(starts) == 31
    assert [
        f'"What is {i}?"'.encode() in text[a:b] for i, (a, b) in enumerate(zip(starts, starts[1:], strict=False))
    ] == [True] * 30


def test_an_empty_file_has_no_rows(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(b"")
    assert load_index(tmp_path / "train.jsonl", tmp_path / "cache").tolist() == [0]


def test_an_index_is_made_once_and_anew_for_a_changed_file(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "train.jsonl", [make_row(i) for i in range(5)])
    first = load_index(path, tmp_path / "cache")
    assert len(first) == 6 and isinstance(first, Mapped)
    monkeypatch.setattr(index, "row_starts", lambda path: pytest.fail("the cache was passed over"))
    assert load_index(path, tmp_path / "cache").tolist() == first.tolist()
    monkeypatch.undo()
    write_rows(path, [make_row(i) for i in range(9)])
    assert len(load_index(path, tmp_path / "cache")) == 10
    os.utime(path, ns=(0, 0))  # another time alone, as a file of the same size that was written again has
    monkeypatch.setattr(index, "row_starts", lambda path: [np.array([7])])
    assert load_index(path, tmp_path / "cache").tolist() == [7]


def test_files_of_one_name_in_two_folders_have_their_own_index(tmp_path):
    for number in (2, 3):
        write_rows(tmp_path / str(number) / "train.jsonl", [make_row(i) for i in range(number)])
    assert [len(load_index(tmp_path / str(number) / "train.jsonl", tmp_path / "cache")) for number in (2, 3)] == [3, 4]


def test_an_index_that_was_broken_off_is_not_taken_for_a_whole_one(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "train.jsonl", [make_row(0)])
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load_index(path, tmp_path / "cache")
    monkeypatch.undo()
    assert len(load_index(path, tmp_path / "cache")) == 2


def test_a_file_that_changes_while_its_index_is_made_has_none(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "train.jsonl", [make_row(i) for i in range(5)])
    found = row_starts(path)
    monkeypatch.setattr(index, "row_starts", lambda path: os.utime(path, (1, 1)) or [found])
    with pytest.raises(ShardError, match="train.jsonl: changed while it was read. Call again when it stands still"):
        load_index(path, tmp_path / "cache")
    monkeypatch.undo()
    assert len(load_index(path, tmp_path / "cache")) == 6
