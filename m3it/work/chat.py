"""The one client of OpenAI-compatible servers: asks in parallel, keeps replies on disk, waits out faults, counts costs.

In: messages (texts, and image files as `image_url` data URIs) with sampling options.  Out: Reply.  A reply is kept
under the sha256 of what was asked (server, model, messages, options, number of the sample), so that a second run asks
no server, and a killed one asks only what is missing. Its file says what was sent, each picture as a sha256, and never
holds a key.
Protocol: https://platform.openai.com/docs/api-reference/chat
"""

import base64
import hashlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from M3IT import RETRY_SECONDS, nearest
from m3it.rows.images import encode, media_type, pixels
from m3it.rows.instance import M3ITError
from m3it.work import cache
from m3it.work.completions import REFUSED, Fault, Tell, joined, read_completion
from m3it.work.completions import Reply as Reply  # part of what Chat gives
from m3it.work.extras import install
from m3it.work.folder import write_text

IMAGE_TOKENS = 765  # of 1024 x 1024 pixels as OpenAI counts them for GPT-4o; other servers take about 256 to 2,000
COMPLETION_TOKENS = 512  # expected of the first reply where max_tokens does not say
OPENAI = "https://api.openai.com/v1"  # where nothing names another server
SENT_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")  # what servers take; all else goes as PNG
NUM_STATED = 3  # first tries that wait as long as the server says; later ones wait at least as long as we would
logger = logging.getLogger(__name__)


class ChatError(M3ITError):
    """A server that cannot be asked, or refuses; `status` is its HTTP status, None where it gave no answer; `refused`:
    it is this request that it does not take, and it may well take the next one."""

    def __init__(self, message: str, status: int | None = None, refused: bool = False):
        super().__init__(message)
        self.status, self.refused = status, refused


class CostError(ChatError):
    """The next request may cost more than `max_cost` leaves."""


class Request(NamedTuple):
    """What to ask; `options` go to the server as they are (temperature, ...), `sample` numbers the draws."""

    messages: list[dict[str, Any]]
    sample: int = 0
    options: dict[str, Any] = {}


Answer = Reply | ChatError | None  # to a request; an error or None only where they were asked for


class Estimate(NamedTuple):
    """What a run may take; the `num_kept` requests that are on disk cost nothing, `cost` is None without prices."""

    num_requests: int
    num_kept: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def told(self) -> str:
        """The estimate as a line."""
        cost = "" if self.cost is None else f", at most about {self.cost:.2f}"
        tokens = f"about {self.prompt_tokens:,} tokens in, at most {self.completion_tokens:,} out"
        return f"{self.num_requests:,} requests, {self.num_kept:,} replies on disk; the others {tokens}{cost}"


def server_name(base_url: str | None = None) -> str:
    """The URL of a server, by default of OpenAI's, as it is shown and kept: without user, password and query. Capitals
    in the host, or a slash at the end, make no other server."""
    url = urlsplit(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI)
    return urlunsplit((url.scheme, url.netloc.rpartition("@")[2].lower(), url.path.rstrip("/"), "", ""))


def message(text: str, images: Sequence[bytes] = (), role: str = "user", row_id: str = "") -> dict[str, Any]:
    """One message: image files in order, with their own bytes and media types (those that servers do not take as PNG),
    then the text; errors name `row_id`."""
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
    if not images:
        return {"role": role, "content": text}
    parts = [{"type": "image_url", "image_url": {"url": picture_uri(image, row_id)}} for image in images]
    return {"role": role, "content": [*parts, {"type": "text", "text": text}]}


def picture_uri(image: bytes, row_id: str) -> str:
    """The data URI of an image file, as servers take it."""
    kind = media_type(image, row_id)
    if kind not in SENT_TYPES:
        _say_converted(kind)
        kind, image = "image/png", encode(pixels(image, row_id), "PNG")
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


@lru_cache
def _say_converted(kind: str) -> None:
    """Say it once for each media type."""
    logger.warning("pictures of type %s go to the server as PNG, with the same pixels: servers do not take them", kind)


def num_tokens(messages: list[dict[str, Any]]) -> int:
    """About how many tokens the messages have, rather above than below: a third of the UTF-8 bytes (English has a
    fourth, Chinese a third), a fixed number for an image, four for the frame of a message."""
    listed = [m["content"] if isinstance(m["content"], list) else [{"text": m["content"]}] for m in messages]
    parts = [part for content in listed for part in content]
    num_bytes = sum(len(part.get("text", "").encode()) for part in parts)
    return num_bytes // 3 + 1 + 4 * len(messages) + IMAGE_TOKENS * sum("image_url" in part for part in parts)


