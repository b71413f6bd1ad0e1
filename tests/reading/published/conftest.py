"""Configs of the published repositories that are cut into many pieces."""

import base64

import fsspec
import legacy_maker
import pytest
from conftest import picture
from legacy_maker import p, write_lines

import M3IT as module
from m3it.reading.published import joined


@pytest.fixture
def many(tmp_path, monkeypatch):
    """coco with 40 raw rows of five captions in many pieces; some captions and some pictures are broken."""
    rows = []
    for number in range(40):
        targets = [f"{number}-{k}" if (number + k) % 7 else "" for k in range(5)]
        rows.append({"image": p(number) if number % 11 else "broken!!", "meta": {"img_id": number, "targets": targets}})
    legacy_maker.m3it(tmp_path, ("coco",))
    write_lines(tmp_path / "data/captioning/coco/train.jsonl", rows)
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 9)
    monkeypatch.setattr(module, "MiB", 1 << 9)
    expected = [f"{number}-{k}" for number in range(40) for k in range(5) if number % 11 and (number + k) % 7]
    return tmp_path, expected


@pytest.fixture
def long_80(tmp_path, monkeypatch):
    """okvqa-zh with 60 train rows in many pieces, on disk and in a filesystem without an index."""
    legacy_maker.m3it_80(tmp_path / "repo", ("okvqa",))
    folder = tmp_path / "repo/data/okvqa"
    write_lines(
        folder / "train_500.jsonl",
        [{"image_str": base64.b64encode(picture(n) * (1 + n % 5)).decode()} for n in range(60)],
    )
    write_lines(folder / "okvqa_train_zh.jsonl", [{"input": f"q{n}", "output": f"a{n}"} for n in range(60)])
    monkeypatch.setattr(module, "PIECE_BYTES", 1 << 10)
    monkeypatch.setattr(module, "MiB", 1 << 10)
    monkeypatch.setattr(joined, "STEP_BYTES", 1 << 9)

    def remote():
        memory = fsspec.filesystem("memory")
        for path in (tmp_path / "repo").rglob("*.jsonl"):
            memory.pipe_file(f"/{tmp_path.name}/{path.relative_to(tmp_path / 'repo')}", path.read_bytes())
        return f"memory://{tmp_path.name}"

    return folder, remote
