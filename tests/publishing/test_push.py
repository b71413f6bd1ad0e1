"""m3it/publishing/push.py: a release on a Hub that takes uploads, and what is said where it takes none."""

import re
import shutil
import signal
import subprocess
import sys
import time

import huggingface_hub
import pytest
from hub import find_commit, git, olah_environment, read_entries
from hub_uploads import UploadHub
from huggingface_hub import constants
from packaging.version import Version

from m3it.publishing import push as push_module
from m3it.publishing.push import plan_push, push
from m3it.rows.instance import M3ITError
from publishing.releases import sums_of


@pytest.fixture(scope="module")
def upload_hub(tmp_path_factory):
    try:
        olah_environment()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"olah cannot be installed: {error.stderr}")
    with UploadHub(tmp_path_factory.mktemp("uploads")) as hub:
        yield hub


@pytest.fixture
def here(upload_hub, monkeypatch):
    """This process knows no Hub but that one, and has its token."""
    monkeypatch.setattr(constants, "ENDPOINT", upload_hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    shutil.rmtree(upload_hub.folder / "lfs", ignore_errors=True)  # what one test has sent, the next sends again
    upload_hub.requests.clear()
    return upload_hub


def files_of(hub, repo):
    """path -> bytes of all files of a repository but the Hub's own."""
    git_dir = hub.git_dir(repo)
    entries = read_entries(git_dir, find_commit(git_dir, "main"))
    blobs = {path: entry["oid"] for path, entry in entries.items() if entry["type"] == "file"}
    return {path: git(git_dir, "cat-file", "blob", oid) for path, oid in blobs.items() if path != ".gitattributes"}


def published(folder):
    return {path: (folder / path).read_bytes() for path in sums_of(folder)}


def test_a_release_lies_on_the_hub_as_it_lies_in_its_folder_and_takes_the_requests_that_were_said(here, clean):
    plan = plan_push(clean, "org/as-it-lies")
    assert plan.files == {path: len(data) for path, data in published(clean).items()} and "README.md" in plan.files
    pushed = push(plan)
    assert pushed == (f"{here.endpoint}/datasets/org/as-it-lies", []) and here.private
    assert files_of(here, "org/as-it-lies") == published(clean)
    sent = [request for request in here.requests if request.method != "HEAD"]
    small = sum(not path.endswith(".parquet") for path in plan.files)  # go in the commit
    assert plan.num_requests - small - 1 <= len(sent) <= plan.num_requests
    assert {request.authorization for request in sent if request.method == "POST"} == {"Bearer hf_x"}


def test_the_card_comes_last_and_what_is_there_is_not_sent_again(here, spoilable):
    push(plan_push(spoilable, "org/again"))
    log = git(here.git_dir("org/again"), "log", "--format=", "--name-only", "-1", "main").decode().split()
    assert log == ["README.md"]
    here.requests.clear()
    (spoilable / "README.md").write_text("---\n---\nOther.\n", "utf-8")
    push(plan_push(spoilable, "org/again"))
    assert not [request for request in here.requests if request.method == "PUT"]
    assert files_of(here, "org/again")["README.md"] == b"---\n---\nOther.\n"


def test_a_large_release_goes_in_several_commits_and_goes_on_with_the_next(here, clean, monkeypatch):
    monkeypatch.setattr(push_module, "FILES_A_COMMIT", 4)
    plan = plan_push(clean, "org/large")
    whole = UploadHub.commit

    def refuse_the_next(hub, repo, ref, form):
        here.fault("/commit/", 500, method="POST")
        return whole(hub, repo, ref, form)

    monkeypatch.setattr(UploadHub, "commit", refuse_the_next)
    with pytest.raises(M3ITError, match="status 500"):
        push(plan)
    assert len(files_of(here, "org/large")) == 4
    monkeypatch.setattr(UploadHub, "commit", whole)
    push(plan)
    assert files_of(here, "org/large") == published(clean)
    log = git(here.git_dir("org/large"), "log", "--format=%s", "main").decode().split("\n")
    assert log.count("Upload a release of m3it") == 4  # 4 + 4 + 2 files, and the card


def test_what_lay_there_before_stays_and_is_said(here, clean, tmp_path):
    (tmp_path / "old/data").mkdir(parents=True)
    (tmp_path / "old/M3IT.py").write_text("", "utf-8")
    (tmp_path / "old/data/rows.jsonl").write_text("{}\n", "utf-8")
    here.add("org/old", tmp_path / "old")
    assert push(plan_push(clean, "org/old")).others == ["M3IT.py", "data/rows.jsonl"]


@pytest.mark.skipif(Version(huggingface_hub.__version__) < Version("1.2"), reason="huggingface_hub < 1.2 does not wait")
@pytest.mark.parametrize("pattern", ["preupload", "objects/batch", "/lfs/"])
def test_a_429_is_waited_out(here, clean, pattern):
    repo = f"org/busy-{len(pattern)}"
    method = "PUT" if pattern == "/lfs/" else "POST"
    here.fault(pattern, 429, method=method, retry_after_seconds=0)
    push(plan_push(clean, repo))
    assert [request.status for request in here.requests if pattern in request.path].count(429) == 1
    assert files_of(here, repo) == published(clean)


@pytest.mark.parametrize(
    ("pattern", "status", "words"),
    [
        ("repos/create", 401, r"the Hub refused \(status 401.*\)\. Log in with: hf auth login, or set HF_TOKEN\.$"),
        ("repos/create", 403, r"status 403.*Log in with a token that may write there: hf auth login\.$"),
        ("preupload", 404, r"status 404.*Name your user or an organization that you may write to"),
        ("commit", 413, r"status 413.*Make smaller files with --shard-size\.$"),
        ("repos/create", 429, r"status 429.*Wait five minutes, then call it again: it goes on\.$"),
        ("commit", 500, r"status 500.*Call it again: it goes on\.$"),
    ],
)
def test_a_refusal_is_one_sentence(here, clean, pattern, status, words):
    here.fault(pattern, status, times=1, method="POST")
    with pytest.raises(M3ITError, match=words) as caught:
        push(plan_push(clean, f"org/refused-{status}"))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"org/refused-{status}: ")
    here.faults.clear()


