"""m3it/catalogue.py: what the tables say of a config, and the instructions of the datasets."""

import json
from difflib import SequenceMatcher
from itertools import combinations

import pytest
from conftest import FIXTURES

from M3IT import CATALOGUE, LANGUAGES, config_names
from m3it.catalogue import (
    ENGLISH,
    OWN_IMAGE_LICENSES,
    catalogue_order,
    catalogue_row,
    group_of,
    instructions,
    known_instructions,
    lookup,
    source_language,
    why_not_commercial,
)  # fmt: skip
from m3it.rows.instance import M3ITError


def test_a_config_is_looked_up_and_never_split():
    assert lookup("okvqa") == (CATALOGUE["okvqa"], "en") and not lookup("okvqa").is_translation
    assert lookup("okvqa-zh") == (CATALOGUE["okvqa"], "zh") and lookup("okvqa-zh").is_translation
    assert lookup("coco-cn") == (CATALOGUE["coco-cn"], "zh") and not lookup("coco-cn").is_translation
    assert lookup("nothing") == lookup("coco-zh") == (None, "en")  # coco is not translated
    assert all(lookup(name).dataset for name in config_names())


def test_an_unknown_dataset_is_answered_with_the_nearest():
    assert catalogue_row("okvqa").task == "kvqa"
    with pytest.raises(M3ITError, match="Unknown dataset 'ok-vqa'. Did you mean 'okvqa'\\?"):
        catalogue_row("ok-vqa")
    with pytest.raises(M3ITError, match="Unknown dataset 'xyzzy'. .m3it list. shows all 40; for one of your own"):
        catalogue_row("xyzzy")


def test_configs_are_sorted_as_the_catalogue_a_users_own_last():
    names = ["my-set", "viquae", "okvqa-zh", "a-set", "okvqa", "viquae-images", "coco", "okvqa-af"]
    assert sorted(names, key=catalogue_order) == [
        "coco", "okvqa", "okvqa-af", "okvqa-zh", "viquae", "viquae-images", "a-set", "my-set",
    ]  # fmt: skip


def test_the_language_of_rows_is_the_datasets_and_a_translation_has_no_translation():
    assert source_language("okvqa") is source_language("my-set") is ENGLISH
    assert source_language("coco-cn") is LANGUAGES["zh"]
    with pytest.raises(M3ITError, match="okvqa-de: is a translation itself. Translate the config that it was made of"):
        source_language("okvqa-de")


def test_unknown_terms_do_not_allow_commercial_use():
    allowed = {name for name in CATALOGUE if not why_not_commercial(name)}
    assert allowed == {"shapes", "clevr", *(OWN_IMAGE_LICENSES - {"vist", "fm-iqa"})}  # whose annotations have none
    assert why_not_commercial("docvqa") == "license: unknown"
    assert why_not_commercial("mine") == "" and why_not_commercial("mine", {}) == "license: unknown"  # row by row


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({}, "image_license: Flickr terms per image"),
        ({"image_license": "CC-BY-SA-2.0"}, ""),
        ({"image_license": "US government work"}, ""),
        ({"image_license": "CC0-1.0 AND CC-BY-2.0"}, ""),
        ({"image_license": "CC-BY-2.0 AND CC-BY-NC-2.0"}, "image_license: CC-BY-2.0 AND CC-BY-NC-2.0"),
        ({"image_license": "CC-BY-ND-2.0"}, "image_license: CC-BY-ND-2.0"),  # no resized copy may be passed on
        ({"image_license": "no known copyright restrictions"}, "image_license: no known copyright restrictions"),
        ({"image_license": "CC-BY-2.0", "license": "research only"}, "license: research only"),
    ],
)
def test_a_row_is_decided_by_the_licenses_of_its_own(meta, reason):
    assert why_not_commercial("coco", meta) == reason


def test_the_rows_of_the_sample_have_licenses_of_their_own_where_the_catalogue_says_so():
    found = set()
    for path in FIXTURES.glob("*/expected.jsonl"):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if any("image_license" in row.get("meta", {}) for row in rows):
            found.add(path.parent.name)
    assert found == OWN_IMAGE_LICENSES


def test_reporting_groups_sum_as_published():
    sums: dict[str, int] = {}
    for d in CATALOGUE.values():
        sums[group_of(d)] = sums.get(group_of(d), 0) + d.train
    published = {"captioning": 679_087, "classification": 238_303, "vqa": 177_633, "kvqa": 39_981}
    assert {name: sums[name] for name in published} == published  # mission/facts.md; below: the other four
    assert [sums[name] for name in ("reasoning", "generation", "Chinese", "video")] == [
        99_372,
        145_000,
        192_076,
        20_868,
    ]


# ---- instructions

NUM_INSTRUCTIONS = {
    "captioning": 52,
    "classification": 113,
    "vqa": 95,
    "kvqa": 40,
    "reasoning": 60,
    "generation": 40,
}  # mission/facts.md


def test_there_are_400_instructions_as_many_per_task_as_published():
    counts = dict.fromkeys(NUM_INSTRUCTIONS, 0)
    for dataset in CATALOGUE.values():
        counts[dataset.task] += len(instructions(dataset.name))
    assert counts == NUM_INSTRUCTIONS
    texts = [text for name in CATALOGUE for text in instructions(name)]
    assert len(set(texts)) == len(texts) == 400


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_instructions_of_a_dataset_differ(dataset):
    texts = instructions(dataset)
    assert max(SequenceMatcher(None, a, b).ratio() for a, b in combinations(texts, 2)) <= 0.7
    chinese = CATALOGUE[dataset].language == "zh"
    assert len({text[:2] if chinese else text.split()[0].lower() for text in texts}) >= 5
    assert all(text == text.strip() for text in texts)
    assert chinese == all(any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts)


def test_hand_made_instructions_are_those_of_the_dataset_in_order():
    assert list(known_instructions("okvqa", "zh")) == list(instructions("okvqa"))
    assert known_instructions("okvqa", "wo") == {}


def test_a_line_of_instructions_ends_with_a_line_break_alone(tmp_path, monkeypatch):
    """Other languages have further marks that str.splitlines() takes for line breaks."""
    monkeypatch.setattr("m3it.catalogue.resources.files", lambda package: tmp_path)
    (tmp_path / "instructions").mkdir()
    for name, end in (("okvqa", "answer"), ("okvqa.my", "\u1021\u1016\u103c\u1031")):
        (tmp_path / f"instructions/{name}.txt").write_text(f"Look\u2028and\x85{end}\nSay\n", "utf-8")
    # Without what is kept from call to call, which is of the files of the package.
    monkeypatch.setattr("m3it.catalogue.instructions", instructions.__wrapped__)
    found = known_instructions.__wrapped__("okvqa", "my")
    assert found == {"Look\u2028and\x85answer": "Look\u2028and\x85\u1021\u1016\u103c\u1031", "Say": "Say"}


def test_there_are_no_instructions_of_a_users_own_dataset():
    with pytest.raises(M3ITError, match="my-set: there are no instructions to draw from"):
        instructions("my-set")
    assert known_instructions("my-set", "zh") == {}
