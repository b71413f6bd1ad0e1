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
STRENGTH = {kind: number for number, kind in enumerate(WORDS)}
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
    found, found_into = find_leaks(known, is_train, is_evaluation, pairs)
    report: dict[str, Any] = {
        "rows": dict(Counter(known.place[is_train | is_evaluation].tolist())),
        "rows_dropped": len({leak.train for leak in found}),
        "blank_pictures": int(known.tiny(np.arange(len(known.first_of_code))).is_blank().sum()),
        "pictures": len(known.first_of_code),
        "matrix": matrix(known, found),
        "leaks": [_told(known, leak) for leak in found],
    }
    for name in ("matrix.png", "pairs.png"):
        (Path(out) / name).unlink(missing_ok=True)  # of another call
    write_drop_list(Path(out) / "drop.jsonl", _drops(known, found, "train", "evaluation"))
    write_drop_list(Path(out) / "drop_evaluation.jsonl", _drops(known, found_into, "evaluation", "train"))
    if report["matrix"]:
        draw_matrix(report["matrix"], Path(out) / "matrix.png")
    try:
        draw_pairs(known, pairs, Path(out) / "pairs.png")
    except M3ITError as error:  # the prints tell all else, and may be read where their repository is not
        report["not_drawn"] = f"pairs.png is not drawn, for want of the pictures: {error}"
    write_json(Path(out) / "leaks.json", report)
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


def find_leaks(
    known: Known, is_train: np.ndarray, is_evaluation: np.ndarray, near: Pairs
) -> tuple[list[Leak], list[Leak]]:
    """The strongest leak of each training row into each evaluation split, by row; and that of each evaluation row."""
    best: dict[tuple[int, str], Leak] = {}
    best_into: dict[int, Leak] = {}
    for leak in _leaks(known, is_train, is_evaluation, near):
        _keep(best, (leak.train, str(known.place[leak.evaluation])), leak)
        _keep(best_into, leak.evaluation, leak)
    return [best[key] for key in sorted(best)], [best_into[row] for row in sorted(best_into)]


def _keep(best: dict[Any, Leak], key: Any, leak: Leak) -> None:
    """Put a leak where there is no stronger one."""
    if key not in best or _strength(leak) < _strength(best[key]):
        best[key] = leak


def _strength(leak: Leak) -> tuple[bool, int, int, int]:
    return not leak.same_question, STRENGTH[leak.kind], leak.train, leak.evaluation


def _leaks(known: Known, is_train: np.ndarray, is_evaluation: np.ndarray, near: Pairs) -> Iterator[Leak]:
    """The leaks by each kind, the strongest of each row among them; a pair of rows may come more than once."""
    sides = is_train[known.row_of], is_evaluation[known.row_of]
    telling = _tells(known)
    for kind in KINDS:
        codes = known.codes[kind]
        counted = (codes >= 0) & (telling | (kind == "source"))
        shared = np.intersect1d(*(codes[side & counted] for side in sides))
        train, evaluation = (_rows_by_code(known, codes, side & counted, shared) for side in sides)
        for code in shared.tolist():
            yield from _paired(known, kind, train[code], evaluation[code])
    one, other = near.one[near.apart <= 1], near.other[near.apart <= 1]
    train, evaluation = (
        _rows_by_code(known, known.codes["pixels"], side, wanted)
        for side, wanted in zip(sides, (one, other), strict=True)
    )
    beside: dict[int, set[int]] = defaultdict(set)
    for code, its_near in zip(one.tolist(), other.tolist(), strict=True):
        beside[code].update(evaluation[its_near])
    for code, rows in beside.items():
        yield from _paired(known, "near", train[code], sorted(rows))


def _tells(known: Known) -> np.ndarray:
    """(pictures,) bool: all but those of one colour among several of a row: two clips that begin in black may show
    anything after it."""
    is_plain = known.tiny(np.arange(len(known.first_of_code))).is_of_one_colour()[known.codes["pixels"]]
    is_one_of_several = np.bincount(known.row_of, minlength=len(known))[known.row_of] > 1
    return ~(is_plain & is_one_of_several)


def _rows_by_code(known: Known, codes: np.ndarray, where: np.ndarray, wanted: np.ndarray) -> dict[int, list[int]]:
    """Code -> the rows that have a picture of it, each once, in order."""
    rows: dict[int, list[int]] = defaultdict(list)
    for picture in np.flatnonzero(where & np.isin(codes, wanted)).tolist():
        row, found = int(known.row_of[picture]), rows[int(codes[picture])]
        if found[-1:] != [row]:  # the frames of a video have one name
            found.append(row)
    return rows


def _paired(known: Known, kind: str, train: list[int], evaluation: list[int]) -> Iterator[Leak]:
    """The leaks between rows that share a picture: of each training row into each split, and of each evaluation row,
    the first, and the first that asks the same. All pairs would be too many, of a picture that many rows have."""
    question, place = known.question, known.place
    first: dict[str, int] = {}
    first_asked: dict[tuple[str, int], int] = {}
    for row in evaluation:
        first.setdefault(place[row], row)
        first_asked.setdefault((place[row], question[row]), row)
    train_asked: dict[int, int] = {}
    for row in train:
        train_asked.setdefault(question[row], row)
        for where, other in first.items():
            same = first_asked.get((where, question[row])) if question[row] >= 0 else None
            yield Leak(row, other if same is None else same, kind, same is not None)
    for row in evaluation:
        same = train_asked.get(question[row]) if question[row] >= 0 else None
        yield Leak(train[0] if same is None else same, row, kind, same is not None)


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
    lines.append(f"{report['rows_dropped']:,} training rows leak; {blank}")
    return "\n".join([*lines, *([report["not_drawn"]] if "not_drawn" in report else [])])


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
        if number not in rows:
            raise M3ITError(f"there is no one row {known.row(number)['id']!r} in {known.place[number]}.")
        place = picture - int(np.searchsorted(known.row_of, number))  # among the pictures of its row
        found[code] = Image.fromarray(pixels(image_bytes(rows[number])[place]))
    return found
