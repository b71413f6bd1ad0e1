"""A set with leaks and duplicates of every kind."""

import base64
import json

import pytest
from conftest import write_rows
from PIL import ImageOps
from planted import encoded
from scenes import draw, scene


def row(row_id, picture, inputs="What is it?", outputs="a scene", **meta):
    """A row with one picture: an image, or a file."""
    file = picture if isinstance(picture, bytes) else encoded(picture)
    images = [base64.b64encode(file).decode()]
    meta = json.dumps({"id": row_id, **meta})
    return {"instruction": "Answer.", "inputs": inputs, "image_base64_str": images, "outputs": outputs, "meta": meta}


@pytest.fixture
def leaking(tmp_path):
    """okvqa/train with six rows: of vqa-v2/validation the same source, bytes, pixels, and two near ones, one of which
    asks the same question; and one of its own. okvqa/validation with a row of its own."""
    scenes = [draw(scene(f"leak {k}", num_things=5)) for k in range(8)]
    png = encoded(scenes[2], "PNG")
    coco = "COCO_{}2014_000000000042.jpg"
    train = [
        row("source", scenes[0], "Q0?", image=coco.format("train")),
        row("bytes", scenes[1], "Q1?"),
        row("pixels", png, "Q2?"),
        row("mirrored", ImageOps.mirror(scenes[3]), "Q3?"),
        row("gray", scenes[4].convert("L"), "The same, please"),
        row("own", scenes[5], "Q5?"),
    ]
    validation = [
        row("0", scenes[6], "V0?", image=coco.format("val")),
        row("1", scenes[1], "V1?"),
        row("2", encoded(scenes[2].convert("RGB").convert("RGBA"), "PNG"), "V2?"),
        row("3", scenes[3], "V3?"),
        row("4", scenes[4], "the same please!"),
    ]
    write_rows(tmp_path / "repo/data/kvqa/okvqa/train.jsonl", train)
    write_rows(tmp_path / "repo/data/kvqa/okvqa/validation.jsonl", [row("v", scenes[7], "V?")])
    write_rows(tmp_path / "repo/data/vqa/vqa-v2/validation.jsonl", validation)
    return tmp_path / "repo"
