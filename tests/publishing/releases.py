"""What the tests of publishing share: rows to release, and what stands in a release's files."""

import hashlib
import json
import re
from pathlib import Path

import yaml
from conftest import make_row

PUBLISHED = ["instruction", "inputs", "image_base64_str", "outputs"]
README_SNIPPET = re.compile(r"```python\n(from datasets import load_dataset\n.*?)```", re.DOTALL)
NUM_TRAIN = 230  # rows of viquae: three row groups


def no_picture(number):
    return make_row(number, 0, inputs=f"Text only, {number}.")


def lines_of(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def train_rows(source):
    return [row for n in range(2) for row in lines_of(source / f"data/kvqa/viquae/train-0000{n}-of-00002.jsonl")]


def head_of(folder):
    return yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])


def sums_of(folder):
    """path -> sha256 of every file that is published."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
