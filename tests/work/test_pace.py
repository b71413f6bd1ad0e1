"""m3it.work.pace: a line now and then says how far work is."""

import pytest

from m3it.work import pace
from m3it.work.pace import Pace, in_words, paced


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: clock[0]."""
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_it_says_every_ten_seconds_how_far_it_is_and_how_long_the_rest_takes(clock):
    told = []
    tell = Pace(told.append, "step", 1000, start=100)
    for second in range(1, 26):
        clock[0] = second
        tell(100 + 10 * second, f", loss {second}")
    assert told == ["step 200 of 1,000, about 80 s to go, loss 10", "step 300 of 1,000, about 70 s to go, loss 20"]


def test_of_what_is_done_it_says_nothing(clock):
    told = []
    tell = Pace(told.append, "shards:", 2)
    clock[0] = 30
    tell(2)
    assert told == []


def test_as_a_progress_it_gives_all_items_and_needs_no_total(clock):
    told, given = [], []
    for item in paced(told.append, "row")(range(5), "easy-vqa"):
        given.append(item)
        clock[0] += 6
    assert given == [0, 1, 2, 3, 4] and told == ["easy-vqa: row 2", "easy-vqa: row 4"]


def test_times_are_said_as_a_person_says_them():
    assert [in_words(seconds) for seconds in (4.4, 89, 100, 600)] == ["4 s", "89 s", "2 min", "10 min"]
