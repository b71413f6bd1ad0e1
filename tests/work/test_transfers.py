"""m3it.work.transfers, against a server that misbehaves: the right bytes in the end, or a sentence that says why."""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from file_server import FileServer

from m3it.work import transfers
from m3it.work.transfers import Fault, Transfers, read_record

CONTENT = random.Random(0).randbytes(3_500_000)  # more than three blocks


@pytest.fixture
def server():
    with FileServer({"a.zip": CONTENT}) as found:
        yield found


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(transfers, "RETRY_SECONDS", (0.01, 0.01, 0.01))


@pytest.fixture
def fetch(server, tmp_path):
    """Fetch a.zip; the file's bytes."""

    def run(sha256=""):
        (tmp_path / ".work").mkdir(exist_ok=True)
        Transfers().fetch(f"{server.url}/a.zip", tmp_path, "in/a.zip", sha256)
        assert [path.name for path in (tmp_path / ".work").iterdir()] == ["in--a.zip.json"]  # nothing half is left
        return (tmp_path / "in/a.zip").read_bytes()

    return run


def part_of(folder):
    return folder / ".work" / "in--a.zip"


def begin(fetch, server, folder):
    """What a run leaves that is ended in the middle of the file."""
    server.fault("a.zip", "cut")
    server.fault("a.zip", 403)
    with pytest.raises(Fault, match="the server says 403 Forbidden"):
        fetch()
    server.requests.clear()
    assert 0 < part_of(folder).stat().st_size < len(CONTENT) and not (folder / "in/a.zip").exists()


