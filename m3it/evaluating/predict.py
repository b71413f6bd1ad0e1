"""Predictions of a model, by transformers or by an OpenAI-compatible server.

In: a repository of rows, and the name of a model.  Out: predictions.jsonl, an object a line in the order of the rows
(score.py says which fields), and run.json. `seconds` is the row's share of the time that its batch took or, from a
server, the time since the row before. A row that fails is listed with its `error`, and tried again by the next run.
Until the end of the run its lines stand in hidden files, one for each process: a killed run goes on from there.
"""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import CATALOGUE, M3IT, id_of, image_bytes, public_url
from m3it.catalogue import lookup
from m3it.evaluating.references import reference_fields
from m3it.reading.load import load_builder
from m3it.rows.instance import M3ITError
from m3it.work.chat import Chat, ChatError, Reply, Request, message
from m3it.work.folder import write_json, write_text
from m3it.work.runner import Progress, silent, versions

MAX_REFUSALS = 3  # of rows with so many pictures, none of which the server took: the others are not sent
OTHER_SPLITS = ("test", "validation")  # what is predicted unless a split is named: the first that there is

Line = dict[str, Any]
Key = tuple[str, str, str]  # config, split, row id
PACKAGES = ("torch", "transformers", "accelerate", "openai")
logger = logging.getLogger(__name__)


class Question(NamedTuple):
    """A row without its answer, and what its line begins and ends with."""

    row: dict[str, Any]
    head: Line
    tail: Line

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


# ---- rows


def choose_split(builder: M3IT, split: str | None) -> str:
    """The split asked for; else test, or validation where the dataset or the repository has no test split."""
    config, held = builder.config.name, builder.shards(builder.config.name)
    dataset, _ = lookup(config)
    published = [s for s in OTHER_SPLITS if dataset is None or getattr(CATALOGUE[dataset.name], s)]
    found = [split] if split else [s for s in published if s in held]
    if not found or found[0] not in held:
        missing = split or " or ".join(published)
        raise M3ITError(f"{builder.repository.path} has no {missing} split of {config}; it has {', '.join(held)}.")
    return found[0]


def read_questions(
    repo: str, config: str, split: str | None, limit: int | None, on_error: str = "raise"
) -> Iterator[Question]:
    """The rows of a split, in order; with `on_error` "drop" those that cannot be read are left out, and said."""
    builder = load_builder(repo, config, meta=True, on_error=on_error)
    split = choose_split(builder, split)
    for row in islice(builder.rows(split), limit):
        prompt = "\n".join(text for text in (row["instruction"], row["inputs"]) if text)
        head = {"id": id_of(row), "config": config, "split": split, "prompt": prompt}
        yield Question({**row, "outputs": "", "meta": {}, "id": head["id"]}, head, reference_fields(config, row))


# ---- the two kinds of model


class Local:
    """A model of transformers; asks in batches, padded on the left. A batch that fails is halved, down to the row."""

    def __init__(self, name: str, max_tokens: int, batch_size: int):
        try:
            from accelerate import PartialState

            from m3it.models.collator import Collator
            from m3it.models.loading import load_model
        except ImportError as error:
            raise M3ITError("Predicting with transformers needs PyTorch: pip install 'm3it[train]'") from error
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
        return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


class Server:
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
                error = _cut_off(reply)
                reply = None if error else reply
            seconds, start = time.perf_counter() - start, time.perf_counter()
            yield Answered(question, reply.text if reply else None, error, seconds)

    def _request(self, question: Question, waiting: list[tuple[Question, str]]) -> Request | None:
        """What to send; None, with the reason in `waiting`, where there is no use in it."""
        number, error, request = question.num_images, "", None
        if number and number not in self.taken and self.refused[number] >= MAX_REFUSALS:
            refused = f"{self.refused[number]} rows with {_pictures(number)}"
            error = f"not sent: {public_url(self.chat.base_url)} refused {refused}"
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


def _cut_off(reply: Reply) -> str:
    """Why a reply without text is no answer; "" for one with text, and where the model itself ended there."""
    if reply.text.strip() or reply.finish_reason in ("", "stop"):
        return ""
    hint = ": a model that thinks first needs a larger --max-tokens" if reply.finish_reason == "length" else ""
    return f"the server gave no text, finish_reason {reply.finish_reason!r}{hint}"


def _pictures(number: int) -> str:
    return f"{number or 'no'} picture{'' if number == 1 else 's'}"


# ---- the run


