# ruff: noqa: F401, F811  a fixture is imported, and then asked for by its name
"""The Hub of the tests answers as the real one where `huggingface_hub` and `datasets` look, and fails where told to."""

import http.client
import json
import pathlib
import subprocess
import sys

import pytest
import requests
from hub import Hub, hub, olah_environment
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

README = """---
configs:
- config_name: tiny
  data_files:
  - split: train
    path: data/tiny/train.jsonl
  - split: test
    path: data/tiny/test.jsonl
---
# Tiny
"""
TRAIN = b'{"inputs": "one", "image_base64_str": ["AA=="]}\n{"inputs": "two", "image_base64_str": []}\n'
TEST = b'{"inputs": "three", "image_base64_str": ["AQ=="]}\n'
LOAD = """
import json, sys
from datasets import load_dataset
repo, revision = sys.argv[1:]
revision = {"revision": revision} if revision else {}
rows = {
    "loaded": load_dataset(repo, "tiny", split="train", **revision)["inputs"][:],
    "streamed": [row["inputs"] for row in load_dataset(repo, "tiny", split="test", streaming=True, **revision)],
}
print(json.dumps(rows))
"""


@pytest.fixture
def folder(tmp_path):
    """A dataset of two splits, with a file whose size makes olah take it for an LFS pointer."""
    root = tmp_path / "folder"
    (root / "data" / "tiny").mkdir(parents=True)
    (root / "README.md").write_text(README, encoding="utf-8")
    (root / "data" / "tiny" / "train.jsonl").write_bytes(TRAIN)
    (root / "data" / "tiny" / "test.jsonl").write_bytes(TEST)
    (root / "binary.dat").write_bytes(b"\xff" * 130)
    return root


@pytest.fixture
def repo(hub, request):
    """A repository name that no other test uses."""
    return f"tests/{request.node.name.split('[')[0]}"


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.endpoint, token=False)


def open_files(hub):
    return HfFileSystem(endpoint=hub.endpoint, token=False, skip_instance_cache=True)


def resolve_url(hub, repo, path, revision="main"):
    return f"{hub.endpoint}/datasets/{repo}/resolve/{revision}/{path}"


def requests_of(hub, repo, method="GET"):
    return [request for request in hub.requests if request.method == method and f"/{repo}/" in request.path]


def test_tree_lists_files_and_directories_with_sizes_and_commits(hub, api, repo, folder):
    commit = hub.add(repo, folder)
    found = {entry.path: entry for entry in api.list_repo_tree(repo, repo_type="dataset", recursive=True, expand=True)}
    assert sorted(found) == [
        "README.md", "binary.dat", "data", "data/tiny", "data/tiny/test.jsonl", "data/tiny/train.jsonl",
    ]  # fmt: skip
    assert found["data/tiny/train.jsonl"].size == len(TRAIN)
    assert found["data"].last_commit.oid == commit
    below = api.list_repo_tree(repo, "data/tiny", repo_type="dataset")
    assert [entry.path for entry in below] == ["data/tiny/test.jsonl", "data/tiny/train.jsonl"]


