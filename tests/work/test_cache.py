"""m3it.work.cache: one habit of keeping files, and what `m3it cache` counts and removes."""

import hashlib
import logging
import os
import pickle
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import datasets
import numpy as np
import pytest
from chat_server import ChatServer
from conftest import ROOT, make_row, write_rows

from m3it import load_dataset
from m3it.reading.row_index import load_index
from m3it.work import cache
from m3it.work.chat import Chat, message


def test_half_an_index_is_made_anew(tmp_path):
    """As a machine that went off leaves it: a kill leaves none."""
    assert cache.keep_array("about", lambda: np.arange(9), tmp_path).tolist() == [*range(9)]
    (kept,) = tmp_path.rglob("*.npy")
    whole = kept.read_bytes()
    for length in (0, 5, 60, 128, len(whole) - 8):
        kept.write_bytes(whole[:length])
        assert cache.keep_array("about", lambda: np.arange(9), tmp_path).tolist() == [*range(9)]
        assert kept.read_bytes() == whole


def test_a_file_is_made_once_and_whole(tmp_path):
    made = []

    def make(unfinished):
        made.append(unfinished)
        assert not (tmp_path / "m3it-files/one").exists()
        unfinished.write_text("text")

    for _ in range(2):
        assert cache.keep("files", "one", make, tmp_path) == tmp_path / "m3it-files/one"
    assert len(made) == 1 and made[0].parent == tmp_path / "m3it-files"
    assert [path.name for path in (tmp_path / "m3it-files").iterdir()] == ["one"]


def test_a_failed_file_leaves_nothing_and_is_made_at_the_next_call(tmp_path):
    def fail(unfinished):
        unfinished.write_text("half")
        raise OSError("the network went")

    with pytest.raises(OSError, match="the network went"):
        cache.keep("files", "one", fail, tmp_path)
    assert not list((tmp_path / "m3it-files").iterdir())
    assert cache.keep("files", "one", lambda path: path.write_text("whole"), tmp_path).read_text() == "whole"


def test_what_a_killed_process_left_goes_with_the_next_that_makes_the_file(tmp_path):
    killed = "import os, sys; from m3it.work import cache\n"
    killed += "cache.keep('files', 'one', lambda path: (path.write_text('half'), os.kill(os.getpid(), 9)), sys.argv[1])"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", killed, str(tmp_path)], env=environ).returncode == -9
    assert [path.read_text() for path in (tmp_path / "m3it-files").iterdir()] == ["half"]
    cache.keep("files", "one", lambda path: path.write_text("whole"), tmp_path)
    assert [path.name for path in (tmp_path / "m3it-files").iterdir()] == ["one"]


WAITING = """
import pathlib, sys, time
from m3it.work import cache
def make(unfinished):
    with open(sys.argv[2], "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    unfinished.write_text("text")
print("begun", flush=True)
sys.stdin.readline()
print(cache.keep("files", "one", make, sys.argv[1]).read_text())
"""


def test_of_processes_that_start_together_one_makes_the_file(tmp_path):
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WAITING, str(tmp_path / "cache"), str(tmp_path / "log")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environ, **pipes) for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["begun\n"] * 3
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["text\n"] * 3
    assert (tmp_path / "log").read_text() == "made\n"


