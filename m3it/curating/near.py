"""Pictures that show the same, though not a byte of them is the same: encoded again, resized, cropped, framed,
captioned, gray, lighter, darker or mirrored.

In: of each picture its PDQ hash and its tiny copy (prints.py).  Out: pairs, and how far apart each is.
A hash says little of a picture that was cropped. So each picture is looked at in a dozen views (whole, mirrored, within
its frame, and nine windows of nine tenths), and the hash of each view is sought among those of whole pictures, both
ways, in an index of usearch (HNSW). What is found is laid over the other's tiny copy, as well as least squares can,
and compared. The hash of a view is made of the tiny copy: PDQ is linear up to its median, so two matrix products do.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from m3it.curating.prints import COLOURS, SIDE
from m3it.rows.instance import M3ITError
from m3it.work.extras import install

RADIUS = 88  # of 256 bits: a window that is off by a fortieth of the picture is within 80 in 99 of 100 cases
NEIGHBOURS = 8  # that are looked at, of each view
# Many pictures show one thing on a plain ground. The less a picture shows, the less another one may differ from it:
# below FULL in proportion; below BLANK of that it is not compared at all.
FULL, BLANK = 0.06, 0.15
OFF_GROUND = 12  # of 255: what is another shade than the ground
STEPS = 4  # of least squares: more change nothing
EDGE = 2  # pixels of a tiny copy that are not compared: a frame shines through there
BATCH = 4096  # pairs, or pictures, at a time
# What may remain of a pair that shows the same, chosen on one half of bench/curate.py's pictures: the share of variance
# left, the largest difference in standard deviations, the largest difference in colour of 255.
LIMITS = (0.05, 1.4, 14.0)
CUT_OFF = (5, 245)  # of 255: what is darker or lighter may have been cut off there
COLOURLESS = 6  # of 255: what has no more colour is gray, and is compared in gray alone

WHOLE = (0.0, 0.0, 1.0, 1.0)  # a box: left, top, right and bottom, of width and height
WINDOWS = [(x, y, x + 0.9, y + 0.9) for y in (0.0, 0.05, 0.1) for x in (0.0, 0.05, 0.1)]
# PDQ's transform: the frequencies 1 to 16 of 64 samples.
WAVES = np.cos(np.pi / 128 * np.outer(np.arange(1, 17), 2 * np.arange(64) + 1)).astype(np.float32)
INSIDE = np.pad(np.ones((SIDE - 2 * EDGE,) * 2, np.float32), EDGE)


class Tiny(NamedTuple):
    """What of some pictures is compared: hashes (n, 32), tiny copies in gray (n, SIDE, SIDE), their two colours
    (n, 2, COLOURS, COLOURS), the boxes within their frames (n, 4) in 255ths; all uint8."""

    pdq: np.ndarray
    gray: np.ndarray
    colours: np.ndarray
    inner: np.ndarray

    @classmethod
    def of(cls, pdq: list[bytes], tiny: list[bytes], inner: list[bytes]) -> "Tiny":
        """Those whose prints hold this."""
        copies = np.frombuffer(b"".join(tiny), np.uint8).reshape(len(tiny), -1)
        gray = copies[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
        colours = copies[:, SIDE * SIDE :].reshape(-1, 2, COLOURS, COLOURS)
        hashes, boxes = (np.frombuffer(b"".join(column), np.uint8).reshape(len(tiny), -1) for column in (pdq, inner))
        return cls(hashes, gray, colours, boxes)

    def take(self, which: np.ndarray) -> "Tiny":
        """Some of them."""
        return Tiny(*(array[which] for array in self))

    def detail(self) -> np.ndarray:
        """(n,) float: how much each shows, 0 to 1: the share that is another shade than most of it, 1 from FULL on."""
        gray = self.gray.astype(np.int16)
        ground = np.median(gray, axis=(1, 2), keepdims=True)
        return ((np.abs(gray - ground) > OFF_GROUND).mean(axis=(1, 2)) / FULL).clip(0, 1)

    def is_blank(self) -> np.ndarray:
        """(n,) bool: which of them show too little to be known again."""
        return self.detail() < BLANK


class Pairs(NamedTuple):
    """Pairs of pictures: the number of the one (n,), of the other (n,), and how far apart they are (n,): 1 is as far as
    two pictures may be that show the same."""

    one: np.ndarray
    other: np.ndarray
    apart: np.ndarray


# ---- views


def hash_views(tinies: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n, 32) uint8: the PDQ hashes, bits in the library's order, of what lies in the boxes (n or 1, 4)."""
    found = _look(tinies, boxes, 64, WAVES).reshape(len(tinies), 256)[:, ::-1]
    return np.packbits(found > np.median(found, axis=1, keepdims=True), axis=1)


