"""Predict, score and report in one go, on any number of processes.

accelerate launch scripts/evaluate.py --model runs/tiny --config shapes --repo . --out runs/tiny-evaluated
"""

import argparse
import os
from pathlib import Path

from m3it.evaluating.predict import predict
from m3it.evaluating.score import score
from m3it.evaluating.tables import render
from m3it.showing.report import report


def main() -> None:
    parser = argparse.ArgumentParser(description="Predict, score and report.")
    parser.add_argument("--model", required=True, help="Hub id, folder, or the server's name for it")
    parser.add_argument("--config", action="append", required=True, help="config name; may be given several times")
    parser.add_argument("--repo", default=".", help="Hub id, folder or URL of the rows")
    parser.add_argument("--split", help="default: test, else validation")
    parser.add_argument("--limit", type=int, help="stop after this many rows of a config")
    parser.add_argument("--base-url", help="ask this OpenAI-compatible server")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=256, help="of a prediction")
    parser.add_argument("--out", type=Path, required=True, help="folder of predictions/, scores/ and report.html")
    given = parser.parse_args()
    options = {
        name: getattr(given, name) for name in ("repo", "split", "limit", "base_url", "batch_size", "max_tokens")
    }
    predict(given.model, given.config, given.out / "predictions", **options)
    if int(os.environ.get("RANK", "0")) == 0:
        print(render(score([given.out / "predictions"], given.out / "scores")))
        report([given.out], given.out / "report.html", figures=given.out / "figures")
        print(given.out / "report.html")


if __name__ == "__main__":
    main()
