"""How far apart two pictures are that may show the same: one is laid over the other, and what remains is weighed.

In: tiny copies of pictures (prints.py), and a box of each, which should show what the whole other one shows.  Out: how
far apart the two are: 1 is as far as two pictures may be that show the same.
The tiny copy of a cropped picture is not the crop of its tiny copy: along an edge the two differ by what a shift of a
part of a pixel would explain, in flat places hardly. So what remains is weighed, place by place, against noise and such
a shift. The worst place counts: two drawings may differ in one small thing only.
"""

import functools
from typing import NamedTuple

import numpy as np

from m3it.curating.prints import COLOURS, SIDE

# What may remain at a place, chosen on one half of bench/curate.py's pictures: so many of 255, and what a shift by so
# many pixels explains, of the gray copy and of the colours.
NOISE, SHIFT = 5.0, 1.0
TINT_NOISE, TINT_SHIFT = 15.0, 1.0
CONTRAST = (0.6, 1.7)  # of the one to that of the other: a change of light by a third, and some more
SAME_LIGHT = (0.92, 1.09, 12)  # least and most contrast, and by how many of 255 a middle gray may change
FREE = 0.03  # how far a side of a box may be moved, of width or height
FIXED, STILL = 0.02, 0.012  # up to where it counts as not moved: in the same light, and in another
ALONE = 0.13  # what shows one thing alone, of this size, is like any such thing elsewhere, or in another light
COARSE = 1.5  # as much more may remain of a lightened one: what is cut off follows from its coarse colours
LARGE = 1.3  # how far apart two may be after a step, at a third of the size, to be looked at again: one of six is
OFF_GROUND, BLANK = 12, 0.01  # of 255, and the share that is so much another shade than most: less is blank
ONE_COLOUR = 4  # of 255: what JPEG makes of one colour
EDGE = 4  # pixels that are not compared: a frame shines through there
PLACE, TINT_PLACE = 7, 3  # pixels a side of what is weighed together
CUT_OFF = (5, 245)  # of 255: what is darker or lighter may have been cut off there
COLOURLESS = 2.5  # of 255: what has no more colour is gray, and is compared in gray alone
LIGHTER = np.arange(1.1, 1.7, 0.05).astype(np.float32)  # by how much a picture may have been lightened
LUMA = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]


