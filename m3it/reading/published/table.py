"""What is known of the 54 configs of MMInstruction/M3IT: TABLE says for each what the loading script did with it.

"verified" where a public page shows fields and mapping (`evidence` names the commits), "inferred" where a part of it is
a guess. Nobody could read a raw row while this was written.
"""

from typing import NamedTuple

from m3it.reading.published.fields import REFUSAL
from m3it.reading.published.mappings import (
    LastWord,
    Mapping,
    Texts,
    coco,
    coco_goi,
    gqa,
    imagenet,
    imagenet_open_ended,
    mmchat,
    shapes,
    snli_ve,
    something,
    vist,
)


class Raw(NamedTuple):
    """One config of M3IT."""

    folder: str  # below data/
    files: str  # the stem of each split's file; "|" between the names it had, the newest first; "" not known
    images: str  # the field with the pictures; "" to look for one under the usual names
    mapping: Mapping | None  # None to take fields by their usual names
    status: str
    evidence: str  # commits that show it; and what is not known
    instructions: str = "instructions.json"  # or a {field} of the row
    extra: str = ""  # one more file that the mapping reads


VER, INF = "verified", "inferred"
ALL = "train val test"
ANSWER = Texts("{question}", "{paraphrased_answer}", before="{answer}")
TRUE_FALSE = LastWord("{question}\n", ("True", "False"))
AUTHOR = "fields as in other rows of the same author"


def rephrased(folder: str, splits: str, unknown: str = "") -> Raw:
    """A config of October 2023: dated files, all but the answer in meta."""
    files = " ".join(f"{split}_2023-10-*" for split in splits.split())
    mapping = Texts("{meta.inputs}", "{answer}")
    return Raw(folder, files, "meta.image_base64_str", mapping, VER, f"f78770f{unknown}", "{meta.instruction}")