def views(pictures: Tiny) -> Iterator[tuple[bool, np.ndarray, np.ndarray]]:
    """Yield (mirrored, boxes (n, 4), hashes (n, 32)) of each view of the pictures."""
    many = len(pictures.gray)
    whole = np.tile(WHOLE, (many, 1))
    yield False, whole, pictures.pdq
    yield True, whole, hash_views(pictures.gray[:, :, ::-1], whole[:1])
    yield False, pictures.inner / 255, hash_views(pictures.gray, pictures.inner / 255)
    for box in np.array(WINDOWS):
        yield False, np.tile(box, (many, 1)), hash_views(pictures.gray, box[None])


def _look(tinies: np.ndarray, boxes: np.ndarray, count: int, waves: np.ndarray | None = None) -> np.ndarray:
    """(n, count, count) float32: what lies in the boxes of tiny pictures (n, size, size), `count` samples a side; with
    `waves` (k, count) its coefficients (n, k, k)."""
    across, down = (_samples(count, boxes[:, i], boxes[:, i + 2], tinies.shape[-1]) for i in (0, 1))
    if waves is not None:
        across, down = waves @ across, waves @ down
    return down @ tinies.astype(np.float32) @ across.transpose(0, 2, 1)


def _samples(count: int, start: np.ndarray, stop: np.ndarray, size: int) -> np.ndarray:
    """(n, count, size) float32: the matrices that read `count` samples between two fractions of a line of pixels."""
    at = start[:, None] * size + (np.arange(count) + 0.5) * ((stop - start)[:, None] * size / count) - 0.5
    low = np.floor(at).astype(int)
    rest = (at - low).astype(np.float32)
    matrices = np.zeros((len(start), count, size), np.float32)
    n, k = np.ogrid[: len(start), :count]
    np.add.at(matrices, (n, k, low.clip(0, size - 1)), 1 - rest)
    np.add.at(matrices, (n, k, (low + 1).clip(0, size - 1)), rest)
    return matrices


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
    index = build_index(wholes.pdq)
    for start in range(0, len(queries.gray), BATCH):
        some = queries.take(np.arange(start, min(start + BATCH, len(queries.gray))))
        for mirrored, boxes, hashes in views(some):
            one, other = search_index(index, hashes)
            for at in range(0, len(one), BATCH):
                i, j = one[at : at + BATCH], other[at : at + BATCH]
                apart = compare(some.take(i), wholes.take(j), mirrored, boxes[i])
                for k in np.flatnonzero(apart <= limit):
                    yield start + int(i[k]), int(j[k]), float(apart[k])


def build_index(hashes: np.ndarray) -> Any:
    """An index of hashes (n, 32), to be searched; made by one thread, so that it is the same each time."""
    try:
        from usearch.index import Index
    except ImportError as error:
        raise M3ITError(f"The search for near pictures needs usearch: {install('curate')}") from error
    index = Index(ndim=256, metric="hamming", dtype="b1", expansion_search=128)
    index.add(np.arange(len(hashes)), np.ascontiguousarray(hashes), threads=1)
    return index


