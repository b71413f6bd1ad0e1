"""A Hub on loopback: folders go in as commits, `datasets` and `huggingface_hub` read them over HTTP.

    with Hub(tmp_path) as hub:
        commit = hub.add("MMInstruction/M3IT", folder)
        hub.fault("train.jsonl", kind="cut", times=2)
        subprocess.run([python, script], env=hub.environ(tmp_path / "home"))
        assert [request.status for request in hub.requests if request.range] == [206, 206, 206]

Two servers. `olah` (https://github.com/vtuber-plan/olah) answers what describes a repository: revision, refs, commits.
It runs in an environment of its own, because its dependencies clash with ours. In front of it stands a small proxy that
keeps the log, misbehaves on request, and serves from git what olah 0.5.4 cannot:

resolve      olah ignores Range, holds whole files in memory, and answers 500 for a missing file
tree         redirects past the proxy, has no pages, and answers 500 to `expand` of a file that is not on main
tree, paths  answer 500 where a file of 121 to 149 bytes is not UTF-8
revision     finds no name with slashes (refs/convert/parquet) and no default branch, calls an unknown revision an
             unknown repository, and ignores `blobs=true` (file sizes)

A repository is a dataset here, not a model or a space. Files are plain git blobs: no LFS, no redirect to a CDN. Every
commit carries the same date, so that the same folders give the same commits.
"""

import functools
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

import pytest

OLAH_VERSION = "0.5.4"
DATE = "2023-06-08T00:00:00"
PAGE_SIZE = {False: 1000, True: 50}  # entries of one answer of `tree`, without and with `expand`, as on the Hub
LARGE_BYTES = 2**27
URL = re.compile(
    r"/(?:api/)?datasets/(?P<repo>[^/]+/[^/]+)(?:/(?P<endpoint>[a-z-]+)(?:/(?P<revision>[^/]+)(?:/(?P<path>.*))?)?)?"
)


@dataclass(frozen=True)
class Request:
    """One answered request; `num_bytes` of the body were sent, or would have been to a client that stayed."""

    method: str
    path: str  # unquoted, with the query
    range: str | None
    status: int
    num_bytes: int
    authorization: str | None


@dataclass
class Fault:
    pattern: str
    kind: int | str
    times: int
    method: str
    retry_after_seconds: int


@dataclass
class Reply:
    """What the Hub says to a request, before ranges and faults; `body` is a Path where a file was asked for."""

    body: bytes | pathlib.Path = b""
    status: int = 200
    headers: dict = field(default_factory=dict)


