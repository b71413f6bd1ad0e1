"""The one client of OpenAI-compatible servers: asks in parallel, keeps replies on disk, waits out faults, counts costs.

In: messages (texts, and image files as `image_url` data URIs) with sampling options.  Out: Reply.  A reply is kept
under the sha256 of what was asked (model, messages, options, number of the sample), so that a second run needs no
server, and a killed one asks only what is missing. Its file says what was sent, each picture as a sha256, and never
holds a key. What a model thinks aloud before it answers is cut off by `without_reasoning`.
Protocol: https://platform.openai.com/docs/api-reference/chat
"""

import base64
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from M3IT import RETRY_SECONDS, nearest
from m3it.rows.images import media_type
from m3it.rows.instance import M3ITError
from m3it.work.ledger import Ledger

LONGEST_WAIT_SECONDS = 600  # of the waits that servers state
REFUSED = (400, 413, 415, 422)  # the server refuses this request; it may well take the next one
PASSING = (408, 409, 425, 429)  # as every status from 500 on: the same request may pass later
IMAGE_TOKENS = 765  # of 1024 x 1024 pixels as OpenAI counts them for GPT-4o; other servers take about 256 to 2,000
COMPLETION_TOKENS = 512  # expected of the first reply where max_tokens does not say
WATCH_SECONDS = 0.1  # how often a file of costs that other processes write is looked at
OPENAI = "https://api.openai.com/v1"  # where nothing names another server
# What models put around their thoughts. A name stands for <name>...</name> and ◁name▷...◁/name▷, [NAME] for
# [NAME]...[/NAME], two marks with a blank between them for themselves.
REASONING_TAGS = (
    *("think", "thinking", "thought", "reasoning", "seed:think", "[THINK]"),
    "<|begin_of_thought|> <|end_of_thought|>",
    "<|channel|>analysis<|message|> <|channel|>final<|message|>",
)
ANSWER_TAGS = re.compile(r"\s*<answer>((?:(?!</?answer>).)*)</answer>\s*", re.IGNORECASE | re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?")

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


class Reply(NamedTuple):
    """What the server said: `text` is "" for no content, `model` its own name for the model, `created` seconds since
    1970, `finish_reason` "length" where max_tokens cut it off."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    model: str
    finish_reason: str = ""
    created: int = 0


Answer = Reply | ChatError | None  # to a request; an error or None only where they were asked for


class Estimate(NamedTuple):
    """What a run may take; the `num_kept` requests that are on disk cost nothing, `cost` is None without prices."""

    num_requests: int
    num_kept: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


def without_reasoning(text: str, tags: Sequence[str] = REASONING_TAGS) -> str | None:
    """What a model answers after it has thought aloud: the text after the last closing mark, also where the opening one
    is missing, as chat templates write it themselves. None for a thought that does not end; a text without marks as it
    is. <answer>...</answer> around all of it goes."""
    marks = _marks((tags,) if isinstance(tags, str) else tuple(tags))
    ends = list(marks[1].finditer(text)) if marks else []
    answer = text[ends[-1].end() :].strip() if ends else text
    if marks and marks[0].search(answer):
        return None
    framed = ANSWER_TAGS.fullmatch(answer)
    return framed[1].strip() if framed else answer


@lru_cache
def _marks(tags: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]] | None:
    """(opening marks, closing marks); None for no tags."""
    pairs = []
    for tag in filter(str.strip, tags):
        opening, _, closing = tag.strip().partition(" ")
        name = re.escape(opening.strip("<>[]◁▷/"))
        if closing:
            pairs.append((re.escape(opening), re.escape(closing.strip())))
        elif opening.startswith("["):  # as it is written: [Think] may be a text's own
            pairs.append((rf"\[{name}\]", rf"\[/{name}\]"))
        else:
            pairs.append((rf"(?i:[<◁]{name}(?:\s[^<>]*)?[>▷])", rf"(?i:[<◁]/{name}\s*[>▷])"))
    patterns = ["|".join(side) for side in zip(*pairs, strict=True)]
    return (re.compile(patterns[0]), re.compile(patterns[1])) if patterns else None


def server_name(base_url: str | None = None) -> str:
    """The URL of a server, by default of OpenAI's, as it is shown and kept: without user, password and query. Capitals
    in the host, or a slash at the end, make no other server."""
    url = urlsplit(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI)
    return urlunsplit((url.scheme, url.netloc.rpartition("@")[2].lower(), url.path.rstrip("/"), "", ""))


def message(text: str, images: Sequence[bytes] = (), role: str = "user", row_id: str = "") -> dict[str, Any]:
    """One message: image files in order, with their own bytes and media types, then the text; errors name `row_id`."""
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
    if not images:
        return {"role": role, "content": text}
    urls = [f"data:{media_type(image, row_id)};base64,{base64.b64encode(image).decode()}" for image in images]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"role": role, "content": [*parts, {"type": "text", "text": text}]}


def num_tokens(messages: list[dict[str, Any]]) -> int:
    """About how many tokens the messages have, rather above than below: a third of the UTF-8 bytes (English has a
    fourth, Chinese a third), a fixed number for an image, four for the frame of a message."""
    listed = [m["content"] if isinstance(m["content"], list) else [{"text": m["content"]}] for m in messages]
    parts = [part for content in listed for part in content]
    num_bytes = sum(len(part.get("text", "").encode()) for part in parts)
    return num_bytes // 3 + 1 + 4 * len(messages) + IMAGE_TOKENS * sum("image_url" in part for part in parts)


class Chat:
    """Asks one model of one server; as long as every reply is on disk, it needs no server, no key and no `openai`.

    `prices`: of a million tokens in, out. `max_cost`, in the same currency, is for what this object pays, or for what
    all pay that count in the same `ledger`, a file: a request that may exceed it raises CostError before it is sent.
    num_asked, num_kept (answered from disk), prompt_tokens, completion_tokens and cost count what this object did.
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
        ledger: Path | str | None = None,
    ):
        if max_cost is not None and prices is None:
            raise ValueError(f"max_cost={max_cost}: expected prices with it, of a million tokens in and out")
        if parallel < 1:
            raise ValueError(f"parallel={parallel}: expected at least 1")
        self.model, self.base_url, self.api_key, self.timeout_seconds = model, base_url, api_key, timeout_seconds
        self.parallel, self.max_cost, self.prices = parallel, max_cost, prices
        self.cache_dir = Path(cache_dir or default_cache())
        self.num_asked = self.num_kept = self.prompt_tokens = self.completion_tokens = 0
        self.cost = self._not_before = 0.0
        self._longest = 0
        self._ledger, self._shared = Ledger(ledger), ledger is not None
        self._refused_options: set[str] = set()
        self._client: Any = None
        self._change = threading.Condition()  # guards the counts; told when a request ends

    def ask(self, messages: list[dict[str, Any]], sample: int = 0, **options: Any) -> Reply:
        """The reply, from disk or from the server; ChatError says why there is none."""
        return self._ask(Request(messages, sample, options), threading.Event())

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
                completion_tokens += self._expected(request.options)
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
        asked = [self.model, request.messages, request.options, request.sample]
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self.cache_dir / key[:2] / f"{key}.json"

    # ---- one request

    def _ask(self, request: Request, stop: threading.Event) -> Reply:
        path = self.path(request)
        if path.exists():
            reply = _read(path)
            with self._change:
                self.num_kept += 1
            return reply
        reserved, paid = self._reserve(request), None
        try:
            body, reply = self._send(request, stop)
            paid = self.price(reply.prompt_tokens, reply.completion_tokens)
            _write(path, {"request": _without_images(body), "sample": request.sample, "reply": reply._asdict()})
            with self._change:
                self.num_asked += 1
                self.prompt_tokens += reply.prompt_tokens
                self.completion_tokens += reply.completion_tokens
                self.cost += paid
                self._longest = max(self._longest, reply.completion_tokens)
            return reply
        finally:
            with self._change:
                self._ledger.settle(reserved, paid)
                self._change.notify_all()

    def _expected(self, options: dict[str, Any]) -> int:
        """How many tokens a reply may have: as the options say, else as the longest so far."""
        stated = options.get("max_tokens") or options.get("max_completion_tokens")
        return stated or self._longest or COMPLETION_TOKENS

    def _reserve(self, request: Request) -> float:
        """Set aside what the request may cost, once those under way leave room; CostError if they end without."""
        patience, last = 0.0, None
        with self._change:
            while True:
                cost = self.price(num_tokens(request.messages), self._expected(request.options))
                fits, spent = self._ledger.reserve(cost, self.max_cost)
                if fits:
                    return cost
                patience = patience + WATCH_SECONDS if spent == last else 0.0
                # A process that was killed never settles: the others wait for it as long as for a reply.
                if not spent.num_reserved or (self._shared and patience > self.timeout_seconds):
                    raise CostError(
                        f"max_cost {self.max_cost:g}: {spent.num_asked:,} replies have cost {spent.cost:.4f}, the next "
                        f"may cost {cost:.4f}. All replies are kept: raise it and run again to go on."
                    )
                last = spent
                self._change.wait(WATCH_SECONDS if self._shared else None)  # other processes cannot notify

    def _send(self, request: Request, stop: threading.Event) -> tuple[dict[str, Any], Reply]:
        """(what was sent, the reply), tried again after faults that pass."""
        num_tries, num_before = 0, self.num_asked
        while True:
            while (wait := self._not_before - time.monotonic()) > 0 and not stop.wait(wait):
                pass  # others may have put it off meanwhile
            if stop.is_set():
                raise ChatError("not asked: another request ended the run")
            num_replies, body = self.num_asked, self._body(request)
            try:
                return body, self._exchange(body)
            except Fault as fault:
                if self._yield_to(fault, body):
                    continue
                # Where the server answers others meanwhile, a 429 says "not now" and no more: patience begins anew.
                num_tries = 1 if fault.status == 429 and self.num_asked > num_replies else num_tries + 1
                # The commonest mistake is a server that does not run: said in seconds, as long as it never answered.
                patience = RETRY_SECONDS if self.num_asked or fault.status else RETRY_SECONDS[:2]
                if not fault.passes or num_tries > len(patience):
                    raise self._error(fault, num_tries, self.num_asked > num_before) from fault.__cause__
                wait = patience[num_tries - 1]
                logger.warning("%s: %s; trying again in %g s", self._server, fault, max(wait, fault.wait_seconds))
                with self._change:  # a stated wait is for all that would ask
                    self._not_before = max(self._not_before, time.monotonic() + fault.wait_seconds)
                stop.wait(wait)

    def _body(self, request: Request) -> dict[str, Any]:
        options = {name: value for name, value in request.options.items() if name not in self._refused_options}
        if "max_tokens" in request.options and "max_tokens" not in options:
            options["max_completion_tokens"] = request.options["max_tokens"]
        return {"model": self.model, "messages": request.messages, **options}

    def _yield_to(self, fault: "Fault", body: dict[str, Any]) -> bool:
        """Whether the option that the model refuses can go: newer ones rename max_tokens and fix temperature."""
        option = fault.option
        if option not in ("max_tokens", "temperature") or option not in body:
            return False
        with self._change:
            first = option not in self._refused_options
            self._refused_options.add(option)
        if first:
            instead = "sending max_completion_tokens" if option == "max_tokens" else "going on with its own"
            logger.warning("%s: %s takes no such %s; %s", self._server, self.model, option, instead)
        return True

    def _exchange(self, body: dict[str, Any]) -> Reply:
        """One request to the server and its reply, or Fault."""
        client = self._connect()
        import openai

        options = {name: value for name, value in body.items() if name not in ("model", "messages")}
        try:
            found = client.chat.completions.create(model=self.model, messages=body["messages"], extra_body=options)
        except (openai.APIError, json.JSONDecodeError) as error:
            raise Fault(error) from error
        try:
            choice, usage = found.choices[0], found.usage
            text = choice.message.content or getattr(choice.message, "refusal", None) or ""
        except (AttributeError, IndexError, TypeError) as error:  # the client checks neither media type nor fields
            raise Fault(ValueError(f"expected a chat completion, found {str(found)[:200]!r}")) from error
        prompt_tokens = usage.prompt_tokens if usage else num_tokens(body["messages"])
        completion_tokens = usage.completion_tokens if usage else len(text.encode("utf-8", "replace")) // 3 + 1
        model, finish_reason = found.model or self.model, choice.finish_reason or ""
        return Reply(text, prompt_tokens, completion_tokens, model, finish_reason, found.created or 0)

    def _connect(self) -> Any:
        """The openai client, made when it is first needed."""
        try:
            import openai
        except ImportError as error:
            raise ChatError("Asking a server needs the openai client: pip install 'm3it[eval]'") from error
        with self._change:
            if self._client is None:
                server = self.base_url or os.environ.get("OPENAI_BASE_URL")
                key = self.api_key or os.environ.get("OPENAI_API_KEY")
                if not key and not server:
                    raise ChatError("No API key. Set OPENAI_API_KEY, or name a server that needs none by its base URL.")
                key = key or "none"  # the client wants one, local servers do not
                self._client = openai.OpenAI(api_key=key, base_url=server, max_retries=0, timeout=self.timeout_seconds)
            return self._client

    @property
    def _server(self) -> str:
        return str(self._connect().base_url).rstrip("/")

    def _error(self, fault: "Fault", num_tries: int, others_pass: bool) -> ChatError:
        """The sentence for what did not pass: who, what it said, what to do. Servers say 500 of a request that they
        cannot take, too: where they answer others meanwhile (`others_pass`), it is the request."""
        refused = fault.status in REFUSED or (fault.status == 500 and others_pass)
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
        return ChatError(f"{self._server} {told}", fault.status, refused)

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


