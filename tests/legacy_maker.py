"""Miniature copies of the published repositories: the real folders, files and names of fields, tiny pictures of ours.

    m3it(folder)        every config of M3IT, with the older files that lie beside the current ones
    converted(folder)   the branch refs/convert/parquet: some configs as served rows, one of them cut off ("partial-")
    m3it_80(folder)     M3IT-80 in two languages: texts and pictures in different files
    spoil(folder, ...)  one of the defects that users have met

Paths come from tests/legacy_script.py, rows from ROWS: two for each config, A and B. A train split holds A, B, A, a
validation split A, B and a test split A, so that a file taken for another one shows.
"""

import json
from base64 import b64encode
from pathlib import Path

import pyarrow
import pyarrow.parquet
from conftest import picture
from legacy_script import _SPLITS, _TASKS, _URLS, LANGUAGES


def p(number: int) -> str:
    """The `number`-th picture as base64."""
    return b64encode(picture(number)).decode()


FRAMES = [p(number) for number in range(8)]
CLASSES = [
    "tench, Tinca tinca",
    "goldfish",
    "great white shark",
    "hammerhead",
    "stingray",
    "cock",
    "hen",
    "ostrich",
    "brambling",
    "house finch",
    "junco",
]
LABELS = [
    f"{verb} something" for verb in ("Bending", "Closing", "Digging", "Folding", "Hitting", "Holding", "Lifting")
] + [f"Moving something {where}" for where in ("up", "down", "away", "closer", "left, then right")]
STATED = {"task_type": "task", "instructions": ["Own words, first.", "Own words, second."], "meta": {"source": "x"}}


def rephrased(inputs: str, answer: str) -> dict:
    return {"answer": answer, "meta": {"instruction": "Rephrased words.", "inputs": inputs, "image_base64_str": [p(0)]}}