def test_tree_comes_in_pages_of_a_thousand(hub, api, repo, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(1001):
        (many / f"{number:04d}.txt").touch()
    hub.add(repo, many)
    assert len(list(api.list_repo_tree(repo, repo_type="dataset", recursive=True))) == 1001
    assert len(requests_of(hub, repo)) == 2


def test_paths_info_and_dataset_info_give_sizes_and_the_card(hub, api, repo, folder):
    commit = hub.add(repo, folder)
    paths = ["data/tiny/train.jsonl", "data", "none"]
    train, directory = api.get_paths_info(repo, paths, repo_type="dataset", expand=True)
    assert (train.size, train.last_commit.oid, directory.path) == (len(TRAIN), commit, "data")
    info = api.dataset_info(repo, files_metadata=True)
    assert info.sha == commit
    assert info.card_data["configs"][0]["config_name"] == "tiny"
    assert {file.rfilename: file.size for file in info.siblings}["data/tiny/train.jsonl"] == len(TRAIN)


@pytest.mark.parametrize("name", ["main", "draft", "v1", "refs/convert/parquet", "commit", None])
def test_every_kind_of_revision_is_read_as_it_stands(hub, api, repo, folder, tmp_path, name):
    refs = {"main": "main", "draft": "draft", "v1": "refs/tags/v1", "refs/convert/parquet": "refs/convert/parquet"}
    train = folder / "data" / "tiny" / "train.jsonl"
    commits = {}
    for number, (key, ref) in enumerate(refs.items()):
        train.write_text("x" * (number + 1), encoding="utf-8")  # main holds x, draft xx, and so on
        commits[key] = hub.add(repo, folder, ref=ref)
    key = name if name in refs else "main"
    revision = commits["main"] if name == "commit" else name
    content = "x" * (list(refs).index(key) + 1)

    assert api.repo_info(repo, repo_type="dataset", revision=revision).sha == commits[key]
    assert "data/tiny/train.jsonl" in api.list_repo_files(repo, repo_type="dataset", revision=revision)
    cached = api.hf_hub_download(
        repo, "data/tiny/train.jsonl", repo_type="dataset", revision=revision, cache_dir=tmp_path / "cache"
    )
    assert commits[key] in cached
    assert pathlib.Path(cached).read_text(encoding="utf-8") == content
    files = open_files(hub)
    root = f"datasets/{repo}@{revision}" if revision else f"datasets/{repo}"
    assert files.cat_file(f"{root}/data/tiny/train.jsonl") == content.encode()
    assert files.info(f"{root}/data/tiny/train.jsonl")["size"] == len(content)
    assert [path.split("/")[-1] for path in files.ls(root, detail=False)] == ["README.md", "binary.dat", "data"]


def test_refs_name_branches_tags_and_converts(hub, api, repo, folder):
    commit = hub.add(repo, folder)
    hub.add(repo, folder, ref="refs/tags/v1")
    hub.add(repo, folder, ref="refs/convert/parquet")
    refs = api.list_repo_refs(repo, repo_type="dataset")
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("main", commit)]
    assert [ref.name for ref in refs.tags] == ["v1"]
    assert [ref.name for ref in refs.converts] == ["parquet"]


def test_add_again_is_a_new_commit_and_the_old_one_stays_readable(hub, api, repo, folder):
    first = hub.add(repo, folder)
    (folder / "data" / "tiny" / "train.jsonl").unlink()
    second = hub.add(repo, folder)
    assert api.dataset_info(repo).sha == second
    assert not api.file_exists(repo, "data/tiny/train.jsonl", repo_type="dataset")
    assert requests.get(resolve_url(hub, repo, "data/tiny/train.jsonl", first)).content == TRAIN


