"""The main job end to end, offline, in minutes on two cores: rows made, mixed, learned from, answered, scored, shown.

In: PyPI's easy-vqa, and a repository whose configs are mixed in.  Out: a folder with what each stage leaves: data/,
made by a converter of one's own (docs/examples/easy_vqa.py); tiny/, the model; predictions/, scores/, report.html. With
`hard` data/ also gets SHAPES, drawn at its published size, and all else stands in hard/. A stage that is done is not
done again, and one that was killed goes on.
"""

import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, Repository
from m3it.evaluating.predict import predict
from m3it.evaluating.row_scores import own_metrics, score_of, score_rows
from m3it.evaluating.runs import Row, read_run, usable
from m3it.evaluating.score import score
from m3it.making.convert import convert, source_root
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.mixing.selection import held
from m3it.rows.instance import M3ITError
from m3it.showing.report import report
from m3it.training.settings import Settings
from m3it.training.train import train
from m3it.work.pace import paced

EASY, HARD, SPLIT = "easy-vqa", "shapes", "test"
# The converter: in a clone, and where a wheel puts it.
EXAMPLE = Path("docs/examples/easy_vqa.py")
INSTALLED = Path(sysconfig.get_path("data"), "share/m3it/examples/easy_vqa.py")
# Rows of the sample may have 8 frames or a page of text, and a whole batch is padded to the longest of its rows: texts
# are cut, and of 1,000 rows two are of the sample.
WEIGHTS, SAMPLE_WEIGHT = {EASY: 1.0, HARD: 1 / 3}, 0.002
SETTINGS = Settings(epochs=1.75, batch_size=64, max_length=128, log_every=25, save_every=250, workers=1)
SHAPES = ("circle", "rectangle", "triangle")
POINTS = ("score", "majority_score")


