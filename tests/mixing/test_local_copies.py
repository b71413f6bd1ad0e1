"""Copies of remote and compressed files, made once."""

import gzip
import json
import os
import pickle

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from conftest import make_row
from mixtures import take

from M3IT import Repository, ShardError
from m3it.mixing import local_copies
from m3it.mixing.mixture import Mixture
from m3it.work.cache import keep_array


def test_small_files_over_a_network_are_copied_once_and_shuffled_in_full(tmp_path, monkeypatch):
    place = f"memory://{tmp_path.name}"
    text = "".join(json.dumps(make_row(i)) + "\n" for i in range(50)).encode()
    fsspec.filesystem("memory").pipe(f"{place}/data/vqa/gqa/train.jsonl", text)
    assert sorted(take(Mixture(place, ["gqa"]), 50)) == sorted(f"gqa row-{i}" for i in range(50))
    monkeypatch.setattr(local_copies.RangeFile, "read", None)  # nothing is fetched any more
    mixture = Mixture(place, ["gqa"])
    assert "full shuffle" in mixture.describe() and len(take(mixture, 50)) == 50


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("gz", gzip.compress), ("zst", lambda data: pa.compress(data, "zstd", asbytes=True)), ("", bytes)],
)
def test_a_copy_is_unpacked_and_read_by_its_plain_name(tmp_path, ending, pack):
    path = f"train.jsonl.{ending}".rstrip(".")
    (tmp_path / path).write_bytes(pack(b"0123456789" * 100))
    repository = Repository(tmp_path)
    copy = local_copies.local_copy(repository, path, tmp_path / "cache")
    assert copy.read_bytes() == b"0123456789" * 100
    copies = local_copies.Copies(repository, {path: copy})
    assert copies.size("train.jsonl") == 1000 and copies.read("train.jsonl", 995, 1000) == b"56789"
    assert copies.original("train.jsonl:30#1") == f"{path}:30#1"
    assert pickle.loads(pickle.dumps(copies)).read("train.jsonl", 0, 3) == b"012"
    with pytest.raises(ShardError, match="changed while it was read"):
        copies.read("train.jsonl", 995, 1005)


def write(path, word, count=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(make_row(i, inputs=f"{word} {i}")) + "\n" for i in range(count))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.mark.parametrize("replace", [False, True])
def test_no_row_is_read_of_a_file_that_has_changed(tmp_path, replace):
    shard = tmp_path / "set/data/vqa/gqa/train.jsonl"
    write(shard, "old")
    mixture = Mixture(tmp_path / "set", ["gqa"], batch_size=2)
    assert mixture.num_rows == 200
    if replace:
        write(tmp_path / "new.jsonl", "new")
        os.replace(tmp_path / "new.jsonl", shard)
    else:
        assert mixture.row(0)["inputs"].startswith("old")
        write(shard, "new")
    with pytest.raises(ShardError, match="train.jsonl: changed while it was read"):
        [mixture.row(i) for i in range(200)]
    assert Mixture(tmp_path / "set", ["gqa"]).row(0)["inputs"].startswith("new")


def test_a_file_that_changes_while_it_is_copied_leaves_no_copy(tmp_path, monkeypatch):
    shard, read = tmp_path / "set/data/vqa/gqa/train.jsonl.gz", local_copies._unpacked
    write(shard, "old")

    def changed_meanwhile(repository, path):
        yield from read(repository, path)
        write(shard, "newer")

    monkeypatch.setattr(local_copies, "_unpacked", changed_meanwhile)
    with pytest.raises(ShardError, match="train.jsonl.gz: changed while it was read"):
        Mixture(tmp_path / "set", ["gqa"], cache_dir=tmp_path / "cache").describe()
    assert not list((tmp_path / "cache/m3it-files").iterdir())


def num_open():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by /proc")
def test_a_process_keeps_few_files_open(tmp_path):
    names = [f"train-{i:05}-of-00150.jsonl" for i in range(150)]
    for i, name in enumerate(names):
        write(tmp_path / f"set/data/vqa/gqa/{name}", i, 1)
    before = num_open()
    mixtures = [Mixture(tmp_path / "set", ["gqa"]) for _ in range(3)]
    for mixture in mixtures:
        assert len({mixture.row(i)["inputs"] for i in range(150)}) == 150
    assert num_open() - before <= local_copies.OPEN_FILES


def test_what_was_counted_once_is_kept(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(5)

    for what in ("one", "one", "another"):
        assert keep_array(what, make, tmp_path).tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 2


def test_which_repositories_are_remote(tmp_path):
    assert not local_copies.is_remote(Repository(tmp_path))
    assert local_copies.is_remote(Repository("memory://somewhere"))