def test_without_a_network_it_says_so(clean, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(M3ITError, match=r"^org/x: the Hub cannot be reached or broke off .*Is there a network\?"):
        push(plan_push(clean, "org/x"))


def test_a_file_that_the_hub_lost_is_missed(here, clean, monkeypatch):
    whole = UploadHub.commit

    def forget(hub, repo, ref, form):
        lines = form.splitlines(keepends=True)
        return whole(hub, repo, ref, b"".join(line for line in lines if b'"run.json"' not in line))

    monkeypatch.setattr(UploadHub, "commit", forget)
    with pytest.raises(M3ITError, match=r"1 of \d+ files are not there as they were sent, such as run\.json"):
        push(plan_push(clean, "org/lost"))


@pytest.mark.parametrize(
    ("repo", "words"),
    [("name", "expected ORG/NAME"), ("a/b/c", "expected ORG/NAME"), ("org/x..y", "expected ORG/NAME")],
)
def test_a_name_that_is_none_of_the_hubs_is_refused(clean, repo, words):
    with pytest.raises(M3ITError, match=words):
        plan_push(clean, repo)


@pytest.mark.parametrize("folder", ["s3://bucket/release", "data"])
def test_what_is_no_release_on_this_machine_is_refused(clean, folder):
    with pytest.raises(M3ITError, match="expected a release in a folder of this machine"):
        plan_push(folder if "://" in folder else clean / folder, "org/name")


def test_the_command_refuses_a_name_before_the_work_and_sends_nothing_unasked(here, clean, tmp_path, m3it):
    out = tmp_path / "release"
    code, _, said = m3it("release", clean.parent / "repo", "--out", out, "--push", "name")
    assert code == 1 and said.startswith("--push name: expected ORG/NAME") and not out.exists()
    shutil.copytree(clean, out)
    code, said, _ = m3it("release", clean.parent / "repo", "--out", out, "--push", "org/unasked")
    assert code == 0 and said.endswith("Nothing was sent: add --yes to send them.\n") and here.requests == []
    assert re.search(r"^org/unasked: 11 files, [\d.]+ KB, in up to \d+ requests$", said, re.MULTILINE)
    code, said, _ = m3it("release", clean.parent / "repo", "--out", out, "--push", "org/unasked", "--yes")
    assert code == 0 and f"{here.endpoint}/datasets/org/unasked: all files are there." in said


def test_a_format_without_configs_is_pushed_as_well(here, clean, tmp_path, m3it):
    asked = ("release", clean.parent / "repo", "--out", tmp_path / "out", "--format", "webdataset")
    code, said, _ = m3it(*asked, "--push", "org/tars")
    assert code == 0 and said.endswith("Nothing was sent: add --yes to send them.\n") and here.requests == []
    code, said, _ = m3it(*asked)
    assert code == 0 and said.splitlines()[-1].startswith("hf upload")


def run_command(hub, source, out, home, *options):
    command = [sys.executable, "-m", "m3it", "release", str(source), "--out", str(out), "--push", "org/killed"]
    return subprocess.Popen(
        [*command, *options], env={**hub.environ(home), "HF_TOKEN": "hf_x"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow  # two processes
def test_a_push_that_was_killed_goes_on(upload_hub, clean, tmp_path):
    source, out = clean.parent / "repo", tmp_path / "release"
    shutil.copytree(clean, out)
    upload_hub.fault("/lfs/", "stall", times=1, method="PUT")  # one is taken, but its answer never ends
    upload_hub.fault("/lfs/", 503, times=1000, method="PUT", retry_after_seconds=600)
    running = run_command(upload_hub, source, out, tmp_path / "home", "--yes")
    while not [request for request in upload_hub.requests if request.method == "PUT"]:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    upload_hub.faults.clear()
    arrived = {path.name for path in (upload_hub.folder / "lfs").glob("*")}

    upload_hub.requests.clear()
    said, problem = (again := run_command(upload_hub, source, out, tmp_path / "home", "--yes")).communicate()
    assert again.returncode == 0, problem
    assert f"{upload_hub.endpoint}/datasets/org/killed" in said
    sent = {request.path.rpartition("/")[2] for request in upload_hub.requests if request.method == "PUT"}
    assert not sent & arrived
    assert files_of(upload_hub, "org/killed") == published(out)
