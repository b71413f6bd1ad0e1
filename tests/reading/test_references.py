"""m3it/reading/references.py: what a row is compared with."""

import json

import pytest
from metric_cases import fixture

from M3IT import CATALOGUE
from m3it.catalogue import lookup
from m3it.reading.references import choices, reference_fields, short_answer
from m3it.rows.instance import ShardError


def test_options_are_read_from_lines_and_from_one_line():
    assert choices("What?\nOptions:\n(A) red car\n(B) blue (dark) boat") == ["red car", "blue (dark) boat"]
    assert choices("Options: (A) True (B) False") == ["True", "False"]
    assert choices("As in figure (A).\nOptions:\n(A) x\n(B) y\n(C) z") == ["x", "y", "z"]
    assert choices("选项：\n(A) 炒饭\n(B) 饺子") == ["炒饭", "饺子"]
    assert choices("What is (A) here?") == choices("no options") == choices("(A) one (C) three") == []


def test_short_answers_are_what_follows_the_last_the_answer_is():
    assert short_answer("The flag is blue. The answer is Paris.") == "Paris"
    assert short_answer("Answer: 14 March 1986") == "14 March 1986"
    assert short_answer("The answer is no. The answer is yes.") == "yes"
    assert short_answer("答案是宫保鸡丁。") == "宫保鸡丁"
    assert short_answer("Paris.") == "Paris."


def test_references_are_the_outputs_first_then_what_annotators_gave():
    okvqa = fixture("okvqa")[1]
    assert reference_fields("okvqa", okvqa)["references"] == [okvqa["outputs"], *okvqa["meta"]["answers"]]
    assert len(okvqa["meta"]["answers"]) == 10
    as_text = {**okvqa, "meta": json.dumps(okvqa["meta"])}
    assert reference_fields("okvqa", as_text) == reference_fields("okvqa", okvqa)
    assert reference_fields("okvqa-zh", {**okvqa, "outputs": "欧洲"}) == {"references": ["欧洲"]}  # answers are English
    captions = fixture("flickr8k-cn")[0]
    assert reference_fields("flickr8k-cn", captions)["references"][1:] == captions["meta"]["captions"]
    # the captions of an option's image are no references for its letter
    assert reference_fields("coco-itm", fixture("coco-itm")[0])["references"] == ["(B)"]
    assert reference_fields("my-own", {"inputs": "x", "outputs": "y"}) == {"references": ["y"]}
    short = {"inputs": "q", "outputs": "It is Paris.", "meta": {"short_answer": "Paris"}}
    assert reference_fields("viquae", short)["references"] == ["It is Paris.", "Paris"]


def test_a_translation_is_not_compared_with_the_english_answers():
    row = {"inputs": "q", "outputs": "巴黎", "meta": {"short_answer": "Paris", "answers": ["Paris", "Lutetia"]}}
    assert reference_fields("okvqa-zh", row) == {"references": ["巴黎"]}
    own = {**row, "meta": {**row["meta"], "translated": "nllb", "translated_from": "en"}}
    assert reference_fields("my-set-zh", own) == {"references": ["巴黎"], "language": "zh"}  # no word in English
    assert reference_fields("my-set-zh", row)["references"] == ["巴黎", "Paris", "Lutetia"]  # not said to be one


def meta_of(**meta) -> dict:
    return {"inputs": "q", "outputs": "a", "meta": {"id": "r-7", **meta}}


def test_answers_are_taken_in_their_known_forms_and_never_letter_by_letter():
    for answers, expected in [
        ("cat", ["cat"]),
        (["cat", "dog"], ["cat", "dog"]),
        ({"text": ["cat"], "answer_start": [1]}, ["cat"]),
        ([{"answer": "cat", "answer_id": 1}], ["cat"]),
        ({"text": []}, []),
        (None, []),
    ]:
        assert reference_fields("mine", meta_of(answers=answers))["references"] == ["a", *expected]
    assert reference_fields("coco", meta_of(captions="a cat"))["references"] == ["a", "a cat"]


@pytest.mark.parametrize(
    ("config", "meta"),
    [("mine", {"answers": 5}), ("mine", {"answers": [1, 2]}), ("mine", {"answers": ["cat", None]}),
     ("mine", {"answers": {"n": 1}}), ("mine", {"answers": [["cat"]]}), ("mine", {"short_answer": 5}),
     ("mine", {"short_answer": ["x"]}), ("mine", {"target": ["de"]}), ("coco", {"captions": {"a": "b"}})],
)  # fmt: skip
def test_answers_of_another_shape_are_refused_with_the_row(config, meta):
    (name,) = meta
    with pytest.raises(ShardError, match=f"{config}: row 'r-7': expected {name} in meta to be a"):
        reference_fields(config, meta_of(**meta))


def test_captions_of_one_image_are_a_group_and_multi30k_rows_have_languages():
    groups = [reference_fields("coco", row)["group"] for row in fixture("coco")]
    assert len(set(groups)) < len(groups) and all(groups)
    spoken = {reference_fields("multi30k", row).get("language", "en") for row in fixture("multi30k")}
    assert spoken == {"en", "de", "fr", "cs"}
    assert lookup("okvqa-zh") == (CATALOGUE["okvqa"], "zh") and lookup("coco-cn")[1] == "zh"
    assert lookup("nothing") == (None, "en") and not lookup("coco-cn").is_translation
