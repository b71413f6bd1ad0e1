"""m3it/sources/kit/options.py: lettered options, majority answers, samples by hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3it.sources.kit.options import LETTERS, lettered, majority, option, sample, with_options


def test_options_are_lettered_lines():
    assert lettered(["cat", "dog"]) == "(A) cat\n(B) dog"
    assert with_options("What is it?", ["cat", "dog"]) == "What is it?\nOptions:\n(A) cat\n(B) dog"
    assert option(["cat", "dog"], "dog") == "(B) dog"
    assert lettered(LETTERS).endswith("(Z) Z")


def test_more_options_than_letters_and_an_answer_that_is_none_are_errors():
    with pytest.raises(ValueError, match="27 options: expected at most 26"):
        lettered("x" * 27)
    with pytest.raises(ValueError, match="bird"):
        option(["cat", "dog"], "bird")


def test_of_equally_frequent_answers_the_first_given_wins():
    assert majority(["no", "yes", "yes", "no", "maybe"]) == "no"
    assert majority(["maybe", "yes", "no", "yes"]) == "yes"
    assert majority(iter(["one"])) == "one"


ITEMS = st.lists(st.integers(0, 10_000), unique=True, max_size=40).map(lambda ids: [{"id": i} for i in ids])


@given(ITEMS, st.integers(0, 30), st.randoms())
def test_a_sample_does_not_depend_on_the_order(items, num_items, random):
    chosen = sample(items, num_items, "gqa", "id")
    assert len(chosen) == min(num_items, len(items))
    assert chosen == [item for item in items if item in chosen]  # in their own order
    mixed = random.sample(items, len(items))
    assert sorted(item["id"] for item in sample(iter(mixed), num_items, "gqa", "id")) == sorted(
        item["id"] for item in chosen
    )


@given(ITEMS, ITEMS, st.integers(0, 30))
def test_further_items_only_push_out_as_many_as_they_bring_in(items, further, num_items):
    further = [item for item in further if item not in items]
    before, after = sample(items, num_items, "gqa", "id"), sample(items + further, num_items, "gqa", "id")
    assert [item for item in after if item in items and item not in before] == []
    came_in = [item for item in after if item in further]
    assert len([item for item in before if item not in after]) <= len(came_in)


def test_samples_of_two_datasets_and_keys_differ():
    items = [{"id": i, "other": -i} for i in range(200)]
    first = sample(items, 50, "gqa", "id")
    assert first != sample(items, 50, "clevr", "id") and first != sample(items, 50, "gqa", "other")


def test_items_with_one_key_are_told_apart_by_their_place():
    items = [{"id": 1, "text": str(i)} for i in range(5)]
    assert sample(items, 2, "gqa", "id") == items[:2]