class Chat:
    """Asks one model of one server; as long as every reply is on disk, it needs no server, no key and no `openai`.

    `prices`: of a million tokens in, out. `max_cost`, in the same currency, is for what this object pays: a request
    that may exceed it raises CostError before it is sent. `extra_body`: further fields of every request, e.g.
    {"top_p": 0.8}; they win over those of ours. num_asked, num_kept (answered from disk), prompt_tokens,
    completion_tokens and cost count what this object did.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        cache_dir: Path | str | None = None,
        parallel: int = 8,
        max_cost: float | None = None,
        prices: tuple[float, float] | None = None,
        timeout_seconds: float = 600,
        extra_body: dict[str, Any] | None = None,
    ):
        if max_cost is not None and prices is None:
            raise ValueError(f"max_cost={max_cost}: expected prices with it, of a million tokens in and out")
        if parallel < 1:
            raise ValueError(f"parallel={parallel}: expected at least 1")
        if own := [name for name in ("model", "messages", "n") if name in (extra_body or {})]:
            raise ValueError(f"extra_body: {own[0]} is what m3it sends itself; leave it out")
        self.extra_body, self.server = extra_body or {}, server_name(base_url)
        self.model, self.base_url, self.api_key, self.timeout_seconds = model, base_url, api_key, timeout_seconds
        self.parallel, self.max_cost, self.prices = parallel, max_cost, prices
        self.cache_dir = Path(cache_dir or cache.folder("replies"))
        self.num_asked = self.num_kept = self.prompt_tokens = self.completion_tokens = 0
        self.cost = self._reserved = self._not_before = 0.0
        self._num_reserved = self._longest = 0
        self._refused_options: set[str] = set()
        self._streaming = self._unstreamed = self._was_heard = False
        self._client: Any = None
        self._change = threading.Condition()  # guards the counts; told when a request ends

    def ask(self, messages: list[dict[str, Any]], sample: int = 0, tell: Tell | None = None, **options: Any) -> Reply:
        """The reply, from disk or from the server; ChatError says why there is none. `tell` gets the text so far, again
        and again, where the server streams."""
        return self._ask(Request(messages, sample, options), threading.Event(), tell)

    def ask_all(self, requests: Iterable[Request | None], on_error: str = "raise") -> Iterator[Answer]:
        """Yield the replies in the order of the requests, which are drawn as needed; of equals one is asked.

        A None comes back as None, in its place. With `on_error="drop"` a request that the server refuses (400, 413,
        415, 422; or 500 at every try, while it answers others) comes as its ChatError. All else raises; what is under
        way then is still kept.
        """
        if on_error not in ("raise", "drop"):
            raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'drop'")
        stop, waiting, requests = threading.Event(), deque[tuple[Path | None, Future[Reply] | None]](), iter(requests)
        pool = ThreadPoolExecutor(self.parallel, "chat")
        try:
            while True:
                for request in islice(requests, 4 * self.parallel - len(waiting)):
                    path = self.path(request) if request else None
                    same = next((future for other, future in waiting if other == path), None)
                    waiting.append((path, same or (pool.submit(self._ask, request, stop) if request else None)))
                if not waiting:
                    return
                future = waiting.popleft()[1]
                try:
                    answer: Answer = future.result() if future else None
                except ChatError as error:
                    if on_error == "raise" or not error.refused:
                        raise
                    answer = error
                yield answer
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def estimate(self, requests: Iterable[Request]) -> Estimate:
        """About what asking these would take at most: see `num_tokens`; replies are as long as max_tokens allows."""
        num_requests = num_kept = prompt_tokens = completion_tokens = 0
        for request in requests:
            num_requests += 1
            if self.path(request).exists():
                num_kept += 1
            else:
                prompt_tokens += num_tokens(request.messages)
                completion_tokens += self._expected(request)
        cost = self.price(prompt_tokens, completion_tokens) if self.prices else None
        return Estimate(num_requests, num_kept, prompt_tokens, completion_tokens, cost)

    def price(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost; 0 without prices."""
        price_in, price_out = self.prices or (0.0, 0.0)
        return (prompt_tokens * price_in + completion_tokens * price_out) / 1_000_000

    def usage(self) -> dict[str, Any]:
        """The counts so far, for run.json."""
        counts = {name: getattr(self, name) for name in ("num_asked", "num_kept", "prompt_tokens", "completion_tokens")}
        return {**counts, "cost": round(self.cost, 6) if self.prices else None}

    def path(self, request: Request) -> Path:
        """Where the reply is kept."""
        asked = [self.server, self.model, request.messages, self._options(request), request.sample]
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.cache_dir / key[:2] / f"{key}.json"

    # ---- one request

    def _ask(self, request: Request, stop: threading.Event, tell: Tell | None = None) -> Reply:
        path = self.path(request)
        if kept := _read(path):
            with self._change:
                self.num_kept += 1
            return kept
        reserved = self._reserve(request)
        try:
            body, reply = self._send(request, stop, tell)
            told = {"server": self.server, "request": without_images(body)}
            write_text(path, json.dumps({**told, "sample": request.sample, "reply": reply._asdict()}, indent=1))
            with self._change:
                self.num_asked += 1
                self.prompt_tokens += reply.prompt_tokens
                self.completion_tokens += reply.completion_tokens
                self.cost += self.price(reply.prompt_tokens, reply.completion_tokens)
                self._longest = max(self._longest, reply.completion_tokens)
            return reply
        finally:
            with self._change:
                self._reserved -= reserved
                self._num_reserved -= 1
                self._change.notify_all()

    def _options(self, request: Request) -> dict[str, Any]:
        return {**request.options, **self.extra_body}

    def _expected(self, request: Request) -> int:
        """How many tokens a reply may have: as the options say, else as the longest so far."""
        options = self._options(request)
        stated = options.get("max_tokens") or options.get("max_completion_tokens")
        return stated or self._longest or COMPLETION_TOKENS

    def _reserve(self, request: Request) -> float:
        """Set aside what the request may cost, once those under way leave room; CostError if they end without."""
        with self._change:
            while True:
                cost = self.price(num_tokens(request.messages), self._expected(request))
                if self.max_cost is None or self.cost + self._reserved + cost <= self.max_cost:
                    self._reserved += cost
                    self._num_reserved += 1
                    return cost
                if not self._num_reserved:
                    raise CostError(
                        f"max_cost {self.max_cost:g}: {self.num_asked:,} replies have cost {self.cost:.4f}, the next "
                        f"may cost {cost:.4f}. All replies are kept: raise it and run again to go on."
                    )
                self._change.wait()

    def _send(self, request: Request, stop: threading.Event, tell: Tell | None) -> tuple[dict[str, Any], Reply]:
        """(what was sent, the reply), tried again after faults that pass."""
        num_tries, num_before = 0, self.num_asked
        while True:
            while (wait := self._not_before - time.monotonic()) > 0 and not stop.wait(wait):
                pass  # others may have put it off meanwhile
            if stop.is_set():
                raise ChatError("not asked: another request ended the run")
            num_replies, body = self.num_asked, self._body(request, tell is not None)
            try:
                return body, self._exchange(body, tell or (lambda _: None))
            except Fault as fault:
                if self._yield_to(fault, body):
                    continue
                # Where the server answers others meanwhile, a 429 says "not now" and no more: patience begins anew.
                num_tries = 1 if fault.status == 429 and self.num_asked > num_replies else num_tries + 1
                # The commonest mistake is a server that does not run: said in seconds, as long as it never answered.
                self._was_heard = self._was_heard or bool(fault.status)
                patience = RETRY_SECONDS if self.num_asked or self._was_heard else RETRY_SECONDS[:2]
                if not fault.passes or num_tries > len(patience):
                    raise self._error(fault, num_tries, self.num_asked > num_before) from fault.__cause__
                stated = fault.wait_seconds if num_tries <= NUM_STATED else 0
                wait = stated or patience[num_tries - 1]
                logger.warning("%s: %s; trying again in %g s", self.server, fault, max(wait, fault.wait_seconds))
                with self._change:  # a stated wait is for all that would ask
                    self._not_before = max(self._not_before, time.monotonic() + fault.wait_seconds)
                stop.wait(wait)

    def _body(self, request: Request, told: bool) -> dict[str, Any]:
        """What is sent; `told`: as a stream, if the server can."""
        asked = self._options(request)
        if self._streaming or (told and not self._unstreamed):
            asked = {**asked, "stream": True, "stream_options": {"include_usage": True}}
        options = {name: value for name, value in asked.items() if name not in self._refused_options}
        if "max_tokens" in asked and "max_tokens" not in options:
            options["max_completion_tokens"] = asked["max_tokens"]
        return {"model": self.model, "messages": request.messages, **options}

    def _yield_to(self, fault: "Fault", body: dict[str, Any]) -> bool:
        """Whether the request can be asked in another way: newer models rename max_tokens and fix temperature, some
        servers answer only as a stream, some never."""
        if fault.streams_only and "stream" not in body:
            with self._change:
                first, self._streaming = not self._streaming, True
            if first:
                logger.warning("%s: answers only as a stream; asked so", self.server)
            return True
        if fault.no_stream and "stream" in body and "stream" not in self.extra_body and not self._streaming:
            self._unstreamed = True
            return True
        option = fault.option
        if option not in ("max_tokens", "temperature", "stream_options") or option not in body:
            return False
        with self._change:
            first = option not in self._refused_options
            self._refused_options.add(option)
        if first:
            instead = "sending max_completion_tokens" if option == "max_tokens" else "going on with its own"
            logger.warning("%s: %s takes no such %s; %s", self.server, self.model, option, instead)
        return True

    def _exchange(self, body: dict[str, Any], tell: Tell) -> Reply:
        """One request to the server and its reply, or Fault."""
        client = self._connect()
        import openai

        options = {name: value for name, value in body.items() if name not in ("model", "messages", "stream")}
        streaming = {"stream": True} if body.get("stream") else {}
        try:
            found = client.chat.completions.create(
                model=self.model, messages=body["messages"], extra_body=options, **streaming
            )
            found = joined(found, tell) if streaming else found
        except (openai.APIError, json.JSONDecodeError) as error:
            raise Fault(error) from error
        except Exception as error:  # while a stream is read, the client lets through what its transport raises
            if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore"):
                raise Fault(error) from error
            raise
        return read_completion(found, self.model, num_tokens(body["messages"]))

    def _connect(self) -> Any:
        """The openai client, made when it is first needed."""
        try:
            import openai
        except ImportError as error:
            raise ChatError(f"Asking a server needs the openai client: {install('eval')}") from error
        with self._change:
            if self._client is None:
                server = self.base_url or os.environ.get("OPENAI_BASE_URL")
                key = self.api_key or os.environ.get("OPENAI_API_KEY")
                if not key and not server:
                    raise ChatError("No API key. Set OPENAI_API_KEY, or name a server that needs none by its base URL.")
                key = key or "none"  # the client wants one, local servers do not
                wait = self.timeout_seconds
                try:
                    self._client = openai.OpenAI(base_url=server, api_key=key, max_retries=0, timeout=wait)
                except Exception as error:  # of the client's transport, whichever that is
                    if type(error).__name__ != "InvalidURL":
                        raise
                    raise ChatError(f"{server}: expected the URL of a server, {error}. Fix --base-url.") from error
            return self._client

    def _error(self, fault: "Fault", num_tries: int, others_pass: bool) -> ChatError:
        """The sentence for what did not pass: who, what it said, what to do. Servers say 500 of a request that they
        cannot take, too: where they answer others meanwhile (`others_pass`), it is the request."""
        refused = fault.blocked or fault.status in REFUSED or (fault.status == 500 and others_pass)
        if fault.status in (401, 403):
            told = f"refuses the key: {fault}. Set OPENAI_API_KEY to one that is valid there."
        elif fault.status == 404:
            told = f"has no {self.model!r}: {fault}. {self._models()}"
        elif not fault.passes:
            told = f"refuses the request: {fault}."
        elif refused:
            told = f"fails on this request at each of {num_tries} tries, while it answers others: {fault}."
        else:
            hint = "" if self.num_asked else " Is it running there? The URL of most servers ends in /v1."
            told = f"gives no reply after {num_tries} tries: {fault}.{hint} Run again to go on; all replies are kept."
        return ChatError(f"{self.server} {told}", fault.status, refused)

    def _models(self) -> str:
        """What the server has instead, the nearest name first."""
        import openai

        try:
            names = [str(model.id) for model in self._connect().models.list()]
        except (openai.OpenAIError, AttributeError, TypeError, ValueError):
            return "It lists no models either: is the URL right? That of most servers ends in /v1."
        near = nearest(self.model, names, 0.4)
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return f"{f'Did you mean {near!r}? ' if near else ''}It has {', '.join(names[:8])}{more}."