def predict(
    model: str,
    configs: Sequence[str],
    out: Path | str,
    repo: str = ".",
    split: str | None = None,
    limit: int | None = None,
    base_url: str | None = None,
    batch_size: int = 8,
    max_tokens: int = 256,
    parallel: int = 8,
    on_error: str = "raise",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Predict the rows of configs and write predictions.jsonl and run.json into `out`; returns what run.json holds.

    `model` is a Hub id or a folder or, with `base_url`, the server's name for it. Rows that `out` has predictions of
    are not asked again. Started by `accelerate launch`, every process predicts its share.
    """
    folder, (rank, num_processes, wait) = Path(out), _process()
    options = {"model": model, "max_tokens": max_tokens, "repo": public_url(repo), "split": split, "limit": limit}
    options |= {"base_url": public_url(base_url)} if base_url else {"batch_size": batch_size}
    if rank == 0:
        _open(folder, options)
    wait()
    done = {key for key, line in _lines(_files(folder)[:2]) if not line.get("error")}
    seen: dict[Key, None] = {}
    chat = Chat(model, base_url, cache_dir=folder / "replies", parallel=parallel) if base_url else None
    ask = Server(chat, max_tokens) if chat else Local(model, max_tokens, batch_size)
    questions = (
        question
        for config in dict.fromkeys(configs)
        for question in progress(read_questions(repo, config, split, limit, on_error), config)
    )
    left = _left(questions, done, seen)
    mine = (q for i, q in enumerate(left) if i // batch_size % num_processes == rank)
    with open(folder / f".predicted-{rank}.jsonl", "w", encoding="utf-8", newline="\n") as file:
        for answered in ask(mine):
            file.write(_line(answered))
            file.flush()
    wait()
    if rank == 0:
        _close(folder, options, list(seen))
    wait()
    return json.loads((folder / "run.json").read_text("utf-8"))


def _process() -> tuple[int, int, Callable[[], None]]:
    """(number of this process, how many there are, wait for the others), as `accelerate launch` started them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, lambda: None
    from accelerate import PartialState

    state = PartialState()
    return state.process_index, state.num_processes, state.wait_for_everyone


def _left(questions: Iterable[Question], done: set[Key], seen: dict[Key, None]) -> Iterator[Question]:
    """The questions that are to be asked; `seen` gets all of them."""
    for question in questions:
        key = _key(question.head)
        if key in seen:
            raise M3ITError(
                f"{key[0]}/{key[1]}: two rows have the id {key[2]!r}. Mend the repository: m3it check lists such rows."
            )
        seen[key] = None
        if key not in done:
            yield question


def _line(answered: Answered) -> str:
    """The line of predictions.jsonl."""
    question, prediction, error, seconds = answered
    said = {"error": error} if prediction is None else {"prediction": prediction}
    line = {**question.head, **said, **question.tail, "seconds": round(seconds, 4)}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _key(line: Line) -> Key:
    return line["config"], line["split"], line["id"]


def _files(folder: Path) -> list[Path]:
    """Where lines may stand, later ones over earlier ones: of a finished run, of a killed one, of this one."""
    return [folder / "predictions.jsonl", folder / ".predicted.jsonl", *sorted(folder.glob(".predicted-*.jsonl"))]


def _lines(files: Iterable[Path]) -> Iterator[tuple[Key, Line]]:
    """(key, line) of every whole line; what a killed process left unfinished has no end."""
    for file in files:
        for text in file.read_text("utf-8").split("\n")[:-1] if file.exists() else ():
            line = json.loads(text)
            yield _key(line), line


def _open(folder: Path, options: dict[str, Any]) -> None:
    """Gather what a killed run left; M3ITError where the folder is that of another model."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "run.json"
    before = json.loads(told.read_text("utf-8")).get("options", {}) if told.exists() else options
    for name in ("model", "max_tokens", "repo"):
        if before.get(name) != options[name]:
            raise M3ITError(
                f"{folder}: holds predictions with {name} {before.get(name)!r}, not {options[name]!r}. "
                "Pass another folder as --out."
            )
    _gather(folder, ".predicted.jsonl", _lines(_files(folder)[1:]))
    if not told.exists():
        write_json(told, {"command": "predict", "options": options, "versions": versions(*PACKAGES)})


def _gather(folder: Path, name: str, lines: Iterable[tuple[Key, Line]]) -> None:
    """Write lines into one file, and remove those that it stands for."""
    parts = _files(folder)[2:]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in dict(lines).values())
    write_text(folder / name, text)
    for part in parts:
        part.unlink()


def _close(folder: Path, options: dict[str, Any], order: list[Key]) -> None:
    """Write predictions.jsonl, rows of this run in their order and then those of earlier ones, and run.json, which
    counts the rows that were to be predicted: on machines that share no disk, those of the others have no line here."""
    by_key = dict(_lines(_files(folder)))
    keys = dict.fromkeys([*order, *by_key])
    places = Counter(f"{config}/{split}" for config, split, _ in keys)
    failed = dict.fromkeys(places, 0)
    for (config, split, _), line in by_key.items():
        failed[f"{config}/{split}"] += bool(line.get("error"))
    if lacking := len(keys) - len(by_key):
        logger.warning(
            "%s: %s of %s rows have no prediction; the same command asks for them", folder, lacking, len(keys)
        )
    run = {"command": "predict", "options": options, "versions": versions(*PACKAGES)}
    write_json(folder / "run.json", {**run, "num_rows": dict(places), "num_failed": failed})
    _gather(folder, "predictions.jsonl", ((key, by_key[key]) for key in keys if key in by_key))
    (folder / ".predicted.jsonl").unlink(missing_ok=True)