def search_index(index: Any, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(number of the hash, of its neighbour): those within RADIUS, at most NEIGHBOURS of each."""
    matches = index.search(np.ascontiguousarray(hashes), min(NEIGHBOURS, len(index)))
    keys, distances = (np.asarray(a).reshape(len(hashes), -1) for a in (matches.keys, matches.distances))
    one, place = np.nonzero(distances <= RADIUS)
    return one, keys[one, place].astype(int)


# ---- comparison


def compare(one: Tiny, other: Tiny, mirrored: bool, boxes: np.ndarray) -> np.ndarray:
    """(n,) float: how far apart the pictures are, where those in the boxes of `one` are laid over `other`; the largest
    of the three differences, each as a share of its limit, and more where they show little."""
    gray, colours = (a[..., ::-1] if mirrored else a for a in (one.gray, one.colours))
    theirs, first = other.gray.astype(np.float32), boxes
    for _ in range(STEPS):
        change, _ = _lay_over(_look(gray, boxes, SIDE), theirs, boxes)
        boxes = (boxes + change).clip(first - 0.06, first + 0.06)
    ours = _look(gray, boxes, SIDE)
    gain, offset = _lay_over(ours, theirs, boxes)[1].T[:, :, None, None].astype(np.float32)
    rest = np.abs(_blurred((ours * gain + offset).clip(0, 255) - theirs, EDGE))
    variance = np.maximum(_blurred(theirs, EDGE).var(axis=(1, 2)), 1)
    shades = [_blurred(_look(colours[:, k], boxes, COLOURS) - 128, EDGE // 2) for k in (0, 1)]
    theirs_shades = [_blurred(other.colours[:, k].astype(np.float32) - 128, EDGE // 2) for k in (0, 1)]
    both = [np.abs(side).max(axis=(0, 2, 3)) for side in (shades, theirs_shades)]
    tint = np.abs(np.stack(theirs_shades) - gain.clip(0.3, 3) * np.stack(shades)) * (_lightest(theirs) < CUT_OFF[1])
    tint = np.where(np.minimum(*both) < COLOURLESS, 0, tint.max(axis=(0, 2, 3)))
    differences = (rest**2).mean(axis=(1, 2)) / variance, rest.max(axis=(1, 2)) / variance**0.5, tint
    apart = np.max([found / limit for found, limit in zip(differences, LIMITS, strict=True)], axis=0)
    return apart / np.minimum(one.detail(), other.detail())


def _lay_over(ours: np.ndarray, theirs: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(change of the boxes (n, 4), gain and offset (n, 2)) that bring our views nearest to theirs: least squares over
    the sides of the box, to first order, over contrast and brightness. What is black or white in theirs may be cut off
    there, and is left out where enough else remains."""
    along = ((np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
    width, height = (boxes[:, 2:] - boxes[:, :2]).astype(np.float32).T[:, :, None, None] / SIDE
    across, down = np.gradient(ours, axis=2) / width, np.gradient(ours, axis=1) / height
    cut_off = (theirs < CUT_OFF[0]) | (theirs > CUT_OFF[1])
    weights = np.where(cut_off & (cut_off.mean(axis=(1, 2)) < 0.85)[:, None, None], 0, INSIDE)
    terms = [across * (1 - along), down * (1 - along[:, None]), across * along, down * along[:, None]]
    terms = [(term * weights).reshape(len(ours), -1) for term in (*terms, ours, np.ones_like(ours))]
    slopes = np.stack(terms, axis=1).astype(np.float64)
    squares = slopes @ slopes.transpose(0, 2, 1)
    squares += np.eye(6) * (1e-3 * squares[:, range(4), range(4)].mean(axis=1) + 1e-3)[:, None, None]
    found = np.linalg.solve(squares, slopes @ (theirs * weights).reshape(len(ours), -1, 1))[:, :, 0]
    gain = np.where(np.abs(found[:, 4]) < 0.1, 0.1, found[:, 4])
    return (found[:, :4] / gain[:, None]).clip(-0.03, 0.03), found[:, 4:]


def _lightest(gray: np.ndarray) -> np.ndarray:
    """(n, size, size) float: the lightest pixel around each of the colours that are compared."""
    size = COLOURS - 2 * (EDGE // 2)
    pairs = gray.reshape(-1, COLOURS, SIDE // COLOURS, COLOURS, SIDE // COLOURS).max(axis=(2, 4))
    return np.max([pairs[:, i : i + size, j : j + size] for i in range(3) for j in range(3)], axis=0)


def _blurred(arrays: np.ndarray, edge: int) -> np.ndarray:
    """(n, size - 2 * edge, ...) float: the means of 3 x 3 pixels of arrays (n, size, size), without their edges."""
    size = arrays.shape[-1] - 2 * edge
    at = range(edge - 1, edge + 2)
    return sum(arrays[:, i : i + size, j : j + size] for i in at for j in at) / np.float32(9)  # type: ignore[return-value]
