"""m3it/reading/published/mappings.py: answers, options and classes, as the script made them of raw rows."""

import json

import legacy_maker
import pytest
from legacy_maker import ROWS, p, write_lines
from published_rows import EXPECTED, flat, rows_of, said

from M3IT import ShardError
from m3it.reading.load import load_builder
from m3it.reading.published.mappings import draw, lettered


def test_choices_are_drawn_by_hash_and_stay(published):
    once, again = rows_of(published, "imagenet"), rows_of(published, "imagenet")
    assert once == again
    names = [f"class {number}" for number in range(1000)]
    drawn = [draw("class 7", names, 10, "imagenet", f"row {number}") for number in range(400)]
    assert all(len(set(options)) == 10 and "class 7" in options for options in drawn)
    assert len({options.index("class 7") for options in drawn}) == 10  # no place gives the answer away
    counts = [sum(options.index("class 7") == place for options in drawn) for place in range(10)]
    assert min(counts) > 15 and max(counts) < 70  # 40 each, four standard deviations of 6 to either side
    assert len({name for options in drawn for name in options}) > 900
    instructions = {row["instruction"] for row in rows_of(published, "coco")}
    assert len(instructions) > 4  # 15 captions of 10 instructions


@pytest.mark.parametrize(
    "config, said_by_model, served",
    [
        ("vqa-v2", "The question is NOT ANSWERABLE.", "The answer is 2"),  # aa84269 looks at lower-cased text
        ("vqa-v2", "From the image descriptions, two.", "The answer is 2"),
        ("vqa-v2", "I'm Sorry.", "The answer is 2"),
        ("vqa-v2", "There are two.", "There are two."),
        ("okvqa", "I am sorry.", "The answer is pug."),  # 3155a25 does not
        ("okvqa", "Sorry, I cannot see a dog.", "The answer is pug."),
        ("okvqa", "SORRY", "The answer is pug."),
        ("okvqa", "Sorrel is shown.", "Sorrel is shown."),
        ("okvqa", "It is not answerable.", "It is not answerable."),
    ],
)
def test_a_refused_paraphrase_gives_way_to_the_short_answer(tmp_path, config, said_by_model, served):
    legacy_maker.m3it(tmp_path, (config,))
    (path,) = load_builder(tmp_path, config).shards(config)["validation"]
    write_lines(tmp_path / path, [{**ROWS[config][1], "paraphrased_answer": said_by_model}])
    assert [row["outputs"] for row in rows_of(tmp_path, config, "validation")] == [served]


def test_options_beyond_24_are_left_out_and_the_answer_never_is(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("coco-goi",))
    listed = "\n".join(["Which?", *(f"thing {number}" for number in range(40))])
    write_lines(
        tmp_path / "data/classification/coco-goi/val.jsonl",
        [{"image_str": p(0), "input": listed, "outputs": "thing 33"}],
    )
    ((inputs, _, outputs),) = said(rows_of(tmp_path, "coco-goi", "validation"))
    assert inputs.count("\n") == 25 and inputs.endswith("(X) thing 23\n(Y) thing 33") and outputs == "(Y) thing 33."
    with pytest.raises(ShardError, match="expected at most 26 options, found 27"):
        lettered([str(number) for number in range(27)], "3")


@pytest.mark.parametrize(
    "row, words",
    [
        ({"img_str": p(0), "label": 11}, "expected the number of a line in mapping.txt that names a class, found 11"),
        ({"img_str": p(0), "label": "3"}, 'the number of a line in mapping.txt that names a class, found "3"'),
        ({"img_str": "", "label": 3}, "expected a picture, found nothing"),
        ({"label": 3}, "expected a field 'img_str', as the table says; nor by the usual names, expected an answer"),
    ],
)
def test_a_row_of_imagenet_needs_a_class_and_a_picture(tmp_path, row, words):
    legacy_maker.m3it(tmp_path, ("imagenet",))
    write_lines(tmp_path / "data/classification/imagenet/val.jsonl", [row])
    with pytest.raises(ShardError, match=words):
        rows_of(tmp_path, "imagenet", "validation")


def test_classes_are_told_by_the_number_of_their_line(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("imagenet-open-ended",))
    path = tmp_path / "data/classification/imagenet/mapping.txt"
    path.write_text("n1 tench, Tinca\n\nn2\tnext line: \x85 goldfish\r\nn3  hammerhead\n", newline="")
    found = [text for _, _, text in said(rows_of(tmp_path, "imagenet-open-ended"))]
    assert found == ["hammerhead", "tench, Tinca", "hammerhead"]  # labels 3, 0, 3
    write_lines(path.with_name("val.jsonl"), [{"img_str": p(0), "label": 1}])
    with pytest.raises(ShardError, match="a line in mapping.txt that names a class, found 1"):
        rows_of(tmp_path, "imagenet-open-ended", "validation")


def test_labels_may_be_a_list(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("ss",))
    path = tmp_path / "data/classification/ss/labels.json"
    path.write_text(json.dumps(list(json.loads(path.read_text()))))
    assert said(rows_of(tmp_path, "ss", "test")) == flat(EXPECTED["ss"][:1])