ROWS = {
    "coco": [
        {
            "image": p(0),
            "meta": {
                "img_id": 9,
                "targets": ["A dog runs.", "A brown dog.", "Dog on grass.", "The dog plays.", "One dog."],
            },
        },
        {
            "image": p(1),
            "meta": {"img_id": 7, "targets": ["A cat.", "A black cat.", "Cat asleep.", "The cat rests.", "One cat."]},
        },
    ],
    "textcap": [
        {"image_str": p(0), "caption": "A sign that says stop."},
        {"image_str": p(1), "caption": "A jar of jam."},
    ],
    "image-paragraph-captioning": [
        {"image_str": p(0), "output": "A man sits. He reads."},
        {"image_str": p(1), "output": "Two cows. Both eat."},
    ],
    "coco-cn": [
        {"image_id": "COCO_1", "caption": "一只狗在跑", "image_base64": p(0)},
        {"image_id": 2, "caption": "两只猫", "image_base64": p(1)},
    ],
    "flickr8k-cn": [
        {"image_id": "1.jpg", "caption": "男孩在跳", "image_base64": p(0)},
        {"image_id": "2.jpg", "caption": "海边", "image_base64": p(1)},
    ],
    "msrvtt": [{"video_str": FRAMES, "caption": "a man cooks"}, {"video_str": FRAMES[::-1], "caption": "a car drives"}],
    "coco-goi": [
        {"image_str": p(0), "input": "Choose one of:\ncat\ndog\nbird", "outputs": "dog"},
        {"image_str": p(1), "input": "Choose one of:\ncup\nbowl", "outputs": "fork"},
    ],
    "coco-text": [
        {"image_str": [p(0)], "answer": "The text is legible."},
        {"image_str": [p(1)], "answer": "illegible"},
    ],
    "imagenet": [{"img_str": p(0), "label": 3}, {"img_str": p(1), "label": 0}],
    "coco-itm": [
        {
            "image_str": p(0),
            "input": "Options:\n(A) a dog\n(B) a cat\n(C) a cow\n(D) a pig\n(E) a hen",
            "answer": "(C)",
        },
        {"image_str": p(1), "input": "Options:\n(A) one\n(B) two\n(C) three\n(D) four\n(E) five", "answer": "(A)"},
    ],
    "snli-ve": [
        {"image_base64_str": p(0), "hypothesis": "A man sleeps.", "label": "neutral", "rationale": "He may be awake."},
        {"image_base64_str": p(1), "hypothesis": "A dog runs.", "label": "entailment", "rationale": "It is running."},
    ],
    "mocheg": [
        {"image_str": [p(0), p(2)], "question": "Context: c. Claim: the tower fell.", "answer": "The claim is False."},
        {"image_str": [p(1)], "question": "Context: d. Claim: it rained.", "answer": "True"},
    ],
    "vsr": [
        {"image_str": [p(0)], "question": "The cat is on the bed.", "answer": "The statement is True."},
        {"image_str": [p(1)], "question": "The cup is under the car.", "answer": "It is False"},
    ],
    "iqa": [
        {"inputs": "Options: (A) bad (B) good", "outputs": "(B) good", "image_base64_str": [p(0)], **STATED},
        {"inputs": "Options: (A) bad (B) good", "outputs": "(A) bad", "image_base64_str": p(1), **STATED},
    ],
    "refcoco": [
        {"inputs": "the left one", "outputs": "a zebra", "image_base64_str": [p(0)], **STATED},
        {"inputs": "the box", "outputs": "a bench", "image_base64_str": [p(1)], **STATED},
    ],
    "ss": [
        {"video_str": FRAMES, "label": "Folding something"},
        {"video_str": FRAMES[:4], "label": "Moving something left, then right"},
    ],
    "winoground": [
        {
            "image_str": p(0),
            "input": "(A) an old person kisses a young one (B) a young person kisses an old one",
            "output": "an old person kisses a young one",
        },
        {"image_str": p(1), "input": "(A) x on y (B) y on x", "output": "y on x"},
    ],
    "chinese-food": [
        {"img_str": p(0), "input": "麻婆豆腐\n家常豆腐", "output": "麻婆豆腐"},
        {"img_str": p(1), "input": "鱼\n肉", "output": "鱼"},
    ],
    "vqa-v2": [
        {"img_str": p(0), "question": "Is it red?", "original_answer": "yes", "paraphrased_answer": "Yes, it is red."},
        {
            "img_str": p(1),
            "question": "How many?",
            "original_answer": "2",
            "paraphrased_answer": "Sorry, I cannot tell.",
        },
    ],
    "shapes": [
        {"image_str": p(0), "question": "is a red shape left of a circle", "answer": "true"},
        {"image_str": p(1), "question": "is a square green", "answer": "false"},
    ],
    "docvqa": [
        {"image_str": p(0), "question": "What is the date?", "answer": "5 May"},
        {"image_str": p(1), "question": "Who signed?", "answer": "Ann"},
    ],
    "ocr-vqa": [
        {"img_str": p(0), "input": "Who wrote this?", "output": "A. Lee"},
        {"img_str": p(1), "input": "Which year?", "output": "1999"},
    ],
    "st-vqa": [
        {"img_str": p(0), "input": "What does the sign say?", "output": "stop"},
        {"img_str": p(1), "input": "Which bus?", "output": "12"},
    ],
    "text-vqa": [
        {
            "img_str": p(0),
            "input": "What brand?",
            "output": "The brand is Acme.",
            "meta": {"id": "t-1", "ocr": ["acme"]},
        },
        {"img_str": p(1), "input": "What time?", "output": "It is ten.", "meta": {"id": 2}},
    ],
    "gqa": [
        {"img_str": p(0), "input": "Is it wet?", "output": "Is it wet?. Yes."},
        {"img_str": p(1), "input": "What is it?", "output": "A cup."},
    ],
    "okvqa": [
        {
            "image_str": p(0),
            "question": "What sport is this?",
            "answer": "race",
            "paraphrased_answer": "It is used in a race.",
        },
        {"image_str": p(1), "question": "Which breed?", "answer": "pug", "paraphrased_answer": "I am sorry, no idea."},
    ],
    "a-okvqa": [
        {
            "image_str": p(0),
            "question": "What is awaited?",
            "answer": "cab",
            "rationale": "He has bags.",
            "paraphrased_answer": "He waits for a cab.",
        },
        {
            "image_str": p(1),
            "question": "Where?",
            "answer": "desk",
            "rationale": "A desk is seen.",
            "paraphrased_answer": "At a desk.",
        },
    ],
    "viquae": [
        {
            "img_str": p(0),
            "question": "Which book?",
            "answer": "Emma",
            "paraphrased_answer": "The book is Emma.",
            "meta": {"kilt_id": "qw_1"},
        },
        {
            "img_str": p(1),
            "question": "Which year?",
            "answer": "1815",
            "paraphrased_answer": "In 1815.",
            "meta": {"kilt_id": "qw_2"},
        },
    ],
    "fm-iqa": [
        {"base64": p(0), "question": "这是什么?", "answer": "这是一只狗。"},
        {"base64": p(1), "question": "几个人?", "answer": "有两个人。"},
    ],
    "activitynet-qa": [
        {"video_str": FRAMES, "question": "is he tall", "answer": "yes"},
        {"video_str": FRAMES, "question": "where", "answer": "gym"},
    ],
    "ivqa": [
        {"video_str": FRAMES, "question": "What is cut?", "answer": "It is paper."},
        {"video_str": FRAMES, "question": "Who?", "answer": "A cook."},
    ],
    "msrvtt-qa": [
        {"video_str": FRAMES, "question": "who sings", "answer": "A man sings."},
        {"video_str": FRAMES, "question": "what", "answer": "A car."},
    ],
    "msvd-qa": [
        {"video_str": FRAMES, "question": "who runs", "answer": "A dog runs."},
        {"video_str": FRAMES, "question": "what", "answer": "Milk."},
    ],
    "clevr": [
        {"image_str": p(0), "question": "How many cubes?", "answer": "3"},
        {"image_str": p(1), "question": "Any spheres?", "answer": "no"},
    ],
    "nlvr": [
        {"image_str": [p(0), p(1)], "question": "Both show dogs.", "answer": "true"},
        {"image_str": [p(2), p(3)], "question": "One is open.", "answer": "false"},
    ],
    "science-qa": [
        {"img_str": p(0), "input": "Which is a solid?", "output": "(A) ice"},
        {"img_str": "", "input": "Which word?", "output": "(B) far"},
    ],
    "vcr": [
        {
            "inputs": "Why does the red person smile?",
            "outputs": "Because of the joke.",
            "image_base64_str": [p(0)],
            **STATED,
        },
        {"inputs": "Where is the blue one?", "outputs": "At home.", "image_base64_str": [p(1)], **STATED},
    ],
    "visual-mrc": [
        {"inputs": "What is it about?", "outputs": "It is about bees.", "image_base64_str": [p(0)], **STATED},
        {"inputs": "Who wrote?", "outputs": "Ann wrote it.", "image_base64_str": [p(1)], **STATED},
    ],
    "vist": [
        {"images": FRAMES[:5], "sentences": ["We went out.", "It rained.", "We ran.", "We laughed.", "Home again."]},
        {"images": FRAMES[3:8], "sentences": ["A cake.", "A party.", "A song.", "A dance.", "The end."]},
    ],
    "visual-dialog": [
        {"inputs": "Q: is it sunny? A: yes. Q: people?", "outputs": "two", "image_base64_str": [p(0)], **STATED},
        {"inputs": "Q: any dogs?", "outputs": "no", "image_base64_str": [p(1)], **STATED},
    ],
    "multi30k": [
        {"inputs": "A man in a hat.", "outputs": "Ein Mann mit Hut.", "image_base64_str": [p(0)], **STATED},
        {"inputs": "Two dogs.", "outputs": "Zwei Hunde.", "image_base64_str": [p(1)], **STATED},
    ],
    "mmchat": [
        {"context": "你好\n在吗", "response": "在", "image_base64": p(0)},
        {"context": "好看", "response": "谢谢", "image_base64": p(1)},
    ],
}
ROWS["imagenet-open-ended"] = ROWS["imagenet"]
ROWS |= {
    name: [rephrased("Is it so?", "Yes, it is."), rephrased("And this?", "No, never.")]
    for name in _URLS
    if name.endswith("-rephrased")
}

