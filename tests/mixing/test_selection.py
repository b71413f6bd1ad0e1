"""Which datasets are mixed, and what share of an epoch each of them gets."""

import pytest
from conftest import make_row, write_rows
from mixtures import mix_of

from M3IT import Repository
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.mixing.selection import as_names, check_weights, find_weights, held, read_weights


def test_weights():
    sizes = {"a": 100, "b": 400}
    assert find_weights(sizes, "size") == {"a": 0.2, "b": 0.8}
    assert find_weights(sizes, "sqrt") == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert find_weights(sizes, 2) == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert find_weights(sizes, 1e9) == pytest.approx({"a": 0.5, "b": 0.5})
    assert find_weights(sizes, 1e-9) == {"a": 0, "b": 1}
    assert find_weights(sizes, {"a": 3, "b": 0}) == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": 0, "b": 0}, "not all of them 0"),
        ({"a": -1, "b": 2}, "0 or more"),
        ({"a": 1}, "weights: none given for b"),
        ({"a": "much", "b": 1}, "weights: a has 'much', expected a number"),
        ({"a": float("nan"), "b": 1}, "0 or more"),
        ({"a": 1, "bb": 1}, "'bb', which is not in the mixture. Did you mean 'b'"),
        ("siz", "expected 'size', 'sqrt'"),
        (0, "temperature above 0"),
    ],
)
def test_wrong_weights_are_refused_in_words(weights, words):
    with pytest.raises(ValueError, match=words):
        find_weights({"a": 1, "b": 2}, weights)


LANGUAGES = {"vqa": "en", "coco": "en", "okvqa-zh": "zh", "okvqa-de": "de", "mine": ""}
SIZES = {"vqa": 300, "coco": 100, "okvqa-zh": 50, "okvqa-de": 30, "mine": 20}


def test_a_language_gets_its_share_by_size_and_the_others_share_what_is_left():
    expected = {"vqa": 0.45, "coco": 0.15, "okvqa-zh": 0.2, "okvqa-de": 0.12, "mine": 0.08}  # 0.4 of 100 rows each
    for weights in ("english=0.6", "en=0.6", " English = 0.6", {"english": 0.6}, {"en": 0.6}):
        assert find_weights(SIZES, weights, LANGUAGES) == pytest.approx(expected)
    two = {"vqa": 0.375, "coco": 0.125, "okvqa-zh": 0.3, "okvqa-de": 0.12, "mine": 0.08}
    assert find_weights(SIZES, "english=0.5,chinese=0.3", LANGUAGES) == pytest.approx(two)
    only = {"vqa": 0.75, "coco": 0.25, "okvqa-zh": 0, "okvqa-de": 0, "mine": 0}
    assert find_weights(SIZES, {"english": 1}, LANGUAGES) == only
    none = {"vqa": 0, "coco": 0, "okvqa-zh": 0.5, "okvqa-de": 0.3, "mine": 0.2}
    assert find_weights(SIZES, {"english": 0}, LANGUAGES) == none
    assert find_weights({"en": 10, "zh": 10}, {"en": 3, "zh": 1}, {"en": "", "zh": ""}) == {"en": 0.75, "zh": 0.25}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("englisch=0.6", "there is no language 'englisch'. Did you mean 'english'"),
        ("english=much", "expected a share after each =, as in english=0.6"),
        ("english=0.6,english=0.2", "a language twice"),
        ({"english": 0.6, "en": 0.2}, "a language twice"),
        ({"english": 0.6, "vqa": 0.2}, "weights name languages, and 'vqa', which is none. Name languages"),
        ("english=0.6,chinese=0.6", "expected shares from 0 on that add up to 1 at most"),
        ("english=-0.6", "expected shares from 0 on"),
        ("japanese=0.6", "no dataset of the mixture is in japanese; their languages: de, en, unknown, zh"),
    ],
)
def test_wrong_shares_of_languages_are_refused_in_words(weights, words):
    with pytest.raises(ValueError, match=words):
        find_weights(SIZES, weights, LANGUAGES)


