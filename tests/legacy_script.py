"""A loading script of the old kind: one table of files, one branch per config, an instruction drawn for every row.

Written from what public pages tell of M3IT.py and M3IT-80.py on the Hub, before m3it/reading/published, without a look
at it; tests/reading/published runs it under `datasets` < 4 over the miniature repositories and asks both for the same
rows. Where the pages are silent a branch takes the field that the miniature has. `LANGUAGES` names two of the 80.
"""

import json
import random

import datasets

_FEATURES = datasets.Features(
    {
        "instruction": datasets.Value("string"),
        "inputs": datasets.Value("string"),
        "image_base64_str": [datasets.Value("string")],
        "outputs": datasets.Value("string"),
    }
)


def _files(folder, train=None, val=None, test=None, instruction="instructions.json", **extra):
    paths = {"train": train, "val": val, "test": test}
    urls = {key: f"./data/{folder}/{stem}.jsonl" for key, stem in paths.items() if stem}
    return {
        **urls,
        "instruction": f"./data/{folder}/{instruction}",
        **{key: f"./data/{folder}/{name}" for key, name in extra.items()},
    }


_URLS = {
    "coco": _files("captioning/coco", "train", "val", "test"),
    "textcap": _files("captioning/textcap", "train", "val"),
    "image-paragraph-captioning": _files(
        "captioning/image_paragraph_captioning",
        "image_paragraph_captioning_train",
        "image_paragraph_captioning_val",
        "image_paragraph_captioning_test",
        instruction="instruction.json",
    ),
    "coco-cn": _files("captioning/coco-cn", "train", "val", "test"),
    "flickr8k-cn": _files("captioning/flickr8k-cn", "train", "val", "test"),
    "msrvtt": _files("captioning/msrvtt", "train", "val", "test"),
    "coco-goi": _files("classification/coco-goi", "train", "val"),
    "coco-text": _files("classification/coco-text", "train", "val"),
    "imagenet": _files("classification/imagenet", "train", "val", label2class="mapping.txt"),
    "imagenet-open-ended": _files("classification/imagenet", "train", "val", label2class="mapping.txt"),
    "coco-itm": _files("classification/itm", "train", "val", "test"),
    "snli-ve": _files("classification/snli-ve", "esnlive_train", "esnlive_val", "esnlive_test"),
    "mocheg": _files("classification/mocheg", "mocheg_train", "mocheg_val", "mocheg_test"),
    "vsr": _files("classification/vsr", "vsr_train", "vsr_val", "vsr_test"),
    "iqa": _files("classification/iqa", "train", "val", "test"),
    "refcoco": _files("classification/refcoco", "train", "val", "test"),
    "ss": _files("classification/ss", "train", "val", "test", labels="labels.json"),
    "winoground": _files("classification/winoground", test="winoground_test"),
    "chinese-food": _files("classification/chinesefoodnet-10", test="test"),
    "vqa-v2": _files("vqa/vqav2", "train", "val"),
    "shapes": _files("vqa/shapes", "train.large", "val", "test"),
    "docvqa": _files("vqa/docvqa", "train", "val"),
    "ocr-vqa": _files("vqa/ocr-vqa", "train_new", "validation", instruction="instruction.json"),
    "st-vqa": _files("vqa/st-vqa", "train", test="test", instruction="instruction.json"),
    "text-vqa": _files("vqa/text-vqa", "train", "validation_new", "test", instruction="instruction.json"),
    "gqa": _files("vqa/gqa", "train", "validation", instruction="instruction.json"),
    "okvqa": _files("vqa/okvqa", "train_v2", "val_v2"),
    "a-okvqa": _files("vqa/a-okvqa", "train_v2", "val_v2"),
    "viquae": _files("vqa/viquae", "train_v2", "validation_v2", "test_v2"),
    "fm-iqa": _files("vqa/fm-iqa", "para_train", "para_val"),
    "activitynet-qa": _files("vqa/activitynet-qa", "train", "val", "test"),
    "ivqa": _files("vqa/ivqa", "train", "val", "test"),
    "msrvtt-qa": _files("vqa/msrvtt-qa", "train", "val", "test"),
    "msvd-qa": _files("vqa/msvd-qa", "train", "val", "test"),
    "clevr": _files("reasoning/clevr", "train", "val"),
    "nlvr": _files("reasoning/nlvr", "train", "val", "test"),
    "science-qa": _files("reasoning/science_qa", "science_qa_train", "science_qa_validation", "science_qa_test"),
    "vcr": _files("reasoning/vcr", "train", "val", "test"),
    "visual-mrc": _files("reasoning/visual_mrc", "train", "val", "test"),
    "vist": _files("generation/vist", "train", "val", "test"),
    "visual-dialog": _files("generation/visual_dialog", "train", "val", "test"),
    "multi30k": _files("generation/multi30k", "train", "val", "test"),
    "mmchat": _files("generation/mmchat", "train_new", "validation", "test"),
    "shapes-rephrased": _files("vqa/shapes", "train_2023-10-08", test="test_2023-10-08"),
    "coco-goi-rephrased": _files("classification/coco-goi", "train_2023-10-06", test="test_2023-10-07"),
    "snli-ve-rephrased": _files("classification/snli-ve", "train_2023-10-09", test="test_2023-10-09"),
    "imagenet-rephrased": _files("classification/imagenet", "train_2023-10-08", test="test_2023-10-08"),
    "clevr-rephrased": _files("reasoning/clevr", "train_2023-10-07", "val_2023-10-07"),
    "coco-itm-rephrased": _files("classification/itm", "train_2023-10-08", test="test_2023-10-09"),
    "vsr-rephrased": _files("classification/vsr", "train_2023-10-09", test="test_2023-10-09"),
    "mocheg-rephrased": _files("classification/mocheg", "train_2023-10-08", test="test_2023-10-08"),
    "refcoco-rephrased": _files("classification/refcoco", "train_2023-10-08", test="test_2023-10-09"),
    "visual-dialog-rephrased": _files("generation/visual_dialog", "train_2023-10-09", test="test_2023-10-10"),
    "iqa-rephrased": _files("classification/iqa", "train_2023-10-08", test="test_2023-10-08"),
}

