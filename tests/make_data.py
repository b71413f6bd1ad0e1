"""Make `data/` anew from tests/fixtures: `python tests/make_data.py [DATASET ...]`, then `m3it card`.

A dataset of the seven translated ones has `translations.jsonl` in its fixture: language, id, instruction, inputs,
outputs. A translated config is the rows of its dataset with these texts instead of the English ones.
"""

import json
import shutil
import sys
from pathlib import Path

from M3IT import CATALOGUE
from m3it.making.convert import convert
from m3it.rows.jsonl import read_shard, to_line

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
                shards[-1].parent.mkdir(exist_ok=True)
                shards[-1].write_bytes(b"".join(map(to_line, rows)))
    return shards


def translate(shard: Path, text_by_id: dict[str, dict]) -> list[dict]:
    """The rows of a shard that have a translation, in their order."""
    rows = []
    for row in read_shard(shard):
        meta = json.loads(row["meta"])
        if meta["id"] in text_by_id:
            texts = {name: text_by_id[meta["id"]][name] for name in ("instruction", "inputs", "outputs")}
            meta["translated"] = "by a model, read twice"
            rows.append({**row, **texts, "meta": json.dumps(meta, ensure_ascii=False)})
    return rows


if __name__ == "__main__":
    for name in sys.argv[1:] or CATALOGUE:
        for path in make_data(FIXTURES.parents[1], name):
            print(path.relative_to(FIXTURES.parents[1]))
