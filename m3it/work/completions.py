"""What servers of the chat protocol say: a reply, in whichever form it comes, or a fault.

In: what the openai client gives for a request, which it has not checked, or what it raises.  Out: Reply, or Fault.
Servers give content as a text, as a list of parts or, with the thoughts beside it, not at all; a completion at once or
as a stream; an error with its status or under 200.
"""

import re
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from M3IT import stated_wait

REFUSED = (400, 413, 415, 422)  # the server refuses this request; it may well take the next one
PASSING = (408, 409, 425, 429)  # as every status from 500 on: the same request may pass later
STREAM_ONLY = re.compile(r"(?=.*stream)(?=.*(?:\bonly\b|\bmust\b|\brequire|\benable\b|non-?\s?stream))", re.I | re.S)
Tell = Callable[[str], None]  # gets the text of a reply, as far as it has come
STREAMED = re.compile(r"\s*(?:data|event|id)?:")  # how server-sent events begin


class Reply(NamedTuple):
    """What the server said: `text` is "" for no content, `model` its own name for the model, `created` seconds since
    1970, `finish_reason` "length" where max_tokens cut it off. Two reasons are ours: "refusal", with its words as text;
    "reasoning", where it gave thoughts and no content."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    model: str
    finish_reason: str = ""
    created: int = 0

    @property
    def fault(self) -> str:
        """Why this is no answer; "" for one, and for an empty one where the model itself ended there."""
        if self.finish_reason == "refusal":
            return f"the model refused: {self.text}"
        if self.finish_reason == "reasoning":
            return "the server gave the model's thoughts and no answer: its content is empty"
        if self.finish_reason == "content_filter":
            return "the server withheld the text, finish_reason 'content_filter'"
        if any("\ud800" <= letter <= "\udfff" for letter in self.text):
            return "the server gave half a character (a lone surrogate), which no file can hold"
        if self.text.strip() or self.finish_reason in ("", "stop"):
            return ""
        hint = ": a model that thinks first needs a larger --max-tokens" if self.finish_reason == "length" else ""
        return f"the server gave no text, finish_reason {self.finish_reason!r}{hint}"


class Blocked(ValueError):
    """A completion without a message, or with one of no known shape: this request is answered by nothing."""


class Streamed(ValueError):
    """Server-sent events that nobody asked for."""


class Unstreamed(ValueError):
    """No stream, where one was asked for."""


class Fault(Exception):
    """An exchange that failed; `str` is what the server said, in one line. `passes`: the same request may pass later,
    as after a cut, a timeout, garbage, 408, 409, 425, 429 and 5xx. `option`: the one that the model refuses;
    `streams_only`: the server answers only as a stream; `no_stream`: it does not stream; `blocked`: it answers this
    request with nothing."""

    def __init__(self, error: Exception):
        body: Any = getattr(error, "body", None) if isinstance(getattr(error, "body", None), dict) else {}
        self.status: int | None = getattr(error, "status_code", None)
        cause = error.__cause__ if self.status is None and error.__cause__ else error
        said = " ".join(str(body.get("message") or cause).split())[:300].rstrip(". ")
        super().__init__(f"{self.status or type(cause).__name__}, {said}")
        spent = body.get("code") in ("insufficient_quota", "billing_hard_limit_reached")
        self.blocked = isinstance(error, Blocked)
        may_pass = self.status is None or self.status in PASSING or self.status >= 500
        self.passes = may_pass and not spent and not self.blocked
        self.option = body.get("param") if str(body.get("code")).startswith("unsupported_") else None
        refused = self.status in REFUSED
        self.option = "stream_options" if refused and "stream_options" in said else self.option
        self.streams_only = isinstance(error, Streamed) or (refused and STREAM_ONLY.search(said) is not None)
        self.no_stream = isinstance(error, Unstreamed) or (refused and "stream" in said and not self.option)
        self.wait_seconds = stated_wait(getattr(getattr(error, "response", None), "headers", {}))


def read_completion(found: Any, model: str, prompt_tokens: int) -> Reply:
    """What a completion says; Fault where it is none: the client checks neither media type nor fields. Where the server
    counts no tokens, the estimate `prompt_tokens` and the length of the text stand in."""
    choices, error = getattr(found, "choices", None), getattr(found, "error", None)
    if not isinstance(choices, list) or not choices or not getattr(choices[0], "message", None):
        raise Fault(_no_completion(found, choices, error))
    message = choices[0].message
    text, thoughts, refusal = _text_of(getattr(message, "content", None))
    refusal = refusal or getattr(message, "refusal", None) or ""
    thoughts = thoughts or getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or ""
    finish_reason = str(getattr(choices[0], "finish_reason", None) or "")
    if not text.strip() and refusal:
        text, finish_reason = str(refusal), "refusal"
    elif not text.strip() and thoughts and finish_reason in ("", "stop"):
        finish_reason = "reasoning"
    usage, num_bytes = getattr(found, "usage", None), len(text.encode("utf-8", "replace"))
    return Reply(
        text,
        _whole(getattr(usage, "prompt_tokens", None), prompt_tokens),
        _whole(getattr(usage, "completion_tokens", None), num_bytes // 3 + 1),
        str(getattr(found, "model", None) or model),
        finish_reason,
        _whole(getattr(found, "created", None), 0),
    )


def _no_completion(found: Any, choices: Any, error: Any) -> ValueError:
    """The error for a body that is no completion: an error under status 200, no choices, a stream, something else."""
    if isinstance(found, str) and STREAMED.match(found):
        return Streamed(f"expected a chat completion, found a stream, {found[:200]!r}")
    if isinstance(choices, list) and not error:
        return Blocked(f"the reply holds no message: {str(found)[:200]!r}")
    told = ValueError(f"expected a chat completion, found {str(found)[:200]!r}")
    if isinstance(error, dict):
        told.body, told.status_code = error, _whole(error.get("code"), 0) or None  # type: ignore[attr-defined]
    return told


def _text_of(content: Any) -> tuple[str, str, str]:
    """(text, thoughts, refusal) of a message's content: a text, None, or a list of parts."""
    if content is None or isinstance(content, str):
        return content or "", "", ""
    if not isinstance(content, list):
        raise Fault(Blocked(f"expected a text as content, found {str(content)[:200]!r}"))
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") == "refusal":
            refusals.append(str(part.get("refusal")))
        elif isinstance(part, dict) and part.get("type") in ("text", "output_text", None):
            texts.append(str(part.get("text") or ""))
        else:  # thinking, with texts of its own
            thoughts.append(str(part))
    return "".join(texts), "".join(thoughts), "".join(refusals)


