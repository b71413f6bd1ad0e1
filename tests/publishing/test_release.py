"""m3it/publishing/release.py: every row twice and once as text, proven the same; in any layout, on any executor, killed
or not. What others read of it is in test_readers.py."""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import fsspec
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_row, picture, write_rows

from M3IT import Repository, ShardError
from m3it.publishing.check import check, compare
from m3it.publishing.release import into_shards, release, upload_line
from m3it.reading.load import load_dataset
from m3it.rows.instance import M3ITError
from publishing.releases import NUM_TRAIN, lines_of, sums_of


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


def test_run_json_has_a_checksum_of_every_shard_and_no_path_of_this_machine(source, made):
    text = (made[0] / "run.json").read_text("utf-8")
    run = json.loads(text)
    assert run == made[1] and run["source"] == {"repo": None} and str(source.parent) not in text
    sums = sums_of(made[0])
    assert {path: sums[path] for path in run["files"]} == {p: file["sha256"] for p, file in run["files"].items()}
    assert {path for path in sums if path.endswith(".parquet")} == set(run["files"])


@pytest.mark.parametrize(
    ("prefix", "named"),
    [("memory://user:SECRET@", "memory://rows-of-a-bucket"), ("file://", "repo")],
)
def test_run_json_names_no_password_and_no_folder_of_this_machine_in_a_url(source, tmp_path, prefix, named):
    url = f"{prefix}{source}" if named == "repo" else f"{prefix}rows-of-a-bucket"
    for path in source.rglob("*.jsonl") if named != "repo" else ():
        fsspec.filesystem("memory").pipe_file(f"{url}/{path.relative_to(source)}", path.read_bytes())
    for format in ("parquet", "jsonl"):
        run = release(url, tmp_path / format, ["nlvr"], format=format)
        text = (tmp_path / format / "run.json").read_text("utf-8")
        assert run["source"] == {named: None} and "SECRET" not in text and str(source.parent) not in text


def test_the_line_that_uploads_names_the_folder_as_a_shell_takes_it():
    assert upload_line("a b").endswith(" 'a b' . --repo-type dataset --exclude '.work/*'")
    assert upload_line("s3://bucket/out") == (
        "To publish it, copy s3://bucket/out to a disk and call hf upload there: docs/cluster.md"
    )


def test_a_release_of_a_release_is_the_same_but_for_the_names_of_its_source(made, tmp_path):
    run = release(str(made[0]), tmp_path / "again")
    assert run["digest"] == made[1]["digest"]
    again, first = sums_of(tmp_path / "again"), sums_of(made[0])
    assert {path: again[path] for path in run["files"]} == {path: first[path] for path in run["files"]}


def test_a_release_begun_with_pages_of_another_kind_is_not_gone_on_with(source, tmp_path, monkeypatch):
    monkeypatch.setattr("m3it.publishing.release.CHUNKED", False)
    first = release(str(source), tmp_path / "out", ["nlvr"])
    assert "chunks" not in first["options"] and release(str(source), tmp_path / "out", ["nlvr"]) == first
    monkeypatch.setattr("m3it.publishing.release.CHUNKED", True)
    with pytest.raises(M3ITError, match=r"was made with chunks=None, not content-defined\. Delete .* or pass"):
        release(str(source), tmp_path / "out", ["nlvr"])


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