def test_shares_that_leave_something_to_nobody_are_refused():
    with pytest.raises(ValueError, match="leaves 0.4 to other languages, and the mixture has none. Let the shares add"):
        find_weights({"vqa": 1}, "english=0.6", {"vqa": "en"})


def test_a_mixture_is_weighted_by_language(tmp_path):
    for place, size in (("vqa/gqa", 30), ("kvqa/okvqa/zh", 20), ("kvqa/okvqa/de", 20), ("kvqa/okvqa", 10)):
        write_rows(tmp_path / f"data/{place}/train.jsonl", [make_row(i) for i in range(size)])
    names = ["gqa", "okvqa", "okvqa-zh", "okvqa-de"]
    mixture = Mixture(tmp_path, names, weights="english=0.7")
    assert mixture.weights == pytest.approx({"gqa": 0.525, "okvqa": 0.175, "okvqa-de": 0.15, "okvqa-zh": 0.15})
    assert mixture.order.quotas.tolist() == [42, 14, 12, 12] and mixture.num_rows == 80


@pytest.mark.parametrize(("text", "words"), [("[1, 2", "cannot be read as JSON"), ("[1, 2]", "holds a list, expected")])
def test_a_table_of_weights_that_is_none_is_refused_with_its_name(tmp_path, text, words):
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(ValueError, match=f"weights.json {words}"):
        read_weights(tmp_path / "weights.json")


def test_filters(mixed, tmp_path):
    def names(**options):
        return [part.name for part in Mixture(mixed / "ours", **options).mixed_parts]

    write_rows(mixed / "ours/data/kvqa/okvqa/zh/train.jsonl", [make_row(0)])
    write_rows(mixed / "ours/data/vqa/shapes/train.jsonl", [make_row(0)])
    assert names() == ["coco", "gqa", "iqa", "shapes", "viquae"]
    assert names(tasks=["vqa"]) == names(tasks="vqa") == ["gqa", "shapes"]
    assert names(exclude_held_out=True) == ["coco", "gqa", "iqa", "shapes"]
    assert names(languages=["zh"]) == ["okvqa-zh"]
    assert names(license="commercial") == ["coco", "shapes"]  # of coco by the licenses of its pictures, row by row
    assert names(configs="gqa") == ["gqa"]
    with pytest.raises(ValueError, match="expected None or 'commercial'"):
        names(license="mit")
    with pytest.raises(ValueError, match="The mixture is empty: no config has the split 'train'"):
        names(tasks=["generation"])
    with pytest.raises(ValueError, match="The mixture is empty"):
        names(configs=[])
    with pytest.raises(ValueError, match="Unknown task 'vqq'. Did you mean 'vqa'"):
        names(tasks="vqq")
    with pytest.raises(ValueError, match="Unknown language"):
        names(languages=["xx"])
    free = ["coco", "shapes"]
    assert [p.name for p in mix_of(mixed, license="commercial").mixed_parts] == free  # the part states no license
    stated = Part(str(mixed / "fine"), "ai2d", license="CC-BY-4.0")
    assert [p.name for p in mix_of(mixed, license="commercial", parts=[stated]).mixed_parts] == ["ai2d", *free]


def test_a_table_that_no_mixture_can_have_is_refused_before_the_datasets_are_known():
    check_weights({"any name": 1, "another": 0})
    check_weights(2.0)
    for wrong in ({}, {"a": 0}, {"a": "much"}, "siz", -1):
        with pytest.raises(ValueError, match="weights"):
            check_weights(wrong)


def test_one_name_is_as_good_as_a_list_of_one():
    assert as_names("gqa") == as_names(["gqa"]) == as_names(iter(["gqa"])) == ("gqa",)
    assert as_names(None) is None and as_names([]) == ()


def test_the_configs_that_a_repository_holds_come_in_the_order_of_the_catalogue(repository):
    write_rows(repository / "data/captioning/coco/train.jsonl", [make_row(0)])
    write_rows(repository / "data/mine/own/train.jsonl", [make_row(0)])
    assert held(Repository(repository), "train") == ["coco", "viquae"]
    assert held(Repository(repository), "validation") == ["okvqa-zh"]