def quickstart(
    out: Path | str,
    repo: str | None = None,
    settings: Settings = SETTINGS,
    *,
    hard: bool = False,
    limit: int | None = None,
    tell: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """Make easy-vqa's shards, train `tiny` on them and on the configs of `repo`, and report what it answers about
    pictures that it has not seen.

    `limit`: rows of each split of easy-vqa, all of them if not given. Returns `page`, the report's path; `model`, its
    folder; and `lines`, a table: `dataset`, `kind` of question, `num_rows`, `score`, the points of the model, and
    `majority_score`, those of `majority_answer`, the commonest answer to that kind.
    """
    out = Path(out)
    run, names = (out / "hard", [EASY, HARD]) if hard else (out, [EASY])
    with plain_lines():
        tell("1 of 4  shards, by a converter as you would write it" + (", and SHAPES" if hard else ""))
        num_rows = make_rows(out, names, limit, tell)
        where = "this folder" if repo == "." else repo
        tell(f"2 of 4  tiny learns them, mixed with {f'the datasets of {where}' if repo else 'nothing: no data/ here'}")
        if not (run / "tiny/run.json").exists():
            with cores_for(settings.workers):
                train("tiny", mix(out, names, repo, settings), run / "tiny", settings, resume=True, tell=tell)
        tell("3 of 4  it answers the questions about the test pictures, which it has not seen")
        answer(out, num_rows, run, tell)
    tell("4 of 4  the report")
    score([run / "predictions"], run / "scores")
    report([run, run / "tiny"], run / "report.html")
    by_place = read_run(run / "predictions").rows
    lines = [line for name in names for line in by_kind(name, by_place[name, SPLIT])]
    return {"page": str(run / "report.html"), "model": str(run / "tiny"), "lines": lines}


def make_rows(out: Path, names: Sequence[str], limit: int | None, tell: Callable[[str], Any]) -> dict[str, int]:
    """Convert the source files into out/data/; returns how many test rows each dataset has."""
    try:
        import easy_vqa
    except ImportError as missing:
        raise M3ITError("m3it quickstart needs its pictures: pip install easy-vqa") from missing
    root, clone = Path(easy_vqa.__file__).parent / "data", Path(__file__).parent.parent / EXAMPLE
    converter = str(clone if clone.exists() else INSTALLED) + ":convert"
    made = {EASY: convert(EASY, root, out, limit=limit, converter=converter, progress=paced(tell, "shard"))}
    for name in names[1:]:
        made[name] = convert(name, source_root(name, None, out), out, progress=paced(tell, "shard"))
    return {
        name: sum(file["num_rows"] for path, file in run["files"].items() if path.startswith(SPLIT))
        for name, run in made.items()
    }


def mix(out: Path, names: Sequence[str], repo: str | None, settings: Settings) -> Mixture:
    """The stream to learn from: the configs of `out` and, for a small part, those of the repository."""
    there = held(Repository(repo), "train") if repo else []
    others = [name for name in there if name in CATALOGUE and name not in names]  # no translations
    weights = {name: WEIGHTS[name] for name in names} | {name: SAMPLE_WEIGHT / len(others) for name in others}
    parts = [Part(str(out), name) for name in names]
    return Mixture(
        repo if others else None,
        others,
        parts=parts,
        weights=weights,
        batch_size=settings.batch_size,
        seed=settings.seed,
    )


def answer(out: Path, num_rows: Mapping[str, int], run: Path, tell: Callable[[str], Any]) -> None:
    """Have the model answer the test questions, so many of each dataset, into run/predictions."""

    def progress(items: Iterable[Any], description: str, total: int | None = None) -> Iterable[Any]:
        return paced(tell, "question")(items, description, num_rows[description])

    predict(
        str(run / "tiny"),
        list(num_rows),
        run / "predictions",
        repo=str(out),
        split=SPLIT,
        batch_size=256,
        max_tokens=8,
        progress=progress,
    )


# ---- how good the answers are


def by_kind(dataset: str, rows: list[Row]) -> Iterator[dict[str, Any]]:
    """The lines of the table about a dataset: of each kind of question, then of all of them."""
    kinds: dict[str, list[Row]] = {}
    for row in usable(rows):
        kinds.setdefault(kind_of(row), []).append(row)
    lines = [line_of(dataset, kind, kinds[kind]) for kind in sorted(kinds, key=lambda kind: -len(kinds[kind]))]
    yield from lines
    if len(lines) > 1:
        num_rows = sum(line["num_rows"] for line in lines)
        means = {name: sum(line[name] * line["num_rows"] for line in lines) / num_rows for name in POINTS}
        yield {"dataset": dataset, "kind": "all", "num_rows": num_rows, "majority_answer": "", **means}


def line_of(dataset: str, kind: str, rows: list[Row]) -> dict[str, Any]:
    """A line of the table: how many answers to a kind of question are right, and what its commonest would get."""
    (metric, *_), (told, common) = own_metrics(dataset), Counter(row["references"][0] for row in rows).most_common(1)[0]
    right = float(score_of(metric, score_rows(rows, [metric], dataset).sums[metric]))
    points = dict(zip(POINTS, (100 * right, 100 * common / len(rows)), strict=True))
    return {"dataset": dataset, "kind": kind, "num_rows": len(rows), "majority_answer": told, **points}


def kind_of(row: Row) -> str:
    """The kind of a question, by the answer that is right."""
    answer = row["references"][0]
    return "yes or no" if answer in ("yes", "no") else "shape" if answer in SHAPES else "color"


@contextmanager
def cores_for(workers: int) -> Iterator[None]:
    """Within, PyTorch leaves a core to each process that reads rows: more threads than cores would wait for each other.
    More than four have too little to do."""
    import torch

    num_threads = torch.get_num_threads()
    torch.set_num_threads(max(1, min(4, num_threads - workers)))
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@contextmanager
def plain_lines() -> Iterator[None]:
    """Within, transformers draws no bars: `tell` says how far the work is."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
