"""Predictions of a model, by transformers or by an OpenAI-compatible server.

In: a repository of rows, and the name of a model.  Out: predictions.jsonl, an object a line in the order of the rows
(score.py says which fields), and run.json. `seconds` is the row's share of the time that its batch took or, from a
server, the time since the row before. A row that fails is listed with its `error`, and tried again by the next run.
Until the end of the run its lines stand in hidden files, one for each process: a killed run goes on from there.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, M3IT, id_of, public_url
from m3it.catalogue import lookup
from m3it.evaluating.answering import Answered, LocalModel, Question, ServedModel, question_of
from m3it.evaluating.references import reference_fields
from m3it.evaluating.runs import NO_ANSWER, Key, Row, ScoreError, answer_in, count_fields, parse_line, read_object
from m3it.reading.load import load_builder
from m3it.rows.instance import M3ITError
from m3it.work.chat import Chat, server_name
from m3it.work.folder import alone_in, sha256_of, write_json, write_text
from m3it.work.reasoning import REASONING_TAGS
from m3it.work.runner import Progress, silent, versions

OTHER_SPLITS = ("test", "validation")  # what is predicted unless a split is named: the first that there is
# Of a model's folder, what its answers depend on; runs and checkpoints may lie beside these.
MODEL_FILES = (
    *("*.safetensors", "*.safetensors.index.json", "pytorch_model*", "adapter_model*", "adapter_config.json"),
    *("config.json", "generation_config.json", "*processor_config.json", "chat_template*"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model"),
)
PACKAGES = ("torch", "transformers", "accelerate", "openai")
logger = logging.getLogger(__name__)


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
    repo: str,
    config: str,
    split: str | None = None,
    *,
    limit: int | None = None,
    ids: Collection[str] | None = None,
    on_error: str = "raise",
) -> Iterator[Question]:
    """The rows of a split, or those of these ids, in order; with `on_error` "drop" those that cannot be read are left
    out, and said."""
    builder = load_builder(repo, config, meta=True, on_error=on_error)
    split = choose_split(builder, split)
    rows = builder.rows(split)
    rows = rows if ids is None else islice((row for row in rows if id_of(row) in ids), len(ids))
    for row in islice(rows, limit):
        yield question_of(row, id_of(row), {"config": config, "split": split}, reference_fields(config, row))


# ---- the run


def predict(
    model: str,
    configs: Sequence[str],
    out: Path | str,
    *,
    repo: str = ".",
    split: str | None = None,
    limit: int | None = None,
    ids: Collection[str] | None = None,
    base_url: str | None = None,
    batch_size: int = 8,
    max_tokens: int = 256,
    parallel: int = 8,
    on_error: str = "raise",
    reasoning_tags: Sequence[str] | None = None,
    extra_body: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Predict the rows of configs and write predictions.jsonl and run.json into `out`; returns what run.json holds.

    `model` is a Hub id or a folder or, with `base_url`, the server's name for it. Rows that `out` has predictions of
    are not asked again. `ids`: only the rows of these ids. `reasoning_tags`: the marks of a model's thoughts;
    `extra_body`: further fields of each request to a server. Started by `accelerate launch`, every process predicts its
    share; a second run into `out` is refused.
    """
    folder, (rank, num_processes, wait) = Path(out), _process()
    options = {"model": model, "max_tokens": max_tokens, "repo": public_url(repo), "split": split, "limit": limit}
    options |= {"base_url": server_name(base_url)} if base_url else {"batch_size": batch_size}
    if rank == 0 and not base_url:
        options["weights"] = weights_of(model)
    if extra_body and not base_url:
        raise ValueError("extra_body: is sent to a server; name one with --base-url")
    options |= {"ids": sorted(ids)} if ids is not None else {}
    options |= {"extra_body": extra_body} if extra_body else {}
    options |= {"reasoning_tags": list(reasoning_tags)} if reasoning_tags else {}
    tags = reasoning_tags or REASONING_TAGS
    chat: Chat | None = None
    if base_url:
        chat = Chat(model, base_url, cache_dir=folder / "replies", parallel=parallel, extra_body=extra_body)
    with alone_in(folder) if rank == 0 else nullcontext():
        if rank == 0:
            _open(folder, options)
        wait()
        ask = ServedModel(chat, max_tokens) if chat else LocalModel(model, max_tokens, batch_size, tags)
        chosen = partial(read_questions, repo, split=split, limit=limit, ids=ids, on_error=on_error)
        questions = (q for config in dict.fromkeys(configs) for q in progress(chosen(config), config))
        done = {key for key, line in _lines(_files(folder)[:2]) if line.get("error") in (None, "", NO_ANSWER)}
        seen: dict[Key, None] = {}
        left = _left(questions, done, seen, ids or ())
        mine = (q for i, q in enumerate(left) if i // batch_size % num_processes == rank)
        with open(folder / f".predicted-{rank}.jsonl", "w", encoding="utf-8", newline="\n") as file:
            for answered in ask(mine):
                file.write(_line(answered, tags))
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


def weights_of(model: str) -> str:
    """What tells one state of a model from another: of a folder a sha256 over its weights, configuration and tokenizer,
    and over the model below a LoRA; of a Hub id the commit. A folder that is trained in again is another model."""
    folder = Path(model)
    if not folder.is_dir():
        from m3it.models.pretrained import find_model

        return find_model(model)
    names = {path.name for pattern in MODEL_FILES for path in folder.glob(pattern)}
    told = [f"{name} {sha256_of(folder / name)}" for name in sorted(names)]
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        told.append(weights_of(str(read_object(adapter).get("base_model_name_or_path"))))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _left(
    questions: Iterable[Question], done: set[Key], seen: dict[Key, None], ids: Iterable[str]
) -> Iterator[Question]:
    """The questions that are to be asked; `seen` gets all of them. M3ITError at the end where there is none of an id
    that was asked for."""
    for question in questions:
        key = _key(question.head)
        if key in seen:
            raise M3ITError(
                f"{key[0]}/{key[1]}: two rows have the id {key[2]!r}. Fix the repository: m3it check lists such rows."
            )
        seen[key] = None
        if key not in done:
            yield question
    if missing := sorted({*ids} - {row_id for _, _, row_id in seen}):
        raise M3ITError(f"--id: there is no row of {', '.join(map(repr, missing[:5]))}. m3it show lists rows.")


def _line(answered: Answered, reasoning_tags: Sequence[str]) -> str:
    """The line of predictions.jsonl: the text as the model gave it, thoughts and all; where they bring no answer, it
    has failed."""
    question, prediction, error, seconds = answered
    said = {"error": error} if prediction is None else {"prediction": prediction}
    if prediction is not None and answer_in(prediction, reasoning_tags) is None:
        said["error"] = NO_ANSWER
    line = {**question.head, **said, **question.tail, "seconds": round(seconds, 4)}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _key(line: Row) -> Key:
    return line["config"], line["split"], line["id"]


def _files(folder: Path) -> list[Path]:
    """Where lines may stand, later ones over earlier ones: of a finished run, of a killed one, of this one."""
    return [folder / "predictions.jsonl", folder / ".predicted.jsonl", *sorted(folder.glob(".predicted-*.jsonl"))]


def _lines(files: Iterable[Path]) -> Iterator[tuple[Key, Row]]:
    """(key, line) of every whole line; what a killed process left unfinished has no end. A line that is none is said:
    its row is asked for again."""
    for file in files:
        for number, text in enumerate(file.read_bytes().split(b"\n")[:-1] if file.exists() else (), 1):
            try:
                line = parse_line(text, f"{file}: line {number}")
            except ScoreError as error:
                logger.warning("%s", error)
                continue
            yield _key(line), line


def _open(folder: Path, options: dict[str, Any]) -> None:
    """Gather what a killed run left; M3ITError where the folder is that of another model."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "run.json"
    kept = dict(_lines(_files(folder)))
    before = read_object(told).get("options") or {} if told.exists() and kept else options
    for name in ("model", "weights", "max_tokens", "repo", "base_url", "extra_body"):
        if before.get(name) != options.get(name):
            raise M3ITError(
                f"{folder}: holds predictions with {name} {before.get(name)!r}, not {options.get(name)!r}. "
                "Pass another folder as --out."
            )
    _gather(folder, ".predicted.jsonl", _lines(_files(folder)[1:]))
    if not kept or not told.exists():
        write_json(told, {"command": "predict", "options": options, "versions": versions(*PACKAGES)})


def _gather(folder: Path, name: str, lines: Iterable[tuple[Key, Row]]) -> None:
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
    if num_missing := len(keys) - len(by_key):
        logger.warning(
            "%s: %s of %s rows have no prediction; the same command asks for them", folder, num_missing, len(keys)
        )
    run = {"command": "predict", "options": options, "versions": versions(*PACKAGES)}
    by_place: dict[str, list[Row]] = {place: [] for place in places}
    for (config, split, _), line in by_key.items():
        by_place[f"{config}/{split}"].append(line)
    fields = {place: count_fields(lines) for place, lines in by_place.items()}
    write_json(folder / "run.json", {**run, "num_rows": dict(places), "num_failed": failed, "fields": fields})
    _gather(folder, "predictions.jsonl", ((key, by_key[key]) for key in keys if key in by_key))
    (folder / ".predicted.jsonl").unlink(missing_ok=True)
