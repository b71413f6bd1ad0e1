"""An OpenAI-compatible server on loopback: says what a function of the request says, and misbehaves on request.

    with ChatServer(lambda request: request["messages"][-1]["content"].upper()) as server:
        server.fault(429, times=3, retry_after="0.2")
        chat = Chat("m", base_url=server.url, cache_dir=tmp_path)
        assert chat.ask([message("hello")]).text == "HELLO"
        assert [exchange.status for exchange in server.exchanges] == [429, 429, 429, 200]

The function gets the request's JSON body and returns the text of the reply, or a dict that is the whole body of the
answer, or bytes: server-sent events, such as `events` makes; it may raise Refuse. Words count as tokens, images
as none.
"""

import http.server
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("cut", "drop", "slow", "garbage", "broken", "nonsense")


class Refuse(Exception):
    """Raised by the function: an error in the form that OpenAI's servers give it."""

    def __init__(self, status: int, message: str = "refused", **fields: Any):
        super().__init__(message)
        self.status, self.headers = status, fields.pop("headers", {})
        self.error = {"message": message, "type": "error", "param": None, "code": None, **fields}


@dataclass(frozen=True)
class Exchange:
    """One answered request; `seconds` is when it came, by time.monotonic()."""

    path: str
    body: dict[str, Any]
    key: str
    status: int
    fault: int | str | None
    seconds: float


@dataclass
class Fault:
    kind: int | str
    times: int
    headers: dict[str, str]


@dataclass
class ChatServer:
    """A server that lives while the `with` block lasts; other keys than `key` get 401, models not in `models` 404."""

    reply: Callable[[dict[str, Any]], str | dict[str, Any] | bytes] = lambda request: "ok"
    key: str | None = None
    models: tuple[str, ...] = ()
    slow_seconds: float = 1.0
    exchanges: list[Exchange] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    most_at_once: int = 0
    num_at_once: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "ChatServer":
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.chat = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def fault(self, kind: int | str, times: int = 1, **headers: str) -> None:
        """Spoil the next `times` answers. `kind` is a status (headers: retry_after="2"), or

        cut      half of the body, then the connection closes    slow      `slow_seconds` of silence, then the answer
        drop     the connection closes before a byte              garbage   200 and a page of HTML
        broken   200 and half of the JSON, as if it were whole    nonsense  200 and JSON that is no completion
        """
        if not isinstance(kind, int) and kind not in FAULTS:
            raise ValueError(f"Unknown kind {kind!r} of fault: give a status or one of {', '.join(FAULTS)}.")
        self.faults.append(Fault(kind, times, {name.replace("_", "-"): value for name, value in headers.items()}))

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the requests for completions, in the order in which they came."""
        return [exchange.body for exchange in self.exchanges if exchange.path.endswith("/chat/completions")]

    def take_fault(self) -> Fault | None:
        with self.counting:
            if not self.faults:
                return None
            fault = self.faults[0]
            fault.times -= 1
            if not fault.times:
                self.faults.pop(0)
            return fault

    def answer(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any] | bytes:
        """The body of the answer; Refuse where the request is not taken."""
        if self.key and key != f"Bearer {self.key}":
            raise Refuse(401, "Incorrect API key provided", code="invalid_api_key")
        if path.endswith("/models") and self.models:
            return {
                "object": "list",
                "data": [{"id": name, "object": "model", "created": 0, "owned_by": "us"} for name in self.models],
            }
        if not path.endswith("/v1/chat/completions"):
            raise Refuse(404, "Not Found")
        if self.models and body["model"] not in self.models:
            raise Refuse(404, f"The model {body['model']!r} does not exist", code="model_not_found")
        reply = self.reply(body)
        return completion(body, reply) if isinstance(reply, str) else reply


def completion(request: dict[str, Any], text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    """The body of a chat completion."""
    usage = {
        "prompt_tokens": sum(len(words_of(m).split()) for m in request["messages"]),
        "completion_tokens": len((text or "").split()),
    }
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_reason,
        "logprobs": None,
    }
    usage["total_tokens"] = sum(usage.values())
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{request['model']}-2024",
        "choices": [choice],
        "usage": usage,
    }


def events(request: dict[str, Any], *texts: str, **fields: Any) -> bytes:
    """The reply as a stream: a piece for each text, then the end, with `fields` in its delta."""
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": request["model"]}
    said = [({"content": text}, None) for text in texts] + [(fields, "stop")]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in said]
    if (request.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": completion(request, "".join(texts))["usage"]})
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def words_of(message: dict[str, Any]) -> str:
    """The text of a message, without its images."""
    content = message["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    chat: ChatServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        chat, seconds = self.server.chat, time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        with chat.counting:
            chat.num_at_once += 1
            chat.most_at_once = max(chat.most_at_once, chat.num_at_once)
        fault, status, headers = chat.take_fault(), 200, {}
        try:
            if fault and isinstance(fault.kind, int):
                raise Refuse(fault.kind, f"fault {fault.kind}, as asked for", headers=fault.headers)
            answer = chat.answer(self.path, body, self.headers.get("Authorization", ""))
        except Refuse as error:
            answer, status, headers = {"error": error.error}, error.status, error.headers
        with chat.counting:
            chat.num_at_once -= 1
            chat.exchanges.append(
                Exchange(self.path, body, self.headers.get("Authorization", ""), status, fault and fault.kind, seconds)
            )
        if isinstance(answer, bytes):
            headers = {"Content-Type": "text/event-stream", **headers}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send(data, status, headers, fault and fault.kind)

    do_GET = do_POST

    def send(self, data: bytes, status: int, headers: dict[str, str], fault: int | str | None) -> None:
        media_type = "application/json"
        if fault == "slow":
            self.server.chat.closing.wait(self.server.chat.slow_seconds)
        elif fault == "garbage":
            data, media_type = b"<html><body>502, says the proxy</body></html>", "text/html"
        elif fault == "broken":
            data = data[: len(data) // 2]
        elif fault == "nonsense":
            data = b'{"status": "loading"}'
        self.close_connection = fault in ("drop", "cut")
        if fault == "drop":
            return
        try:
            self.send_response(status)
            for name, value in {"Content-Type": media_type, "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        except ConnectionError:  # a client that waits no longer
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """The exchanges are the log."""
