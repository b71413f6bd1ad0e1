"""m3it.work.runner: each piece of work makes one file, whole or not at all, once."""

import json
import multiprocessing
import os
import re
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from m3it.rows.instance import Drop, M3ITError
from m3it.work.extras import install
from m3it.work.folder import sha256_of
from m3it.work.runner import Made, Piece, map_shards, open_executor, open_workers, write_run

PIECES = [Piece(f"part-{i}.txt", {"number": i}) for i in range(5)]


def make(path, *, number):
    """Write a number; every third row is left out."""
    path.write_text(f"{number}\n")
    return Made(1, [Drop(str(number), "third")] if number % 3 == 0 else [])


def make_all_but_two(path, *, number):
    if number == 2:
        path.write_text("half of")
        raise KeyboardInterrupt
    return make(path, number=number)


def kill(path, *, number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return make(path, number=number)


def fail(path, *, number):
    if number == 0:
        raise M3ITError("no")
    path.with_name(f"ran-{number}").touch()
    return make(path, number=number)


def not_again(path, *, number):
    raise AssertionError(f"{number} was made again")


def names_in(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts
    )


@pytest.mark.parametrize(
    "executor", [None, ThreadPoolExecutor(3), ProcessPoolExecutor(2)], ids=["none", "threads", "processes"]
)
def test_every_piece_is_made_and_recorded(tmp_path, executor):
    records = map_shards(make, PIECES, tmp_path, {"a": 1}, executor)
    assert {name: (tmp_path / name).read_text() for name in names_in(tmp_path)} == {
        f"part-{i}.txt": f"{i}\n" for i in range(5)
    }
    assert sorted(records) == names_in(tmp_path)
    assert records["part-3.txt"]["drops"] == [["3", "third"]] and records["part-3.txt"]["num_bytes"] == 2
    assert records["part-3.txt"]["sha256"] == sha256_of(tmp_path / "part-3.txt")
    assert map_shards(not_again, PIECES, tmp_path, {"a": 1}) == records


def test_a_run_that_was_broken_off_leaves_whole_files_only_and_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        map_shards(make_all_but_two, PIECES, tmp_path, {})
    assert names_in(tmp_path) == ["part-0.txt", "part-1.txt"]
    made = []
    map_shards(lambda path, number: made.append(number) or make(path, number=number), PIECES, tmp_path, {})
    assert made == [2, 3, 4] and len(names_in(tmp_path)) == 5


def test_a_record_without_its_file_is_made_again(tmp_path):
    map_shards(make, PIECES, tmp_path, {})
    (tmp_path / "part-3.txt").unlink()  # or it was killed before the file got its name
    made = []
    map_shards(lambda path, number: made.append(number) or make(path, number=number), PIECES, tmp_path, {})
    assert made == [3]


def test_a_file_is_recorded_before_it_gets_its_name(tmp_path, monkeypatch):
    def die(source, target):
        raise KeyboardInterrupt if str(target).endswith("part-0.txt") else AssertionError(target)

    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: replace(a, b) if str(b).endswith(".json") else die(a, b))
    with pytest.raises(KeyboardInterrupt):
        map_shards(make, PIECES, tmp_path, {})
    monkeypatch.undo()
    assert names_in(tmp_path) == [] and len(list((tmp_path / ".work").glob("*"))) == 1
    assert len(map_shards(make, PIECES, tmp_path, {})) == 5


def test_a_file_that_no_run_recorded_is_not_overwritten(tmp_path):
    (tmp_path / "part-1.txt").write_text("somebody's")
    with pytest.raises(M3ITError, match=r"part-1\.txt: is there already, and no run recorded it.*another --out"):
        map_shards(not_again, PIECES, tmp_path, {})
    assert (tmp_path / "part-1.txt").read_text() == "somebody's" and names_in(tmp_path) == ["part-1.txt"]


def test_a_file_of_another_size_than_recorded_is_not_believed(tmp_path):
    map_shards(make, PIECES, tmp_path, {})
    (tmp_path / "part-1.txt").write_text("")
    with pytest.raises(M3ITError, match=r"part-1\.txt: has 0 bytes, was recorded with 2.*delete it to make it anew"):
        map_shards(not_again, PIECES, tmp_path, {})
    (tmp_path / "part-1.txt").unlink()
    map_shards(make, PIECES, tmp_path, {})
    assert (tmp_path / "part-1.txt").read_text() == "1\n"


def test_a_folder_begun_with_other_options_or_pieces_is_refused(tmp_path):
    map_shards(make, PIECES[:2], tmp_path, {"limit": 5})
    for pieces in (PIECES, PIECES[3:]):  # other options for one file are other options for the folder
        with pytest.raises(M3ITError, match=r"part-0\.txt: was made with limit=5, not 6.*Delete .* another --out"):
            map_shards(not_again, pieces, tmp_path, {"limit": 6})
    with pytest.raises(M3ITError, match=r"part-1\.txt: was made with number=1, not 7"):
        map_shards(not_again, [Piece("part-1.txt", {"number": 7})], tmp_path, {"limit": 5})
    for name in ("part-0.txt", "part-1.txt"):
        (tmp_path / name).unlink()
    assert len(map_shards(make, PIECES, tmp_path, {"limit": 6})) == 5  # nothing is left of the other ones