OLDER = {  # files that the script of some revision read, which lie beside the current ones or stood in their place
    "vqa/okvqa/train.jsonl": [{"image_str": p(5), "question": "Old?", "answer": "old"}] * 5,
    "vqa/a-okvqa/train.jsonl": [{"image_str": p(5), "question": "Old?", "answer": "old", "rationale": "It is old."}]
    * 5,
    "vqa/viquae/train.jsonl": [{"img_str": p(5), "question": "Old?", "answer": "old"}] * 5,
    "vqa/fm-iqa/train.jsonl": [{"base64": p(5), "question": "旧?", "answer": "旧。"}] * 5,
    "generation/mmchat/train.jsonl": [{"context": None, "response": "old", "image_base64": p(5)}] * 5,
}
TRANSLATED = {  # M3IT-80: raw English rows with their pictures, and the texts in each language, line by line
    "imagenet": ["img_str", p(0), p(1)],
    "vqa-v2": ["img_str", p(0), p(1)],
    "winoground": ["img_str", p(0), p(1)],
    "okvqa": ["image_str", p(0), p(1)],
    "vist": ["images", FRAMES[:5], FRAMES[3:8]],
    "msrvtt": ["video_str", FRAMES, FRAMES[::-1]],
    "msrvtt-qa": ["video_str", FRAMES, FRAMES[::-1]],
}
CONVERTED = ("chinese-food", "a-okvqa", "snli-ve-rephrased")  # complete there; nlvr is cut off


