"""Shared by all tests: small repositories of rows, a Hub on loopback, and the command line."""

import base64
import json
import os
from pathlib import Path

import pytest
from command_line import m3it  # noqa: F401  (a fixture)
from hub import hub  # noqa: F401  (a fixture)
from hypothesis import HealthCheck, settings
from PIL import Image

# Read where torch is loaded, in programs that tests start, too: the models are so small that of two threads each waits
# for the other most of the time, and the cores have other tests to run.
os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
settings.register_profile("m3it", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no clock in a test
settings.load_profile("m3it")


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path_factory, monkeypatch):
    """No test sees what another one left in the cache of `datasets`."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def picture(number: int = 0) -> bytes:
    """A small PNG file whose colour says its number."""
    import io

    data = io.BytesIO()
    Image.new("RGB", (8, 6), (number * 37 % 256, number * 91 % 256, 128)).save(data, "PNG")
    return data.getvalue()


def make_row(number: int, num_images: int = 1, **changes) -> dict:
    """The `number`-th row in our schema, with changed fields if asked for."""
    images = [base64.b64encode(picture(number + k)).decode() for k in range(num_images)]
    row = {
        "instruction": "Answer the question.",
        "inputs": f"What is {number}?",
        "image_base64_str": images,
        "outputs": f"answer {number}",
        "meta": json.dumps({"id": f"row-{number}"}),
    }
    return {**row, **changes}


def row_of(instance) -> dict:
    """The row of an instance whose images are bytes, independently of m3it.rows.jsonl."""
    return {
        "instruction": instance.instruction,
        "inputs": instance.inputs,
        "image_base64_str": [base64.b64encode(image).decode() for image in instance.images],
        "outputs": instance.outputs,
        "meta": json.dumps({"id": instance.id} | instance.meta | {"id": instance.id}, ensure_ascii=False),
    }


def instance_of(row: dict):
    """The instance that a row was made of."""
    from m3it.rows.instance import Instance

    meta = json.loads(row["meta"])
    images = [base64.b64decode(image, validate=True) for image in row["image_base64_str"]]
    return Instance(meta.pop("id"), row["inputs"], images, row["outputs"], row["instruction"], meta)


def write_rows(path: Path, rows: list, end: str = "\n") -> Path:
    """Write rows as plain `json.dumps` lines, independently of m3it.rows.jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode("utf-8"))
    return path


@pytest.fixture
def repository(tmp_path):
    """A folder with two configs: viquae (10 train, 3 test rows), okvqa-zh (4 validation rows)."""
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(10)])
    write_rows(tmp_path / "repo/data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(20, 23)])
    write_rows(
        tmp_path / "repo/data/kvqa/okvqa/zh/validation.jsonl", [make_row(i, inputs=f"什么 {i}") for i in range(4)]
    )
    return tmp_path / "repo"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The small model from scratch, with random weights."""
    pytest.importorskip("torch")
    import m3it.models.loading  # noqa: F401  (so that transformers knows its classes)
    from m3it.models.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "tiny"
    model, processor = make_tiny(["Answer the question. What is 1?", "answer 20"], 32, 32, 2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
