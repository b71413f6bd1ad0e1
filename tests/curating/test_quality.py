"""m3it/curating/quality.py: each rule on a row that it is for, and on rows that only look so."""

import base64
import io

import pytest
from conftest import ROOT, make_row
from PIL import Image, ImageFilter

from m3it.curating.quality import RULES, flags_of


def file_of(image: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def drawn(width: int = 200, height: int = 150) -> Image.Image:
    """A picture with steep edges."""
    image = Image.new("RGB", (width, height), "white")
    for place in range(5, width, 20):
        image.paste((place % 255, 40, 90), (place, 5, place + 9, height - 4))
    return image


def yellow_on_white() -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    image.paste((255, 255, 0), (20, 20, 44, 44))
    return image


def rules_of(language: str = "en", is_video: bool = False, **changes) -> list[str]:
    row = {**make_row(0), "image_base64_str": [file_of(drawn())], **changes}
    return [flag.rule for flag in flags_of(row, language, is_video)]


def pictured(*images: Image.Image, **options) -> list[str]:
    return rules_of(image_base64_str=[file_of(image) for image in images], **options)


def test_a_plain_row_has_no_flag():
    assert rules_of() == []
    assert rules_of(image_base64_str=[]) == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (drawn(31, 200), ["small_picture", "odd_ratio"]),
        (drawn(32, 160), []),
        (drawn(800, 150), ["odd_ratio"]),
        (Image.new("RGB", (80, 80), (20, 30, 40)), ["one_colour"]),
        (drawn().point(lambda value: value // 6), ["dark"]),
        (drawn().point(lambda value: value // 3), []),
        (yellow_on_white(), []),  # in gray, there would be no edge
        (drawn().filter(ImageFilter.GaussianBlur(12)), ["blurred"]),
        (drawn().filter(ImageFilter.GaussianBlur(1)), []),
    ],
)
def test_pictures(image, expected):
    assert pictured(image) == expected


def test_one_colour_is_found_through_what_jpeg_makes_of_it():
    assert rules_of(image_base64_str=[file_of(Image.new("RGB", (90, 70), "teal"), "JPEG")]) == ["one_colour"]


def test_a_picture_that_cannot_be_read_is_a_flag_and_the_others_are_looked_at():
    broken = base64.b64encode(base64.b64decode(file_of(drawn()))[:60]).decode()
    row = {**make_row(0), "image_base64_str": [broken, file_of(Image.new("RGB", (80, 80)))]}
    flags = {flag.rule: flag.found for flag in flags_of(row, "en")}
    assert {*flags} == {"unreadable_picture", "one_colour"}
    assert flags["unreadable_picture"].startswith("picture 1: ") and flags["one_colour"].startswith("picture 2: ")


@pytest.mark.parametrize("text", ["", "no base64"])
def test_a_picture_that_is_no_base64_is_a_flag(text):
    assert rules_of(image_base64_str=[text, file_of(drawn())]) == ["unreadable_picture"]


def test_a_video_is_flagged_only_where_all_its_frames_are():
    empty = Image.new("RGB", (80, 80))
    assert pictured(empty, drawn(), is_video=True) == [] and pictured(empty, drawn()) == ["one_colour"]
    assert pictured(empty, empty, is_video=True) == ["one_colour"]


@pytest.mark.parametrize("answer", ["", "  ", "...", "!", "。"])
def test_an_answer_without_content(answer):
    assert rules_of(outputs=answer) == ["no_answer"]


@pytest.mark.parametrize("answer", ["a", "A", "the", "0", "-", "$", "巴"])
def test_a_short_answer_is_one(answer):
    assert rules_of(outputs=answer) == []


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("What color is the bus?", "What color is the bus? It is red.", ["repeats_question"]),
        ("what color is  the Bus", "The bus: What color is the bus?!", ["repeats_question"]),
        ("What color is the bus?", "The color of the bus is red.", []),
        ("Red or blue?", "red or blue", []),  # too short to say
        ("图片里的公共汽车是什么颜色？", "图片里的公共汽车是什么颜色？红色", ["repeats_question"]),
        ("", "a red bus", []),
    ],
)
def test_an_answer_that_repeats_its_question(question, answer, expected):
    assert rules_of(inputs=question, outputs=answer, language="zh" if "图" in question else "en") == expected


@pytest.mark.parametrize(
    ("language", "answer", "expected"),
    [
        ("zh", "a red bus on a street", ["other_language"]),
        ("zh", "一辆红色的公共汽车停在一条街道上", []),
        ("zh", "Q142", []),
        ("zh", "iPhone 和 一 辆 红 色 的 公 共 汽 车", []),
        ("en", "一辆红色的公共汽车停在一条街道上", ["other_language"]),
        ("ar", "a red bus on a street", ["other_language"]),
        ("fr", "a red bus on a street", []),  # the same script: not told apart
        ("ru", "красный автобус на улице", []),
    ],
)
def test_an_answer_in_the_script_of_another_language(language, answer, expected):
    assert rules_of(language=language, outputs=answer) == expected


OPTIONS = "Which is red?\n(A) the bus\n(B) the car\n(C) the tree"


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        (OPTIONS, "(D) the dog", ["absent_option"]),
        (OPTIONS, "E", ["absent_option"]),
        (OPTIONS, "(B) the car", []),
        (OPTIONS, "I think it is the bus", []),
        (OPTIONS, "Dogs are red", []),
        ("Which is red? A. the bus B. the car", "C.", ["absent_option"]),
        ("Which is red?", "(D) the dog", []),
    ],
)
def test_an_option_that_is_not_there(question, answer, expected):
    assert rules_of(inputs=question, outputs=answer) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What color is the", ["cut_off"]),
        ("What is shown, ", ["cut_off"]),
        ("Which of these (the red or the blue", ["cut_off"]),
        ("“What does he say", ["cut_off"]),
        ("What color is the bus", []),
        ("Which word is a noun?\n(A) run\n(B) and", []),
        ("What is it of?", []),
    ],
)
def test_a_question_that_ends_in_the_middle(question, expected):
    assert rules_of(inputs=question) == expected


def test_every_rule_is_on_the_page():
    page = (ROOT / "docs/curate.md").read_text("utf-8")
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []
