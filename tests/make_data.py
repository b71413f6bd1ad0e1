"""Make `data/` anew from tests/fixtures: `python tests/make_data.py [DATASET ...]`, then `m3it card`.

A dataset of the seven translated ones has `translations.jsonl` in its fixture: language, id, instruction, inputs,
outputs. A translated config is the rows of its dataset with these texts in place of the English ones.
"""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from M3IT import CATALOGUE
from m3it.making.convert import convert
from m3it.rows.instance import from_row, to_row
from m3it.rows.jsonl import read_shard, write_shard

FIXTURES = Path(__file__).parent / "fixtures"


def make_data(out: Path, dataset: str) -> list[Path]:
    """Convert the fixture of one dataset, and its translations; returns the shards."""
    folder = out / "data" / CATALOGUE[dataset].task / dataset
    for path in (*folder.glob("*.jsonl"), *folder.glob("*/*.jsonl")):
        path.unlink()  # convert overwrites nothing
    shutil.rmtree(folder / ".work", ignore_errors=True)
    run = convert(dataset, FIXTURES / dataset, out, on_error="drop")
    shards = [folder / name for name in run["files"]]
    translations = FIXTURES / dataset / "translations.jsonl"
    texts: dict[str, dict[str, dict]] = {}
    for line in translations.read_text("utf-8").splitlines() if translations.exists() else []:
        text = json.loads(line)
        texts.setdefault(text["language"], {})[text["id"]] = text
    for language, text_by_id in sorted(texts.items()):
        for name in run["files"]:
            rows = translate(folder / name, text_by_id)
            if rows:  # msrvtt and msrvtt-qa have a test split in English only
                shards.append(folder / language / name)
                write_shard(shards[-1], rows)
    return shards


def translate(shard: Path, text_by_id: dict[str, dict]) -> list[dict]:
    """The rows of a shard that have a translation, in their order."""
    rows = []
    for row in read_shard(shard):
        instance = from_row(row)
        if instance.id in text_by_id:
            text = text_by_id[instance.id]
            texts = {name: text[name] for name in ("instruction", "inputs", "outputs")}
            rows.append(
                to_row(replace(instance, **texts, meta={**instance.meta, "translated": "by a model, read twice"}))
            )
    return rows


if __name__ == "__main__":
    for name in sys.argv[1:] or CATALOGUE:
        for path in make_data(FIXTURES.parents[1], name):
            print(path.relative_to(FIXTURES.parents[1]))