def test_what_is_not_there_is_named_repository_revision_or_entry(hub, api, repo, folder, tmp_path):
    hub.add(repo, folder)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("tests/nobody")
    with pytest.raises(RevisionNotFoundError):
        api.dataset_info(repo, revision="nowhere")
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "nothing", repo_type="dataset"))
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "nothing", repo_type="dataset", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    "wanted, start, stop", [("bytes=5-9", 5, 10), ("bytes=85-", 85, 90), ("bytes=-4", 86, 90), ("bytes=85-999", 85, 90)]
)
def test_range_is_answered_with_206_and_only_those_bytes(hub, repo, folder, wanted, start, stop):
    hub.add(repo, folder)
    assert len(TRAIN) == 90
    answer = requests.get(resolve_url(hub, repo, "data/tiny/train.jsonl"), headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/90"
    assert answer.content == TRAIN[start:stop]
    logged = requests_of(hub, repo)[-1]
    assert (logged.range, logged.status, logged.num_bytes) == (wanted, 206, stop - start)


def test_range_past_the_end_is_refused_with_the_size(hub, repo, folder):
    hub.add(repo, folder)
    answer = requests.get(resolve_url(hub, repo, "data/tiny/train.jsonl"), headers={"Range": "bytes=90-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */90")


def test_hf_file_system_reads_a_piece_with_one_ranged_request(hub, repo, folder):
    commit = hub.add(repo, folder)
    files = open_files(hub)
    path = f"datasets/{repo}@{commit}/data/tiny/train.jsonl"
    files.info(path)
    before = len(requests_of(hub, repo))
    assert files.cat_file(path, start=5, end=10, cache_type="none") == TRAIN[5:10]
    assert [(r.range, r.status, r.num_bytes) for r in requests_of(hub, repo)[before:]] == [("bytes=5-9", 206, 5)]


def test_status_faults_happen_the_stated_number_of_times(hub, repo, folder):
    hub.add(repo, folder)
    hub.fault(f"{repo}/.*train.jsonl", kind=429, times=2, retry_after_seconds=7)
    hub.fault(f"{repo}/.*train.jsonl", kind=500)
    answers = [requests.get(resolve_url(hub, repo, "data/tiny/train.jsonl")) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 500, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["7", "7", None, None]
    assert requests.get(resolve_url(hub, repo, "data/tiny/test.jsonl")).status_code == 200
    assert [request.status for request in requests_of(hub, repo)] == [429, 429, 500, 200, 200]


def test_fault_meets_its_method_only(hub, repo, folder):
    hub.add(repo, folder)
    hub.fault(f"{repo}/.*train.jsonl", kind=500, method="HEAD")
    url = resolve_url(hub, repo, "data/tiny/train.jsonl")
    answers = [requests.get(url), requests.head(url), requests.head(url)]
    assert [answer.status_code for answer in answers] == [200, 500, 200]


def test_cut_ends_the_transfer_in_the_middle(hub, repo, folder):
    hub.add(repo, folder)
    hub.fault(f"{repo}/.*train.jsonl", kind="cut", times=2)
    url = resolve_url(hub, repo, "data/tiny/train.jsonl")
    for _ in range(2):
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="45 bytes read, 45 more expected"):
            requests.get(url)
    assert requests.get(url).content == TRAIN


def test_stall_sends_half_and_then_nothing(hub, repo, folder):
    hub.add(repo, folder)
    hub.fault(f"{repo}/.*train.jsonl", kind="stall")
    url = resolve_url(hub, repo, "data/tiny/train.jsonl")
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"))
    connection.request("GET", url)
    answer = connection.getresponse()
    assert answer.read(45) == TRAIN[:45]
    connection.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        answer.read(1)
    connection.close()
    assert requests.get(url).content == TRAIN


def test_short_and_whole_answer_a_range_with_less_and_with_more(hub, repo, folder):
    hub.add(repo, folder)
    hub.fault(f"{repo}/.*train.jsonl", kind="short")
    hub.fault(f"{repo}/.*train.jsonl", kind="whole")
    url = resolve_url(hub, repo, "data/tiny/train.jsonl")
    short, whole = [requests.get(url, headers={"Range": "bytes=10-19"}) for _ in range(2)]
    assert (short.status_code, short.headers["Content-Range"], short.content) == (206, "bytes 10-14/90", TRAIN[10:15])
    assert (whole.status_code, whole.content) == (200, TRAIN)


def test_unknown_fault_is_refused(hub):
    with pytest.raises(ValueError, match="'gone'"):
        hub.fault("train.jsonl", kind="gone")


def test_environ_leaves_out_what_the_user_has_set(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_DATASETS_CACHE", "elsewhere")
    environ = hub.environ(tmp_path / "home")
    assert "HF_TOKEN" not in environ and "HF_DATASETS_CACHE" not in environ
    assert (environ["HF_ENDPOINT"], environ["HF_HOME"]) == (hub.endpoint, str(tmp_path / "home"))


@pytest.mark.parametrize("revision", ["main", ""])
def test_plain_datasets_loads_and_streams_a_yaml_config(hub, repo, folder, tmp_path, revision):
    hub.add(repo, folder)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, repo, revision], env=hub.environ(tmp_path / "home"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"loaded": ["one", "two"], "streamed": ["three"]}


def test_same_folders_give_the_same_commits_on_another_hub_and_latency_is_added(hub, repo, folder, tmp_path):
    with Hub(tmp_path / "other", latency_seconds=0.2) as other:
        assert other.add(repo, folder) == hub.add(repo, folder)
        answer = requests.get(resolve_url(other, repo, "data/tiny/train.jsonl"))
    assert answer.content == TRAIN
    assert answer.elapsed.total_seconds() > 0.2


def test_olah_environment_is_the_one_that_is_named(monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.touch()
    for name in (tmp_path, tmp_path / "bin", python):
        monkeypatch.setenv("M3IT_OLAH", str(name))
        assert olah_environment() == python
    monkeypatch.setenv("M3IT_OLAH", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="none"):
        olah_environment()
