"""SHAPES: yes/no questions about nine cells with coloured shapes, generated.

Source files   {train.large,val,test}.input.npy, .query and .output, in `root` or in the folder of
               https://github.com/jacobandreas/nmn2 (branch shapes: data/shapes) or of
               https://github.com/ronghanghu/n2nmn (exp_shapes/shapes_dataset), which has .query_str.txt too, not needed
License        Apache-2.0 (nmn2), BSD-2-Clause (n2nmn)
Paper          https://arxiv.org/abs/1511.02799
One instance   inputs="is a green shape left of a red shape"  outputs="no"

Whether M3IT asks in English or in brackets was not seen: we take English. Where the authors' files are not at hand,
`generate` draws a set of the same grammar, size and balance; it is not the published one.
"""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m3it.rows.images import encode
from m3it.rows.instance import Drop, Instance, SourceError
from m3it.sources.kit.downloads import File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.texts import read_lines

PART = {"train": "train.large", "validation": "val", "test": "test"}  # SHAPES' names for our splits
FOLDERS = ("", "data/shapes/", "shapes_dataset/", "exp_shapes/shapes_dataset/")
SHAPES, COLOURS = ("circle", "square", "triangle"), ("red", "green", "blue")
RELATIONS = {"above": (-1, 0), "below": (1, 0), "left_of": (0, -1), "right_of": (0, 1)}  # step in rows and columns
SETS = {"train.large": (212, 4_985), "val": (16, 394), "test": (16, 375)}  # questions and true answers, as published
NUM_PICTURES = 64  # of a question
NUM_NESTED = 64  # questions with a relation of a relation, of 576; of the shorter ones all 36 and 144 are asked
NUM_DRAWN = 1024  # grids for a question, from which its pictures are chosen: either answer is there often enough
_COPY = "https://raw.githubusercontent.com/ronghanghu/n2nmn/ccbca1c623f3e208e7cde8d57b00e32dfb7c3c14/exp_shapes"
FILES = tuple(
    File(f"{part}.{end}", f"{_COPY}/shapes_dataset/{part}.{end}", instead=(f"*/{part}.{end}",))
    for part in PART.values()
    for end in ("input.npy", "query", "output")
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per picture of the split, in file order."""
    import numpy as np

    part = PART[split]
    queries, answers = (read_lines(root.first(*(f"{f}{part}.{end}" for f in FOLDERS))) for end in ("query", "output"))
    file = root.first(*(f"{folder}{part}.input.npy" for folder in FOLDERS))
    local = file.local()
    pictures = np.load(local, mmap_mode="r") if local else np.load(io.BytesIO(file.read_bytes()))
    if not len(pictures) == len(queries) == len(answers):
        raise SourceError(f"{file}: {len(pictures)} pictures, {len(queries)} questions and {len(answers)} answers")
    for line, (query, answer, picture) in enumerate(zip(queries, answers, pictures, strict=True), 1):
        yield Instance(
            id=f"{part}-{line}",
            inputs=english(query),
            images=[encode(np.ascontiguousarray(picture[..., ::-1]), "PNG")],  # the file has blue, green, red
            outputs={"true": "yes", "false": "no"}[answer],
            meta={"split": part, "line": line, "query": query, "answer": answer},
        )


def english(query: str) -> str:
    """The question in words: "is a green shape left of a red shape" for (is green (left_of red))."""
    first, *relations, last = words_of(query)
    tail = last if last in COLOURS and not relations else phrase(last)
    return " ".join(["is", phrase(first), *(relation.replace("_", " ") for relation in relations), tail])


def words_of(query: str) -> list[str]:
    """What is asked about, the relations, the last word: brackets close at the end only, so they tell no more."""
    return query.replace("(", " ").replace(")", " ").split()[1:]


def phrase(word: str) -> str:
    return f"a {word} shape" if word in COLOURS else f"a {word}"


# ---- a set of our own


def generate(root: Path, seed: int = 0, num_questions: int | None = None, num_pictures: int = NUM_PICTURES) -> None:
    """Write the official files with as many questions, pictures and true answers as published; same seed, same bytes.

    With `num_questions` and `num_pictures` only so many questions of each set, and so many pictures of each question.
    """
    import numpy as np

    root.mkdir(parents=True, exist_ok=True)
    queries = draw_queries(np.random.Generator(np.random.PCG64(seed)))
    for part, (size, num_true) in SETS.items():
        asked, queries = queries[:size], queries[size:]
        generators = [np.random.Generator(np.random.PCG64([seed, *query.encode()])) for query in asked]
        drawn = [draw_grids(query, rng) for query, rng in zip(asked, generators, strict=True)]
        quotas = share_out([answers for _, answers in drawn], num_true)
        lines, pictures = [], []
        questions = list(zip(asked, generators, drawn, quotas, strict=True))
        for query, rng, (grids, answers), quota in questions[:num_questions]:
            both = [*np.flatnonzero(answers)[:quota], *np.flatnonzero(~answers)[: NUM_PICTURES - quota]]
            chosen = np.sort(both)[:num_pictures].astype(int)
            pictures.append(draw_pictures(grids[chosen], rng))
            lines += [(query, english(query), str(answer).lower()) for answer in answers[chosen]]
        np.save(root / f"{part}.input.npy", np.concatenate(pictures))
        for end, column in zip(("query", "query_str.txt", "output"), zip(*lines, strict=True), strict=True):
            (root / f"{part}.{end}").write_bytes("".join(f"{line}\n" for line in column).encode("ascii"))


def draw_queries(rng: Any) -> list[str]:
    """All short questions and some of the nested ones, in an order that is drawn."""
    import numpy as np

    words = (*SHAPES, *COLOURS)
    nested = [f"({r} ({s} {b}))" for r in RELATIONS for s in RELATIONS for b in words]
    tails = [*words, *(f"({r} {b})" for r in RELATIONS for b in words)]
    long = [f"(is {a} {tail})" for a in words for tail in nested]
    queries = [f"(is {a} {tail})" for a in words for tail in tails]
    queries += [long[i] for i in np.argsort(rng.random(len(long)))[:NUM_NESTED]]
    return [queries[i] for i in np.argsort(rng.random(len(queries)))]


def draw_grids(query: str, rng: Any) -> tuple[Any, Any]:
    """Grids with at least one cell of what is asked about, and whether the answer is true.

    grids: (grid, row, column, 2) int, shape and colour of each cell, -1 for an empty one; answers: (grid,) bool.
    """
    import numpy as np

    first, *relations, last = words_of(query)
    grids = (rng.random((NUM_DRAWN, 3, 3, 2)) * 3).astype(int)
    grids[rng.random(grids.shape[:3]) < 0.2] = -1
    grids = grids[cells_of(first, grids).any((1, 2))]
    found = cells_of(last, grids)
    for relation in reversed(relations):
        down, right = RELATIONS[relation]
        found = np.pad(found, ((0, 0), (1, 1), (1, 1)))[:, 1 - down : 4 - down, 1 - right : 4 - right]
    return grids, (cells_of(first, grids) & found).any((1, 2))


def cells_of(word: str, grids: Any) -> Any:
    """Which cells hold a shape or a colour: (grid, row, column) bool."""
    return grids[..., 0] == SHAPES.index(word) if word in SHAPES else grids[..., 1] == COLOURS.index(word)


def share_out(answers: list[Any], num_true: int) -> list[int]:
    """How many pictures of each question are true: as many as were drawn, then one more or less by turns up to the sum.

    Questions that are always true, or never, stay so.
    """
    quotas = [int(drawn[:NUM_PICTURES].sum()) for drawn in answers]
    mixed = [i for i, drawn in enumerate(answers) if min(drawn.sum(), (~drawn).sum()) >= NUM_PICTURES]
    for i in itertools.cycle(mixed):
        step = num_true - sum(quotas)
        if step == 0:
            return quotas
        quotas[i] = min(max(quotas[i] + (1 if step > 0 else -1), 1), NUM_PICTURES - 1)
    raise ValueError("no question has both answers")


def draw_pictures(grids: Any, rng: Any) -> Any:
    """The grids as (picture, 30, 30, 3) uint8, blue first: cells of 10 pixels, sizes and colours a little uneven."""
    import numpy as np

    size = (*grids.shape[:3], 1, 1)
    radius = np.where(rng.random(size) < 0.5, 3.75, 2.5) * (0.9 + 0.2 * rng.random(size))
    colours = np.clip(np.eye(3)[grids[..., 1]] + 0.4 * rng.random((*grids.shape[:3], 3)) - 0.2, 0, 1)
    y, x = np.mgrid[-4.5:5, -4.5:5]
    distances = [  # of a pixel to the edge, positive inside
        radius - np.sqrt(x * x + y * y),
        radius - np.maximum(abs(x), abs(y)),
        np.minimum(radius - y, ((y + radius) / 2 - abs(x)) / np.sqrt(1.25)),
        np.full_like(x, -1),  # -1: an empty cell
    ]
    covered = np.clip(np.choose(grids[..., 0, None, None] % 4, distances) + 0.5, 0, 1)
    pictures = np.round(255 * covered[..., None] * colours[..., None, None, :]).astype(np.uint8)
    return pictures.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 30, 30, 3)[..., ::-1]
