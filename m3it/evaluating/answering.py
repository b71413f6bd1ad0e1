"""Questions answered: by a model of transformers in this process, or by one behind an OpenAI-compatible server.

In: an iterator of `Question`s.  Out: `Answered`, in the same order; a row that fails has an error instead of a
prediction, and the others go on.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from M3IT import image_bytes
from m3it.rows.instance import M3ITError
from m3it.work.chat import Chat, ChatError, Request, message
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


class Answered(NamedTuple):
    """What became of a question: a prediction, or else an error."""

    question: Question
    prediction: str | None
    error: str
    seconds: float


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

    def _answer(self, batch: list[Question]) -> list[tuple[str | None, str]]:
        """(prediction, error) of each."""
        import torch

        try:
            rows = [self.collator.prepare({**question.row, "images": question.images}) for question in batch]
            return [(text, "") for text in self._generate(rows)]
        except (M3ITError, torch.OutOfMemoryError) as error:
            found = " ".join(str(error).split())
        if len(batch) == 1:
            return [(None, found)]
        half = len(batch) // 2
        return self._answer(batch[:half]) + self._answer(batch[half:])

    def _generate(self, rows: list[Any]) -> list[str]:
        """The texts that the model finds likeliest, token by token."""
        import torch

        tokenizer, settings = self.collator.tokenizer, self.model.generation_config
        batch = {name: tensor.to(self.device) for name, tensor in self.collator.prompts(rows).items()}
        ends = tokenizer.eos_token_id if settings.eos_token_id is None else settings.eos_token_id
        first = ends[0] if isinstance(ends, list) else ends
        pad = first if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        with torch.inference_mode():
            tokens = self.model.generate(
                **batch,
                max_new_tokens=self.max_tokens,
                do_sample=False,
                num_beams=1,
                eos_token_id=ends,
                pad_token_id=pad,
            )
        length = batch["input_ids"].shape[1]
        if torch.equal(tokens[:, :length], batch["input_ids"]):  # some classes give the prompt again, some do not
            tokens = tokens[:, length:]
        # A thought that the chat template has opened begins in the prompt: without its mark, one that does not end
        # would pass for an answer.
        prompts = tokenizer.batch_decode(batch["input_ids"][:, -PROMPT_END:])
        opened = [open_thought(prompt, self.reasoning_tags) for prompt in prompts]
        return [mark + text.strip() for mark, text in zip(opened, self._decode(tokens), strict=True)]

    def _decode(self, tokens: Any) -> list[str]:
        """The texts without special tokens, except those that mark thoughts."""
        tokenizer = self.collator.tokenizer
        special = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        hidden = {number for token, number in special.items() if without_reasoning(token, self.reasoning_tags) == token}
        if len(hidden) == len(special):
            return list(tokenizer.batch_decode(tokens, skip_special_tokens=True))
        return [tokenizer.decode([token for token in row if token not in hidden]) for row in tokens.tolist()]


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

    def _request(self, question: Question, waiting: list[tuple[Question, str]]) -> Request | None:
        """What to send; None, with the reason in `waiting`, where there is no use in it."""
        number, error, request = question.num_images, "", None
        if number and number not in self.taken and self.refused[number] >= MAX_REFUSALS:
            refused = f"{self.refused[number]} rows with {_pictures(number)}"
            error = f"not sent: {self.chat.server} refused {refused}"
        else:
            try:
                asked = message(question.head["prompt"], question.images, row_id=question.head["id"])
                request = Request([asked], options=self.options)
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
