"""What converters write alike: lettered options, the answer of most annotators, a sample by hash."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from m3it.rows.instance import hash_of

T = TypeVar("T", bound=Mapping[str, Any])
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def lettered(options: Sequence[str]) -> str:
    """One line per option: (A) first, (B) second, ...; ValueError above 26."""
    if len(options) > len(LETTERS):
        raise ValueError(f"{len(options)} options: expected at most {len(LETTERS)}, one letter each")
    return "\n".join(f"({LETTERS[i]}) {option}" for i, option in enumerate(options))


def with_options(question: str, options: Sequence[str]) -> str:
    """The question, then its options as lettered lines."""
    return f"{question}\nOptions:\n{lettered(options)}".strip()


def option(options: Sequence[str], answer: str) -> str:
    """The answer as it stands among the options: (B) dog. ValueError if it is none of them."""
    return f"({LETTERS[list(options).index(answer)]}) {answer}"


def majority(answers: Iterable[str]) -> str:
    """The most frequent answer; of equals the one given first."""
    counts = Counter(answers)
    return max(counts, key=counts.__getitem__)  # the first of the greatest


def sample(items: Iterable[T], num_items: int, dataset: str, key: str) -> list[T]:
    """At most `num_items` of the items, in their own order: those whose hash of (dataset, item[key]) is smallest.

    The choice does not depend on the order or number of the others, so a source file with a few rows more gives nearly
    the same sample.
    """
    ranked = (  # the place breaks ties, and no more than `num_items` are held at a time
        (hash_of(dataset, str(item[key]), purpose="sample"), place, item) for place, item in enumerate(items)
    )
    return [item for _, _, item in sorted(heapq.nsmallest(num_items, ranked), key=lambda r: r[1])]