BROKEN = {
    "not JSON": '{"instruction": "i", ',
    "no outputs": json.dumps({k: v for k, v in make_row(1).items() if k != "outputs"}),
    "image is not base64": json.dumps(make_row(1, image_base64_str=["@@@@"])),
    "broken text": json.dumps(make_row(1, outputs="\ud800")),
    "image cannot be read": json.dumps(make_row(1, image_base64_str=[base64.b64encode(b"<html>").decode()])),
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


def test_what_a_killed_release_left_half_written_is_removed(source, tmp_path):
    left = tmp_path / "out/data/kvqa/viquae/.train-00000-of-00009.parquet.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    release(str(source), tmp_path / "out", ["nlvr"])
    assert not left.exists()


def test_a_folder_without_rows_is_refused(source, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(M3ITError, match="no rows found"):
        release(str(tmp_path / "empty"), tmp_path / "out")
    with pytest.raises(ValueError, match="expected both, native, base64"):
        release(str(source), tmp_path / "out", images="png")


@pytest.mark.parametrize("name", ["data/reasoning/nlvr/", "data/reasoning/nlvr-images/", "data/text/", ".work/rows/"])
@pytest.mark.parametrize("change", ["empty", "cut", "one byte"])
def test_a_finished_file_that_has_changed_is_named_and_made_anew_where_it_is_deleted(source, tmp_path, name, change):
    run = release(str(source), tmp_path / "out", ["nlvr"])
    path = next((tmp_path / "out" / name).rglob("*.parquet"))
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.write_bytes({"empty": b"", "cut": data[:middle], "one byte": flipped}[change])
    with pytest.raises(M3ITError, match=rf"{name}.*validation.parquet: .*[Dd]elete it to make it anew"):
        release(str(source), tmp_path / "out", ["nlvr"])
    path.unlink()
    assert release(str(source), tmp_path / "out", ["nlvr"]) == run and path.read_bytes() == data


def test_a_record_that_was_emptied_is_named(source, tmp_path):
    release(str(source), tmp_path / "out", ["nlvr"])
    (record,) = (tmp_path / "out/.work").glob("*nlvr*.json")
    record.write_bytes(b"")
    with pytest.raises(M3ITError, match=f"{record.name}: expected the record of a finished file"):
        release(str(source), tmp_path / "out", ["nlvr"])


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


@pytest.mark.slow
def test_the_jobs_of_slurm_make_the_same_bytes(source, made, tmp_path, monkeypatch):
    """The example of docs/cluster.md: dask-jobqueue writes the script for sbatch, and its stand-in for tests starts the
    same workers on this machine."""
    local = pytest.importorskip("dask_jobqueue.local", reason="dask-jobqueue is in no extra of ours")
    from dask_jobqueue import SLURMCluster

    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/cluster.md").read_text("utf-8"), re.M | re.S)
    submitted = []

    class StandIn(local.LocalCluster):
        def __init__(self, **options):
            with SLURMCluster(**options) as slurm:
                submitted.append(slurm.job_script())
            super().__init__(cores=1, processes=1, memory="1GB", local_directory=str(tmp_path))

        def scale(self, jobs):
            super().scale(jobs=min(jobs, 2))

    given = example.replace("s3://raw/M3IT", str(source)).replace("s3://releases/M3IT", str(tmp_path / "out"))
    names = {"SLURMCluster": StandIn}
    exec(given.replace("from dask_jobqueue import SLURMCluster\n", ""), names)
    assert sums_of(tmp_path / "out") == sums_of(made[0])
    for line in ("#SBATCH -p cpu", "#SBATCH -A project", "#SBATCH --cpus-per-task=8", "--nthreads 1", "--nworkers 8"):
        assert line in submitted[0]


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
    assert {f.level for f in check(Repository(f"{bucket}/out")).findings} == {"warning"}  # science-qa: 0 or 1 pictures
    s3fs.S3FileSystem().rm("bucket/out/data/kvqa/viquae-images/train.parquet")
    again = release(f"{bucket}/source", f"{bucket}/out")
    assert again == run


@pytest.mark.slow
def test_memory_does_not_grow_with_the_split(tmp_path):
    noise = base64.b64encode(picture() + hashlib.shake_256(b"m3it").digest(75_000)).decode()
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


def test_a_folder_that_holds_something_else_is_refused_before_the_work(repository, tmp_path):
    (tmp_path / "runs/tiny").mkdir(parents=True)
    with pytest.raises(M3ITError, match="runs: holds tiny, which no release made; an upload would send it, too"):
        release(str(repository), tmp_path / "runs")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["tiny"]
    (tmp_path / "clone/.git").mkdir(parents=True)
    release(str(repository), tmp_path / "clone", ["viquae"])  # a clone of the repository to be
