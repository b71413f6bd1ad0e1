"""How far work is, in a line now and then: for a log, or a terminal that nobody wants to see full of bars."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from m3it.work.runner import Progress

EVERY_SECONDS = 10.0


class Pace:
    """Says at most every ten seconds how far work is and, where its `total` is known, about how long the rest takes.

    `start`: what is done already, by a run before this one, and says nothing of the speed.
    """

    def __init__(self, tell: Callable[[str], Any], description: str, total: int | None = None, start: int = 0):
        self.tell, self.description, self.total, self.start = tell, description, total, start
        self.began = self.told = time.monotonic()

    def __call__(self, done: int, more: str = "") -> None:
        """Note that so many are done; `more` is added to a line."""
        now = time.monotonic()
        if now - self.told < EVERY_SECONDS or done == self.total:
            return
        self.told = now
        line = f"{self.description} {done:,}"
        if self.total:
            seconds = (now - self.began) / max(1, done - self.start) * (self.total - done)
            line += f" of {self.total:,}, about {in_words(seconds)} to go"
        self.tell(line + more)


def paced(tell: Callable[[str], Any], what: str) -> Progress:
    """A Progress that says in lines what a bar would draw; `what`: the word for an item."""

    def progress(items: Iterable[Any], description: str, total: int | None = None) -> Iterator[Any]:
        pace = Pace(tell, f"{description}: {what}", total)
        for number, item in enumerate(items, 1):
            yield item
            pace(number)

    return progress


def in_words(seconds: float) -> str:
    """A time as a person says it: 40 s, 3 min."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
