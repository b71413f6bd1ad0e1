"""What the published repositories served: written by hand from the raw rows of tests/legacy_maker.py.

tests/legacy_script.py, a script of the old kind, must agree with these rows under a `datasets` that still runs scripts.
"""

import json

from legacy_maker import FRAMES, ROWS, p, write_lines

from m3it.reading.load import load_builder


def listed(*options):
    """The options as lines with letters."""
    return "".join(f"({letter}) {option}\n" for letter, option in zip("ABCDEFGHIJK", options, strict=False))


FISH = ("tench, Tinca tinca", "goldfish", "great white shark")
BIRDS = ("stingray", "cock", "hen", "ostrich", "brambling", "house finch")
DOING = ("Hitting something", "Holding something", "Lifting something", "Moving something up", "Moving something down")
FOLD = ("Folding something", "Bending something", "Closing something", "Digging something", *DOING)
LEFT = ("Moving something left, then right", "Bending something", "Closing something", "Digging something")
OPTIONS = "\nOptions:\n(A) True\n(B) False"
ONE, TWO = [p(0)], [p(1)]
# config -> (inputs, pictures, outputs) of its raw rows A and B, every choice by hash being the first; verified first
EXPECTED = {
    "coco": [
        ("", ONE, ["A dog runs.", "A brown dog.", "Dog on grass.", "The dog plays.", "One dog."]),
        ("", TWO, ["A cat.", "A black cat.", "Cat asleep.", "The cat rests.", "One cat."]),
    ],
    "coco-cn": [("", ONE, "一只狗在跑"), ("", TWO, "两只猫")],
    "msrvtt": [("", FRAMES, "a man cooks"), ("", FRAMES[::-1], "a car drives")],
    "coco-goi": [
        ("Options:\n(A) cat\n(B) dog\n(C) bird", ONE, "(B) dog."),
        ("Options:\n(A) cup\n(B) bowl\n(C) fork", TWO, "(C) fork."),
    ],
    "imagenet": [
        (listed("hammerhead", *FISH, *BIRDS), ONE, "(A) hammerhead"),
        (listed(*FISH, "hammerhead", *BIRDS), TWO, "(A) tench, Tinca tinca"),
    ],
    "winoground": [
        (
            "(A) an old person kisses a young one (B) a young person kisses an old one",
            ONE,
            "an old person kisses a young one",
        ),
        ("(A) x on y (B) y on x", TWO, "y on x"),
    ],
    "vqa-v2": [("Is it red?", ONE, "Yes, it is red."), ("How many?", TWO, "The answer is 2")],
    "docvqa": [("What is the date?", ONE, "5 May"), ("Who signed?", TWO, "Ann")],
    "st-vqa": [("What does the sign say?", ONE, "The answer is stop."), ("Which bus?", TWO, "The answer is 12.")],
    "text-vqa": [("What brand?", ONE, "The brand is Acme."), ("What time?", TWO, "It is ten.")],
    "gqa": [("Is it wet?", ONE, "Is it wet. Yes."), ("What is it?", TWO, "A cup.")],
    "okvqa": [("What sport is this?", ONE, "It is used in a race."), ("Which breed?", TWO, "The answer is pug.")],
    "viquae": [("Which book?", ONE, "The book is Emma."), ("Which year?", TWO, "In 1815.")],
    "activitynet-qa": [("is he tall", FRAMES, "yes"), ("where", FRAMES, "gym")],
    "vist": [
        ("", FRAMES[:5], "We went out. It rained. We ran. We laughed. Home again."),
        ("", FRAMES[3:8], "A cake. A party. A song. A dance. The end."),
    ],
    "mmchat": [("Person1: 你好\nPerson2: 在吗\nPerson1:", ONE, "在"), ("Person1: 好看\nPerson2:", TWO, "谢谢")],
    **{
        name: [("Is it so?", ONE, "Yes, it is."), ("And this?", ONE, "No, never.")]
        for name in ROWS
        if name.endswith("-rephrased")
    },
    # verified in part: fields or outputs
    "image-paragraph-captioning": [("", ONE, "A man sits. He reads."), ("", TWO, "Two cows. Both eat.")],
    "coco-text": [
        ("Options:\n(A) legible\n(B) illegible", ONE, "(A) legible"),
        ("Options:\n(A) legible\n(B) illegible", TWO, "(B) illegible"),
    ],
    "imagenet-open-ended": [("", ONE, "hammerhead"), ("", TWO, "tench, Tinca tinca")],
    "coco-itm": [
        ("Options:\n(A) a dog\n(B) a cat\n(C) a cow\n(D) a pig\n(E) a hen", ONE, "(C)"),
        ("Options:\n(A) one\n(B) two\n(C) three\n(D) four\n(E) five", TWO, "(A)"),
    ],
    "snli-ve": [("A man sleeps.", ONE, "maybe Rationale: He may be awake."), ("A dog runs.", TWO, "yes")],
    "mocheg": [
        ("Context: c. Claim: the tower fell." + OPTIONS, [p(0), p(2)], "(B) False"),
        ("Context: d. Claim: it rained." + OPTIONS, TWO, "(A) True"),
    ],
    "vsr": [
        ("The cat is on the bed." + OPTIONS, ONE, "(A) True"),
        ("The cup is under the car." + OPTIONS, TWO, "(B) False"),
    ],
    "ss": [
        (listed(*FOLD, "Moving something away", "Moving something closer"), FRAMES, "(A) Folding something"),
        (
            listed(*LEFT, "Folding something", *DOING, "Moving something away"),
            FRAMES[:4],
            "(A) Moving something left, then right",
        ),
    ],
    "shapes": [("is a red shape left of a circle", ONE, "yes"), ("is a square green", TWO, "no")],
    "a-okvqa": [("What is awaited?", ONE, "He waits for a cab."), ("Where?", TWO, "At a desk.")],
    "fm-iqa": [("这是什么?", ONE, "这是一只狗。"), ("几个人?", TWO, "有两个人。")],
    # inferred
    "textcap": [("", ONE, "A sign that says stop."), ("", TWO, "A jar of jam.")],
    "flickr8k-cn": [("", ONE, "男孩在跳"), ("", TWO, "海边")],
    "iqa": [("Options: (A) bad (B) good", ONE, "(B) good"), ("Options: (A) bad (B) good", TWO, "(A) bad")],
    "refcoco": [("the left one", ONE, "a zebra"), ("the box", TWO, "a bench")],
    "chinese-food": [("麻婆豆腐\n家常豆腐", ONE, "麻婆豆腐"), ("鱼\n肉", TWO, "鱼")],
    "ocr-vqa": [("Who wrote this?", ONE, "A. Lee"), ("Which year?", TWO, "1999")],
    "ivqa": [("What is cut?", FRAMES, "It is paper."), ("Who?", FRAMES, "A cook.")],
    "msrvtt-qa": [("who sings", FRAMES, "A man sings."), ("what", FRAMES, "A car.")],
    "msvd-qa": [("who runs", FRAMES, "A dog runs."), ("what", FRAMES, "Milk.")],
    "clevr": [("How many cubes?", ONE, "3"), ("Any spheres?", TWO, "no")],
    "nlvr": [("Both show dogs.", [p(0), p(1)], "true"), ("One is open.", [p(2), p(3)], "false")],
    "science-qa": [("Which is a solid?", ONE, "(A) ice"), ("Which word?", [], "(B) far")],
    "vcr": [
        ("Why does the red person smile?", ONE, "Because of the joke."),
        ("Where is the blue one?", TWO, "At home."),
    ],
    "visual-mrc": [("What is it about?", ONE, "It is about bees."), ("Who wrote?", TWO, "Ann wrote it.")],
    "visual-dialog": [("Q: is it sunny? A: yes. Q: people?", ONE, "two"), ("Q: any dogs?", TWO, "no")],
    "multi30k": [("A man in a hat.", ONE, "Ein Mann mit Hut."), ("Two dogs.", TWO, "Zwei Hunde.")],
}
LONG = {"train": "train", "val": "validation", "test": "test"}


def rows_of(folder, config, split="train", **options):
    """The rows as the builder reads them, piece by piece."""
    builder = load_builder(folder, config, **options)
    return [row for piece in builder.pieces(split) for _, row in builder.read(piece)]


def flat(expected):
    """(inputs, pictures, outputs) of each row, where one raw row stands for several."""
    return [
        (inputs, images, text)
        for inputs, images, outputs in expected
        for text in ([outputs] if isinstance(outputs, str) else outputs)
    ]


def said(rows):
    return [(row["inputs"], row["image_base64_str"], row["outputs"]) for row in rows]


def write(path, rows):
    """Write raw rows; returns the repository's folder."""
    write_lines(path, rows)
    return path.parents[3]


def stranger(tmp_path, row, instructions=("Say it.",)):
    write(tmp_path / "data/vqa/new_set/train.jsonl", [row])
    if instructions:
        (tmp_path / "data/vqa/new_set/instructions.json").write_text(
            "\n".join(json.dumps(text) for text in instructions)
        )
    return tmp_path