LANGUAGES = ("zh", "he")
_TASKS = {  # M3IT-80: task -> the splits it has
    "imagenet": ("train", "val"),
    "msrvtt": ("train", "val", "test"),
    "msrvtt-qa": ("train", "val", "test"),
    "okvqa": ("train", "val"),
    "vist": ("train", "val", "test"),
    "vqa-v2": ("train", "val"),
    "winoground": ("test",),
}
_LONG = {"train": "train", "val": "validation", "test": "test"}


def _translated(task, code):
    urls = {"instruction": f"./data/instructions/{code}.jsonl"}
    for split in _TASKS[task]:
        urls[split] = f"./data/{task}/{task}_{_LONG[split]}_{code}.jsonl"
        urls[f"raw_{split}"] = f"./data/{task}/{'test' if task == 'winoground' else f'{split}_500'}.jsonl"
    return urls


for _task in _TASKS:
    for _code in LANGUAGES:
        _URLS[f"{_task}-{_code}"] = _translated(_task, _code)

_SPLITS = {"train": datasets.Split.TRAIN, "val": datasets.Split.VALIDATION, "test": datasets.Split.TEST}


class OldM3IT(datasets.GeneratorBasedBuilder):
    BUILDER_CONFIGS = [datasets.BuilderConfig(name=name, version=datasets.Version("1.0.0")) for name in _URLS]
    DEFAULT_CONFIG_NAME = "coco"

    def _info(self):
        return datasets.DatasetInfo(features=_FEATURES)

    def _split_generators(self, dl_manager):
        files = dl_manager.download_and_extract(_URLS[self.config.name])
        return [
            datasets.SplitGenerator(name=_SPLITS[key], gen_kwargs={"key": key, "files": files})
            for key in _SPLITS
            if key in files
        ]

    def _generate_examples(self, key, files):
        name = self.config.name
        if f"raw_{key}" in files:
            yield from self._generate_translated(name.rsplit("-", 1)[0], key, files)
            return
        with open(files["instruction"], encoding="utf-8") as file:
            instructions = json.load(file)
        with open(files[key], encoding="utf-8") as file:
            for number, line in enumerate(file):
                row = json.loads(line)
                for k, (inputs, images, outputs) in enumerate(self._rows(name, row, files)):
                    instruction = (
                        row["meta"]["instruction"] if name.endswith("-rephrased") else random.choice(instructions)
                    )
                    if name == "snli-ve":
                        instruction = instruction.replace("[HYPO]", row["hypothesis"])
                    served = {
                        "instruction": instruction,
                        "inputs": inputs,
                        "image_base64_str": images,
                        "outputs": outputs,
                    }
                    yield f"{number}-{k}", served

    def _generate_translated(self, task, key, files):
        with open(files["instruction"], encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        instructions = [line["instruction"] for line in lines if line["task"] == task]
        with open(files[key], encoding="utf-8") as texts, open(files[f"raw_{key}"], encoding="utf-8") as pictures:
            for number, (line, raw) in enumerate(zip(texts, pictures, strict=True)):
                row, raw = json.loads(line), json.loads(raw)
                images = raw.get("img_str") or raw.get("image_str") or raw.get("images") or raw.get("video_str")
                yield (
                    number,
                    {
                        "instruction": random.choice(instructions),
                        "inputs": row["input"].strip(),
                        "image_base64_str": [images] if isinstance(images, str) else images,
                        "outputs": row["output"].strip(),
                    },
                )

    def _rows(self, name, row, files):
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        if name.endswith("-rephrased"):
            return [(row["meta"]["inputs"], row["meta"]["image_base64_str"], row["answer"])]
        if name == "coco":
            return [("", [row["image"]], target) for target in row["meta"]["targets"]]
        if name == "textcap":
            return [("", [row["image_str"]], row["caption"])]
        if name == "image-paragraph-captioning":
            return [("", [row["image_str"]], row["output"])]
        if name in ("coco-cn", "flickr8k-cn"):
            return [("", [row["image_base64"]], row["caption"])]
        if name == "msrvtt":
            return [("", row["video_str"], row["caption"])]
        if name == "coco-goi":
            options = row["input"].split("\n")[1:25]
            if row["outputs"] not in options:
                options.append(row["outputs"])
            random.shuffle(options)
            listed = "\n".join(f"({letters[i]}) {option}" for i, option in enumerate(options))
            return [
                (
                    f"Options:\n{listed}",
                    [row["image_str"]],
                    f"({letters[options.index(row['outputs'])]}) {row['outputs']}.",
                )
            ]
        if name == "coco-text":
            answer = {"legible": "(A) legible", "illegible": "(B) illegible"}[row["answer"].strip(".").split()[-1]]
            return [("Options:\n(A) legible\n(B) illegible", row["image_str"], answer)]
        if name in ("vsr", "mocheg"):
            answer = {"True": "(A) True", "False": "(B) False"}[row["answer"].strip(".").split()[-1]]
            return [(row["question"] + "\nOptions:\n(A) True\n(B) False", row["image_str"], answer)]
        if name in ("imagenet", "imagenet-open-ended"):
            with open(files["label2class"], encoding="utf-8") as file:
                classes = [line.strip().split(" ", 1)[1] for line in file if line.strip()]
            right = classes[row["label"]]
            if name == "imagenet-open-ended":
                return [("", [row["img_str"]], right)]
            options = random.sample([c for c in classes if c != right], 9)
            options.insert(random.randint(0, 9), right)
            inputs = "".join(f"({letters[i]}) {option}\n" for i, option in enumerate(options))
            return [(inputs, [row["img_str"]], f"({letters[options.index(right)]}) {right}")]
        if name == "coco-itm":
            return [(row["input"], [row["image_str"]], row["answer"])]
        if name == "snli-ve":
            word = {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}[row["label"]]
            rationale = f" Rationale: {row['rationale']}" if word == "maybe" else ""
            return [(row["hypothesis"], [row["image_base64_str"]], word + rationale)]
        if name == "ss":
            with open(files["labels"], encoding="utf-8") as file:
                classes = list(json.load(file))
            options = random.sample([c for c in classes if c != row["label"]], 10)
            options.insert(random.randint(0, 10), row["label"])
            inputs = "".join(f"({letters[i]}) {option}\n" for i, option in enumerate(options))
            return [(inputs, row["video_str"], f"({letters[options.index(row['label'])]}) {row['label']}")]
        if name in ("winoground",):
            return [(row["input"], [row["image_str"]], row["output"])]
        if name in ("ocr-vqa", "text-vqa", "chinese-food"):
            return [(row["input"], [row["img_str"]], row["output"])]
        if name == "science-qa":
            return [(row["input"], [row["img_str"]] if row.get("img_str") else [], row["output"])]
        if name == "gqa":
            return [(row["input"], [row["img_str"]], row["output"].replace("?.", "."))]
        if name == "st-vqa":
            return [(row["input"], [row["img_str"]], "The answer is " + row["output"] + ".")]
        if name == "vqa-v2":
            outputs = row["paraphrased_answer"]
            if any(words in outputs.lower() for words in ("not answerable", "sorry", "image descriptions")):
                outputs = "The answer is " + row["original_answer"]
            return [(row["question"], [row["img_str"]], outputs)]
        if name == "okvqa":
            outputs = row["paraphrased_answer"]
            if "sorry" in outputs:
                outputs = f"The answer is {row['answer']}."
            return [(row["question"], [row["image_str"]], outputs)]
        if name == "a-okvqa":
            return [(row["question"], [row["image_str"]], row["paraphrased_answer"])]
        if name == "viquae":
            return [(row["question"], [row["img_str"]], row["paraphrased_answer"])]
        if name == "shapes":
            return [(row["question"], [row["image_str"]], "yes" if row["answer"] == "true" else "no")]
        if name in ("docvqa", "clevr"):
            return [(row["question"], [row["image_str"]], row["answer"])]
        if name == "nlvr":
            return [(row["question"], row["image_str"], row["answer"])]
        if name == "fm-iqa":
            return [(row["question"], [row["base64"]], row["answer"])]
        if name in ("activitynet-qa", "ivqa", "msrvtt-qa", "msvd-qa"):
            return [(row["question"], row["video_str"], row["answer"])]
        if name == "vist":
            return [("", row["images"], " ".join(row["sentences"]))]
        if name == "mmchat":
            turns = row["context"].split("\n")
            lines = [f"Person{i % 2 + 1}: {turn}" for i, turn in enumerate(turns)]
            lines.append("Person1:" if len(turns) % 2 == 0 else "Person2:")
            return [("\n".join(lines), [row["image_base64"]], row["response"])]
        if name in ("iqa", "refcoco", "vcr", "visual-mrc", "visual-dialog", "multi30k"):
            images = row["image_base64_str"]
            return [(row["inputs"], images if isinstance(images, list) else [images], row["outputs"])]
        raise ValueError(name)
