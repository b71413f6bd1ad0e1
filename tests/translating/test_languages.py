"""Languages by code, name or NLLB code."""

import pytest
from chat_server import ChatServer
from scripted_translations import ENGLISH_TEXT, repository_of, server_settings

from M3IT import Language
from m3it import LANGUAGES, load_dataset
from m3it.catalogue import ENGLISH
from m3it.rows.instance import M3ITError
from m3it.translating.languages import find_language
from m3it.translating.translate import translate


def test_every_language_is_found_by_its_code_and_no_two_share_anything():
    assert len(LANGUAGES) == 80 and [find_language(code) for code in LANGUAGES] == list(LANGUAGES.values())
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert {language.nllb for language in LANGUAGES.values()} <= set(FAIRSEQ_LANGUAGE_CODES)
    assert {code for code, language in LANGUAGES.items() if language.rtl} == {"ar", "he", "sd", "ur"}
    assert {code for code, x in LANGUAGES.items() if not x.spaces} == {"ja", "km", "lo", "my", "th", "zh"}
    for column in ("code", "name", "own_name", "nllb"):
        assert len({getattr(language, column) for language in LANGUAGES.values()}) == 80


@pytest.mark.parametrize(
    ("given", "near"),
    [("zh-CN", "zh"), ("Chinese", "zh"), ("german", "de"), ("fra_Latn", "fr"), ("日本語", "ja"), ("deu", "de")],
)
def test_an_unknown_code_is_answered_with_the_nearest(given, near):
    with pytest.raises(M3ITError, match=f"Unknown language '{given}'. Did you mean '{near}'"):
        find_language(given)


@pytest.mark.parametrize("given", ["xq", "sw=swh", "SW=swh_Latn", ""])
def test_a_code_with_no_near_one_is_told_what_is_expected(given):
    with pytest.raises(M3ITError, match="One of the 80 codes is expected, .* or CODE=NLLB_CODE"):
        find_language(given)


def test_english_and_another_language_by_its_nllb_code_are_found_too():
    assert find_language("en") == ENGLISH
    assert find_language("sw=swh_Latn") == Language("sw", "swh_Latn", "swh_Latn", "swh_Latn")


def test_an_81st_language_is_named_by_its_nllb_code(tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(lambda request: "Ni watu wangapi wameketi kwenye meza ya mbao?") as server:
        translate("own", ["sw=swh_Latn"], server_settings(server, tmp_path), repo, tmp_path / "out")
    (row,) = load_dataset(str(tmp_path / "out"), "own-sw", split="validation")
    assert row["inputs"].startswith("Ni watu")
