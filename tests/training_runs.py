"""What tests of training runs ask: which rows they learned from, with which losses."""

import base64
import json
from collections import Counter

from conftest import make_row

from m3it.mixing.mixture import Mixture
from m3it.training.settings import Settings

FAST = Settings(batch_size=4, log_every=1, save_every=2, log_rows=True, max_steps=4)


def mixture_of(data, **options):
    return Mixture(data, ["viquae", "vist"], **{"batch_size": 4, **options})


def rows_of(out):
    """The row ids that a run has learned from: one list per batch, in the order of the mixture."""
    lines = []
    for path in (out / "rows").glob("*.jsonl"):
        counts = Counter()
        for line in map(json.loads, path.read_text().splitlines()):
            counts[line["step"]] += 1  # the how-manieth batch of its step
            lines.append((line["step"], counts[line["step"]], line["rank"], line["rows"]))
    return [rows for *_, rows in sorted(lines)]


def losses_of(out):
    """The training losses of a run by step."""
    state = json.loads(
        max(out.glob("checkpoint-*"), key=lambda p: int(p.name[11:])).joinpath("trainer_state.json").read_text()
    )
    return {entry["step"]: entry["loss"] for entry in state["log_history"] if "loss" in entry}


def ids_of(mixture, count):
    return [mixture.row(position)["id"] for position in range(count)]


def finevision(folder):
    """A set of ten rows as FineVision holds them: Parquet, images and texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "images": [{"bytes": base64.b64decode(image), "path": None} for image in make_row(i)["image_base64_str"]],
            "texts": [{"user": f"What is {i}?", "assistant": f"It is {i}."}],
        }
        for i in range(10)
    ]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet", row_group_size=4)
    return folder
