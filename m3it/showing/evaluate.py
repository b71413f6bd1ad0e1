"""Predict, score and report in one go, on any number of processes: `accelerate launch -m m3it evaluate ...`

In: a model, and configs of a repository.  Out: a folder of predictions/, scores/, figures/ and report.html. Every
process predicts its share; the first one scores and reports.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m3it.evaluating.predict import predict
from m3it.evaluating.score import score
from m3it.showing.report import report


def evaluate(
    model: str, configs: Sequence[str], out: Path | str, **options: Any
) -> tuple[dict[str, Any] | None, list[str]]:
    """(what scores.json holds, what could not be shown, in words); (None, []) in all processes but the first.

    `options` are those of `predict`.
    """
    out = Path(out)
    predict(model, configs, out / "predictions", **options)
    if int(os.environ.get("RANK", "0")) > 0:
        return None, []
    scores = score([out / "predictions"], out / "scores")
    return scores, report([out], out / "report.html", figures=out / "figures")
