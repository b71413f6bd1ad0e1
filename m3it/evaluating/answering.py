"""Questions answered: by a model of transformers in this process, or by one behind an OpenAI-compatible server.

In: an iterator of `Question`s.  Out: `Answered`, in the same order; a row that fails has an error instead of a
prediction, and the others go on. Or one question, and its answer as it is written: `stream`.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from queue import SimpleQueue
from typing import Any, NamedTuple

from M3IT import image_bytes
from m3it.rows.instance import M3ITError
from m3it.rows.messages import prompt_of
from m3it.work.chat import Chat, ChatError, Request, message, without_images
from m3it.work.completions import Tell
from m3it.work.extras import install
from m3it.work.reasoning import REASONING_TAGS, open_thought, without_reasoning

MAX_REFUSALS = 3  # of rows with so many pictures, none of which the server took: the others are not sent
PROMPT_END = 16  # last tokens of a prompt, in which a mark may open a thought
logger = logging.getLogger(__name__)


class Question(NamedTuple):
    """A row without its answer, and what its line begins and ends with."""

    row: dict[str, Any]
    head: dict[str, Any]
    tail: dict[str, Any]

    @property
    def num_images(self) -> int:
        return len(self.row["images"] if "images" in self.row else self.row["image_base64_str"])

    @property
    def images(self) -> list[bytes]:
        """The image files as they were published; ShardError where one is not base64."""
        return image_bytes(self.row)


def question_of(row: dict[str, Any], row_id: str, place: Mapping[str, str], tail: dict[str, Any]) -> Question:
    """The question that a row asks. `place`: its config and split, as far as it has them."""
    head = {"id": row_id, **place, "prompt": prompt_of(row)}
    return Question({**row, "outputs": "", "meta": {}, "id": row_id}, head, tail)


class Answered(NamedTuple):
    """What became of a question: a prediction, or else an error."""

    question: Question
    prediction: str | None
    error: str
    seconds: float


class ModelInput(NamedTuple):
    """What a model gets to see of a question: its text, and its pictures as RGB, or none where they are sent as they
    are."""

    prompt: str
    pictures: list[Any]


class LocalModel:
    """A model of transformers; asks in batches, padded on the left. A batch that fails is halved, down to the row."""

    def __init__(self, name: str, max_tokens: int, batch_size: int, reasoning_tags: Sequence[str] = REASONING_TAGS):
        try:
            from accelerate import PartialState

            from m3it.models.collator import Collator
            from m3it.models.loading import load_model
        except ImportError as error:
            raise M3ITError(f"Predicting with transformers needs PyTorch: {install('train')}") from error
        self.reasoning_tags = reasoning_tags
        self.max_tokens, self.batch_size, self.device = max_tokens, batch_size, PartialState().device
        model, processor = load_model(name)
        self.model, self.collator = model.to(self.device).eval(), Collator(processor)

    def __call__(self, questions: Iterator[Question]) -> Iterator[Answered]:
        while batch := list(islice(questions, self.batch_size)):
            start = time.perf_counter()
            answers = self._answer(batch)
            seconds = (time.perf_counter() - start) / len(batch)
            for question, (prediction, error) in zip(batch, answers, strict=True):
                yield Answered(question, prediction, error, seconds)

    def stream(self, question: Question) -> Iterator[str]:
        """Yield the text so far, again and again, and last the prediction; M3ITError where there is none."""

        def write(tell: Tell) -> str:
            import torch

            try:
                return self._generate([self._prepare(question)], tell)[0]
            except torch.OutOfMemoryError as error:
                raise M3ITError(f"{question.head['id']}: {' '.join(str(error).split())}") from error

        return streamed(write)

    def seen(self, question: Question) -> ModelInput:
        """What the model sees of a question: its prompt and its pictures, read back from the tensors."""
        from m3it.models.seen import pictures_of, prompt_of

        batch = self.collator.prompts([self._prepare(question)])
        pictures = pictures_of(batch, self.collator.processor) if question.num_images else []
        return ModelInput(prompt_of(self.collator, batch), pictures)

    def _prepare(self, question: Question) -> Any:
        return self.collator.prepare({**question.row, "images": question.images})

    def _answer(self, batch: list[Question]) -> list[tuple[str | None, str]]:
        """(prediction, error) of each."""
        import torch

        try:
            return [(text, "") for text in self._generate([self._prepare(question) for question in batch])]
        except (M3ITError, torch.OutOfMemoryError) as error:
            found = " ".join(str(error).split())
        if len(batch) == 1:
            return [(None, found)]
        half = len(batch) // 2
        return self._answer(batch[:half]) + self._answer(batch[half:])

    def _generate(self, rows: list[Any], tell: Tell | None = None) -> list[str]:
        """The texts that the model finds likeliest, token by token; `tell` gets that of a single row so far."""
        import torch

        tokenizer, settings = self.collator.tokenizer, self.model.generation_config
        batch = {name: tensor.to(self.device) for name, tensor in self.collator.prompts(rows).items()}
        ends = tokenizer.eos_token_id if settings.eos_token_id is None else settings.eos_token_id
        first = ends[0] if isinstance(ends, list) else ends
        # A thought that the chat template has opened begins in the prompt: without its mark, one that does not end
        # would pass for an answer.
        prompts = tokenizer.batch_decode(batch["input_ids"][:, -PROMPT_END:])
        opened = [open_thought(prompt, self.reasoning_tags) for prompt in prompts]
        pad = first if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        with torch.inference_mode():
            tokens = self.model.generate(
                **batch,
                max_new_tokens=self.max_tokens,
                do_sample=False,
                num_beams=1,
                eos_token_id=ends,
                pad_token_id=pad,
                # The last bytes may be those of half a character: it is told with the next token.
                streamer=_Streamer(lambda row: tell(opened[0] + self._decode(row)[0].strip().rstrip("\ufffd")))
                if tell
                else None,
            )
        length = batch["input_ids"].shape[1]
        if torch.equal(tokens[:, :length], batch["input_ids"]):  # some classes give the prompt again, some do not
            tokens = tokens[:, length:]
        return [mark + text.strip() for mark, text in zip(opened, self._decode(tokens), strict=True)]

    def _decode(self, tokens: Any) -> list[str]:
        """The texts without special tokens, except those that mark thoughts."""
        tokenizer = self.collator.tokenizer
        special = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        hidden = {number for token, number in special.items() if without_reasoning(token, self.reasoning_tags) == token}
        if len(hidden) == len(special):
            return list(tokenizer.batch_decode(tokens, skip_special_tokens=True))
        return [tokenizer.decode([token for token in row if token not in hidden]) for row in tokens.tolist()]


class _Streamer:
    """What `generate` writes its tokens to, those of one row: the prompt's first, then one at a time. `tell` gets the
    row so far, (1, length)."""

    def __init__(self, tell: Callable[[Any], None]):
        self.tell, self.tokens = tell, None

    def put(self, tokens: Any) -> None:
        if self.tokens is None:
            self.tokens = tokens.new_empty(0)  # the prompt is no part of the answer
            return
        import torch

        self.tokens = torch.cat([self.tokens, tokens.reshape(-1)])
        self.tell(self.tokens[None])

    def end(self) -> None:
        """What `generate` returns is the answer."""


class ServedModel:
    """A model of an OpenAI-compatible server: pictures with their own bytes, in the order of the row, then the text."""

    def __init__(self, chat: Chat, max_tokens: int):
        self.chat, self.options = chat, {"temperature": 0, "max_tokens": max_tokens}
        self.taken: set[int] = set()  # numbers of pictures that the server took
        self.refused: Counter[int] = Counter()

    def __call__(self, questions: Iterator[Question]) -> Iterator[Answered]:
        waiting: list[tuple[Question, str]] = []
        requests = (self._request(question, waiting) for question in questions)
        start = time.perf_counter()
        for reply in self.chat.ask_all(requests, on_error="drop"):
            question, error = waiting.pop(0)
            if isinstance(reply, ChatError):
                error = str(reply)
                self._note(question.num_images, error)
                reply = None
            elif reply:
                self.taken.add(question.num_images)
                error = reply.fault
                reply = None if error else reply
            seconds, start = time.perf_counter() - start, time.perf_counter()
            yield Answered(question, reply.text if reply else None, error, seconds)

    def stream(self, question: Question) -> Iterator[str]:
        """Yield the text so far, again and again where the server streams, and last its answer; M3ITError where there
        is none."""

        def ask(tell: Tell) -> str:
            reply = self.chat.ask([self._message(question)], tell=tell, **self.options)
            if reply.fault:
                raise ChatError(reply.fault)
            return reply.text

        return streamed(ask)

    def seen(self, question: Question) -> ModelInput:
        """What is sent of a question: each picture goes with its own bytes, of which the sha256 stands here."""
        sent = without_images({"messages": [self._message(question)]})
        return ModelInput(json.dumps(sent["messages"], indent=1, ensure_ascii=False), [])

    def _message(self, question: Question) -> dict[str, Any]:
        return message(question.head["prompt"], question.images, row_id=question.head["id"])

    def _request(self, question: Question, waiting: list[tuple[Question, str]]) -> Request | None:
        """What to send; None, with the reason in `waiting`, where there is no use in it."""
        number, error, request = question.num_images, "", None
        if number and number not in self.taken and self.refused[number] >= MAX_REFUSALS:
            refused = f"{self.refused[number]} rows with {_pictures(number)}"
            error = f"not sent: {self.chat.server} refused {refused}"
        else:
            try:
                request = Request([self._message(question)], options=self.options)
            except M3ITError as broken:
                error = str(broken)
        waiting.append((question, error))
        return request

    def _note(self, number: int, error: str) -> None:
        """Say once for each number of pictures that the server refuses rows."""
        self.refused[number] += 1
        if self.refused[number] == 1:
            logger.warning("a row with %s is refused; such rows are listed as failed: %s", _pictures(number), error)


def _pictures(number: int) -> str:
    return f"{number or 'no'} picture{'' if number == 1 else 's'}"


class _Closed(Exception):
    """Nobody reads on."""


def streamed(work: Callable[[Tell], str]) -> Iterator[str]:
    """Yield what `work` tells while it runs, the newest where the reader is slower, and last what it returns. Once the
    reader goes away, it ends at the next word."""
    told: SimpleQueue[tuple[str, Exception | None, bool]] = SimpleQueue()
    closed = threading.Event()

    def tell(text: str) -> None:
        if closed.is_set():
            raise _Closed
        told.put((text, None, False))

    def run() -> None:
        try:
            told.put((work(tell), None, True))
        except Exception as error:  # raised again below, in the reader's thread
            told.put(("", error, True))

    threading.Thread(target=run, daemon=True).start()
    try:
        is_last = False
        while not is_last:
            text, error, is_last = told.get()
            if error:
                raise error
            if is_last or told.empty():
                yield text
    finally:
        closed.set()
