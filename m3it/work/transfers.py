"""Files from servers, whole or not at all: resumed, side by side, and politely.

In: an address, a folder, a path in it.  Out: the file there. It grows in `.work/` of the folder, next to a record with
the server's stamp of it, and goes on where it stopped unless the stamp has changed; once it is whole it gets its own
name, and the record says its size.
"""

import errno
import json
import os
import queue
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from M3IT import RETRY_SECONDS, M3ITError, passing, stated_wait
from m3it.work.folder import record_of, sha256_of, write_json
from m3it.work.terminal import as_size

PER_HOST = 2  # transfers at a time from one server
BLOCK_BYTES = 1_000_000
TIMEOUT_SECONDS = (15, 60)  # to connect, and between two blocks
HEADERS = {
    "User-Agent": "m3it (https://huggingface.co/datasets/MMInstruction/M3IT)",
    "Accept-Encoding": "identity",  # a range of compressed bytes is none of the file
}
WEB_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)  # what some servers send in place of a file
FULL = (errno.ENOSPC, errno.EDQUOT)
STOPPED = "not fetched: another file ended the run. Call again to go on"
T = TypeVar("T")


class Fault(M3ITError):
    """Why a file was not fetched. `passes`: whether another try may succeed; `num_bytes`: how far this one came;
    `status`: of the server's answer, and `wait_seconds`, as it asks."""

    def __init__(
        self, why: str, *, passes: bool = False, num_bytes: int = 0, status: int = 0, wait_seconds: float = 0
    ) -> None:
        super().__init__(why)
        self.passes, self.num_bytes, self.status, self.wait_seconds = passes, num_bytes, status, wait_seconds


class Transfers:
    """Transfers of one run. What a server asks to wait is waited for by all that would ask it; a full disk ends all."""

    def __init__(self, per_host: int = PER_HOST) -> None:
        self.per_host = per_host
        self.stop = threading.Event()
        self.answered: set[str] = set()  # hosts
        self.not_before: dict[str, float] = defaultdict(float)  # of each host
        self.arrivals: queue.SimpleQueue[Future | None] = queue.SimpleQueue()  # None: a block

    def side_by_side(self, items: Iterable[T], host: Callable[[T], str], work: Callable[[T], Any]) -> Iterator[Any]:
        """What `work` returns for each item, as it comes; None for each block on the way."""
        pools: dict[str, ThreadPoolExecutor] = {}
        left = 0
        try:
            for item in items:
                pool = pools.setdefault(host(item), ThreadPoolExecutor(self.per_host))
                pool.submit(work, item).add_done_callback(self.arrivals.put)
                left += 1
            while left:
                arrived = self.arrivals.get()
                left -= arrived is not None
                yield arrived.result() if arrived else None
        finally:
            self.stop.set()  # after an error or Ctrl-C; where all is done nobody is left to see it
            for pool in pools.values():
                pool.shutdown(cancel_futures=True)

    def fetch(self, url: str, folder: Path, path: str, sha256: str = "") -> None:
        """Fetch a file, going on with what an earlier run has left of it; Fault where it cannot be had."""
        part = folder / record_of(path).removesuffix(".json")
        self.patiently(url, lambda: self._transfer(url, folder, path, part))
        if sha256 and (found := sha256_of(part)) != sha256:
            part.unlink()
            raise Fault(f"its sha256 is {found}, expected {sha256}: it was changed, or spoilt on the way")
        write_record(folder, path, url, num_bytes=part.stat().st_size)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, folder / path)

    def patiently(self, url: str, action: Callable[[], T]) -> T:
        """What the action returns, tried again after faults that pass. Tries count from the one that came farthest;
        a server that has never answered is soon given up."""
        host, num_tries, farthest = host_of(url), 0, 0
        while True:
            while (wait := self.not_before[host] - time.monotonic()) > 0 and not self.stop.wait(wait):
                pass  # others may have put it off meanwhile
            if self.stop.is_set():
                raise Fault(STOPPED)
            try:
                return action()
            except Fault as fault:
                num_tries = 1 if fault.num_bytes > farthest else num_tries + 1
                farthest = max(farthest, fault.num_bytes)
                patience = RETRY_SECONDS if host in self.answered else RETRY_SECONDS[:2]
                if not fault.passes or num_tries > len(patience):
                    raise
                self.not_before[host] = max(self.not_before[host], time.monotonic() + fault.wait_seconds)
                self.stop.wait(fault.wait_seconds or patience[num_tries - 1])

    def _transfer(self, url: str, folder: Path, path: str, part: Path) -> None:
        """One request for what is missing of a file."""
        record = read_record(folder, path)
        stamp = record.get("stamp") if record.get("url") == url and part.exists() else None
        start = part.stat().st_size if stamp else 0
        ranged = {"Range": f"bytes={start}-", "If-Range": stamp} if start and stamp else {}
        with self.ask("GET", url, ranged) as answer:
            if ranged and answer.status_code in (206, 416):
                told = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", answer.headers.get("Content-Range", ""))
                if told and told[1] is None and int(told[2]) == start:
                    return  # a run was killed after the last byte
                if not (told and told[1] == str(start)) or stamp_of(answer) not in (stamp, None):
                    part.unlink()
                    raise Fault("it changed while it was fetched", passes=True)
            else:  # it is another file now, or the server knows no ranges
                start = 0
            length = answer.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            if (total or 0) - start > (free := shutil.disk_usage(folder).free):
                raise self._full(f"needs {as_size((total or 0) - start)}, {folder} has {as_size(free)} free")
            if not start:
                write_record(folder, path, url, stamp=stamp_of(answer))
            self._receive(answer, part, start, total)

    def _receive(self, answer: requests.Response, part: Path, start: int, total: int | None) -> None:
        """Write what a server sends after the first `start` bytes of the part."""
        place, fault = start, ""
        with open(part, "ab" if start else "wb", 0) as out:
            while not fault:
                try:
                    block = answer.raw.read(BLOCK_BYTES, decode_content=False)
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    fault, block = f": {in_short(error)}", b""
                if not place and WEB_PAGE.match(block):
                    raise Fault("a web page came in place of the file. Open its address in a browser")
                if self.stop.is_set():
                    raise Fault(STOPPED)
                if not block:
                    break
                try:
                    out.write(block)
                except OSError as error:
                    if error.errno in FULL:
                        raise self._full(f"{part.parent.parent} is full") from error
                    raise
                place += len(block)
                self.arrivals.put(None)
        if fault or (total is not None and place != total):
            of = f" of {as_size(total)}" if total else ""
            raise Fault(f"broke off after {as_size(place)}{of}{fault}", passes=True, num_bytes=place)

    def _full(self, why: str) -> Fault:
        """The fault that ends the whole run: the disk has no room."""
        self.stop.set()
        return Fault(f"{why}. Make room, and call again to go on")

    def ask(self, method: str, url: str, headers: dict[str, str]) -> requests.Response:
        """A server's answer, its body not read yet; Fault for a refusal, and where none answers."""
        address, more = resolve(url)
        headers = {**HEADERS, **more, **headers}
        try:
            answer = requests.request(
                method, address, headers=headers, stream=True, timeout=TIMEOUT_SECONDS, allow_redirects=True
            )
        except requests.RequestException as error:
            raise Fault(f"no answer: {in_short(error)}", passes=True) from error
        self.answered.add(host_of(url))
        status = answer.status_code
        if answer.ok or status == 416:
            return answer
        answer.close()
        raise Fault(
            f"the server says {status} {answer.reason}",
            passes=passing(status),
            status=status,
            wait_seconds=stated_wait(answer.headers),
        )

    def look(self, url: str) -> requests.Response:
        """A server's answer about a file, closed: its head, or, where that is refused, that to a request for a byte."""

        def action() -> requests.Response:
            try:
                return self.ask("HEAD", url, {})
            except Fault as fault:
                if fault.passes:
                    raise
                return self.ask("GET", url, {"Range": "bytes=0-0"})

        answer = self.patiently(url, action)
        answer.close()
        return answer


def read_record(folder: Path, path: str) -> dict[str, Any]:
    """What is known of a file: its `url`; the server's `stamp` of it, while it grows; `num_bytes`, once it is whole."""
    try:
        return json.loads((folder / record_of(path)).read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # one that no program can read says nothing
        return {}


def write_record(folder: Path, path: str, url: str, **known: Any) -> None:
    """Write what is known of a file."""
    write_json(folder / record_of(path), {"url": url, **known})


def stamp_of(answer: requests.Response) -> str | None:
    """What tells a file from a later one of the same address: a strong ETag, or the time of its last change."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def size_of(answer: requests.Response) -> int | None:
    """The size of a file as an answer to `look` says it."""
    told = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() else None


def resolve(url: str) -> tuple[str, dict[str, str]]:
    """The address to ask, and headers: an hf:// path is one of the Hub, or of its mirror that HF_ENDPOINT names."""
    if not url.startswith("hf://"):
        return url, {}
    from huggingface_hub import get_token, hf_hub_url

    owner, name, path = url.removeprefix("hf://datasets/").split("/", 2)
    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return hf_hub_url(f"{owner}/{name}", path, repo_type="dataset"), headers


def host_of(url: str) -> str:
    """The server that an address names."""
    return urlsplit(resolve(url)[0]).netloc


def in_short(error: Exception) -> str:
    """An error of the network as part of a sentence."""
    return f"{type(error).__name__} {' '.join(str(error).split())}"[:200]
