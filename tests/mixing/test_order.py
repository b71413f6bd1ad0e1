"""The order of rows: every row once an epoch, spread evenly, the same for ever."""

import itertools
from collections import Counter

import datasets
import numpy as np
import pytest
from conftest import make_row, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from m3it.mixing.mixture import Mixture
from m3it.mixing.order import WINDOW_BYTES, LaneEpoch, Order, Series, allot, mix, permuted, shuffle_quality


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 30)), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 2**64),
    st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_an_epoch_has_every_row_once(shapes, batch_size, seed, epoch):
    series = []
    for i, (size, units) in enumerate(shapes):
        sizes = np.array([len(part) for part in np.array_split(np.arange(size), min(units, size))]) if units else None
        series.append(Series(seed + i, size, sizes, 90_000 if units else 0))
    order = Order(series, [s.num_rows for s in series], batch_size, seed)
    places = [order.place(position) for position in range(epoch * order.num_rows, (epoch + 1) * order.num_rows)]
    assert all(place.number in place.chunk for place in places)
    for i, one in enumerate(series):
        numbers = sorted(place.number for place in places if place.series == i)
        assert numbers == list(range(epoch * one.num_rows, (epoch + 1) * one.num_rows))
        found = [one.find(number) for number in numbers]
        if one.sizes is None:
            assert sorted(row for row, _ in found) == list(range(one.num_rows))
        else:
            rows = {(unit, one.picks(unit, range(turn, turn + 1), int(one.sizes[unit]))[0]) for unit, turn in found}
            assert len(rows) == one.num_rows


@given(st.integers(1, 3000), st.integers(0, 2**64))
@settings(max_examples=50, deadline=None)
def test_permuted_is_a_permutation(count, key):
    assert sorted(permuted(i, count, key) for i in range(count)) == list(range(count))


def test_every_order_of_four_comes_up_about_as_often():
    seen = Counter(tuple(permuted(i, 4, mix(key)) for i in range(4)) for key in range(4800))
    assert len(seen) == 24 and min(seen.values()) > 140 and max(seen.values()) < 260  # 200 expected, deviation 14


def test_the_order_never_changes():
    """A checkpoint of today must go on with any later version: these numbers may not change."""
    series = [Series(1, 1000), Series(2, 300, np.array([100] * 3), 90_000)]
    order = Order(series, [1000, 300], 4, seed=7)
    found = [(p.series, *series[p.series].find(p.number)) for p in map(order.place, (0, 1, 5000, 123_456))]
    assert found == [(1, 0, 14), (1, 0, 5), (0, 89, 3), (1, 0, 9477)]
    series = [Series(3, 70_000), Series(4, 5), Series(5, 200_000)]  # rows alone: their windows are found one by one
    order = Order(series, [70_000, 5, 400_000], 4, seed=7)
    found = [(p.series, p.number, p.window) for p in map(order.place, (0, 1, 300_000, 387_393, 470_005, 999_999))]
    assert found == [
        (2, 139, (0, 0)),
        (2, 481, (0, 0)),
        (2, 354063, (0, 4)),
        (2, 104368, (0, 5)),
        (0, 136775, (1, 0)),
        (2, 894197, (2, 0)),
    ]
    assert [permuted(i, 10, 3) for i in range(10)] == [4, 9, 2, 5, 7, 3, 1, 6, 8, 0]


def test_rows_are_allotted_in_proportion_to_the_last_one():
    assert allot(10, np.array([1, 1, 1])).tolist() == [4, 3, 3]
    assert allot(7, np.array([0, 5, 5])).tolist() == [0, 4, 3]


def test_a_dataset_of_few_units_goes_to_as_few_lanes():
    order = Order([Series(1, 300, np.array([100] * 3), 9), Series(2, 100_000)], [300, 100_000], 16)
    assert (order.table(0)[0] > 0).sum() == 3


def test_a_window_fits_the_memory_that_it_may_take():
    rows = 200_000
    series = [Series(i, rows, np.full(rows // 100, 100), 100_000) for i in range(3)]
    order = Order(series, [rows] * 3, 16)
    plan = LaneEpoch(order, 0, 0)
    held = np.diff(plan.windows) * 100_000
    assert held.max() < WINDOW_BYTES + 2 * 100 * 100_000  # and the chunk that it ends with


def test_the_shuffle_is_as_good_as_a_full_one_and_better_than_a_buffer(tmp_path):
    rows = 10_000
    write_rows(
        tmp_path / "d/data/vqa/gqa/train.jsonl", [{**make_row(0, 0), "meta": f'{{"id": {i}}}'} for i in range(rows)]
    )
    table = {"file": range(rows), "full": np.random.default_rng(0).permutation(rows)}
    table["mixture"] = [int(row["id"]) for row in itertools.islice(Mixture(tmp_path / "d", ["gqa"]), rows)]
    stream = datasets.Dataset.from_dict({"i": range(rows)}).to_iterable_dataset().shuffle(0, buffer_size=1000)
    table["buffer of 1,000"] = [row["i"] for row in stream]
    groups = Series(1, rows, np.full(rows // 25, 25), 100_000)
    order = Order([groups], [rows], 16)
    first = np.arange(rows).reshape(-1, 25)
    places = [order.place(position) for position in range(rows)]
    found = [groups.find(place.number) for place in places]
    table["row groups"] = [first[unit][groups.picks(unit, range(turn, turn + 1), 25)[0]] for unit, turn in found]
    quality = {name: shuffle_quality(order) for name, order in table.items()}
    assert quality["file"] == (0, 1)
    for name, tolerance in {"full": 0.01, "mixture": 0.01, "row groups": 0.04}.items():  # 400 groups
        assert quality[name][0] == pytest.approx(1 / 3, abs=tolerance), name
    assert quality["mixture"][1] == pytest.approx(quality["full"][1], abs=0.005)
    assert quality["row groups"][1] < 0.3
    assert quality["buffer of 1,000"][0] < 0.06