class Hub:
    """A Hub that lives in `folder` while the `with` block lasts; `latency_seconds` are added to every answer."""

    def __init__(self, folder, latency_seconds=0):
        self.folder = pathlib.Path(folder).resolve()
        self.latency_seconds = latency_seconds
        self.requests = []
        self.faults = []
        self.commits = {}
        self.counting = threading.Lock()
        self.exporting = threading.Lock()
        self.closing = threading.Event()

    def __enter__(self):
        (self.folder / "blobs").mkdir(parents=True)
        self.olah, self.olah_address = start_olah(self.folder)
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.olah.terminate()
        self.olah.wait()

    def add(self, repo, folder, ref=None):
        """Commit what `folder` holds, and nothing else, on `ref` (default: the branch main); returns the commit.

        `ref` is a branch name, or a full name such as refs/tags/v1 or refs/convert/parquet.
        """
        git_dir, folder = self.git_dir(repo), pathlib.Path(folder).resolve()
        ref = ref or "main"
        ref = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        if not git_dir.exists():
            git_dir.mkdir(parents=True)
            git(git_dir, "init", "--quiet", "--bare", "--initial-branch=main")
        # No compression, no clean-up: a fixture of 5 GB is copied, not deflated. --force: a .gitignore hides nothing.
        store = ("-c", "core.compression=0", "-c", "gc.auto=0", "-c", "core.autocrlf=false")
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            git(git_dir, *store, f"--work-tree={folder}", "add", "--all", "--force", ".", cwd=folder, **index)
            tree = git(git_dir, "write-tree", **index).decode().strip()
        parent = find_commit(git_dir, ref)
        parents = ["-p", parent] if parent else []
        commit = git(git_dir, "commit-tree", tree, *parents, "-m", "Add files").decode().strip()
        git(git_dir, "update-ref", ref, commit)
        self.commits.clear()
        for entry in read_entries(git_dir, commit).values():
            if entry["size"] > LARGE_BYTES:  # 5 GB take longer to write out than a client waits for an answer
                self.export(repo, entry["oid"])
        return commit

    def fault(self, pattern, kind, times=1, method="GET", retry_after_seconds=1):
        """Spoil the next `times` answers to requests of this method whose path matches `pattern` (`re.search`).

        `kind` is a status (429 and 503 come with Retry-After) or what happens to the body:
        cut     half of it, then the connection closes       stall   half of it, then silence until the Hub closes
        short   a correct 206 that holds half of the range   whole   200 and the whole file in answer to a range
        """
        if not isinstance(kind, int) and kind not in ("cut", "stall", "short", "whole"):
            raise ValueError(f"Unknown kind {kind!r} of fault: give a status, 'cut', 'stall', 'short' or 'whole'.")
        self.faults.append(Fault(pattern, kind, times, method, retry_after_seconds))

    def environ(self, home):
        """The environment of a subprocess that knows no Hub but this one and keeps its caches in the folder `home`."""
        pathlib.Path(home).mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
        return {
            **kept,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # else `datasets` 2.x counts each load on a server outside
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def git_dir(self, repo):
        return self.folder / "mirrors" / "datasets" / repo

    def take_fault(self, method, path):
        """The fault that this request meets, or None; what is asked for first goes first."""
        with self.counting:
            for fault in self.faults:
                if fault.method == method and re.search(fault.pattern, path):
                    fault.times -= 1
                    if fault.times == 0:
                        self.faults.remove(fault)
                    return fault
        return None

    def answer(self, method, target, form):
        """The Reply to a request; `form` is its body."""
        url = urllib.parse.urlsplit(target)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(url.query).items()}
        match = URL.fullmatch(url.path)
        if not match or not self.git_dir(match["repo"]).exists():
            return refuse(401, "RepoNotFound")
        repo, endpoint, path = match["repo"], match["endpoint"], urllib.parse.unquote(match["path"] or "").strip("/")
        if endpoint in ("refs", "commits"):
            return self.ask_olah(target)
        commit = self.find_commit(repo, urllib.parse.unquote(match["revision"] or "main"))
        if commit is None:
            return refuse(404, "RevisionNotFound")
        entries = read_entries(self.git_dir(repo), commit)
        if endpoint == "resolve":
            return self.resolve(repo, commit, entries.get(path))
        if endpoint == "tree":
            return self.tree(url, query, commit, entries, path)
        if endpoint == "paths-info":
            form = urllib.parse.parse_qs(form.decode())
            found = [entries[path.strip("/")] for path in form["paths"] if path.strip("/") in entries]
            return as_json(with_commit(found, commit) if is_true(form.get("expand", [""])[-1]) else found)
        reply = self.ask_olah(f"/api/datasets/{repo}/revision/{commit}")
        if is_true(query.get("blobs", "")):
            info = json.loads(reply.body)
            files = [entry for entry in entries.values() if entry["type"] == "file"]
            info["siblings"] = [{"rfilename": e["path"], "size": e["size"], "blobId": e["oid"]} for e in files]
            return as_json(info)
        return reply

    def ask_olah(self, target):
        connection = http.client.HTTPConnection(self.olah_address)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            kept = {k: v for k, v in response.headers.items() if k.lower().startswith(("x-", "content-type"))}
            return Reply(response.read(), response.status, kept)
        finally:
            connection.close()

    def find_commit(self, repo, revision):
        key = (repo, revision)
        if key not in self.commits:
            self.commits[key] = find_commit(self.git_dir(repo), revision)
        return self.commits[key]

    def resolve(self, repo, commit, entry):
        if entry is None or entry["type"] != "file":
            return refuse(404, "EntryNotFound")
        headers = {"ETag": f'"{entry["oid"]}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return Reply(self.export(repo, entry["oid"]), 200, {"Content-Type": "application/octet-stream", **headers})

    def export(self, repo, oid):
        """The file that holds a blob: git has no random access, so a blob is written out once and then seeked."""
        blob = self.folder / "blobs" / oid
        with self.exporting:
            if not blob.exists():
                with open(f"{blob}.part", "wb") as file:
                    git(self.git_dir(repo), "cat-file", "blob", oid, stdout=file)
                os.replace(f"{blob}.part", blob)
        return blob

    def tree(self, url, query, commit, entries, path):
        recursive, expand = is_true(query.get("recursive", "")), is_true(query.get("expand", ""))
        if path and path not in entries:
            return refuse(404, "EntryNotFound")
        prefix = f"{path}/" if path else ""
        found = [e for p, e in entries.items() if p.startswith(prefix) and (recursive or "/" not in p[len(prefix) :])]
        start = int(query.get("cursor", "0"))
        stop = start + PAGE_SIZE[expand]
        headers = {}
        if stop < len(found):
            following = urllib.parse.urlencode({**query, "cursor": stop})
            headers["Link"] = f'<{self.endpoint}{url.path}?{following}>; rel="next"'
        return as_json(with_commit(found[start:stop], commit) if expand else found[start:stop], headers)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # 5, the default, refuses the workers of a DataLoader when they all start


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits up to 40 ms for the acknowledgement of its headers

    def do_GET(self):
        form = self.read_form()
        hub = self.server.hub
        time.sleep(hub.latency_seconds)
        fault = hub.take_fault(self.command, urllib.parse.unquote(self.path))
        kind = fault.kind if fault else None
        if isinstance(kind, int):
            headers = {"Retry-After": fault.retry_after_seconds} if kind in (429, 503) else {}
            reply = Reply(f"Fault {kind}, as asked for".encode(), kind, headers)
        else:
            reply = hub.answer(self.command, self.path, form)
        try:
            self.send(reply, kind)
        except ConnectionError:  # the client has enough, as one that tests a timeout or reads half a stream
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_GET

    def read_form(self):
        """The body of a request; of one without a length, its chunks."""
        if "Content-Length" in self.headers or "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def send(self, reply, kind):
        """Send the range that was asked for, or half of it; the log has its line before the client sees a byte."""
        size = reply.body.stat().st_size if isinstance(reply.body, pathlib.Path) else len(reply.body)
        start, stop = 0, size
        wanted = self.headers.get("Range")
        if wanted and self.command == "GET" and isinstance(reply.body, pathlib.Path) and kind != "whole":
            start, stop = parse_range(wanted, size)
            if start >= stop:
                reply = Reply(b"", 416, {"Content-Range": f"bytes */{size}"})
                start = stop = 0
            else:
                stop = (start + stop) // 2 if kind == "short" else stop
                reply.status = 206
                reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", stop - start)
        if kind in ("cut", "stall"):
            stop = (start + stop) // 2
        if self.command == "HEAD":
            stop = start
        path, authorization = urllib.parse.unquote(self.path), self.headers.get("Authorization")
        hub = self.server.hub
        hub.requests.append(Request(self.command, path, wanted, reply.status, stop - start, authorization))
        self.end_headers()
        self.send_body(reply.body, start, stop)
        if kind == "stall":
            hub.closing.wait()
        if kind in ("cut", "stall"):
            self.close_connection = True

    def send_body(self, body, start, stop):
        if isinstance(body, bytes):
            self.wfile.write(body[start:stop])
        elif start < stop:
            with open(body, "rb") as file:
                self.connection.sendfile(file, start, stop - start)

    def log_message(self, *args):
        pass


def parse_range(header, size):
    """Where `bytes=2-5`, `bytes=2-` or `bytes=-3` starts and, exclusive, stops; start >= stop if there is nothing."""
    first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", header).groups()
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


def is_true(value):
    return value.lower() in ("true", "1")


def as_json(value, headers=None):
    return Reply(json.dumps(value).encode(), 200, {"Content-Type": "application/json", **(headers or {})})


def refuse(status, code):
    """The Hub's way to say no: huggingface_hub chooses its exception by X-Error-Code."""
    reply = as_json({"error": code}, {"X-Error-Code": code})
    reply.status = status
    return reply


def with_commit(entries, commit):
    """The entries as `expand=true` shows them, save that the Hub names the last commit that changed each path."""
    return [{**entry, "lastCommit": {"id": commit, "title": "Add files", "date": f"{DATE}.000Z"}} for entry in entries]


def git(git_dir, *arguments, cwd=None, stdout=subprocess.PIPE, **variables):
    """What git prints, or None if it goes to a file; the settings of the user and of the machine are left out."""
    who = {f"GIT_{role}_{name}": "hub@localhost" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")}
    when = {f"GIT_{role}_DATE": f"{DATE}Z" for role in ("AUTHOR", "COMMITTER")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", f"--git-dir={git_dir}", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**kept, **who, **when, **alone, **variables}, stdout=stdout, check=True
    ).stdout


def find_commit(git_dir, revision):
    """The commit that a branch, a tag, a full ref or a commit names, or None."""
    try:
        return git(git_dir, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError:
        return None


@functools.lru_cache(maxsize=64)
def read_entries(git_dir, commit):
    """All files and directories of a commit by path, each as the Hub's `tree` shows it."""
    entries = {}
    for line in git(git_dir, "ls-tree", "-r", "-t", "-l", "-z", commit).decode().split("\0")[:-1]:
        details, path = line.split("\t", 1)
        _, kind, oid, size = details.split()
        kind = "directory" if kind == "tree" else "file"
        entries[path] = {"type": kind, "oid": oid, "size": 0 if size == "-" else int(size), "path": path}
    return entries


def olah_environment():
    """The python that runs olah: the one of M3IT_OLAH, else one kept in ~/.cache/m3it-tests, made when first asked for.

    M3IT_OLAH is a python, or a folder with one: an environment or its bin. Raises CalledProcessError if pip fails.
    """
    given = os.environ.get("M3IT_OLAH")
    if given:
        for python in (pathlib.Path(given, "bin", "python"), pathlib.Path(given, "python"), pathlib.Path(given)):
            if python.is_file():
                return python
        raise ValueError(f"M3IT_OLAH is {given!r}, which holds no python; name the environment that olah is in.")
    home = pathlib.Path.home() / ".cache" / "m3it-tests" / f"olah-{OLAH_VERSION}"
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        building = pathlib.Path(tempfile.mkdtemp(prefix="building-", dir=home.parent))
        try:
            # An environment may be renamed as long as nobody runs its scripts: they name the folder they were made in.
            subprocess.run([sys.executable, "-m", "venv", building], check=True, capture_output=True, text=True)
            pip = [building / "bin" / "python", "-m", "pip", "install", "--quiet", f"olah=={OLAH_VERSION}"]
            subprocess.run(pip, check=True, capture_output=True, text=True)
            os.rename(building, home)
        except OSError:
            if not home.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return home / "bin" / "python"


def start_olah(folder):
    """Start olah on the repositories below `folder`/mirrors; returns the process and its host:port."""
    settings = folder / "olah.toml"
    settings.write_text(
        f"""[basic]
host = "127.0.0.1"
port = 0
repos-path = {json.dumps(str(folder / "cache"))}
mirrors-path = [{json.dumps(str(folder / "mirrors"))}]
metadata-cache-ttl = 0
[accessibility]
offline = true
""",
        encoding="utf-8",
    )
    log = folder / "olah.log"
    with open(log, "wb") as output:
        command = [olah_environment(), "-m", "olah.server", "--config", settings]
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    # Port 0 lets the kernel choose a free port; the log is where olah says which.
    while not (running := re.search(r"running on http://(127\.0\.0\.1:\d+)", log.read_text(encoding="utf-8"))):
        if process.poll() is not None:
            raise RuntimeError(f"olah ended with {process.returncode} before it listened:\n{log.read_text('utf-8')}")
        time.sleep(0.05)
    return process, running[1]


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """One Hub for the whole run: give each test a repository name of its own, and name it in the patterns of faults."""
    try:
        olah_environment()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"olah cannot be installed: {error.stderr}")
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub
