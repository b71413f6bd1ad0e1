"""A server of files on loopback, which misbehaves on request.

    with FileServer({"a.zip": b"..."}) as server:
        server.fault("a.zip", "cut", times=2)
        fetch(f"{server.url}/a.zip")
        assert [request.status for request in server.requests] == [200, 206, 206]

It knows ranges, with If-Range, and stamps each file with an ETag of its bytes. Faults: a status such as 429, with
headers; "cut": half of what was asked for; "cut, no stamp": that, without an ETag; "moved" and "gone on": 301 and 302
to the same file; "no range": the whole file, whatever was asked for; "page": a web page; "no head": 405 to HEAD.
"""

import hashlib
import http.server
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


class Request(NamedTuple):
    """One answered request; `seconds` is when it came, by time.monotonic()."""

    method: str
    path: str
    range: str | None
    status: int
    agent: str
    seconds: float


@dataclass
class FileServer:
    """Lives while the `with` block lasts."""

    files: dict[str, bytes]
    slow_seconds: float = 0.0  # before each answer
    send_slowly: bool = False  # a megabyte in twenty milliseconds
    requests: list[Request] = field(default_factory=list)
    faults: dict[str, list] = field(default_factory=lambda: defaultdict(list))
    num_at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "FileServer":
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fault(self, path: str, kind: int | str, times: int = 1, **headers: str) -> None:
        """Misbehave for the next `times` requests for a file."""
        self.faults[path] += [(kind, headers)] * times

    def statuses(self, path: str) -> list[int]:
        """The answers to the requests for a file, in order."""
        return [request.status for request in self.requests if request.path == path]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *ignored: object) -> None:
        """Nothing: clients that hang up are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        owner = self.server.owner
        with owner.lock:
            owner.num_at_once += 1
            owner.most_at_once = max(owner.most_at_once, owner.num_at_once)
        try:
            time.sleep(owner.slow_seconds)
            self.answer(owner, self.path.lstrip("/").removeprefix("elsewhere/").partition("?")[0])
        finally:
            with owner.lock:
                owner.num_at_once -= 1

    do_HEAD = do_GET

    def answer(self, owner: FileServer, path: str) -> None:
        moved, faults = self.path.startswith("/elsewhere/"), owner.faults[path]
        kind, headers = faults.pop(0) if faults and not moved else (None, {})
        if kind == "no head" and self.command == "GET":
            kind = None
        if path not in owner.files or isinstance(kind, int) or kind == "no head":
            status = kind if isinstance(kind, int) else 405 if kind else 404
            return self.send(status, b"", {name.replace("_", "-"): value for name, value in headers.items()})
        if kind in ("moved", "gone on"):
            location = {"Location": f"{owner.url}/elsewhere/{path}?signed=1"}
            return self.send(301 if kind == "moved" else 302, b"", location)
        content = PAGE if kind == "page" else owner.files[path]
        stamp = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"Accept-Ranges": "bytes", "Content-Disposition": 'attachment; filename="of-another-name.bin"'}
        headers |= {} if kind == "cut, no stamp" else {"ETag": stamp}
        asked, status = self.headers.get("Range"), 200
        if asked and kind != "no range" and self.headers.get("If-Range") in (None, stamp):
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            if int(start) >= len(content):
                return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            last = min(int(stop or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
            content, status = content[int(start) : last + 1], 206
        return self.send(status, content, headers, len(content) // 2 if kind in ("cut", "cut, no stamp") else None)

    def send(self, status: int, content: bytes, headers: dict[str, str], num_bytes: int | None = None) -> None:
        seen = self.headers
        self.server.owner.requests.append(
            Request(
                self.command,
                self.path.lstrip("/"),
                seen.get("Range"),
                status,
                seen.get("User-Agent", ""),
                time.monotonic(),
            )
        )
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        content = b"" if self.command == "HEAD" else content[:num_bytes]
        for start in range(0, len(content), 1_000_000):
            time.sleep(0.02 * self.server.owner.send_slowly)
            self.wfile.write(content[start : start + 1_000_000])
        self.close_connection = True

    def log_message(self, *ignored: object) -> None:
        pass