class Fault(Exception):
    """An exchange that failed; `str` is what the server said, in one line. `passes`: the same request may pass later,
    as after a cut, a timeout, garbage, 408, 409, 425, 429 and 5xx. `option`: the one that the model refuses."""

    def __init__(self, error: Exception):
        body: Any = getattr(error, "body", None) if isinstance(getattr(error, "body", None), dict) else {}
        self.status: int | None = getattr(error, "status_code", None)
        cause = error.__cause__ if self.status is None and error.__cause__ else error
        said = " ".join(str(body.get("message") or cause).split())[:300].rstrip(". ")
        super().__init__(f"{self.status or type(cause).__name__}, {said}")
        spent = body.get("code") in ("insufficient_quota", "billing_hard_limit_reached")
        self.passes = not spent and (self.status is None or self.status in PASSING or self.status >= 500)
        self.option = body.get("param") if str(body.get("code")).startswith("unsupported_") else None
        self.wait_seconds = min(
            stated_wait(getattr(getattr(error, "response", None), "headers", {})), LONGEST_WAIT_SECONDS
        )


def stated_wait(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait: `retry-after-ms`, or `retry-after` as seconds or a date; 0 if none."""
    milliseconds, stated = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    if NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if NUMBER.fullmatch(stated):
        return float(stated)
    try:
        return max(0.0, parsedate_to_datetime(stated).timestamp() - time.time())
    except ValueError:
        return 0.0


# ---- on disk


def default_cache() -> str:
    """Where replies are kept if nothing else is said: beside what `datasets` keeps."""
    import datasets

    return os.path.join(os.path.expanduser(str(datasets.config.HF_DATASETS_CACHE)), "m3it-replies")


def _read(path: Path) -> Reply:
    try:
        return Reply(**json.loads(path.read_text("utf-8"))["reply"])
    except (ValueError, KeyError, TypeError) as error:
        raise ChatError(f"{path}: expected a reply ({error}). Delete the file to ask again.") from error


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        unfinished.write_text(json.dumps(value, indent=1), "ascii")
        with suppress(FileNotFoundError):  # another process has the same reply, and has swept this one away
            os.replace(unfinished, path)
    finally:  # what a killed run has left of this reply goes, too
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            left.unlink(missing_ok=True)


def _without_images(body: dict[str, Any]) -> dict[str, Any]:
    """The body with every data URI cut down to its media type and the sha256 of the image's bytes."""

    def cut(part: dict[str, Any]) -> dict[str, Any]:
        head, _, data = part.get("image_url", {}).get("url", "").partition(";base64,")
        digest = hashlib.sha256(base64.b64decode(data)).hexdigest()
        return {**part, "image_url": {"url": f"{head};sha256,{digest}"}} if data else part

    listed = [(m, m["content"]) for m in body["messages"]]
    cut_down = [{**m, "content": list(map(cut, c)) if isinstance(c, list) else c} for m, c in listed]
    return {**body, "messages": cut_down}
