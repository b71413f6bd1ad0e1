"""Which rows of training splits show a picture, or ask a question, of an evaluation split.

In: prints of one or more sets.  Out, in a folder: leaks.json (the matrix of training by evaluation splits, and each
leak once), drop.jsonl (the training rows, for `exclude` of load_dataset and release and `drop_list` of Mixture),
drop_evaluation.jsonl (the rows of evaluation splits, for `m3it score --exclude`), matrix.png, and pairs.png: the
nearest pairs on both sides of the line, to be looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from M3IT import image_bytes
from m3it.curating.known import KINDS, Known
from m3it.curating.near import Pairs, near_pairs
from m3it.reading.drop_list import write_drop_list
from m3it.rows.images import pixels
from m3it.rows.instance import M3ITError
from m3it.work.folder import write_json, writing

WORDS = {
    "source": "same picture of the source",
    "bytes": "same bytes",
    "pixels": "same pixels",
    "near": "near picture",
}
EVALUATION = ("validation", "test")
SHEET_PAIRS, CELL_PIXELS = 10, 160  # on each side of the line
LOOK_BEYOND = 2.0  # how far beyond the line the sheet looks, of the distance to it


class Leak(NamedTuple):
    """A training row and a row of an evaluation split, by their numbers: the strongest kind, of those in WORDS, by
    which they show the same picture, and whether they ask the same, too."""

    train: int
    evaluation: int
    kind: str
    same_question: bool


def leaks(
    known: Known, out: Path | str, train: Iterable[str] | None = None, evaluation: Iterable[str] | None = None
) -> dict[str, Any]:
    """Find the leaks from training to evaluation splits, and write what the folder holds; returns leaks.json. `train`,
    `evaluation`: names of splits, datasets, configs, or okvqa/test; by default train, and validation and test."""
    is_evaluation = known.select(evaluation or _held(known))
    is_train = known.select(train or ["train"]) & ~is_evaluation
    if not is_train.any():
        raise M3ITError("All rows that are trained on are evaluated on, too. Name others: --train, --eval.")
    pairs = near_codes(known, is_train, is_evaluation)
    found = find_leaks(known, is_train, is_evaluation, pairs)
    report: dict[str, Any] = {
        "rows": dict(Counter(known.place[is_train | is_evaluation].tolist())),
        "rows_dropped": len({leak.train for leak in found}),
        "blank_pictures": int(known.tiny(np.arange(len(known.first_of_code))).is_blank().sum()),
        "pictures": len(known.first_of_code),
        "matrix": matrix(known, found),
        "leaks": [_told(known, leak) for leak in found],
    }
    write_json(Path(out) / "leaks.json", report)
    write_drop_list(Path(out) / "drop.jsonl", _drops(known, found, "train", "evaluation"))
    write_drop_list(Path(out) / "drop_evaluation.jsonl", _drops(known, found, "evaluation", "train"))
    if report["matrix"]:
        draw_matrix(report["matrix"], Path(out) / "matrix.png")
    draw_pairs(known, pairs, Path(out) / "pairs.png")
    return report


def _held(known: Known) -> list[str]:
    """The splits to evaluate on that there are; M3ITError if there is none."""
    held = [split for split in EVALUATION if split in set(known.table["split"].to_pylist())]
    if not held:
        raise M3ITError("The prints have no validation or test split. Name what is evaluated on: --eval.")
    return held


def near_codes(known: Known, is_train: np.ndarray, is_evaluation: np.ndarray) -> Pairs:
    """The pairs of codes of pixels, of training and of evaluation pictures, that are near, or not far beyond."""
    sides = [np.unique(known.codes["pixels"][side[known.row_of]]) for side in (is_train, is_evaluation)]
    found = near_pairs(known.tiny(sides[0]), known.tiny(sides[1]), LOOK_BEYOND)
    one, other = sides[0][found.one], sides[1][found.other]
    differ = one != other
    return Pairs(one[differ], other[differ], found.apart[differ])


def find_leaks(known: Known, is_train: np.ndarray, is_evaluation: np.ndarray, near: Pairs) -> list[Leak]:
    """Of each training row and each evaluation split the strongest leak, by row."""
    best: dict[tuple[int, str], Leak] = {}
    order = {kind: number for number, kind in enumerate(WORDS)}
    for leak in _all_leaks(known, is_train, is_evaluation, near):
        key = leak.train, known.place[leak.evaluation]
        if key not in best or _strength(leak, order) < _strength(best[key], order):
            best[key] = leak
    return [best[key] for key in sorted(best)]


def _strength(leak: Leak, order: dict[str, int]) -> tuple[bool, int, int]:
    return not leak.same_question, order[leak.kind], leak.evaluation


def _all_leaks(known: Known, is_train: np.ndarray, is_evaluation: np.ndarray, near: Pairs) -> Iterator[Leak]:
    """Every pair of rows that share a picture, by each kind; a pair may come more than once."""
    on_train, on_evaluation = is_train[known.row_of], is_evaluation[known.row_of]
    for kind in KINDS:
        codes = known.codes[kind]
        shared = np.intersect1d(codes[on_train & (codes >= 0)], codes[on_evaluation & (codes >= 0)])
        rows = _rows_by_code(known, codes, on_evaluation, shared)
        yield from _joined(known, codes, on_train, kind, {code: rows[code] for code in shared.tolist()})
    sure = near.apart <= 1
    codes = known.codes["pixels"]
    rows = _rows_by_code(known, codes, on_evaluation, near.other[sure])
    beside: dict[int, list[int]] = defaultdict(list)
    for one, other in zip(near.one[sure].tolist(), near.other[sure].tolist(), strict=True):
        beside[one] += rows[other]
    yield from _joined(known, codes, on_train, "near", beside)


def _rows_by_code(known: Known, codes: np.ndarray, where: np.ndarray, wanted: np.ndarray) -> dict[int, list[int]]:
    """Code -> the rows that have a picture of it."""
    rows: dict[int, list[int]] = defaultdict(list)
    for picture in np.flatnonzero(where & np.isin(codes, wanted)).tolist():
        rows[int(codes[picture])].append(int(known.row_of[picture]))
    return rows


def _joined(
    known: Known, codes: np.ndarray, on_train: np.ndarray, kind: str, rows: dict[int, list[int]]
) -> Iterator[Leak]:
    """The training pictures of the codes, with the rows that these stand for."""
    for picture in np.flatnonzero(on_train & np.isin(codes, list(rows))).tolist():
        number = int(known.row_of[picture])
        asked = known.question[number]
        for other in rows[int(codes[picture])]:
            yield Leak(number, other, kind, bool(asked >= 0 and asked == known.question[other]))


def matrix(known: Known, found: list[Leak]) -> dict[str, dict[str, dict[str, int]]]:
    """Training split -> evaluation split -> how many training rows leak into it, by kind, and with their question."""
    counts: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for leak in found:
        cell = counts[str(known.place[leak.train])][str(known.place[leak.evaluation])]
        cell.update(["rows", leak.kind, *(["same question"] if leak.same_question else [])])
    return {
        row: {column: dict(cell) for column, cell in sorted(cells.items())} for row, cells in sorted(counts.items())
    }


def matrix_text(report: dict[str, Any]) -> str:
    """The matrix as lines: training split, evaluation split, rows, and of these by kind."""
    lines = [f"{'training split':<36}{'evaluation split':<36}{'rows':>7}  of these"]
    for row, cells in report["matrix"].items():
        for column, cell in cells.items():
            kinds = ", ".join(f"{number:,} {WORDS.get(kind, kind)}" for kind, number in cell.items() if kind != "rows")
            lines.append(f"{row:<36}{column:<36}{cell['rows']:>7,}  {kinds}")
    blank = f"{report['blank_pictures']:,} of {report['pictures']:,} pictures are too plain to be compared"
    return "\n".join([*lines, f"{report['rows_dropped']:,} training rows leak; {blank}"])


def _told(known: Known, leak: Leak) -> dict[str, Any]:
    rows = {"train": known.row(leak.train), "evaluation": known.row(leak.evaluation)}
    return {**rows, "kind": leak.kind, "same_question": leak.same_question}


def _drops(known: Known, found: list[Leak], side: str, other: str) -> Iterator[dict[str, str]]:
    """Each row of one side once, with the first split of the other that it shares a picture with."""
    seen: set[int] = set()
    for leak in found:
        row, beside = getattr(leak, side), getattr(leak, other)
        if row not in seen:
            seen.add(row)
            yield {**known.row(row), "reason": f"{WORDS[leak.kind]} in {known.place[beside]}"}


# ---- pictures of it


def draw_matrix(cells: dict[str, dict[str, dict[str, int]]], path: Path) -> None:
    """Draw the matrix into a PNG file: the number of rows, and darker the more there are."""
    from matplotlib.figure import Figure

    columns = sorted({column for row in cells.values() for column in row})
    counts = np.array([[row.get(column, {}).get("rows", 0) for column in columns] for row in cells.values()])
    figure = Figure(figsize=(3 + 0.5 * len(columns), 1.8 + 0.35 * len(cells)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.log1p(counts), cmap="Blues", aspect="auto", vmax=np.log1p(counts.max()) * 1.4)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(cells)), list(cells), fontsize=8)
    axes.set_title("Training rows whose picture is in an evaluation split", fontsize=9)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            axes.text(j, i, f"{count:,}", ha="center", va="center", fontsize=7)
    with writing(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120, metadata={"Software": None})


def draw_pairs(known: Known, pairs: Pairs, path: Path) -> None:
    """Draw the pairs nearest to the line into a PNG file: on the left those that count as near, the farthest first; on
    the right those that do not, the nearest first."""
    near = np.flatnonzero(pairs.apart <= 1)[::-1][:SHEET_PAIRS]
    beyond = np.flatnonzero(pairs.apart > 1)[:SHEET_PAIRS]
    codes = [*pairs.one[[*near, *beyond]].tolist(), *pairs.other[[*near, *beyond]].tolist()]
    shown = _pictures(known, codes)
    sheet = Image.new("RGB", (4 * CELL_PIXELS + 40, max(1, len(near), len(beyond)) * (CELL_PIXELS + 24) + 24), "white")
    pen = ImageDraw.Draw(sheet)
    for side, (title, which) in enumerate((("counted as near", near), ("not counted", beyond))):
        left = side * (2 * CELL_PIXELS + 40)
        pen.text((left, 4), title, fill="black")
        for place, number in enumerate(which.tolist()):
            top = 24 + place * (CELL_PIXELS + 24)
            for k, code in enumerate((int(pairs.one[number]), int(pairs.other[number]))):
                sheet.paste(ImageOps.contain(shown[code], (CELL_PIXELS - 4,) * 2), (left + k * CELL_PIXELS, top))
            pen.text(
                (left, top + CELL_PIXELS), f"{pairs.apart[number]:.2f} {_name(known, pairs, number)}", fill="black"
            )
    with writing(path) as unfinished:
        sheet.save(unfinished, "PNG")


def _name(known: Known, pairs: Pairs, number: int) -> str:
    rows = [known.row_of[known.first_of_code[codes[number]]] for codes in (pairs.one, pairs.other)]
    return " | ".join(f"{known.place[row]} {known.row(row)['id'][-16:]}" for row in rows)[:52]


def _pictures(known: Known, codes: Iterable[int]) -> dict[int, Image.Image]:
    """Code -> a picture of these pixels, read from its row."""
    firsts = {code: int(known.first_of_code[code]) for code in codes}
    rows = known.fetch({int(known.row_of[picture]) for picture in firsts.values()})
    found = {}
    for code, picture in firsts.items():
        number = int(known.row_of[picture])
        place = picture - int(np.searchsorted(known.row_of, number))  # among the pictures of its row
        found[code] = Image.fromarray(pixels(image_bytes(rows[number])[place]))
    return found
