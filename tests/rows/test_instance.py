"""m3it/rows/instance.py: its text, and the choices that a hash makes."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3it.rows.instance import choose, hash_of, shuffled, text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_text_is_nfc_without_blanks_around_it(value):
    assert text(value) == unicodedata.normalize("NFC", text(value)) == text(value).strip()
    assert text(text(value)) == text(value)


def test_inner_line_breaks_of_a_text_stay():
    assert text("  cafe\u0301\n two \n") == "caf\u00e9\n two"


def test_a_choice_is_the_same_on_every_machine_and_run():
    # blake2b of '["okvqa", "815", 0, ""]', 8 bytes; another value would give every row another instruction
    assert hash_of("okvqa", "815") == 8131550514771130601
    assert hash_of("okvqa", "815", seed=1) == 65323445431118449
    assert [choose("abcdefghij", "okvqa", str(i)) for i in range(8)] == list("gdajajjj")


def test_rows_and_datasets_and_seeds_choose_apart_from_each_other():
    by_row = [choose(range(10), "okvqa", str(i)) for i in range(2000)]
    assert all(140 < number < 260 for number in Counter(by_row).values())  # 200 expected, 13 the standard deviation
    for other in (
        [choose(range(10), "vqa-v2", str(i)) for i in range(2000)],
        [choose(range(10), "okvqa", str(i), 1) for i in range(2000)],
    ):
        assert 140 < sum(a == b for a, b in zip(by_row, other, strict=True)) < 260


def test_parts_of_a_key_do_not_run_into_each_other():
    assert (
        len({hash_of("a", "b c"), hash_of("a b", "c"), hash_of("a", "b", 1), hash_of("a", "b1"), hash_of("a", "b")})
        == 5
    )


@given(st.lists(st.integers(), max_size=8), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
def test_shuffled_keeps_every_option_and_repeats(options, row_id):
    assert sorted(shuffled(options, "vcr", row_id)) == sorted(options)
    assert shuffled(options, "vcr", row_id) == shuffled(options, "vcr", row_id)


def test_shuffled_brings_every_option_to_the_front_alike():
    first = Counter(shuffled("abcd", "imagenet", str(i))[0] for i in range(2000))
    assert all(420 < first[option] < 580 for option in "abcd")


def test_a_choice_among_nothing_is_an_error():
    with pytest.raises((ValueError, ZeroDivisionError)):
        choose([], "okvqa", "1")
