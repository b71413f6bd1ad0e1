"""m3it/showing/curves.py: where the numbers of the axes stand."""

import pytest

from m3it.showing.curves import curve, even_ticks, log_ticks


@pytest.mark.parametrize(
    "low, high, ticks",
    [
        (0, 40, [0, 10, 20, 30, 40]),
        (0, 1441, [0, 500, 1000]),
        (0, 6, [0, 1, 2, 3, 4, 5, 6]),
        (0.31, 0.33, [0.31, 0.315, 0.32, 0.325, 0.33]),
        (2, 2, [2]),
    ],
)
def test_ticks_are_round_and_equally_far_apart(low, high, ticks):
    assert even_ticks(low, high) == ticks


@pytest.mark.parametrize(
    "low, high, ticks",
    [
        (0.4, 6.5, [0.5, 1, 2, 5]),
        (0.0003, 8, [0.001, 0.01, 0.1, 1]),
        (0.69, 0.72, [0.69, 0.695, 0.7, 0.705, 0.71, 0.715, 0.72]),
        (3, 3, [3]),
    ],
)
def test_ticks_of_logarithms_are_1_2_5_and_even_where_those_are_too_few(low, high, ticks):
    assert log_ticks(low, high) == ticks


def test_a_loss_of_0_and_a_log_without_losses():
    assert curve("run", [{"step": 3, "grad_norm": 1.0}]) is None
    chart = curve("run", [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.0}])
    assert chart["lines"][0]["places"] == "300.0,9.1 600.0,190.9" and chart["steps"] == 2
    assert [tick["told"] for tick in chart["across"]] == ["0", "1", "2"]  # no halves of a step


def test_equal_losses_lie_in_the_middle():
    chart = curve("run", [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 2.0}])
    assert chart["lines"][0]["places"] == "300.0,100.0 600.0,100.0"
    assert chart["down"] == [{"told": "2", "at": pytest.approx(0.5)}]