def test_records_of_earlier_calls_are_returned_too(tmp_path):
    map_shards(make, PIECES[:2], tmp_path, {})
    assert sorted(map_shards(make, PIECES[2:], tmp_path, {})) == [piece.path for piece in PIECES]


def test_a_killed_worker_is_one_sentence_and_the_run_goes_on(tmp_path):
    with ProcessPoolExecutor(1) as executor, pytest.raises(M3ITError, match="a worker was killed.*Call again to go on"):
        map_shards(kill, PIECES, tmp_path, {}, executor)
    assert "part-2.txt" not in names_in(tmp_path)
    map_shards(make, PIECES, tmp_path, {})
    assert [name for name in names_in(tmp_path) if not name.startswith(".")] == [piece.path for piece in PIECES]


def test_after_an_error_the_waiting_pieces_are_not_begun(tmp_path):
    pieces = [Piece(f"part-{i}.txt", {"number": i}) for i in range(200)]
    with ProcessPoolExecutor(1) as executor, pytest.raises(M3ITError, match="^no$"):
        map_shards(fail, pieces, tmp_path, {}, executor)
    assert len(list(tmp_path.glob("ran-*"))) < 150


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(M3ITError, match="cannot be made, .*Nothing half-written is left; call again"):
        map_shards(not_again, PIECES, tmp_path / "file" / "below", {})


def test_files_in_subfolders_do_not_share_a_record(tmp_path):
    pieces = [Piece("a/b.txt", {"number": 1}), Piece("a-b.txt", {"number": 2}), Piece("b.txt", {"number": 3})]
    map_shards(make, pieces, tmp_path, {})
    assert sorted(map_shards(not_again, pieces, tmp_path, {})) == ["a-b.txt", "a/b.txt", "b.txt"]


def test_run_json_says_options_versions_and_files(tmp_path):
    run = write_run(tmp_path / "run.json", "convert", {"limit": None}, map_shards(make, PIECES, tmp_path, {}))
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == run
    assert run["command"] == "convert" and run["options"] == {"limit": None}
    assert {"python", "datasets", "pyarrow"} <= set(run["versions"])
    assert run["files"]["part-0.txt"] == {
        "num_rows": 1,
        "num_bytes": 2,
        "sha256": sha256_of(tmp_path / "part-0.txt"),
        "drops": {"third": 1},
    }


def test_one_worker_needs_no_executor():
    with open_executor(1) as executor:
        assert executor is None
    with open_executor(2) as executor:
        assert executor.submit(sum, (1, 2)).result() == 3


class Counter:
    """A function with a memory: how many pieces it has made, which it writes into each."""

    def __init__(self, number=0):
        self.number = number

    def make(self, path, *, number):
        self.number += 1
        path.write_text(f"{os.getpid()} {self.number}")
        return Made(1, [])


def numbers_by_process(folder):
    """What the counters wrote: process -> the numbers that its own counted."""
    told = sorted(tuple(map(int, (folder / piece.path).read_text().split())) for piece in PIECES)
    return {process: [number for by, number in told if by == process] for process, _ in told}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_keeps_the_memory_of_its_function_from_piece_to_piece(tmp_path, workers):
    counter = Counter(number=100)  # known before the workers begin
    with open_workers(counter.make, workers) as (executor, function):
        map_shards(function, PIECES, tmp_path, {}, executor)
    found = numbers_by_process(tmp_path)
    assert len(found) <= workers and (os.getpid() in found) == (workers == 1)
    assert all(numbers == list(range(101, 101 + len(numbers))) for numbers in found.values())


@pytest.mark.slow
def test_a_worker_of_a_cluster_keeps_the_memory_of_its_function(tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install -e '.[cluster]'")
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, local_directory=str(tmp_path / "dask")) as cluster,
        open_workers(Counter().make, cluster=cluster.scheduler_address) as (executor, function),
    ):
        map_shards(function, PIECES, tmp_path / "out", {}, executor)
    found = numbers_by_process(tmp_path / "out")
    assert 1 <= len(found) <= 2 and os.getpid() not in found
    assert all(len(set(numbers)) == len(numbers) for numbers in found.values())


KNOWN: list[int] = []


def num_known():
    return len(KNOWN)


@pytest.mark.parametrize(("on_gpu", "inherited"), [(False, True), (True, False)])
def test_a_process_that_has_used_a_gpu_is_not_forked(on_gpu, inherited, monkeypatch):
    """A forked process cannot use the GPU; one that is spawned knows nothing of this one."""
    torch = pytest.importorskip("torch", reason="torch is an extra")
    if multiprocessing.get_start_method() != "fork":
        pytest.skip("nothing is forked here")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: on_gpu)
    KNOWN.append(1)
    with open_executor(2) as executor:
        assert executor.submit(num_known).result() == (len(KNOWN) if inherited else 0)


def test_a_missing_dask_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(M3ITError, match=re.escape(install("cluster"))), open_executor(cluster="tcp://nowhere:1"):
        pass