def instructions_of(config: str) -> list[str]:
    base = config.removesuffix("-rephrased").removesuffix("-open-ended")
    texts = [f"{base}: instruction {number}." for number in range(10)]
    return [f"{text} [HYPO]" for text in texts] if base == "snli-ve" else texts


def of_split(key: str, rows: list) -> list:
    first, second = rows
    return {"train": [first, second, first], "val": [first, second], "test": [first]}[key]


def write_lines(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def m3it(folder: Path, configs: tuple = tuple(ROWS)) -> Path:
    """M3IT with these configs."""
    for config in configs:
        urls = _URLS[config]
        for key in _SPLITS:
            if key in urls:
                write_lines(folder / urls[key], of_split(key, ROWS[config]))
        listed = folder / urls["instruction"]
        indent = 1 if config in ("coco", "gqa") else None  # on one line or on many: both are there
        listed.write_text(json.dumps(instructions_of(config), ensure_ascii=False, indent=indent), encoding="utf-8")
        if "label2class" in urls:
            lines = [f"n{number:08d} {name}\n" for number, name in enumerate(CLASSES)]
            (folder / urls["label2class"]).write_text("".join(lines) + "\n", encoding="utf-8")
        if "labels" in urls:
            (folder / urls["labels"]).write_text(
                json.dumps({name: str(i) for i, name in enumerate(LABELS)}), encoding="utf-8"
            )
    for path, rows in OLDER.items():
        if (folder / "data" / path).parent.is_dir():
            write_lines(folder / "data" / path, rows)
    (folder / "README.md").write_text("---\nlicense: other\n---\n# M3IT\n", encoding="utf-8")
    return folder


def served(config: str, number: int) -> dict:
    """What the converted branch holds for a row: four columns, here with words that tell where it came from."""
    return {
        "instruction": f"{config}: converted.",
        "inputs": f"converted input {number}",
        "image_base64_str": [p(number)],
        "outputs": f"converted output {number}",
    }


def converted(folder: Path) -> Path:
    """The branch refs/convert/parquet: complete configs, and nlvr with a train split that was cut off."""
    for config in (*CONVERTED, "nlvr"):
        for key, split in {"train": "train", "val": "validation", "test": "test"}.items():
            if key in _URLS[config]:
                part = f"partial-{split}" if config == "nlvr" and key == "train" else split
                for file in range(2 if key == "train" else 1):
                    path = folder / config / part / f"{file:04d}.parquet"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    rows = [served(config, 10 * file + number) for number in range(2)]
                    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return folder


def m3it_80(folder: Path, tasks: tuple = tuple(TRANSLATED)) -> Path:
    """M3IT-80: pictures once, texts and instructions in each language."""
    for code in LANGUAGES:
        lines = [
            {"task": task, "instruction": f"{task} {code} {number}"} for task in TRANSLATED for number in range(10)
        ]
        write_lines(folder / f"data/instructions/{code}.jsonl", lines)
    for task in tasks:
        field, *pictures = TRANSLATED[task]
        for key in _TASKS[task]:
            for code in LANGUAGES:
                urls = _URLS[f"{task}-{code}"]
                texts = [
                    {"input": f" {task} {code} question {n} ", "output": f"{task} {code} answer {n}\n"} for n in (1, 2)
                ]
                write_lines(folder / urls[key], of_split(key, texts))
            write_lines(
                folder / urls[f"raw_{key}"],
                of_split(key, [{field: picture, "question": "English."} for picture in pictures]),
            )
    return folder


def spoil(path: Path, defect: str) -> Path:
    """Put one known defect into a file of rows (its second row, or the whole of it)."""
    if defect == "empty file":
        path.write_bytes(b"")
        return path
    if defect == "Git LFS pointer":
        path.write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 624951234\n", encoding="utf-8"
        )
        return path
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    if defect == "no outputs":
        row |= {
            name: ""
            for name in ("answer", "paraphrased_answer", "original_answer", "output", "outputs", "caption")
            if name in row
        }
    elif defect == "image is not base64":
        row |= {
            name: value[:-3] + "?!"
            for name, value in row.items()
            if isinstance(value, str) and value.startswith("iVBOR")
        }
    elif defect == "one picture lost":
        row["image_str"] = row["image_str"][:1]
    elif defect == "a line cut off":
        lines[1] = lines[1][: len(lines[1]) // 2]
    if defect != "a line cut off":
        lines[1] = json.dumps(row, ensure_ascii=False)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path
