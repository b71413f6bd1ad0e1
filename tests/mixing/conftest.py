"""Sets that the tests of mixtures share."""

import json

import pytest
from conftest import make_row, write_rows
from mixtures import texts_row, write_parquet

SIZES = {"kvqa/viquae": 30, "vqa/gqa": 150, "captioning/coco": 400, "classification/iqa": 3}


@pytest.fixture
def mixed(tmp_path):
    """Four of our datasets, one of them Parquet in row groups, and a FineVision-shaped set of two Parquet files."""
    for place, size in SIZES.items():
        dataset = place.split("/")[1]
        texts = [
            {"inputs": f"What is {dataset} {i}?", "meta": json.dumps({"id": f"{dataset}-{i}"})} for i in range(size)
        ]
        lines = [make_row(i, **text) for i, text in enumerate(texts)]
        if dataset == "coco":
            write_parquet(tmp_path / f"ours/data/{place}/train.parquet", lines, 16)
        else:
            write_rows(tmp_path / f"ours/data/{place}/train.jsonl", lines)
    write_parquet(tmp_path / "fine/ai2d/train-00000-of-00002.parquet", [texts_row(i) for i in range(70)], 9)
    write_parquet(tmp_path / "fine/ai2d/train-00001-of-00002.parquet", [texts_row(i) for i in range(70, 120)], 9)
    return tmp_path


@pytest.fixture
def spoiled(tmp_path):
    """40 rows of which three cannot be read, and the same rows as they should be; both as JSON Lines and as Parquet."""
    rows = [make_row(i) for i in range(40)]
    write_rows(tmp_path / "good/data/vqa/gqa/train.jsonl", rows)
    bad = {3: {"outputs": None}, 17: {"image_base64_str": ["no base64!"]}, 30: {"outputs": None}}
    spoiled = [{**row, **bad.get(i, {})} for i, row in enumerate(rows)]
    write_rows(tmp_path / "jsonl/data/vqa/gqa/train.jsonl", spoiled)
    write_parquet(tmp_path / "parquet/data/vqa/gqa/train.parquet", spoiled, 8)
    write_parquet(tmp_path / "good-parquet/data/vqa/gqa/train.parquet", rows, 8)
    return tmp_path