# fmt: off
TABLE = {
    "coco": Raw("captioning/coco", ALL, "image", coco, VER, "bc4cad6"),
    "textcap": Raw("captioning/textcap", "train val", "", None, INF, "c627e25; fields of picture and caption not seen"),
    "image-paragraph-captioning": Raw(
        "captioning/image_paragraph_captioning",
        "image_paragraph_captioning_train image_paragraph_captioning_val image_paragraph_captioning_test",
        "", None, INF, "e474a5e: output; field of the picture not seen", "instruction.json"),
    "coco-cn": Raw("captioning/coco-cn", ALL, "image_base64", Texts("", "{caption}"), VER, "e474a5e, a user's script"),
    "flickr8k-cn": Raw("captioning/flickr8k-cn", ALL, "image_base64", Texts("", "{caption}"), INF,
                       "b2c9723; fields as in coco-cn"),
    "msrvtt": Raw("captioning/msrvtt", ALL, "video_str", Texts("", "{caption}"), VER, "ba1e8cf"),
    "coco-goi": Raw("classification/coco-goi", "train val", "image_str", coco_goi, VER, "813f494, 05ca186"),
    "coco-text": Raw("classification/coco-text", "train val", "image_str", LastWord("", ("legible", "illegible")), INF,
                     "a8d8f01: fields; words of the options not seen"),
    "imagenet": Raw("classification/imagenet", "train val", "img_str", imagenet, VER,
                    "5d0fcb4; whether a text leads the options not seen", extra="mapping.txt"),
    "imagenet-open-ended": Raw("classification/imagenet", "train val", "img_str", imagenet_open_ended, INF,
                               "0394802: label; form of the answer not seen", extra="mapping.txt"),
    "coco-itm": Raw("classification/itm", ALL, "", None, INF, "073107f: answer; the rest not seen"),
    "snli-ve": Raw("classification/snli-ve", "esnlive_train esnlive_val esnlive_test", "image_base64_str", snli_ve, INF,
                   "84df3fc, c627e25: fields; name of the label and rule of the rationale not sure"),
    "mocheg": Raw("classification/mocheg", "mocheg_train mocheg_val mocheg_test", "image_str", TRUE_FALSE, INF,
                  "a8d8f01: fields; form of the answer not seen"),
    "vsr": Raw("classification/vsr", "vsr_train vsr_val vsr_test", "image_str", TRUE_FALSE, INF,
               "a8d8f01: fields; form of the answer not seen"),
    "iqa": Raw("classification/iqa", ALL, "", None, INF, f"6ec6358; {AUTHOR}"),
    "refcoco": Raw("classification/refcoco", ALL, "", None, INF, f"80f253b; {AUTHOR}"),
    "ss": Raw("classification/ss", ALL, "video_str", something, INF, "9d7860b: options; field of the class not seen",
              extra="labels.json"),
    "winoground": Raw("classification/winoground", "winoground_test", "image_str", Texts("{input}", "{output}"), VER,
                      "5b83b7c"),
    "chinese-food": Raw("classification/chinesefoodnet-10", "val test", "", None, INF,
                        "44bff02, 9d74cb2: test.jsonl was val.jsonl; fields not seen"),
    "vqa-v2": Raw("vqa/vqav2", "train val", "img_str",
                  Texts("{question}", "{paraphrased_answer}", "", "The answer is {original_answer}", REFUSAL), VER,
                  "aa84269, fd52403"),
    "shapes": Raw("vqa/shapes", "train.large val test", "", shapes, INF, "3f4f83a: answer; the rest not seen"),
    "docvqa": Raw("vqa/docvqa", "train val", "image_str", Texts("{question}", "{answer}"), VER,
                  "c26ef41; ae00553 of those days wraps answers, perhaps these"),
    "ocr-vqa": Raw("vqa/ocr-vqa", "train_new|train validation", "img_str", Texts("{input}", "{output}"), INF,
                   "df4c8f3; fields as in text-vqa; train or train_new not sure", "instruction.json"),
    "st-vqa": Raw("vqa/st-vqa", "train test", "img_str", Texts("{input}", "The answer is {output}."), VER,
                  "528f30c; table line and answers of test not seen", "instruction.json"),
    "text-vqa": Raw("vqa/text-vqa", "train validation_new|validation test", "img_str", Texts("{input}", "{output}"),
                    VER, "0059fa4; what 6630812 changed not seen", "instruction.json"),
    "gqa": Raw("vqa/gqa", "train validation", "img_str", gqa, VER, "6630812, by its line numbers", "instruction.json"),
    "okvqa": Raw("vqa/okvqa", "train_v2|train val_v2|val", "image_str",
                 Texts("{question}", "{paraphrased_answer}", "", "The answer is {answer}.", "(?i)sorry"), VER,
                 "3155a25, 839be68"),
    "a-okvqa": Raw("vqa/a-okvqa", "train_v2|train val_v2|val", "image_str",
                   Texts("{question}", "{paraphrased_answer}", "{rationale} So the answer is {answer}."), INF,
                   "3203fa1: the files before v2; field of the new answers not seen"),
    "viquae": Raw("vqa/viquae", "train_v2|train validation_v2|validation test_v2|test", "img_str",
                  Texts("{question}", "{paraphrased_answer}", "The answer is {answer}.\n"), VER, "1499181"),
    "fm-iqa": Raw("vqa/fm-iqa", "para_train|train para_val|val", "base64", ANSWER, INF,
                  "f4a0e31: train and val; names and answers of para_* not seen"),
    "activitynet-qa": Raw("vqa/activitynet-qa", ALL, "video_str", Texts("{question}", "{answer}"), VER, "ba1e8cf"),
    "ivqa": Raw("vqa/ivqa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa"),
    "msrvtt-qa": Raw("vqa/msrvtt-qa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa"),
    "msvd-qa": Raw("vqa/msvd-qa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa"),
    "clevr": Raw("reasoning/clevr", "train val", "", None, INF, "40fd0dc; fields not seen"),
    "nlvr": Raw("reasoning/nlvr", ALL, "", None, INF, "5d0fcb4; fields not seen; whether test was served not sure"),
    "science-qa": Raw("reasoning/science_qa", "science_qa_train science_qa_validation science_qa_test", "", None, INF,
                      "c63af3d; fields not seen"),
    "vcr": Raw("reasoning/vcr", ALL, "", None, INF, f"f172a75; {AUTHOR}"),
    "visual-mrc": Raw("reasoning/visual_mrc", ALL, "", None, INF, f"f172a75; {AUTHOR}"),
    "vist": Raw("generation/vist", ALL, "images", vist, VER, "9c2a9b2"),
    "visual-dialog": Raw("generation/visual_dialog", ALL, "", None, INF, AUTHOR),
    "multi30k": Raw("generation/multi30k", ALL, "", None, INF, f"6df7e4a; {AUTHOR}"),
    "mmchat": Raw("generation/mmchat", "train_new|train validation test", "image_base64", mmchat, VER,
                  "1db879f, bc5ebe5; two later commits not seen"),
    "shapes-rephrased": rephrased("vqa/shapes", "train test"),
    "coco-goi-rephrased": rephrased("classification/coco-goi", "train test", "; test may hold validation rows"),
    "snli-ve-rephrased": rephrased("classification/snli-ve", "train test"),
    "imagenet-rephrased": rephrased("classification/imagenet", "train test", "; test may hold validation rows"),
    "clevr-rephrased": rephrased("reasoning/clevr", "train val"),
    "coco-itm-rephrased": rephrased("classification/itm", ALL, "; names of the files not seen"),
    "vsr-rephrased": rephrased("classification/vsr", "train test"),
    "mocheg-rephrased": rephrased("classification/mocheg", "train test"),
    "refcoco-rephrased": rephrased("classification/refcoco", "train test"),
    "visual-dialog-rephrased": rephrased("generation/visual_dialog", "train test"),
    "iqa-rephrased": rephrased("classification/iqa", "train test"),
}
# fmt: on
NO_PICTURE = ("science-qa",)  # about half of its rows have none
NUM_IMAGES = {"nlvr": 2}  # users call some of its rows broken: one that has lost a picture is refused


def tidy(name: str | None) -> str | None:
    """A config name as the last script had it: with hyphens, without a blank at its end."""
    hyphened = (name or "").strip().replace("_", "-")
    return hyphened if hyphened in TABLE else name
