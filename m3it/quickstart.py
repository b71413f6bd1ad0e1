"""The main job end to end, offline, in minutes on two cores: rows made, mixed, learned from, answered, scored, shown.

In: nothing, or a repository whose configs are mixed in.  Out: a folder with what each stage leaves: data/ (SHAPES,
drawn at its published size), tiny/ (the model), predictions/, scores/, report.html. A stage that is done is not done
again, and one that was killed goes on.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, Repository
from m3it.evaluating.predict import predict
from m3it.evaluating.row_scores import majority_score
from m3it.evaluating.runs import read_run
from m3it.evaluating.score import score
from m3it.making.convert import convert, source_root
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.mixing.selection import held
from m3it.showing.report import report
from m3it.training.settings import Settings
from m3it.training.train import train
from m3it.work.runner import Progress, silent
from m3it.work.terminal import printable

DATASET, SPLIT = "shapes", "test"
NUM_EVALUATED = 256  # validation rows that the loss is measured on during training
# Rows of 8 frames, or of a page of text, would have a whole batch padded to their length: their texts are cut.
SETTINGS = Settings(
    epochs=4, batch_size=32, max_length=128, log_every=25, evaluate_every=250, save_every=250, workers=1
)


def quickstart(
    out: Path | str,
    repo: str | None = None,
    settings: Settings = SETTINGS,
    tell: Callable[[str], Any] = print,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make SHAPES, train `tiny` on it and on the configs of `repo`, and write out/report.html about the test split.

    Returns `page`, the report's path; `score`, `low`, `high`: the accuracy in points with its 95 % interval;
    `majority_answer` and `majority_score`: what always giving the commonest answer would get.
    """
    import torch

    out = Path(out)
    tell("1 of 4  SHAPES: questions about nine cells, drawn at the published size")
    convert(DATASET, source_root(DATASET, None, out), out)
    tell(f"2 of 4  training tiny on SHAPES and {f'the configs of {repo}' if repo else 'nothing else: no data/ here'}")
    if not (out / "tiny/run.json").exists():
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # one core reads; more threads than cores would spin
        held_out = Mixture(None, parts=[Part(str(out), DATASET, "validation")])
        rows = [held_out.row(position) for position in range(min(held_out.num_rows, NUM_EVALUATED))]
        mixture = mix(out, repo, settings)
        print(printable(mixture.describe()), file=sys.stderr)
        train("tiny", mixture, out / "tiny", settings, rows, resume=True)
    tell("3 of 4  the model answers and is scored on questions of which it has seen none")
    predict(
        str(out / "tiny"),
        [DATASET],
        out / "predictions",
        repo=str(out),
        split=SPLIT,
        batch_size=64,
        max_tokens=8,
        progress=progress,
    )
    scores = score([out / "predictions"], out / "scores")
    tell("4 of 4  the report")
    report([out, out / "tiny"], out / "report.html")
    rows = read_run(out / "predictions").rows[DATASET, SPLIT]
    answer, points = majority_score(rows, (DATASET, SPLIT)) or ("", 0.0)
    own = scores["models"][0]["datasets"][0]["scores"]["accuracy"]
    return {"page": str(out / "report.html"), **own, "majority_answer": answer, "majority_score": points}


def mix(out: Path, repo: str | None, settings: Settings) -> Mixture:
    """The stream to learn from: SHAPES, and the other configs of the repository."""
    there = held(Repository(repo), "train") if repo else []
    names = [name for name in there if name in CATALOGUE and name != DATASET]  # no translations
    parts = [Part(str(out), DATASET)]
    return Mixture(repo if names else None, names, parts=parts, batch_size=settings.batch_size, seed=settings.seed)