def _whole(value: Any, otherwise: int) -> int:
    """The value, if it is a count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


def joined(chunks: Iterable[Any], tell: Tell = lambda _: None) -> Any:
    """The completion that a stream of pieces amounts to; Fault where it ends before the model did. `tell` gets the text
    so far, with each piece."""
    said: dict[str, list[str]] = {"content": [], "refusal": [], "reasoning_content": [], "reasoning": []}
    found = SimpleNamespace(model=None, created=None, usage=None, finish_reason=None)
    chunk = None
    for chunk in chunks:
        for name in ("model", "created", "usage"):
            setattr(found, name, getattr(chunk, name, None) or getattr(found, name))
        for choice in (getattr(chunk, "choices", None) or [])[:1]:
            found.finish_reason = getattr(choice, "finish_reason", None) or found.finish_reason
            for name, pieces in said.items():
                piece = getattr(getattr(choice, "delta", None), name, None)
                pieces.append("".join(_text_of(piece)[:1]) if name == "content" else str(piece or ""))
            tell("".join(said["content"]))
    if chunk is None:
        raise Fault(Unstreamed("expected a stream, found none"))
    if not found.finish_reason:
        raise Fault(ValueError("the stream ended before the reply did"))
    message = SimpleNamespace(**{name: "".join(pieces) for name, pieces in said.items()})
    found.choices = [SimpleNamespace(message=message, finish_reason=found.finish_reason)]
    return found