def test_a_file_is_fetched_under_the_name_that_we_give_it(server, fetch, tmp_path):
    assert fetch(hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    assert [(r.method, r.range, r.status) for r in server.requests] == [("GET", None, 200)]
    assert server.requests[0].agent.startswith("m3it (https://")
    assert read_record(tmp_path, "in/a.zip") == {"url": f"{server.url}/a.zip", "num_bytes": len(CONTENT)}


def test_a_transfer_that_is_cut_goes_on_where_it_stopped(server, fetch):
    server.fault("a.zip", "cut", times=5)  # more often than patience lasts: each has brought something
    assert fetch() == CONTENT
    assert server.statuses("a.zip") == [200] + [206] * 5
    starts = [int(request.range.removeprefix("bytes=").rstrip("-")) for request in server.requests[1:]]
    assert starts == sorted(starts) and starts[0] == len(CONTENT) // 2


def test_a_later_run_goes_on_where_an_earlier_one_stopped(server, fetch, tmp_path):
    begin(fetch, server, tmp_path)
    assert fetch() == CONTENT
    assert [request.range for request in server.requests] == [f"bytes={len(CONTENT) // 2}-"]


def test_a_file_that_changed_between_two_tries_starts_anew(server, fetch, tmp_path):
    begin(fetch, server, tmp_path)
    server.files["a.zip"] = CONTENT[::-1]
    assert fetch() == CONTENT[::-1]
    assert server.statuses("a.zip") == [200]  # If-Range: the whole of it


def test_a_server_that_ignores_ranges_sends_all_again(server, fetch, tmp_path):
    begin(fetch, server, tmp_path)
    server.fault("a.zip", "no range")
    assert fetch() == CONTENT and server.statuses("a.zip") == [200]


def test_a_file_without_a_stamp_is_never_put_together_of_two(server, fetch):
    server.fault("a.zip", "cut, no stamp", times=2)
    assert fetch() == CONTENT
    assert [(request.range, request.status) for request in server.requests] == [(None, 200)] * 3


def test_a_server_that_always_cuts_at_the_same_place_is_given_up(server, fetch):
    server.fault("a.zip", "cut, no stamp", times=9)
    with pytest.raises(Fault, match=r"broke off after 1\.[78] MB of 3\.5 MB"):
        fetch()
    assert len(server.requests) == 4


def test_a_run_that_was_killed_after_the_last_byte_fetches_nothing_again(server, fetch, tmp_path):
    begin(fetch, server, tmp_path)
    part_of(tmp_path).write_bytes(CONTENT)
    assert fetch() == CONTENT and server.statuses("a.zip") == [416]


def test_redirects_are_followed_and_resumed(server, fetch):
    server.fault("a.zip", "gone on")
    server.fault("a.zip", "moved")
    assert fetch() == CONTENT
    assert server.requests[-1].path.startswith("elsewhere/a.zip")


def test_what_a_server_asks_to_wait_is_waited_for(server, fetch):
    server.fault("a.zip", 429, times=2, Retry_After="0.3")
    assert fetch() == CONTENT
    first, second, third = (request.seconds for request in server.requests)
    assert second - first >= 0.3 and third - second >= 0.3


@pytest.mark.parametrize("status, said", [(403, "403 Forbidden"), (404, "404 Not Found")])
def test_a_refusal_is_final(server, fetch, status, said):
    server.fault("a.zip", status)
    with pytest.raises(Fault, match=f"the server says {said}"):
        fetch()
    assert server.statuses("a.zip") == [status]


def test_a_server_that_fails_on_is_given_up(server, fetch):
    server.fault("a.zip", 503, times=9)
    with pytest.raises(Fault, match="the server says 503"):
        fetch()
    assert len(server.requests) == 4


def test_no_server_is_a_fault_soon(tmp_path, server):
    url = server.url
    server.__exit__()
    with pytest.raises(Fault, match="no answer: ConnectionError"):
        Transfers().fetch(f"{url}/a.zip", tmp_path, "a.zip")


def test_a_web_page_is_no_file(server, fetch, tmp_path):
    server.fault("a.zip", "page")
    with pytest.raises(Fault, match="a web page came in place of the file"):
        fetch()
    assert not (tmp_path / "in/a.zip").exists()


def test_a_file_with_another_digest_is_refused_and_fetched_anew_next_time(server, fetch, tmp_path):
    with pytest.raises(Fault, match=f"its sha256 is {hashlib.sha256(CONTENT).hexdigest()}, expected 00"):
        fetch("0" * 64)
    assert not part_of(tmp_path).exists() and not (tmp_path / "in/a.zip").exists()
    assert fetch() == CONTENT


def test_a_disk_without_room_is_said_before(server, fetch, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(transfers.shutil, "disk_usage", lambda folder: usage._replace(free=1_000_000))
    with pytest.raises(Fault, match=r"needs 3\.5 MB, .* has 1\.0 MB free\. Make room, and call again to go on"):
        fetch()


def test_a_disk_that_fills_up_meanwhile_ends_all_and_is_gone_on_with(server, fetch, monkeypatch, tmp_path):
    class Full:
        def __init__(self, *arguments):
            self.file = open(*arguments)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, block):
            if self.file.tell():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.write(block)

    monkeypatch.setattr(transfers, "open", Full, raising=False)
    with pytest.raises(Fault, match="is full. Make room, and call again to go on"):
        fetch()
    monkeypatch.undo()
    assert fetch() == CONTENT and server.requests[-1].range == "bytes=1000000-"


def test_a_server_gets_two_requests_at_a_time_and_another_is_not_kept_waiting():
    names = [f"{number}.zip" for number in range(6)]
    with (
        FileServer(dict.fromkeys(names, b"x"), slow_seconds=0.1) as one,
        FileServer(dict.fromkeys(names, b"x"), slow_seconds=0.1) as other,
    ):
        urls = [f"{server.url}/{name}" for server in (one, other) for name in names]
        runs = Transfers()
        found = [a for a in runs.side_by_side(urls, transfers.host_of, lambda url: runs.look(url).status_code) if a]
    assert found == [200] * 12 and (one.most_at_once, other.most_at_once) == (2, 2)
    assert min(request.seconds for request in other.requests) < max(request.seconds for request in one.requests)


def test_the_hub_is_asked_where_its_mirror_is_with_the_users_token(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    address, headers = transfers.resolve("hf://datasets/PaulLerner/viquae_dataset/a/train.jsonl")
    assert address.endswith("/datasets/PaulLerner/viquae_dataset/resolve/main/a/train.jsonl")
    assert headers == {"Authorization": "Bearer hf_secret"}
    assert transfers.resolve("http://a.org/b") == ("http://a.org/b", {})


def test_a_process_killed_in_the_middle_leaves_what_the_next_one_goes_on_with(tmp_path):
    """Killed with no chance to tidy up, wherever it stands."""
    (tmp_path / ".work").mkdir()
    content = random.Random(1).randbytes(30_000_000)
    code = "import sys; from pathlib import Path; from m3it.work.transfers import Transfers; "
    code += "Transfers().fetch(sys.argv[1], Path(sys.argv[2]), 'in/a.zip')"
    with FileServer({"a.zip": content}) as server:
        server.send_slowly = True
        command = [sys.executable, "-c", code, f"{server.url}/a.zip", str(tmp_path)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
        while not (part_of(tmp_path).exists() and part_of(tmp_path).stat().st_size > 2_000_000):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.send_slowly = False
        assert not (tmp_path / "in/a.zip").exists()
        Transfers().fetch(f"{server.url}/a.zip", tmp_path, "in/a.zip")
        assert (tmp_path / "in/a.zip").read_bytes() == content
        assert server.statuses("a.zip") == [200, 206]
