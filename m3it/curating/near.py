"""Pictures that show the same, though not a byte of them is the same: encoded again, resized, cropped, framed,
captioned, gray, lighter, darker or mirrored.

In: tiny copies of pictures (prints.py).  Out: pairs, and how far apart each is.
Each picture is looked at in a few views: whole, mirrored, within its frame, lightened, and in four windows of nine
tenths: any crop of nine tenths is within a fortieth of one of these. Of each view the lowest frequencies are taken,
which a small shift, noise and another contrast hardly change, and the nearest of whole pictures are sought in an index
of usearch (HNSW), both ways. What is found is laid over the other (overlay.py).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from m3it.curating.overlay import Tiny, compare, look
from m3it.rows.instance import M3ITError
from m3it.work.extras import install

NEIGHBOURS, LIKE = 16, 0.7  # that are looked at, of each view, and how alike these are at least: the cosine
BATCH = 4096  # pictures at a time
PAIRS = 256  # at a time: what is computed of them fits a processor's cache
WHOLE = (0.0, 0.0, 1.0, 1.0)  # a box: left, top, right and bottom, of width and height
WINDOWS = [(x, y, x + 0.9, y + 0.9) for y in (0.025, 0.075) for x in (0.025, 0.075)]
LIGHTER = 1.3  # of the view that is lightened, for the search; then each pair has its own

SAMPLES, FREQUENCIES = 16, 8  # a side
WAVES = np.cos(np.pi / (2 * SAMPLES) * np.outer(np.arange(FREQUENCIES), 2 * np.arange(SAMPLES) + 1)).astype(np.float32)
# The higher a frequency the less there is of it in pictures, and the more it tells: it is weighed with its root.
WEIGHTS = np.hypot(*np.mgrid[:FREQUENCIES, :FREQUENCIES]).astype(np.float32) ** 0.5


class Pairs(NamedTuple):
    """Pairs of pictures: the number of the one (n,), of the other (n,), and how far apart they are (n,): 1 is as far as
    two pictures may be that show the same."""

    one: np.ndarray
    other: np.ndarray
    apart: np.ndarray


# ---- views


class View(NamedTuple):
    """Some pictures, looked at in one way: which these are (n,), what they are compared by, the boxes (n, 4) that are
    looked at, whether these are windows, and whether the pictures are to be lightened."""

    which: np.ndarray
    tiny: Tiny
    boxes: np.ndarray
    cropped: bool = False
    lightened: bool = False

    def vectors(self) -> np.ndarray:
        """(n, 63) float16: the lowest frequencies of what is seen, without the mean, of length 1."""
        gray = (
            self.tiny.lighter(np.full(len(self.which), LIGHTER, np.float32)).gray if self.lightened else self.tiny.gray
        )
        found = (WAVES @ look(gray, self.boxes, SAMPLES) @ WAVES.T) * WEIGHTS
        vectors = found.reshape(-1, FREQUENCIES**2)[:, 1:]
        return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)).astype(np.float16)


def views(pictures: Tiny) -> Iterator[View]:
    """What the pictures are looked at in; the first is the whole."""
    every = np.arange(len(pictures.gray))
    whole = np.tile(WHOLE, (len(every), 1))
    yield View(every, pictures, whole)
    yield View(every, pictures.mirrored(), whole)
    framed = np.flatnonzero((pictures.inner != [0, 0, 255, 255]).any(axis=1))
    yield View(framed, pictures.take(framed), pictures.inner[framed] / 255)
    light = np.flatnonzero(
        (pictures.gray > 255 / LIGHTER - 20).mean(axis=(1, 2)) > 0.1
    )  # of which something is cut off
    yield View(light, pictures.take(light), whole[light], lightened=True)
    for box in WINDOWS:
        yield View(every, pictures, np.tile(box, (len(every), 1)), cropped=True)


# ---- search


def near_pairs(left: Tiny, right: Tiny, limit: float = 1.0) -> Pairs:
    """The pairs of a picture on the left and one on the right that show the same, each once, the nearest first: those
    not further apart than `limit`. Of one view at most NEIGHBOURS are looked at; blank pictures are left out."""
    kept = [np.flatnonzero(~side.is_blank()) for side in (left, right)]
    sides = [side.take(which) for side, which in zip((left, right), kept, strict=True)]
    found: dict[tuple[int, int], float] = {}
    if not all(map(len, kept)):
        return Pairs(*(np.zeros(0, kind) for kind in (int, int, float)))
    for a, b in ((0, 1), (1, 0)):
        for one, other, apart in _matches(sides[a], sides[b], limit):
            pair = (one, other) if a == 0 else (other, one)
            found[pair] = min(apart, found.get(pair, apart))
    pairs = sorted(found.items(), key=lambda pair: (pair[1], pair[0]))
    numbers = np.array([pair for pair, _ in pairs], int).reshape(-1, 2)
    return Pairs(kept[0][numbers[:, 0]], kept[1][numbers[:, 1]], np.array([apart for _, apart in pairs]))


def _matches(queries: Tiny, wholes: Tiny, limit: float) -> Iterator[tuple[int, int, float]]:
    """Yield (number of the query, of the whole picture, how far apart) of what the views of the queries find."""
    index = build_index(np.concatenate([next(views(some)).vectors() for _, some in _batches(wholes)]))
    with ThreadPoolExecutor() as threads:  # numpy lets others run while it computes
        for start, some in _batches(queries):
            for view in views(some):
                one, other = search_index(index, view.vectors())
                parts = [slice(at, at + PAIRS) for at in range(0, len(one), PAIRS)]
                apart = threads.map(
                    lambda part, view=view, i=one, j=other: _apart(view, i[part], wholes.take(j[part])), parts
                )
                for part, far in zip(parts, apart, strict=True):
                    for k in np.flatnonzero(far <= limit):
                        yield start + int(view.which[one[part][k]]), int(other[part][k]), float(far[k])


def _batches(pictures: Tiny) -> Iterator[tuple[int, Tiny]]:
    """Yield (number of the first, some pictures)."""
    for start in range(0, len(pictures.gray), BATCH):
        yield start, Tiny(*(array[start : start + BATCH] for array in pictures))


def _apart(view: View, which: np.ndarray, others: Tiny) -> np.ndarray:
    """(n,): how far apart some of the pictures of a view are from others."""
    return compare(view.tiny.take(which), others, view.boxes[which], view.cropped, view.lightened)


def build_index(vectors: np.ndarray) -> Any:
    """An index of vectors (n, 63), to be searched; made by one thread, so that it is the same each time."""
    try:
        from usearch.index import Index
    except ImportError as error:
        raise M3ITError(f"The search for near pictures needs usearch: {install('curate')}") from error
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="f16", expansion_search=64)
    index.add(np.arange(len(vectors)), np.ascontiguousarray(vectors), threads=1)
    return index


def search_index(index: Any, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(number of the vector, of its neighbour): those that are LIKE, at most NEIGHBOURS of each."""
    if not len(vectors):
        return np.zeros(0, int), np.zeros(0, int)
    matches = index.search(np.ascontiguousarray(vectors), min(NEIGHBOURS, len(index)))
    keys, distances = (np.asarray(a).reshape(len(vectors), -1) for a in (matches.keys, matches.distances))
    one, place = np.nonzero(distances <= 1 - LIKE)
    return one, keys[one, place].astype(int)