def test_an_index_is_mapped_from_where_old_caches_have_it(tmp_path):
    """The names are those that m3it has always given: an old cache is read on."""
    shard = write_rows(tmp_path / "train.jsonl", [make_row(0), make_row(1)])
    stat = shard.stat()
    name = hashlib.sha256(f"{shard} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:32]
    (tmp_path / "cache/m3it-index").mkdir(parents=True)
    np.save(tmp_path / f"cache/m3it-index/{name}.npy", np.array([7]))
    found = load_index(shard, tmp_path / "cache")
    assert isinstance(found, cache.Mapped) and found.tolist() == [7]


def test_a_cache_that_cannot_be_written_is_read(tmp_path):
    cache.keep_array("about", lambda: np.arange(3), tmp_path)
    for path in (tmp_path / "m3it-locks").iterdir():
        path.unlink()
    (tmp_path / "m3it-locks").rmdir()
    (tmp_path / "m3it-locks").touch()  # no lock can be made now, for root neither
    assert cache.keep_array("about", lambda: np.arange(9), tmp_path).tolist() == [0, 1, 2]


def test_the_cache_of_datasets_is_ours_unless_another_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    assert cache.folder("replies") == tmp_path / "m3it-replies"
    assert cache.folder("files", "~/mine") == Path("~/mine/m3it-files").expanduser()


def test_what_is_kept_is_counted_by_kind(tmp_path, caplog):
    """By what writes it, M3IT.py too: no folder of ours is without a kind."""
    caplog.set_level(logging.CRITICAL)
    rows = [make_row(0), make_row(1, outputs=3)]
    write_rows(tmp_path / "repo/data/t/d/train.jsonl", rows)
    (tmp_path / "corrections.tsv").write_text("config\tid\tfield\ttext\twho\nd\trow-0\toutputs\tright\tme\n")
    options = {"cache_dir": str(tmp_path / "cache"), "corrections": tmp_path / "corrections.tsv", "on_error": "drop"}
    assert load_dataset(tmp_path / "repo", "d", split="train", **options).num_rows == 1
    load_index(tmp_path / "repo/data/t/d/train.jsonl", tmp_path / "cache")
    with ChatServer(lambda body: "yes") as server:
        Chat("m", server.url, cache_dir=cache.folder("replies", tmp_path / "cache")).ask([message("?")])
    held = {kind: cache.measure(kind, tmp_path / "cache") for kind in cache.KINDS}
    full = {kind for kind, one in held.items() if one.num_files}
    assert full == {"drops", "corrected", "indexes", "replies", "locks"}
    index = next((tmp_path / "cache/m3it-index").iterdir())
    assert held["indexes"].num_files == 1 and held["indexes"].num_bytes == index.stat().st_size
    ours = {path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith("m3it-")}
    assert ours <= {kind.folder for kind in cache.KINDS.values()}


def test_the_folders_that_the_dataset_names_itself_are_known():
    named = set(re.findall(r'"(m3it-[a-z]+)"', (ROOT / "M3IT.py").read_text("utf-8")))
    assert named == {"m3it-commits", "m3it-corrected", "m3it-drops"}
    assert named <= {kind.folder for kind in cache.KINDS.values()}


def test_ages_are_of_the_oldest_and_the_newest_file(tmp_path):
    for name, time_ in (("a", 1_000_000_000), ("b", 1_100_000_000), ("c", 1_050_000_000)):
        path = cache.keep("files", name, lambda path: path.write_text("12345"), tmp_path)
        os.utime(path, (time_, time_))
    held = cache.measure("files", tmp_path)
    assert (held.num_files, held.num_bytes) == (3, 15)
    assert held.oldest == datetime.fromtimestamp(1_000_000_000, timezone.utc)
    assert held.newest == datetime.fromtimestamp(1_100_000_000, timezone.utc)
    nothing = cache.measure("layouts", tmp_path)
    assert (nothing.num_files, nothing.num_bytes, nothing.oldest, nothing.newest) == (0, 0, None, None)


def test_clearing_a_kind_removes_it_alone_and_says_what_it_was(tmp_path):
    (tmp_path / "json").mkdir()
    (tmp_path / "json/rows.arrow").touch()  # what `datasets` keeps is its own
    cache.keep("files", "a", lambda path: path.write_text("12345"), tmp_path)
    reply = tmp_path / "m3it-replies/ab/abc.json"
    reply.parent.mkdir(parents=True)
    reply.write_text("{}")
    held = cache.clear("replies", tmp_path)
    assert (held.num_files, held.num_bytes) == (1, 2) and not list((tmp_path / "m3it-replies").iterdir())
    assert (tmp_path / "m3it-files/a").exists() and (tmp_path / "json/rows.arrow").exists()
    assert cache.clear("replies", tmp_path).num_files == 0
    assert cache.clear("layouts", tmp_path).num_files == 0  # no such folder yet


def test_a_folder_that_is_a_link_to_another_disk_is_emptied_and_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/m3it-files").symlink_to(tmp_path / "disk")
    cache.keep("files", "a", lambda path: path.write_text("12345"), tmp_path / "cache")
    assert cache.clear("files", tmp_path / "cache").num_bytes == 5
    assert (tmp_path / "cache/m3it-files").is_symlink() and not list((tmp_path / "disk").iterdir())


def test_a_file_that_goes_while_it_is_counted_is_no_error(tmp_path, monkeypatch):
    for name in "ab":
        cache.keep("files", name, lambda path: path.write_text("12345"), tmp_path)
    lstat = Path.lstat

    def gone(path):
        if path.name == "a":
            path.unlink(missing_ok=True)
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", gone)
    assert cache.measure("files", tmp_path).num_files == 1


def test_a_mapped_array_travels_as_its_name_and_keeps_no_file_open(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(100_000).reshape(2, -1))
    array = cache.mapped(tmp_path / "a.npy")
    assert array.dtype == np.int64 and array.tolist() == np.arange(100_000).reshape(2, -1).tolist()
    np.save(tmp_path / "columns.npy", np.arange(6).reshape(2, 3).T)
    assert cache.mapped(tmp_path / "columns.npy").tolist() == [[0, 3], [1, 4], [2, 5]]
    assert len(pickle.dumps(array)) < 1000 and (pickle.loads(pickle.dumps(array)) == array).all()
    assert pickle.loads(pickle.dumps(array[1, 5:8])).tolist() == [50_005, 50_006, 50_007]  # a part of it by its values
    if os.path.isdir("/proc/self/fd"):
        links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
        assert str(tmp_path / "a.npy") not in [os.path.realpath(link) for link in links]
