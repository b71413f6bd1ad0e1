"""How fast source files become shards, beside copying the pictures into a tar: `python bench/convert.py [--rows 8000]`.

Writes OK-VQA's official files with pictures of about 100 kB (one real JPEG, varied after its end marker), then takes
turns: a tar of the pictures, a plain script with json and base64, `m3it convert` with one worker and with two.
Prints medians and ratios as a Markdown table.
"""

import argparse
import base64
import json
import random
import shutil
import statistics
import tarfile
import tempfile
import time
from pathlib import Path

from m3it.making.convert import convert
from m3it.rows.images import encode

IMAGE_BYTES = 100_000


def make_source(root: Path, num_rows: int) -> None:
    """OK-VQA's three official files for the validation split, one picture a question."""
    import numpy as np

    (root / "val2014").mkdir(parents=True)
    draw = random.Random(0)
    picture = encode(np.frombuffer(draw.randbytes(300 * 225 * 3), np.uint8).reshape(225, 300, 3), quality=90)
    questions, annotations = [], []
    for i in range(1, num_rows + 1):
        filler = draw.randbytes(IMAGE_BYTES - len(picture))
        (root / "val2014" / f"COCO_val2014_{i:012d}.jpg").write_bytes(picture + filler)
        questions.append({"image_id": i, "question": f"What is {i}?", "question_id": i * 10})
        answers = [
            {"answer_id": k, "answer": f"a{i}", "raw_answer": f"a{i}", "answer_confidence": "yes"} for k in range(10)
        ]
        annotations.append({"image_id": i, "question_id": i * 10, "answers": answers})
    info = {"description": "This is v1.0 of the OK-VQA dataset."}
    (root / "OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"info": info, "questions": questions}))
    (root / "mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": annotations}))


def copy_into_tar(root: Path, out: Path) -> None:
    """The floor: every picture read and written once."""
    with tarfile.open(out / "pictures.tar", "w") as tar:
        for path in sorted((root / "val2014").iterdir()):
            tar.add(path, path.name)


def plain_script(root: Path, out: Path) -> None:
    """What a user writes in ten minutes: json and base64, nothing checked."""
    questions = json.loads((root / "OpenEnded_mscoco_val2014_questions.json").read_text())["questions"]
    answers = json.loads((root / "mscoco_val2014_annotations.json").read_text())["annotations"]
    answer_by_id = {a["question_id"]: a["answers"][0]["answer"] for a in answers}
    with open(out / "validation.jsonl", "w") as file:
        for question in questions:
            image = (root / "val2014" / f"COCO_val2014_{question['image_id']:012d}.jpg").read_bytes()
            row = {"instruction": "Answer.", "inputs": question["question"]}
            row |= {
                "image_base64_str": [base64.b64encode(image).decode()],
                "outputs": answer_by_id[question["question_id"]],
            }
            file.write(json.dumps(row) + "\n")


def ours(root: Path, out: Path, workers: int) -> None:
    """Checked, with instruction, meta, drops, sha256; shards of 64 MB so that two workers have work."""
    convert("okvqa", root, out, ["validation"], workers=workers, shard_bytes=64_000_000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    paths = {
        "tar of the same pictures": copy_into_tar,
        "plain json + base64": plain_script,
        "m3it convert, 1 worker": lambda root, out: ours(root, out, 1),
        "m3it convert, 2 workers": lambda root, out: ours(root, out, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    with tempfile.TemporaryDirectory() as folder:
        make_source(Path(folder) / "root", options.rows)
        for _ in range(options.repeats):
            for name, run in paths.items():
                out = Path(folder) / "out"
                out.mkdir()
                start = time.perf_counter()
                run(Path(folder) / "root", out)
                seconds[name].append(time.perf_counter() - start)
                shutil.rmtree(out)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    floor, one = medians["tar of the same pictures"], medians["m3it convert, 1 worker"]
    lines = ["| path | seconds | x tar | x m3it with 1 worker |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {s:.1f} | {floor / s:.2f} | {one / s:.2f} |" for name, s in medians.items()]
    megabytes = options.rows * IMAGE_BYTES / 1e6
    note = f"Median of {options.repeats}, {options.rows:,} pictures, {megabytes:,.0f} MB"
    lines += ["", f"{note}; made by `python bench/convert.py`.", ""]
    text = "\n".join(lines)
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