# ---- on disk


def _read(path: Path) -> Reply | None:
    """The reply that is kept; None for none, and, with a warning, for a file that is something else."""
    if not path.exists():
        return None
    try:
        reply = Reply(**json.loads(path.read_text("utf-8"))["reply"])
        if all(isinstance(value, kind) for value, kind in zip(reply, (str, int, int, str, str, int), strict=True)):
            return reply
        found = f"{reply!r}"[:120]
    except (ValueError, KeyError, TypeError) as error:
        found = str(error)
    logger.warning("%s: expected a reply, found %s; it is asked for again", path, found)
    return None


def without_images(body: dict[str, Any]) -> dict[str, Any]:
    """The body with every data URI cut down to its media type and the sha256 of the image's bytes."""

    def cut(part: dict[str, Any]) -> dict[str, Any]:
        head, _, data = part.get("image_url", {}).get("url", "").partition(";base64,")
        digest = hashlib.sha256(base64.b64decode(data)).hexdigest()
        return {**part, "image_url": {"url": f"{head};sha256,{digest}"}} if data else part

    listed = [(m, m["content"]) for m in body["messages"]]
    cut_down = [{**m, "content": list(map(cut, c)) if isinstance(c, list) else c} for m, c in listed]
    return {**body, "messages": cut_down}