class Tiny(NamedTuple):
    """What of some pictures is compared: tiny copies in gray (n, SIDE, SIDE), their two colours (n, 2, COLOURS,
    COLOURS), the boxes within their frames (n, 4) in 255ths; all uint8, or float32."""

    gray: np.ndarray
    colours: np.ndarray
    inner: np.ndarray

    @classmethod
    def of(cls, tiny: list[bytes], inner: list[bytes]) -> "Tiny":
        """Those whose prints hold this."""
        copies = np.frombuffer(b"".join(tiny), np.uint8).reshape(len(tiny), -1)
        gray = copies[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
        colours = copies[:, SIDE * SIDE :].reshape(-1, 2, COLOURS, COLOURS)
        return cls(gray, colours, np.frombuffer(b"".join(inner), np.uint8).reshape(len(tiny), 4))

    def take(self, which: np.ndarray) -> "Tiny":
        """Some of them."""
        return Tiny(*(array[which] for array in self))

    def mirrored(self) -> "Tiny":
        """Their mirror images."""
        return Tiny(self.gray[..., ::-1], self.colours[..., ::-1], self.inner)

    def lighter(self, factors: np.ndarray) -> "Tiny":
        """What they are after their red, green and blue have been multiplied by factors (n,), and cut off at 255."""
        colours = self.colours.repeat(SIDE // COLOURS, axis=2).repeat(SIDE // COLOURS, axis=3)
        rgb = (_rgb(self.gray, colours) * factors[:, None, None, None]).clip(0, 255)
        gray = (rgb * LUMA).sum(1)
        colours = np.stack([(rgb[:, 2] - gray) / 1.772, (rgb[:, 0] - gray) / 1.402], 1) + 128
        return Tiny(gray, _shrunk(colours), self.inner)

    def is_blank(self) -> np.ndarray:
        """(n,) bool: which of them show too little to be known again."""
        blank = np.zeros(len(self.gray), bool)
        for start in range(0, len(blank), 1024):  # of a million at once, the copies would take 20 GB
            gray = self.gray[start : start + 1024].astype(np.int16)
            ground = np.median(gray, axis=(1, 2), keepdims=True)
            blank[start : start + 1024] = (np.abs(gray - ground) > OFF_GROUND).mean(axis=(1, 2)) < BLANK
        return blank

    def is_of_one_colour(self) -> np.ndarray:
        """(n,) bool: which of them show nothing at all."""
        ranges = [np.ptp(self.gray, axis=(1, 2)), *np.ptp(self.colours, axis=(2, 3)).T]
        return np.max(ranges, axis=0) <= ONE_COLOUR


def as_light_as(one: Tiny, other: Tiny) -> np.ndarray:
    """(n,) float32: the factors, of LIGHTER, that bring each of `one` nearest to `other`."""
    rgb, theirs = _rgb(_shrunk(one.gray), one.colours).clip(0, 255), _shrunk(other.gray)
    apart = [np.square(((rgb * f).clip(0, 255) * LUMA).sum(1) - theirs).mean((1, 2)) for f in LIGHTER]
    return LIGHTER[np.argmin(apart, axis=0)]


def _rgb(gray: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(n, 3, size, size) float32: red, green and blue, as JPEG has them of gray (n, size, size) and Cb, Cr."""
    luma, blue, red = gray.astype(np.float32), colours[:, 0] - np.float32(128), colours[:, 1] - np.float32(128)
    return np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=1)


def _shrunk(arrays: np.ndarray) -> np.ndarray:
    """(..., COLOURS, COLOURS) float32: arrays (..., SIDE, SIDE), smaller."""
    parts = arrays.reshape(*arrays.shape[:-2], COLOURS, SIDE // COLOURS, COLOURS, SIDE // COLOURS)
    return parts.mean((-3, -1), dtype=np.float32)


# ---- boxes


def look(copies: np.ndarray, boxes: np.ndarray, count: int) -> np.ndarray:
    """(n, count, count) float32: what lies in the boxes (n, 4: left, top, right, bottom, of width and height) of tiny
    copies (n, size, size)."""
    across, down = (samples(count, boxes[:, i], boxes[:, i + 2], copies.shape[-1]) for i in (0, 1))
    return down @ copies.astype(np.float32) @ across.transpose(0, 2, 1)


def samples(count: int, start: np.ndarray, stop: np.ndarray, size: int) -> np.ndarray:
    """(n, count, size) float32: the matrices that read `count` samples between two fractions (n,) of a line of
    pixels."""
    at = start[:, None] * size + (np.arange(count) + 0.5) * ((stop - start)[:, None] * size / count) - 0.5
    at = at.clip(0, size - 1).astype(np.float32)[:, :, None]
    return np.maximum(0, 1 - np.abs(at - np.arange(size, dtype=np.float32)))


# ---- comparison


def compare(one: Tiny, other: Tiny, boxes: np.ndarray, cropped: bool = False, lightened: bool = False) -> np.ndarray:
    """(n,) float: how far apart the pictures are, where those in the boxes of `one` are laid over `other`; inf for what
    differs widely. `cropped`: the boxes are guesses, of parts of pictures. `lightened`: `one` is made as light as
    `other` first."""
    one = one.lighter(as_light_as(one, other)) if lightened else one
    apart = np.full(len(boxes), np.inf)
    ours, theirs = _shrunk(one.gray), _shrunk(other.gray)
    moved, light = _laid_over(ours, theirs, boxes, boxes, 1)
    rough = _remains(_seen(ours, moved, light), theirs, 2, 3)
    likely = np.flatnonzero((rough < LARGE) & (light[:, 0] > CONTRAST[0] / 2) & (light[:, 0] < CONTRAST[1] * 2))
    if len(likely):
        one, other, first, moved = one.take(likely), other.take(likely), boxes[likely], moved[likely]
        moved, light = _laid_over(one.gray, other.gray, moved, first, 2)
        far = _remains(_seen(one.gray, moved, light), other.gray, EDGE, PLACE)
        far = np.maximum(far, _tint(one, other, moved, light)) / (COARSE if lightened else 1)
        way = np.full(len(moved), np.inf) if cropped else np.abs(moved - first).max(axis=1)
        fits = _in_order(way, light, (_spread(other.gray) <= ALONE) | lightened)
        apart[likely] = np.where(fits, far, np.inf)
    return apart


def _in_order(way: np.ndarray, light: np.ndarray, strict: np.ndarray) -> np.ndarray:
    """(n,) bool: whether what was done to lay the one over the other is what is done to pictures: they are moved in
    their frame, by a way of the side, or seen in another light, not both; neither, where little tells (`strict`)."""
    contrast, brightness = light.T
    least, most, change = SAME_LIGHT
    same = (contrast > least) & (contrast < most) & (np.abs(contrast * 128 + brightness - 128) < change)
    either = (same | (way <= STILL)) & (contrast > CONTRAST[0]) & (contrast < CONTRAST[1])
    return np.where(strict, same & (way <= FIXED), either)


def _seen(gray: np.ndarray, boxes: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(n, size, size): what lies in the boxes, in contrast and brightness (n, 2)."""
    contrast, brightness = light.T[:, :, None, None].astype(np.float32)
    return (look(gray, boxes, gray.shape[-1]) * contrast + brightness).clip(0, 255)


def _remains(ours: np.ndarray, theirs: np.ndarray, edge: int, place: int) -> np.ndarray:
    """(n,): what remains between gray arrays (n, size, size) at the worst place of `place` pixels a side, of what noise
    and a shift would explain: a shift shows at edges that both have. `edge` pixels are left out."""
    inside = slice(edge - 2, ours.shape[-1] - edge)  # smoothed, they are a pixel smaller on each side, as are slopes
    ours, theirs = (_smooth(side.astype(np.float32))[..., inside, inside] for side in (ours, theirs))
    (across, down), (their_across, their_down) = _slopes(ours), _slopes(theirs)
    edges = np.maximum(across * their_across + down * their_down, 0)
    rest = (ours - theirs)[..., 1:-1, 1:-1]
    share = _means(rest * rest, place) / (NOISE**2 + SHIFT**2 * _means(edges, place))
    return np.sqrt(share.max(axis=(1, 2)))


def _tint(one: Tiny, other: Tiny, boxes: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(n,): what remains between their colours, likewise; 0 where one of the two is gray."""
    contrast = light[:, 0].astype(np.float32)[:, None, None, None]
    ours = np.stack([look(one.colours[:, k], boxes, COLOURS) for k in (0, 1)], axis=1) - 128
    theirs = other.colours.astype(np.float32) - 128
    colour = np.minimum(*(np.abs(side[..., 1:-1, 1:-1]).max(axis=(1, 2, 3)) for side in (ours, theirs)))
    (across, down), (their_across, their_down) = _slopes(ours * contrast), _slopes(theirs)
    edges = _means(np.maximum(across * their_across + down * their_down, 0), TINT_PLACE).sum(axis=1)
    rest = _means((ours * contrast - theirs)[..., 1:-1, 1:-1] ** 2, TINT_PLACE).sum(axis=1)
    share = rest / (TINT_NOISE**2 + TINT_SHIFT**2 * edges)
    return np.where(colour < COLOURLESS, 0, np.sqrt(share.max(axis=(1, 2))))


def _spread(gray: np.ndarray) -> np.ndarray:
    """(n,): how far its edges lie from each other: their deviation from the middle of all, of the side."""
    across, down = _slopes(gray.astype(np.float32))
    edges = across**2 + down**2 + 1e-3
    at = (np.arange(edges.shape[-1], dtype=np.float32) + 0.5) / edges.shape[-1]
    lines = [edges.sum(axis=axis) / edges.sum(axis=(1, 2))[:, None] for axis in (1, 2)]
    return np.sqrt(sum(line @ at**2 - (line @ at) ** 2 for line in lines).clip(0))


# ---- least squares


def _laid_over(
    gray: np.ndarray, other: np.ndarray, boxes: np.ndarray, first: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The boxes (n, 4) moved, at most FREE from where they were first, and the contrast and brightness (n, 2), with
    which what lies in them is nearest to `other`."""
    theirs = other.astype(np.float32)
    for _ in range(steps):
        change, _ = _step(look(gray, boxes, gray.shape[-1]), theirs, boxes)
        boxes = (boxes + change).clip(first - FREE, first + FREE)
    return boxes, _step(look(gray, boxes, gray.shape[-1]), theirs, boxes)[1]


def _step(ours: np.ndarray, theirs: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(change of the boxes (n, 4), contrast and brightness (n, 2)) that bring our views nearest to theirs: least
    squares over the sides of the box, to first order, over contrast and brightness. What is black or white in theirs
    may be cut off there, and is left out where enough else remains."""
    size = ours.shape[-1]
    low, high = CUT_OFF
    cut_off = ((theirs < low) & (ours > low)) | ((theirs > high) & (ours < high))
    left_out = cut_off & (cut_off.mean(axis=(1, 2), keepdims=True) < 0.85)
    weights = np.pad(~left_out[:, 2:-2, 2:-2], ((0, 0), (1, 1), (1, 1))).astype(np.float32)
    width, height = ((boxes[:, 2:] - boxes[:, :2]) / size).astype(np.float32).T[:, :, None, None]
    across, down = _slopes(ours)
    across, down = across * weights / width, down * weights / height
    along = ((np.arange(1, size - 1) + 0.5) / size).astype(np.float32)
    right, below = across * along, down * along[:, None]
    terms = np.stack([across - right, down - below, right, below, ours[:, 1:-1, 1:-1] * weights, weights], axis=1)
    terms = terms.reshape(len(ours), 6, -1)
    squares = (terms @ terms.transpose(0, 2, 1)).astype(np.float64)
    sides = range(4)
    squares[:, sides, sides] += 1e-3 * squares[:, sides, sides].mean(axis=1, keepdims=True)  # few edges move little
    squares += 2e-3 * np.eye(6)
    wanted = (terms @ (theirs[:, 1:-1, 1:-1] * weights).reshape(len(ours), -1, 1)).astype(np.float64)
    found = np.linalg.solve(squares, wanted)[:, :, 0]
    contrast = np.where(np.abs(found[:, 4]) < 0.1, 0.1, found[:, 4])
    return (found[:, :4] / contrast[:, None]).clip(-FREE, FREE), found[:, 4:]


# ---- arrays (..., size, size)


def _smooth(arrays: np.ndarray) -> np.ndarray:
    """The means of 3 x 3, the middle most: two pixels smaller a side."""
    lines = arrays[..., :-2] + 2 * arrays[..., 1:-1] + arrays[..., 2:]
    return (lines[..., :-2, :] + 2 * lines[..., 1:-1, :] + lines[..., 2:, :]) / np.float32(16)


def _slopes(arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How fast they change to the right and downward, a pixel: two pixels smaller a side."""
    half = np.float32(0.5)
    across = (arrays[..., 1:-1, 2:] - arrays[..., 1:-1, :-2]) * half
    return across, (arrays[..., 2:, 1:-1] - arrays[..., :-2, 1:-1]) * half


def _means(arrays: np.ndarray, size: int) -> np.ndarray:
    """The means of `size` x `size`."""
    stop = arrays.shape[-1] - size + 1
    lines = functools.reduce(np.add, (arrays[..., i : i + stop] for i in range(size)))
    return functools.reduce(np.add, (lines[..., i : i + stop, :] for i in range(size))) / np.float32(size * size)
